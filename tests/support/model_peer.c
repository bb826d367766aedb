#include "support/model_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 256, HEAD_MAX = 16384, MOST_ROWS = 64, BODY_MAX = 1 << 20 };

struct connection {
    struct peer *peer;
    pthread_t thread;
    int fd;
    bool used, over;
    gnutls_session_t tls; /* NULL = none */
};

struct peer {
    struct peer_options options;
    int listener;
    uint16_t port;
    pthread_t acceptor;
    atomic_bool stop;
    atomic_int fault, left;
    _Atomic double weights;
    atomic_uint requests, taken, open, most_open;
    gnutls_certificate_credentials_t credentials;
    pthread_mutex_t lock;
    char last_head[HEAD_MAX];
    struct connection connections[MOST_CONNECTIONS];
};

void peer_toy(const float x[PEER_X], double weights, float y[PEER_Y], float z[PEER_Z])
{
    for (int k = 0; k < PEER_Y; k++) {
        double sum = 0;
        for (int i = 0; i < PEER_X; i++)
            sum += (double)x[i] * sin((double)i * (k + 1) + weights);
        y[k] = (float)sum;
    }
    for (int j = 0; j < PEER_Z; j++)
        z[j] = x[j] * x[j + 4];
}

/* -------------------------------------------------------------- sockets */

static ssize_t receive(struct connection *c, void *out, size_t size)
{
    return c->tls != NULL ? gnutls_record_recv(c->tls, out, size) : recv(c->fd, out, size, 0);
}

