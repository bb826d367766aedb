/*
 * How many faces one inference should take, measured: the model's time a face for 1, 2, 4, … at a time, on the
 * CPU up to 8, on a device up to 32.
 *
 * One inference at a time, as bulk work in the stage `recognize`, so that requests go first; in turns (1, 2, 4,
 * …, 1, 2, …), the least time of each counting, so that what disturbs one turn decides nothing. Sizes whose
 * inference would hold a core for longer than FRT_TUNE_RUN_MS are left out: they would make others wait, and
 * nets that large gain next to nothing. It ends after FRT_TUNE_MS of work.
 *
 * Nothing is stored: half a second of one core's idle time at each start is cheaper than a file that has to
 * know of every change of model, machine and runtime, and that keeps a measurement made on a bad day for ever.
 *
 * Threading: blocks; one owner.
 */
#ifndef FRT_ENGINE_BATCH_TUNE_H
#define FRT_ENGINE_BATCH_TUNE_H

#include <stdatomic.h>

#include "engine/batcher.h"

enum {
    FRT_TUNE_MS = 600,        /* of inference, all in all */
    FRT_TUNE_RUN_MS = 80,     /* of one inference */
    FRT_TUNE_CPU_MOST = 8,    /* faces, on the CPU */
    FRT_TUNE_MOST = 32,       /* faces */
    FRT_TUNE_GAIN_PERCENT = 8 /* less time a face than alone, or batches are not worth it */
};

struct frt_batch_choice {
    uint32_t best;            /* 1: no gain */
    uint32_t window_us;       /* what a whole batch saves: nobody waits longer for company than it is worth */
    double alone_ms, best_ms; /* a face */
};

struct frt_batch_tune_options {
    struct frt_batcher_options work;
    uint32_t most;                /* faces in one inference that the model takes */
    int64_t (*now_ns)(void *arg); /* what the time is taken by; NULL = CPU time of the calling thread, on a
                                     device the wall's: whoever waits for it spends no CPU time */
    bool device;             /* a device is measured: as soon as work.on_device says no, FRT_EUNAVAILABLE */
    bool largest_first;      /* a runtime that builds for the sizes it has seen builds once */
    const atomic_bool *stop; /* NULL = never */
};

/** Errors: those of frt_stage_enter and of work.run; FRT_ECANCELLED (stopped), FRT_ETIMEOUT (too slow for three
 *  turns within FRT_TUNE_MS), FRT_EUNAVAILABLE (the device fell meanwhile). */
FRT_NODISCARD enum frt_status frt_batch_tune(const struct frt_batch_tune_options *options,
                                             struct frt_batch_choice *out, struct frt_error *err);

#endif
