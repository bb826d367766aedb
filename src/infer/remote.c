#include "infer/remote.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/mem.h"
#include "infer/remote_inside.h"

enum {
    DEFAULT_CONNECT_MS = 500,
    DEFAULT_TIMEOUT_MS = 2000,
    DEFAULT_CONNECTIONS = 16,
    DEFAULT_RETRIES = 2,
    DEFAULT_COMPARE_MS = 60000,
    OPENING_MS = 10000, /* a server's first inference may load, compile and warm up */
    METADATA_MAX = 256 * 1024,
    RECONNECT_NS = 1000000000 /* a comparison for new connections, at most each */
};

const char *frt_remote_outcome_name(enum frt_remote_outcome outcome)
{
    static const char *const names[] = {"ok", "error", "timeout", "rejected"};
    return names[outcome];
}

void remote_note_error(struct remote_backend *self, const char *text)
{
    (void)pthread_mutex_lock(&self->lock);
    (void)snprintf(self->last_error, sizeof self->last_error, "%s", text);
    self->last_error_ns = frt_now_ns();
    (void)pthread_mutex_unlock(&self->lock);
}

/* ----------------------------------------------------------------- token */

static bool is_whole_header(const char *line)
{
    size_t n = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && line[n] == ':' && line[n + 1] == ' ';
}

