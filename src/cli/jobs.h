/*
 * The same work for many inputs, several at once, output in the order of the inputs. A thread that is
 * done early waits for its turn to print, so that memory holds one result a thread.
 * Threading: cli_jobs_run blocks; `work` runs on several threads, `print` on one at a time.
 */
#ifndef FRT_CLI_JOBS_H
#define FRT_CLI_JOBS_H

#include "core/buf.h"

struct cli_jobs_plan {
    size_t n;                /* inputs */
    uint32_t threads;        /* at least 1 */
    size_t max_output_bytes; /* of one input's text */
    void *arg;
    /* Fill `out` for input i and, when it failed, `problem`; returns the exit code of this input. */
    int (*work)(void *arg, size_t i, struct frt_buf *out, struct frt_error *problem);
    /* Print both, in order; problem->text is "" when there is none. An error ends the run. */
    enum frt_status (*print)(void *arg, size_t i, const struct frt_buf *out, const struct frt_error *problem,
                             struct frt_error *err);
    bool (*stopped)(void *arg); /* asked before each input */
};

/**
 * Run the plan.
 * exit_code  the first exit code, in the order of the inputs, that is not 0; else 0.
 * Errors: what print gave; FRT_ENOMEM (no thread could be started).
 */
FRT_NODISCARD enum frt_status cli_jobs_run(const struct cli_jobs_plan *plan, int *exit_code,
                                           struct frt_error *err);

#endif
