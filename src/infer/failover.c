#include "infer/failover.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "infer/failover_inside.h"

int64_t failover_now_ms(void)
{
    return frt_now_ns() / 1000000;
}

bool failover_is_of_model(enum frt_status status)
{
    return status == FRT_ENOMEM || status == FRT_EBAD_MODEL || status == FRT_EINVAL || status == FRT_ENOTFOUND;
}

/* --------------------------------------------------------------- holders */

struct failover_holder *failover_holder_new(struct frt_session *session)
{
    struct failover_holder *holder = frt_alloc_zero(1, sizeof *holder);
    if (holder == NULL)
        return NULL;
    holder->session = session;
    atomic_init(&holder->refs, 1);
    return holder;
}

void failover_holder_put(struct failover_holder *holder)
{
    if (holder == NULL || atomic_fetch_sub(&holder->refs, 1) != 1)
        return;
    frt_session_free(holder->session);
    frt_free(holder);
}

/* ------------------------------------------------------------- comparing */

/* Cosine of two outputs; 1 where there is nothing to compare. NAN: one of them is not finite. */
static double cosine(const float *a, const float *b, size_t n)
{
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < n; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    if (!isfinite(aa) || !isfinite(bb))
        return (double)NAN;
    if (aa < 1e-12 && bb < 1e-12)
        return 1;
    return aa < 1e-12 || bb < 1e-12 ? 0 : ab / sqrt(aa * bb);
}

enum frt_status failover_agree(const struct failover *self, const struct frt_outputs *mine,
                               const struct frt_outputs *fallback, struct frt_error *err)
{
    const double least = (double)self->options.agreement;
    for (uint32_t i = 0; i < mine->n && least >= 0; i++) {
        const struct frt_tensor *a = &mine->tensors[i], *b = &fallback->tensors[i];
        const size_t n = frt_tensor_size(a);
        if (n != frt_tensor_size(b))
            return frt_fail(err, FRT_EBAD_MODEL, "output %u has %zu values where %s gives %zu", (unsigned)i, n,
                            self->options.fallback->ops->device, frt_tensor_size(b));
        if (a->data == NULL || b->data == NULL || isnan(cosine(b->data, b->data, n)))
            continue;
        const double cos = cosine(a->data, b->data, n);
        if (!(cos >= least))
            return frt_fail(err, FRT_EBAD_MODEL, "output %u is not what %s computes (cosine %.4f)", (unsigned)i,
                            self->options.fallback->ops->device, cos);
    }
    return FRT_OK;
}

static bool same_tensor(const struct frt_tensor_info *a, const struct frt_tensor_info *b)
{
    if (a->n_dims != b->n_dims || a->is_float != b->is_float || strcmp(a->name, b->name) != 0)
        return false;
    for (uint32_t i = 0; i < a->n_dims; i++)
        if (a->dims[i] >= 0 && b->dims[i] >= 0 && a->dims[i] != b->dims[i])
            return false;
    return true;
}

static enum frt_status same_tensors(const struct frt_tensor_info *mine, uint32_t n_mine,
                                    const struct frt_tensor_info *fallback, uint32_t n, const char *what,
                                    struct frt_error *err)
{
    if (n_mine != n)
        return frt_fail(err, FRT_EBAD_MODEL, "%u %ss where the model's file has %u", (unsigned)n_mine, what,
                        (unsigned)n);
    for (uint32_t i = 0; i < n; i++) {
        char a[96], b[96];
        if (same_tensor(&mine[i], &fallback[i]))
            continue;
        frt_tensor_shape_text(mine[i].dims, mine[i].n_dims, a, sizeof a);
        frt_tensor_shape_text(fallback[i].dims, fallback[i].n_dims, b, sizeof b);
        return frt_fail(err, FRT_EBAD_MODEL, "%s \"%s\" %s where the model's file has \"%s\" %s", what,
                        mine[i].name, a, fallback[i].name, b);
    }
    return FRT_OK;
}

enum frt_status failover_same_kind(const struct failover_slot *slot, const struct frt_session *fresh,
                                   struct frt_error *err)
{
    const struct frt_session_info *a = &fresh->info, *b = &slot->base.info;
    enum frt_status status = same_tensors(a->inputs, a->n_inputs, b->inputs, b->n_inputs, "input", err);
    if (status == FRT_OK)
        status = same_tensors(a->outputs, a->n_outputs, b->outputs, b->n_outputs, "output", err);
    return status;
}

