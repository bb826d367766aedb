/*
 * Stages: how many may do a kind of work at once, and who is next.
 *
 *     image ─ detect ─ recognize      compute: each holds a core of one common budget, too
 *     store                           waits for the disk: a limit of its own
 *
 * A thread enters a stage before the work and leaves it afterwards; it never holds two. When a core comes free
 * it goes to the latest stage that waits (recognize before detect before image), so that what has begun is
 * finished before more is begun and few photos lie decoded in memory; within a stage to interactive work before
 * bulk (bulk gets one grant in BULK_SHARE, so that it never starves), and then to whoever came first.
 *
 * Waiting is bounded three times: by the number of waiters (a full stage refuses at once), by the deadline, and
 * by the caller's cancellation, which is asked every FRT_STAGE_POLL_MS.
 *
 * Threading: internally locked; the lock is a leaf and never held across work.
 */
#ifndef FRT_CORE_STAGE_H
#define FRT_CORE_STAGE_H

#include "core/status.h"

enum frt_stage { FRT_STAGE_IMAGE = 0, FRT_STAGE_DETECT, FRT_STAGE_RECOGNIZE, FRT_STAGE_STORE, FRT_STAGE_COUNT };
enum { FRT_STAGE_POLL_MS = 50 };

enum frt_priority { FRT_PRIORITY_INTERACTIVE = 0, FRT_PRIORITY_BULK, FRT_PRIORITIES };

struct frt_stages;

struct frt_stages_options {
    uint32_t limits[FRT_STAGE_COUNT]; /* working at once, each >= 1 */
    uint32_t cores;                   /* working at once in the compute stages together, >= 1 */
    uint32_t queue;                   /* waiting at once, in each stage, >= 1 */
};

/** Errors: FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_stages_new(const struct frt_stages_options *options, struct frt_stages **out,
                                             struct frt_error *err);
/** Nobody may be inside. NULL is fine. */
void frt_stages_free(struct frt_stages *stages);

/* How somebody waits. */
struct frt_stage_wait {
    enum frt_priority priority;
    int64_t deadline_ms; /* monotonic; 0 = none */
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

/**
 * Wait for a place, and take it.
 * stages  NULL: there are no stages, and everybody is let in.
 * wait    NULL: interactive, without a deadline.
 * Errors: FRT_EOVERLOADED (too many wait), FRT_ETIMEOUT, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_stage_enter(struct frt_stages *stages, enum frt_stage which,
                                              const struct frt_stage_wait *wait, struct frt_error *err);
/** Give the place back. */
void frt_stage_leave(struct frt_stages *stages, enum frt_stage which);

struct frt_stage_stats {
    uint32_t limit, busy, queued;
    uint64_t rejected; /* refused because too many waited */
};
/** stages NULL: zeros. */
struct frt_stage_stats frt_stage_stats_get(struct frt_stages *stages, enum frt_stage which);

/** Cores held by all compute stages now, of how many; both 0 when stages is NULL. */
void frt_stages_cores(struct frt_stages *stages, uint32_t *busy, uint32_t *cores);

/** Call `free_core` whenever somebody left a compute stage and nobody took his core, from his thread and
 * outside the lock; NULL: no more. One at a time; set while nobody is inside. stages NULL: nothing happens. */
void frt_stages_on_free_core(struct frt_stages *stages, void (*free_core)(void *arg), void *arg);

/** "image", "detect", "recognize", "store". */
const char *frt_stage_name(enum frt_stage stage);

#endif
