/* The peers of bench_search answer what they should: a peer that searches wrongly would flatter us or itself.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "peers/bench_peers.h"

enum { DIM = 24, N = 2500, NQ = 40, K = 7 };

static float vectors[N * DIM], queries[NQ * DIM];

static void fill(float *out, size_t n)
{
    static uint64_t seed = 88172645463325252u;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t d = 0; d < DIM; d++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            out[i * DIM + d] = (float)(int32_t)(seed >> 32) / 2147483648.0f;
            sum += (double)out[i * DIM + d] * (double)out[i * DIM + d];
        }
        for (size_t d = 0; d < DIM; d++)
            out[i * DIM + d] /= (float)sqrt(sum);
    }
}

static double dot(const float *a, const float *b)
{
    double sum = 0;
    for (size_t d = 0; d < DIM; d++)
        sum += (double)a[d] * (double)b[d];
    return sum;
}

/* How many of the K hits of each query are truly among the K best; every score must be the true one. */
static double recall(struct bench_peer *peer)
{
    static float scores[NQ * K];
    static int64_t ids[NQ * K];
    char why[256] = "";
    if (!bench_peer_search(peer, NQ, queries, K, scores, ids, why))
        fail_msg("%s", why);
    size_t right = 0;
    for (size_t q = 0; q < NQ; q++) {
        for (size_t i = 0; i < K; i++) {
            const int64_t id = ids[q * K + i];
            assert_in_range(id, 0, N - 1);
            const double score = dot(queries + q * DIM, vectors + (size_t)id * DIM);
            assert_true(fabs(score - (double)scores[q * K + i]) < 1e-4);
            assert_true(i == 0 || scores[q * K + i] <= scores[q * K + i - 1]);
            size_t better = 0;
            for (size_t j = 0; j < N; j++)
                better += dot(queries + q * DIM, vectors + j * DIM) > score + 1e-6;
            right += better < K;
        }
    }
    return (double)right / (NQ * K);
}

static void peers_find_what_is_there(void **state)
{
    (void)state;
    size_t opened = 0;
    for (size_t i = 0; bench_peer_names[i] != NULL; i++) {
        struct bench_peer *peer = NULL;
        char why[256] = "", path[] = "/tmp/frt-peer-XXXXXX";
        if (!bench_peer_open(bench_peer_names[i], &(struct bench_peer_options){.dim = DIM}, &peer, why)) {
            printf("SKIP %s: %s\n", bench_peer_names[i], why);
            assert_true(strlen(why) > 0);
            continue;
        }
        opened++;
        if (!bench_peer_build(peer, N, vectors, why))
            fail_msg("%s", why);
        const double found = recall(peer);
        printf("%s: recall %.3f, %.0f bytes a vector\n", bench_peer_describe(peer), found,
               (double)bench_peer_bytes(peer) / N);
        assert_true(bench_peer_bytes(peer) >= (uint64_t)N * DIM * 4);
        const bool flat =
            strstr(bench_peer_names[i], "flat") != NULL && strstr(bench_peer_names[i], "ivf") == NULL;
        assert_true(found > (flat ? 0.9999 : 0.3));
        /* at full width the approximate ones are (nearly) exact, too */
        assert_int_equal(bench_peer_set(peer, "nprobe", 4096), strstr(bench_peer_names[i], "ivf") != NULL);
        assert_int_equal(bench_peer_set(peer, "ef", N), strcmp(bench_peer_names[i], "hnswlib") == 0);
        assert_true(recall(peer) > 0.99);

        const int file = mkstemp(path);
        assert_true(file >= 0);
        (void)close(file);
        struct bench_peer *again = NULL;
        if (!bench_peer_save(peer, path, why) ||
            !bench_peer_open(bench_peer_names[i], &(struct bench_peer_options){.dim = DIM}, &again, why) ||
            !bench_peer_load(again, path, why))
            fail_msg("%s", why);
        (void)unlink(path);
        assert_true(fabs(recall(again) - found) < 1e-9);
        bench_peer_close(again);
        bench_peer_close(peer);
    }
    if (opened == 0)
        skip();
}

static void unknown_peers_are_refused(void **state)
{
    (void)state;
    struct bench_peer *peer = NULL;
    char why[256] = "";
    assert_false(bench_peer_open("annoy", &(struct bench_peer_options){.dim = DIM}, &peer, why));
    assert_string_equal(why, "there is no peer 'annoy'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(peers_find_what_is_there),
                                       cmocka_unit_test(unknown_peers_are_refused)};
    fill(vectors, N);
    fill(queries, NQ);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