/* --------------------------------------------------------------- falling */

struct fall {
    bool device, model, for_good;
    char cause[FRT_ERROR_TEXT_MAX];
};

static void note_cause_locked(struct failover *self, const struct frt_error *err, struct fall *fall)
{
    (void)snprintf(fall->cause, sizeof fall->cause, "%s", err->text);
    (void)snprintf(self->cause, sizeof self->cause, "%s", err->text);
}

static void model_falls_locked(struct failover_slot *slot, bool for_good, const struct frt_error *err,
                               struct fall *fall)
{
    slot->place = for_good ? PLACE_NEVER : PLACE_FALLEN;
    slot->owner->model_falls++;
    note_cause_locked(slot->owner, err, fall);
    fall->model = true;
    fall->for_good = for_good;
    if (!for_good)
        failover_schedule_locked(slot->owner, &slot->again);
}

static void device_falls_locked(struct failover *self, const struct frt_error *err, struct fall *fall)
{
    if (self->down)
        return;
    self->down = true;
    self->down_since_ms = failover_now_ms();
    self->falls++;
    note_cause_locked(self, err, fall);
    fall->device = true;
    failover_schedule_locked(self, &self->again);
}

static void say(const struct failover_slot *slot, const struct failover *self, const struct fall *fall)
{
    const char *serving = self->options.fallback->ops->device;
    if (fall->device)
        frt_log(FRT_LOG_WARN, "device", FRT_LOG_STR("device", self->device), FRT_LOG_STR("state", "down"),
                FRT_LOG_STR("serving", serving), FRT_LOG_STR("cause", fall->cause), FRT_LOG_END);
    else if (fall->model)
        frt_log(FRT_LOG_WARN, "device", FRT_LOG_STR("device", self->device),
                FRT_LOG_STR("state", fall->for_good ? "model not taken" : "model down"),
                FRT_LOG_STR("model", slot->name != NULL ? slot->name : slot->path),
                FRT_LOG_STR("serving", serving), FRT_LOG_STR("cause", fall->cause), FRT_LOG_END);
}

/* A run failed on the primary, and the fallback answered it. */
static void judge(struct failover_slot *slot, const struct failover_holder *holder, enum frt_status status,
                  const struct frt_error *err)
{
    struct failover *self = slot->owner;
    struct fall fall = {0};
    (void)pthread_mutex_lock(&self->lock);
    if (status == FRT_EOVERLOADED) {
        self->spills++;
    } else if (slot->holder == holder && slot->place == PLACE_DEVICE && !self->down) {
        /* else a late failure of what has fallen already */
        if (failover_is_of_model(status))
            model_falls_locked(slot, false, err, &fall);
        else
            device_falls_locked(self, err, &fall);
        failover_prober_need_locked(self);
        (void)pthread_cond_signal(&self->changed);
    }
    (void)pthread_mutex_unlock(&self->lock);
    say(slot, self, &fall);
}

bool failover_try_exact(struct failover_slot *slot, const struct frt_backend *primary)
{
    struct failover *self = slot->owner;
    (void)pthread_mutex_lock(&self->lock);
    if (primary == NULL)
        primary = self->primary;
    const bool may = primary->ops->graph == FRT_GRAPH_HALF && !slot->exact && slot->source.prepare != NULL;
    slot->exact = slot->exact || may;
    (void)pthread_mutex_unlock(&self->lock);
    return may;
}

/* --------------------------------------------------------------- running */

