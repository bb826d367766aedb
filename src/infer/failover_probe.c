/* The way back of failover.h: one thread while something is down. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/splitmix.h"
#include "infer/failover_inside.h"

/* A device that hangs while it is looked at must not keep a service from ending. */
enum { END_WAIT_S = 5 };
/* Larger inputs are not tried, only opened. */
static const size_t most_trial_bytes = (size_t)256 << 20;

void failover_schedule_locked(struct failover *self, struct failover_again *again)
{
    const struct frt_failover_options *o = &self->options;
    const int64_t now = failover_now_ms();
    const bool held = again->since_ms != 0 && now - again->since_ms >= (int64_t)o->forget_ms;
    if (again->delay_ms == 0 || held)
        again->delay_ms = o->first_probe_ms;
    else
        again->delay_ms = again->delay_ms > o->most_probe_ms / 2 ? o->most_probe_ms : 2 * again->delay_ms;
    again->since_ms = 0;
    again->due_ms = now + again->delay_ms -
                    (int64_t)(frt_splitmix_next(&self->random) % ((uint64_t)again->delay_ms / 4 + 1));
}

/* ------------------------------------------------------------- one model */

/* What a look at one model came to. */
struct look {
    struct failover_slot *slot; /* retained */
    struct failover_holder *fresh;
    enum frt_status status;
    struct frt_error why;
    bool differed;    /* its answer in f16; it is tried in f32 next */
    bool tried;       /* it ran: opening alone says little of a device */
    const char *said; /* what is to be said of it; NULL: nothing */
};

/* Shapes to try a model that was never run: its own, one item; false: it leaves them open. */
static bool own_shapes(const struct frt_session_info *info, struct frt_tensor inputs[FRT_SESSION_MAX_INPUTS])
{
    for (uint32_t i = 0; i < info->n_inputs; i++) {
        inputs[i] = (struct frt_tensor){.n_dims = info->inputs[i].n_dims};
        for (uint32_t d = 0; d < info->inputs[i].n_dims; d++) {
            if (info->inputs[i].dims[d] < 0 && d > 0)
                return false;
            inputs[i].dims[d] = info->inputs[i].dims[d] < 0 ? 1 : info->inputs[i].dims[d];
        }
        if (!info->inputs[i].is_float)
            return false;
    }
    return true;
}

/* Noise of the shapes that the model was last run with; false: they are not known, or too large. */
static bool make_noise(struct failover *self, struct failover_slot *slot,
                       struct frt_tensor inputs[FRT_SESSION_MAX_INPUTS], uint32_t *n)
{
    uint64_t random = 1;
    (void)pthread_mutex_lock(&self->lock);
    *n = slot->n_seen;
    memcpy(inputs, slot->seen, sizeof slot->seen);
    (void)pthread_mutex_unlock(&self->lock);
    if (*n == 0 && own_shapes(&slot->base.info, inputs))
        *n = slot->base.info.n_inputs;
    for (uint32_t i = 0; i < *n; i++) {
        const size_t size = frt_tensor_size(&inputs[i]);
        float *data =
            size == 0 || size > most_trial_bytes / sizeof(float) ? NULL : frt_alloc_array(size, sizeof *data);
        for (size_t k = 0; data != NULL && k < size; k++)
            data[k] = (float)(frt_splitmix_next(&random) >> 40) / (float)(1 << 24);
        inputs[i].data = data;
        if (data == NULL) {
            *n = 0;
            for (uint32_t k = 0; k < i; k++)
                frt_free((void *)(uintptr_t)inputs[k].data);
        }
    }
    return *n > 0;
}

