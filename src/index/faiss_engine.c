#include "index/faiss_engine.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "index/gpu_mirror.h"

enum frt_status frt_faiss_failed(struct frt_error *err, const struct frt_faiss_failure *why)
{
    return frt_fail(err, why->no_memory ? FRT_ENOMEM : FRT_EINTERNAL, "%s", why->text);
}

/* ------------------------------------------------------------------- parts */

enum frt_status frt_faiss_part_new(const struct frt_faiss_engine *engine, uint32_t capacity, bool flat,
                                   struct frt_faiss_part **out, struct frt_error *err)
{
    struct frt_faiss_part *part = frt_alloc_zero(1, sizeof *part);
    const size_t room = capacity > 0 ? capacity : 1, words = room / 64 + 1;
    size_t floats = 0;
    if (part == NULL || !frt_mul_size(room, engine->index.options.dim, &floats))
        goto failed;
    atomic_init(&part->refs, 1);
    part->module = engine->module;
    part->dim = engine->index.options.dim;
    part->capacity = capacity;
    part->ascending = true;
    part->keys = frt_alloc_array(room, sizeof *part->keys);
    part->groups = frt_alloc_array(room, sizeof *part->groups);
    part->removed_memory = frt_alloc_zero(words, sizeof(uint64_t));
    part->removed = part->removed_memory;
    if (flat)
        part->vectors = frt_alloc_array(floats, sizeof *part->vectors);
    if (part->keys == NULL || part->groups == NULL || part->removed == NULL || (flat && part->vectors == NULL))
        goto failed;
    part->bytes = sizeof *part + room * (sizeof *part->keys + sizeof *part->groups) + words * sizeof(uint64_t) +
                  (flat ? floats * sizeof(float) : 0);
    *out = part;
    return FRT_OK;
failed:
    if (part != NULL)
        atomic_init(&part->refs, 1);
    frt_faiss_part_release(part);
    return frt_fail_nomem(err, "a part of an index");
}