/* The primary's session for this run, kept; NULL: the fallback has it. */
static struct failover_holder *take(struct failover_slot *slot, const struct frt_tensor *inputs,
                                    uint32_t n_inputs, bool *check)
{
    struct failover *self = slot->owner;
    struct failover_holder *holder = NULL;
    (void)pthread_mutex_lock(&self->lock);
    const bool well = !self->down && slot->place == PLACE_DEVICE;
    if (slot->holder != NULL && (well || slot->fallback == NULL))
        holder = slot->holder;
    if (holder != NULL && slot->fallback != NULL) {
        int wanted = CHECK_WANTED;
        if (frt_session_takes(holder->session, inputs, n_inputs, NULL) != FRT_OK) {
            self->spills++; /* a shape that only the fallback takes */
            holder = NULL;
        } else if (atomic_load(&holder->checked) != CHECK_DONE) {
            *check = atomic_compare_exchange_strong(&holder->checked, &wanted, CHECK_RUNS);
            holder = *check ? holder : NULL; /* another caller is at it */
        }
    }
    if (holder != NULL) {
        (void)atomic_fetch_add(&holder->refs, 1);
        self->runs++;
    } else {
        self->fallback_runs++;
    }
    if (well && holder != NULL) {
        slot->n_seen = n_inputs;
        for (uint32_t i = 0; i < n_inputs; i++) {
            slot->seen[i] = inputs[i];
            slot->seen[i].data = NULL;
        }
    }
    failover_prober_need_locked(self);
    (void)pthread_mutex_unlock(&self->lock);
    return holder;
}

/* The first answer of a session: compared with the fallback's, which goes out where they differ. */
static enum frt_status compare(const struct failover_slot *slot, struct failover_holder *holder,
                               const struct frt_tensor *inputs, uint32_t n_inputs, struct frt_outputs *mine,
                               struct frt_outputs *out, bool *answered, struct frt_error *err)
{
    struct frt_outputs other = {0};
    enum frt_status status = FRT_OK;
    *answered = false;
    if (slot->owner->options.agreement >= 0 &&
        slot->fallback->ops->run(slot->fallback, inputs, n_inputs, &other, NULL) == FRT_OK) {
        status = failover_agree(slot->owner, mine, &other, err);
        *answered = status != FRT_OK;
    }
    atomic_store(&holder->checked, CHECK_DONE);
    if (*answered) {
        frt_outputs_release(mine);
        *out = other;
    } else {
        frt_outputs_release(&other);
    }
    return status;
}

static void lend(const struct failover_slot *slot, struct failover_holder *holder, struct frt_outputs *mine,
                 struct frt_outputs *out)
{
    *out = *mine;
    out->session = &slot->base;
    out->lease = holder; /* until they are released */
}

static enum frt_status failover_run(const struct frt_session *session, const struct frt_tensor *inputs,
                                    uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err)
{
    /* what changes in a slot does so under the owner's lock */
    struct failover_slot *slot = (struct failover_slot *)(uintptr_t)session;
    struct frt_outputs mine = {0};
    struct frt_error why = {0};
    enum frt_status status = FRT_EUNAVAILABLE;
    bool check = false, answered = false;
    if (slot->fallback != NULL && frt_infer_fallback_only_get())
        return slot->fallback->ops->run(slot->fallback, inputs, n_inputs, out, err);
    struct failover_holder *holder = take(slot, inputs, n_inputs, &check);

    if (holder != NULL) {
        status = holder->session->ops->run(holder->session, inputs, n_inputs, &mine, &why);
        if (status == FRT_OK && check)
            status = compare(slot, holder, inputs, n_inputs, &mine, out, &answered, &why);
        else if (check)
            atomic_store(&holder->checked, CHECK_WANTED);
        if (status == FRT_OK) {
            lend(slot, holder, &mine, out);
            return FRT_OK;
        }
        if (slot->fallback == NULL || status == FRT_ETIMEOUT || status == FRT_ECANCELLED) {
            failover_holder_put(holder);
            if (err != NULL)
                *err = why;
            return status;
        }
    } else if (slot->fallback == NULL) {
        return frt_fail(err, FRT_ERUNTIME, "%s is down, and the model is not here", slot->owner->device);
    }
    enum frt_status second =
        answered ? FRT_OK : slot->fallback->ops->run(slot->fallback, inputs, n_inputs, out, err);
    if (answered)
        (void)failover_try_exact(slot, NULL);
    if (holder != NULL && second == FRT_OK)
        judge(slot, holder, status, &why);
    failover_holder_put(holder);
    return second;
}

/* Of the primary's outputs only: the fallback's carry their own session. */
static void failover_release(const struct frt_session *session, struct frt_outputs *out)
{
    struct failover_holder *holder = out->lease;
    (void)session;
    out->session = holder->session;
    out->lease = NULL;
    frt_outputs_release(out);
    failover_holder_put(holder);
}

