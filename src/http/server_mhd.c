/*
 * server.h over libmicrohttpd; with mhd_head.c, which reads the head of a request, the only file that knows it.
 *
 * A thread accepts (acceptor.h); a few HTTP threads (epoll), each with connections of its own, run every
 * callback here; workers touch an exchange only while its connection is suspended. An exchange is one request
 * and its answer; a client is one connection.
 *
 * Hand-over: the HTTP thread suspends the connection and submits a job; the worker does it, sets `worked`
 * (release) and resumes; the HTTP thread sees `worked` (acquire) and with it all that the worker wrote. The
 * same for a whole request, for a piece of a streamed body (what does not fit the piece stays in the library's
 * read buffer meanwhile) and for a page of a streamed answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/worker_pool.h"
#include "http/acceptor.h"
#include "http/admission.h"
#include "http/answer_timeline.h"
#include "http/auth.h"
#include "http/client_list.h"
#include "http/listener.h"
#include "http/log_limit.h"
#include "http/mhd_head.h"
#include "http/request_log.h"
#include "http/seq_gate.h"
#include "http/server.h"

enum {
    HEADER_BYTES =
        8 * 1024, /* libmicrohttpd's memory for one connection: head and read buffer; idle ones keep it */
    TENSOR_BYTES = 256 * 1024, /* the same where tensors come, megabytes each, over few connections */
    DRAIN_BYTES = 256 * 1024,  /* of a refused body that is read and thrown away, so that the answer arrives */
    PIECE_BYTES = 1024 * 1024, /* of a streamed body that go to a worker at once */
    BLOCK_BYTES = 64 * 1024,   /* of a streamed answer that go to the socket at once */
    PROGRESS_BYTES = 64 * 1024 /* a stream that moves less within the request timeout is cut off */
};

/* Bodies of all requests together: what 25 of the largest allowed ones take. */
#define ALL_BODIES_BYTES (UINT64_C(512) << 20)

struct http_server {
    struct http_service *service;
    struct MHD_Daemon *daemon;
    struct http_acceptor *acceptor; /* NULL: nobody new is heard */
    bool inherited;                 /* whoever started this service has the socket, too */
    char url[300];
    struct http_client_list clients;
    struct http_proxies proxies;
    uint32_t unknown_route; /* metrics number for what no route takes */
    atomic_uint in_flight;
    atomic_bool cancel;
    atomic_uint_fast64_t body_bytes;
    struct http_log_limit log;
};

struct exchange {
    struct http_server *server;
    struct MHD_Connection *connection;
    struct http_client *client;
    const struct http_route *route; /* NULL: none fits */
    struct http_request request;
    struct http_response response;
    struct frt_buf body;
    uint64_t reserved; /* of the server's body_bytes */
    uint64_t received, sent, drained;
    uint64_t progress; /* bytes since the phase was renewed */
    int64_t start_ns;
    enum frt_status path_status;
    bool begun;                /* the headers are there */
    bool refused;              /* an answer stands before the body was read */
    bool answered;             /* the handler has run to its end */
    bool close;                /* the connection ends with this answer */
    bool working;              /* a job was submitted and its result not taken yet */
    atomic_bool worked;        /* the job has run; what the worker wrote is handed over by it */
    struct http_seq_wait wait; /* X-FRT-Seq: what it waits for; seq 0 = nothing */
    bool gated;                /* it waits, or has waited: `worked` tells that it is over, `reached` how */
    bool reached;
    bool paged;     /* the answer is sent page by page */
    size_t page_at; /* bytes of the page that were sent */
    enum { PAGE_MORE = 0, PAGE_LAST, PAGE_FAILED } page;
    double ms;
};

/* -------------------------------------------------------------- clients */

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        /* without one, requests of this connection are refused */
        *context = http_client_add(&server->clients, info == NULL ? -1 : info->connect_fd);
    } else if (*context != NULL) {
        http_client_remove(&server->clients, *context);
        *context = NULL;
    }
}

static void set_phase(const struct exchange *x, enum http_phase phase)
{
    http_client_phase(x->client, phase, frt_now_ns());
}

void http_server_reap(struct http_server *server)
{
    http_client_list_reap(&server->clients, frt_now_ns(),
                          (int64_t)server->service->config->request_timeout_ms * 1000000);
}