void frt_faiss_part_release(struct frt_faiss_part *part)
{
    /* acq_rel: the last reader sees what all others did */
    if (part == NULL || atomic_fetch_sub_explicit(&part->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (part->ivf != NULL)
        part->module->ivf_free(part->ivf);
    frt_free(part->keys);
    frt_free(part->groups);
    frt_free(part->removed_memory);
    frt_free(part->vectors);
    frt_free(part->listed);
    frt_free(part);
}

bool frt_faiss_part_find(const struct frt_faiss_part *part, uint64_t key, uint32_t *row)
{
    const uint32_t n = atomic_load_explicit(&part->n, memory_order_acquire);
    if (!part->ascending) {
        for (uint32_t i = n; i-- > 0;) {
            if (part->keys[i] == key && !frt_faiss_part_removed(part, i)) {
                *row = i;
                return true;
            }
        }
        return false;
    }
    uint32_t low = 0, high = n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (part->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || part->keys[low] != key || frt_faiss_part_removed(part, low))
        return false;
    *row = low;
    return true;
}

void frt_faiss_part_remove(struct frt_faiss_part *part, uint32_t row)
{
    atomic_fetch_or_explicit(&part->removed[row / 64], UINT64_C(1) << (row % 64), memory_order_release);
    /* release: who reads a count sees the bits that it counts */
    atomic_fetch_add_explicit(&part->n_removed, 1, memory_order_release);
}

enum frt_status frt_faiss_part_list(struct frt_faiss_part *part, struct frt_error *err)
{
    const uint32_t n = part->capacity;
    part->listed = frt_alloc_zero((size_t)n + 1, sizeof *part->listed);
    if (part->listed == NULL)
        return frt_fail_nomem(err, "a part of an index");
    for (uint32_t list = 0; list < part->n_lists; list++) {
        const int64_t *rows;
        const float *vectors;
        const size_t size = part->module->ivf_list(part->ivf, list, &rows, &vectors);
        for (size_t i = 0; i < size; i++)
            part->listed[rows[i]] = vectors + i * part->dim;
    }
    part->bytes += (size_t)part->module->ivf_bytes(part->ivf) + ((size_t)n + 1) * sizeof *part->listed;
    const struct frt_gpu_search_settings *gpu = frt_gpu_settings();
    part->module->ivf_seal(part->ivf, &(struct frt_faiss_gpu_wish){gpu->device, gpu->scratch_bytes, gpu->from});
    return FRT_OK;
}

/* -------------------------------------------------------------------- view */

enum frt_status frt_faiss_view_new(struct frt_faiss_part *const *parts, uint32_t n, struct frt_faiss_view **out,
                                   struct frt_error *err)
{
    if (n > FRT_FAISS_MAX_PARTS)
        return frt_fail(err, FRT_ENOMEM, "an index of more than %d parts", FRT_FAISS_MAX_PARTS);
    struct frt_faiss_view *view = frt_alloc(sizeof *view + n * sizeof(struct frt_faiss_part *));
    if (view == NULL)
        return frt_fail_nomem(err, "a view of an index");
    atomic_init(&view->refs, 1);
    view->n = n;
    for (uint32_t i = 0; i < n; i++) {
        atomic_fetch_add_explicit(&parts[i]->refs, 1, memory_order_relaxed); /* relaxed: the caller has one */
        view->parts[i] = parts[i];
    }
    *out = view;
    return FRT_OK;
}

void frt_faiss_view_release(struct frt_faiss_view *view)
{
    /* acq_rel: the last reader sees what all others did */
    if (view == NULL || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < view->n; i++)
        frt_faiss_part_release(view->parts[i]);
    frt_free(view);
}

struct frt_faiss_view *frt_faiss_view_get(struct frt_faiss_engine *engine)
{
    (void)pthread_mutex_lock(&engine->view_lock);
    struct frt_faiss_view *view = engine->view;
    /* relaxed: the index itself holds a reference */
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&engine->view_lock);
    return view;
}

void frt_faiss_publish(struct frt_faiss_engine *engine, struct frt_faiss_view *view)
{
    (void)pthread_mutex_lock(&engine->view_lock);
    struct frt_faiss_view *before = engine->view;
    engine->view = view;
    (void)pthread_mutex_unlock(&engine->view_lock);
    frt_faiss_view_release(before);
}

/* ----------------------------------------------------------- add and remove */

static struct frt_faiss_part *locate(const struct frt_faiss_view *view, uint64_t key, uint32_t *row)
{
    for (uint32_t i = view->n; i-- > 0;) {
        if (frt_faiss_part_find(view->parts[i], key, row))
            return view->parts[i];
    }
    return NULL;
}

static int ascending_keys(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Refuse keys that stand already or come twice. Keys usually grow: then one comparison a key is enough. */
static enum frt_status check_keys(const struct frt_faiss_engine *engine, size_t n, const uint64_t *keys,
                                  struct frt_error *err)
{
    uint64_t last = engine->max_key, *sorted = NULL;
    size_t fresh = 0;
    enum frt_status status = FRT_OK;
    while (fresh < n && keys[fresh] > last)
        last = keys[fresh++];
    if (fresh == n)
        return FRT_OK;
    sorted = frt_alloc_array(n, sizeof *sorted);
    if (sorted == NULL)
        return frt_fail_nomem(err, "keys");
    memcpy(sorted, keys, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending_keys);
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        uint32_t row;
        if ((i > 0 && sorted[i] == sorted[i - 1]) || locate(engine->view, sorted[i], &row) != NULL)
            status =
                frt_fail(err, FRT_EINVAL, "key %llu is in the index already", (unsigned long long)sorted[i]);
    }
    frt_free(sorted);
    return status;
}

/* Behind what the part has; it has the room. */
static void append(struct frt_faiss_engine *engine, struct frt_faiss_part *part, size_t n, const uint64_t *keys,
                   const uint32_t *groups, const float *vectors)
{
    const uint32_t have = atomic_load_explicit(&part->n, memory_order_relaxed); /* relaxed: only we write it */
    const size_t dim = engine->index.options.dim;
    if (n == 0)
        return;
    uint64_t last = have > 0 ? part->keys[have - 1] : 0;
    for (size_t i = 0; i < n; i++) {
        part->ascending = part->ascending && keys[i] > last;
        last = keys[i];
        engine->max_key = keys[i] > engine->max_key ? keys[i] : engine->max_key;
    }
    memcpy(part->keys + have, keys, n * sizeof *keys);
    memcpy(part->groups + have, groups, n * sizeof *groups);
    memcpy(part->vectors + have * dim, vectors, n * dim * sizeof *vectors);
    /* release: who sees the count sees the rows */
    atomic_store_explicit(&part->n, have + (uint32_t)n, memory_order_release);
}

static enum frt_status engine_add(struct frt_index *index, size_t n, const uint64_t *keys,
                                  const uint32_t *groups, const float *vectors, struct frt_error *err)
{
    struct frt_faiss_engine *engine = (struct frt_faiss_engine *)(void *)index;
    struct frt_faiss_part *tail = NULL, *part = NULL, **parts = NULL;
    struct frt_faiss_view *view = NULL;
    size_t first = 0, total = 0;
    (void)pthread_mutex_lock(&engine->write_lock);
    const uint32_t n_parts = engine->view->n;
    enum frt_status status = check_keys(engine, n, keys, err);
    if (status != FRT_OK)
        goto done;
    for (uint32_t i = 0; i < n_parts; i++)
        total += atomic_load_explicit(&engine->view->parts[i]->n, memory_order_relaxed);
    if (n_parts > 0 && engine->view->parts[n_parts - 1]->vectors != NULL &&
        !engine->view->parts[n_parts - 1]->sealed) {
        tail = engine->view->parts[n_parts - 1];
        first = tail->capacity - atomic_load_explicit(&tail->n, memory_order_relaxed);
    }
    if (first < n) {
        size_t capacity = total / 2 < FRT_FAISS_PART_MIN ? FRT_FAISS_PART_MIN : total / 2;
        capacity = capacity > FRT_FAISS_PART_MAX ? FRT_FAISS_PART_MAX : capacity;
        capacity = capacity < n - first ? n - first : capacity;
        if (capacity > UINT32_MAX / 2 || total > UINT32_MAX / 2) {
            status = frt_fail(err, FRT_EINVAL, "%zu vectors do not fit in an index of %zu", n, total);
            goto done;
        }
        parts = frt_alloc_array((size_t)n_parts + 1, sizeof *parts);
        if (parts == NULL) {
            status = frt_fail_nomem(err, "an index");
            goto done;
        }
        status = frt_faiss_part_new(engine, (uint32_t)capacity, true, &part, err);
        if (status != FRT_OK || part == NULL)
            goto done;
        memcpy(parts, engine->view->parts, n_parts * sizeof(struct frt_faiss_part *));
        parts[n_parts] = part;
        status = frt_faiss_view_new(parts, n_parts + 1, &view, err);
        if (status != FRT_OK)
            goto done;
        append(engine, part, n - first, keys + first, groups + first, vectors + first * index->options.dim);
    } else {
        first = n;
    }
    if (tail != NULL)
        append(engine, tail, first, keys, groups, vectors);
    if (view != NULL)
        frt_faiss_publish(engine, view);
done:
    (void)pthread_mutex_unlock(&engine->write_lock);
    frt_faiss_part_release(part); /* the view has its own reference */
    frt_free(parts);
    return status;
}

static enum frt_status engine_remove(struct frt_index *index, size_t n, const uint64_t *keys, size_t *removed,
                                     struct frt_error *err)
{
    struct frt_faiss_engine *engine = (struct frt_faiss_engine *)(void *)index;
    size_t count = 0;
    (void)err;
    (void)pthread_mutex_lock(&engine->write_lock);
    for (size_t i = 0; i < n; i++) {
        uint32_t row;
        struct frt_faiss_part *part = locate(engine->view, keys[i], &row);
        if (part == NULL)
            continue;
        frt_faiss_part_remove(part, row);
        count++;
    }
    (void)pthread_mutex_unlock(&engine->write_lock);
    *removed = count;
    return FRT_OK;
}

/* -------------------------------------------------------------------- life */

static struct frt_index_stats engine_stats(struct frt_index *index)
{
    struct frt_faiss_engine *engine = (struct frt_faiss_engine *)(void *)index;
    struct frt_index_stats stats = {.engine = "faiss", .kind = "exact", .bytes = sizeof *engine};
    struct frt_faiss_view *view = frt_faiss_view_get(engine);
    for (uint32_t i = 0; i < view->n; i++) {
        const struct frt_faiss_part *part = view->parts[i];
        const uint32_t removed = atomic_load_explicit(&part->n_removed, memory_order_acquire);
        stats.vectors += atomic_load_explicit(&part->n, memory_order_acquire) - removed;
        stats.removed += removed;
        stats.bytes += part->bytes;
        if (part->ivf != NULL) {
            stats.kind = "ivf";
            stats.lists = part->n_lists;
            stats.probes = frt_faiss_probes(part->n_lists);
        }
    }
    frt_faiss_view_release(view);
    if (stats.lists > 0) {
        (void)pthread_mutex_lock(&engine->view_lock);
        stats.built_loss = engine->built_loss;
        (void)pthread_mutex_unlock(&engine->view_lock);
    }
    return stats;
}

static void engine_free(struct frt_index *index)
{
    struct frt_faiss_engine *engine = (struct frt_faiss_engine *)(void *)index;
    frt_faiss_view_release(engine->view);
    (void)pthread_mutex_destroy(&engine->maintain_lock);
    (void)pthread_mutex_destroy(&engine->write_lock);
    (void)pthread_mutex_destroy(&engine->view_lock);
    frt_free(engine);
}

static const struct frt_index_ops engine_ops = {.free = engine_free,
                                                .add = engine_add,
                                                .remove = engine_remove,
                                                .search = frt_faiss_search,
                                                .stats = engine_stats,
                                                .wants_maintenance = frt_faiss_wants_maintenance,
                                                .maintain = frt_faiss_maintain,
                                                .save = frt_faiss_save};

enum frt_status frt_faiss_make(const struct frt_index_options *options, struct frt_faiss_engine **out,
                               struct frt_error *err)
{
    const struct frt_faiss_module *module = NULL;
    enum frt_status status = frt_faiss_load(&module, err);
    if (status != FRT_OK)
        return status;
    struct frt_faiss_engine *engine = frt_alloc_zero(1, sizeof *engine);
    if (engine == NULL)
        return frt_fail_nomem(err, "an index");
    engine->index = (struct frt_index){&engine_ops, *options};
    engine->module = module;
    (void)pthread_mutex_init(&engine->maintain_lock, NULL);
    (void)pthread_mutex_init(&engine->write_lock, NULL);
    (void)pthread_mutex_init(&engine->view_lock, NULL);
    status = frt_faiss_view_new(NULL, 0, &engine->view, err);
    if (status != FRT_OK) {
        engine_free(&engine->index);
        return status;
    }
    *out = engine;
    return FRT_OK;
}