static const char *failover_session_device(const struct frt_session *session)
{
    const struct failover_slot *slot = (const struct failover_slot *)session;
    struct failover *self = slot->owner;
    (void)pthread_mutex_lock(&self->lock);
    const bool primary =
        slot->fallback == NULL || (!self->down && slot->place == PLACE_DEVICE && slot->holder != NULL);
    (void)pthread_mutex_unlock(&self->lock);
    return primary ? self->device : frt_session_device(slot->fallback);
}

/* --------------------------------------------------------------- closing */

void failover_slot_put(struct failover_slot *slot)
{
    struct failover *self = slot->owner;
    (void)pthread_mutex_lock(&self->lock);
    const bool last = --slot->refs == 0;
    (void)pthread_mutex_unlock(&self->lock);
    if (!last)
        return;
    failover_holder_put(slot->holder);
    frt_session_free(slot->fallback);
    frt_free(slot->path);
    frt_free(slot->name);
    frt_free(slot->version);
    frt_free(slot);
}

static void failover_session_free(struct frt_session *session)
{
    struct failover_slot *slot = (struct failover_slot *)session;
    struct failover *self = slot->owner;
    (void)pthread_mutex_lock(&self->lock);
    slot->closed = true;
    for (struct failover_slot **at = &self->slots; *at != NULL; at = &(*at)->next)
        if (*at == slot) {
            *at = slot->next;
            break;
        }
    (void)pthread_mutex_unlock(&self->lock);
    failover_slot_put(slot);
}

static const struct frt_session_ops session_ops = {.run = failover_run,
                                                   .release = failover_release,
                                                   .free = failover_session_free,
                                                   .device = failover_session_device};

/* --------------------------------------------------------------- opening */

