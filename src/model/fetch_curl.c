/*
 * fetch.h over libcurl. One transfer is one try; frt_fetch_file repeats tries while they may help.
 *
 * libcurl is loaded when the first download begins: with it come a score of libraries that a service never
 * needs, and would pay for in start-up time and memory.
 *
 *     headers ──(last one)── judge: 200 → from the start, 206 → append, anything else → no bytes taken
 *        │                          sizes against what is allowed and the disk
 *     body ── write to the .part file
 */
#include "model/fetch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "core/mem.h"

enum {
    VALIDATOR_MAX = 256,
    URL_MAX = 2048,
    PATH_ROOM = 4096,
    PAUSE_STEP_MS = 100,
    MOST_TRIES = 100,
    WORTH_BYTES = 65536
};
static const uint64_t DEFAULT_MAX_BYTES = UINT64_C(4) << 30;

/* What is used of it. */
static struct {
    CURLcode (*global_init)(long flags);
    char *(*version)(void);
    CURL *(*init)(void);
    CURLcode (*setopt)(CURL *curl, CURLoption option, ...);
    CURLcode (*getinfo)(CURL *curl, CURLINFO info, ...);
    CURLcode (*perform)(CURL *curl);
    void (*cleanup)(CURL *curl);
    const char *(*explain)(CURLcode code);
    struct curl_slist *(*append)(struct curl_slist *list, const char *text);
    void (*free_list)(struct curl_slist *list);
} lib;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static char load_failure[256]; /* "" = loaded */

static void load(void)
{
    static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4"};
    const struct {
        const char *name;
        void *to;
    } wanted[] = {
        {"curl_global_init", &lib.global_init}, {"curl_version", &lib.version},
        {"curl_easy_init", &lib.init},          {"curl_easy_setopt", &lib.setopt},
        {"curl_easy_getinfo", &lib.getinfo},    {"curl_easy_perform", &lib.perform},
        {"curl_easy_cleanup", &lib.cleanup},    {"curl_easy_strerror", &lib.explain},
        {"curl_slist_append", &lib.append},     {"curl_slist_free_all", &lib.free_list},
    };
    void *handle = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && handle == NULL; i++)
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)snprintf(load_failure, sizeof load_failure,
                       "libcurl is not there: install libcurl3-gnutls (Debian 12) or libcurl3t64-gnutls");
        return;
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *symbol = dlsym(handle, wanted[i].name);
        if (symbol == NULL) {
            (void)snprintf(load_failure, sizeof load_failure, "libcurl lacks %s", wanted[i].name);
            return;
        }
        memcpy(wanted[i].to, &symbol, sizeof symbol);
    }
    if (lib.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        (void)snprintf(load_failure, sizeof load_failure, "libcurl does not start");
}

enum frt_status frt_fetch_available(const char **version, struct frt_error *err)
{
    (void)pthread_once(&load_once, load);
    if (load_failure[0] != '\0')
        return frt_fail(err, FRT_EUNAVAILABLE, "%s", load_failure);
    if (version != NULL)
        *version = lib.version();
    return FRT_OK;
}

struct transfer {
    const struct frt_fetch_options *options;
    CURL *curl;
    int fd; /* the .part file */
    char part[PATH_ROOM], from[PATH_ROOM];
    char validator[VALIDATOR_MAX]; /* of what is in the .part file; "" = none */

    /* of the answer under way; a redirect's headers are followed by another answer's */
    char seen_validator[VALIDATOR_MAX];
    uint64_t range_start;
    bool has_range;

    uint64_t asked_from; /* offset that was asked for */
    uint64_t have;       /* bytes in the .part file */
    bool judged;         /* the first bytes have come, and the answer is one to keep */
    bool resumed;
    enum frt_status refused; /* what a callback found wrong: the transfer was ended for it */
    struct frt_error refusal;
};

bool frt_fetch_is_url(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
}

