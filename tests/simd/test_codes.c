/* Contract: every tier of the code scans keeps what the scalar one keeps (at the very cut rounding may differ),
 * and the fine dot product keeps its bound. Blocks are allocated to size, so that the address sanitizer sees
 * one too far. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "simd/codes.h"

enum { N_BLOCKS = 5, N = N_BLOCKS * FRT_CODE_BLOCK };

static uint64_t seed = 88172645463325252u;

static uint64_t random_bits(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static float random_float(void)
{
    return (float)(int32_t)(random_bits() >> 32) / 2147483648.0f;
}

/* The estimates one by one, in double, straight from the definition in codes.h. */
static double bits_estimate(const struct frt_bits_query *q, const uint64_t *codes, const float *factors,
                            size_t i)
{
    double wrong = 0;
    for (uint32_t w = 0; w < q->words; w++) {
        const uint64_t code = codes[(i / FRT_CODE_BLOCK * q->words + w) * FRT_CODE_BLOCK + i % FRT_CODE_BLOCK];
        for (int bit = 0; bit < 64; bit++) {
            if (((code ^ q->sign[w]) >> bit & 1) != 0)
                wrong += (q->big[w] >> bit & 1) != 0 ? 3 : 1;
        }
    }
    return (double)factors[i] * ((double)q->sum - (double)q->unit * wrong);
}

static double nibbles_estimate(const struct frt_nibbles_query *q, const uint32_t *codes, const float *factors,
                               size_t i)
{
    int64_t sum = 0;
    for (uint32_t c = 0; c < q->groups * 8; c++) {
        const uint32_t v =
            codes[(i / FRT_CODE_BLOCK * q->groups + c / 8) * FRT_CODE_BLOCK + i % FRT_CODE_BLOCK];
        sum += (int64_t)(v >> (8 * (c % 4) + (c % 8 >= 4 ? 4 : 0)) & 15) * q->q8[c];
    }
    return (double)factors[i] * ((double)q->step * (double)sum - (double)q->offset);
}

/* What was kept: everything clearly above the cut, nothing clearly below, in order, each once. */
static void check_kept(const double *estimates, float cut, uint32_t first, const uint32_t *kept, size_t n_kept,
                       const char *what, enum frt_simd_tier tier, uint32_t size)
{
    size_t k = 0;
    for (size_t i = 0; i < N; i++) {
        const double slack = 1e-5 * (fabs(estimates[i]) + 1);
        const bool is = k < n_kept && kept[k] == first + i;
        k += is;
        if ((estimates[i] >= (double)cut + slack && !is) || (estimates[i] < (double)cut - slack && is))
            fail_msg("%s, %s, size %u: vector %zu with %.7g against %.7g was %s", what,
                     frt_simd_tier_name(tier), size, i, estimates[i], (double)cut, is ? "kept" : "dropped");
    }
    assert_int_equal(k, n_kept);
}

static void bit_scans_agree(void **state)
{
    (void)state;
    static const uint32_t words[] = {1, 2, 3, 6, 8, 12, 31, 32, 64};
    for (size_t s = 0; s < sizeof words / sizeof *words; s++) {
        const uint32_t w = words[s];
        uint64_t *codes = frt_alloc_aligned(64, (size_t)N * w * sizeof *codes);
        uint64_t *sign = frt_alloc_array(w, sizeof *sign), *big = frt_alloc_array(w, sizeof *big);
        float *factors = frt_alloc_array(N, sizeof *factors);
        double estimates[N];
        uint32_t out[N];
        for (size_t i = 0; i < (size_t)N * w; i++)
            codes[i] = random_bits();
        for (uint32_t i = 0; i < w; i++) {
            sign[i] = random_bits();
            big[i] = random_bits() & random_bits();
        }
        for (uint32_t i = 0; i < w; i++) { /* one vector is all wrong, one all right */
            codes[(3 * w + i) * FRT_CODE_BLOCK + 7] = ~sign[i];
            codes[(4 * w + i) * FRT_CODE_BLOCK + 9] = sign[i];
        }
        struct frt_bits_query q = {sign, big, w, 0.04f, 0.04f * 48 * (float)w, 0, 0, INFINITY};
        for (size_t i = 0; i < N; i++)
            factors[i] = 0.05f + 0.01f * random_float();
        for (size_t i = 0; i < N; i++)
            estimates[i] = bits_estimate(&q, codes, factors, i);
        const float cuts[] = {-1000, (float)estimates[3], (float)estimates[N - 1], 0, 1000};
        for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
            if (!frt_simd_tier_runs((enum frt_simd_tier)t))
                continue;
            frt_bits_scan_fn *scan = frt_code_kernels_get((enum frt_simd_tier)t)->bits_scan;
            for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
                const size_t n = scan(&q, codes, factors, N_BLOCKS, 7000, cuts[c], out);
                check_kept(estimates, cuts[c], 7000, out, n, "bits", (enum frt_simd_tier)t, w);
            }
            assert_int_equal(scan(&q, codes, factors, 0, 0, -1000, out), 0);
        }
        frt_free(codes);
        frt_free(sign);
        frt_free(big);
        frt_free(factors);
    }
}

