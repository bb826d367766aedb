/*
 * What failover.c (open and run) and failover_probe.c (the way back) share. failover.h is the design.
 * Threading: `lock` guards what is marked; everything else is immutable after creation.
 */
#ifndef FRT_INFER_FAILOVER_INSIDE_H
#define FRT_INFER_FAILOVER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "infer/failover.h"

/* A session of the primary. Whoever runs it, or holds outputs of it, keeps it. */
struct failover_holder {
    struct frt_session *session; /* owned */
    atomic_uint refs;
    atomic_int checked; /* enum failover_check */
};

enum failover_check { CHECK_WANTED = 0, CHECK_RUNS, CHECK_DONE };

enum failover_place {
    PLACE_DEVICE = 0, /* on the primary, when the device is up */
    PLACE_FALLEN,     /* on the fallback; looked after again when `again` is due */
    PLACE_NEVER       /* on the fallback for good: the primary does not take the model */
};

struct failover_again {
    uint32_t delay_ms; /* the last one; 0 = none yet */
    int64_t due_ms;
    int64_t since_ms; /* of the last return; 0 = none yet */
};

struct failover_slot {
    struct frt_session base;
    struct failover *owner;
    struct frt_session *fallback; /* owned; NULL: the primary alone serves it */
    char *path, *name, *version;
    struct frt_model_source source; /* borrows the three above */
    struct failover_slot *next;     /* under lock */
    /* under lock */
    struct failover_holder *holder; /* NULL: none opened */
    enum failover_place place;
    struct failover_again again;
    uint32_t refs; /* the owner's, and the prober's while it looks after it */
    bool closed;
    bool was_on;                                    /* the primary had it once */
    bool exact;                                     /* its graph in f16 did not agree: f32 */
    uint32_t n_seen;                                /* inputs in `seen`; 0 = never run */
    struct frt_tensor seen[FRT_SESSION_MAX_INPUTS]; /* shapes of the last run; no data */
};

struct failover {
    struct frt_backend base;
    struct frt_backend_ops ops;
    struct frt_failover_options options;
    char device[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    struct frt_backend
        *primary; /* NULL: not made yet. Once made it stays: read without the lock by the prober */
    struct failover_slot *slots;
    bool down, opening, stop;
    int64_t down_since_ms;
    struct failover_again again;
    pthread_t prober;
    bool prober_alive, prober_joinable;
    uint64_t random, falls, model_falls, returns, probes, spills, runs, fallback_runs;
    char cause[FRT_ERROR_TEXT_MAX];
};

/* failover.c */
int64_t failover_now_ms(void);
bool failover_is_of_model(enum frt_status status);
struct failover_holder *failover_holder_new(struct frt_session *session);
/** NULL is fine. */
void failover_holder_put(struct failover_holder *holder);
/** The prober's hold of a slot ends; the last one frees it. */
void failover_slot_put(struct failover_slot *slot);
/** Whether the primary's session can stand for the fallback's. */
enum frt_status failover_same_kind(const struct failover_slot *slot, const struct frt_session *fresh,
                                   struct frt_error *err);
/** FRT_OK, or FRT_EBAD_MODEL with a text: outputs that are not finite or point elsewhere. */
enum frt_status failover_agree(const struct failover *self, const struct frt_outputs *mine,
                               const struct frt_outputs *fallback, struct frt_error *err);

/** After outputs that did not agree: whether there is a form of the model that may, which is opened next.
 * primary  that gave them; NULL = the owner's. */
bool failover_try_exact(struct failover_slot *slot, const struct frt_backend *primary);

/* failover_probe.c */
/** After something has fallen: when to look, and somebody who does. */
void failover_schedule_locked(struct failover *self, struct failover_again *again);
/** A thread, where something is to be looked after and none does. */
void failover_prober_need_locked(struct failover *self);
/** False: it hangs in the device and was left behind; nothing of the failover may be freed. */
bool failover_prober_end(struct failover *self);

#endif
