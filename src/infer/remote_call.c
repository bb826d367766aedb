/* One request to the model server, and its retries. Design: remote.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/splitmix.h"
#include "core/trace_context.h"
#include "infer/kserve.h"
#include "infer/remote_inside.h"

enum {
    JSON_ROOM = 64 * 1024,             /* of an answer, beside its tensors */
    JSON_FLOAT = 32,                   /* bytes of a number as text, at most, with what stands around it */
    UNKNOWN_ANSWER = 64 * 1024 * 1024, /* of an answer whose size the graph does not say */
    ERROR_KEPT = 512,                  /* of the body of an error */
    ERROR_READ = 64 * 1024,            /* of it, before the connection is given up */
    FIRST_PAUSE_MS = 20,
    MOST_HEADERS = 6,
    URL_ROOM = FRT_REMOTE_URL_MAX + 3 * (FRT_REMOTE_NAME_MAX + FRT_REMOTE_VERSION_MAX) + 64
};

/* One request, and what comes of it. */
struct exchange {
    struct remote_backend *backend;
    struct frt_buf body;
    size_t limit; /* of a good answer's body */
    uint64_t ignored;
    bool begun;
    char json_length[24]; /* value of Inference-Header-Content-Length; "" = none */
    char location[160];
    uint32_t retry_after_s;
    struct frt_http_answer answer;
};

/* What it came to. */
enum ending { GOOD = 0, TRANSIENT, LATE, BUSY, REFUSED, WRONG, NO_MEMORY };

static void take_header(void *arg, const char *line, size_t size)
{
    struct exchange *x = arg;
    char value[160];
    if (size >= 5 && strncmp(line, "HTTP/", 5) == 0)
        x->json_length[0] = x->location[0] = '\0';
    else if (frt_http_header_value(line, size, "Inference-Header-Content-Length", value, sizeof x->json_length))
        (void)snprintf(x->json_length, sizeof x->json_length, "%.20s", value);
    else if (frt_http_header_value(line, size, "Location", value, sizeof value))
        (void)snprintf(x->location, sizeof x->location, "%s", value);
    else if (frt_http_header_value(line, size, "Retry-After", value, sizeof value))
        x->retry_after_s = (uint32_t)(strtoul(value, NULL, 10) & 0xFFFF);
}

static enum frt_status take_body(void *arg, const struct frt_http_head *head, const void *bytes, size_t size,
                                 struct frt_error *err)
{
    struct exchange *x = arg;
    if (head->status != 200) { /* its beginning, for the text */
        const size_t room = x->body.size < ERROR_KEPT ? ERROR_KEPT - x->body.size : 0;
        frt_buf_append(&x->body, bytes, size < room ? size : room);
        x->ignored += size;
        return x->ignored <= ERROR_READ ? FRT_OK : frt_fail(err, FRT_EBODY_TOO_LARGE, "an endless answer");
    }
    if (!x->begun && head->content_length > (int64_t)x->limit)
        return frt_fail(err, FRT_EBODY_TOO_LARGE, "an answer of %lld bytes; at most %zu are right",
                        (long long)head->content_length, x->limit);
    if (!x->begun && head->content_length > 0 &&
        frt_buf_reserve(&x->body, (size_t)head->content_length) != FRT_OK)
        return frt_fail_nomem(err, "an answer of the model server");
    x->begun = true;
    if (size > x->limit - x->body.size)
        return frt_fail(err, FRT_EBODY_TOO_LARGE, "an answer of more than the %zu bytes that are right",
                        x->limit);
    frt_buf_append(&x->body, bytes, size);
    return frt_buf_status(&x->body) == FRT_OK ? FRT_OK : frt_fail_nomem(err, "an answer of the model server");
}

/* -------------------------------------------------------------- one try */

static enum ending judge_status(struct remote_backend *self, struct exchange *x, struct frt_error *err)
{
    const int code = x->answer.status;
    char said[ERROR_KEPT + 16] = "";
    while (x->body.size > 0 && isspace((unsigned char)x->body.data[x->body.size - 1]))
        x->body.size--;
    if (x->body.size > 0)
        (void)snprintf(said, sizeof said, ": %.*s", x->body.size < 300 ? (int)x->body.size : 300, x->body.data);
    if (code == 401 || code == 403) {
        (void)!frt_fail(err, FRT_ENOTFOUND, "the server answers %d%s; %s", code, said,
                        self->token_file == NULL ? "it wants a token (infer_token_file)"
                                                 : "is it the right token in infer_token_file?");
        return REFUSED;
    }
    if (code >= 300 && code < 400) {
        (void)!frt_fail(err, FRT_ENOTFOUND, "the server answers %d and sends elsewhere (%s); give that address",
                        code, x->location[0] != '\0' ? x->location : "it does not say where");
        return REFUSED;
    }
    (void)!frt_fail(err, FRT_ENOTFOUND, "the server answers %d%s", code, said);
    if (code == 429 || code == 503)
        return BUSY;
    return code == 408 || code >= 500 ? TRANSIENT : REFUSED;
}

