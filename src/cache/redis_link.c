#include "cache/redis_link.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"

enum { READ_BYTES = 16384, MAX_OUT_BYTES = 4 << 20 };

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

struct frt_redis_link {
    int fd;
    struct frt_redis_tls_session *tls; /* NULL: none */
    redisReader *reader;
    redisReplyObjectFunctions functions; /* hiredis' own, but for lists, which have a limit */
    void *(*make_list)(const redisReadTask *task, element_count n);
    struct frt_buf out;
    size_t sent;     /* of `out` */
    size_t unparsed; /* bytes since the last whole reply */
    size_t owed;
};

/* ------------------------------------------------------------------ socket */

static enum frt_status wait_for(const struct frt_redis_link *link, short events, int64_t deadline_ns)
{
    struct pollfd p = {.fd = link->fd, .events = events};
    for (;;) {
        const int64_t left = deadline_ns - frt_now_ns();
        if (left <= 0)
            return FRT_ETIMEOUT;
        const struct timespec t = {.tv_sec = left / 1000000000, .tv_nsec = (long)(left % 1000000000)};
        const int n = ppoll(&p, 1, &t, NULL);
        if (n > 0)
            return FRT_OK;
        if (n < 0 && errno != EINTR)
            return FRT_EUNAVAILABLE;
    }
}

static ssize_t read_some(struct frt_redis_link *link, void *out, size_t size)
{
    if (link->tls != NULL)
        return frt_redis_tls_read(link->tls, out, size);
    return recv(link->fd, out, size, 0);
}

static ssize_t write_some(struct frt_redis_link *link, const void *bytes, size_t size)
{
    if (link->tls != NULL)
        return frt_redis_tls_write(link->tls, bytes, size);
    return send(link->fd, bytes, size, MSG_NOSIGNAL);
}

static bool not_now(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Connects a socket; FRT_ETIMEOUT, or FRT_EUNAVAILABLE with errno. */
static enum frt_status connect_to(struct frt_redis_link *link, int family, const struct sockaddr *address,
                                  socklen_t size, int64_t deadline_ns)
{
    int why = 0, on = 1;
    socklen_t why_size = sizeof why;
    link->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return FRT_EUNAVAILABLE;
    if (family != AF_UNIX)
        (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    enum frt_status status = FRT_OK;
    if (connect(link->fd, address, size) != 0) {
        status = errno == EINPROGRESS ? wait_for(link, POLLOUT, deadline_ns) : FRT_EUNAVAILABLE;
        if (status == FRT_OK && getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &why, &why_size) == 0 && why != 0) {
            errno = why;
            status = FRT_EUNAVAILABLE;
        }
    }
    if (status != FRT_OK) {
        why = errno;
        (void)close(link->fd);
        link->fd = -1;
        errno = why;
    }
    return status;
}

static enum frt_status said_why(enum frt_status status, const struct frt_redis_host *host,
                                struct frt_error *err)
{
    char text[FRT_REDIS_TEXT_SIZE];
    if (status == FRT_OK)
        return status;
    return frt_fail(err, status, "%s: %s", frt_redis_host_text(host, text),
                    status == FRT_ETIMEOUT ? "no answer in time" : strerror(errno));
}

static enum frt_status connect_socket(struct frt_redis_link *link, const struct frt_redis_host *host,
                                      int64_t deadline_ns, struct frt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(host->name) >= sizeof address.sun_path)
        return frt_fail(err, FRT_EUNAVAILABLE, "the path of the socket is too long");
    memcpy(address.sun_path, host->name, strlen(host->name) + 1);
    return said_why(
        connect_to(link, AF_UNIX, (const struct sockaddr *)(const void *)&address, sizeof address, deadline_ns),
        host, err);
}

static enum frt_status connect_host(struct frt_redis_link *link, const struct frt_redis_host *host,
                                    int64_t deadline_ns, struct frt_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", host->port);
    const int why = getaddrinfo(host->name, port, &hints, &list);
    if (why != 0)
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: %s", host->name, gai_strerror(why));
    enum frt_status status = FRT_EUNAVAILABLE;
    errno = EHOSTUNREACH;
    for (const struct addrinfo *a = list; a != NULL && status != FRT_OK; a = a->ai_next)
        status = connect_to(link, a->ai_family, a->ai_addr, a->ai_addrlen, deadline_ns);
    const int last = errno;
    freeaddrinfo(list);
    errno = last;
    return said_why(status, host, err);
}