/* -------------------------------------------------------------- headers */

static bool header_value(const char *line, size_t size, const char *name, char *out, size_t room)
{
    size_t n = strlen(name);
    if (size <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return false;
    const char *at = line + n + 1, *end = line + size;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    if ((size_t)(end - at) >= room)
        return false;
    memcpy(out, at, (size_t)(end - at));
    out[end - at] = '\0';
    return true;
}

static size_t take_header(char *line, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    char value[VALIDATOR_MAX];
    (void)one;
    if (size >= 5 && strncmp(line, "HTTP/", 5) == 0) {
        t->seen_validator[0] = '\0';
        t->has_range = false;
    } else if (header_value(line, size, "ETag", value, sizeof value)) {
        if (strncmp(value, "W/", 2) != 0) /* a weak one says nothing of the bytes */
            memcpy(t->seen_validator, value, sizeof value);
    } else if (header_value(line, size, "Last-Modified", value, sizeof value)) {
        if (t->seen_validator[0] == '\0')
            memcpy(t->seen_validator, value, sizeof value);
    } else if (header_value(line, size, "Content-Range", value, sizeof value)) {
        unsigned long long start;
        t->has_range = sscanf(value, "bytes %llu-", &start) == 1;
        t->range_start = t->has_range ? start : 0;
    }
    return size;
}

/* ----------------------------------------------------------------- body */

static size_t refuse(struct transfer *t, enum frt_status status)
{
    t->refused = status;
    return 0; /* not `size`: the transfer ends */
}

static enum frt_status check_room(const struct transfer *t, uint64_t more, struct frt_error *err)
{
    struct statvfs fs;
    if (fstatvfs(t->fd, &fs) != 0)
        return FRT_OK; /* then writing tells */
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (more > room)
        return frt_fail(err, FRT_ESTORAGE_FULL,
                        "%s: %" PRIu64 " MB are still to come, and the disk has room for %" PRIu64 " MB",
                        t->part, more / 1000000 + 1, room / 1000000);
    return FRT_OK;
}

/* The answer is complete but for its body: keep it? */
static enum frt_status judge(struct transfer *t)
{
    const struct frt_fetch_options *o = t->options;
    long code = 0;
    curl_off_t length = -1;
    (void)lib.getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    (void)lib.getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (code == 206 && t->asked_from > 0 && t->has_range && t->range_start == t->asked_from) {
        t->resumed = true;
    } else if (code == 200) {
        t->have = 0;
        t->resumed = false;
        if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) < 0)
            return frt_fail(&t->refusal, FRT_EIO, "%s: %s", t->part, strerror(errno));
    } else {
        return frt_fail(&t->refusal, FRT_EUNAVAILABLE, "%s: an answer that fits no request (HTTP %ld)", o->url,
                        code);
    }
    /* remember whose bytes these are, before the first one */
    FILE *from = fopen(t->from, "we");
    if (from != NULL) {
        (void)fprintf(from, "%s\n%s\n", o->url, t->seen_validator);
        (void)fclose(from);
    }
    uint64_t most = o->size != 0 ? o->size : o->max_bytes != 0 ? o->max_bytes : DEFAULT_MAX_BYTES;
    if (length >= 0) {
        uint64_t whole = t->have + (uint64_t)length;
        if (o->size != 0 && whole != o->size)
            return frt_fail(&t->refusal, FRT_EBAD_MODEL,
                            "%s: the server has %" PRIu64 " bytes, %" PRIu64 " are expected", o->url, whole,
                            o->size);
        if (whole > most)
            return frt_fail(&t->refusal, FRT_EBODY_TOO_LARGE,
                            "%s: the server has %" PRIu64 " bytes; at most %" PRIu64 " are taken", o->url,
                            whole, most);
        return check_room(t, (uint64_t)length, &t->refusal);
    }
    return FRT_OK;
}

