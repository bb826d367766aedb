/*
 * How long one model takes on this machine: a few runs on numbers that mean nothing, on one thread.
 *
 * Threading: one owner.
 */
#ifndef FRT_ENGINE_MODEL_SPEED_H
#define FRT_ENGINE_MODEL_SPEED_H

#include "engine/pack.h"

struct frt_model_speed {
    double open_ms, run_ms; /* run: the median */
    uint32_t width_px, height_px;
};

/**
 * context  its backend should have one thread.
 * path     the model's file; opened as a pack opens it.
 * Takes about half a second a model. Errors: of frt_session_open and frt_session_run; FRT_EBAD_MODEL (an input
 * that is not one f32 image).
 */
FRT_NODISCARD enum frt_status frt_model_speed_measure(const struct frt_context *context,
                                                      const struct frt_model_spec *spec, const char *path,
                                                      struct frt_model_speed *out, struct frt_error *err);

#endif
