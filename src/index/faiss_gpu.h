/*
 * A copy of FAISS lists on a GPU, for FAISS that was built for one (FRT_FAISS_GPU, cmake/FrtFaiss.cmake). C++,
 * a part of the plug-in.
 *
 * The lists in memory stay whole. Whatever the copy does not take (more probes or candidates than FAISS's
 * kernels have, too many removed rows among the best, another search that is still at it) and whatever FAISS
 * throws is the processor's, within the same search. A copy that threw once is given up.
 *
 * What cannot be caught: FAISS checks CUDA's answers by an assertion that calls abort(). Want of memory it
 * throws; a device that is lost under it ends the process. That there is a device is looked for before.
 *
 * FAISS's resources serve one caller at a time: turns. Locks: turn::lock and figures_lock, both leaves.
 */
#ifndef FRT_INDEX_FAISS_GPU_H
#define FRT_INDEX_FAISS_GPU_H

#include <faiss/IndexIVFFlat.h>

#include <memory>

#include "index/faiss_shim.h"

#if defined(FRT_FAISS_GPU)
#include <cuda_runtime.h>
#include <faiss/gpu/GpuCloner.h>
#include <faiss/gpu/StandardGpuResources.h>

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <vector>

namespace frt_faiss_gpu
{

enum {
    MOST = 2048,       /* candidates and probes that FAISS's kernels have */
    SPARE = 64,        /* candidates more, and as many again, where rows were removed */
    PATIENCE_MS = 250, /* for another search; the processor is faster then */
    UPKEEP_PATIENCE_MS = 10000
};

/* The device is one caller's at a time; others wait so long. (No std::timed_mutex: the thread sanitizer does
 * not see how it locks.) */
class turn
{
    inline static std::mutex lock;
    inline static std::condition_variable free;
    inline static bool taken; /* with lock */

  public:
    const bool mine;

    explicit turn(int wait_ms) : mine(take(wait_ms))
    {
    }
    turn(const turn &) = delete;
    turn &operator=(const turn &) = delete;
    ~turn()
    {
        if (!mine)
            return;
        const std::lock_guard<std::mutex> hold(lock);
        taken = false;
        free.notify_one();
    }

  private:
    static bool take(int wait_ms)
    {
        std::unique_lock<std::mutex> hold(lock);
        if (!free.wait_for(hold, std::chrono::milliseconds(wait_ms), [] { return !taken; }))
            return false;
        taken = true;
        return true;
    }
};
inline std::unique_ptr<faiss::gpu::StandardGpuResources> resources; /* in one's turn */

inline std::mutex figures_lock;
inline frt_faiss_gpu_figures figures; /* with figures_lock */

template <typename F> void note(F change)
{
    const std::lock_guard<std::mutex> hold(figures_lock);
    change(figures);
}

inline void trouble(const char *text)
{
    note([&](frt_faiss_gpu_figures &f) {
        f.failures++;
        (void)std::snprintf(f.trouble, sizeof f.trouble, "%s", text);
    });
}

class copy
{
    std::unique_ptr<faiss::Index> index; /* in one's turn */
    uint64_t bytes = 0;

    void drop()
    {
        if (index == nullptr)
            return;
        index.reset();
        note([&](frt_faiss_gpu_figures &f) {
            f.resident--;
            f.bytes -= bytes;
        });
    }

    static bool found_enough(const frt_faiss_search *search, const std::vector<float> &scores,
                             const std::vector<int64_t> &rows, size_t asked)
    {
        const auto *removed = static_cast<const uint64_t *>(search->removed);
        for (size_t q = 0; q < search->n; q++) {
            size_t n = 0, at = 0;
            for (; at < asked && n < search->k && rows[q * asked + at] >= 0; at++) {
                const int64_t row = rows[q * asked + at];
                /* relaxed: a bit stands alone */
                if (removed != nullptr &&
                    (__atomic_load_n(&removed[row / 64], __ATOMIC_RELAXED) >> (row % 64) & 1))
                    continue;
                search->rows[q * search->k + n] = row;
                search->scores[q * search->k + n++] = scores[q * asked + at];
            }
            if (n < search->k && at == asked) /* there may be more behind what was asked for */
                return false;
            for (; n < search->k; n++) {
                search->rows[q * search->k + n] = -1;
                search->scores[q * search->k + n] = -HUGE_VALF;
            }
        }
        return true;
    }