static size_t take_body(char *bytes, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    const struct frt_fetch_options *o = t->options;
    (void)one;
    if (!t->judged) {
        enum frt_status status = judge(t);
        if (status != FRT_OK)
            return refuse(t, status);
        t->judged = true;
    }
    uint64_t most = o->size != 0 ? o->size : o->max_bytes != 0 ? o->max_bytes : DEFAULT_MAX_BYTES;
    if (size > most - t->have)
        return refuse(t, frt_fail(&t->refusal, o->size != 0 ? FRT_EBAD_MODEL : FRT_EBODY_TOO_LARGE,
                                  "%s: more than the %" PRIu64 " bytes that are %s", o->url, most,
                                  o->size != 0 ? "expected" : "taken"));
    for (size_t put = 0; put < size;) {
        ssize_t n = write(t->fd, bytes + put, size - put);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse(t, frt_fail(&t->refusal,
                                      errno == ENOSPC || errno == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO,
                                      "%s: cannot write: %s", t->part, strerror(errno)));
        put += (size_t)n;
    }
    t->have += size;
    return size;
}

static bool is_cancelled(const struct frt_fetch_options *o)
{
    return o->cancelled != NULL && o->cancelled(o->cancelled_arg);
}

static int watch(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    const struct transfer *t = arg;
    const struct frt_fetch_options *o = t->options;
    (void)down;
    (void)up_total;
    (void)up;
    if (o->progress != NULL && t->judged)
        o->progress(o->progress_arg, t->have,
                    o->size != 0     ? o->size
                    : down_total > 0 ? t->asked_from + (uint64_t)down_total
                                     : 0);
    return is_cancelled(o) ? 1 : 0;
}

/* ------------------------------------------------------------- one try */

static void read_origin(struct transfer *t)
{
    char url[URL_MAX] = "", validator[VALIDATOR_MAX] = "";
    FILE *from = fopen(t->from, "re");
    t->validator[0] = '\0';
    if (from == NULL)
        return;
    if (fgets(url, sizeof url, from) != NULL && fgets(validator, sizeof validator, from) != NULL) {
        url[strcspn(url, "\n")] = '\0';
        validator[strcspn(validator, "\n")] = '\0';
        if (strcmp(url, t->options->url) == 0)
            memcpy(t->validator, validator, sizeof validator);
    }
    (void)fclose(from);
}

static CURLcode set_up(struct transfer *t, struct curl_slist **headers, char *text)
{
    const struct frt_fetch_options *o = t->options;
    CURL *c = t->curl;
    bool tls = strncasecmp(o->url, "https://", 8) == 0;
    CURLcode e = CURLE_OK;
#define SET(option, value)                                                                                     \
    if (e == CURLE_OK)                                                                                         \
    e = lib.setopt(c, (option), (value))
    SET(CURLOPT_URL, o->url);
    SET(CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, (long)(o->max_redirects != 0 ? o->max_redirects : 5));
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_timeout_ms != 0 ? o->connect_timeout_ms : 30000));
    SET(CURLOPT_LOW_SPEED_LIMIT, 1024L);
    SET(CURLOPT_LOW_SPEED_TIME, (long)(o->stall_timeout_s != 0 ? o->stall_timeout_s : 60));
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (o->ca_file != NULL) {
        SET(CURLOPT_CAINFO, o->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    SET(CURLOPT_FAILONERROR, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "frt");
    SET(CURLOPT_ERRORBUFFER, text);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, (void *)t);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, (void *)t);
    SET(CURLOPT_XFERINFOFUNCTION, watch);
    SET(CURLOPT_XFERINFODATA, (void *)t);
    SET(CURLOPT_NOPROGRESS, 0L);
    if (e == CURLE_OK && t->asked_from > 0) {
        char line[VALIDATOR_MAX + 32];
        (void)snprintf(line, sizeof line, "Range: bytes=%" PRIu64 "-", t->asked_from);
        *headers = lib.append(NULL, line);
        if (*headers != NULL && t->validator[0] != '\0') {
            (void)snprintf(line, sizeof line, "If-Range: %s", t->validator);
            struct curl_slist *more = lib.append(*headers, line);
            if (more == NULL)
                return CURLE_OUT_OF_MEMORY;
        }
        if (*headers == NULL)
            return CURLE_OUT_OF_MEMORY;
        SET(CURLOPT_HTTPHEADER, *headers);
    }