static enum ending ending_of(struct remote_backend *self, struct exchange *x, enum frt_status status,
                             struct frt_error *err)
{
    if (status == FRT_OK && x->answer.status == 200)
        return GOOD;
    if (status == FRT_ENOMEM)
        return NO_MEMORY;
    if (x->answer.status != 0 && x->answer.status != 200)
        return judge_status(self, x, err);
    switch (status) {
    case FRT_EBODY_TOO_LARGE:
        return WRONG;
    case FRT_ETIMEOUT:
        return LATE;
    default:
        return TRANSIENT;
    }
}

static size_t header_list(struct remote_backend *self, const char *first, char token[REMOTE_TOKEN_MAX + 32],
                          char trace[2][FRT_TRACESTATE_MAX + 32], const char *out[MOST_HEADERS])
{
    size_t n = 0;
    char parent[FRT_TRACEPARENT_SIZE];
    const struct frt_trace_context *context = frt_trace_context_attached();
    if (first != NULL && first[0] != '\0')
        out[n++] = first;
    (void)pthread_mutex_lock(&self->lock);
    memcpy(token, self->token, sizeof self->token);
    (void)pthread_mutex_unlock(&self->lock);
    if (token[0] != '\0')
        out[n++] = token;
    if (context != NULL && context->trace_id[0] != '\0') {
        frt_trace_context_write(context, parent);
        (void)snprintf(trace[0], FRT_TRACESTATE_MAX + 32, "traceparent: %s", parent);
        out[n++] = trace[0];
        if (context->state[0] != '\0') {
            (void)snprintf(trace[1], FRT_TRACESTATE_MAX + 32, "tracestate: %s", context->state);
            out[n++] = trace[1];
        }
    }
    return n;
}

/* Send, and take what comes. request: NULL = GET. */
static enum ending exchange(struct remote_backend *self, const char *path,
                            const struct frt_remote_request *request, uint32_t timeout_ms, struct exchange *x,
                            struct frt_error *err)
{
    char url[URL_ROOM], token[REMOTE_TOKEN_MAX + 32], trace[2][FRT_TRACESTATE_MAX + 32];
    const char *headers[MOST_HEADERS];
    size_t n = header_list(self, request == NULL ? NULL : request->length_header, token, trace, headers);
    (void)snprintf(url, sizeof url, "%s%s", self->address.url, path);
    if (request != NULL)
        headers[n++] = request->length_header[0] != '\0' ? "Content-Type: application/octet-stream"
                                                         : "Content-Type: application/json";
    const struct frt_http_call call = {.url = url,
                                       .headers = headers,
                                       .n_headers = n,
                                       .body = request == NULL ? NULL : request->pieces,
                                       .n_body = request == NULL ? 0 : request->n_pieces,
                                       .connect_timeout_ms = self->options.connect_timeout_ms,
                                       .timeout_ms = timeout_ms,
                                       .take_errors = true,
                                       .header = take_header,
                                       .take = take_body,
                                       .arg = x};
    enum frt_status status = frt_http_call(self->client, &call, &x->answer, err);
    memset(token, 0, sizeof token);
    if (x->answer.new_connection)
        (void)atomic_fetch_add(&self->connections, 1);
    return ending_of(self, x, status, err);
}

static void exchange_init(struct exchange *x, struct remote_backend *self, size_t limit)
{
    *x = (struct exchange){.backend = self, .limit = limit};
    frt_buf_init(&x->body, limit > ERROR_KEPT ? limit : ERROR_KEPT);
}

/* How a request ended, for the breaker and the figures. */
static void report(struct remote_backend *self, enum ending ending, const char *text)
{
    static const enum frt_remote_outcome outcomes[] = {
        [GOOD] = FRT_REMOTE_OK,        [TRANSIENT] = FRT_REMOTE_ERROR, [LATE] = FRT_REMOTE_TIMEOUT,
        [BUSY] = FRT_REMOTE_REJECTED,  [REFUSED] = FRT_REMOTE_ERROR,   [WRONG] = FRT_REMOTE_ERROR,
        [NO_MEMORY] = FRT_REMOTE_ERROR};
    (void)atomic_fetch_add(&self->requests[outcomes[ending]], 1);
    /* a server that refuses or answers nonsense is well enough to do so: the model falls, not the server */
    frt_breaker_report(&self->breaker, ending != TRANSIENT && ending != LATE && ending != BUSY);
    if (ending == GOOD)
        return;
    if (ending == TRANSIENT || ending == LATE)
        (void)atomic_fetch_add(&self->failures, 1); /* it may come back as another one */
    remote_note_error(self, text);
}

