#include "model/mirror_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>

enum { MAX_CUT = 32, NAME_ROOM = 128, STALL_SECONDS = 30 };

struct mirror_server {
    struct MHD_Daemon *daemon;
    char folder[256];
    char key[8192], certificate[8192];
    uint16_t port, plain_port;
    bool tls;
    atomic_uint requests;
    atomic_ullong bytes;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of the list of files that were cut or refused, a leaf */
    char cut[MAX_CUT][NAME_ROOM];
    unsigned times[MAX_CUT];
};

struct body {
    struct mirror_server *server;
    int fd;
    uint64_t start, size, cut_at; /* cut_at: offset of the file; UINT64_MAX = never */
    uint64_t flip;                /* offset of a byte to change; UINT64_MAX = none */
    bool all_other, stall, endless, one_more;
    uint64_t file_size;
};

/* How often this has been asked for before. */
static unsigned asked_before(struct mirror_server *s, const char *word, const char *file)
{
    char name[NAME_ROOM];
    unsigned before = 0;
    (void)snprintf(name, sizeof name, "%s/%s", word, file);
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < MAX_CUT; i++) {
        if (s->cut[i][0] != '\0' && strcmp(s->cut[i], name) != 0)
            continue;
        (void)snprintf(s->cut[i], sizeof s->cut[i], "%s", name);
        before = s->times[i]++;
        break;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return before;
}

