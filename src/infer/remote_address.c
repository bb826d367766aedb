#include "infer/remote_address.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/suggest.h"

static const struct {
    const char *word;
    enum frt_remote_kind kind;
    const char *version_path; /* what people write behind the address out of habit */
} kinds[] = {{"kserve", FRT_REMOTE_KSERVE, "/v2"}, {"tfserving", FRT_REMOTE_TFSERVING, "/v1"}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static const char right[] = "local, kserve:http://HOST:PORT or tfserving:http://HOST:PORT is right";

/* Of "scheme://authority/path": refuse what is not one. The text of a password must not appear in `err`. */
static enum frt_status check_url(const char *url, struct frt_error *err)
{
    const char *host = strncasecmp(url, "http://", 7) == 0    ? url + 7
                       : strncasecmp(url, "https://", 8) == 0 ? url + 8
                                                              : NULL;
    if (host == NULL)
        return frt_fail(err, FRT_EINVAL, "an address of a model server begins with http:// or https://; %s",
                        right);
    size_t n = strcspn(host, "/?#");
    if (memchr(host, '@', n) != NULL)
        return frt_fail(err, FRT_EINVAL,
                        "a name or password has no place in the model server's address, which is logged; put a "
                        "token into a file (infer_token_file)");
    if (n == 0 || (host[0] == ':' && host[1] != ':'))
        return frt_fail(err, FRT_EINVAL, "the model server's address '%.200s' names no host; %s", url, right);
    if (host[n] == '?' || host[n] == '#' || strpbrk(host + n, "?#") != NULL)
        return frt_fail(err, FRT_EINVAL, "the model server's address '%.200s' has a '?' or '#'; %s", url,
                        right);
    for (const char *c = url; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7F || *c == ',')
            return frt_fail(err, FRT_EINVAL,
                            "the model server's address '%.200s' holds a '%c'; one address without blanks is "
                            "right (a load balancer before several servers has one)",
                            url, (unsigned char)*c > ' ' && (unsigned char)*c < 0x7F ? *c : ' ');
    const char *bracket = host[0] == '[' ? memchr(host, ']', n) : NULL;
    if (host[0] == '[' && bracket == NULL)
        return frt_fail(err, FRT_EINVAL, "the model server's address '%.200s' lacks a ']'", url);
    const char *after = bracket != NULL ? bracket + 1 : host,
               *colon = memchr(after, ':', n - (size_t)(after - host));
    if (bracket == NULL && colon != NULL && memchr(colon + 1, ':', n - (size_t)(colon + 1 - host)) != NULL)
        return frt_fail(err, FRT_EINVAL,
                        "the model server's address '%.200s': an IPv6 address stands in brackets, as in "
                        "http://[::1]:8000",
                        url);
    if (colon != NULL) {
        size_t digits = strspn(colon + 1, "0123456789");
        unsigned port = 0;
        if (colon + 1 + digits != host + n || digits == 0 || digits > 5 ||
            sscanf(colon + 1, "%5u", &port) != 1 || port == 0 || port > 65535)
            return frt_fail(err, FRT_EINVAL, "the model server's address '%.200s': a port is 1 to 65535", url);
    }
    return FRT_OK;
}

static enum frt_status misspelt(const char *text, size_t word, struct frt_error *err)
{
    static const char *const words[] = {"local", "kserve", "tfserving"};
    char given[32];
    (void)snprintf(given, sizeof given, "%.*s", word < 31 ? (int)word : 31, text);
    if (strcasecmp(given, "triton") == 0 || strcasecmp(given, "torchserve") == 0 ||
        strcasecmp(given, "v2") == 0)
        return frt_fail(err, FRT_EINVAL, "'%s' speaks the KServe protocol: kserve:http://HOST:PORT is right",
                        given);
    if (strcasecmp(given, "http") == 0 || strcasecmp(given, "https") == 0)
        return frt_fail(err, FRT_EINVAL,
                        "an address needs its protocol before it: kserve:%.300s or tfserving:%.300s", text,
                        text);
    const char *near = frt_suggest(given, words, 3);
    return frt_fail(err, FRT_EINVAL, "'%s' is no way to compute models%s%s%s; %s", given,
                    near == NULL ? "" : " (did you mean '", near == NULL ? "" : near, near == NULL ? "" : "'?)",
                    right);
}

enum frt_status frt_remote_address_parse(const char *text, struct frt_remote_address *out,
                                         struct frt_error *err)
{
    struct frt_remote_address address = {.kind = FRT_REMOTE_NONE};
    if (text == NULL || text[0] == '\0' || strcmp(text, "local") == 0) {
        *out = address;
        return FRT_OK;
    }
    size_t word = strcspn(text, ":"), k = 0;
    while (k < N_KINDS && (strlen(kinds[k].word) != word || strncmp(kinds[k].word, text, word) != 0))
        k++;
    if (k == N_KINDS || text[word] != ':')
        return misspelt(text, word, err);
    const char *url = text + word + 1;
    enum frt_status status = check_url(url, err);
    if (status != FRT_OK)
        return status;
    size_t n = strlen(url), habit = strlen(kinds[k].version_path);
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (n > habit && strncmp(url + n - habit, kinds[k].version_path, habit) == 0)
        n -= habit;
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (n >= sizeof address.url)
        return frt_fail(err, FRT_EINVAL, "the model server's address is %zu bytes long; %d fit", n,
                        FRT_REMOTE_URL_MAX - 1);
    memcpy(address.url, url, n);
    address.kind = kinds[k].kind;
    *out = address;
    return FRT_OK;
}

/* "face_*" with the model's name in place of the star. False: too long. */
static bool fill_in(const char *pattern, size_t size, const char *model, char *out, size_t room)
{
    const char *star = memchr(pattern, '*', size);
    int before = star == NULL ? (int)size : (int)(star - pattern);
    int after = star == NULL ? 0 : (int)(size - (size_t)before - 1);
    int n = snprintf(out, room, "%.*s%s%.*s", before, pattern, star == NULL ? "" : model, after,
                     star == NULL ? "" : star + 1);
    return n > 0 && (size_t)n < room;
}

static enum frt_status take_entry(const char *target, size_t size, const char *model,
                                  struct frt_remote_name *out, struct frt_error *err)
{
    const char *slash = memchr(target, '/', size);
    size_t name = slash == NULL ? size : (size_t)(slash - target),
           version = slash == NULL ? 0 : size - name - 1;
    if (slash == NULL && size == 5 && strncmp(target, "local", 5) == 0) {
        out->local = true;
        return FRT_OK;
    }
    if (name == 0 || (slash != NULL && version == 0) || version >= sizeof out->version ||
        !fill_in(target, name, model, out->name, sizeof out->name))
        return frt_fail(err, FRT_EINVAL,
                        "infer_models: '%.*s' is no model's name there; NAME, NAME/VERSION or local is right",
                        size < 100 ? (int)size : 100, target);
    memcpy(out->version, slash == NULL ? "" : slash + 1, version);
    out->version[version] = '\0';
    return FRT_OK;
}

enum frt_status frt_remote_name_of(const char *map, const char *model, struct frt_remote_name *out,
                                   struct frt_error *err)
{
    struct frt_remote_name found = {.local = false};
    bool done = false;
    (void)snprintf(found.name, sizeof found.name, "%s", model);
    for (const char *at = map == NULL ? "" : map; *at != '\0';) {
        size_t size = strcspn(at, ",");
        const char *begin = at, *end = at + size;
        at = *end == ',' ? end + 1 : end;
        while (begin < end && isspace((unsigned char)*begin))
            begin++;
        while (end > begin && isspace((unsigned char)end[-1]))
            end--;
        const char *equals = memchr(begin, '=', (size_t)(end - begin));
        if (equals == NULL || equals == begin)
            return frt_fail(err, FRT_EINVAL,
                            "infer_models: '%.*s' is no entry; a list of NAME=REMOTE, NAME=REMOTE/VERSION or "
                            "NAME=local is right",
                            end - begin < 100 ? (int)(end - begin) : 100, begin);
        size_t key = (size_t)(equals - begin);
        struct frt_remote_name entry = {.local = false};
        enum frt_status status = take_entry(equals + 1, (size_t)(end - equals - 1), model, &entry, err);
        if (status != FRT_OK)
            return status;
        if (!done &&
            ((key == 1 && *begin == '*') || (strlen(model) == key && strncmp(begin, model, key) == 0))) {
            found = entry;
            done = true; /* the rest is read all the same: a list is right or refused as a whole */
        }
    }
    *out = found;
    return FRT_OK;
}

static void append_segment(struct frt_buf *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (isalnum((unsigned char)*c) || strchr("-._~", *c) != NULL)
            frt_buf_append_char(out, *c);
        else
            frt_buf_printf(out, "%%%02X", (unsigned char)*c);
    }
}

void frt_remote_append_path(struct frt_buf *out, const char *root, const struct frt_remote_name *name)
{
    frt_buf_append_text(out, root);
    frt_buf_append_char(out, '/');
    append_segment(out, name->name);
    if (name->version[0] != '\0') {
        frt_buf_append_text(out, "/versions/");
        append_segment(out, name->version);
    }
}
