#include "infer/breaker.h"

static const double RETRIES_MOST = 10, RETRY_OF_A_CALL = 0.1;

static uint32_t or_else(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static int64_t now_ns(const struct frt_breaker *b)
{
    return b->options.clock->monotonic_ns(b->options.clock);
}

void frt_breaker_init(struct frt_breaker *breaker, const struct frt_breaker_options *options)
{
    *breaker = (struct frt_breaker){.options = *options, .budget = RETRIES_MOST};
    struct frt_breaker_options *o = &breaker->options;
    o->clock = o->clock != NULL ? o->clock : &frt_clock_system;
    o->in_a_row = or_else(o->in_a_row, 5);
    o->of_span = or_else(o->of_span, 10);
    o->span_ms = or_else(o->span_ms, 10000);
    o->first_ms = or_else(o->first_ms, 1000);
    o->most_ms = or_else(o->most_ms, 30000);
    (void)pthread_mutex_init(&breaker->lock, NULL);
}

void frt_breaker_deinit(struct frt_breaker *breaker)
{
    (void)pthread_mutex_destroy(&breaker->lock);
}

static void count_locked(struct frt_breaker *b)
{
    b->budget = b->budget + RETRY_OF_A_CALL < RETRIES_MOST ? b->budget + RETRY_OF_A_CALL : RETRIES_MOST;
}

bool frt_breaker_allow(struct frt_breaker *breaker)
{
    (void)pthread_mutex_lock(&breaker->lock);
    if (breaker->state == FRT_BREAKER_OPEN && now_ns(breaker) >= breaker->until_ns) {
        breaker->state = FRT_BREAKER_HALF_OPEN; /* this one is the trial */
        count_locked(breaker);
        (void)pthread_mutex_unlock(&breaker->lock);
        return true;
    }
    const bool allowed = breaker->state == FRT_BREAKER_CLOSED;
    if (allowed)
        count_locked(breaker);
    (void)pthread_mutex_unlock(&breaker->lock);
    return allowed;
}

void frt_breaker_try(struct frt_breaker *breaker)
{
    (void)pthread_mutex_lock(&breaker->lock);
    if (breaker->state == FRT_BREAKER_OPEN)
        breaker->state = FRT_BREAKER_HALF_OPEN;
    (void)pthread_mutex_unlock(&breaker->lock);
}

static void open_locked(struct frt_breaker *b, int64_t now)
{
    const struct frt_breaker_options *o = &b->options;
    if (b->state == FRT_BREAKER_CLOSED) {
        b->wait_ms = o->first_ms;
        b->opened++;
    } else {
        b->wait_ms = b->wait_ms > o->most_ms / 2 ? o->most_ms : 2 * b->wait_ms;
    }
    b->state = FRT_BREAKER_OPEN;
    b->until_ns = now + (int64_t)b->wait_ms * 1000000;
}

void frt_breaker_report(struct frt_breaker *breaker, bool good)
{
    const struct frt_breaker_options *o = &breaker->options;
    (void)pthread_mutex_lock(&breaker->lock);
    const int64_t now = now_ns(breaker);
    if (now - breaker->span_ns >= (int64_t)o->span_ms * 1000000) {
        breaker->span_ns = now;
        breaker->good = breaker->bad = 0;
    }
    if (good) {
        breaker->good++;
        breaker->row = 0;
        if (breaker->state == FRT_BREAKER_HALF_OPEN) {
            breaker->state = FRT_BREAKER_CLOSED;
            breaker->good = breaker->bad = 0;
        }
    } else {
        breaker->bad++;
        breaker->row++;
        const bool many = breaker->bad >= o->of_span && breaker->bad >= breaker->good;
        if (breaker->state == FRT_BREAKER_HALF_OPEN ||
            (breaker->state == FRT_BREAKER_CLOSED && (breaker->row >= o->in_a_row || many)))
            open_locked(breaker, now);
    }
    (void)pthread_mutex_unlock(&breaker->lock);
}

enum frt_breaker_state frt_breaker_state(struct frt_breaker *breaker, uint64_t *times_opened)
{
    (void)pthread_mutex_lock(&breaker->lock);
    const enum frt_breaker_state state = breaker->state;
    if (times_opened != NULL)
        *times_opened = breaker->opened;
    (void)pthread_mutex_unlock(&breaker->lock);
    return state;
}

bool frt_breaker_may_retry(struct frt_breaker *breaker)
{
    (void)pthread_mutex_lock(&breaker->lock);
    const bool may = breaker->budget >= 1;
    if (may)
        breaker->budget -= 1;
    (void)pthread_mutex_unlock(&breaker->lock);
    return may;
}

const char *frt_breaker_state_name(enum frt_breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half-open"};
    return names[state];
}
