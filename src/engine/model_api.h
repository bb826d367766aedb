/*
 * The models of a pack as a model server offers them: the Open Inference protocol (KServe v2) on bytes, without
 * a transport. One FRT computes for others by it, and so does whoever speaks the protocol.
 *
 * Served are the models that the pack answers with (a detector that was not chosen is not among them), by the
 * manifest's name; the manifest's version is the only one. Tensors are FP32; outputs of other types are left
 * out. An inference takes its place in the stage of its role, as the service's own requests do.
 *
 * Source: docs/formats/kserve-v2.md. Threading: pure functions over a pack.
 */
#ifndef FRT_ENGINE_MODEL_API_H
#define FRT_ENGINE_MODEL_API_H

#include "core/json_write.h"
#include "core/stage.h"
#include "engine/pack.h"

/** The server's name, version and extensions. */
void frt_model_api_server(struct frt_json_writer *w);
/** Is there such a model? version: NULL = any. Errors: FRT_ENOTFOUND, and those of opening a model. */
FRT_NODISCARD enum frt_status frt_model_api_find(const struct frt_pack *pack, const char *name,
                                                 const char *version, struct frt_error *err);
/** A model's metadata. Errors: as frt_model_api_find. */
FRT_NODISCARD enum frt_status frt_model_api_metadata(const struct frt_pack *pack, const char *name,
                                                     const char *version, struct frt_json_writer *w,
                                                     struct frt_error *err);

struct frt_model_api_call {
    const char *name, *version; /* version NULL = any */
    const char *body;
    size_t size;
    const char *json_size; /* value of Inference-Header-Content-Length; NULL = the body is JSON and no more */
    const struct frt_stage_wait *wait; /* NULL = patient */
};
/**
 * Run a model.
 *
 * out        the answer's body is appended: JSON, and behind it the bytes of the outputs that were asked for
 * so. json_size  out: of its JSON; 0 = nothing stands behind it. Errors: FRT_EBAD_REQUEST (what is wrong),
 * FRT_ENOTFOUND, FRT_EOVERLOADED, FRT_ETIMEOUT, FRT_ECANCELLED, FRT_ERUNTIME, FRT_ENOMEM, FRT_EBODY_TOO_LARGE
 * (the answer does not fit `out`).
 */
FRT_NODISCARD enum frt_status frt_model_api_infer(const struct frt_pack *pack,
                                                  const struct frt_model_api_call *call, struct frt_buf *out,
                                                  size_t *json_size, struct frt_error *err);

#endif
