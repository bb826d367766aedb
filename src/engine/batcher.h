/*
 * Faces of several requests in one inference of the embedder.
 *
 *     request ── ticket ─┐                    ┌─ his rows
 *     request ── ticket ─┼─ leader: one place, ┼─ his rows      of each priority a queue of its own
 *     request ── ticket ─┘   one inference    └─ his rows
 *
 * There is no thread: of those who wait, the first is the candidate. He alone waits for a place in the stage
 * `recognize`; when he has it, he takes from the queue what fits with him into one inference, makes the next
 * who waits the candidate, runs, and hands out the rows. So as many batches run at once as the stage has
 * places.
 *
 * Nobody waits where nobody has to. A candidate asks for his place at once when a core is free, when there are
 * enough faces for a whole batch, or when batches gain nothing. Only while all cores are busy with others' work
 * does he let that go first for at most `window`, so that faces come together: cores are never idle for it.
 *
 * A batch that fails is run again one request at a time, so that each gets what he would have got alone. Who
 * gives up while he waits leaves the queue; once a leader has taken him he waits for the inference's end.
 *
 * Where the embedder moves between a device and the CPU, each has a best of its own, and `on_device` is asked
 * which one counts each time that a batch is put together: what was waiting for a device that has fallen goes
 * to the CPU in the CPU's pieces.
 *
 * Threading: internally locked. Lock order: the batcher's lock, then the stages' or what `on_device` takes;
 * neither is held across `run` or a caller's `cancelled`.
 */
#ifndef FRT_ENGINE_BATCHER_H
#define FRT_ENGINE_BATCHER_H

#include "core/stage.h"

#define FRT_BATCH_MAX 32 /* faces in one inference */

struct frt_batcher;

struct frt_batcher_options {
    struct frt_stages *stages; /* borrowed */
    uint32_t queue;            /* waiting at once, of each priority; >= 1 */
    size_t dim;                /* floats in a row */
    size_t item_bytes;
    /* One inference over `n` <= FRT_BATCH_MAX items; out f32[n][dim]. Adds to *inference_ms. */
    enum frt_status (*run)(void *arg, const uint8_t *const *items, size_t n, float *out, double *inference_ms,
                           struct frt_error *err);
    /* Whether a run that began now would compute on a device; short, and takes leaf locks only. NULL: never */
    bool (*on_device)(void *arg);
    void *arg;
};

/** Batches are off until frt_batcher_set. Makes itself known to the stages. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_batcher_new(const struct frt_batcher_options *options,
                                              struct frt_batcher **out, struct frt_error *err);
/** Nobody may be inside. NULL is fine. */
void frt_batcher_free(struct frt_batcher *batcher);

/**
 * best    faces in one inference, 1..FRT_BATCH_MAX; 1: requests are not put together.
 * window_us  how long a candidate may let others' work go first.
 */
void frt_batcher_set(struct frt_batcher *batcher, uint32_t best, uint32_t window_us);
/** As frt_batcher_set, of what counts while `on_device` says yes; until it is called, the CPU's counts there
 * too. */
void frt_batcher_set_on_device(struct frt_batcher *batcher, uint32_t best, uint32_t window_us);

/* What a caller waited and what was done for him meanwhile. */
struct frt_batch_times {
    double wait_ms, run_ms, inference_ms; /* a batch's time counts whole for each in it */
};

/**
 * Embed `n` >= 1 items that lie one after the other.
 *
 * wait   as frt_stage_enter takes it.
 * out    f32[n][dim].
 * times  added to.
 * Errors: those of frt_stage_enter and of run.
 */
FRT_NODISCARD enum frt_status frt_batcher_run(struct frt_batcher *batcher, const uint8_t *items, size_t n,
                                              const struct frt_stage_wait *wait, float *out,
                                              struct frt_batch_times *times, struct frt_error *err);

struct frt_batcher_stats {
    uint64_t count, items;    /* inferences, and faces in them */
    uint64_t rejected;        /* refused because too many waited */
    uint32_t waiting;         /* requests that no place is asked for yet */
    uint32_t best, window_us; /* where the embedder computes now */
};
/** NULL: zeros. */
struct frt_batcher_stats frt_batcher_stats_get(struct frt_batcher *batcher);

#endif