/* ------------------------------------------------------------ exchanges */

/* The client hung up, the service aborts: asked by the engine between steps. */
static bool is_cancelled(void *arg)
{
    struct exchange *x = arg;
    char byte;
    if (atomic_load(&x->server->cancel))
        return true;
    return x->client->fd >= 0 && recv(x->client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* The request line is there: its target as the client wrote it, before the library decodes it. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct http_server *server = arg;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_client *client = info == NULL ? NULL : info->socket_context;
    struct exchange *x = client == NULL ? NULL : frt_alloc_zero(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->server = server;
    x->connection = connection;
    x->client = client;
    frt_buf_init(&x->body, server->service->config->max_body_bytes);
    http_response_init(&x->response);
    x->path_status = http_path_parse(target, &x->request.path, NULL);
    return x;
}

static void begin(struct exchange *x, const char *method, const char *version)
{
    struct http_server *server = x->server;
    struct MHD_Connection *connection = x->connection;
    x->begun = true;
    x->start_ns = frt_now_ns();
    mhd_head_read(connection, method, version, &server->proxies, &x->request);
    x->request.client = http_client_number(server->service, x->request.peer, sizeof x->request.peer);
    http_timeline_begin(&x->request, mhd_header(connection, "X-FRT-Trace"), x->start_ns);
    x->request.deadline_ms = x->start_ns / 1000000 + server->service->config->request_timeout_ms;
    x->request.cancelled = is_cancelled;
    x->request.cancelled_arg = x;
    if (x->path_status == FRT_OK)
        x->route = http_route_find(x->request.method, &x->request.path, x->request.params);
    if (x->route != NULL && (x->route->flags & HTTP_STREAM) != 0)
        x->body.max = PIECE_BYTES;
    atomic_fetch_add(&server->in_flight, 1);
    frt_metrics_began(server->service->metrics);
    set_phase(x, HTTP_PHASE_READING);
}

static bool streams(const struct exchange *x)
{
    return x->route != NULL && (x->route->flags & HTTP_STREAM) != 0;
}

/* Bytes of a stream have moved. */
static void moved(struct exchange *x, enum http_phase phase, size_t size)
{
    x->progress += size;
    if (x->progress >= PROGRESS_BYTES) {
        x->progress = 0;
        set_phase(x, phase);
    }
}

static void log_exchange(const struct exchange *x, bool written)
{
    uint32_t missed = 0;
    if (!http_log_limit_take(&x->server->log, x->response.status >= 500, &missed))
        return;
    const struct http_request_facts facts = {.route = x->route == NULL ? NULL : x->route->name,
                                             .received = x->received,
                                             .sent = x->paged                    ? x->sent
                                                     : x->response.fixed != NULL ? x->response.fixed_size
                                                                                 : x->response.body.size,
                                             .ms = x->ms,
                                             .written = written,
                                             .not_logged = missed};
    frt_trace_context_attach(&x->request.trace);
    http_log_request(&x->request, &x->response, &facts);
    frt_trace_context_attach(NULL);
}

static uint32_t route_number(const struct exchange *x)
{
    size_t n;
    return x->route == NULL ? x->server->unknown_route : (uint32_t)(x->route - http_routes(&n));
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_server *server = arg;
    struct exchange *x = *context;
    (void)connection;
    if (x == NULL)
        return;
    /* acquire: what a worker wrote, also when the client was gone before its answer was asked for here */
    (void)atomic_load_explicit(&x->worked, memory_order_acquire);
    if (!x->begun)
        goto release;           /* the library refused its headers */
    if (x->ms == 0 || x->paged) /* ended before an answer was sent, or just now */
        x->ms = frt_elapsed_ms(x->start_ns);
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !x->answered && !x->refused)
        x->response.status = 499; /* the client went away */
    frt_metrics_answered(server->service->metrics, route_number(x), x->response.status, x->ms,
                         x->response.rejected);
    log_exchange(x, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    atomic_fetch_sub(&server->body_bytes, x->reserved);
    atomic_fetch_sub(&server->in_flight, 1);
    set_phase(x, HTTP_PHASE_WAITING);
release:
    if (x->request.state != NULL && x->request.state_free != NULL)
        x->request.state_free(x->request.state);
    http_timeline_free(&x->request);
    frt_buf_deinit(&x->body);
    http_response_deinit(&x->response);
    frt_free(x);
    *context = NULL;
}

/* --------------------------------------------------------------- answers */

static void run_page(void *arg, bool late);

static void submit(struct exchange *x, void (*run)(void *arg, bool late));

/* The next bytes of a streamed answer; without any at hand the connection sleeps until a worker has the page.
 */
static ssize_t read_page(void *arg, uint64_t position, char *out, size_t size)
{
    struct exchange *x = arg;
    (void)position;
    if (x->working) {
        if (!atomic_load_explicit(&x->worked, memory_order_acquire))
            return 0; /* still asleep */
        x->working = false;
        set_phase(x, HTTP_PHASE_WRITING);
    }
    if (x->page == PAGE_FAILED)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t left = x->response.body.size - x->page_at, n = left < size ? left : size;
    if (n > 0) {
        memcpy(out, x->response.body.data + x->page_at, n);
        x->page_at += n;
        x->sent += n;
        moved(x, HTTP_PHASE_WRITING, n);
        return (ssize_t)n;
    }
    if (x->page == PAGE_LAST)
        return MHD_CONTENT_READER_END_OF_STREAM;
    submit(x, run_page);
    return 0;
}

static struct MHD_Response *make_response(struct exchange *x)
{
    if (x->response.next_page != NULL) {
        x->paged = true;
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_page, x, NULL);
    }
    if (x->response.fixed != NULL)
        return MHD_create_response_from_buffer(x->response.fixed_size, (void *)(uintptr_t)x->response.fixed,
                                               MHD_RESPMEM_PERSISTENT);
    /* lives in the exchange, which outlives the answer */
    return MHD_create_response_from_buffer(x->response.body.size, x->response.body.data,
                                           MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result send_answer(struct exchange *x)
{
    char seconds[32], seq[24], steps[HTTP_SERVER_TIMING_SIZE], span[FRT_TRACEPARENT_SIZE];
    set_phase(x, HTTP_PHASE_WRITING);
    x->ms = frt_elapsed_ms(x->start_ns);
    struct MHD_Response *response = make_response(x);
    if (response == NULL)
        return MHD_NO;
    (void)snprintf(seconds, sizeof seconds, "%.6f", x->ms / 1000);
    bool good = MHD_add_response_header(response, "X-Request-Id", x->request.id) == MHD_YES &&
                MHD_add_response_header(response, "X-Process-Time", seconds) == MHD_YES &&
                MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES;
    if (good && x->response.timing.cached != FRT_CACHED_NOT)
        good = MHD_add_response_header(response, "X-FRT-Cache", frt_cached_name(x->response.timing.cached)) ==
               MHD_YES;
    if (good && x->response.status != 204)
        good = MHD_add_response_header(response, "Content-Type", x->response.content_type) == MHD_YES;
    if (good && http_timeline_header(&x->request, steps))
        good = MHD_add_response_header(response, "Server-Timing", steps) == MHD_YES;
    if (good && x->request.trace.trace_id[0] != '\0') {
        frt_trace_context_write(&x->request.trace, span);
        good = MHD_add_response_header(response, "traceresponse", span) == MHD_YES;
    }
    if (good && x->route != NULL && (x->route->flags & HTTP_NUMBERED) != 0 && x->response.status < 300) {
        (void)snprintf(seq, sizeof seq, "%llu",
                       (unsigned long long)frt_gallery_known_seq(x->server->service->gallery));
        good = MHD_add_response_header(response, "X-FRT-Seq", seq) == MHD_YES;
    }
    for (size_t i = 0; good && i < x->response.n_headers; i++)
        good = MHD_add_response_header(response, x->response.headers[i].name, x->response.headers[i].value) ==
               MHD_YES;
    if (good && (x->close || atomic_load(&x->server->service->state) >= HTTP_LEAVING))
        good = MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    enum MHD_Result result =
        good ? MHD_queue_response(x->connection, (unsigned)x->response.status, response) : MHD_NO;
    MHD_destroy_response(response);
    return result;
}

static void refuse(struct exchange *x, enum frt_status status, const char *detail)
{
    x->response.next_page = NULL;
    http_problem(&x->response, &x->request, status, detail);
    x->refused = true;
}

/* Is the queue too full for this request? Then that is its answer. */
static bool no_room(struct exchange *x)
{
    struct frt_error err = {0};
    struct frt_worker_refusal refusal = {0};
    const struct frt_worker_job job = http_job_of(x->route, &x->request, &refusal);
    enum frt_status status = frt_worker_pool_ask(x->server->service->pools[x->route->pool], &job, &err);
    if (status == FRT_EOVERLOADED) {
        http_overloaded(&x->response, &x->request, &refusal, err.text);
        x->refused = true;
    }
    return x->refused;
}

/* Everything that can be said before the body is read. */
static void check_early(struct exchange *x, const char *method)
{
    char allow[64], text[160];
    uint32_t flags = 0;
    struct frt_error err = {0};
    struct http_service *service = x->server->service;
    const struct frt_config *config = service->config;
    const char *length_text = mhd_header(x->connection, "Content-Length");
    unsigned long long length = length_text == NULL ? 0 : strtoull(length_text, NULL, 10);
    bool known = x->path_status == FRT_OK && http_route_methods(&x->request.path, allow, sizeof allow, &flags);
    x->request.older = (flags & HTTP_OLDER) != 0;

    if (!http_auth_host(service, &x->request, &x->response)) {
        x->refused = true;
    } else if (x->path_status == FRT_EBAD_REQUEST) {
        refuse(x, FRT_EBAD_REQUEST, "the path holds a '%' without two hex digits behind it, or an encoded NUL");
    } else if (!known) {
        refuse(x, FRT_ENOTFOUND, "no such route; /openapi.json lists them");
    } else if (strcmp(method, "OPTIONS") == 0) {
        x->response.status = 204;
        http_response_header(&x->response, "Allow", allow);
        x->refused = true;
    } else if (x->route == NULL) {
        (void)snprintf(text, sizeof text, "this route takes %s", allow);
        refuse(x, FRT_EMETHOD, text);
        http_response_header(&x->response, "Allow", allow);
    } else if (!http_auth_route(service, &x->request, x->route, &x->response)) {
        x->refused = true;
    } else if (http_path_check(x->request.params, &err) != FRT_OK) {
        refuse(x, FRT_EBAD_REQUEST, err.text);
    } else if (x->request.seq != NULL && http_seq_parse(x->request.seq, &x->wait.seq, &err) != FRT_OK) {
        refuse(x, FRT_EBAD_REQUEST, err.text);
    } else if (x->request.n_query > HTTP_MAX_QUERY) {
        refuse(x, FRT_EBAD_REQUEST, "too many query parameters");
    } else if ((x->route->flags & HTTP_BODY) != 0 && length > config->max_body_bytes) {
        (void)snprintf(text, sizeof text, "the body is %llu bytes; at most %llu fit", length,
                       (unsigned long long)config->max_body_bytes);
        refuse(x, FRT_EBODY_TOO_LARGE, text);
    } else if ((x->route->flags & HTTP_MODELS) != 0 && atomic_load(&service->state) == HTTP_STARTING) {
        refuse(x, FRT_EUNAVAILABLE, "the models are being loaded; /readyz tells when they are");
    } else if (x->route->pool == HTTP_WORKERS && (x->route->at_once == NULL || length > HTTP_AT_ONCE_BYTES)) {
        /* where an answer may be in memory it is looked for first, when the body is there */
        (void)no_room(x);
    }
    /* answered at once; what else the client sends is not read */
    if (x->refused && (length > DRAIN_BYTES || mhd_header(x->connection, "Expect") != NULL ||
                       (streams(x) && length_text == NULL)))
        x->close = true;
}

/* ------------------------------------------------------------------ body */

static void take_body(struct exchange *x, const char *data, size_t size)
{
    const char *length_text = mhd_header(x->connection, "Content-Length");
    if (x->body.size == 0 && length_text != NULL && !streams(x)) {
        uint64_t length = strtoull(length_text, NULL, 10); /* within max_body_bytes: check_early */
        if (frt_buf_reserve(&x->body, (size_t)length) != FRT_OK)
            frt_buf_clear(&x->body); /* try to get along with less at a time */
    }
    uint64_t want = x->body.size + size;
    if (want > x->reserved) {
        uint64_t more = want - x->reserved;
        if (atomic_fetch_add(&x->server->body_bytes, more) + more > ALL_BODIES_BYTES) {
            atomic_fetch_sub(&x->server->body_bytes, more);
            refuse(x, FRT_EOVERLOADED, "too many large requests at once; try again later");
            return;
        }
        x->reserved = want;
    }
    frt_buf_append(&x->body, data, size);
    if (frt_buf_status(&x->body) == FRT_EBODY_TOO_LARGE)
        refuse(x, FRT_EBODY_TOO_LARGE, "the body is larger than the limit (max_body_bytes)");
    else if (frt_buf_status(&x->body) != FRT_OK)
        refuse(x, FRT_ENOMEM, "no memory for the body");
}

/* -------------------------------------------------------------- workers */

/* Ends a job, on whatever thread it ran: from the resume on the exchange is the HTTP thread's again. */
static void hand_back(struct exchange *x)
{
    /* release: the HTTP thread that sees it sees the rest, too, whatever the library synchronises */
    atomic_store_explicit(&x->worked, true, memory_order_release);
    MHD_resume_connection(x->connection);
}

static void submit(struct exchange *x, void (*run)(void *arg, bool late))
{
    struct http_service *service = x->server->service;
    struct frt_error err = {0};
    if (x->paged || streams(x))
        x->request.deadline_ms = frt_now_ns() / 1000000 + service->config->request_timeout_ms;
    x->working = true;
    atomic_store(&x->worked, false);
    set_phase(x, HTTP_PHASE_WORKING);
    MHD_suspend_connection(x->connection);
    struct frt_worker_refusal refusal = {0};
    struct frt_worker_job job = http_job_of(x->route, &x->request, &refusal);
    job.run = run;
    job.arg = x;
    enum frt_status status = frt_worker_pool_submit(service->pools[x->route->pool], job, &err);
    if (status != FRT_OK) {
        if (x->paged)
            x->page = PAGE_FAILED;
        else if (status == FRT_EOVERLOADED)
            http_overloaded(&x->response, &x->request, &refusal, err.text);
        else
            http_problem(&x->response, &x->request, status, err.text);
        hand_back(x);
    }
}

static void release_pack(struct exchange *x)
{
    frt_pack_release(x->server->service->packs, x->request.pack);
    x->request.pack = NULL;
}

/* With the pack that is in use now, until the end. */
static void handle(struct exchange *x)
{
    x->request.pack = frt_pack_acquire(x->server->service->packs);
    frt_trace_context_attach(&x->request.trace);
    x->route->handle(x->server->service, &x->request, &x->response);
    frt_trace_context_attach(NULL);
    release_pack(x);
}

static void run_handler(void *arg, bool late)
{
    struct exchange *x = arg;
    struct http_service *service = x->server->service;
    http_timeline_run(&x->request);
    if (late)
        http_problem(&x->response, &x->request, FRT_ETIMEOUT, "the request waited past its deadline");
    else if (is_cancelled(x))
        http_problem(&x->response, &x->request, FRT_ECANCELLED, "the client hung up");
    else
        handle(x);
    if (x->response.rejected)
        http_retry_after(&x->response, service->pools[x->route->pool]);
    http_timeline_ran(&x->request, &x->response);
    hand_back(x);
}

static void run_page(void *arg, bool late)
{
    struct exchange *x = arg;
    struct frt_error err = {0};
    enum frt_status status = FRT_ECANCELLED;
    frt_buf_clear(&x->response.body);
    x->page_at = 0;
    frt_trace_context_attach(&x->request.trace);
    if (late)
        status = frt_fail(&err, FRT_ETIMEOUT, "a page waited past its deadline");
    else if (!is_cancelled(x))
        status = x->response.next_page(x->server->service, &x->request, &x->response, &err);
    if (status == FRT_OK)
        status = frt_buf_status(&x->response.body);
    if (status != FRT_OK) {
        x->page = PAGE_FAILED;
        if (status != FRT_ECANCELLED)
            frt_log(FRT_LOG_ERROR, "answer cut off", FRT_LOG_STR("id", x->request.id),
                    FRT_LOG_STR("route", x->route->name), FRT_LOG_STR("code", frt_status_code(status)),
                    FRT_LOG_STR("error", err.text), FRT_LOG_END);
    } else if (x->response.body.size == 0) {
        x->page = PAGE_LAST;
    }
    frt_trace_context_attach(NULL);
    hand_back(x);
}

/* ------------------------------------------------------------------ body */

/* Takes the result of a piece's job. False: it is still at work. */
static bool take_piece(struct exchange *x)
{
    if (!x->working)
        return true;
    if (!atomic_load_explicit(&x->worked, memory_order_acquire))
        return false;
    x->working = false;
    x->progress = 0;
    set_phase(x, HTTP_PHASE_READING);
    frt_buf_clear(&x->body);
    if (x->response.status >= 400)
        x->refused = true;
    return true;
}

static enum MHD_Result on_body(struct exchange *x, const char *data, size_t *size)
{
    bool stream = streams(x);
    if (stream && !take_piece(x))
        return MHD_YES; /* asleep: the bytes stay where they are */
    if (!x->refused && stream && x->body.size + *size > PIECE_BYTES) {
        x->request.body = x->body.data;
        x->request.body_size = x->body.size;
        x->request.more = true;
        submit(x, run_handler);
        return MHD_YES; /* they come again after the piece */
    }
    x->received += *size;
    if (!x->refused && (x->route->flags & (HTTP_BODY | HTTP_STREAM)) != 0)
        take_body(x, data, *size);
    else if (!stream && (x->drained += *size) > x->server->service->config->max_body_bytes)
        return MHD_NO; /* it was told no long ago */
    if (stream)
        moved(x, HTTP_PHASE_READING, *size);
    *size = 0;
    return MHD_YES;
}

/* The number it waited for is there, or will not be. On a thread of the gallery's or the main one. */
static void on_gate(void *arg, bool reached)
{
    struct exchange *x = arg;
    x->reached = reached;
    hand_back(x);
}

/* X-FRT-Seq: must it wait? Then the connection sleeps. */
static bool held_back(struct exchange *x)
{
    struct http_seq_gate *gate = x->server->service->gate;
    if (x->gated || x->route->pool == HTTP_HERE || streams(x) || http_seq_gate_passed(gate, x->wait.seq))
        return false;
    x->gated = true;
    x->wait.deadline_ms = x->request.deadline_ms;
    x->wait.cancelled = is_cancelled;
    x->wait.done = on_gate;
    x->wait.arg = x;
    atomic_store(&x->worked, false);
    set_phase(x, HTTP_PHASE_WORKING);
    MHD_suspend_connection(x->connection);
    http_seq_gate_wait(gate, &x->wait);
    return true;
}

static void not_reached(struct exchange *x)
{
    char text[200];
    struct http_service *service = x->server->service;
    (void)snprintf(
        text, sizeof text, "change %llu is not in this service's store yet, whose last one is %llu; ask again",
        (unsigned long long)x->wait.seq, (unsigned long long)frt_gallery_known_seq(service->gallery));
    http_problem_as(&x->response, &x->request, 503, "seq_not_reached", "Change not reached", text);
    http_response_header(&x->response, "Retry-After", "1");
    x->answered = true;
}

static enum MHD_Result dispatch(struct exchange *x)
{
    if (held_back(x))
        return MHD_YES;
    x->request.body = x->body.data;
    x->request.body_size = x->body.size;
    x->request.more = false;
    x->answered = true;
    http_timeline_received(&x->request);
    bool here = x->route->pool == HTTP_HERE;
    if (here) {
        http_timeline_run(&x->request);
        handle(x);
    } else if (x->route->at_once != NULL) {
        http_timeline_try(&x->request);
        x->request.pack = frt_pack_acquire(x->server->service->packs);
        frt_trace_context_attach(&x->request.trace);
        here = x->route->at_once(x->server->service, &x->request, &x->response);
        frt_trace_context_attach(NULL);
        release_pack(x);
        if (!here)
            http_timeline_tried(&x->request);
    }
    if (here) {
        http_timeline_ran(&x->request, &x->response);
        return send_answer(x);
    }
    if (no_room(x)) /* without a way to a worker and back */
        return send_answer(x);
    submit(x, run_handler);
    return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *size,
                                  void **context)
{
    struct exchange *x = *context;
    (void)arg, (void)connection, (void)url; /* decoded: route_path.h says why that is too early */
    if (x == NULL)
        return MHD_NO;
    if (!x->begun) {
        begin(x, method, version);
        check_early(x, method);
        return x->refused && x->close ? send_answer(x) : MHD_YES;
    }
    if (*size > 0)
        return on_body(x, data, size);
    if (x->answered) {
        if (!atomic_load_explicit(&x->worked, memory_order_acquire))
            return MHD_YES;
        x->working = false;
        return send_answer(x);
    }
    if (streams(x) && !take_piece(x))
        return MHD_YES;
    if (x->gated) {
        if (!atomic_load_explicit(&x->worked, memory_order_acquire))
            return MHD_YES;
        if (!x->reached) {
            not_reached(x);
            return send_answer(x);
        }
    }
    return x->refused ? send_answer(x) : dispatch(x);
}

/* ------------------------------------------------------------- lifecycle */

static bool has_room(void *arg)
{
    struct http_server *server = arg;
    return http_client_list_size(&server->clients) < server->service->config->connections;
}

static void take_connection(void *arg, int fd, const struct sockaddr *address, socklen_t size)
{
    struct http_server *server = arg;
    http_client_coming(&server->clients);
    if (MHD_add_connection(server->daemon, fd, address, size) != MHD_YES)
        http_client_lost(&server->clients); /* closed */
}

/*
 * The library's own limit is never to be reached: each of its threads has a share of it, and one that finds its
 * share used up (0.9.75) leaves the lock of its connections locked, and stands still for good. The acceptor
 * keeps to `connections`; each thread's share is that and some more.
 */
static unsigned library_limit(const struct http_service *service)
{
    enum { MORE = 64 };
    return (service->config->connections + MORE) * service->http_threads;
}

enum frt_status http_server_start(struct http_service *service, struct http_server **out, struct frt_error *err)
{
    size_t n = 0;
    int fd = -1;
    const struct http_route *routes = http_routes(&n);
    struct http_server *server = frt_alloc_zero(1, sizeof *server);
    if (server == NULL)
        return frt_fail_nomem(err, "the server");
    server->service = service;
    server->log.per_second = service->config->log_requests;
    http_client_list_init(&server->clients);
    enum frt_status status = http_proxies_parse(service->config->trusted_proxies, &server->proxies, err);
    if (status == FRT_OK)
        status = http_listener_open(service, &fd, server->url, sizeof server->url, &server->inherited, err);
    if (status != FRT_OK) {
        if (fd >= 0)
            (void)close(fd);
        goto fail;
    }
    for (size_t i = 0; i < n; i++)
        (void)frt_metrics_add_route(service->metrics, routes[i].name);
    server->unknown_route = frt_metrics_add_route(service->metrics, "unknown");
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
        on_request, server, MHD_OPTION_THREAD_POOL_SIZE, service->http_threads, MHD_OPTION_CONNECTION_LIMIT,
        library_limit(service), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        service->config->model_api ? (size_t)TENSOR_BYTES : (size_t)HEADER_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        service->config->model_api ? (size_t)TENSOR_BYTES / 4 : (size_t)HEADER_BYTES / 8,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_END);
    if (server->daemon == NULL) {
        (void)close(fd);
        status = frt_fail(err, FRT_EUNAVAILABLE, "the HTTP server could not be started");
        goto fail;
    }
    const struct http_acceptor_options acceptor = {.listener = fd,
                                                   .inherited = server->inherited,
                                                   .room = has_room,
                                                   .take = take_connection,
                                                   .arg = server};
    status = http_acceptor_new(&acceptor, &server->acceptor, err);
    if (status != FRT_OK)
        goto fail;
    *out = server;
    return FRT_OK;
fail:
    http_server_stop(server);
    return status;
}

const char *http_server_url(const struct http_server *server)
{
    return server->url;
}

uint32_t http_server_in_flight(const struct http_server *server)
{
    return atomic_load(&server->in_flight);
}

bool http_server_busy(struct http_server *server, uint32_t quiet_ms)
{
    return http_server_in_flight(server) > 0 ||
           http_client_list_busy(&server->clients, frt_now_ns(), (int64_t)quiet_ms * 1000000);
}

void http_server_quiesce(struct http_server *server)
{
    http_acceptor_end(server->acceptor);
    server->acceptor = NULL;
}

void http_server_cancel(struct http_server *server)
{
    atomic_store(&server->cancel, true);
}

void http_server_stop(struct http_server *server)
{
    if (server == NULL)
        return;
    http_server_quiesce(server);
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    http_client_list_deinit(&server->clients);
    frt_free(server);
}