static enum frt_status try_out(struct failover *self, const struct frt_backend *primary, struct look *look,
                               const struct frt_session *fresh)
{
    struct frt_tensor inputs[FRT_SESSION_MAX_INPUTS];
    struct frt_outputs mine = {0}, other = {0};
    struct failover_slot *slot = look->slot;
    struct frt_error *why = &look->why;
    uint32_t n;
    if (!make_noise(self, slot, inputs, &n))
        return FRT_OK;
    enum frt_status status = frt_session_takes(fresh, inputs, n, NULL);
    if (status != FRT_OK) /* runs of this shape are the fallback's anyhow */
        status = FRT_OK;
    else
        status = fresh->ops->run(fresh, inputs, n, &mine, why);
    look->tried = mine.n > 0;
    if (status == FRT_OK && mine.n > 0 && slot->fallback != NULL &&
        slot->fallback->ops->run(slot->fallback, inputs, n, &other, NULL) == FRT_OK)
        status = failover_agree(self, &mine, &other, why);
    if (status != FRT_OK && other.n > 0)
        look->differed = failover_try_exact(slot, primary);
    frt_outputs_release(&mine);
    frt_outputs_release(&other);
    for (uint32_t i = 0; i < n; i++)
        frt_free((void *)(uintptr_t)inputs[i].data);
    return status;
}

/* The memory of what has fallen, before anything is opened: two of it may not fit, and what is lost is shared
 * by all sessions of a device. A model without a fallback keeps what it has. */
static void let_go(struct failover *self, struct failover_slot *slot)
{
    (void)pthread_mutex_lock(&self->lock);
    struct failover_holder *old = slot->fallback != NULL ? slot->holder : NULL;
    if (old != NULL)
        slot->holder = NULL;
    (void)pthread_mutex_unlock(&self->lock);
    failover_holder_put(old);
}

static void look_at(struct failover *self, struct frt_backend *primary, struct look *look)
{
    struct failover_slot *slot = look->slot;
    struct frt_session *fresh = NULL;
    (void)pthread_mutex_lock(&self->lock);
    const bool gone = slot->closed || self->stop;
    struct frt_model_source source = slot->source;
    source.exact = slot->exact;
    (void)pthread_mutex_unlock(&self->lock);
    look->status = FRT_ECANCELLED;
    if (gone)
        return;
    frt_infer_width_set(FRT_INFER_NARROW);
    look->status = frt_session_open_source(primary, &source, &fresh, &look->why);
    if (look->status == FRT_OK)
        look->status = failover_same_kind(slot, fresh, &look->why);
    if (look->status == FRT_OK)
        look->status = try_out(self, primary, look, fresh);
    if (look->status == FRT_OK) {
        look->fresh = failover_holder_new(fresh);
        look->status = look->fresh == NULL ? FRT_ENOMEM : FRT_OK;
    }
    if (look->status != FRT_OK)
        frt_session_free(fresh);
}

/* -------------------------------------------------------------- one turn */

static bool is_due(const struct failover *self, const struct failover_slot *slot, int64_t now)
{
    return self->down ? slot->place != PLACE_NEVER : slot->place == PLACE_FALLEN && slot->again.due_ms <= now;
}

/* What is to be looked at, retained. NULL: nothing, or no memory (*n tells). */
static struct look *gather_locked(struct failover *self, size_t *n)
{
    const int64_t now = failover_now_ms();
    *n = 0;
    for (struct failover_slot *slot = self->slots; slot != NULL; slot = slot->next)
        *n += is_due(self, slot, now);
    struct look *looks = *n > 0 ? frt_alloc_zero(*n, sizeof *looks) : NULL;
    size_t i = 0;
    for (struct failover_slot *slot = self->slots; slot != NULL && looks != NULL; slot = slot->next) {
        if (!is_due(self, slot, now))
            continue;
        slot->refs++;
        looks[i++].slot = slot;
    }
    return looks;
}

/* What a turn changed, to be said outside the lock. */
struct news {
    bool up, opened;
    uint32_t back, of;
    double down_s;
};

