/*
 * Peers of bench_search: other people's vector indexes behind one small C API.
 *
 *     bench_search ── bench_peers.c ──dlopen──┬── bench_peer_faiss.so       Debian's libfaiss-dev
 *                                             ├── bench_peer_faiss_avx2.so  the same sources with AVX2, from
 *                                             │                             bench/build-faiss-avx2
 *                                             └── bench_peer_hnswlib.so     Debian's libhnswlib-dev,
 * -march=native
 *
 * Each peer is a module of its own, because two builds of FAISS cannot live in one program. A module that was
 * not built is no error: bench_peer_open says why, and the bench goes on without it.
 *
 * Threading: one owner. Searches use one thread; so does BLAS.
 */
#ifndef FRT_BENCH_PEERS_BENCH_PEERS_H
#define FRT_BENCH_PEERS_BENCH_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_peer;

/** The zero value is what issue and documentation name; nothing here need be set but dim. */
struct bench_peer_options {
    uint32_t dim;
    uint32_t nlist;           /* IVF; 0 = min(4096, max(100, n / 10)) */
    uint32_t nprobe;          /* IVF; 0 = min(50, max(10, nlist / 10)) */
    uint32_t train_per_list;  /* IVF: most vectors per list that k-means sees; 0 = FAISS's default, 256 */
    uint32_t train_rounds;    /* IVF: iterations of k-means; 0 = FAISS's default, 10 */
    uint32_t m;               /* HNSW; 0 = 32 */
    uint32_t ef_construction; /* HNSW; 0 = 200 */
    uint32_t ef;              /* HNSW; 0 = 100 */
    uint32_t build_threads;   /* 0 = all cores */
};

/** All names: "faiss-flat", "faiss-ivfflat", "faiss-flat-avx2", "faiss-ivfflat-avx2", "hnswlib"; NULL-ended. */
extern const char *const bench_peer_names[];

/**
 * Open a peer without vectors.
 *
 * why  text: why not (which package or script is missing).
 */
bool bench_peer_open(const char *name, const struct bench_peer_options *options, struct bench_peer **out,
                     char why[256]);
/** NULL is fine. */
void bench_peer_close(struct bench_peer *peer);

/** Train where that is needed and add vectors with the ids 0..n-1. Once. vectors: f32[n][dim], unit. */
bool bench_peer_build(struct bench_peer *peer, size_t n, const float *vectors, char why[256]);
/** Keep a built index in a file of the peer's own format; building takes minutes to hours. */
bool bench_peer_save(struct bench_peer *peer, const char *path, char why[256]);
/** In place of bench_peer_build. The file is trusted: it must be our own. */
bool bench_peer_load(struct bench_peer *peer, const char *path, char why[256]);

/** Change what a search does: "nprobe" or "ef". False: this peer has no such thing. */
bool bench_peer_set(struct bench_peer *peer, const char *what, uint32_t value);

/**
 * The k most similar of each query, on one thread.
 *
 * scores, ids  out [nq][k]: cosines, best first; id -1 where there are fewer.
 */
bool bench_peer_search(struct bench_peer *peer, size_t nq, const float *queries, size_t k, float *scores,
                       int64_t *ids, char why[256]);

/** Memory of the built index: vectors, ids, graph or lists, look-up tables. */
uint64_t bench_peer_bytes(const struct bench_peer *peer);
/** "FAISS 1.7.3 IVFFlat nlist=4096 nprobe=50"; valid until the next call on this peer. */
const char *bench_peer_describe(struct bench_peer *peer);

/* ---------------------------------------------------------------- modules */

enum { BENCH_PEER_ABI = 1 };

/** What a module exports as `bench_peer_module`. Functions that fail fill `why` and return NULL or false. */
struct bench_peer_module {
    uint32_t abi;
    void *(*open)(const char *kind, const struct bench_peer_options *options, char why[256]);
    void (*close)(void *peer);
    bool (*build)(void *peer, size_t n, const float *vectors, char why[256]);
    bool (*save)(void *peer, const char *path, char why[256]);
    bool (*load)(void *peer, const char *path, char why[256]);
    bool (*set)(void *peer, const char *what, uint32_t value);
    bool (*search)(void *peer, size_t nq, const float *queries, size_t k, float *scores, int64_t *ids,
                   char why[256]);
    uint64_t (*bytes)(const void *peer);
    const char *(*describe)(void *peer);
};

#ifdef __cplusplus
}
#endif

#endif
