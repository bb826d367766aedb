/*
 * Operators of our own that ONNX Runtime runs within its graphs: domain "frt", version 1. Compiled INT8 packs
 * use them (docs/design/quantization.md); each is what the runtime has no 8-bit kernel for.
 *
 *     QLinearPRelu (X u8[…,C], x_scale f32, x_zero u8, slope f32[C], y_scale f32, y_zero u8) → Y u8[…,C]
 *         channels last; scales and zeros are single numbers; simd/prelu_u8.h says how it rounds
 *     QLinearNarrowConv (X u8[N,H,W,C], x_scale f32, x_zero u8, w i8[C,G,3,3], w_scale f32[C], y_scale f32,
 *                        y_zero u8, b i32[C], slope f32[C] or f32[1]) → Y u8[N,H',W',C]
 *         attributes strides [2], pads [4]: G = 1 (depthwise) or 2 (groups of two inputs and two outputs), a
 * PReLU behind it; one slope of 1: none. All but X are weights, checked when the session is made;
 *         simd/narrow_u8.h says what fits and how it rounds
 *
 * Threading: internally locked.
 */
#ifndef FRT_INFER_INFER_ONNXRUNTIME_OPS_H
#define FRT_INFER_INFER_ONNXRUNTIME_OPS_H

/* OrtApi and OrtCustomOpDomain, without the vendor's header. */
struct OrtApi;
struct OrtCustomOpDomain;

/** Make the domain, once for the process; without effect on a runtime that is too old for it (before 1.16),
 * which then refuses models that use it. `api` is the same for all backends of a process. */
void frt_ort_ops_init(const struct OrtApi *api, unsigned api_version);
/** For a session's options; NULL: none. Never freed: sessions refer to it. */
struct OrtCustomOpDomain *frt_ort_ops_domain(void);

#endif
