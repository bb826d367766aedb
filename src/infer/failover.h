/*
 * A backend before two others: a device that may fail, and a CPU that catches the fall.
 *
 *     run ──> primary (a GPU, a server) ── fails ──> fallback (the CPU) answers this very run
 *                 ^                                      and those that come
 *                 └── prober: opened anew, tried, compared ── every first_probe_ms, then twice as long, …
 *
 * What a failure means is decided by its status, after the fallback was asked, so that a caller's mistake or an
 * input that nobody can compute never moves the service:
 *
 *     both fail                          nothing falls; the fallback's error is the answer
 *     FRT_EOVERLOADED                    this run goes to the fallback ("spill"); nothing falls
 *     FRT_ETIMEOUT, FRT_ECANCELLED       the caller's own end: returned as it is
 *     FRT_ENOMEM, FRT_EBAD_MODEL,        this model falls alone, the others stay: too large, unknown operator,
 *       FRT_EINVAL, FRT_ENOTFOUND          a server that does not have it
 *     any other (FRT_ERUNTIME)           the device is down: all models go to the fallback at once
 *
 * Sessions of the fallback are opened with the model, before the primary's: a fall must not depend on a file
 * that is gone or on memory that is short by then, and no request is to wait for a model to be opened. It costs
 * the memory of a service without a device (docs/design/failover.md has figures). Where the fallback cannot
 * open a model, the primary serves it alone.
 *
 * The first answer of every session of the primary is compared with the fallback's before others are given out:
 * a driver that computes nonsense is a failure of the model, too.
 *
 * The prober is one thread, and only while something is down: no request pays for it. With a device that is
 * down it opens all models anew, runs them on noise of the shape they last had, and moves those back that
 * answer as the fallback does. Waits double from first_probe_ms to most_probe_ms, each shortened by up to a
 * quarter at random; they begin anew once a return has held for forget_ms, so that a device that comes and goes
 * costs one failing run at ever longer intervals.
 *
 * One line in the log for each fall and each return; a device that does not come back says nothing more.
 *
 * Threading: internally locked. `lock` is a leaf: never held across open, run, free or log. The primary must
 * not be a failover itself; the fallback may be.
 */
#ifndef FRT_INFER_FAILOVER_H
#define FRT_INFER_FAILOVER_H

#include "infer/infer.h"

struct frt_failover_options {
    struct frt_backend *primary;  /* NULL: `make` makes it */
    struct frt_backend *fallback; /* required */
    const char *device;           /* the primary's name in texts and figures; NULL = its ops->device */
    /* Makes the primary when there is none: at once, and again at each probe until it succeeds. NULL: none. */
    enum frt_status (*make)(void *arg, struct frt_backend **out, struct frt_error *err);
    void (*free_arg)(void *arg); /* called with the failover's end; NULL: nothing */
    void *arg;
    bool later; /* the prober opens the primary's sessions, also the first time: they take minutes */
    uint32_t first_probe_ms; /* 0 = 1 s */
    uint32_t most_probe_ms;  /* 0 = 5 min */
    uint32_t forget_ms;      /* 0 = 10 min */
    float agreement;         /* least cosine between the outputs of both; 0 = 0.98, < 0: not compared */
    uint64_t seed;           /* of the jitter; 0 = from the clock */
};

/**
 * CONSUMES options' primary and fallback, also on failure; `arg` likewise (free_arg). A primary that cannot be
 * made is a fall, not a failure. Errors: FRT_EINVAL, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_backend_failover_new(const struct frt_failover_options *options,
                                                       struct frt_backend **out, struct frt_error *err);

#endif