static ssize_t read_body(void *arg, uint64_t at, char *out, size_t room)
{
    struct body *b = arg;
    const uint64_t offset = b->start + at;
    if (b->stall && at >= 10) {
        for (int i = 0; i < STALL_SECONDS * 20 && !atomic_load(&b->server->stopping); i++) {
            struct timespec t = {.tv_nsec = 50000000};
            (void)nanosleep(&t, NULL);
        }
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (offset >= b->cut_at)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (b->stall && room > 10)
        room = 10;
    if (b->cut_at != UINT64_MAX && room > b->cut_at - offset)
        room = (size_t)(b->cut_at - offset);
    if (room > 65536)
        room = 65536;
    ssize_t n = pread(b->fd, out, room, (off_t)offset);
    if (n <= 0 && (b->endless || b->one_more)) {
        memset(out, 'x', room);
        n = b->one_more ? 1 : (ssize_t)room;
    }
    if (n <= 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    for (ssize_t i = 0; i < n; i++)
        if (b->all_other || offset + (uint64_t)i == b->flip)
            out[i] = (char)(out[i] + 1);
    (void)atomic_fetch_add(&b->server->bytes, (unsigned long long)n);
    return n;
}

static void free_body(void *arg)
{
    struct body *b = arg;
    (void)close(b->fd);
    free(b);
}

static enum MHD_Result answer_empty(struct MHD_Connection *c, unsigned code, const char *location)
{
    static char nothing[1];
    struct MHD_Response *r = MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    if (location != NULL)
        (void)MHD_add_response_header(r, "Location", location);
    enum MHD_Result done = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result answer_file(struct mirror_server *s, struct MHD_Connection *c, const char *word,
                                   const char *file, struct body *b)
{
    char tag[64], range_text[96];
    unsigned long long start = 0;
    const bool ranges = strcmp(word, "norange") != 0;
    unsigned before = 0;
    if (strcmp(word, "drop") == 0 || strcmp(word, "changing") == 0 || strcmp(word, "stale") == 0) {
        before = asked_before(s, word, file);
        b->cut_at = before == 0 ? b->file_size / 2 : UINT64_MAX;
        b->all_other = before > 0 && strcmp(word, "changing") == 0;
        if (strcmp(word, "stale") == 0) /* the first half is another file's */
            b->all_other = before == 0;
    } else if (strcmp(word, "cut") == 0) {
        b->cut_at = b->file_size / 2;
    }
    b->stall = strcmp(word, "stall") == 0;
    b->flip = strcmp(word, "wrong") == 0 ? b->file_size / 2 : UINT64_MAX;
    b->one_more = strcmp(word, "longer") == 0;
    b->endless = strcmp(word, "endless") == 0;
    b->size = b->file_size + (b->one_more ? 1 : 0) - (strcmp(word, "shorter") == 0 ? 1 : 0);
    (void)snprintf(tag, sizeof tag, "\"%llu-%d\"", (unsigned long long)b->file_size,
                   strcmp(word, "changing") == 0 && before > 0);
    const char *asked = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    const char *if_range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-Range");
    unsigned code = 200;
    if (ranges && asked != NULL && sscanf(asked, "bytes=%llu-", &start) == 1 &&
        (if_range == NULL || strcmp(if_range, tag) == 0)) {
        if (start >= b->size) {
            free_body(b);
            return answer_empty(c, 416, NULL);
        }
        b->start = start;
        code = 206;
    }
    struct MHD_Response *r = MHD_create_response_from_callback(
        b->endless ? MHD_SIZE_UNKNOWN : b->size - b->start, 65536, read_body, b, free_body);
    if (r == NULL) {
        free_body(b);
        return MHD_NO;
    }
    if (ranges)
        (void)MHD_add_response_header(r, "ETag", tag);
    if (code == 206) {
        (void)snprintf(range_text, sizeof range_text, "bytes %llu-%llu/%llu", start,
                       (unsigned long long)b->size - 1, (unsigned long long)b->size);
        (void)MHD_add_response_header(r, "Content-Range", range_text);
    }
    enum MHD_Result done = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state)
{
    struct mirror_server *s = arg;
    char word[32] = "", file[NAME_ROOM] = "", path[512], location[256];
    (void)method;
    (void)version;
    (void)upload;
    (void)upload_size;
    static int begun;
    if (*state == NULL) {
        *state = &begun;
        return MHD_YES;
    }
    (void)atomic_fetch_add(&s->requests, 1);
    const char *scheme = strstr(url, "://");
    if (scheme != NULL) /* as a proxy is asked */
        url = strchr(scheme + 3, '/');
    if (url == NULL || sscanf(url, "/%31[a-z]/%127[A-Za-z0-9_.-]", word, file) != 2 || file[0] == '.')
        return answer_empty(c, 404, NULL);
    if (strcmp(word, "away") == 0)
        return answer_empty(c, 404, NULL);
    if (strcmp(word, "empty") == 0)
        return answer_empty(c, 200, NULL);
    if (strcmp(word, "busy") == 0 && asked_before(s, word, file) < 2)
        return answer_empty(c, 503, NULL);
    if (strcmp(word, "hop") == 0 || strcmp(word, "loop") == 0 || strcmp(word, "plain") == 0) {
        bool plain = strcmp(word, "plain") == 0;
        (void)snprintf(location, sizeof location, "%s://127.0.0.1:%u/%s/%s",
                       s->tls && !plain ? "https" : "http", plain ? s->plain_port : s->port,
                       strcmp(word, "loop") == 0 ? "loop" : "ok", file);
        return answer_empty(c, 302, location);
    }
    (void)snprintf(path, sizeof path, "%s/%s", s->folder, file);
    struct stat st;
    struct body *b = calloc(1, sizeof *b);
    if (b == NULL)
        return MHD_NO;
    *b = (struct body){.server = s, .fd = open(path, O_RDONLY | O_CLOEXEC), .cut_at = UINT64_MAX};
    if (b->fd < 0 || fstat(b->fd, &st) != 0) {
        free(b);
        return answer_empty(c, 404, NULL);
    }
    b->file_size = (uint64_t)st.st_size;
    return answer_file(s, c, word, file, b);
}

/* A certificate that signs itself, for 127.0.0.1. */
static bool make_certificate(struct mirror_server *s, const char *ca_file)
{
    static const unsigned char address[] = {127, 0, 0, 1};
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t crt = NULL;
    size_t key_size = sizeof s->key, crt_size = sizeof s->certificate;
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
                gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, s->key, &key_size) == 0 &&
                gnutls_x509_crt_export(crt, GNUTLS_X509_FMT_PEM, s->certificate, &crt_size) == 0;
    if (crt != NULL)
        gnutls_x509_crt_deinit(crt);
    if (key != NULL)
        gnutls_x509_privkey_deinit(key);
    if (!made)
        return false;
    s->key[key_size < sizeof s->key ? key_size : sizeof s->key - 1] = '\0';
    s->certificate[crt_size < sizeof s->certificate ? crt_size : sizeof s->certificate - 1] = '\0';
    FILE *f = fopen(ca_file, "we");
    if (f == NULL)
        return false;
    (void)fputs(s->certificate, f);
    return fclose(f) == 0;
}

struct mirror_server *mirror_start(const char *folder, bool tls, const char *ca_file)
{
    struct mirror_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)snprintf(s->folder, sizeof s->folder, "%s", folder);
    s->tls = tls;
    if (tls && !make_certificate(s, ca_file)) {
        free(s);
        return NULL;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | (tls ? MHD_USE_TLS : 0);
    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, answer, s, MHD_OPTION_SOCK_ADDR,
                                 (struct sockaddr *)&address, tls ? MHD_OPTION_HTTPS_MEM_KEY : MHD_OPTION_END,
                                 s->key, MHD_OPTION_HTTPS_MEM_CERT, s->certificate, MHD_OPTION_END);
    if (s->daemon == NULL) {
        free(s);
        return NULL;
    }
    s->port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return s;
}

void mirror_stop(struct mirror_server *server)
{
    if (server == NULL)
        return;
    atomic_store(&server->stopping, true);
    MHD_stop_daemon(server->daemon);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

uint16_t mirror_port(const struct mirror_server *server)
{
    return server->port;
}

void mirror_set_plain_port(struct mirror_server *server, uint16_t port)
{
    server->plain_port = port;
}

uint32_t mirror_requests(const struct mirror_server *server)
{
    return atomic_load(&server->requests);
}

uint64_t mirror_bytes(const struct mirror_server *server)
{
    return atomic_load(&server->bytes);
}

void mirror_reset(struct mirror_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    memset(server->cut, 0, sizeof server->cut);
    memset(server->times, 0, sizeof server->times);
    (void)pthread_mutex_unlock(&server->lock);
    atomic_store(&server->requests, 0);
    atomic_store(&server->bytes, 0);
}