static void settle_slot_locked(struct failover *self, struct look *look, struct news *news)
{
    struct failover_slot *slot = look->slot;
    const int64_t now = failover_now_ms();
    if (look->status == FRT_OK && !slot->closed && slot->place != PLACE_NEVER) {
        struct failover_holder *old = slot->holder;
        slot->holder = look->fresh;
        look->fresh = old; /* freed with the look */
        if (look->tried)
            atomic_store(&slot->holder->checked, CHECK_DONE);
        slot->place = PLACE_DEVICE;
        slot->was_on = true;
        slot->again.since_ms = now;
        news->back++;
        return;
    }
    if (look->status == FRT_ECANCELLED)
        return;
    if (slot->fallback == NULL) {
        slot->place = PLACE_DEVICE; /* there is no other */
    } else if (!slot->was_on && !look->differed &&
               (look->status == FRT_EBAD_MODEL || look->status == FRT_EINVAL)) {
        slot->place = PLACE_NEVER;
        look->said = "model not taken";
    } else {
        slot->place = PLACE_FALLEN;
        look->said = slot->again.delay_ms == 0 ? "model down" : NULL; /* the first time only */
    }
    self->model_falls += look->said != NULL;
    failover_schedule_locked(self, &slot->again);
}

/* The device is up if a model answers; where none can be tried, if one can be opened; if there is none, at
 * once. */
static void settle_locked(struct failover *self, struct look *looks, size_t n, bool fresh, struct news *news)
{
    bool any = n == 0 && fresh;
    const struct frt_error *why = NULL;
    bool untried = false, failed = false;
    for (size_t i = 0; i < n; i++) {
        any = any || (looks[i].status == FRT_OK && looks[i].tried);
        untried = untried || looks[i].status == FRT_OK;
        failed = failed || (looks[i].status != FRT_OK && looks[i].status != FRT_ECANCELLED);
        if (looks[i].status != FRT_OK && looks[i].status != FRT_ECANCELLED)
            why = &looks[i].why;
    }
    any = any || (untried && !failed);
    if (self->down && !any) {
        if (why != NULL)
            memcpy(self->cause, why->text, sizeof self->cause);
        self->opening = false;
        failover_schedule_locked(self, &self->again);
        return;
    }
    for (size_t i = 0; i < n; i++)
        settle_slot_locked(self, &looks[i], news);
    news->of = (uint32_t)n;
    if (!self->down)
        return;
    const int64_t now = failover_now_ms();
    news->up = true;
    news->opened = self->opening;
    news->down_s = (double)(now - self->down_since_ms) / 1000;
    self->down = self->opening = false;
    self->again.since_ms = now;
    self->returns += !news->opened;
}

static void say(const struct failover *self, const struct news *news)
{
    if (news->up)
        frt_log(FRT_LOG_INFO, "device", FRT_LOG_STR("device", self->device), FRT_LOG_STR("state", "up"),
                FRT_LOG_INT("models", news->back), FRT_LOG_INT("of", news->of),
                FRT_LOG_NUM("after_s", news->down_s), FRT_LOG_END);
    else if (news->back > 0)
        frt_log(FRT_LOG_INFO, "device", FRT_LOG_STR("device", self->device), FRT_LOG_STR("state", "model up"),
                FRT_LOG_INT("models", news->back), FRT_LOG_END);
}

