#include "core/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t = {0};
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t system_monotonic(const struct frt_clock *clock)
{
    (void)clock;
    return read_ns(CLOCK_MONOTONIC);
}

static int64_t system_wall(const struct frt_clock *clock)
{
    (void)clock;
    return read_ns(CLOCK_REALTIME);
}

const struct frt_clock frt_clock_system = {system_monotonic, system_wall};

int64_t frt_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

double frt_elapsed_ms(int64_t start_ns)
{
    return (double)(frt_now_ns() - start_ns) / 1e6;
}
