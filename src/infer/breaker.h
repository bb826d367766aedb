/*
 * A circuit breaker, and a budget of retries: what keeps a server that is ill from being asked again and again,
 * and its callers from waiting for it.
 *
 *     closed ──(failures)──> open ──(time, or somebody tries it out)──> half open ──> closed, or open for
 * longer
 *
 * Closed: everybody may ask. It opens with `in_a_row` failures one behind the other, or when of the calls of a
 * span of time at least half failed, and at least `of_span` did. Open: nobody may, until `first_ms` have
 * passed, then twice as long, … up to `most_ms`. Half open: one trial is under way; its end decides.
 *
 * Retries: every call puts a tenth of a retry into the budget, a retry takes a whole one, and more than
 * RETRIES_MOST are not saved: a server in distress is asked at most a tenth more often than without retries.
 * Source: the Finagle RetryBudget; M. Nygard, Release It!, "Circuit Breaker".
 *
 * Threading: internally locked; the lock is a leaf.
 */
#ifndef FRT_INFER_BREAKER_H
#define FRT_INFER_BREAKER_H

#include <pthread.h>
#include <stdbool.h>

#include "core/clock.h"

enum frt_breaker_state { FRT_BREAKER_CLOSED = 0, FRT_BREAKER_OPEN, FRT_BREAKER_HALF_OPEN };

struct frt_breaker_options {
    const struct frt_clock *clock; /* borrowed; NULL = the system's */
    uint32_t in_a_row;             /* 0 = 5 */
    uint32_t of_span;              /* 0 = 10 */
    uint32_t span_ms;              /* 0 = 10 s */
    uint32_t first_ms;             /* 0 = 1 s */
    uint32_t most_ms;              /* 0 = 30 s */
};

struct frt_breaker {
    struct frt_breaker_options options;
    pthread_mutex_t lock;
    /* under lock */
    enum frt_breaker_state state;
    uint32_t row, good, bad; /* failures in a row; calls of the span */
    uint32_t wait_ms;
    int64_t span_ns, until_ns; /* begin of the span; end of the wait */
    uint64_t opened;
    double budget;
};

void frt_breaker_init(struct frt_breaker *breaker, const struct frt_breaker_options *options);
void frt_breaker_deinit(struct frt_breaker *breaker);

/** May a call be made? If so it is to be ended by frt_breaker_report. */
bool frt_breaker_allow(struct frt_breaker *breaker);
/** A call that tries the server out, whatever the state: from open it becomes half open. Ended as others are.
 */
void frt_breaker_try(struct frt_breaker *breaker);
void frt_breaker_report(struct frt_breaker *breaker, bool good);
enum frt_breaker_state frt_breaker_state(struct frt_breaker *breaker, uint64_t *times_opened);

/** Takes a retry out of the budget; false: it is used up. */
bool frt_breaker_may_retry(struct frt_breaker *breaker);

const char *frt_breaker_state_name(enum frt_breaker_state state);

#endif
