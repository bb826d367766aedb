#include "index/native.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "index/gpu_mirror.h"

enum { PARALLEL_FROM = 512, ENCODE_SLICE = 128 };

/* -------------------------------------------------------------------- view */

enum frt_status frt_view_new(struct frt_segment *const *segments, uint32_t n, struct frt_view **out,
                             struct frt_error *err)
{
    if (n > FRT_NATIVE_MAX_SEGMENTS)
        return frt_fail(err, FRT_ENOMEM, "an index of more than %d parts", FRT_NATIVE_MAX_SEGMENTS);
    struct frt_view *view = frt_alloc(sizeof *view + n * sizeof(struct frt_segment *));
    if (view == NULL)
        return frt_fail_nomem(err, "a view of an index");
    atomic_init(&view->refs, 1);
    view->n = n;
    for (uint32_t i = 0; i < n; i++)
        view->segments[i] = frt_segment_retain(segments[i]);
    *out = view;
    return FRT_OK;
}

void frt_view_release(struct frt_view *view)
{
    /* acq_rel: the last reader sees what all others did */
    if (view == NULL || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < view->n; i++)
        frt_segment_release(view->segments[i]);
    frt_free(view);
}

struct frt_view *frt_native_view(struct frt_native *native)
{
    (void)pthread_mutex_lock(&native->view_lock);
    struct frt_view *view = native->view;
    /* relaxed: the index itself holds a reference */
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&native->view_lock);
    return view;
}

void frt_native_publish(struct frt_native *native, struct frt_view *view)
{
    (void)pthread_mutex_lock(&native->view_lock);
    struct frt_view *before = native->view;
    native->view = view;
    (void)pthread_mutex_unlock(&native->view_lock);
    frt_view_release(before);
}

/* -------------------------------------------------------------------- life */

static void native_free(struct frt_index *index)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    frt_mirror_free(native->mirror);
    frt_view_release(native->view);
    frt_search_team_release(native->team);
    frt_encoder_deinit(&native->encoder);
    frt_free(native->scratch);
    (void)pthread_mutex_destroy(&native->maintain_lock);
    (void)pthread_mutex_destroy(&native->write_lock);
    (void)pthread_mutex_destroy(&native->view_lock);
    frt_free(native);
}

/* --------------------------------------------------------------------- add */