/* NULL: no memory. */
static struct failover_slot *slot_new(struct failover *self, const struct frt_model_source *source)
{
    struct failover_slot *slot = frt_alloc_zero(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->base.ops = &session_ops;
    slot->owner = self;
    slot->refs = 1;
    slot->path = frt_strdup(source->path);
    slot->name = frt_strdup(source->name);
    slot->version = frt_strdup(source->version);
    if (slot->path == NULL || (slot->name == NULL && source->name != NULL) ||
        (slot->version == NULL && source->version != NULL)) {
        failover_slot_put(slot);
        return NULL;
    }
    slot->source = *source;
    slot->source.path = slot->path;
    slot->source.name = slot->name;
    slot->source.version = slot->version;
    slot->source.reference = NULL;
    return slot;
}

/* Where both say something, the one that says less is asked: a fixed dimension counts more than any. */
static void narrow_shapes(struct frt_session_info *info, const struct frt_session_info *other)
{
    for (uint32_t i = 0; i < info->n_inputs; i++)
        for (uint32_t d = 0; d < info->inputs[i].n_dims; d++)
            if (info->inputs[i].dims[d] < 0)
                info->inputs[i].dims[d] = other->inputs[i].dims[d];
}

/* The primary's session at load; what fails is a fall. */
static enum frt_status open_primary(struct failover_slot *slot, struct frt_backend *primary,
                                    struct frt_error *why)
{
    struct frt_session *session = NULL;
    enum frt_status status = frt_session_open_source(primary, &slot->source, &session, why);
    if (status == FRT_OK && slot->fallback != NULL)
        status = failover_same_kind(slot, session, why);
    if (status == FRT_OK) {
        if (slot->fallback == NULL)
            slot->base.info = session->info;
        else
            narrow_shapes(&slot->base.info, &session->info);
        slot->holder = failover_holder_new(session);
        slot->was_on = true;
        if (slot->holder == NULL)
            status = frt_fail_nomem(why, "a session");
    }
    if (status != FRT_OK)
        frt_session_free(session);
    return status;
}

/* What is opened on the fallback alone: it never asks for the primary. */
static enum frt_status failover_open_bytes(struct frt_backend *backend, const void *bytes, size_t size,
                                           struct frt_session **out, struct frt_error *err)
{
    return frt_session_open_bytes(((struct failover *)backend)->options.fallback, bytes, size, out, err);
}

static enum frt_status failover_open_source(struct frt_backend *backend, const struct frt_model_source *source,
                                            struct frt_session **out, struct frt_error *err)
{
    struct failover *self = (struct failover *)backend;
    struct frt_error here = {0}, there = {0};
    struct fall fall = {0};
    if (source->path == NULL) /* bytes are made for the CPU, and are not there to be opened again */
        return frt_session_open_source(self->options.fallback, source, out, err);
    struct failover_slot *slot = slot_new(self, source);
    enum frt_status status, first = FRT_OK;
    if (slot == NULL)
        return frt_fail_nomem(err, "a session");
    status = frt_session_open_source(self->options.fallback, source, &slot->fallback, &here);
    if (status == FRT_OK) {
        slot->base.info = slot->fallback->info;
        slot->source.reference = slot->fallback;
    }
    (void)pthread_mutex_lock(&self->lock);
    struct frt_backend *primary = self->primary;
    /* a backend that asks for more than the file, as a server does, has a model of its own */
    const bool refused = source->cpu_only && (primary == NULL || primary->ops->open_source == NULL);
    if (self->down || self->options.later)
        primary = NULL;
    (void)pthread_mutex_unlock(&self->lock);
    if (refused)
        first = frt_fail(&there, FRT_EBAD_MODEL, "its 8-bit operators are the CPU's");
    else if (primary != NULL)
        first = open_primary(slot, primary, &there);
    else if (slot->fallback == NULL)
        first = frt_fail(&there, FRT_ERUNTIME, "%s is down", self->device);
    if (slot->fallback == NULL && slot->holder == NULL) { /* neither: the file's fault, nothing falls */
        failover_slot_put(slot);
        if (err != NULL)
            *err = here;
        return status;
    }
    (void)pthread_mutex_lock(&self->lock);
    if (failover_is_of_model(first))
        model_falls_locked(slot, first == FRT_EBAD_MODEL || first == FRT_EINVAL, &there, &fall);
    else if (first != FRT_OK)
        device_falls_locked(self, &there, &fall);
    if (slot->place == PLACE_DEVICE && slot->holder == NULL) { /* the prober's, with the device or at once */
        slot->place = PLACE_FALLEN;
        slot->again.due_ms = failover_now_ms();
    }
    slot->next = self->slots;
    self->slots = slot;
    failover_prober_need_locked(self);
    (void)pthread_cond_signal(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    say(slot, self, &fall);
    if (slot->fallback == NULL)
        frt_log(FRT_LOG_WARN, "device", FRT_LOG_STR("device", self->device),
                FRT_LOG_STR("state", "model without fallback"),
                FRT_LOG_STR("model", slot->name != NULL ? slot->name : slot->path),
                FRT_LOG_STR("cause", here.text), FRT_LOG_END);
    *out = &slot->base;
    return FRT_OK;
}

static enum frt_status failover_open(struct frt_backend *backend, const char *path, struct frt_session **out,
                                     struct frt_error *err)
{
    const struct frt_model_source source = {.path = path};
    return failover_open_source(backend, &source, out, err);
}

/* --------------------------------------------------------------- backend */

static const char *failover_version(const struct frt_backend *backend)
{
    const struct frt_backend *fallback = ((const struct failover *)backend)->options.fallback;
    return fallback->ops->version(fallback);
}

static const char *failover_serving(const struct frt_backend *backend)
{
    struct failover *self = (struct failover *)(uintptr_t)backend;
    (void)pthread_mutex_lock(&self->lock);
    const bool down = self->down;
    (void)pthread_mutex_unlock(&self->lock);
    return down ? frt_backend_serving(self->options.fallback) : self->device;
}

static size_t failover_states(const struct frt_backend *backend, struct frt_backend_state *out, size_t max)
{
    struct failover *self = (struct failover *)(uintptr_t)backend;
    struct frt_backend_state *o = &out[0];
    if (max == 0)
        return 0;
    size_t n = 1 + frt_backend_states(self->options.fallback, out + 1, max - 1);
    *o = (struct frt_backend_state){.next_probe_s = -1, .down_s = -1};
    (void)pthread_mutex_lock(&self->lock);
    const int64_t now = failover_now_ms();
    int64_t due = self->down ? self->again.due_ms : INT64_MAX;
    for (const struct failover_slot *slot = self->slots; slot != NULL; slot = slot->next) {
        o->models++;
        o->on_device += !self->down && slot->place == PLACE_DEVICE && slot->holder != NULL;
        if (!self->down && slot->place == PLACE_FALLEN && slot->again.due_ms < due)
            due = slot->again.due_ms;
    }
    o->state = !self->down ? "up" : self->opening ? "opening" : "down";
    o->falls = self->falls;
    o->model_falls = self->model_falls;
    o->returns = self->returns;
    o->probes = self->probes;
    o->spills = self->spills;
    o->runs = self->runs;
    o->fallback_runs = self->fallback_runs;
    if (due != INT64_MAX)
        o->next_probe_s = due > now ? (double)(due - now) / 1000 : 0;
    if (self->down)
        o->down_s = (double)(now - self->down_since_ms) / 1000;
    memcpy(o->cause, self->cause, sizeof o->cause);
    (void)pthread_mutex_unlock(&self->lock);
    (void)snprintf(o->device, sizeof o->device, "%s", self->device);
    (void)snprintf(o->serving, sizeof o->serving, "%s",
                   o->down_s < 0 ? self->device : frt_backend_serving(self->options.fallback));
    return n;
}

static void failover_free(struct frt_backend *backend)
{
    struct failover *self = (struct failover *)backend;
    if (!failover_prober_end(self))
        return;
    frt_backend_free(self->primary);
    frt_backend_free(self->options.fallback);
    if (self->options.free_arg != NULL)
        self->options.free_arg(self->options.arg);
    (void)pthread_cond_destroy(&self->changed);
    (void)pthread_mutex_destroy(&self->lock);
    frt_free(self);
}

static void fill_defaults(struct frt_failover_options *o)
{
    if (o->first_probe_ms == 0)
        o->first_probe_ms = 1000;
    if (o->most_probe_ms == 0)
        o->most_probe_ms = 300000;
    if (o->most_probe_ms < o->first_probe_ms)
        o->most_probe_ms = o->first_probe_ms;
    if (o->forget_ms == 0)
        o->forget_ms = 600000;
    if (o->agreement == 0) /* exactly: what a zeroed struct holds */
        o->agreement = 0.98F;
    if (o->seed == 0)
        o->seed = (uint64_t)frt_now_ns();
}

static void init_lock(struct failover *self)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&self->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&self->lock, NULL);
}

