/* hnswlib (inner product) as a peer. */
#include <hnswlib/hnswlib.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "peers/bench_peers.h"

namespace
{

using graph = hnswlib::HierarchicalNSW<float>;

struct peer {
    bench_peer_options options;
    std::unique_ptr<hnswlib::InnerProductSpace> space;
    std::unique_ptr<graph> index;
    std::string text;
};

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

void *open_peer(const char *, const bench_peer_options *options, char *why)
{
    peer *p = nullptr;
    (void)guarded(why, [&] {
        auto made = std::make_unique<peer>();
        made->options = *options;
        made->options.m = options->m != 0 ? options->m : 32;
        made->options.ef_construction = options->ef_construction != 0 ? options->ef_construction : 200;
        made->options.ef = options->ef != 0 ? options->ef : 100;
        made->space = std::make_unique<hnswlib::InnerProductSpace>(options->dim);
        p = made.release();
    });
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
        auto index = std::make_unique<graph>(p->space.get(), n, p->options.m, p->options.ef_construction);
        const unsigned count = p->options.build_threads != 0
                                   ? p->options.build_threads
                                   : std::max(1U, std::thread::hardware_concurrency());
        std::atomic<size_t> next{0};
        std::atomic<bool> failed{false};
        auto work = [&] {
            try {
                for (size_t i = next++; i < n && !failed; i = next++)
                    index->addPoint(vectors + i * p->options.dim, i);
            } catch (...) {
                failed = true;
            }
        };
        std::vector<std::thread> threads;
        for (unsigned i = 1; i < count; i++)
            threads.emplace_back(work);
        work();
        for (auto &thread : threads)
            thread.join();
        if (failed)
            throw std::runtime_error("hnswlib could not add a vector");
        index->setEf(p->options.ef);
        p->index = std::move(index);
    });
}

bool save(void *state, const char *path, char *why)
{
    auto *p = static_cast<peer *>(state);
    return guarded(why, [&] { p->index->saveIndex(path); });
}

bool load(void *state, const char *path, char *why)
{
    auto *p = static_cast<peer *>(state);
    return guarded(why, [&] {
        p->index = std::make_unique<graph>(p->space.get(), std::string(path));
        p->index->setEf(p->options.ef);
    });
}

bool set(void *state, const char *what, uint32_t value)
{
    auto *p = static_cast<peer *>(state);
    if (std::strcmp(what, "ef") != 0)
        return false;
    p->options.ef = value;
    if (p->index != nullptr)
        p->index->setEf(value);
    return true;
}

bool search(void *state, size_t nq, const float *queries, size_t k, float *scores, int64_t *ids, char *why)
{
    auto *p = static_cast<peer *>(state);
    return guarded(why, [&] {
        for (size_t q = 0; q < nq; q++) {
            auto found = p->index->searchKnn(queries + q * p->options.dim, k);
            for (size_t i = found.size(); i < k; i++) {
                scores[q * k + i] = -1;
                ids[q * k + i] = -1;
            }
            while (!found.empty()) { /* the farthest first */
                const size_t at = q * k + found.size() - 1;
                scores[at] = 1 - found.top().first;
                ids[at] = static_cast<int64_t>(found.top().second);
                found.pop();
            }
        }
    });
}

uint64_t bytes(const void *state)
{
    const auto *p = static_cast<const peer *>(state);
    const graph *g = p->index.get();
    if (g == nullptr)
        return 0;
    const uint64_t n = g->cur_element_count;
    /* level 0 with vector and label, a pointer to the upper links, level, lock, a node and a bucket of the
     * label map */
    uint64_t sum = n * (g->size_data_per_element_ + sizeof(void *) + sizeof(int) + sizeof(std::mutex) + 32 + 8);
    for (uint64_t i = 0; i < n; i++)
        sum += g->element_levels_[i] > 0
                   ? static_cast<uint64_t>(g->element_levels_[i]) * g->size_links_per_element_
                   : 0;
    return sum;
}

const char *describe(void *state)
{
    auto *p = static_cast<peer *>(state);
    p->text = "hnswlib M=" + std::to_string(p->options.m) +
              " efConstruction=" + std::to_string(p->options.ef_construction) +
              " ef=" + std::to_string(p->options.ef);
    return p->text.c_str();
}

} // namespace

extern "C" __attribute__((visibility("default"))) const bench_peer_module bench_peer_module = {
    BENCH_PEER_ABI, open_peer, close_peer, build, save, load, set, search, bytes, describe};