  public:
    copy() = default;
    copy(const copy &) = delete;
    copy &operator=(const copy &) = delete;
    ~copy()
    {
        const turn now(UPKEEP_PATIENCE_MS);
        if (now.mine)
            drop();
        else
            (void)index.release(); /* a device that hangs keeps it */
    }

    void make(const faiss::IndexIVFFlat &lists, const frt_faiss_gpu_wish &wish)
    {
        int devices = 0;
        if (static_cast<uint64_t>(lists.ntotal) < wish.from || wish.from == 0)
            return;
        const turn now(UPKEEP_PATIENCE_MS);
        if (!now.mine)
            return;
        note([](frt_faiss_gpu_figures &f) { f.wanted = true; });
        if (cudaGetDeviceCount(&devices) != cudaSuccess || devices <= static_cast<int>(wish.device)) {
            (void)cudaGetLastError();
            trouble("there is no device of that number");
            return;
        }
        try {
            if (resources == nullptr) {
                auto made = std::make_unique<faiss::gpu::StandardGpuResources>();
                made->setTempMemory(wish.scratch_bytes);
                resources = std::move(made);
            }
            faiss::gpu::GpuClonerOptions options;
            options.useFloat16 = options.useFloat16CoarseQuantizer = false; /* the processor's answers */
            index.reset(
                faiss::gpu::index_cpu_to_gpu(resources.get(), static_cast<int>(wish.device), &lists, &options));
            bytes = static_cast<uint64_t>(lists.ntotal) * (lists.code_size + sizeof(int64_t)) +
                    lists.nlist * lists.code_size;
            note([&](frt_faiss_gpu_figures &f) {
                f.resident++;
                f.bytes += bytes;
            });
        } catch (const std::exception &e) {
            trouble(e.what());
        } catch (...) {
            trouble("an unknown exception");
        }
    }

    /* False: the processor has to. */
    bool find(const frt_faiss_search *search, size_t probes)
    {
        const size_t asked = search->removed != nullptr ? search->k * 2 + SPARE : search->k;
        if (probes > MOST || asked > MOST)
            return false;
        const turn now(PATIENCE_MS);
        if (!now.mine) {
            note([](frt_faiss_gpu_figures &f) { f.fallbacks++; });
            return false;
        }
        if (index == nullptr)
            return false;
        try {
            std::vector<float> scores(search->n * asked);
            std::vector<int64_t> rows(search->n * asked);
            faiss::SearchParametersIVF parameters;
            parameters.nprobe = probes;
            index->search(static_cast<int64_t>(search->n), search->queries, static_cast<int64_t>(asked),
                          scores.data(), rows.data(), &parameters);
            if (!found_enough(search, scores, rows, asked)) {
                note([&](frt_faiss_gpu_figures &f) { f.uncertain += search->n; });
                return false;
            }
            note([](frt_faiss_gpu_figures &f) { f.searches++; });
            return true;
        } catch (const std::exception &e) {
            trouble(e.what());
        } catch (...) {
            trouble("an unknown exception");
        }
        drop();
        note([](frt_faiss_gpu_figures &f) { f.fallbacks++; });
        return false;
    }

    static void read(frt_faiss_gpu_figures *out)
    {
        note([&](const frt_faiss_gpu_figures &f) { *out = f; });
    }
};

} // namespace frt_faiss_gpu

#else

namespace frt_faiss_gpu
{

/* This FAISS has no GPU. */
struct copy {
    void make(const faiss::IndexIVFFlat &, const frt_faiss_gpu_wish &)
    {
    }
    bool find(const frt_faiss_search *, size_t)
    {
        return false;
    }
    static void read(frt_faiss_gpu_figures *out)
    {
        *out = frt_faiss_gpu_figures{};
    }
};

} // namespace frt_faiss_gpu

#endif
#endif
