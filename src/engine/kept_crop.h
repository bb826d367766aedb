/*
 * A face's crop, kept with it so that another model can embed the face when the photo is gone.
 *
 *     photo ─ square of CROP_MARGIN boxes around the face, upright, at the photo's resolution or coarser
 *           ─ JPEG, with the box and the five landmarks in front: docs/formats/crop-v1.md
 *     crop  ─ landmarks: those kept when the same nets would find them, else the new pack's own; where it does
 *             not find the face, those kept ─ align ─ embed
 *
 * It is not an aligned chip: a chip cut for one family's template would have to be warped a second time for
 * another's, and has no room around it. From the upright square every family cuts its own chip, once, and a
 * detector with landmarks of its own finds the face again. What that costs: docs/models.md.
 *
 * Threading: pure over its arguments and a pack.
 */
#ifndef FRT_ENGINE_KEPT_CROP_H
#define FRT_ENGINE_KEPT_CROP_H

#include "engine/pack.h"
#include "image/image.h"

/** How work on behalf of a caller waits and ends; zero: as long as it takes. */
struct frt_kept_wait {
    int64_t deadline_ms;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
    bool bulk;
};

/**
 * Cut a face out of its photo.
 *
 * pack  that found the face.
 * face  as frt_embed found it: its box and landmarks are used.
 * out   the crop's bytes; owned: frt_free. Some 10 to 40 KB.
 * Errors: frt_image_decode's, frt_stage_enter's, FRT_EINVAL (a box outside the image), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_kept_crop_cut(const struct frt_pack *pack, const struct frt_image *image,
                                                const struct frt_face *face, const struct frt_kept_wait *wait,
                                                uint8_t **out, size_t *size, struct frt_error *err);

enum frt_kept_landmarks {
    FRT_KEPT_FOUND_AGAIN = 0, /* of the pack that embeds */
    FRT_KEPT_AS_THEY_WERE /* kept with the crop: the same nets found them, or that pack's do not see the face */
};

/**
 * Embed a kept crop.
 *
 * bytes   of frt_kept_crop_cut.
 * out     f32[dim of the pack], L2-normalised.
 * by      out: whose landmarks it was aligned by; may be NULL.
 * Errors: FRT_ESTORE_DAMAGED (no crop of ours), those of frt_detect and frt_embedder_run.
 */
FRT_NODISCARD enum frt_status frt_kept_crop_embed(const struct frt_pack *pack, const void *bytes, size_t size,
                                                  float *out, enum frt_kept_landmarks *by,
                                                  struct frt_error *err);

/* For measuring: how a crop is made, and whether the face is looked for again. */
struct frt_kept_choice {
    int quality;       /* of the JPEG; 0 = the pixels as they are */
    bool as_they_were; /* align by the landmarks that were kept */
    bool look_again;   /* look for the face also with the very nets that found it */
    uint32_t side_px;  /* 0 = the default */
};
FRT_NODISCARD enum frt_status frt_kept_crop_cut_as(const struct frt_pack *pack, const struct frt_image *image,
                                                   const struct frt_face *face,
                                                   const struct frt_kept_wait *wait,
                                                   const struct frt_kept_choice *choice, uint8_t **out,
                                                   size_t *size, struct frt_error *err);
FRT_NODISCARD enum frt_status frt_kept_crop_embed_as(const struct frt_pack *pack, const void *bytes,
                                                     size_t size, const struct frt_kept_choice *choice,
                                                     float *out, enum frt_kept_landmarks *by,
                                                     struct frt_error *err);

#endif
