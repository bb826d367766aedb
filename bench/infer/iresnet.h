/*
 * ArcFace's ResNets as PyTorch exports them, with random weights: for speed where the published weights are not
 * at hand. Every normalisation and every PReLU stands as a node of its own, as in the published graphs.
 *
 *     112² ─ conv 3×3, 64 ─ norm ─ PReLU ─ stages of 64, 128, 256, 512 channels ─ norm ─ Flatten ─ Gemm ─ norm
 * ─ 512 block: norm ─ conv 3×3 ─ norm ─ PReLU ─ conv 3×3 (/2 in a stage's first) ─ norm ─ + (itself, or 1×1 /2
 * ─ norm)
 *
 * Source: insightface, recognition/arcface_torch/backbones/iresnet.py. Weights: He's variance; gains keep what
 * the residuals add small, so that values stay as large at the end as they are at the start.
 *
 * Threading: pure function.
 */
#ifndef FRT_BENCH_IRESNET_H
#define FRT_BENCH_IRESNET_H

#include "model/onnx_graph.h"

/** blocks: of each stage; {3, 4, 14, 3} is R50, {3, 13, 30, 3} R100. `bytes` is owned (frt_free). */
FRT_NODISCARD enum frt_status bench_iresnet(const uint32_t blocks[4], uint8_t **bytes, size_t *size,
                                            struct frt_error *err);

#endif