static enum frt_status shake_hands(struct frt_redis_link *link, int64_t deadline_ns, struct frt_error *err)
{
    short events = 0;
    enum frt_status status;
    while ((status = frt_redis_tls_shake(link->tls, &events, err)) == FRT_ETIMEOUT) {
        status = wait_for(link, events, deadline_ns);
        if (status != FRT_OK)
            return frt_fail(err, status, "TLS: no answer in time");
    }
    return status;
}

/* -------------------------------------------------------------------- life */

/* A list's room is made before its elements come: whoever announces too many is not believed. */
static void *make_list(const redisReadTask *task, element_count n)
{
    const struct frt_redis_link *link = task->privdata;
    return (size_t)n > FRT_REDIS_MAX_ELEMENTS ? NULL : link->make_list(task, n);
}

enum frt_status frt_redis_link_open(const struct frt_redis_host *host, struct frt_redis_tls *tls,
                                    int64_t deadline_ns, struct frt_redis_link **out, struct frt_error *err)
{
    struct frt_redis_link *link = frt_alloc_zero(1, sizeof *link);
    if (link == NULL)
        return frt_fail_nomem(err, "a connection to Redis");
    link->fd = -1;
    frt_buf_init(&link->out, MAX_OUT_BYTES);
    enum frt_status status = FRT_OK;
    link->reader = redisReaderCreate();
    if (link->reader == NULL) {
        status = frt_fail_nomem(err, "a connection to Redis");
    } else {
        link->functions = *link->reader->fn;
        link->make_list = link->functions.createArray;
        link->functions.createArray = make_list;
        link->reader->fn = &link->functions;
        link->reader->privdata = link;
    }
    if (status == FRT_OK)
        status = host->port == 0 ? connect_socket(link, host, deadline_ns, err)
                                 : connect_host(link, host, deadline_ns, err);
    if (status == FRT_OK && tls != NULL)
        status = frt_redis_tls_start(tls, link->fd, host->name, &link->tls, err);
    if (status == FRT_OK && tls != NULL)
        status = shake_hands(link, deadline_ns, err);
    if (status == FRT_OK)
        *out = link;
    else
        frt_redis_link_close(link);
    return status;
}

void frt_redis_link_close(struct frt_redis_link *link)
{
    if (link == NULL)
        return;
    frt_redis_tls_end(link->tls);
    if (link->fd >= 0)
        (void)close(link->fd);
    if (link->reader != NULL)
        redisReaderFree(link->reader);
    frt_buf_deinit(&link->out);
    frt_free(link);
}

bool frt_redis_link_is_quiet(struct frt_redis_link *link)
{
    char byte;
    return read_some(link, &byte, 1) < 0 && not_now();
}

/* ---------------------------------------------------------------- commands */

void frt_redis_word_bytes(struct frt_redis_command *command, const void *bytes, size_t size)
{
    command->words[command->n].bytes = bytes;
    command->words[command->n++].size = size;
}

void frt_redis_word(struct frt_redis_command *command, const char *text)
{
    frt_redis_word_bytes(command, text, strlen(text));
}

void frt_redis_word_int(struct frt_redis_command *command, int64_t number, char text[24])
{
    (void)snprintf(text, 24, "%lld", (long long)number);
    frt_redis_word(command, text);
}

enum frt_status frt_redis_link_ask(struct frt_redis_link *link, const struct frt_redis_command *command,
                                   struct frt_error *err)
{
    const char *words[FRT_REDIS_MAX_WORDS];
    size_t sizes[FRT_REDIS_MAX_WORDS];
    char *text = NULL;
    for (size_t i = 0; i < command->n; i++) {
        words[i] = command->words[i].bytes;
        sizes[i] = command->words[i].size;
    }
    const long long n = redisFormatCommandArgv(&text, (int)command->n, words, sizes);
    if (n < 0)
        return frt_fail_nomem(err, "a command to Redis");
    frt_buf_append(&link->out, text, (size_t)n);
    redisFreeCommand(text);
    if (frt_buf_status(&link->out) != FRT_OK)
        return frt_fail_nomem(err, "a command to Redis");
    link->owed++;
    return FRT_OK;
}

/* ----------------------------------------------------------------- replies */

static enum frt_status broke(const char *why, struct frt_error *err)
{
    return frt_fail(err, FRT_EUNAVAILABLE, "the connection broke: %s", why);
}

static enum frt_status late(struct frt_error *err)
{
    return frt_fail(err, FRT_ETIMEOUT, "no answer in time");
}

