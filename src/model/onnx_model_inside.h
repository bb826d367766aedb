/*
 * The inside of an editable model, for onnx_model.c (reading, looking, packing) and onnx_edit.c (changing)
 * only. Whatever hangs in protobuf-c's tree comes from the tree's own allocator, so that one call frees it,
 * however it was changed. The allocator counts: see onnx_model.h.
 */
#ifndef FRT_MODEL_ONNX_MODEL_INSIDE_H
#define FRT_MODEL_ONNX_MODEL_INSIDE_H

#include "model/onnx_model.h"
#include "onnx/onnx.pb-c.h"

struct frt_onnx_model {
    Onnx__ModelProto *proto;
    ProtobufCAllocator allocator;
    size_t used, most;
    bool exceeded;
};

/** Memory of the tree; NULL: there is no more, or the model has taken what it may. */
void *frt_onnx_model_take(struct frt_onnx_model *model, size_t size);
/** NULL is fine. */
void frt_onnx_model_give_back(struct frt_onnx_model *model, void *pointer);

static inline const char *frt_onnx_text(const char *maybe)
{
    return maybe != NULL ? maybe : "";
}

/** NULL: none of that name. Borrowed from the tree. */
Onnx__AttributeProto *frt_onnx_model_attribute(const struct frt_onnx_model *model, uint32_t node,
                                               const char *name);
Onnx__TensorProto *frt_onnx_model_find_tensor(const struct frt_onnx_model *model, const char *name);

#endif
