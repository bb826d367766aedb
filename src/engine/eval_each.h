/*
 * The same work for each photo of an evaluation, several at a time.
 *
 * The calling thread works too; fewer threads than asked for are no failure. The first failure, or a
 * cancellation, ends the run once the photos under way are done.
 * Threading: frt_eval_each blocks; `work` and `cancelled` are called from all its threads, `progress` by one at
 * a time and never during a lock that work could want.
 */
#ifndef FRT_ENGINE_EVAL_EACH_H
#define FRT_ENGINE_EVAL_EACH_H

#include "core/status.h"

enum { FRT_EVAL_MAX_THREADS = 256 };

struct frt_eval_each {
    size_t n;
    uint32_t threads; /* 0 = one */
    enum frt_status (*work)(void *arg, size_t i, struct frt_error *err);
    void *arg;
    void (*progress)(void *arg, size_t done, size_t total); /* NULL = nobody asks */
    void *progress_arg;
    bool (*cancelled)(void *arg); /* asked before each photo; NULL = never */
    void *cancelled_arg;
};

/** Errors: FRT_EINVAL (more threads than fit), FRT_ENOMEM, FRT_ECANCELLED, and the first one of `work`. */
FRT_NODISCARD enum frt_status frt_eval_each(const struct frt_eval_each *plan, struct frt_error *err);

#endif
