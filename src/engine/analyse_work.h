/*
 * The work on one photo: what engine/analyse.c (steps, caches) and engine/analyse_frames.c (stages, frames)
 * share.
 *
 * Threading: one owner, on the caller's stack.
 */
#ifndef FRT_ENGINE_ANALYSE_WORK_H
#define FRT_ENGINE_ANALYSE_WORK_H

#include "engine/photo.h"

/* The nets that answer each attribute. */
enum { FRT_N_NET_ATTRIBUTES = 4 };
struct frt_net_attribute {
    uint32_t bits;
    enum frt_model_role role;
    bool optional; /* a pack without the net answers all the same */
};
extern const struct frt_net_attribute frt_net_attributes[FRT_N_NET_ATTRIBUTES];

struct frt_work {
    const struct frt_pack *pack;
    const struct frt_image *image;
    struct frt_detect_options options;
    bool embed;
    struct frt_image_info info;
    double margin; /* boxes around a face's centre that the nets wanted look at; 0 = not known yet */
    struct frt_cache_key key;
    bool keyed;              /* the caches may be asked */
    struct frt_photo *photo; /* the detections and so on; owned or on loan; NULL = not looked at yet */
    struct frt_cache_loan photo_loan;
    struct frt_embedded *embedded; /* as photo */
    struct frt_cache_loan embedded_loan;
    bool shared_asked;                    /* the shared cache was; what it had (owned; NULL = nothing): */
    struct frt_embedded *shared_embedded; /* engine/shared_photo.h */
    struct frt_photo *shared_photo;
    struct frt_frame coarse; /* owned, unless it is the photo's */
    struct frt_frame fine;
    struct frt_timing timing;
};
/** Is a net of this kind to run? */
bool frt_work_wants_net(const struct frt_work *w, const struct frt_net_attribute *kind);
/** Errors: FRT_ETIMEOUT, FRT_ECANCELLED. */
FRT_NODISCARD enum frt_status frt_work_check_alive(const struct frt_work *w, struct frt_error *err);
/** How this work waits for a place. */
struct frt_stage_wait frt_work_wait_of(const struct frt_work *w);
/** Wait for a place in a stage; the caller leaves it by frt_stage_leave. */
FRT_NODISCARD enum frt_status frt_work_enter(struct frt_work *w, enum frt_stage stage, struct frt_error *err);

/** The first frame, unless it is there. */
FRT_NODISCARD enum frt_status frt_work_decode_coarse(struct frt_work *w, struct frt_error *err);
/** One fine frame for all faces, when they need one and it fits. */
FRT_NODISCARD enum frt_status frt_work_decode_fine_for_all(struct frt_work *w,
                                                           const struct frt_detection *found, size_t n,
                                                           struct frt_error *err);
/** The frame to look at this face in. frame  out: borrowed until the next call for another face. */
FRT_NODISCARD enum frt_status frt_work_frame_for(struct frt_work *w, const struct frt_detection *d,
                                                 const struct frt_frame **frame, struct frt_error *err);

#endif
