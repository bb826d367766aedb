/*
 * Nets that look at one face crop and answer with a few numbers: liveness, age and gender, expression,
 * quality.
 * Several liveness models of a pack are averaged by the engine.
 * Threading: immutable after creation.
 */
#ifndef FRT_VISION_FACE_NET_H
#define FRT_VISION_FACE_NET_H

#include "image/image.h"
#include "infer/infer.h"
#include "infer/model_spec.h"

struct frt_face_net;

/** spec and session are borrowed; must outlive it. Errors: FRT_EBAD_MODEL, FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_face_net_new(const struct frt_model_spec *spec,
                                               const struct frt_session *session, struct frt_face_net **out,
                                               struct frt_error *err);
void frt_face_net_free(struct frt_face_net *net);
enum frt_model_role frt_face_net_role(const struct frt_face_net *net);

/**
 * Run on one face and fill the fields of `face` that the net's role speaks of (and their bit in
 * face->attributes). face->box and face->landmarks are inputs, upright full-size coordinates.
 */
FRT_NODISCARD enum frt_status frt_face_net_run(const struct frt_face_net *net, const struct frt_frame *frame,
                                               struct frt_face *face, double *inference_ms,
                                               struct frt_error *err);

/** Pixels of the full-size image per pixel of the net's input, for this box: how fine a frame it needs. */
double frt_face_net_step(const struct frt_face_net *net, const struct frt_box *box);

/**
 * How much of the photo the net looks at: sides of its crop in sides of the box (2.7 or 4 for MiniFASNet).
 * The frame given to frt_face_net_run should reach that far around the box's centre or to the photo's
 * edge; what lies beyond the frame is taken to lie beyond the photo.
 */
double frt_face_net_margin(const struct frt_face_net *net);

#endif
