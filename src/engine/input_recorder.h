/*
 * What a pack's models are fed with in use: a backend before another one, which keeps a copy of every input.
 *
 *     engine and vision ── run ──> recorder ── copies the input ──> the real backend
 *
 * So calibration and checks see exactly the tensors that decoding, detection, alignment and cropping make,
 * whatever the families are, and nothing of that stands twice. Batches are taken apart into inputs of one. A
 * model of several inputs is run, not recorded.
 *
 * Bounded: so many inputs and bytes a model; what comes later is run and not kept.
 *
 * Threading: internally locked; the lock is a leaf and is not held across a run or while a model is opened.
 */
#ifndef FRT_ENGINE_INPUT_RECORDER_H
#define FRT_ENGINE_INPUT_RECORDER_H

#include "infer/infer.h"
#include "model/compile.h"

struct frt_input_recorder;

struct frt_input_limits {
    uint32_t inputs; /* of a model */
    size_t bytes;    /* the same */
};

/** inner  borrowed; must outlive the recorder. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_input_recorder_new(struct frt_backend *inner,
                                                     const struct frt_input_limits *limits,
                                                     struct frt_input_recorder **out, struct frt_error *err);
/** After whatever was opened through it is gone. NULL is fine. */
void frt_input_recorder_free(struct frt_input_recorder *recorder);
/** To give to frt_context_new_over: freeing it frees nothing of the recorder. */
struct frt_backend *frt_input_recorder_backend(struct frt_input_recorder *recorder);
/** What was kept for a model file, by the path it was opened with: n 0 where there is none. Borrowed until the
 *  recorder is freed or forgets. */
struct frt_compile_inputs frt_input_recorder_get(const struct frt_input_recorder *recorder, const char *path);
/** Free what was kept for a model. */
void frt_input_recorder_forget(struct frt_input_recorder *recorder, const char *path);

#endif