/* -------------------------------------------------------------------- get */

enum frt_status remote_get(struct remote_backend *self, const char *path, struct frt_buf *body,
                           struct frt_error *err)
{
    struct exchange x;
    exchange_init(&x, self, body->max);
    frt_breaker_try(&self->breaker);
    enum ending ending = exchange(self, path, NULL, self->options.timeout_ms, &x, err);
    report(self, ending, err->text);
    if (ending == GOOD)
        frt_buf_append(body, x.body.data, x.body.size);
    const int code = x.answer.status;
    frt_buf_deinit(&x.body);
    switch (ending) {
    case GOOD:
        return frt_buf_status(body) == FRT_OK ? FRT_OK : frt_fail_nomem(err, "an answer of the model server");
    case NO_MEMORY:
        return FRT_ENOMEM;
    case REFUSED:
    case WRONG:
        return code == 404 || code == 400 ? frt_fail_within(err, FRT_ENOTFOUND, "%s%s", self->address.url, path)
                                          : frt_fail_within(err, FRT_ENOTFOUND, "%s", self->address.url);
    default:
        /* a TLS server closes what does not begin as TLS does */
        if (x.answer.no_bytes && x.answer.new_connection && strncmp(self->address.url, "http:", 5) == 0)
            return frt_fail_within(err, FRT_EUNAVAILABLE, "%s (if that is an HTTPS port, https:// is right)",
                                   self->address.url);
        return frt_fail_within(err, FRT_EUNAVAILABLE, "%s", self->address.url);
    }
}

/* ------------------------------------------------------------------ infer */

/* Bytes of a good answer at most. */
static size_t answer_limit(const struct remote_session *session, int64_t rows)
{
    const struct frt_session_info *info = &session->model.info;
    const size_t each = session->model.binary ? sizeof(float) : JSON_FLOAT;
    size_t total = JSON_ROOM;
    for (uint32_t i = 0; i < info->n_outputs; i++) {
        struct frt_tensor shape = {.n_dims = info->outputs[i].n_dims};
        memcpy(shape.dims, info->outputs[i].dims, sizeof shape.dims);
        if (!info->outputs[i].is_float)
            continue;
        if (session->by_row[i] && shape.n_dims > 0)
            shape.dims[0] = rows;
        const size_t count = frt_tensor_size(&shape);
        if (count == 0)
            return UNKNOWN_ANSWER;
        if (count > FRT_REMOTE_TENSOR_MAX)
            return UNKNOWN_ANSWER;
        total += count * each;
    }
    return total;
}

static enum ending read_answer(const struct remote_session *session, const struct exchange *x,
                               struct frt_remote_answer *out, struct frt_error *err)
{
    size_t json = x->body.size;
    if (x->json_length[0] != '\0' && !frt_kserve_header_length(x->json_length, x->body.size, &json)) {
        (void)!frt_fail(err, FRT_EBAD_REQUEST,
                        "Inference-Header-Content-Length is '%s' in an answer of %zu bytes", x->json_length,
                        x->body.size);
        return WRONG;
    }
    enum frt_status status = session->backend->protocol->read_answer(
        &session->model, x->body.data == NULL ? "" : x->body.data, x->body.size, json, out, err);
    return status == FRT_OK ? GOOD : status == FRT_ENOMEM ? NO_MEMORY : WRONG;
}

