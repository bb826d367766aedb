/*
 * Crops for nets that look at one face: a box in full-size coordinates → part of a frame → input tensor.
 *
 *   FRT_CROP_BOX      the box itself, clipped to the frame, proportions kept, centred between black bars
 *   FRT_CROP_SQUARE   a square around the box's centre; what lies outside the frame is black
 *   FRT_CROP_SHIFTED  the box enlarged, moved inside the frame (shrunk if it must be), stretched
 *
 * The frame stands for the photo: the caller hands one whose edges are the photo's or lie far enough
 * from the face (frt_face_net_margin).
 *
 * Threading: pure functions.
 */
#ifndef FRT_VISION_FACE_CROP_H
#define FRT_VISION_FACE_CROP_H

#include "image/image.h"
#include "infer/model_spec.h"

enum frt_crop_kind { FRT_CROP_BOX, FRT_CROP_SQUARE, FRT_CROP_SHIFTED };

/** Rectangle of the frame (continuous frame pixels) and where it lies in the input (pixels). */
struct frt_face_crop {
    double src_x, src_y, src_w, src_h;
    uint32_t dst_x, dst_y, dst_w, dst_h;
};

/**
 * Plan the crop of `box` enlarged by `scale` about its centre.
 * Errors: FRT_EINVAL (the box is not finite, empty or outside the frame).
 */
FRT_NODISCARD enum frt_status frt_face_crop_plan(enum frt_crop_kind kind, const struct frt_frame *frame,
                                                 const struct frt_box *box, double scale, uint32_t width_px,
                                                 uint32_t height_px, struct frt_face_crop *out,
                                                 struct frt_error *err);

/** Fill data f32[3][input->height_px][input->width_px]; the rest around the crop is black. */
void frt_face_crop_fill(const struct frt_face_crop *crop, const struct frt_frame *frame,
                        const struct frt_model_input *input, float *data);

/**
 * The face upright, as the recognisers see it: RGB u8[height_px][width_px][3], the arcface112 template
 * stretched to that size. Landmarks in full-size coordinates. Errors: FRT_EINVAL (landmarks that make no face).
 */
FRT_NODISCARD enum frt_status frt_face_crop_align(const struct frt_frame *frame,
                                                  const struct frt_point landmarks[FRT_LANDMARK_COUNT],
                                                  uint32_t width_px, uint32_t height_px, uint8_t *chip,
                                                  struct frt_error *err);

/** Fill data f32[3][input->height_px][input->width_px] with a chip of that size. */
void frt_face_crop_fill_chip(const uint8_t *chip, const struct frt_model_input *input, float *data);

/**
 * Check a net's input against the spec and complete the spec's sizes from the graph.
 * Errors: FRT_EBAD_MODEL (what was found, what would fit). Sides up to 1024 px fit.
 */
struct frt_session;
FRT_NODISCARD enum frt_status frt_face_crop_check_input(const struct frt_model_spec *spec,
                                                        const struct frt_session *session,
                                                        struct frt_model_input *out, struct frt_error *err);

#endif