/* Where is the key? The newest segment first. With write_lock. */
static struct frt_segment *locate(const struct frt_view *view, uint64_t key, uint32_t *at)
{
    for (uint32_t i = view->n; i-- > 0;) {
        if (frt_segment_find(view->segments[i], key, at) && !frt_segment_is_removed(view->segments[i], *at))
            return view->segments[i];
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
static enum frt_status check_keys(const struct frt_native *native, size_t n, const uint64_t *keys,
                                  struct frt_error *err)
{
    uint64_t last = native->max_key, *sorted = NULL;
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
        uint32_t at;
        if ((i > 0 && sorted[i] == sorted[i - 1]) || locate(native->view, sorted[i], &at) != NULL)
            status =
                frt_fail(err, FRT_EINVAL, "key %llu is in the index already", (unsigned long long)sorted[i]);
    }
    frt_free(sorted);
    return status;
}

/* A view with room for n more vectors behind the published ones: NULL in *out when the tail has it. */
static enum frt_status make_room(struct frt_native *native, size_t n, struct frt_view **out,
                                 struct frt_error *err)
{
    const struct frt_view *view = native->view;
    struct frt_segment **segments = NULL;
    uint32_t count = view->n, tail_free = 0;
    uint64_t total = 0;
    enum frt_status status = FRT_OK;
    *out = NULL;
    if (view->n > 0) {
        const struct frt_segment *tail = view->segments[view->n - 1];
        tail_free = !tail->sealed ? tail->capacity - frt_segment_count(tail) : 0;
    }
    if (n <= tail_free)
        return FRT_OK;
    for (uint32_t i = 0; i < view->n; i++)
        total += frt_segment_count(view->segments[i]);
    segments = frt_alloc_array(FRT_NATIVE_MAX_SEGMENTS, sizeof *segments);
    if (segments == NULL)
        return frt_fail_nomem(err, "an index");
    memcpy(segments, view->segments, view->n * sizeof(struct frt_segment *));
    for (size_t left = n - tail_free; left > 0 && status == FRT_OK;) {
        size_t capacity = FRT_NATIVE_SEGMENT_MIN;
        while ((capacity < total || capacity < left) && capacity < FRT_NATIVE_SEGMENT_MAX)
            capacity *= 2;
        if (count == FRT_NATIVE_MAX_SEGMENTS)
            status = frt_fail(err, FRT_ENOMEM, "an index of more than %d parts", FRT_NATIVE_MAX_SEGMENTS);
        else
            status = frt_segment_new(&native->encoder, (uint32_t)capacity, 0, false, &segments[count], err);
        if (status != FRT_OK)
            break;
        count++;
        total += capacity;
        left -= left < capacity ? left : capacity;
    }
    if (status == FRT_OK)
        status = frt_view_new(segments, count, out, err);
    for (uint32_t i = view->n; i < count; i++)
        frt_segment_release(segments[i]); /* the view has its own references */
    frt_free(segments);
    return status;
}

/* A run of vectors that go into one segment, encoded by whoever is free. */
struct encoding {
    const struct frt_encoder *encoder;
    struct frt_segment *segment;
    uint32_t first, n;
    const uint64_t *keys;
    const uint32_t *groups;
    const float *vectors;
    float *scratch; /* worker 0's */
    atomic_uint next;
};

static void encode_slices(void *arg, uint32_t worker)
{
    struct encoding *job = arg;
    const uint32_t dim = job->encoder->dim;
    float *scratch = worker == 0 ? job->scratch : frt_alloc_array(dim, sizeof *scratch);
    if (scratch == NULL)
        return; /* the others do the work */
    for (;;) {
        const uint32_t first = atomic_fetch_add_explicit(&job->next, ENCODE_SLICE, memory_order_relaxed);
        if (first >= job->n)
            break;
        for (uint32_t i = first; i < job->n && i < first + ENCODE_SLICE; i++)
            frt_segment_encode(job->segment, job->encoder, job->first + i, job->keys[i], job->groups[i],
                               job->vectors + (size_t)i * dim, scratch);
    }
    if (worker != 0)
        frt_free(scratch);
}

static enum frt_status native_add(struct frt_index *index, size_t n, const uint64_t *keys,
                                  const uint32_t *groups, const float *vectors, struct frt_error *err)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    struct frt_view *view = NULL, *next = NULL;
    (void)pthread_mutex_lock(&native->write_lock);
    enum frt_status status = check_keys(native, n, keys, err);
    if (status == FRT_OK)
        status = make_room(native, n, &next, err);
    view = next != NULL ? next : native->view;
    for (uint32_t s = 0; status == FRT_OK && s < view->n && n > 0; s++) {
        struct frt_segment *segment = view->segments[s];
        const uint32_t have = frt_segment_count(segment), room = segment->capacity - have;
        if (segment->sealed || room == 0 ||
            (s + 1 < view->n && frt_segment_count(view->segments[s + 1]) > 0)) /* behind it they were added */
            continue;
        struct encoding job = {.encoder = &native->encoder,
                               .segment = segment,
                               .first = have,
                               .n = n < room ? (uint32_t)n : room,
                               .keys = keys,
                               .groups = groups,
                               .vectors = vectors,
                               .scratch = native->scratch};
        frt_search_team_run(native->team, job.n >= PARALLEL_FROM ? index->options.threads - 1 : 0,
                            encode_slices, &job);
        frt_segment_publish(segment, have + job.n);
        for (uint32_t i = 0; i < job.n; i++)
            native->max_key = keys[i] > native->max_key ? keys[i] : native->max_key;
        n -= job.n;
        keys += job.n;
        groups += job.n;
        vectors += (size_t)job.n * native->encoder.dim;
    }
    if (next != NULL)
        frt_native_publish(native, next);
    (void)pthread_mutex_unlock(&native->write_lock);
    return status;
}