static void take_turn_unlocked(struct failover *self, struct look *looks, size_t n, bool was_opening)
{
    struct news news = {0};
    struct frt_error why = {0};
    struct frt_backend *primary = self->primary; /* set by this thread only, once it runs */
    enum frt_status made = FRT_OK;
    for (size_t i = 0; i < n; i++)
        let_go(self, looks[i].slot);
    if (primary == NULL)
        made = self->options.make(self->options.arg, &primary, &why);
    for (size_t i = 0; i < n; i++) {
        looks[i].status = made;
        looks[i].why = why;
        if (made == FRT_OK)
            look_at(self, primary, &looks[i]);
    }
    (void)pthread_mutex_lock(&self->lock);
    const bool fresh = self->primary == NULL && made == FRT_OK;
    self->primary = made == FRT_OK ? primary : NULL;
    self->probes += !was_opening;
    settle_locked(self, looks, n, fresh, &news);
    if (made != FRT_OK)
        memcpy(self->cause, why.text, sizeof self->cause);
    const bool failed_to_open = was_opening && self->down;
    char cause[sizeof self->cause];
    if (failed_to_open)
        self->falls++;
    memcpy(cause, self->cause, sizeof cause);
    (void)pthread_mutex_unlock(&self->lock);
    say(self, &news);
    if (failed_to_open)
        frt_log(FRT_LOG_WARN, "device", FRT_LOG_STR("device", self->device), FRT_LOG_STR("state", "down"),
                FRT_LOG_STR("serving", self->options.fallback->ops->device), FRT_LOG_STR("cause", cause),
                FRT_LOG_END);
    for (size_t i = 0; i < n; i++) {
        if (looks[i].said != NULL)
            frt_log(
                FRT_LOG_WARN, "device", FRT_LOG_STR("device", self->device),
                FRT_LOG_STR("state", looks[i].said),
                FRT_LOG_STR("model", looks[i].slot->name != NULL ? looks[i].slot->name : looks[i].slot->path),
                FRT_LOG_STR("serving", self->options.fallback->ops->device),
                FRT_LOG_STR("cause", looks[i].why.text), FRT_LOG_END);
        failover_holder_put(looks[i].fresh);
        failover_slot_put(looks[i].slot);
    }
}

/* ------------------------------------------------------------ the thread */

/* When the next look is due; INT64_MAX: nothing is down. */
static int64_t next_due_locked(const struct failover *self)
{
    int64_t due = self->down ? self->again.due_ms : INT64_MAX;
    for (const struct failover_slot *slot = self->slots; slot != NULL && !self->down; slot = slot->next)
        if (slot->place == PLACE_FALLEN && slot->again.due_ms < due)
            due = slot->again.due_ms;
    return due;
}

static void *probe(void *arg)
{
    struct failover *self = arg;
    int64_t due;
    (void)pthread_mutex_lock(&self->lock);
    while (!self->stop && (due = next_due_locked(self)) != INT64_MAX) {
        if (due > failover_now_ms()) {
            const struct timespec until = {.tv_sec = due / 1000, .tv_nsec = (long)(due % 1000) * 1000000};
            (void)pthread_cond_timedwait(&self->changed, &self->lock, &until);
            continue;
        }
        size_t n;
        struct look *looks = gather_locked(self, &n);
        const bool was_opening = self->opening;
        if (looks == NULL && n > 0) { /* no memory now */
            failover_schedule_locked(self, &self->again);
            for (struct failover_slot *slot = self->slots; slot != NULL; slot = slot->next)
                failover_schedule_locked(self, &slot->again);
            continue;
        }
        (void)pthread_mutex_unlock(&self->lock);
        take_turn_unlocked(self, looks, n, was_opening);
        frt_free(looks);
        (void)pthread_mutex_lock(&self->lock);
    }
    self->prober_alive = false;
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

void failover_prober_need_locked(struct failover *self)
{
    if (self->prober_alive) {
        return;
    }
    if (self->stop || next_due_locked(self) == INT64_MAX)
        return;
    if (self->prober_joinable) /* it has let go of the lock for the last time */
        (void)pthread_join(self->prober, NULL);
    self->prober_joinable = self->prober_alive = pthread_create(&self->prober, NULL, probe, self) == 0;
}

bool failover_prober_end(struct failover *self)
{
    struct timespec until;
    (void)pthread_mutex_lock(&self->lock);
    self->stop = true;
    (void)pthread_cond_signal(&self->changed);
    const bool joinable = self->prober_joinable;
    (void)pthread_mutex_unlock(&self->lock);
    if (!joinable)
        return true;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += END_WAIT_S;
    if (pthread_timedjoin_np(self->prober, NULL, &until) == 0)
        return true;
    (void)pthread_detach(self->prober);
    frt_log(FRT_LOG_WARN, "device", FRT_LOG_STR("device", self->device), FRT_LOG_STR("state", "hangs"),
            FRT_LOG_STR("cause", "a look at it has not returned; its memory is left to the end of the process"),
            FRT_LOG_END);
    return false;
}