static void pause_ms(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

/* "Full jitter": anything up to twice the last pause, so that callers who failed together do not return
 * together. */
static uint32_t pause_before(struct remote_backend *self, uint32_t retry)
{
    uint64_t state = (uint64_t)atomic_fetch_add(&self->random, 1);
    return (uint32_t)(frt_splitmix_next(&state) % ((uint64_t)FIRST_PAUSE_MS << (retry < 6 ? retry : 6))) + 1;
}

static enum frt_status conclude(const struct remote_session *session, enum ending ending, bool callers_end,
                                struct frt_error *err)
{
    const struct remote_backend *self = session->backend;
    switch (ending) {
    case GOOD:
        return FRT_OK;
    case NO_MEMORY:
        return FRT_ENOMEM;
    case REFUSED:
    case WRONG:
        return frt_fail_within(err, FRT_ENOTFOUND, "%s: model '%s'", self->address.url,
                               session->model.name.name);
    default:
        if (callers_end)
            return frt_fail_within(err, FRT_ETIMEOUT, "%s", self->address.url);
        return frt_fail_within(err,
                               frt_breaker_state(&session->backend->breaker, NULL) == FRT_BREAKER_OPEN
                                   ? FRT_EUNAVAILABLE
                                   : FRT_EOVERLOADED,
                               "%s", self->address.url);
    }
}

static enum ending try_once(struct remote_session *session, const char *path,
                            const struct frt_remote_request *request, size_t limit, uint32_t timeout_ms,
                            struct frt_remote_answer *out, uint32_t *retry_after_s, int *http_status,
                            struct frt_error *err)
{
    struct remote_backend *self = session->backend;
    struct exchange x;
    exchange_init(&x, self, limit);
    const int64_t start = frt_now_ns();
    enum ending ending = exchange(self, path, request, timeout_ms, &x, err);
    if (ending == GOOD)
        ending = read_answer(session, &x, out, err);
    if (self->options.observe != NULL)
        self->options.observe(self->options.observe_arg, frt_elapsed_ms(start), ending == GOOD);
    report(self, ending, err->text);
    for (size_t i = 0; i < request->n_pieces; i++)
        (void)atomic_fetch_add(&self->sent_bytes, request->pieces[i].size);
    (void)atomic_fetch_add(&self->received_bytes, x.body.size);
    *retry_after_s = x.retry_after_s;
    *http_status = x.answer.status;
    frt_buf_deinit(&x.body);
    return ending;
}

/* The end of a run: ours, or the caller's where that is sooner. */
static int64_t deadline_of(const struct remote_session *session, int64_t now_ms, bool *callers)
{
    const int64_t ours = now_ms + session->timeout_ms, caller = frt_infer_deadline_get();
    *callers = caller != 0 && caller < ours;
    return *callers ? caller : ours;
}

static enum frt_status with_retries(struct remote_session *session, const struct frt_remote_request *request,
                                    size_t limit, struct frt_remote_answer *out, int *http_status,
                                    struct frt_error *err)
{
    struct remote_backend *self = session->backend;
    struct frt_buf path;
    bool callers = false;
    const int64_t deadline = deadline_of(session, frt_now_ns() / 1000000, &callers);
    enum ending ending = LATE;
    enum frt_status status;
    frt_buf_init(&path, URL_ROOM);
    self->protocol->infer_path(&session->model.name, &path);
    if (frt_buf_status(&path) != FRT_OK) {
        frt_buf_deinit(&path);
        return frt_fail_nomem(err, "a request to the model server");
    }
    for (uint32_t retry = 0;; retry++) {
        uint32_t retry_after_s = 0;
        int64_t left = deadline - frt_now_ns() / 1000000;
        if (left <= 0) {
            (void)!frt_fail(err, FRT_ETIMEOUT, "no time left");
            break;
        }
        if (!frt_breaker_allow(&self->breaker)) {
            (void)atomic_fetch_add(&self->requests[FRT_REMOTE_REJECTED], 1);
            status = frt_fail(err, FRT_EUNAVAILABLE, "%s: not asked after failures (the breaker is open)",
                              self->address.url);
            goto done;
        }
        ending =
            try_once(session, path.data, request, limit, (uint32_t)left, out, &retry_after_s, http_status, err);
        if (ending != TRANSIENT && ending != BUSY)
            break;
        const uint32_t pause = retry_after_s != 0 ? 1000 * retry_after_s : pause_before(self, retry);
        left = deadline - frt_now_ns() / 1000000;
        if (retry >= self->options.retries || pause >= left || !frt_breaker_may_retry(&self->breaker))
            break;
        (void)atomic_fetch_add(&self->retries, 1);
        pause_ms(pause);
    }
    status = conclude(session, ending, callers && frt_now_ns() / 1000000 >= deadline, err);
done:
    frt_buf_deinit(&path);
    return status;
}

enum frt_status remote_infer(struct remote_session *session, const struct frt_tensor *inputs, uint32_t n_inputs,
                             struct frt_remote_answer *out, int *http_status, struct frt_error *err)
{
    struct frt_remote_request request;
    *http_status = 0;
    enum frt_status status =
        session->backend->protocol->write_request(&session->model, inputs, n_inputs, &request, err);
    if (status != FRT_OK)
        return status;
    status = with_retries(session, &request, answer_limit(session, inputs[0].dims[0]), out, http_status, err);
    frt_remote_request_deinit(&request);
    return status;
}