/* The device is not there yet, or is not to be waited for. */
static void begin_down(struct failover *self, enum frt_status status, const struct frt_error *why)
{
    struct fall fall = {0};
    (void)pthread_mutex_lock(&self->lock);
    if (status != FRT_OK) {
        device_falls_locked(self, why, &fall);
    } else {
        self->down = self->opening = true;
        self->down_since_ms = failover_now_ms();
        self->again.due_ms = self->down_since_ms;
    }
    (void)pthread_mutex_unlock(&self->lock);
    say(NULL, self, &fall);
}

enum frt_status frt_backend_failover_new(const struct frt_failover_options *options, struct frt_backend **out,
                                         struct frt_error *err)
{
    struct frt_error why = {0};
    struct failover *self = NULL;
    enum frt_status status = FRT_OK, first = FRT_OK;
    if (options->fallback == NULL || (options->primary == NULL && options->make == NULL))
        status = frt_fail(err, FRT_EINVAL, "a failover takes a primary and a fallback");
    else if ((self = frt_alloc_zero(1, sizeof *self)) == NULL)
        status = frt_fail_nomem(err, "a backend");
    if (status != FRT_OK || self == NULL) {
        frt_backend_free(options->primary);
        frt_backend_free(options->fallback);
        if (options->free_arg != NULL)
            options->free_arg(options->arg);
        return status;
    }
    self->options = *options;
    fill_defaults(&self->options);
    self->random = self->options.seed;
    self->primary = options->primary;
    init_lock(self);
    if (self->primary == NULL && !options->later)
        first = options->make(options->arg, &self->primary, &why);
    (void)snprintf(self->device, sizeof self->device, "%s",
                   options->device != NULL ? options->device
                   : self->primary != NULL ? self->primary->ops->device
                                           : "device");
    self->ops = (struct frt_backend_ops){.name = options->fallback->ops->name,
                                         .device = self->device,
                                         .graph = options->fallback->ops->graph,
                                         .version = failover_version,
                                         .open = failover_open,
                                         .open_source = failover_open_source,
                                         .states = failover_states,
                                         .serving = failover_serving,
                                         .free = failover_free};
    if (options->fallback->ops->open_bytes != NULL)
        self->ops.open_bytes = failover_open_bytes;
    self->base.ops = &self->ops;
    if (first != FRT_OK || options->later)
        begin_down(self, first, &why);
    *out = &self->base;
    return FRT_OK;
}
