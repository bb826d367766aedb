/* http_call.h over libcurl, the only file that includes its header. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "core/clock.h"
#include "core/mem.h"
#include "net/http_call.h"

enum { MOST_CONNECTIONS = 1024, URL_MAX = 2048, BUFFER_BYTES = 256 * 1024, DEFAULT_CONNECT_MS = 30000 };

/* What is used of it. */
static struct {
    CURLcode (*global_init)(long flags);
    char *(*version)(void);
    CURL *(*init)(void);
    CURLcode (*setopt)(CURL *curl, CURLoption option, ...);
    CURLcode (*getinfo)(CURL *curl, CURLINFO info, ...);
    CURLcode (*perform)(CURL *curl);
    void (*reset)(CURL *curl);
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
        {"curl_global_init", &lib.global_init},  {"curl_version", &lib.version},
        {"curl_easy_init", &lib.init},           {"curl_easy_setopt", &lib.setopt},
        {"curl_easy_getinfo", &lib.getinfo},     {"curl_easy_perform", &lib.perform},
        {"curl_easy_reset", &lib.reset},         {"curl_easy_cleanup", &lib.cleanup},
        {"curl_easy_strerror", &lib.explain},    {"curl_slist_append", &lib.append},
        {"curl_slist_free_all", &lib.free_list},
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

enum frt_status frt_http_client_available(const char **version, struct frt_error *err)
{
    (void)pthread_once(&load_once, load);
    if (load_failure[0] != '\0')
        return frt_fail(err, FRT_EUNAVAILABLE, "%s", load_failure);
    if (version != NULL)
        *version = lib.version();
    return FRT_OK;
}

/* --------------------------------------------------------------- client */

struct frt_http_client {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    uint32_t connections, in_use, n_free;
    CURL **free; /* [connections]; the one last used is taken first: its connection is the likeliest to live */
    char *ca_file;
    bool no_proxy, http_1_1;
};

enum frt_status frt_http_client_new(const struct frt_http_client_options *options, struct frt_http_client **out,
                                    struct frt_error *err)
{
    pthread_condattr_t attributes;
    enum frt_status status = frt_http_client_available(NULL, err);
    if (status != FRT_OK)
        return status;
    struct frt_http_client *client = frt_alloc_zero(1, sizeof *client);
    if (client == NULL)
        return frt_fail_nomem(err, "an HTTP client");
    client->connections = options->connections == 0                 ? 1
                          : options->connections > MOST_CONNECTIONS ? MOST_CONNECTIONS
                                                                    : options->connections;
    client->no_proxy = options->no_proxy;
    client->http_1_1 = options->http_1_1;
    client->free = frt_alloc_zero(client->connections, sizeof(CURL *));
    client->ca_file = options->ca_file == NULL ? NULL : frt_strdup(options->ca_file);
    (void)pthread_mutex_init(&client->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&client->freed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (client->free == NULL || (options->ca_file != NULL && client->ca_file == NULL)) {
        frt_http_client_free(client);
        return frt_fail_nomem(err, "an HTTP client");
    }
    *out = client;
    return FRT_OK;
}

void frt_http_client_free(struct frt_http_client *client)
{
    if (client == NULL)
        return;
    for (uint32_t i = 0; client->free != NULL && i < client->n_free; i++)
        lib.cleanup(client->free[i]);
    (void)pthread_cond_destroy(&client->freed);
    (void)pthread_mutex_destroy(&client->lock);
    frt_free(client->free);
    frt_free(client->ca_file);
    frt_free(client);
}

/* A handle, within the time. until_ns 0 = no end. */
static enum frt_status acquire(struct frt_http_client *client, int64_t until_ns, CURL **out,
                               struct frt_error *err)
{
    int waited = 0;
    CURL *handle = NULL;
    (void)pthread_mutex_lock(&client->lock);
    while (client->in_use >= client->connections && waited != ETIMEDOUT) {
        const struct timespec until = {.tv_sec = until_ns / 1000000000,
                                       .tv_nsec = (long)(until_ns % 1000000000)};
        waited = until_ns == 0 ? pthread_cond_wait(&client->freed, &client->lock)
                               : pthread_cond_timedwait(&client->freed, &client->lock, &until);
    }
    bool got = client->in_use < client->connections;
    if (got) {
        client->in_use++;
        if (client->n_free > 0)
            handle = client->free[--client->n_free];
    }
    (void)pthread_mutex_unlock(&client->lock);
    if (!got)
        return frt_fail(err, FRT_ETIMEOUT, "all %u connections were busy until the deadline",
                        (unsigned)client->connections);
    if (handle == NULL)
        handle = lib.init();
    if (handle == NULL) {
        (void)pthread_mutex_lock(&client->lock);
        client->in_use--;
        (void)pthread_cond_signal(&client->freed);
        (void)pthread_mutex_unlock(&client->lock);
        return frt_fail_nomem(err, "an HTTP connection");
    }
    *out = handle;
    return FRT_OK;
}

static void release(struct frt_http_client *client, CURL *handle)
{
    lib.reset(handle); /* forgets the call, keeps the connection */
    (void)pthread_mutex_lock(&client->lock);
    client->in_use--;
    client->free[client->n_free++] = handle;
    (void)pthread_cond_signal(&client->freed);
    (void)pthread_mutex_unlock(&client->lock);
}

/* ----------------------------------------------------------------- call */

struct transfer {
    const struct frt_http_call *call;
    CURL *curl;
    struct frt_http_head head;
    size_t piece, offset; /* next byte to send */
    bool head_known, came;
    enum frt_status refused; /* what `take` returned: the transfer was ended for it */
    struct frt_error refusal;
};

bool frt_http_header_value(const char *line, size_t size, const char *name, char *out, size_t room)
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
    (void)one;
    t->came = true;
    if (t->call->header != NULL)
        t->call->header(t->call->arg, line, size);
    return size;
}

static size_t take_body(char *bytes, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    (void)one;
    if (!t->head_known) {
        long code = 0;
        curl_off_t length = -1;
        (void)lib.getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
        (void)lib.getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        t->head = (struct frt_http_head){.status = (int)code, .content_length = length};
        t->head_known = true;
    }
    t->refused = t->call->take(t->call->arg, &t->head, bytes, size, &t->refusal);
    return t->refused == FRT_OK ? size : 0; /* not `size`: the transfer ends */
}

static size_t give_body(char *out, size_t one, size_t room, void *arg)
{
    struct transfer *t = arg;
    size_t given = 0;
    room *= one;
    while (given < room && t->piece < t->call->n_body) {
        const struct frt_http_piece *piece = &t->call->body[t->piece];
        size_t left = piece->size - t->offset, n = left < room - given ? left : room - given;
        if (n > 0)
            memcpy(out + given, (const char *)piece->bytes + t->offset, n);
        given += n;
        t->offset += n;
        if (t->offset == piece->size) {
            t->piece++;
            t->offset = 0;
        }
    }
    return given;
}

/* A connection that was kept and had died: libcurl sends again on a new one. */
static int rewind_body(void *arg, curl_off_t offset, int origin)
{
    struct transfer *t = arg;
    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    t->piece = 0;
    t->offset = 0;
    return CURL_SEEKFUNC_OK;
}

static int watch(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    const struct transfer *t = arg;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return t->call->goes_on(t->call->arg) ? 0 : 1;
}

static CURLcode add_headers(const struct frt_http_call *call, struct curl_slist **list)
{
    for (size_t i = 0; i <= call->n_headers; i++) {
        /* libcurl waits a second for a "100 Continue" that most servers do not send */
        const char *line = i < call->n_headers ? call->headers[i] : "Expect:";
        struct curl_slist *more = lib.append(*list, line);
        if (more == NULL)
            return CURLE_OUT_OF_MEMORY;
        *list = more;
    }
    return CURLE_OK;
}

#define SET(option, value)                                                                                     \
    if (e == CURLE_OK)                                                                                         \
    e = lib.setopt(c, (option), (value))

/* Whom to talk to, and how. */
static CURLcode set_connection(const struct frt_http_client *client, const struct transfer *t, long timeout_ms)
{
    const struct frt_http_call *call = t->call;
    CURL *c = t->curl;
    bool tls = strncasecmp(call->url, "https://", 8) == 0;
    CURLcode e = CURLE_OK;
    SET(CURLOPT_URL, call->url);
    SET(CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    SET(CURLOPT_FOLLOWLOCATION, call->max_redirects != 0 ? 1L : 0L);
    SET(CURLOPT_MAXREDIRS, (long)call->max_redirects);
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        (long)(call->connect_timeout_ms != 0 ? call->connect_timeout_ms : DEFAULT_CONNECT_MS));
    SET(CURLOPT_TIMEOUT_MS, timeout_ms);
    if (call->stall_timeout_s != 0) {
        SET(CURLOPT_LOW_SPEED_LIMIT, 1024L);
        SET(CURLOPT_LOW_SPEED_TIME, (long)call->stall_timeout_s);
    }
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->ca_file != NULL) {
        SET(CURLOPT_CAINFO, client->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (client->no_proxy) {
        SET(CURLOPT_PROXY, "");
    }
    if (client->http_1_1) {
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    }
    SET(CURLOPT_MAXCONNECTS, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "frt");
    return e;
}

/* What to send, and who takes what comes. */
static CURLcode set_exchange(struct transfer *t, struct curl_slist *headers, char *text)
{
    const struct frt_http_call *call = t->call;
    CURL *c = t->curl;
    CURLcode e = CURLE_OK;
    SET(CURLOPT_FAILONERROR, call->take_errors ? 0L : 1L);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_ERRORBUFFER, text);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, (void *)t);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, (void *)t);
    if (call->goes_on != NULL) {
        SET(CURLOPT_XFERINFOFUNCTION, watch);
        SET(CURLOPT_XFERINFODATA, (void *)t);
        SET(CURLOPT_NOPROGRESS, 0L);
    }
    if (call->body != NULL) {
        curl_off_t size = 0;
        for (size_t i = 0; i < call->n_body; i++)
            size += (curl_off_t)call->body[i].size;
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, size);
        SET(CURLOPT_READFUNCTION, give_body);
        SET(CURLOPT_READDATA, (void *)t);
        SET(CURLOPT_SEEKFUNCTION, rewind_body);
        SET(CURLOPT_SEEKDATA, (void *)t);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
        SET(CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    }
    return e;
}
#undef SET

