/* FAISS Flat and IVFFlat (inner product) as peers; compiled once for each build of FAISS. */
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "peers/bench_peers.h"

/* OpenBLAS has threads of its own; there only when that is the BLAS. */
extern "C" __attribute__((weak)) void openblas_set_num_threads(int count);

namespace
{

constexpr size_t batch = 1000;

struct peer {
    bench_peer_options options;
    bool ivf;
    std::unique_ptr<faiss::Index> index;
    std::string text;
};

void use_threads(uint32_t count)
{
    const int threads =
        static_cast<int>(count != 0 ? count : std::max(1U, std::thread::hardware_concurrency()));
    omp_set_num_threads(threads);
    if (openblas_set_num_threads != nullptr)
        openblas_set_num_threads(threads);
}

/* Run and turn an exception into text. */
template <typename F> bool guarded(char *why, F work)
{
    try {
        work();
        return true;
    } catch (const std::exception &e) {
        (void)std::snprintf(why, 256, "%s", e.what());
    } catch (...) {
        (void)std::snprintf(why, 256, "an unknown exception");
    }
    return false;
}

void set_probes(peer *p)
{
    auto *ivf = dynamic_cast<faiss::IndexIVFFlat *>(p->index.get());
    if (ivf != nullptr)
        ivf->nprobe = p->options.nprobe != 0 ? p->options.nprobe
                                             : std::min<size_t>(50, std::max<size_t>(10, ivf->nlist / 10));
}

void *open_peer(const char *kind, const bench_peer_options *options, char *why)
{
    peer *p = nullptr;
    (void)guarded(why, [&] { p = new peer{*options, std::strcmp(kind, "ivfflat") == 0, nullptr, {}}; });
    return p;
}

void close_peer(void *state)
{
    delete static_cast<peer *>(state);
}

bool build(void *state, size_t n, const float *vectors, char *why)
{
    auto *p = static_cast<peer *>(state);
    return guarded(why, [&] {
        const auto dim = static_cast<int>(p->options.dim);
        use_threads(p->options.build_threads);
        if (!p->ivf) {
            p->index = std::make_unique<faiss::IndexFlatIP>(dim);
        } else {
            const size_t nlist = p->options.nlist != 0 ? p->options.nlist
                                                       : std::min<size_t>(4096, std::max<size_t>(100, n / 10));
            auto quantizer = std::make_unique<faiss::IndexFlatIP>(dim);
            auto ivf = std::make_unique<faiss::IndexIVFFlat>(quantizer.get(), p->options.dim, nlist,
                                                             faiss::METRIC_INNER_PRODUCT);
            (void)quantizer.release();
            ivf->own_fields = true;
            if (p->options.train_per_list != 0)
                ivf->cp.max_points_per_centroid = static_cast<int>(p->options.train_per_list);
            if (p->options.train_rounds != 0)
                ivf->cp.niter = static_cast<int>(p->options.train_rounds);
            ivf->train(static_cast<int64_t>(n), vectors);
            p->index = std::move(ivf);
        }
        for (size_t i = 0; i < n; i += batch)
            p->index->add(static_cast<int64_t>(std::min(batch, n - i)), vectors + i * p->options.dim);
        set_probes(p);
    });
}

bool save(void *state, const char *path, char *why)
{
    auto *p = static_cast<peer *>(state);
    return guarded(why, [&] { faiss::write_index(p->index.get(), path); });
}

bool load(void *state, const char *path, char *why)
{
    auto *p = static_cast<peer *>(state);
    return guarded(why, [&] {
        std::unique_ptr<faiss::Index> index(faiss::read_index(path));
        const bool ivf = dynamic_cast<faiss::IndexIVFFlat *>(index.get()) != nullptr;
        if (ivf != p->ivf || static_cast<uint32_t>(index->d) != p->options.dim)
            throw std::runtime_error("the file holds another kind of index");
        p->index = std::move(index);
        set_probes(p);
    });
}

bool set(void *state, const char *what, uint32_t value)
{
    auto *p = static_cast<peer *>(state);
    if (!p->ivf || std::strcmp(what, "nprobe") != 0)
        return false;
    p->options.nprobe = value;
    if (p->index != nullptr)
        set_probes(p);
    return true;
}

bool search(void *state, size_t nq, const float *queries, size_t k, float *scores, int64_t *ids, char *why)
{
    auto *p = static_cast<peer *>(state);
    return guarded(why, [&] {
        use_threads(1);
        p->index->search(static_cast<int64_t>(nq), queries, static_cast<int64_t>(k), scores, ids);
    });
}

/* FAISS before 1.10 keeps std::vectors, later ones a container around one. */
template <typename V> auto room(const V &list) -> decltype(list.owned_data.capacity())
{
    return list.owned_data.capacity();
}

template <typename T> size_t room(const std::vector<T> &list)
{
    return list.capacity();
}

uint64_t bytes(const void *state)
{
    const auto *p = static_cast<const peer *>(state);
    if (const auto *flat = dynamic_cast<const faiss::IndexFlat *>(p->index.get()))
        return room(flat->codes);
    uint64_t sum = 0;
    const auto *ivf = dynamic_cast<const faiss::IndexIVFFlat *>(p->index.get());
    const auto *lists =
        ivf == nullptr ? nullptr : dynamic_cast<const faiss::ArrayInvertedLists *>(ivf->invlists);
    if (lists == nullptr)
        return 0;
    for (size_t i = 0; i < lists->nlist; i++)
        sum += room(lists->codes[i]) + room(lists->ids[i]) * sizeof(int64_t);
    return sum + ivf->nlist * (p->options.dim * sizeof(float) + sizeof lists->codes[0] + sizeof lists->ids[0]);
}

const char *describe(void *state)
{
    auto *p = static_cast<peer *>(state);
    p->text = "FAISS " + std::to_string(FAISS_VERSION_MAJOR) + "." + std::to_string(FAISS_VERSION_MINOR) + "." +
              std::to_string(FAISS_VERSION_PATCH) + (p->ivf ? " IVFFlat" : " Flat");
    if (const auto *ivf = dynamic_cast<const faiss::IndexIVFFlat *>(p->index.get()))
        p->text += " nlist=" + std::to_string(ivf->nlist) + " nprobe=" + std::to_string(ivf->nprobe);
    return p->text.c_str();
}

} // namespace

extern "C" __attribute__((visibility("default"))) const bench_peer_module bench_peer_module = {
    BENCH_PEER_ABI, open_peer, close_peer, build, save, load, set, search, bytes, describe};
