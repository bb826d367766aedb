#include "load/load_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    DIGITS = 16,
    OPENING = 6 + DIGITS, /* FFD8, FFFE 0012, the digits: how a unique JPEG begins */
    HEAD_MAX = 4096,
    RECEIVE_SIZE = 256 * 1024,
    SEND_BUFFER = 1024 * 1024,
    CONNECTING_MAX = 64,
    EVENTS = 256,
    REFUSED_MAX = 1000 /* then nobody listens there any more */
};

static const int64_t second_ns = 1000000000, sweep_ns = 100000000;

enum state { CLOSED, CONNECTING, IDLE, BUSY };

struct conn {
    int fd;
    enum state state;
    bool has_work;    /* while CONNECTING: send `request` when through */
    bool counts;      /* against the report */
    bool close_after; /* the peer said so */
    uint16_t status;  /* of the answer whose head was read; 0: none yet */
    uint32_t served;
    uint32_t head_size;
    char *head; /* HEAD_MAX bytes for a head that came in pieces; NULL until one does */
    const struct load_request *request;
    struct iovec parts[3];
    size_t unsent; /* bytes of the request */
    uint64_t body_left;
    int64_t since_ns; /* when it was due */
    char opening[OPENING];
};

struct load {
    const struct load_options *options;
    struct load_report *report;
    struct sockaddr_storage address;
    socklen_t address_size;
    int epoll;
    struct conn *conns;
    uint32_t n_conns, n_used; /* conns[n_used …] were never opened */
    uint32_t n_connecting, n_busy, n_done;
    uint32_t *idle; /* stack of numbers: open and without work, or closed */
    uint32_t n_idle;
    uint64_t started;
    uint64_t next_tag;
    int64_t start_ns, measure_ns, end_ns; /* end_ns INT64_MAX: by count */
    int64_t timeout_ns, deadline_ns, last_ns;
    bool stopping; /* nothing more is begun */
    char *buffer;
};

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * second_ns + t.tv_nsec;
}