static enum frt_status native_remove(struct frt_index *index, size_t n, const uint64_t *keys, size_t *removed,
                                     struct frt_error *err)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    size_t count = 0;
    (void)err;
    (void)pthread_mutex_lock(&native->write_lock);
    for (size_t i = 0; i < n; i++) {
        uint32_t at;
        struct frt_segment *segment = keys[i] > native->max_key ? NULL : locate(native->view, keys[i], &at);
        if (segment != NULL && frt_segment_remove(segment, at))
            count++;
    }
    (void)pthread_mutex_unlock(&native->write_lock);
    *removed = count;
    return FRT_OK;
}

/* ------------------------------------------------------------------- stats */

/* A segment that is being filled has more room than it uses; what was never touched is not in memory. */
static size_t used_bytes(const struct frt_encoder *encoder, const struct frt_segment *segment)
{
    size_t bytes = segment->bytes;
    if (!segment->sealed && !frt_segment_bytes(encoder, frt_segment_count(segment), 0, false, &bytes))
        return segment->bytes;
    return bytes;
}

static struct frt_index_stats native_stats(struct frt_index *index)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    struct frt_index_stats stats = {.engine = native->mirror != NULL ? "cuda" : "native",
                                    .kind = "exact",
                                    .bytes = sizeof *native,
                                    .score_error = frt_encoder_score_error(&native->encoder)};
    struct frt_view *view = frt_native_view(native);
    for (uint32_t i = 0; i < view->n; i++) {
        const struct frt_segment *segment = view->segments[i];
        stats.vectors += frt_segment_live(segment);
        stats.removed += atomic_load_explicit(&segment->n_removed, memory_order_relaxed);
        stats.bytes += used_bytes(&native->encoder, segment);
        if (segment->n_lists > 0) {
            stats.kind = "ivf";
            stats.lists = segment->n_lists;
        }
    }
    frt_view_release(view);
    if (stats.lists > 0) {
        (void)pthread_mutex_lock(&native->view_lock);
        stats.probes = native->probes;
        stats.built_loss = native->built_loss;
        (void)pthread_mutex_unlock(&native->view_lock);
    }
    return stats;
}

static const struct frt_index_ops native_ops = {.free = native_free,
                                                .add = native_add,
                                                .remove = native_remove,
                                                .search = frt_native_search,
                                                .stats = native_stats,
                                                .wants_maintenance = frt_native_wants_maintenance,
                                                .maintain = frt_native_maintain,
                                                .save = frt_native_save};

enum frt_status frt_native_make(const struct frt_index_options *options, struct frt_native **out,
                                struct frt_error *err)
{
    struct frt_native *native = frt_alloc_zero(1, sizeof *native);
    if (native == NULL)
        return frt_fail_nomem(err, "an index");
    native->index = (struct frt_index){&native_ops, *options};
    (void)pthread_mutex_init(&native->maintain_lock, NULL);
    (void)pthread_mutex_init(&native->write_lock, NULL);
    (void)pthread_mutex_init(&native->view_lock, NULL);
    enum frt_status status = frt_encoder_init(&native->encoder, options->dim, err);
    if (status == FRT_OK) {
        native->scratch = frt_alloc_array(options->dim, sizeof *native->scratch);
        if (native->scratch == NULL)
            status = frt_fail_nomem(err, "an index");
    }
    if (status == FRT_OK)
        status = frt_view_new(NULL, 0, &native->view, err);
    if (status == FRT_OK && options->engine == FRT_INDEX_CUDA)
        status = frt_mirror_new(native, &native->mirror, err);
    if (status != FRT_OK) {
        native_free(&native->index);
        return status;
    }
    native->team = frt_search_team_retain(options->threads - 1);
    *out = native;
    return FRT_OK;
}

static enum frt_status native_new(const struct frt_index_options *options, struct frt_index **out,
                                  struct frt_error *err)
{
    struct frt_native *native = NULL;
    enum frt_status status = frt_native_make(options, &native, err);
    if (status == FRT_OK)
        *out = &native->index;
    return status;
}

const struct frt_index_driver frt_index_driver_native = {native_new, frt_native_load};