#undef SET
    return e;
}

/* What curl says, in our words. *again: another try may help. */
static enum frt_status explain(const struct transfer *t, CURLcode e, const char *text, bool *again,
                               struct frt_error *err)
{
    const char *url = t->options->url, *said = text[0] != '\0' ? text : lib.explain(e);
    long code = 0;
    (void)lib.getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    *again = false;
    switch (e) {
    case CURLE_HTTP_RETURNED_ERROR:
        *again = code == 408 || code == 429 || code >= 500;
        return frt_fail(err, code == 404 || code == 410 ? FRT_ENOTFOUND : FRT_EUNAVAILABLE,
                        "%s: the server answers %ld", url, code);
    case CURLE_OPERATION_TIMEDOUT:
        *again = true;
        return frt_fail(err, FRT_ETIMEOUT, "%s: %s", url, said);
    case CURLE_ABORTED_BY_CALLBACK:
        return frt_fail(err, FRT_ECANCELLED, "%s: cancelled; the same command goes on with it", url);
    case CURLE_OUT_OF_MEMORY:
        return frt_fail_nomem(err, "a download");
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return frt_fail(err, FRT_EINVAL, "%s: not an address to fetch from: %s", url, said);
    case CURLE_TOO_MANY_REDIRECTS:
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: the server sends from one address to the next: %s", url,
                        said);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: the server's certificate is not trusted: %s", url, said);
    default:
        *again = true;
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: %s", url, said);
    }
}

/* Begin anew next time: what there is cannot be gone on with. */
static void forget(struct transfer *t)
{
    (void)!ftruncate(t->fd, 0);
    (void)unlink(t->from);
    t->have = 0;
}

static enum frt_status try_once(struct transfer *t, bool *again, struct frt_error *err)
{
    char text[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    enum frt_status status = FRT_OK;
    off_t end = lseek(t->fd, 0, SEEK_END);
    *again = false;
    if (end < 0)
        return frt_fail(err, FRT_EIO, "%s: %s", t->part, strerror(errno));
    t->have = (uint64_t)end;
    if (t->options->size != 0 && t->have > t->options->size)
        forget(t);
    if (t->options->size != 0 && t->have == t->options->size)
        return FRT_OK; /* the rename is all that was missing */
    read_origin(t);
    t->asked_from = t->have;
    t->judged = false;
    t->refused = FRT_OK;
    t->curl = lib.init();
    if (t->curl == NULL)
        return frt_fail_nomem(err, "a download");
    CURLcode e = set_up(t, &headers, text);
    if (e == CURLE_OK)
        e = lib.perform(t->curl);
    long code = 0;
    (void)lib.getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (t->refused != FRT_OK) {
        status = t->refused;
        if (err != NULL)
            *err = t->refusal;
        if (status == FRT_EBAD_MODEL || status == FRT_EBODY_TOO_LARGE)
            forget(t);
    } else if (e == CURLE_HTTP_RETURNED_ERROR && code == 416 && t->asked_from > 0) {
        forget(t); /* the file there is no longer than what we have: it is another one */
        *again = true;
        status = frt_fail(err, FRT_EUNAVAILABLE, "%s: the file there has changed", t->options->url);
    } else if (e != CURLE_OK) {
        status = explain(t, e, text, again, err);
    } else if (!t->judged) { /* no body at all */
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: the server sends an empty file", t->options->url);
    } else if (t->options->size != 0 && t->have != t->options->size) {
        *again = true; /* no Content-Length, and the line was cut */
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: %" PRIu64 " bytes came, %" PRIu64 " are expected",
                          t->options->url, t->have, t->options->size);
    }
    lib.cleanup(t->curl);
    lib.free_list(headers);
    t->curl = NULL;
    return status;
}

