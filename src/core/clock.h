/*
 * Time, injected: code that waits or measures takes a struct frt_clock, so that a test can move it.
 * Threading: immutable.
 */
#ifndef FRT_CORE_CLOCK_H
#define FRT_CORE_CLOCK_H

#include <stdint.h>

struct frt_clock {
    int64_t (*monotonic_ns)(const struct frt_clock *clock);
    int64_t (*wall_ns)(const struct frt_clock *clock); /* since 1970-01-01 UTC */
};

/** The system's clock. */
extern const struct frt_clock frt_clock_system;

/** Shorthand for the system's monotonic clock. */
int64_t frt_now_ns(void);

/** Milliseconds since `start_ns` (of frt_now_ns). */
double frt_elapsed_ms(int64_t start_ns);

#endif
