#include "peers/bench_peers.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench_peer {
    const struct bench_peer_module *module;
    void *state;
};

static const struct {
    const char *name, *kind, *module, *missing;
} peers[] = {
    {"faiss-flat", "flat", "bench_peer_faiss.so", "install libfaiss-dev and g++, and configure again"},
    {"faiss-ivfflat", "ivfflat", "bench_peer_faiss.so", "install libfaiss-dev and g++, and configure again"},
    {"faiss-flat-avx2", "flat", "bench_peer_faiss_avx2.so", "run bench/build-faiss-avx2, and configure again"},
    {"faiss-ivfflat-avx2", "ivfflat", "bench_peer_faiss_avx2.so",
     "run bench/build-faiss-avx2, and configure again"},
    {"hnswlib", "hnsw", "bench_peer_hnswlib.so", "install libhnswlib-dev and g++, and configure again"},
};
enum { N_PEERS = sizeof peers / sizeof *peers };

const char *const bench_peer_names[] = {"faiss-flat",         "faiss-ivfflat", "faiss-flat-avx2",
                                        "faiss-ivfflat-avx2", "hnswlib",       NULL};

/* Modules stand in the build folder, as benchmarks do. Never closed: OpenMP's threads live on in them. */
static const struct bench_peer_module *load_module(const char *file, const char *missing, char why[256])
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", BENCH_PEERS_DIR, file);
    if (access(path, R_OK) != 0) {
        (void)snprintf(why, 256, "%s was not built: %s", file, missing);
        return NULL;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL) {
        (void)snprintf(why, 256, "%s", dlerror());
        return NULL;
    }
    const struct bench_peer_module *module = dlsym(handle, "bench_peer_module");
    if (module == NULL || module->abi != BENCH_PEER_ABI) {
        (void)snprintf(why, 256, "%s is of another build", file);
        return NULL;
    }
    return module;
}

bool bench_peer_open(const char *name, const struct bench_peer_options *options, struct bench_peer **out,
                     char why[256])
{
    (void)snprintf(why, 256, "there is no peer '%s'", name);
    for (size_t i = 0; i < N_PEERS; i++) {
        if (strcmp(peers[i].name, name) != 0)
            continue;
        const struct bench_peer_module *module = load_module(peers[i].module, peers[i].missing, why);
        if (module == NULL)
            return false;
        struct bench_peer *peer = malloc(sizeof *peer);
        void *state = peer == NULL ? NULL : module->open(peers[i].kind, options, why);
        if (state == NULL) {
            free(peer);
            return false;
        }
        *peer = (struct bench_peer){module, state};
        *out = peer;
        return true;
    }
    return false;
}

void bench_peer_close(struct bench_peer *peer)
{
    if (peer == NULL)
        return;
    peer->module->close(peer->state);
    free(peer);
}

bool bench_peer_build(struct bench_peer *peer, size_t n, const float *vectors, char why[256])
{
    return peer->module->build(peer->state, n, vectors, why);
}

bool bench_peer_save(struct bench_peer *peer, const char *path, char why[256])
{
    return peer->module->save(peer->state, path, why);
}

bool bench_peer_load(struct bench_peer *peer, const char *path, char why[256])
{
    return peer->module->load(peer->state, path, why);
}

bool bench_peer_set(struct bench_peer *peer, const char *what, uint32_t value)
{
    return peer->module->set(peer->state, what, value);
}

bool bench_peer_search(struct bench_peer *peer, size_t nq, const float *queries, size_t k, float *scores,
                       int64_t *ids, char why[256])
{
    return peer->module->search(peer->state, nq, queries, k, scores, ids, why);
}

uint64_t bench_peer_bytes(const struct bench_peer *peer)
{
    return peer->module->bytes(peer->state);
}

const char *bench_peer_describe(struct bench_peer *peer)
{
    return peer->module->describe(peer->state);
}