/* ------------------------------------------------------------ the tries */

static bool pause_ms(const struct frt_fetch_options *o, uint32_t ms)
{
    while (ms > 0 && !is_cancelled(o)) {
        uint32_t step = ms < PAUSE_STEP_MS ? ms : PAUSE_STEP_MS;
        struct timespec t = {.tv_nsec = (long)step * 1000000};
        (void)nanosleep(&t, NULL);
        ms -= step;
    }
    return !is_cancelled(o);
}

static enum frt_status open_part(struct transfer *t, struct frt_error *err)
{
    const char *path = t->options->path;
    if ((size_t)snprintf(t->part, sizeof t->part, "%s.part", path) >= sizeof t->part ||
        (size_t)snprintf(t->from, sizeof t->from, "%s.part.from", path) >= sizeof t->from)
        return frt_fail(err, FRT_EINVAL, "%.100s…: path too long", path);
    t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (t->fd < 0)
        return frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", t->part, strerror(errno));
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0)
        return frt_fail(err, FRT_ECONFLICT, "%s: another download of this file is under way", t->part);
    return FRT_OK;
}

static enum frt_status run_tries(struct transfer *t, bool *resumed, struct frt_error *err)
{
    const struct frt_fetch_options *o = t->options;
    const uint32_t tries = o->tries != 0 ? o->tries : 5;
    const uint32_t first_ms = o->first_pause_ms != 0 ? o->first_pause_ms : 1000;
    uint32_t wait_ms = first_ms;
    for (uint32_t failed = 0, n = 1;; n++) {
        bool again = false;
        enum frt_status status = try_once(t, &again, err);
        *resumed = *resumed || t->resumed;
        if (status == FRT_OK || !again)
            return status;
        bool came = t->have > t->asked_from + WORTH_BYTES;
        failed = came ? 1 : failed + 1;
        wait_ms = came ? first_ms : wait_ms;
        if (failed >= tries || n >= MOST_TRIES)
            return status;
        if (!pause_ms(o, wait_ms))
            return frt_fail(err, FRT_ECANCELLED, "%s: cancelled; the same command goes on with it", o->url);
        wait_ms = wait_ms < 16000 ? 2 * wait_ms : wait_ms;
    }
}

enum frt_status frt_fetch_file(const struct frt_fetch_options *options, struct frt_fetch_result *out,
                               struct frt_error *err)
{
    bool resumed = false;
    if (!frt_fetch_is_url(options->url) || strlen(options->url) >= URL_MAX ||
        strchr(options->url, '\n') != NULL)
        return frt_fail(err, FRT_EINVAL, "%.200s: not an http:// or https:// address of at most %d bytes",
                        options->url, URL_MAX - 1);
    enum frt_status status = frt_fetch_available(NULL, err);
    if (status != FRT_OK)
        return status;
    struct transfer *t = frt_alloc_zero(1, sizeof *t);
    if (t == NULL)
        return frt_fail_nomem(err, "a download");
    t->options = options;
    t->fd = -1;
    status = open_part(t, err);
    if (status == FRT_OK)
        status = run_tries(t, &resumed, err);
    if (status == FRT_OK && (fsync(t->fd) != 0 || rename(t->part, options->path) != 0))
        status = frt_fail(err, errno == ENOSPC || errno == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s",
                          options->path, strerror(errno));
    if (status == FRT_OK) {
        (void)unlink(t->from);
        if (out != NULL)
            *out = (struct frt_fetch_result){.size = t->have, .resumed = resumed};
    }
    if (t->fd >= 0)
        (void)close(t->fd);
    frt_free(t);
    return status;
}