/* With a slack, vectors whose coarse estimate, by the query's signs alone, is below the cut by more may be
 * dropped, and no others: blocks with and without hope side by side. */
static void bit_scans_drop_by_signs_what_they_may(void **state)
{
    (void)state;
    static const uint32_t words[] = {2, 8, 12, 33};
    for (size_t s = 0; s < sizeof words / sizeof *words; s++) {
        const uint32_t w = words[s];
        uint64_t *codes = frt_alloc_aligned(64, (size_t)N * w * sizeof *codes), sign[64], big[64];
        float factors[N];
        double full[N], coarse[N];
        uint32_t out[N], kept = 0;
        for (uint32_t i = 0; i < w; i++) {
            sign[i] = random_bits();
            big[i] = random_bits() & random_bits();
        }
        for (size_t i = 0; i < N; i++) { /* one block in two is near the query */
            const bool near = i / FRT_CODE_BLOCK % 2 == 0;
            factors[i] = 0.05f + 0.01f * random_float();
            for (uint32_t k = 0; k < w; k++)
                codes[(i / FRT_CODE_BLOCK * w + k) * FRT_CODE_BLOCK + i % FRT_CODE_BLOCK] =
                    near ? sign[k] ^ (random_bits() & random_bits() & random_bits()) : random_bits();
        }
        const struct frt_bits_query q = {sign, big, w, 0.04f, 1.92f * (float)w, 0.06f, 1.92f * (float)w, 0.01f};
        const struct frt_bits_query by_sign = {sign, (uint64_t[64]){0}, w, q.sign_unit, q.sign_sum, 0, 0, 0};
        for (size_t i = 0; i < N; i++) {
            full[i] = bits_estimate(&q, codes, factors, i);
            coarse[i] = bits_estimate(&by_sign, codes, factors, i);
        }
        const float cut = (float)full[5];
        for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
            if (!frt_simd_tier_runs((enum frt_simd_tier)t))
                continue;
            const size_t n = frt_code_kernels_get((enum frt_simd_tier)t)
                                 ->bits_scan(&q, codes, factors, N_BLOCKS, 0, cut, out);
            size_t k = 0;
            for (size_t i = 0; i < N; i++) {
                const bool is = k < n && out[k] == i;
                const bool may_go = coarse[i] < (double)cut - (double)q.sign_slack + 1e-4;
                k += is;
                kept += is;
                if ((is && full[i] < (double)cut - 1e-4) || (!is && full[i] >= (double)cut + 1e-4 && !may_go))
                    fail_msg("%s, %u words: vector %zu with %.6g, coarse %.6g, cut %.6g was %s",
                             frt_simd_tier_name((enum frt_simd_tier)t), w, i, full[i], coarse[i], (double)cut,
                             is ? "kept" : "dropped");
            }
            assert_int_equal(k, n);
        }
        assert_true(kept > 0);
        frt_free(codes);
    }
}

