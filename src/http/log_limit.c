#include "http/log_limit.h"

#include "core/clock.h"
#include "core/log.h"

/* Failures have a bound of their own, so that no flood of good requests hides them, and no flood of refusals
 * fills the disk. */
enum { FAILURES_PER_SECOND = 20 };

bool http_log_limit_take(struct http_log_limit *limit, bool failure, uint32_t *missed)
{
    if (!frt_log_enabled(failure ? FRT_LOG_WARN : FRT_LOG_INFO))
        return false;
    if (frt_log_enabled(FRT_LOG_DEBUG))
        return true;
    /* relaxed throughout: a line more or less where two threads meet is no harm */
    const int64_t second = frt_now_ns() / 1000000000;
    const uint32_t most = limit->per_second + (failure ? FAILURES_PER_SECOND : 0);
    int64_t held = atomic_load_explicit(&limit->second, memory_order_relaxed);
    if (held != second && atomic_compare_exchange_strong_explicit(&limit->second, &held, second,
                                                                  memory_order_relaxed, memory_order_relaxed))
        atomic_store_explicit(&limit->lines, 0, memory_order_relaxed);
    if (atomic_load_explicit(&limit->lines, memory_order_relaxed) >= most) {
        atomic_fetch_add_explicit(&limit->not_logged, 1, memory_order_relaxed);
        return false;
    }
    if (atomic_fetch_add_explicit(&limit->lines, 1, memory_order_relaxed) == 0)
        *missed = atomic_exchange_explicit(&limit->not_logged, 0, memory_order_relaxed);
    return true;
}
