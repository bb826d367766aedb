/*
 * What the native index keeps of a vector, and how a query is made ready for it.
 *
 *     vector ─ rotate ─┬─ code: 1 bit (dim >= 384) or 4 bits a component: first pass, estimated cosine
 *                      └─ row: 8 bits a component and a scale: re-rank, cosine within about 0.001
 *
 * Error of the first pass, as a standard deviation of cosine (derivation and measurements:
 * docs/design/index.md):
 *
 *     bits      sqrt(((1 / c² - 1) + e² / c²) / (dim - 1)),  c = Σ|x_i| / sqrt(dim) of the stored vectors
 * (mean, about 0.798), e = what the two-magnitude query q̂, scaled to q̂·q = 1, has beside q nibbles   the
 * rounding of a stored component, step / sqrt(12), and that of the query's
 *
 * Threading: immutable after init; a query has one owner.
 */
#ifndef FRT_INDEX_ENCODER_H
#define FRT_INDEX_ENCODER_H

#include "index/rotation.h"
#include "simd/codes.h"

/** Spreads by which the first pass may be wrong before it loses a vector. */
#define FRT_FIRST_PASS_MARGIN 3.0f

enum frt_code_kind { FRT_CODE_BITS = 1, FRT_CODE_NIBBLES = 4 }; /* bits a component */
enum { FRT_CODE_BITS_FROM_DIM = 384 };

struct frt_encoder {
    uint32_t dim;
    enum frt_code_kind kind;
    uint32_t words;     /* u64 of a vector's code */
    uint32_t row_bytes; /* of a row: dim rounded up to 16 */
    size_t block_bytes; /* of the codes of FRT_CODE_BLOCK vectors */
    struct frt_rotation rotation;
    const struct frt_code_kernels *kernels;
};

FRT_NODISCARD enum frt_status frt_encoder_init(struct frt_encoder *encoder, uint32_t dim,
                                               struct frt_error *err);
void frt_encoder_deinit(struct frt_encoder *encoder);

/** Where the parts of a vector go. */
struct frt_encoded {
    void *block;   /* codes of the vector's block */
    uint32_t lane; /* its place in the block */
    float *factor; /* of the code */
    int8_t *row;   /* [row_bytes] */
    float *row_scale;
};
/** Encode f32[dim], unit. scratch f32[dim]. */
void frt_encoder_encode(const struct frt_encoder *encoder, const float *vector, float *scratch,
                        const struct frt_encoded *out);

/** Code a rotated vector x f32[dim] as a row i8[row_bytes]; its scale. */
float frt_encoder_row(const struct frt_encoder *e, const float *x, int8_t *row);

/** A query made ready. */
struct frt_prepared {
    union {
        struct frt_bits_query bits;
        struct frt_nibbles_query nibbles;
    };
    float *rotated; /* f32[row_bytes], zeros behind dim */
    float spread;   /* one standard deviation of the first pass's error */
};
/** Bytes of scratch that a prepared query needs; a multiple of 64. */
size_t frt_prepared_bytes(const struct frt_encoder *encoder);
/** scratch  u8[frt_prepared_bytes], 64-byte aligned, borrowed as long as `out` is used. */
void frt_encoder_prepare(const struct frt_encoder *encoder, const float *query, void *scratch,
                         struct frt_prepared *out);

/** First pass over blocks: frt_bits_scan_fn or frt_nibbles_scan_fn of the machine. */
size_t frt_encoder_scan(const struct frt_encoder *encoder, const struct frt_prepared *query, const void *codes,
                        const float *factors, size_t n_blocks, uint32_t first, float cut, uint32_t *out);
/** Cosine of a row. */
static inline float frt_encoder_score(const struct frt_encoder *encoder, const struct frt_prepared *query,
                                      const int8_t *row, float row_scale)
{
    return row_scale * encoder->kernels->dot_f32_i8(query->rotated, row, encoder->row_bytes);
}
/** Four standard deviations of the re-ranked cosine's error. */
float frt_encoder_score_error(const struct frt_encoder *encoder);

#endif