enum frt_status remote_token_load(struct remote_backend *self, struct frt_error *err)
{
    char text[REMOTE_TOKEN_MAX] = "";
    struct stat st;
    enum frt_status status = FRT_OK;
    if (self->token_file == NULL)
        return FRT_OK;
    FILE *file = fopen(self->token_file, "re");
    if (file == NULL)
        return frt_fail(err, FRT_EINVAL, "infer_token_file %s: %s", self->token_file, strerror(errno));
    size_t n = fread(text, 1, sizeof text - 1, file);
    if (fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        frt_log(FRT_LOG_WARN, "others than its owner may read the token file",
                FRT_LOG_STR("file", self->token_file), FRT_LOG_STR("do", "chmod 600"), FRT_LOG_END);
    bool whole = feof(file) != 0 && ferror(file) == 0;
    (void)fclose(file);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    for (size_t i = 0; i < n; i++)
        whole = whole && (unsigned char)text[i] >= ' ' && text[i] != 0x7F;
    if (!whole || n == 0) {
        status = frt_fail(err, FRT_EINVAL,
                          "infer_token_file %s: one line of at most %d bytes is right: a token, or a header "
                          "'Name: value'",
                          self->token_file, REMOTE_TOKEN_MAX - 1);
    } else {
        (void)pthread_mutex_lock(&self->lock);
        (void)snprintf(self->token, sizeof self->token, "%s%s",
                       is_whole_header(text) ? "" : "Authorization: Bearer ", text);
        (void)pthread_mutex_unlock(&self->lock);
    }
    frt_wipe(text, sizeof text);
    return status;
}

/* --------------------------------------------------------------- running */

/* Rows begin to begin + count of inputs whose first size is their rows. */
static void slice(const struct frt_tensor *inputs, uint32_t n_inputs, int64_t begin, int64_t count,
                  struct frt_tensor *out)
{
    for (uint32_t i = 0; i < n_inputs; i++) {
        out[i] = inputs[i];
        out[i].data += (size_t)begin * (frt_tensor_size(&inputs[i]) / (size_t)inputs[i].dims[0]);
        out[i].dims[0] = count;
    }
}

/* Put the rows of `part` behind those that `whole` has, in memory for `rows` of them. */
static enum frt_status append_rows(struct frt_remote_answer *whole, const struct frt_remote_answer *part,
                                   uint32_t n_outputs, int64_t have, int64_t rows, int64_t more,
                                   struct frt_error *err)
{
    for (uint32_t i = 0; i < n_outputs; i++) {
        const struct frt_remote_tensor *from = &part->tensors[i];
        struct frt_remote_tensor *to = &whole->tensors[i];
        struct frt_tensor shape = {.n_dims = from->n_dims};
        if (from->data == NULL) /* not asked for */
            continue;
        memcpy(shape.dims, from->dims, sizeof shape.dims);
        shape.dims[0] = 1;
        const size_t row = frt_tensor_size(&shape);
        if (from->dims[0] != more || (to->data != NULL && memcmp(to->dims + 1, from->dims + 1,
                                                                 (from->n_dims - 1) * sizeof *to->dims) != 0))
            return frt_fail(err, FRT_ENOTFOUND, "the model server answers %lld rows where %lld were sent",
                            (long long)from->dims[0], (long long)more);
        if (to->data == NULL) {
            to->data = frt_alloc_array((size_t)rows, row * sizeof(float));
            if (to->data == NULL)
                return frt_fail_nomem(err, "an answer of the model server");
            to->n_dims = from->n_dims;
            memcpy(to->dims, from->dims, sizeof to->dims);
            to->dims[0] = rows;
        }
        memcpy(to->data + (size_t)have * row, from->data, (size_t)more * row * sizeof(float));
    }
    memcpy(whole->version, part->version, sizeof whole->version);
    return FRT_OK;
}

/* The server did not take so many rows: half of them from now on. False: it cannot be less. */
static bool fewer_rows(struct remote_session *session, int64_t count, int http_status)
{
    if (count <= 1 || !session->splits || (http_status != 400 && http_status != 413 && http_status != 422))
        return false;
    unsigned now = atomic_load(&session->most_rows);
    const unsigned half = (unsigned)(count / 2);
    while (now > half && !atomic_compare_exchange_weak(&session->most_rows, &now, half))
        ;
    return true;
}

static enum frt_status check_rows(const struct remote_session *session, const struct frt_remote_answer *answer,
                                  int64_t rows, struct frt_error *err)
{
    for (uint32_t i = 0; i < session->model.info.n_outputs; i++)
        if (session->by_row[i] && answer->tensors[i].data != NULL && answer->tensors[i].dims[0] != rows)
            return frt_fail(err, FRT_ENOTFOUND, "%s: model '%s' answers %lld rows where %lld were sent",
                            session->backend->address.url, session->model.name.name,
                            (long long)answer->tensors[i].dims[0], (long long)rows);
    return FRT_OK;
}

enum frt_status remote_run_rows(struct remote_session *session, const struct frt_tensor *inputs,
                                uint32_t n_inputs, struct frt_remote_answer *out, int *http_status,
                                struct frt_error *err)
{
    const int64_t rows = inputs[0].dims[0];
    struct frt_remote_answer whole = {0};
    enum frt_status status = FRT_OK;
    for (int64_t begin = 0; begin < rows && status == FRT_OK;) {
        struct frt_tensor part[FRT_SESSION_MAX_INPUTS];
        struct frt_remote_answer answer = {0};
        const int64_t most = (int64_t)atomic_load(&session->most_rows);
        const int64_t count = session->splits && rows - begin > most ? most : rows - begin;
        slice(inputs, n_inputs, begin, count, part);
        status = remote_infer(session, part, n_inputs, &answer, http_status, err);
        if (status == FRT_ENOTFOUND && fewer_rows(session, count, *http_status)) {
            status = FRT_OK;
            continue;
        }
        if (status == FRT_OK)
            status = check_rows(session, &answer, count, err);
        if (status == FRT_OK && count == rows) {
            *out = answer;
            return FRT_OK;
        }
        if (status == FRT_OK)
            status = append_rows(&whole, &answer, session->model.info.n_outputs, begin, rows, count, err);
        frt_remote_answer_deinit(&answer);
        begin += count;
    }
    if (status == FRT_OK)
        *out = whole;
    else
        frt_remote_answer_deinit(&whole);
    return status;
}

/* What has happened since the last comparison. */
enum doubt { NO_DOUBT = 0, ROUTINE, SUSPICION };

static enum doubt doubt_of(const struct remote_session *session)
{
    const struct remote_backend *self = session->backend;
    const int64_t ago = frt_now_ns() - atomic_load(&session->compared_ns);
    if (atomic_load(&self->failures) != atomic_load(&session->failures))
        return SUSPICION;
    if (atomic_load(&self->connections) != atomic_load(&session->connections) && ago >= RECONNECT_NS)
        return SUSPICION;
    return ago >= (int64_t)self->options.compare_ms * 1000000 ? ROUTINE : NO_DOUBT;
}

struct counts {
    uint_fast64_t failures, connections;
};

static struct counts counts_now(const struct remote_backend *self)
{
    return (struct counts){atomic_load(&self->failures), atomic_load(&self->connections)};
}

static void settle(struct remote_session *session, struct counts counts)
{
    atomic_store(&session->failures, counts.failures);
    atomic_store(&session->connections, counts.connections);
    atomic_store(&session->compared_ns, frt_now_ns());
}

/* before: counted before the request went out: what has happened since is not settled by its answer. */
static enum frt_status compare_where_due(struct remote_session *session, const struct frt_tensor *inputs,
                                         uint32_t n_inputs, const struct frt_remote_answer *answer,
                                         struct counts before, struct frt_error *err)
{
    const enum doubt doubt = doubt_of(session);
    bool idle = false;
    if (doubt == NO_DOUBT)
        return FRT_OK;
    if (!atomic_compare_exchange_strong(&session->comparing, &idle, true))
        return doubt == ROUTINE ? FRT_OK
                                : frt_fail(err, FRT_EOVERLOADED, "%s: is being compared with the model here",
                                           session->backend->address.url);
    enum frt_status status = remote_compare(session, inputs, n_inputs, answer, err);
    if (status == FRT_OK)
        settle(session, before);
    atomic_store(&session->comparing, false);
    return status;
}

static enum frt_status check_version(const struct remote_session *session,
                                     const struct frt_remote_answer *answer, struct frt_error *err)
{
    if (strcmp(answer->version, session->model.served) == 0)
        return FRT_OK;
    return frt_fail(err, FRT_ENOTFOUND, "%s: model '%s' is of version %.40s now, and was of version %.40s",
                    session->backend->address.url, session->model.name.name, answer->version,
                    session->model.served);
}

static enum frt_status remote_run(const struct frt_session *base, const struct frt_tensor *inputs,
                                  uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err)
{
    /* what changes in a session is atomic */
    struct remote_session *session = (struct remote_session *)(uintptr_t)base;
    struct frt_remote_answer answer = {0};
    struct frt_outputs filled = {.n = base->info.n_outputs, .session = base};
    struct frt_error own = {0};
    const int64_t start = frt_now_ns();
    const struct counts before = counts_now(session->backend);
    int http_status = 0;
    enum frt_status status = remote_run_rows(session, inputs, n_inputs, &answer, &http_status, &own);
    if (status == FRT_OK)
        status = check_version(session, &answer, &own);
    if (status == FRT_OK)
        status = compare_where_due(session, inputs, n_inputs, &answer, before, &own);
    if (status != FRT_OK) {
        frt_remote_answer_deinit(&answer);
        if (err != NULL)
            *err = own;
        return status;
    }
    filled.run_ms = frt_elapsed_ms(start);
    for (uint32_t i = 0; i < filled.n; i++) {
        filled.owner[i] = answer.tensors[i].data;
        filled.tensors[i].data = answer.tensors[i].data;
        filled.tensors[i].n_dims = answer.tensors[i].n_dims;
        memcpy(filled.tensors[i].dims, answer.tensors[i].dims, sizeof filled.tensors[i].dims);
    }
    *out = filled;
    return FRT_OK;
}

static void remote_release(const struct frt_session *session, struct frt_outputs *out)
{
    (void)session;
    for (uint32_t i = 0; i < out->n; i++)
        frt_free(out->owner[i]);
}

static void remote_session_free(struct frt_session *session)
{
    frt_free(session);
}

static const struct frt_session_ops session_ops = {
    .run = remote_run, .release = remote_release, .free = remote_session_free};

/* --------------------------------------------------------------- opening */

static enum frt_status read_metadata(struct remote_session *session, struct frt_error *err)
{
    struct remote_backend *self = session->backend;
    struct frt_session_info theirs;
    struct frt_buf path, body;
    frt_buf_init(&path, FRT_REMOTE_URL_MAX);
    frt_buf_init(&body, METADATA_MAX);
    self->protocol->metadata_path(&session->model.name, &path);
    enum frt_status status = frt_buf_status(&path) == FRT_OK
                                 ? remote_get(self, path.data, &body, err)
                                 : frt_fail_nomem(err, "a request to the model server");
    if (status == FRT_OK) {
        status = self->protocol->read_metadata(body.data == NULL ? "" : body.data, body.size, &theirs, err);
        if (status == FRT_EBAD_REQUEST)
            status = frt_fail_within(
                err, FRT_ENOTFOUND, "%s%s: what answers there is no model server that speaks %s (%s)",
                self->address.url, path.data, self->protocol->name, self->protocol->path_help);
        else if (status == FRT_EBAD_MODEL)
            status = frt_fail_within(err, FRT_ENOTFOUND, "%s%s", self->address.url, path.data);
    }
    if (status == FRT_OK)
        status = remote_match(session, &theirs, err);
    frt_buf_deinit(&path);
    frt_buf_deinit(&body);
    return status;
}

static enum frt_status open_session(struct remote_session *session, struct frt_error *err)
{
    enum frt_status status = remote_token_load(session->backend, err);
    const struct counts before = counts_now(session->backend);
    if (status == FRT_OK)
        status = read_metadata(session, err);
    if (status == FRT_OK)
        status = remote_try_out(session, err);
    if (status == FRT_EOVERLOADED) /* of a run this is "next time"; there is no next time of an opening */
        status = FRT_EUNAVAILABLE;
    session->timeout_ms = session->backend->options.timeout_ms;
    settle(session, before);
    return status;
}

static enum frt_status remote_open_source(struct frt_backend *base, const struct frt_model_source *source,
                                          struct frt_session **out, struct frt_error *err)
{
    struct remote_backend *self = (struct remote_backend *)base;
    struct frt_error own = {0};
    if (source->reference == NULL || source->name == NULL)
        return frt_fail(err, FRT_EINVAL,
                        "a model server's model is opened by name, beside the same model here");
    struct remote_session *session = frt_alloc_zero(1, sizeof *session);
    if (session == NULL)
        return frt_fail_nomem(err, "a session");
    session->base.ops = &session_ops;
    session->base.info = source->reference->info;
    session->backend = self;
    session->reference = source->reference;
    session->timeout_ms = self->options.timeout_ms > OPENING_MS ? self->options.timeout_ms : OPENING_MS;
    atomic_init(&session->most_rows, UINT32_MAX);
    enum frt_status status = frt_remote_name_of(self->models, source->name, &session->model.name, &own);
    if (status == FRT_OK && session->model.name.local)
        status = frt_fail(&own, FRT_EBAD_MODEL, "infer_models leaves it here");
    if (status == FRT_OK)
        status = open_session(session, &own);
    if (status == FRT_OK) {
        *out = &session->base;
        return FRT_OK;
    }
    if (err != NULL)
        *err = own;
    frt_free(session);
    return status;
}

static enum frt_status remote_open(struct frt_backend *base, const char *path, struct frt_session **out,
                                   struct frt_error *err)
{
    (void)base;
    (void)out;
    return frt_fail(err, FRT_EINVAL, "%s: a model server's model is opened by name, beside the same model here",
                    path);
}

/* --------------------------------------------------------------- backend */

static const char *remote_version(const struct frt_backend *base)
{
    return ((const struct remote_backend *)base)->protocol->name;
}

static void remote_free(struct frt_backend *base)
{
    struct remote_backend *self = (struct remote_backend *)base;
    frt_http_client_free(self->client);
    frt_breaker_deinit(&self->breaker);
    (void)pthread_mutex_destroy(&self->lock);
    frt_wipe(self->token, sizeof self->token);
    frt_free(self->models);
    frt_free(self->ca_file);
    frt_free(self->token_file);
    frt_free(self);
}

static const struct frt_backend_ops remote_ops = {.name = "remote",
                                                  .device = "remote",
                                                  .version = remote_version,
                                                  .open = remote_open,
                                                  .open_source = remote_open_source,
                                                  .free = remote_free};

static bool copy_text(const char *text, char **out)
{
    *out = text == NULL || text[0] == '\0' ? NULL : frt_strdup(text);
    return *out != NULL || text == NULL || text[0] == '\0';
}

static void fill_defaults(struct frt_remote_options *o)
{
    o->connect_timeout_ms = o->connect_timeout_ms != 0 ? o->connect_timeout_ms : DEFAULT_CONNECT_MS;
    o->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    o->connections = o->connections != 0 ? o->connections : DEFAULT_CONNECTIONS;
    o->retries = o->retries == UINT32_MAX ? 0 : o->retries != 0 ? o->retries : DEFAULT_RETRIES;
    o->compare_ms = o->compare_ms != 0 ? o->compare_ms : DEFAULT_COMPARE_MS;
    o->address = o->models = o->ca_file = o->token_file = NULL; /* the caller's memory */
}

enum frt_status frt_backend_remote_new(const struct frt_remote_options *options, struct frt_backend **out,
                                       struct frt_error *err)
{
    struct frt_remote_name name;
    uint64_t random = 0;
    struct remote_backend *self = frt_alloc_zero(1, sizeof *self);
    if (self == NULL)
        return frt_fail_nomem(err, "the backend of a model server");
    self->base.ops = &remote_ops;
    self->options = *options;
    fill_defaults(&self->options);
    (void)pthread_mutex_init(&self->lock, NULL);
    frt_breaker_init(&self->breaker, &options->breaker);
    frt_random_bytes(&random, sizeof random);
    atomic_store(&self->random, (int_fast64_t)random);
    enum frt_status status = frt_remote_address_parse(options->address, &self->address, err);
    if (status == FRT_OK && self->address.kind == FRT_REMOTE_NONE)
        status = frt_fail(err, FRT_EINVAL, "no model server is named");
    if (status == FRT_OK)
        status = frt_remote_name_of(options->models, "any", &name, err); /* can it be read? */
    if (status == FRT_OK &&
        !(copy_text(options->models, &self->models) && copy_text(options->ca_file, &self->ca_file) &&
          copy_text(options->token_file, &self->token_file)))
        status = frt_fail_nomem(err, "the backend of a model server");
    if (status == FRT_OK)
        status = remote_token_load(self, err);
    const struct frt_http_client_options connection = {
        .connections = self->options.connections, .ca_file = self->ca_file, .no_proxy = true, .http_1_1 = true};
    if (status == FRT_OK)
        status = frt_http_client_new(&connection, &self->client, err);
    if (status != FRT_OK) {
        remote_free(&self->base);
        return status;
    }
    self->protocol = self->address.kind == FRT_REMOTE_KSERVE ? &frt_remote_kserve : &frt_remote_tfserving;
    *out = &self->base;
    return FRT_OK;
}

void frt_remote_state_get(const struct frt_backend *backend, struct frt_remote_state *out)
{
    struct remote_backend *self = (struct remote_backend *)(uintptr_t)backend;
    *out = (struct frt_remote_state){.protocol = self->protocol->name,
                                     .url = self->address.url,
                                     .retries = atomic_load(&self->retries),
                                     .comparisons = atomic_load(&self->comparisons),
                                     .differences = atomic_load(&self->differences),
                                     .sent_bytes = atomic_load(&self->sent_bytes),
                                     .received_bytes = atomic_load(&self->received_bytes)};
    out->breaker = frt_breaker_state(&self->breaker, &out->breaker_opened);
    for (int i = 0; i < FRT_REMOTE_OUTCOMES; i++)
        out->requests[i] = atomic_load(&self->requests[i]);
    (void)pthread_mutex_lock(&self->lock);
    memcpy(out->last_error, self->last_error, sizeof out->last_error);
    out->last_error_s = self->last_error_ns == 0 ? 0 : frt_elapsed_ms(self->last_error_ns) / 1000;
    (void)pthread_mutex_unlock(&self->lock);
}