static void nibble_scans_agree(void **state)
{
    (void)state;
    static const uint32_t groups[] = {1, 2, 3, 16, 17, 48, 512};
    for (size_t s = 0; s < sizeof groups / sizeof *groups; s++) {
        const uint32_t g = groups[s];
        uint32_t *codes = frt_alloc_aligned(64, (size_t)N * g * sizeof *codes);
        int8_t *q8 = frt_alloc_array((size_t)g * 8, 1);
        float *factors = frt_alloc_array(N, sizeof *factors);
        double estimates[N];
        uint32_t out[N];
        int64_t total = 0;
        for (size_t i = 0; i < (size_t)N * g; i++)
            codes[i] = i % 97 == 0 ? UINT32_MAX : (uint32_t)random_bits();
        for (uint32_t i = 0; i < g * 8; i++) {
            q8[i] = (int8_t)(i % 31 == 0 ? -127 : i % 37 == 0 ? 127 : (int)(random_bits() % 255) - 127);
            total += q8[i];
        }
        struct frt_nibbles_query q = {q8, g, 0.001f, 0.001f * 7.5f * (float)total};
        for (size_t i = 0; i < N; i++)
            factors[i] = 0.05f + 0.01f * random_float();
        for (size_t i = 0; i < N; i++)
            estimates[i] = nibbles_estimate(&q, codes, factors, i);
        const float cuts[] = {-1e6f, (float)estimates[3], 0, 1e6f};
        for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
            if (!frt_simd_tier_runs((enum frt_simd_tier)t))
                continue;
            frt_nibbles_scan_fn *scan = frt_code_kernels_get((enum frt_simd_tier)t)->nibbles_scan;
            for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
                const size_t n = scan(&q, codes, factors, N_BLOCKS, 3, cuts[c], out);
                check_kept(estimates, cuts[c], 3, out, n, "nibbles", (enum frt_simd_tier)t, g);
            }
        }
        frt_free(codes);
        frt_free(q8);
        frt_free(factors);
    }
}

static void fine_dots_keep_their_bound(void **state)
{
    (void)state;
    for (size_t n = 16; n <= 4096; n = n < 128 ? n + 16 : n * 2) {
        float *a = frt_alloc_array(n, sizeof *a);
        int8_t *b = frt_alloc_array(n, 1);
        double exact = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = random_float();
            b[i] = (int8_t)((int)(random_bits() % 255) - 127);
            exact += (double)a[i] * b[i];
            aa += (double)a[i] * (double)a[i];
            bb += (double)b[i] * b[i];
        }
        for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
            if (!frt_simd_tier_runs((enum frt_simd_tier)t))
                continue;
            const double got = (double)frt_code_kernels_get((enum frt_simd_tier)t)->dot_f32_i8(a, b, n);
            if (fabs(got - exact) > 2e-7 * sqrt((double)n) * sqrt(aa * bb))
                fail_msg("%s, n=%zu: %.9g, exact %.9g", frt_simd_tier_name((enum frt_simd_tier)t), n, got,
                         exact);
        }
        frt_free(a);
        frt_free(b);
    }
}

/* Whole numbers: every tier has the very same, also at the largest values and for any number of rows. */
static void dots_of_bytes_are_exact(void **state)
{
    static const size_t sizes[] = {16, 48, 64, 80, 128, 496, 512, 528, 4096};
    enum { ROWS = 11 };
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t bytes = sizes[s];
        int8_t *query = frt_alloc_array(bytes, 1), *rows = frt_alloc_array(bytes * ROWS, 1);
        assert_non_null(query);
        assert_non_null(rows);
        for (int extreme = 0; extreme < 2; extreme++) {
            for (size_t i = 0; i < bytes; i++)
                query[i] = (int8_t)(extreme ? 127 : (int)(random_bits() % 255) - 127);
            for (size_t i = 0; i < bytes * ROWS; i++)
                rows[i] = (int8_t)(extreme ? -128 : (int)(random_bits() % 256) - 128);
            for (size_t n = 0; n <= ROWS; n++) {
                for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
                    int32_t out[ROWS + 1];
                    if (!frt_simd_tier_runs((enum frt_simd_tier)t))
                        continue;
                    out[n] = 12345;
                    frt_code_kernels_get((enum frt_simd_tier)t)->dots_i8(query, rows, bytes, n, out);
                    assert_int_equal(out[n], 12345);
                    for (size_t r = 0; r < n; r++) {
                        int64_t exact = 0;
                        for (size_t i = 0; i < bytes; i++)
                            exact += (int64_t)query[i] * rows[r * bytes + i];
                        if (out[r] != exact)
                            fail_msg("%s, %zu bytes, row %zu of %zu: %d, exact %lld",
                                     frt_simd_tier_name((enum frt_simd_tier)t), bytes, r, n, out[r],
                                     (long long)exact);
                    }
                }
            }
        }
        frt_free(query);
        frt_free(rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bit_scans_agree),         cmocka_unit_test(bit_scans_drop_by_signs_what_they_may),
        cmocka_unit_test(nibble_scans_agree),      cmocka_unit_test(fine_dots_keep_their_bound),
        cmocka_unit_test(dots_of_bytes_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
