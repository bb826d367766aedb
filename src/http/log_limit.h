/*
 * How many requests have a line of their own in the log: at most so many a second, so that the log costs next
 * to nothing however many requests there are. The next second's first line says how many had none
 * (`not_logged`).
 *
 * Threading: internally locked (atomics).
 */
#ifndef FRT_HTTP_LOG_LIMIT_H
#define FRT_HTTP_LOG_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct http_log_limit {
    uint32_t per_second; /* lines at most; failures have a few of their own */
    _Atomic int64_t second;
    atomic_uint lines, not_logged;
};

/** May this request have a line? At level debug all may. missed: how many before it had none, to be told in it.
 */
bool http_log_limit_take(struct http_log_limit *limit, bool failure, uint32_t *missed);

#endif