/* What libcurl says, in our words. */
static enum frt_status explain(const struct transfer *t, CURLcode e, const char *text,
                               struct frt_http_answer *answer, struct frt_error *err)
{
    const char *said = text[0] != '\0' ? text : lib.explain(e);
    int code = answer->status;
    bool tls = strncasecmp(t->call->url, "https://", 8) == 0;
    answer->again = false;
    switch (e) {
    case CURLE_HTTP_RETURNED_ERROR:
        answer->again = code == 408 || code == 429 || code >= 500;
        return frt_fail(err, code == 404 || code == 410 ? FRT_ENOTFOUND : FRT_EUNAVAILABLE,
                        "the server answers %d", code);
    case CURLE_OPERATION_TIMEDOUT:
        answer->again = true;
        return frt_fail(err, FRT_ETIMEOUT, "%s", said);
    case CURLE_ABORTED_BY_CALLBACK:
        return frt_fail(err, FRT_ECANCELLED, "cancelled");
    case CURLE_OUT_OF_MEMORY:
        return frt_fail_nomem(err, "an HTTP call");
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (!tls && answer->no_bytes) /* "Received HTTP/0.9 when not allowed" */
            return frt_fail(err, FRT_EUNAVAILABLE,
                            "what answers there does not speak HTTP; if it is an HTTPS port, https:// is right "
                            "(%s)",
                            said);
        return frt_fail(err, FRT_EINVAL, "not an address to call: %s", said);
    case CURLE_URL_MALFORMAT:
        return frt_fail(err, FRT_EINVAL, "not an address to call: %s", said);
    case CURLE_TOO_MANY_REDIRECTS:
        return frt_fail(err, FRT_EUNAVAILABLE, "the server sends from one address to the next: %s", said);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return frt_fail(err, FRT_EUNAVAILABLE, "the server's certificate is not trusted: %s", said);
    case CURLE_SSL_CONNECT_ERROR:
        answer->again = true;
        return frt_fail(err, FRT_EUNAVAILABLE, "no TLS there; if it is a port without, http:// is right (%s)",
                        said);
    default:
        answer->again = true;
        return frt_fail(err, FRT_EUNAVAILABLE, "%s", said);
    }
}

