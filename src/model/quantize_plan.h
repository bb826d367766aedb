/*
 * Which nodes of a float model compute in eight bits, and with what scales.
 *
 *     model ─ frt_q_plan_new ─> nodes, values ─ (ranges filled in) ─ frt_q_plan_scales ─ frt_q_plan_settle ─>
 * plan
 *
 * Layers (convolutions; dense layers behind a Flatten) are quantised where `wide` does not forbid it. What lies
 * between them (PReLU, addition, pooling) follows: it computes in eight bits when what it reads was made in
 * eight bits. A relu or clip from 0 behind a layer or an addition is `folded`: the range of its result starts
 * at 0, and rounding into that range clips.
 *
 * Not quantised, as there is no 8-bit kernel or a slow one: convolutions in groups that are neither depthwise
 * nor narrow, paddings by name, weights that are computed, values that are not four-dimensional.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_QUANTIZE_PLAN_H
#define FRT_MODEL_QUANTIZE_PLAN_H

#include "model/onnx_model.h"
#include "model/ranges.h"

enum { FRT_Q_MAX_VALUES = 4096, FRT_Q_MAX_CHANNELS = 4096 };
#define FRT_Q_NO_VALUE UINT32_MAX

enum frt_q_kind {
    FRT_Q_OTHER = 0, /* stays in floats */
    FRT_Q_CONV,
    FRT_Q_DENSE, /* Gemm or MatMul behind a Flatten; answers in floats */
    FRT_Q_PRELU, /* and LeakyRelu */
    FRT_Q_ADD,
    FRT_Q_MAX_POOL,
    FRT_Q_AVERAGE_POOL,
    FRT_Q_FOLDED,
};

struct frt_q_node {
    enum frt_q_kind kind;
    uint32_t in[2],
        out;          /* values; FRT_Q_NO_VALUE where there is none. A folding maker's `out` is what is left */
    uint32_t flatten; /* of a dense layer: the node between */
    uint32_t maker;   /* of a folded node: who folds it */
    bool wide;        /* a layer that is to stay in floats: the caller's choice */
    bool active;      /* computes in eight bits: what settle found */
};

struct frt_q_value {
    char name[FRT_ONNX_MODEL_MAX_NAME];
    uint32_t maker;              /* node; FRT_Q_NO_VALUE: the graph's input */
    struct frt_onnx_shape shape; /* as seen */
    struct frt_range_stats *stats;
    struct frt_range range;
    float scale;
    uint8_t zero;
    bool quantised; /* some active node reads or makes it */
};

struct frt_q_plan {
    struct frt_q_node *nodes; /* one a node of the model, in its order */
    uint32_t n_nodes;
    struct frt_q_value *values;
    uint32_t n_values;
};

/** What could be quantised, going by the graph alone. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_q_plan_new(const struct frt_onnx_model *model, struct frt_q_plan **out,
                                             struct frt_error *err);
void frt_q_plan_free(struct frt_q_plan *plan);
/** Take back what the shapes seen do not allow (values' shapes must be filled in). */
void frt_q_plan_check_shapes(const struct frt_onnx_model *model, struct frt_q_plan *plan);
/** Ranges by a method, scales and zeros. */
void frt_q_plan_scales(struct frt_q_plan *plan, enum frt_range_method method);
/** Which nodes are active, by the layers that are not wide. */
void frt_q_plan_settle(struct frt_q_plan *plan);

/** A convolution for frt.QLinearNarrowConv (simd/narrow_u8.h) on a machine that is fast at it. */
bool frt_q_is_narrow(const struct frt_onnx_model *model, uint32_t node);

static inline bool frt_q_is_layer(const struct frt_q_node *node)
{
    return node->kind == FRT_Q_CONV || node->kind == FRT_Q_DENSE;
}

#endif