static enum frt_status flush(struct frt_redis_link *link, int64_t deadline_ns, struct frt_error *err)
{
    while (link->sent < link->out.size) {
        const ssize_t n = write_some(link, link->out.data + link->sent, link->out.size - link->sent);
        if (n > 0) {
            link->sent += (size_t)n;
        } else if (n < 0 && not_now()) {
            const enum frt_status status = wait_for(link, POLLOUT, deadline_ns);
            if (status != FRT_OK)
                return status == FRT_ETIMEOUT ? late(err) : broke(strerror(errno), err);
        } else {
            return broke(strerror(errno), err);
        }
    }
    frt_buf_clear(&link->out);
    link->sent = 0;
    return FRT_OK;
}

/* What has come, if anything; *some says whether. */
static enum frt_status receive(struct frt_redis_link *link, bool *some, struct frt_error *err)
{
    char bytes[READ_BYTES];
    const ssize_t n = read_some(link, bytes, sizeof bytes);
    *some = n > 0;
    if (n == 0)
        return broke("it was closed", err);
    if (n < 0)
        return not_now() ? FRT_OK : broke(strerror(errno), err);
    link->unparsed += (size_t)n;
    if (link->unparsed > FRT_REDIS_MAX_REPLY_BYTES)
        return broke("a reply is too large", err);
    if (redisReaderFeed(link->reader, bytes, (size_t)n) != REDIS_OK)
        return broke(link->reader->errstr, err);
    return FRT_OK;
}

enum frt_status frt_redis_link_next(struct frt_redis_link *link, int64_t deadline_ns,
                                    struct frt_redis_reply **out, struct frt_error *err)
{
    void *reply = NULL;
    enum frt_status status = flush(link, deadline_ns, err);
    while (status == FRT_OK) {
        bool some = false;
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK)
            return broke("what came is no reply", err); /* what the reader says holds bytes of the peer */
        if (reply != NULL)
            break;
        status = receive(link, &some, err);
        if (status == FRT_OK && !some) {
            status = wait_for(link, POLLIN, deadline_ns);
            if (status != FRT_OK)
                return status == FRT_ETIMEOUT ? late(err) : broke(strerror(errno), err);
        }
    }
    if (status != FRT_OK)
        return status;
    link->unparsed = link->reader->len - link->reader->pos;
    if (link->owed == 0) {
        freeReplyObject(reply);
        return broke("a reply came that nobody had asked for", err);
    }
    link->owed--;
    *out = reply;
    return FRT_OK;
}

size_t frt_redis_link_owed(const struct frt_redis_link *link)
{
    return link->owed;
}

/* A struct frt_redis_reply is hiredis' own, seen from outside. */
static const redisReply *inside(const struct frt_redis_reply *reply)
{
    return (const redisReply *)(const void *)reply;
}

void frt_redis_reply_free(struct frt_redis_reply *reply)
{
    freeReplyObject(reply); /* NULL is fine */
}

enum frt_redis_kind frt_redis_reply_kind(const struct frt_redis_reply *reply)
{
    switch (inside(reply)->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return FRT_REDIS_TEXT;
    case REDIS_REPLY_INTEGER:
        return FRT_REDIS_WHOLE;
    case REDIS_REPLY_ARRAY:
        return FRT_REDIS_LIST;
    case REDIS_REPLY_ERROR:
        return FRT_REDIS_ERROR;
    default:
        return FRT_REDIS_NIL;
    }
}

const char *frt_redis_reply_text(const struct frt_redis_reply *reply, size_t *size)
{
    const enum frt_redis_kind kind = frt_redis_reply_kind(reply);
    const bool text = kind == FRT_REDIS_TEXT || kind == FRT_REDIS_ERROR;
    if (size != NULL)
        *size = text ? (size_t)inside(reply)->len : 0;
    return text ? inside(reply)->str : "";
}

int64_t frt_redis_reply_whole(const struct frt_redis_reply *reply)
{
    return frt_redis_reply_kind(reply) == FRT_REDIS_WHOLE ? inside(reply)->integer : 0;
}

size_t frt_redis_reply_count(const struct frt_redis_reply *reply)
{
    return frt_redis_reply_kind(reply) == FRT_REDIS_LIST ? inside(reply)->elements : 0;
}

const struct frt_redis_reply *frt_redis_reply_at(const struct frt_redis_reply *reply, size_t i)
{
    return (const struct frt_redis_reply *)(const void *)inside(reply)->element[i];
}

bool frt_redis_reply_is_error(const struct frt_redis_reply *reply, const char *word)
{
    const size_t n = strlen(word);
    const char *text = frt_redis_reply_text(reply, NULL);
    return frt_redis_reply_kind(reply) == FRT_REDIS_ERROR && strncmp(text, word, n) == 0 &&
           (text[n] == ' ' || text[n] == '\0');
}
