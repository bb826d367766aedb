#include "index/rotation.h"

#include <math.h>

#include "core/mem.h"

/* Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

enum frt_status frt_rotation_init(struct frt_rotation *rotation, uint32_t dim, struct frt_error *err)
{
    uint64_t state = FRT_ROTATION_SEED + dim, bits = 0;
    float *signs = frt_alloc_array((size_t)FRT_ROTATION_ROUNDS * dim, sizeof *signs);
    if (signs == NULL)
        return frt_fail_nomem(err, "a rotation");
    for (uint32_t i = 0; i < FRT_ROTATION_ROUNDS * dim; i++, bits >>= 1) {
        if (i % 64 == 0)
            bits = splitmix(&state);
        signs[i] = (bits & 1) != 0 ? 1.0f : -1.0f;
    }
    uint32_t block = 1;
    while (block * 2 <= dim)
        block *= 2;
    *rotation = (struct frt_rotation){dim, block, signs};
    return FRT_OK;
}

void frt_rotation_deinit(struct frt_rotation *rotation)
{
    frt_free(rotation->signs);
    *rotation = (struct frt_rotation){0};
}

/* Unscaled, in place; n a power of two. */
static void walsh_hadamard(float *v, uint32_t n)
{
    for (uint32_t half = 1; half < n; half *= 2) {
        for (uint32_t i = 0; i < n; i += 2 * half) {
            float *a = v + i, *b = v + i + half;
            for (uint32_t j = 0; j < half; j++) {
                const float x = a[j], y = b[j];
                a[j] = x + y;
                b[j] = x - y;
            }
        }
    }
}

void frt_rotation_apply(const struct frt_rotation *rotation, const float *vector, float *out)
{
    const uint32_t dim = rotation->dim, block = rotation->block;
    const float scale = 1 / sqrtf((float)block);
    for (uint32_t i = 0; i < dim; i++)
        out[i] = vector[i];
    for (uint32_t r = 0; r < FRT_ROTATION_ROUNDS; r++) {
        const float *signs = rotation->signs + (size_t)r * dim;
        float *part = r % 2 == 0 ? out : out + (dim - block);
        for (uint32_t i = 0; i < dim; i++)
            out[i] *= signs[i];
        walsh_hadamard(part, block);
        for (uint32_t i = 0; i < block; i++)
            part[i] *= scale;
    }
}
