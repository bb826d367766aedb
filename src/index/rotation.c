#include "index/rotation.h"

#include <math.h>
#include <string.h>

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

/* Four numbers at once, which every processor has; the additions and their order are those of the plain
 * transform, so that a vector's code does not depend on it. */
enum { LANES = 4 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static lanes load(const float *from)
{
    lanes v;
    memcpy(&v, from, sizeof v);
    return v;
}

static void store(float *to, lanes v)
{
    memcpy(to, &v, sizeof v);
}

/* The first two steps of the transform: four neighbours, in registers. */
static void transform_four(float *v)
{
    const float a = v[0] + v[1], b = v[0] - v[1], c = v[2] + v[3], d = v[2] - v[3];
    v[0] = a + c;
    v[1] = b + d;
    v[2] = a - c;
    v[3] = b - d;
}

/* Two steps at once, of distance `half` (a multiple of LANES) and twice that: a number is loaded and stored
 * once for both. */
static void two_steps(float *v, uint32_t n, uint32_t half)
{
    for (uint32_t i = 0; i < n; i += 4 * half) {
        for (uint32_t j = i; j < i + half; j += LANES) {
            const lanes p = load(v + j), q = load(v + j + half);
            const lanes r = load(v + j + 2 * half), s = load(v + j + 3 * half);
            const lanes a = p + q, b = p - q, c = r + s, d = r - s;
            store(v + j, a + c);
            store(v + j + half, b + d);
            store(v + j + 2 * half, a - c);
            store(v + j + 3 * half, b - d);
        }
    }
}

/* Unscaled, in place; n a power of two. */
static void walsh_hadamard(float *v, uint32_t n)
{
    uint32_t half = 1;
    if (n >= LANES) {
        for (uint32_t i = 0; i < n; i += LANES)
            transform_four(v + i);
        half = LANES;
    }
    for (; half >= LANES && 2 * half < n; half *= 4)
        two_steps(v, n, half);
    for (; half < n; half *= 2) {
        for (uint32_t i = 0; i < n; i += 2 * half) {
            uint32_t j = i;
            for (; half >= LANES && j < i + half; j += LANES) {
                const lanes x = load(v + j), y = load(v + j + half);
                store(v + j, x + y);
                store(v + j + half, x - y);
            }
            for (; j < i + half; j++) {
                const float x = v[j], y = v[j + half];
                v[j] = x + y;
                v[j + half] = x - y;
            }
        }
    }
}

static void multiply(float *v, const float *by, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(v + i, load(v + i) * load(by + i));
    for (; i < n; i++)
        v[i] *= by[i];
}

static void scale_all(float *v, float by, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(v + i, load(v + i) * by);
    for (; i < n; i++)
        v[i] *= by;
}

void frt_rotation_apply(const struct frt_rotation *rotation, const float *vector, float *out)
{
    const uint32_t dim = rotation->dim, block = rotation->block;
    const float scale = 1 / sqrtf((float)block);
    if (out != vector)
        memcpy(out, vector, dim * sizeof *out);
    for (uint32_t r = 0; r < FRT_ROTATION_ROUNDS; r++) {
        float *part = r % 2 == 0 ? out : out + (dim - block);
        multiply(out, rotation->signs + (size_t)r * dim, dim);
        walsh_hadamard(part, block);
        scale_all(part, scale, block);
    }
}
