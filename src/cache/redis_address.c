#include "cache/redis_address.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_PORT = 6379, SENTINEL_PORT = 26379, MAX_DB = 65535, MAX_PORT = 65535 };

/* A piece of the text. */
struct piece {
    const char *text;
    size_t size;
};

static const char *find(const struct piece *whole, char c)
{
    return whole->size == 0 ? NULL : memchr(whole->text, c, whole->size);
}

/* Cuts off what stands before the first `c`, and `c`; all of it when there is none. */
static struct piece cut(struct piece *rest, char c)
{
    const char *end = find(rest, c);
    struct piece first = *rest;
    if (end != NULL)
        first.size = (size_t)(end - rest->text);
    const size_t gone = end != NULL ? first.size + 1 : first.size;
    *rest = (struct piece){rest->text + gone, rest->size - gone};
    return first;
}

static bool begins(struct piece *rest, const char *word)
{
    const size_t n = strlen(word);
    if (rest->size < n || strncmp(rest->text, word, n) != 0)
        return false;
    *rest = (struct piece){rest->text + n, rest->size - n};
    return true;
}

static bool number(const struct piece *digits, uint32_t most, uint32_t *out)
{
    uint32_t n = 0;
    if (digits->size == 0 || digits->size > 9)
        return false;
    for (size_t i = 0; i < digits->size; i++) {
        if (digits->text[i] < '0' || digits->text[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(digits->text[i] - '0');
    }
    *out = n;
    return n <= most;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* With %XX taken for a byte. */
static bool decode(const struct piece *in, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < in->size; i++) {
        char c = in->text[i];
        if (c == '%') {
            const int high = i + 2 < in->size ? hex(in->text[i + 1]) : -1;
            const int low = i + 2 < in->size ? hex(in->text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (n + 1 >= size || c == '\0')
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

bool frt_redis_host_parse(const char *text, size_t size, uint16_t default_port, struct frt_redis_host *out)
{
    struct piece name = {text, size}, port = {text, 0};
    uint32_t n = default_port;
    const char *colon = size == 0 ? NULL : memrchr(text, ':', size);
    if (size > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', size);
        if (end == NULL)
            return false;
        name = (struct piece){text + 1, (size_t)(end - text) - 1};
        port = (struct piece){end + 1, size - (size_t)(end - text) - 1};
        if (port.size > 0 && port.text[0] != ':')
            return false;
    } else if (colon != NULL) {
        name.size = (size_t)(colon - text);
        port = (struct piece){colon, size - name.size};
    }
    if (port.size > 0) {
        const struct piece digits = {port.text + 1, port.size - 1};
        if (!number(&digits, MAX_PORT, &n) || n == 0)
            return false;
    }
    if (name.size == 0 || name.size >= sizeof out->name)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.text[i] <= ' ' || (unsigned char)name.text[i] >= 0x7F)
            return false;
    memcpy(out->name, name.text, name.size);
    out->name[name.size] = '\0';
    out->port = (uint16_t)n;
    return true;
}

static bool credentials(const struct piece *given, struct frt_redis_address *out)
{
    struct piece password = *given;
    const struct piece user = cut(&password, ':');
    return decode(&user, out->user, sizeof out->user) && decode(&password, out->password, sizeof out->password);
}

static bool hosts(struct piece *rest, uint16_t port, struct frt_redis_address *out)
{
    do {
        const struct piece host = cut(rest, ',');
        if (out->n_hosts == FRT_REDIS_MAX_HOSTS ||
            !frt_redis_host_parse(host.text, host.size, port, &out->hosts[out->n_hosts]))
            return false;
        out->n_hosts++;
    } while (rest->size > 0);
    return true;
}

static bool database(const struct piece *digits, struct frt_redis_address *out)
{
    return digits->size == 0 || number(digits, MAX_DB, &out->db);
}

/* /path/of.sock?db=N */
static bool socket_path(struct piece *rest, struct frt_redis_address *out)
{
    struct piece path = cut(rest, '?');
    out->n_hosts = 1;
    if (path.size == 0 || path.text[0] != '/' || !decode(&path, out->hosts[0].name, sizeof out->hosts[0].name))
        return false;
    return rest->size == 0 || (begins(rest, "db=") && database(rest, out));
}

/* What stands before the last '@' of the authority: passwords are often not encoded as they should be. */
static bool authority(struct piece *rest, struct frt_redis_address *out)
{
    const char *slash = find(rest, '/');
    const size_t n = slash == NULL ? rest->size : (size_t)(slash - rest->text);
    const char *at = n == 0 ? NULL : memrchr(rest->text, '@', n);
    if (at == NULL)
        return true;
    const struct piece given = {rest->text, (size_t)(at - rest->text)};
    *rest = (struct piece){at + 1, rest->size - given.size - 1};
    return credentials(&given, out);
}

static bool parse(const char *text, struct frt_redis_address *out)
{
    struct piece rest = {text, strlen(text)};
    if (begins(&rest, "redis+unix:"))
        return (!begins(&rest, "//") || authority(&rest, out)) && socket_path(&rest, out);
    if (begins(&rest, "rediss-sentinel://"))
        out->tls = out->sentinel = true;
    else if (begins(&rest, "redis-sentinel://"))
        out->sentinel = true;
    else if (begins(&rest, "rediss://"))
        out->tls = true;
    else if (!begins(&rest, "redis://"))
        return false;
    if (!authority(&rest, out))
        return false;
    struct piece list = cut(&rest, '/');
    if (!hosts(&list, out->sentinel ? SENTINEL_PORT : DEFAULT_PORT, out))
        return false;
    if (out->sentinel) {
        const struct piece master = cut(&rest, '/');
        if (master.size == 0 || !decode(&master, out->master, sizeof out->master))
            return false;
    }
    return database(&rest, out);
}

enum frt_status frt_redis_address_parse(const char *text, struct frt_redis_address *out, struct frt_error *err)
{
    struct frt_redis_address address = {.n_hosts = 0};
    if (!parse(text, &address))
        return frt_fail(
            err, FRT_EINVAL,
            "'redis' is no address of a Redis; redis://[user:password@]host[:port][/db], rediss://…, "
            "redis+unix:/path or redis-sentinel://host[,host…]/master[/db] is right");
    *out = address;
    return FRT_OK;
}

const char *frt_redis_host_text(const struct frt_redis_host *host, char out[FRT_REDIS_TEXT_SIZE])
{
    const bool brackets = strchr(host->name, ':') != NULL;
    if (host->port == 0)
        (void)snprintf(out, FRT_REDIS_TEXT_SIZE, "%s", host->name);
    else
        (void)snprintf(out, FRT_REDIS_TEXT_SIZE, brackets ? "[%s]:%u" : "%s:%u", host->name, host->port);
    return out;
}

const char *frt_redis_address_text(const struct frt_redis_address *address, char out[FRT_REDIS_TEXT_SIZE])
{
    char host[FRT_REDIS_TEXT_SIZE];
    const char *scheme = address->hosts[0].port == 0 ? "redis+unix:"
                         : address->sentinel ? (address->tls ? "rediss-sentinel://" : "redis-sentinel://")
                         : address->tls      ? "rediss://"
                                             : "redis://";
    int n = snprintf(out, FRT_REDIS_TEXT_SIZE, "%s", scheme);
    for (size_t i = 0; i < address->n_hosts && n >= 0 && n < FRT_REDIS_TEXT_SIZE; i++)
        n += snprintf(out + n, FRT_REDIS_TEXT_SIZE - (size_t)n, "%s%s", i > 0 ? "," : "",
                      frt_redis_host_text(&address->hosts[i], host));
    if (address->sentinel && n >= 0 && n < FRT_REDIS_TEXT_SIZE)
        (void)snprintf(out + n, FRT_REDIS_TEXT_SIZE - (size_t)n, "/%s", address->master);
    return out;
}