static bool send_all(struct connection *c, const void *bytes, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        const char *at = (const char *)bytes + sent;
        ssize_t n = c->tls != NULL ? gnutls_record_send(c->tls, at, size - sent)
                                   : send(c->fd, at, size - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

static void sleep_ms(struct peer *peer, int ms)
{
    for (int i = 0; i < ms / 10 && !atomic_load(&peer->stop); i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

struct text {
    char *data;
    size_t size;
};

static void add(struct text *t, const void *bytes, size_t size)
{
    t->data = realloc(t->data, t->size + size + 1);
    if (size > 0)
        memcpy(t->data + t->size, bytes, size);
    t->size += size;
    t->data[t->size] = '\0';
}

static void say(struct text *t, const char *text)
{
    add(t, text, strlen(text));
}

static bool answer(struct connection *c, const char *status, const char *headers, const char *body, size_t size)
{
    char head[512];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, size, headers);
    return send_all(c, head, (size_t)n) && send_all(c, body, size);
}

static bool problem(struct connection *c, const char *status, const char *headers)
{
    const char *body = "{\"error\":\"as it was told\"}";
    return answer(c, status, headers, body, strlen(body));
}

/* -------------------------------------------------------------- requests */

struct call {
    char head[HEAD_MAX];
    char *body;
    size_t size;
};

/* One request; false: the connection is over. */
static bool read_call(struct connection *c, struct call *call)
{
    size_t have = 0;
    char *end = NULL;
    while (end == NULL) {
        if (have == sizeof call->head - 1)
            return false;
        ssize_t n = receive(c, call->head + have, sizeof call->head - 1 - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
        call->head[have] = '\0';
        if (call->head[0] < 'A' || call->head[0] > 'Z') { /* TLS, say */
            (void)problem(c, "400 Bad Request", "");
            return false;
        }
        end = memmem(call->head, have, "\r\n\r\n", 4);
    }
    const char *length = strcasestr(call->head, "\r\ncontent-length:");
    call->size = length == NULL || length > end ? 0 : strtoul(length + 17, NULL, 10);
    if (call->size > BODY_MAX)
        return false;
    call->body = calloc(call->size + 1, 1);
    size_t begun = have - (size_t)(end + 4 - call->head), got = begun < call->size ? begun : call->size;
    memcpy(call->body, end + 4, got);
    end[2] = '\0';
    while (got < call->size) {
        ssize_t n = receive(c, call->body + got, call->size - got);
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

/* The numbers of a text from `at` on, up to the end of its arrays. */
static int numbers(const char *at, float *out, int max)
{
    int n = 0, depth = 0;
    for (; *at != '\0'; at++) {
        if (*at == '[') {
            depth++;
        } else if (*at == ']') {
            if (--depth == 0)
                break;
        } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
            char *end;
            const float value = strtof(at, &end);
            if (n < max)
                out[n++] = value;
            at = end - 1;
        }
    }
    return n;
}

/* ---------------------------------------------------------------- answers */

/* Faults that are no answer of an inference. *done: this was one; the result: is the connection to go on? */
static bool no_answer(struct connection *c, enum peer_fault fault, bool *done)
{
    static _Thread_local char page[65536];
    char head[256];
    *done = true;
    switch (fault) {
    case PEER_DROP_BEFORE:
        return false;
    case PEER_RESET: {
        const struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return false;
    }
    case PEER_HUGE_DECLARED:
        (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n{");
        (void)send_all(c, head, strlen(head));
        sleep_ms(c->peer, 300);
        return false;
    case PEER_ENDLESS:
    case PEER_500_ENDLESS:
        (void)snprintf(head, sizeof head, "HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n",
                       fault == PEER_ENDLESS ? "200 OK" : "500 Oh");
        (void)send_all(c, head, strlen(head));
        memset(page, ' ', sizeof page);
        for (int i = 0; i < 20000 && !atomic_load(&c->peer->stop); i++)
            if (!send_all(c, "10000\r\n", 7) || !send_all(c, page, sizeof page) || !send_all(c, "\r\n", 2))
                break;
        return false;
    case PEER_GARBAGE:
        return answer(c, "200 OK", "Content-Type: application/json\r\n", "\x01\xff{{\"", 5);
    case PEER_NOT_JSON:
        return answer(c, "200 OK", "Content-Type: text/html\r\n", "<html>hello</html>", 18);
    case PEER_DEEP_JSON:
        memset(page, '[', 4096);
        return answer(c, "200 OK", "", page, 4096);
    case PEER_NOT_HTTP:
        (void)send_all(c, "SSH-2.0-OpenSSH_9.2\r\n", 21);
        return false;
    case PEER_400:
        return problem(c, "400 Bad Request", "");
    case PEER_401:
        return problem(c, "401 Unauthorized", "");
    case PEER_404:
        return problem(c, "404 Not Found", "");
    case PEER_429:
        return problem(c, "429 Too Many Requests", "Retry-After: 1\r\n");
    case PEER_500:
        return problem(c, "500 Internal Server Error", "");
    case PEER_503:
        return problem(c, "503 Service Unavailable", "Retry-After: 1\r\n");
    case PEER_REDIRECT:
        return problem(c, "302 Found", "Location: http://198.51.100.1/\r\n");
    default:
        *done = false;
        return true;
    }
}

struct result {
    int rows;
    float y[MOST_ROWS][6], z[MOST_ROWS][PEER_Z];
};

static void compute(struct peer *peer, const float *x, int rows, enum peer_fault fault, struct result *r)
{
    r->rows = rows;
    for (int i = 0; i < rows; i++) {
        peer_toy(x + i * PEER_X, atomic_load(&peer->weights), r->y[i], r->z[i]);
        r->y[i][5] = 0;
        if (fault == PEER_NOT_FINITE)
            r->y[i][2] = NAN;
    }
    if (fault == PEER_WRONG_ROWS)
        r->rows--;
}

static void tensor_json(struct text *t, const char *name, const char *shape, const char *type, bool binary,
                        long bytes, const float *values, int n)
{
    char piece[256];
    (void)snprintf(piece, sizeof piece, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%s],", name, type,
                   shape);
    say(t, piece);
    if (binary) {
        (void)snprintf(piece, sizeof piece, "\"parameters\":{\"binary_data_size\":%ld}}", bytes);
        say(t, piece);
        return;
    }
    say(t, "\"data\":[");
    for (int i = 0; i < n; i++) {
        (void)snprintf(piece, sizeof piece, "%s%.9g", i == 0 ? "" : ",", (double)values[i]);
        say(t, piece);
    }
    say(t, "]}");
}

static void kserve_body(const struct result *r, enum peer_fault fault, bool binary, struct text *json,
                        struct text *bytes)
{
    const int width = fault == PEER_WRONG_SHAPE ? 6 : PEER_Y;
    const long change = fault == PEER_SHORT_TENSOR ? -4 : fault == PEER_LONG_TENSOR ? 4 : 0;
    char shape[64];
    float flat[MOST_ROWS * 6];
    for (int i = 0; i < r->rows; i++)
        memcpy(flat + i * width, r->y[i], (size_t)width * sizeof(float));
    say(json, "{\"id\":\"\",\"model_name\":\"");
    say(json, fault == PEER_WRONG_MODEL ? "other" : "toy");
    say(json, "\",\"model_version\":\"");
    say(json, fault == PEER_OTHER_VERSION ? "8" : "7");
    say(json, "\",\"outputs\":[");
    const char *type = fault == PEER_WRONG_TYPE ? "FP64" : "FP32";
    for (int k = 0; k < (fault == PEER_TWICE ? 2 : 1); k++) {
        (void)snprintf(shape, sizeof shape, "%d,%d", fault == PEER_HUGE_SHAPE ? 1000000000 : r->rows, width);
        tensor_json(json, fault == PEER_WRONG_NAME ? "why" : "y", shape, type, binary,
                    (long)r->rows * width * 4, flat, r->rows * width);
        add(bytes, flat, (size_t)(r->rows * width) * sizeof(float));
        if (fault != PEER_MISSING || k > 0)
            say(json, ",");
    }
    if (fault != PEER_MISSING) {
        (void)snprintf(shape, sizeof shape, "%d,2,2", r->rows);
        tensor_json(json, "z", shape, "FP32", binary, (long)r->rows * PEER_Z * 4 + change, r->z[0],
                    r->rows * PEER_Z);
        add(bytes, r->z, (size_t)(r->rows * PEER_Z) * sizeof(float));
    }
    say(json, "]}");
    if (!binary)
        bytes->size = 0;
    else if (change < 0)
        bytes->size -= 4;
    else if (change > 0)
        add(bytes, "abcd", 4);
}

static void rows_json(struct text *t, const float *values, int rows, int width, bool nested)
{
    char piece[64];
    say(t, "[");
    for (int i = 0; i < rows; i++) {
        say(t, i == 0 ? "[" : ",[");
        for (int k = 0; k < width; k++) {
            const char *open = nested && k % 2 == 0 ? "[" : "", *close = nested && k % 2 == 1 ? "]" : "";
            (void)snprintf(piece, sizeof piece, "%s%s%.9g%s", k == 0 ? "" : ",", open,
                           (double)values[i * width + k], close);
            if (isnan(values[i * width + k]))
                (void)snprintf(piece, sizeof piece, "%s%sNaN%s", k == 0 ? "" : ",", open, close);
            say(t, piece);
        }
        say(t, "]");
    }
    say(t, "]");
}

static void tfserving_body(const struct result *r, enum peer_fault fault, struct text *json)
{
    const int width = fault == PEER_WRONG_SHAPE ? 6 : PEER_Y;
    float flat[MOST_ROWS * 6];
    for (int i = 0; i < r->rows; i++)
        memcpy(flat + i * width, r->y[i], (size_t)width * sizeof(float));
    say(json, "{\n  \"outputs\": {\n    ");
    say(json, fault == PEER_WRONG_NAME ? "\"why\": " : "\"y\": ");
    if (fault == PEER_WRONG_TYPE)
        say(json, "\"text\"");
    else
        rows_json(json, flat, r->rows, width, false);
    if (fault != PEER_MISSING) {
        say(json, ",\n \"z\": ");
        rows_json(json, r->z[0], r->rows, PEER_Z, true);
    }
    say(json, "}\n}\n");
}

static bool send_result(struct connection *c, enum peer_fault fault, bool binary, struct text *json,
                        struct text *bytes)
{
    char head[512];
    const size_t size = json->size + bytes->size;
    int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n", size);
    if (binary)
        n += snprintf(head + n, sizeof head - (size_t)n, "Inference-Header-Content-Length: %zu\r\n",
                      fault == PEER_BAD_LENGTH ? size + 1000 : json->size);
    n += snprintf(head + n, sizeof head - (size_t)n, "%s\r\n",
                  c->peer->options.close_each ? "Connection: close\r\n" : "");
    add(json, bytes->data, bytes->size);
    if (fault == PEER_SLOW)
        sleep_ms(c->peer, 3000);
    if (!send_all(c, head, (size_t)n))
        return false;
    if (fault == PEER_DROP_MIDWAY) {
        (void)send_all(c, json->data, size / 2);
        return false;
    }
    for (size_t i = 0; fault == PEER_TRICKLE && i < 40 && !atomic_load(&c->peer->stop); i++) {
        if (!send_all(c, json->data + i, 1))
            return false;
        sleep_ms(c->peer, 100);
    }
    return fault != PEER_TRICKLE && send_all(c, json->data, size) && !c->peer->options.close_each;
}

static bool infer(struct connection *c, const struct call *call, bool kserve)
{
    static const char length_name[] = "\r\ninference-header-content-length:";
    struct peer *peer = c->peer;
    const char *length = strcasestr(call->head, length_name);
    float x[MOST_ROWS * PEER_X];
    struct text json = {0}, bytes = {0};
    struct result result;
    int left = atomic_load(&peer->left);
    enum peer_fault fault = left != 0 ? (enum peer_fault)atomic_load(&peer->fault) : PEER_WELL;
    bool done = false;
    if (left > 0)
        atomic_fetch_sub(&peer->left, 1);
    atomic_fetch_add(&peer->requests, 1);
    (void)pthread_mutex_lock(&peer->lock);
    (void)snprintf(peer->last_head, sizeof peer->last_head, "%s", call->head);
    (void)pthread_mutex_unlock(&peer->lock);
    bool go_on = no_answer(c, fault, &done);
    if (done)
        return go_on;
    if (length != NULL && peer->options.json_only)
        return problem(c, "400 Bad Request", "");
    int n = 0;
    if (length != NULL) {
        const size_t at = strtoul(length + sizeof length_name - 1, NULL, 10);
        n = (int)((call->size - at) / sizeof(float));
        n = n < MOST_ROWS * PEER_X ? n : MOST_ROWS * PEER_X;
        memcpy(x, call->body + at, (size_t)n * sizeof(float));
    } else {
        const char *data = strstr(call->body, kserve ? "\"data\":" : "\"x\":");
        n = data == NULL ? 0 : numbers(strchr(data, '['), x, MOST_ROWS * PEER_X);
    }
    if (n == 0 || n % PEER_X != 0 || (peer->options.most_rows != 0 && n / PEER_X > peer->options.most_rows))
        return problem(c, "400 Bad Request", "");
    compute(peer, x, n / PEER_X, fault, &result);
    if (kserve)
        kserve_body(&result, fault, length != NULL, &json, &bytes);
    else
        tfserving_body(&result, fault, &json);
    go_on = send_result(c, fault, length != NULL, &json, &bytes);
    free(json.data);
    free(bytes.data);
    return go_on;
}

static bool dispatch(struct connection *c, const struct call *call)
{
    static const char kserve[] = "{\"name\":\"toy\",\"versions\":[\"7\"],\"platform\":\"test\","
                                 "\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3,4]}],"
                                 "\"outputs\":[{\"name\":\"z\",\"datatype\":\"FP32\",\"shape\":[-1,2,2]},"
                                 "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1,5]}]}";
#define DIM(n) "{\"size\":\"" n "\",\"name\":\"\"}"
#define TENSOR(name, dims)                                                                                     \
    "\"" name "\":{\"dtype\":\"DT_FLOAT\",\"tensor_shape\":{\"dim\":[" dims "],\"unknown_rank\":false},"       \
    "\"name\":\"serving_default_" name ":0\"}"
    static const char tfserving[] =
        "{\"model_spec\":{\"name\":\"toy\",\"signature_name\":\"\",\"version\":\"7\"},\"metadata\":{"
        "\"signature_def\":"
        "{\"signature_def\":{\"serving_default\":{\"inputs\":{" TENSOR(
            "x", DIM("-1") "," DIM("3") "," DIM(
                     "4")) "},"
                           "\"outputs\":{" TENSOR("y", DIM("-1") "," DIM("5")) "," TENSOR(
                               "z", DIM("-1") "," DIM("2") "," DIM(
                                        "2")) "},"
                                              "\"method_name\":\"tensorflow/serving/predict\"}}}}}";
    const char *metadata = c->peer->options.metadata;
    if (strncmp(call->head, "GET /v2/models/toy ", 19) == 0)
        return answer(c, "200 OK", "", metadata != NULL ? metadata : kserve,
                      strlen(metadata != NULL ? metadata : kserve));
    if (strncmp(call->head, "GET /v1/models/toy/metadata ", 28) == 0)
        return answer(c, "200 OK", "", metadata != NULL ? metadata : tfserving,
                      strlen(metadata != NULL ? metadata : tfserving));
    if (strncmp(call->head, "POST /v2/models/toy/infer ", 26) == 0)
        return infer(c, call, true);
    if (strncmp(call->head, "POST /v1/models/toy:predict ", 28) == 0)
        return infer(c, call, false);
    return problem(c, "404 Not Found", "");
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct call call = {.body = NULL};
    bool good = true;
    if (c->peer->options.tls) {
        good = gnutls_init(&c->tls, GNUTLS_SERVER) == 0 && gnutls_set_default_priority(c->tls) == 0 &&
               gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, c->peer->credentials) == 0;
        if (good)
            gnutls_transport_set_int(c->tls, c->fd);
        int e = GNUTLS_E_AGAIN;
        while (good && e != 0 && gnutls_error_is_fatal(e) == 0)
            e = gnutls_handshake(c->tls);
        good = good && e == 0;
    }
    while (good && !atomic_load(&c->peer->stop)) {
        good = read_call(c, &call) && dispatch(c, &call);
        free(call.body);
        call.body = NULL;
    }
    if (c->tls != NULL)
        gnutls_deinit(c->tls);
    (void)pthread_mutex_lock(&c->peer->lock);
    (void)close(c->fd);
    c->over = true;
    (void)pthread_mutex_unlock(&c->peer->lock);
    atomic_fetch_sub(&c->peer->open, 1);
    return NULL;
}

/* -------------------------------------------------------------- lifecycle */

static void *accept_all(void *arg)
{
    struct peer *peer = arg;
    for (;;) {
        int fd = accept(peer->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        struct connection *c = NULL;
        (void)pthread_mutex_lock(&peer->lock);
        for (size_t i = 0; i < MOST_CONNECTIONS && c == NULL; i++)
            if (!peer->connections[i].used || peer->connections[i].over)
                c = &peer->connections[i];
        (void)pthread_mutex_unlock(&peer->lock);
        if (c == NULL) {
            (void)close(fd);
            continue;
        }
        if (c->used)
            (void)pthread_join(c->thread, NULL);
        atomic_fetch_add(&peer->taken, 1);
        const unsigned open = atomic_fetch_add(&peer->open, 1) + 1;
        if (open > atomic_load(&peer->most_open))
            atomic_store(&peer->most_open, open);
        (void)pthread_mutex_lock(&peer->lock);
        *c = (struct connection){.peer = peer, .fd = fd, .used = true};
        if (pthread_create(&c->thread, NULL, serve, c) != 0)
            abort();
        (void)pthread_mutex_unlock(&peer->lock);
    }
}

/* A certificate that signs itself, for 127.0.0.1. */
static bool make_credentials(struct peer *peer, const char *ca_file)
{
    static const unsigned char address[4] = {127, 0, 0, 1};
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t crt = NULL;
    gnutls_datum_t pem = {NULL, 0};
    bool made = gnutls_x509_privkey_init(&key) == 0 && gnutls_x509_crt_init(&crt) == 0 &&
                gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                             GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0 &&
                gnutls_x509_crt_set_version(crt, 3) == 0 && gnutls_x509_crt_set_key(crt, key) == 0 &&
                gnutls_x509_crt_set_serial(crt, "\1", 1) == 0 &&
                gnutls_x509_crt_set_activation_time(crt, time(NULL) - 3600) == 0 &&
                gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 86400) == 0 &&
                gnutls_x509_crt_set_dn(crt, "CN=127.0.0.1", NULL) == 0 &&
                gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, address, sizeof address,
                                                     GNUTLS_FSAN_SET) == 0 &&
                gnutls_x509_crt_set_basic_constraints(crt, 1, -1) == 0 &&
                gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) == 0 &&
                gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) == 0 &&
                gnutls_certificate_allocate_credentials(&peer->credentials) == 0 &&
                gnutls_certificate_set_x509_key(peer->credentials, &crt, 1, key) == 0;
    FILE *f = made ? fopen(ca_file, "we") : NULL;
    if (f != NULL) {
        (void)fwrite(pem.data, 1, pem.size, f);
        (void)fclose(f);
    }
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
    return f != NULL;
}

static bool listen_on(struct peer *peer)
{
    const int one = 1;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(peer->options.port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(peer->options.port)};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    struct sockaddr *address = peer->options.ipv6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t size = peer->options.ipv6 ? sizeof v6 : sizeof v4;
    peer->listener = socket(peer->options.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->listener < 0)
        return false;
    (void)setsockopt(peer->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(peer->listener, address, size) != 0 || listen(peer->listener, 64) != 0 ||
        getsockname(peer->listener, address, &size) != 0)
        return false;
    peer->port = ntohs(peer->options.ipv6 ? v6.sin6_port : v4.sin_port);
    return true;
}

struct peer *peer_start(const struct peer_options *options)
{
    struct peer *peer = calloc(1, sizeof *peer);
    peer->options = *options;
    atomic_store(&peer->weights, options->weights);
    (void)pthread_mutex_init(&peer->lock, NULL);
    if ((options->tls && !make_credentials(peer, options->ca_file)) || !listen_on(peer)) {
        free(peer);
        return NULL;
    }
    if (pthread_create(&peer->acceptor, NULL, accept_all, peer) != 0)
        abort();
    return peer;
}

void peer_stop(struct peer *peer)
{
    if (peer == NULL)
        return;
    atomic_store(&peer->stop, true);
    (void)shutdown(peer->listener, SHUT_RDWR);
    (void)pthread_join(peer->acceptor, NULL);
    (void)close(peer->listener);
    for (size_t i = 0; i < MOST_CONNECTIONS; i++) {
        struct connection *c = &peer->connections[i];
        if (!c->used)
            continue;
        (void)pthread_mutex_lock(&peer->lock);
        if (!c->over)
            (void)shutdown(c->fd, SHUT_RDWR);
        (void)pthread_mutex_unlock(&peer->lock);
        (void)pthread_join(c->thread, NULL);
    }
    if (peer->credentials != NULL)
        gnutls_certificate_free_credentials(peer->credentials);
    (void)pthread_mutex_destroy(&peer->lock);
    free(peer);
}

uint16_t peer_port(const struct peer *peer)
{
    return peer->port;
}

void peer_fail(struct peer *peer, enum peer_fault fault, int count)
{
    atomic_store(&peer->left, 0);
    atomic_store(&peer->fault, (int)fault);
    atomic_store(&peer->left, count);
}

void peer_set_weights(struct peer *peer, double weights)
{
    atomic_store(&peer->weights, weights);
}

uint32_t peer_requests(const struct peer *peer)
{
    return atomic_load(&peer->requests);
}

uint32_t peer_connections(const struct peer *peer)
{
    return atomic_load(&peer->taken);
}

uint32_t peer_most_open(const struct peer *peer)
{
    return atomic_load(&peer->most_open);
}

bool peer_head_has(struct peer *peer, const char *text)
{
    (void)pthread_mutex_lock(&peer->lock);
    const bool has = strcasestr(peer->last_head, text) != NULL;
    (void)pthread_mutex_unlock(&peer->lock);
    return has;
}