static void *take(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fputs("load: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* ---------------------------------------------------------------- requests */

static bool is_jpeg(const struct load_request *request)
{
    const uint8_t *bytes = request->body;
    return request->body_size > 2 && bytes[0] == 0xff && bytes[1] == 0xd8;
}

void load_request_init(struct load_request *request, const char *method, const char *target,
                       const char *headers, const void *body, size_t body_size, bool unique)
{
    char length[64] = "";
    *request = (struct load_request){.body = body, .body_size = body_size, .unique = unique && body != NULL};
    size_t extra = !request->unique ? 0 : is_jpeg(request) ? OPENING - 2 : DIGITS;
    if (body != NULL)
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", body_size + extra);
    int n = asprintf(&request->head, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n", method, target,
                     headers != NULL ? headers : "", length);
    if (n < 0) {
        fputs("load: out of memory\n", stderr);
        exit(1);
    }
    request->head_size = (size_t)n;
}

void load_request_deinit(struct load_request *request)
{
    free(request->head);
    request->head = NULL;
}

/* Which bytes to send, as pointers; the digits are the only ones written. */
static void lay_out(struct load *load, struct conn *conn, const struct load_request *request)
{
    uint8_t *body = (uint8_t *)(uintptr_t)request->body; /* an iovec knows no const; sendmsg only reads */
    struct iovec *parts = conn->parts;
    conn->request = request;
    parts[0] = (struct iovec){.iov_base = request->head, .iov_len = request->head_size};
    parts[1] = (struct iovec){.iov_base = body, .iov_len = request->body_size};
    parts[2] = (struct iovec){0};
    if (request->unique) {
        static const char digits[] = "0123456789abcdef";
        static const uint8_t start[] = {0xff, 0xd8, 0xff, 0xfe, 0, DIGITS + 2};
        uint64_t tag = load->next_tag++;
        memcpy(conn->opening, start, sizeof start);
        for (size_t i = OPENING; i-- > OPENING - DIGITS; tag >>= 4)
            conn->opening[i] = digits[tag & 15];
        if (is_jpeg(request)) {
            parts[1] = (struct iovec){.iov_base = conn->opening, .iov_len = OPENING};
            parts[2] = (struct iovec){.iov_base = body + 2, .iov_len = request->body_size - 2};
        } else {
            parts[2] = (struct iovec){.iov_base = conn->opening + OPENING - DIGITS, .iov_len = DIGITS};
        }
    }
    if (request->ending == LOAD_HANG_UP_HALF) {
        parts[1].iov_len /= 2;
        parts[2].iov_len = 0;
    }
    conn->unsent = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
}

/* ------------------------------------------------------------- connections */

static void set_idle(struct load *load, struct conn *conn)
{
    load->idle[load->n_idle++] = (uint32_t)(conn - load->conns);
}

static void shut(struct load *load, struct conn *conn, bool abruptly)
{
    if (conn->state == CLOSED)
        return;
    if (abruptly) { /* a reset: leaves no TIME_WAIT behind, of which there would be thousands */
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    if (conn->state == CONNECTING)
        load->n_connecting--;
    (void)close(conn->fd);
    conn->fd = -1;
    conn->state = CLOSED;
}

/* Begin to connect; false when that fails at once. */
static bool open_conn(struct load *load, struct conn *conn)
{
    int one = 1, size = SEND_BUFFER;
    conn->fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return false;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = conn};
    if ((connect(conn->fd, (struct sockaddr *)&load->address, load->address_size) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        (void)close(conn->fd);
        conn->fd = -1;
        return false;
    }
    conn->state = CONNECTING;
    conn->served = 0;
    load->n_connecting++;
    return true;
}

static void next_of(struct load *load, struct conn *conn);

/* The request is over, however it ended: `counter` or a status says how. */
static void finish(struct load *load, struct conn *conn, uint16_t status, uint64_t *counter)
{
    struct load_report *report = load->report;
    int64_t now = now_ns();
    bool counts = conn->counts;
    load->n_busy--;
    load->last_ns = now;
    conn->has_work = false;
    if (conn->state == BUSY)
        conn->state = IDLE;
    if (load->options->rate <= 0 && (now < load->measure_ns || now >= load->end_ns))
        counts = false;
    if (!counts)
        return;
    if (counter != NULL) {
        (*counter)++;
        return;
    }
    report->by_status[status]++;
    if (status < 200 || status >= 300) {
        load_histogram_add(&report->refused, now - conn->since_ns);
        return;
    }
    load_histogram_add(&report->accepted, now - conn->since_ns);
    if (load->deadline_ns > 0 && now - conn->since_ns > load->deadline_ns)
        report->late++;
    else
        report->ok++;
}

/* The connection broke, or is to break. */
static void lose(struct load *load, struct conn *conn, uint64_t *counter, bool abruptly)
{
    bool worked = conn->has_work || conn->state == BUSY;
    shut(load, conn, abruptly);
    if (worked) {
        finish(load, conn, 0, counter);
        next_of(load, conn);
    }
}

/* -------------------------------------------------------------- one answer */

/* Head of `size` bytes with its blank line; false when it is no answer that we can read. */
static bool read_head(struct conn *conn, const char *head, size_t size)
{
    const char *end = head + size;
    bool has_length = false;
    if (size < 15 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ')
        return false;
    int status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0');
    if (status < 200 || status > 599)
        return false;
    conn->close_after = head[7] == '0';
    conn->body_left = 0;
    for (const char *line = memchr(head, '\n', size); line != NULL && ++line < end - 2;
         line = memchr(line, '\n', (size_t)(end - line))) {
        if ((*line | 0x20) != 'c')
            continue;
        if (strncasecmp(line, "content-length:", 15) == 0) {
            conn->body_left = strtoull(line + 15, NULL, 10);
            has_length = true;
        } else if (strncasecmp(line, "connection:", 11) == 0) {
            const char *value = line + 11 + strspn(line + 11, " ");
            conn->close_after = strncasecmp(value, "close", 5) == 0;
        }
    }
    conn->status = (uint16_t)status;
    return has_length || status == 204 || status == 304;
}

enum progress { NOT_YET, COMPLETE, BROKEN };

/* Take `size` received bytes. */
static enum progress digest(struct conn *conn, const char *bytes, size_t size)
{
    if (conn->status == 0) {
        const char *head = bytes;
        size_t head_size = size, before = conn->head_size;
        if (before > 0 || memmem(bytes, size, "\r\n\r\n", 4) == NULL) {
            size_t more = size < HEAD_MAX - 1 - before ? size : HEAD_MAX - 1 - before;
            if (conn->head == NULL)
                conn->head = take(1, HEAD_MAX);
            memcpy(conn->head + before, bytes, more);
            head = conn->head;
            head_size = before + more;
            conn->head_size = (uint32_t)head_size;
        }
        const char *blank = memmem(head, head_size, "\r\n\r\n", 4);
        if (blank == NULL)
            return head_size >= HEAD_MAX - 1 ? BROKEN : NOT_YET;
        size_t head_end = (size_t)(blank - head) + 4;
        conn->head_size = 0;
        if (!read_head(conn, head, head_end))
            return BROKEN;
        size -= head_end - before;
    }
    if (size > conn->body_left)
        return BROKEN;
    conn->body_left -= size;
    return conn->body_left == 0 ? COMPLETE : NOT_YET;
}

static void receive(struct load *load, struct conn *conn)
{
    while (conn->state == BUSY) {
        ssize_t n = recv(conn->fd, load->buffer, RECEIVE_SIZE, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            lose(load, conn, &load->report->cut, false);
            return;
        }
        load->report->received_bytes += (uint64_t)n;
        enum progress progress = digest(conn, load->buffer, (size_t)n);
        if (progress == BROKEN) {
            lose(load, conn, &load->report->malformed, true);
        } else if (progress == COMPLETE) {
            conn->served++;
            if (conn->close_after || conn->unsent > 0) /* an answer before the end of the question */
                shut(load, conn, conn->unsent > 0);
            finish(load, conn, conn->status, NULL);
            next_of(load, conn);
            return;
        }
    }
}

/* ------------------------------------------------------------- one request */

static void send_more(struct load *load, struct conn *conn)
{
    while (conn->unsent > 0) {
        struct msghdr message = {.msg_iov = conn->parts, .msg_iovlen = 3};
        ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) { /* an answer may lie there all the same */
            receive(load, conn);
            return;
        }
        size_t sent = (size_t)n;
        load->report->sent_bytes += sent;
        conn->unsent -= sent;
        for (size_t i = 0; i < 3 && sent > 0; i++) {
            size_t part = sent < conn->parts[i].iov_len ? sent : conn->parts[i].iov_len;
            conn->parts[i].iov_base = (char *)conn->parts[i].iov_base + part;
            conn->parts[i].iov_len -= part;
            sent -= part;
        }
    }
    if (conn->request->ending != LOAD_READ)
        lose(load, conn, &load->report->hung_up, conn->request->ending == LOAD_HANG_UP_SENT);
}

static void begin(struct load *load, struct conn *conn, int64_t due_ns)
{
    lay_out(load, conn, &load->options->requests[load->started % load->options->n_requests]);
    load->started++;
    load->n_busy++;
    conn->since_ns = due_ns;
    conn->counts = load->options->rate <= 0 || due_ns >= load->measure_ns;
    conn->status = 0;
    conn->head_size = 0;
    conn->has_work = true;
    if (conn->state == CLOSED && !open_conn(load, conn)) {
        finish(load, conn, 0, &load->report->refused_connects);
        load->stopping = load->report->refused_connects > REFUSED_MAX;
        set_idle(load, conn);
    } else if (conn->state == IDLE) {
        conn->state = BUSY;
        send_more(load, conn);
    }
}

static bool all_begun(const struct load *load, int64_t now)
{
    return load->stopping || now >= load->end_ns ||
           (load->options->count > 0 && load->started >= load->options->count);
}

/* When request number `started` is due (open loop). */
static int64_t due_ns(const struct load *load)
{
    return load->start_ns + (int64_t)((double)load->started * 1e9 / load->options->rate);
}

/* A connection without work: its next request, if there is one. */
static void next_of(struct load *load, struct conn *conn)
{
    const struct load_options *options = load->options;
    if (options->per_connection > 0 && conn->served >= options->per_connection) {
        load->n_done++;
        return;
    }
    if (options->rate <= 0 && !all_begun(load, now_ns()))
        begin(load, conn, now_ns());
    else
        set_idle(load, conn); /* dispatch, after every round of events, hands out what is due */
}

/* The listener's queue is finite. Connections for their own sake come no faster than they are answered. */
static bool may_open(const struct load *load)
{
    uint32_t pending = load->options->per_connection > 0 ? load->n_busy : load->n_connecting;
    return load->n_used < load->n_conns && pending < CONNECTING_MAX;
}

/* Hand out what is due (open loop) or everything (closed loop) to idle and to fresh connections. */
static void dispatch(struct load *load)
{
    const struct load_options *options = load->options;
    int64_t now = now_ns();
    while (!all_begun(load, now)) {
        int64_t due = options->rate > 0 ? due_ns(load) : now;
        struct conn *conn = NULL;
        if (due > now || due >= load->end_ns)
            return;
        if (load->n_idle > 0)
            conn = &load->conns[load->idle[--load->n_idle]];
        else if (may_open(load))
            conn = &load->conns[load->n_used++];
        if (conn != NULL) {
            begin(load, conn, due);
        } else if (options->rate > 0 && now - due > load->timeout_ns) {
            load->report->unsent += due >= load->measure_ns;
            load->started++;
        } else {
            return;
        }
        now = now_ns();
    }
}

/* ---------------------------------------------------------------- the loop */

static void handle(struct load *load, struct conn *conn, uint32_t events)
{
    if (conn->state == CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        int failure = 0;
        socklen_t size = sizeof failure;
        if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0 || failure != 0) {
            lose(load, conn, &load->report->refused_connects, false);
            return;
        }
        load->n_connecting--;
        conn->state = conn->has_work ? BUSY : IDLE;
    }
    if (conn->state == BUSY && conn->unsent > 0 && (events & EPOLLOUT) != 0)
        send_more(load, conn);
    if (conn->state == BUSY && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        receive(load, conn);
    else if (conn->state == IDLE && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        shut(load, conn, false); /* its number stays in `idle`; the next request opens it anew */
}

/* Close what waits for too long. */
static void sweep(struct load *load, int64_t now)
{
    for (uint32_t i = 0; i < load->n_used; i++) {
        struct conn *conn = &load->conns[i];
        if ((conn->state == BUSY || conn->has_work) && now - conn->since_ns > load->timeout_ns)
            lose(load, conn, &load->report->timeouts, true);
    }
}

static int wait_for_events(struct load *load, struct epoll_event *events, int64_t until_ns)
{
    int64_t left = until_ns - now_ns();
    struct timespec timeout = {.tv_sec = 0, .tv_nsec = left > 0 ? left : 0}; /* until_ns is near: sweep_ns */
    int n = epoll_pwait2(load->epoll, events, EVENTS, &timeout, NULL);
    if (n < 0 && errno == ENOSYS)
        n = epoll_wait(load->epoll, events, EVENTS, (int)((left > 0 ? left : 0) / 1000000));
    return n < 0 ? 0 : n;
}

static bool is_over(const struct load *load, int64_t now)
{
    const struct load_options *options = load->options;
    if (options->per_connection > 0 && load->n_done == load->n_conns)
        return true;
    if (load->n_busy > 0 || !all_begun(load, now))
        return false;
    return true;
}

static void loop(struct load *load, int64_t hold_until)
{
    const struct load_options *options = load->options;
    int64_t swept = now_ns(), ticked = swept;
    struct epoll_event events[EVENTS];
    for (;;) {
        int64_t now = now_ns();
        if (hold_until > 0 ? now >= hold_until : is_over(load, now))
            return;
        if (now - swept >= sweep_ns) {
            sweep(load, now);
            swept = now;
        }
        if (options->tick != NULL && (double)(now - ticked) >= options->tick_s * 1e9) {
            options->tick(options->tick_arg, (double)(now - load->start_ns) / 1e9, hold_until > 0);
            ticked = now;
        }
        int64_t until = swept + sweep_ns;
        if (hold_until == 0) {
            dispatch(load);
            if (options->rate > 0 && !all_begun(load, now) && due_ns(load) < until &&
                (load->n_idle > 0 || may_open(load)))
                until = due_ns(load);
            if (load->end_ns < until && now < load->end_ns)
                until = load->end_ns;
        } else if (hold_until < until) {
            until = hold_until;
        }
        int n = wait_for_events(load, events, until);
        for (int i = 0; i < n; i++)
            handle(load, events[i].data.ptr, events[i].events);
    }
}

/* ---------------------------------------------------------------- the run */

static bool set_address(struct load *load)
{
    const char *host = load->options->host != NULL ? load->options->host : "127.0.0.1";
    struct sockaddr_in *v4 = (struct sockaddr_in *)&load->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&load->address;
    if (load->options->port < 1 || load->options->port > 65535)
        return false;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)load->options->port);
        load->address_size = sizeof *v4;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return false;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)load->options->port);
    load->address_size = sizeof *v6;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static bool somebody_listens(const struct load *load)
{
    int fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&load->address, load->address_size) == 0;
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

static const char *wrong_with(const struct load *load)
{
    const struct load_options *options = load->options;
    if (options->n_requests == 0)
        return "no request to send";
    if (options->duration_s <= 0 && options->count == 0 && options->per_connection == 0)
        return "neither a duration nor a number of requests";
    if (options->rate > 0 && options->per_connection > 0)
        return "an arrival rate does not go with requests per connection";
    return somebody_listens(load) ? NULL : "nobody listens there";
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static int64_t ns_of(double seconds)
{
    return (int64_t)(seconds * 1e9);
}

int load_run(const struct load_options *options, struct load_report *report, char *error, size_t error_size)
{
    struct load load = {.options = options, .report = report};
    struct timespec wall;
    struct rusage before, after;
    const char *wrong =
        !set_address(&load) ? "only loopback addresses and ports 1 to 65535 are allowed" : wrong_with(&load);
    if (wrong == NULL && (load.epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        wrong = strerror(errno);
    if (wrong != NULL) {
        (void)snprintf(error, error_size, "%s", wrong);
        return -1;
    }
    memset(report, 0, sizeof *report);
    load.n_conns = options->connections > 0 ? options->connections : 1;
    load.conns = take(load.n_conns, sizeof *load.conns);
    load.idle = take(load.n_conns, sizeof *load.idle);
    load.buffer = take(1, RECEIVE_SIZE);
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    load.next_tag =
        (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec; /* another run, other bodies */
    load.timeout_ns = ns_of((options->timeout_ms > 0 ? options->timeout_ms : 30000) / 1e3);
    load.deadline_ns = ns_of(options->deadline_ms / 1e3);
    (void)getrusage(RUSAGE_SELF, &before);
    load.start_ns = load.last_ns = now_ns();
    load.measure_ns = load.start_ns + ns_of(options->warmup_s);
    load.end_ns = options->duration_s > 0 ? load.measure_ns + ns_of(options->duration_s) : INT64_MAX;

    loop(&load, 0);

    int64_t until = options->duration_s > 0 ? load.end_ns : load.last_ns;
    report->seconds = (double)(until - load.measure_ns) / 1e9;
    for (uint32_t i = 0; i < load.n_used; i++)
        report->open_at_end += load.conns[i].state == IDLE;
    if (options->hold_s > 0)
        loop(&load, now_ns() + ns_of(options->hold_s));
    (void)getrusage(RUSAGE_SELF, &after);
    report->user_seconds = seconds_of(after.ru_utime) - seconds_of(before.ru_utime);
    report->system_seconds = seconds_of(after.ru_stime) - seconds_of(before.ru_stime);
    for (uint32_t i = 0; i < load.n_used; i++) {
        shut(&load, &load.conns[i], true);
        free(load.conns[i].head);
    }
    (void)close(load.epoll);
    free(load.conns);
    free(load.idle);
    free(load.buffer);
    return 0;
}

uint64_t load_total(const struct load_report *report)
{
    return report->accepted.count + report->refused.count + report->cut + report->timeouts + report->unsent +
           report->malformed + report->hung_up + report->refused_connects;
}
