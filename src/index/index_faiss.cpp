/*
 * The plug-in frt_faiss.so: the table of faiss_shim.h over Debian's libfaiss. The only file that includes
 * FAISS.
 *
 * Memory is C++'s own here, not core/mem.h's: FAISS allocates inside OpenMP regions, which no exception may
 * leave, so failing its allocations on purpose would only end the program.
 */
#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>
#include <faiss/utils/distances.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "index/faiss_gpu.h"
#include "index/faiss_shim.h"

struct frt_faiss_ivf {
    faiss::IndexFlatIP quantizer;
    faiss::IndexIVFFlat index;
    faiss::ArrayInvertedLists *lists;   /* index's */
    mutable frt_faiss_gpu::copy on_gpu; /* internally locked */

    frt_faiss_ivf(size_t dim, size_t n_lists)
        : quantizer(static_cast<int64_t>(dim)), index(&quantizer, dim, n_lists, faiss::METRIC_INNER_PRODUCT),
          lists(dynamic_cast<faiss::ArrayInvertedLists *>(index.invlists))
    {
        if (lists == nullptr)
            throw std::runtime_error("this FAISS keeps its lists in another way");
    }
};

namespace
{

/* How OpenMP counts is a setting of the calling thread. A BLAS may have threads of its own besides (OpenBLAS:
 * OPENBLAS_NUM_THREADS), for training and for searches of 20 queries or more. */
void use_threads(uint32_t count)
{
    omp_set_num_threads(static_cast<int>(std::max(1U, count)));
}

/* Lists are std::vectors in older FAISS (Debian 12: 1.7), and since 1.10 a container around one, which keeps a
 * pointer to the first element beside it: resize() brings that up to date after the vector has moved. */
template <typename V> auto owned(V &list) -> decltype((list.owned_data))
{
    return list.owned_data;
}

template <typename T> std::vector<T> &owned(std::vector<T> &list)
{
    return list;
}

template <typename T> const std::vector<T> &owned(const std::vector<T> &list)
{
    return list;
}

template <typename V> void reserve_in(V &list, size_t size)
{
    owned(list).reserve(size);
    list.resize(list.size());
}

template <typename F> bool guarded(frt_faiss_failure *why, F work)
{
    try {
        work();
        return true;
    } catch (const std::bad_alloc &) {
        why->no_memory = true;
        (void)std::snprintf(why->text, sizeof why->text, "FAISS ran out of memory");
    } catch (const std::exception &e) {
        why->no_memory = false;
        (void)std::snprintf(why->text, sizeof why->text, "FAISS: %s", e.what());
    } catch (...) {
        why->no_memory = false;
        (void)std::snprintf(why->text, sizeof why->text, "FAISS: an unknown exception");
    }
    return false;
}

/* Rows whose bit is not set. */
struct standing : faiss::IDSelector {
    const uint64_t *removed;
    explicit standing(const void *bits) : removed(static_cast<const uint64_t *>(bits))
    {
    }
    bool is_member(int64_t id) const override
    {
        /* relaxed: a bit stands alone */
        return (__atomic_load_n(&removed[id / 64], __ATOMIC_RELAXED) >> (id % 64) & 1) == 0;
    }
};

bool flat_search(const frt_faiss_search *search, const float *vectors, size_t n_rows, frt_faiss_failure *why)
{
    return guarded(why, [&] {
        use_threads(search->threads);
        faiss::float_minheap_array_t heap = {search->n, search->k, search->rows, search->scores};
        const standing selector(search->removed);
        faiss::knn_inner_product(search->queries, vectors, search->dim, search->n, n_rows, &heap,
                                 search->removed != nullptr ? &selector : nullptr);
    });
}

bool ivf_new(uint32_t dim, size_t n_lists, const float *centroids, frt_faiss_ivf **out, frt_faiss_failure *why)
{
    return guarded(why, [&] {
        auto ivf = std::make_unique<frt_faiss_ivf>(dim, n_lists);
        ivf->quantizer.add(static_cast<int64_t>(n_lists), centroids);
        ivf->index.is_trained = true;
        *out = ivf.release();
    });
}

void ivf_free(frt_faiss_ivf *ivf)
{
    delete ivf;
}

bool train(uint32_t dim, size_t n_lists, size_t n, const float *sample, bool first, uint32_t threads,
           float *centroids, frt_faiss_failure *why)
{
    return guarded(why, [&] {
        use_threads(threads);
        faiss::ClusteringParameters parameters;
        parameters.niter = 1;
        parameters.spherical = true; /* as IndexIVF has it for inner products */
        parameters.min_points_per_centroid = 1;
        parameters.max_points_per_centroid = static_cast<int>(std::min<size_t>(n / n_lists + 1, 1 << 20));
        faiss::Clustering clustering(static_cast<int>(dim), static_cast<int>(n_lists), parameters);
        if (!first)
            clustering.centroids.assign(centroids, centroids + n_lists * dim);
        faiss::IndexFlatIP assigner(static_cast<int64_t>(dim));
        clustering.train(static_cast<int64_t>(n), sample, assigner);
        std::copy(clustering.centroids.begin(), clustering.centroids.end(), centroids);
    });
}

bool ivf_assign(const frt_faiss_ivf *ivf, size_t n, const float *vectors, uint32_t threads, uint32_t *lists,
                frt_faiss_failure *why)
{
    return guarded(why, [&] {
        use_threads(threads);
        std::vector<int64_t> labels(n);
        ivf->quantizer.assign(static_cast<int64_t>(n), vectors, labels.data());
        for (size_t i = 0; i < n; i++)
            lists[i] = labels[i] < 0 ? 0 : static_cast<uint32_t>(labels[i]);
    });
}

bool ivf_reserve(frt_faiss_ivf *ivf, size_t list, size_t size, frt_faiss_failure *why)
{
    return guarded(why, [&] {
        reserve_in(ivf->lists->ids.at(list), size);
        reserve_in(ivf->lists->codes.at(list), size * ivf->index.code_size);
    });
}

bool ivf_append(frt_faiss_ivf *ivf, size_t list, size_t n, const int64_t *rows, const float *vectors,
                frt_faiss_failure *why)
{
    return guarded(why, [&] {
        if (list >= ivf->lists->nlist)
            throw std::out_of_range("there is no such list");
        (void)ivf->lists->add_entries(list, n, rows, reinterpret_cast<const uint8_t *>(vectors));
        ivf->index.ntotal += static_cast<int64_t>(n);
    });
}

bool ivf_search(const frt_faiss_ivf *ivf, const frt_faiss_search *search, size_t probes, frt_faiss_failure *why)
{
    if (ivf->on_gpu.find(search, probes))
        return true;
    return guarded(why, [&] {
        use_threads(search->threads);
        standing selector(search->removed);
        faiss::SearchParametersIVF parameters;
        parameters.nprobe = probes;
        parameters.sel = search->removed != nullptr ? &selector : nullptr;
        ivf->index.search(static_cast<int64_t>(search->n), search->queries, static_cast<int64_t>(search->k),
                          search->scores, search->rows, &parameters);
    });
}

void ivf_seal(frt_faiss_ivf *ivf, const frt_faiss_gpu_wish *wish)
{
    ivf->on_gpu.make(ivf->index, *wish);
}

void gpu_figures(frt_faiss_gpu_figures *out)
{
    frt_faiss_gpu::copy::read(out);
}

size_t ivf_list(const frt_faiss_ivf *ivf, size_t list, const int64_t **rows, const float **vectors)
{
    *rows = ivf->lists->get_ids(list);
    *vectors = static_cast<const float *>(static_cast<const void *>(ivf->lists->get_codes(list)));
    return ivf->lists->list_size(list);
}

const float *ivf_centroids(const frt_faiss_ivf *ivf)
{
    return ivf->quantizer.get_xb();
}

uint64_t ivf_bytes(const frt_faiss_ivf *ivf)
{
    uint64_t sum = sizeof *ivf + owned(ivf->quantizer.codes).capacity();
    for (size_t i = 0; i < ivf->lists->nlist; i++)
        sum += owned(ivf->lists->codes[i]).capacity() + owned(ivf->lists->ids[i]).capacity() * sizeof(int64_t) +
               sizeof ivf->lists->codes[i] + sizeof ivf->lists->ids[i];
    return sum;
}

bool read_file(const char *path, uint32_t dim, size_t n_max, float *vectors, int64_t *ids, size_t *n,
               frt_faiss_failure *why)
{
    return guarded(why, [&] {
        std::unique_ptr<faiss::Index> owner(faiss::read_index(path));
        faiss::Index *index = owner.get();
        auto *map = dynamic_cast<faiss::IndexIDMap *>(index);
        const auto count = static_cast<size_t>(index->ntotal);
        if (static_cast<uint32_t>(index->d) != dim || count > n_max)
            throw std::runtime_error("the file holds other sizes");
        if (auto *ivf = dynamic_cast<faiss::IndexIVF *>(map != nullptr ? map->index : index))
            ivf->make_direct_map();
        (map != nullptr ? map->index : index)->reconstruct_n(0, index->ntotal, vectors);
        for (size_t i = 0; i < count; i++)
            ids[i] = map != nullptr ? map->id_map[i] : static_cast<int64_t>(i);
        *n = count;
    });
}

bool write_file(const char *path, const char *kind, bool l2, uint32_t dim, size_t n, const float *vectors,
                const int64_t *ids, frt_faiss_failure *why)
{
    return guarded(why, [&] {
        std::unique_ptr<faiss::Index> index(faiss::index_factory(
            static_cast<int>(dim), kind, l2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT));
        const auto count = static_cast<int64_t>(n);
        index->train(count, vectors);
        if (ids != nullptr)
            index->add_with_ids(count, vectors, ids);
        else
            index->add(count, vectors);
        faiss::write_index(index.get(), path);
    });
}

#define FRT_TEXT(x) #x
#define FRT_NUMBER(x) FRT_TEXT(x)

} // namespace

extern "C" __attribute__((visibility("default"))) const frt_faiss_module frt_faiss_module = {
    FRT_FAISS_ABI,
    FRT_NUMBER(FAISS_VERSION_MAJOR) "." FRT_NUMBER(FAISS_VERSION_MINOR) "." FRT_NUMBER(FAISS_VERSION_PATCH),
    flat_search,
    ivf_new,
    ivf_free,
    train,
    ivf_assign,
    ivf_reserve,
    ivf_append,
    ivf_search,
    ivf_seal,
    gpu_figures,
    ivf_list,
    ivf_centroids,
    ivf_bytes,
    read_file,
    write_file};