static enum frt_status perform(struct frt_http_client *client, struct transfer *t, long timeout_ms,
                               struct frt_http_answer *answer, struct frt_error *err)
{
    char text[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    CURLcode e = add_headers(t->call, &headers);
    if (e == CURLE_OK)
        e = set_connection(client, t, timeout_ms);
    if (e == CURLE_OK)
        e = set_exchange(t, headers, text);
    if (e == CURLE_OK)
        e = lib.perform(t->curl);
    long code = 0, connections = 0;
    (void)lib.getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    (void)lib.getinfo(t->curl, CURLINFO_NUM_CONNECTS, &connections);
    answer->status = (int)code;
    answer->no_bytes = !t->came;
    answer->new_connection = connections > 0;
    enum frt_status status = FRT_OK;
    if (t->refused != FRT_OK) {
        status = t->refused;
        if (err != NULL)
            *err = t->refusal;
    } else if (e != CURLE_OK) {
        status = explain(t, e, text, answer, err);
    }
    lib.free_list(headers);
    return status;
}

enum frt_status frt_http_call(struct frt_http_client *client, const struct frt_http_call *call,
                              struct frt_http_answer *answer, struct frt_error *err)
{
    struct transfer t = {.call = call};
    int64_t start = frt_now_ns();
    *answer = (struct frt_http_answer){.no_bytes = true};
    if (strlen(call->url) >= URL_MAX || strpbrk(call->url, "\r\n") != NULL)
        return frt_fail(err, FRT_EINVAL, "not an http:// or https:// address of at most %d bytes", URL_MAX - 1);
    enum frt_status status =
        acquire(client, call->timeout_ms == 0 ? 0 : start + (int64_t)call->timeout_ms * 1000000, &t.curl, err);
    if (status != FRT_OK)
        return status;
    long left_ms = 0; /* none */
    if (call->timeout_ms != 0) {
        left_ms = (long)call->timeout_ms - (long)frt_elapsed_ms(start);
        left_ms = left_ms > 1 ? left_ms : 1;
    }
    status = perform(client, &t, left_ms, answer, err);
    release(client, t.curl);
    return status;
}
