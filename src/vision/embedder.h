/*
 * Embedders: aligned chips in, L2-normalised embeddings out.
 *
 *     frame + landmarks ─ frt_embedder_align ─> u8 chip ─ frt_embedder_run (batch) ─> f32[n][dim]
 *
 * Threading: immutable after creation.
 */
#ifndef FRT_VISION_EMBEDDER_H
#define FRT_VISION_EMBEDDER_H

#include "image/image.h"
#include "infer/infer.h"
#include "infer/model_spec.h"

struct frt_embedder;

/** A family is little more than the size of its chips. */
struct frt_embedder_family {
    const char *name;
    uint32_t width_px, height_px;
    const char *template_name; /* when the spec names none */
};
/** All of them. Static storage. */
const struct frt_embedder_family *frt_embedder_families(size_t *n);

/** spec and session are borrowed; must outlive it. Errors: FRT_EBAD_MODEL (what was found, what would
 *  fit), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_embedder_new(const struct frt_model_spec *spec,
                                               const struct frt_session *session, struct frt_embedder **out,
                                               struct frt_error *err);
void frt_embedder_free(struct frt_embedder *embedder);
uint32_t frt_embedder_dim(const struct frt_embedder *embedder);
/** Bytes of one chip: width × height × 3. */
size_t frt_embedder_chip_bytes(const struct frt_embedder *embedder);

/** Full-size pixels per chip pixel for these landmarks (upright full-size): the frame it needs has
 *  scale_x <= this. FRT_EINVAL for degenerate landmarks. */
FRT_NODISCARD enum frt_status frt_embedder_step(const struct frt_embedder *embedder,
                                                const struct frt_point landmarks[FRT_LANDMARK_COUNT],
                                                double *step, struct frt_error *err);
/** Upright full-size rectangle that the chip covers (bounding box of the rotated chip). */
FRT_NODISCARD enum frt_status frt_embedder_region(const struct frt_embedder *embedder,
                                                  const struct frt_point landmarks[FRT_LANDMARK_COUNT],
                                                  struct frt_box *region, struct frt_error *err);

/** Warp one face into `chip`. Landmarks in upright full-size coordinates. */
FRT_NODISCARD enum frt_status frt_embedder_align(const struct frt_embedder *embedder,
                                                 const struct frt_frame *frame,
                                                 const struct frt_point landmarks[FRT_LANDMARK_COUNT],
                                                 uint8_t *chip, struct frt_error *err);

/**
 * Embed n chips lying one after the other.
 *
 * out  f32[n][dim], each row L2-normalised by the spec's map.
 * Errors: FRT_ERUNTIME, FRT_ENOMEM. A net that answers with a non-finite or zero vector: FRT_ERUNTIME.
 */
FRT_NODISCARD enum frt_status frt_embedder_run(const struct frt_embedder *embedder, const uint8_t *chips,
                                               size_t n, float *out, double *inference_ms,
                                               struct frt_error *err);
/** As frt_embedder_run, of chips that lie here and there; as many as frt_embedder_batch in one inference. */
FRT_NODISCARD enum frt_status frt_embedder_run_each(const struct frt_embedder *embedder,
                                                    const uint8_t *const *chips, size_t n, float *out,
                                                    double *inference_ms, struct frt_error *err);
/** What the graph answered for one chip → the embedding, in place: the spec's map, L2-normalised. For who runs
 * the graph himself. `raw` f32[dim]. Errors: FRT_ERUNTIME (non-finite or zero). */
FRT_NODISCARD enum frt_status frt_embedder_finish(const struct frt_embedder *embedder, float *raw,
                                                  struct frt_error *err);
/** Which of the graph's outputs is the embedding. */
uint32_t frt_embedder_output(const struct frt_embedder *embedder);
/** Most chips in one inference: 1 for a graph that takes one. */
uint32_t frt_embedder_batch(const struct frt_embedder *embedder);
/** Where a run would compute now: "cpu", "cuda:0". */
const char *frt_embedder_device(const struct frt_embedder *embedder);

#endif
