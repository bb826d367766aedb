/* Checks arguments once for all engines, and forwards. */
#include "index/index.h"

#include <math.h>

#include "core/cores.h"
#include "index/index_engine.h"
#include "simd/dot.h"

enum { MIN_DIM = 8 };

static const struct frt_index_driver *driver_of(enum frt_index_engine engine)
{
    return engine == FRT_INDEX_FAISS ? &frt_index_driver_faiss : &frt_index_driver_native;
}

static enum frt_status check_options(const struct frt_index_options *options, struct frt_index_options *out,
                                     struct frt_error *err)
{
    struct frt_index_options o = *options;
    if (o.dim < MIN_DIM || o.dim > FRT_MAX_DIM)
        return frt_fail(err, FRT_EINVAL, "an index of %u dimensions; %d to %d fit", o.dim, MIN_DIM,
                        FRT_MAX_DIM);
    if (o.engine != FRT_INDEX_NATIVE && o.engine != FRT_INDEX_FAISS && o.engine != FRT_INDEX_CUDA)
        return frt_fail(err, FRT_EINVAL, "no index engine has the number %d", (int)o.engine);
    if (o.threads == 0)
        o.threads = frt_usable_cores();
    if (o.threads > FRT_INDEX_MAX_THREADS)
        o.threads = FRT_INDEX_MAX_THREADS;
    *out = o;
    return FRT_OK;
}

static enum frt_status check_vectors(const float *vectors, size_t n, uint32_t dim, const char *what,
                                     struct frt_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const float *v = vectors + i * dim;
        const float norm = sqrtf(frt_dot_f32(v, v, dim));
        if (!(fabsf(norm - 1) <= 1e-3f)) /* NaN, too */
            return frt_fail(err, FRT_EINVAL, "%s %zu has length %g; vectors of length 1 fit", what, i,
                            (double)norm);
    }
    return FRT_OK;
}

enum frt_status frt_index_new(const struct frt_index_options *options, struct frt_index **out,
                              struct frt_error *err)
{
    struct frt_index_options checked = *options;
    enum frt_status status = check_options(options, &checked, err);
    return status == FRT_OK ? driver_of(checked.engine)->make(&checked, out, err) : status;
}

enum frt_status frt_index_load(const struct frt_index_options *options, const char *path,
                               struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err)
{
    struct frt_index_options checked = *options;
    enum frt_status status = check_options(options, &checked, err);
    return status == FRT_OK ? driver_of(checked.engine)->load(&checked, path, tag, out, err) : status;
}

void frt_index_free(struct frt_index *index)
{
    if (index != NULL)
        index->ops->free(index);
}

enum frt_status frt_index_add(struct frt_index *index, size_t n, const uint64_t *keys, const uint32_t *groups,
                              const float *vectors, struct frt_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i] == 0)
            return frt_fail(err, FRT_EINVAL, "key %zu is 0; keys from 1 on fit", i);
    }
    enum frt_status status = check_vectors(vectors, n, index->options.dim, "vector", err);
    return status == FRT_OK && n > 0 ? index->ops->add(index, n, keys, groups, vectors, err) : status;
}

enum frt_status frt_index_remove(struct frt_index *index, size_t n, const uint64_t *keys, size_t *removed,
                                 struct frt_error *err)
{
    size_t count = 0;
    enum frt_status status = index->ops->remove(index, n, keys, &count, err);
    if (status == FRT_OK && removed != NULL)
        *removed = count;
    return status;
}

enum frt_status frt_index_search(struct frt_index *index, const struct frt_index_query *query,
                                 struct frt_index_hit *hits, size_t *n_hits, struct frt_error *err)
{
    if (query->k == 0 || query->k > FRT_INDEX_MAX_K)
        return frt_fail(err, FRT_EINVAL, "k is %u; 1 to %d fit", query->k, FRT_INDEX_MAX_K);
    if (query->n == 0 || query->n > FRT_INDEX_MAX_QUERIES)
        return frt_fail(err, FRT_EINVAL, "%zu queries at once; 1 to %d fit", query->n, FRT_INDEX_MAX_QUERIES);
    if (isnan(query->min_score))
        return frt_fail(err, FRT_EINVAL, "the least score is not a number");
    enum frt_status status = check_vectors(query->vectors, query->n, index->options.dim, "query", err);
    return status == FRT_OK ? index->ops->search(index, query, hits, n_hits, err) : status;
}

struct frt_index_stats frt_index_stats_get(struct frt_index *index)
{
    return index->ops->stats(index);
}

enum frt_status frt_index_maintain(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                   struct frt_error *err)
{
    return index->ops->maintain == NULL ? FRT_OK : index->ops->maintain(index, stop, arg, err);
}

bool frt_index_wants_maintenance(struct frt_index *index)
{
    return index->ops->wants_maintenance != NULL && index->ops->wants_maintenance(index);
}

enum frt_status frt_index_save(struct frt_index *index, const char *path, const struct frt_index_tag *tag,
                               struct frt_error *err)
{
    return index->ops->save(index, path, tag, err);
}
