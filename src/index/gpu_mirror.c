/* What lies on the device of an index: brought there, kept up, taken away. See gpu_mirror.h. */
#include "index/gpu_mirror.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum {
    REFUSED_MS = 30000,      /* what did not fit is tried again after that */
    MOST_UNCOVERED = 131072, /* vectors that the processor may look at beside the device; or an eighth of all */
    BURY_AT_ONCE = 65536
};

/* ------------------------------------------------------------------ corpus */

void frt_gpu_corpus_release(struct frt_gpu_corpus_ref *corpus)
{
    /* acq_rel: who frees it sees what all others did with it */
    if (corpus == NULL || atomic_fetch_sub_explicit(&corpus->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (corpus->handle != NULL)
        corpus->device->module->corpus_free(corpus->handle);
    const uint32_t n = atomic_load_explicit(&corpus->n_ranges, memory_order_relaxed); /* nobody else is there */
    for (uint32_t i = 0; i < n; i++) {
        frt_segment_release(atomic_load_explicit(&corpus->ranges[i]->segment, memory_order_relaxed));
        frt_free(corpus->ranges[i]->shadow);
        frt_free(corpus->ranges[i]);
    }
    frt_gpu_device_release(corpus->device);
    frt_free(corpus);
}

static struct frt_gpu_corpus_ref *corpus_new(const struct frt_encoder *encoder,
                                             struct frt_gpu_device_ref *device, struct frt_gpu_why *why)
{
    const uint32_t slab_rows = frt_gpu_settings()->slab_rows;
    const struct frt_gpu_layout layout = {FRT_GPU_I8, encoder->row_bytes, slab_rows,
                                          (UINT32_MAX - 1) / slab_rows};
    struct frt_gpu_corpus_ref *corpus = frt_alloc_zero(1, sizeof *corpus);
    if (corpus == NULL)
        return NULL;
    atomic_init(&corpus->refs, 1);
    atomic_fetch_add_explicit(&device->refs, 1, memory_order_relaxed); /* relaxed: the caller has a reference */
    corpus->device = device;
    corpus->slab_rows = slab_rows;
    corpus->slab_bytes = (uint64_t)slab_rows * (encoder->row_bytes + sizeof(float));
    const enum frt_gpu_result result =
        device->module->corpus_new(device->handle, &layout, &corpus->handle, why);
    if (result != FRT_GPU_OK) {
        corpus->handle = NULL;
        if (result == FRT_GPU_LOST)
            frt_gpu_device_failed(device, why->text);
        frt_gpu_corpus_release(corpus);
        return NULL;
    }
    return corpus;
}

static void publish(struct frt_mirror *mirror, struct frt_gpu_corpus_ref *corpus)
{
    (void)pthread_mutex_lock(&mirror->lock);
    struct frt_gpu_corpus_ref *before = mirror->corpus;
    mirror->corpus = corpus;
    (void)pthread_mutex_unlock(&mirror->lock);
    frt_gpu_corpus_release(before);
}

void frt_mirror_drop(struct frt_mirror *mirror)
{
    publish(mirror, NULL);
    atomic_store_explicit(&mirror->bytes, 0, memory_order_relaxed); /* relaxed: a figure */
}

/* ------------------------------------------------------------------ memory */

/* Make room for `bytes` more: mirrors that nobody used for a while go, longest unused first. */
static bool make_room(struct frt_mirror *mirror, uint64_t bytes)
{
    const uint64_t limit = frt_gpu_memory_limit();
    const uint64_t own = atomic_load_explicit(&mirror->bytes, memory_order_relaxed);
    if (bytes > limit || own > limit - bytes)
        return false;
    while (frt_gpu_memory_used() + bytes > limit) {
        struct frt_mirror *victim = frt_gpu_least_used(mirror);
        const int64_t used = victim == NULL ? 0 : atomic_load_explicit(&victim->used_ns, memory_order_relaxed);
        const bool may = victim != NULL &&
                         frt_now_ns() - used >= (int64_t)frt_gpu_settings()->idle_ms * 1000000 &&
                         used < atomic_load_explicit(&mirror->used_ns, memory_order_relaxed);
        if (may) {
            frt_mirror_drop(victim);
            /* it is wanted again when it is searched again; relaxed: a search in between is as good as one
             * before */
            atomic_store_explicit(&victim->used_ns, 0, memory_order_relaxed);
        }
        frt_gpu_least_used_done(may);
        if (!may)
            return false;
    }
    return true;
}

/* It stays the processor's for a while: until others may have fallen idle, or longer where they are not the
 * reason. */
static void refuse(struct frt_mirror *mirror, uint64_t bytes, const char *why)
{
    const uint64_t limit = frt_gpu_memory_limit();
    const uint32_t pause_ms = why == NULL && bytes <= limit ? frt_gpu_settings()->idle_ms : REFUSED_MS;
    frt_mirror_drop(mirror);
    mirror->refused_until_ns = frt_now_ns() + (int64_t)pause_ms * 1000000;
    if (!mirror->told)
        frt_log(FRT_LOG_INFO, "gpu_search_full", FRT_LOG_STR("why", why == NULL ? "the limit" : why),
                FRT_LOG_INT("bytes", bytes), FRT_LOG_INT("limit_bytes", limit), FRT_LOG_END);
    mirror->told = true;
}

/* Slabs for positions up to `end`. False: refused, or lost. */
static bool reserve(struct frt_mirror *mirror, struct frt_gpu_corpus_ref *corpus, uint64_t end)
{
    struct frt_gpu_why why = {""};
    const uint64_t slabs = (end + corpus->slab_rows - 1) / corpus->slab_rows;
    if (slabs <= corpus->n_slabs)
        return true;
    const uint64_t more = (slabs - corpus->n_slabs) * corpus->slab_bytes;
    if (end >= UINT32_MAX || !make_room(mirror, more)) {
        refuse(mirror, slabs * corpus->slab_bytes, NULL);
        return false;
    }
    const enum frt_gpu_result result = corpus->device->module->reserve(corpus->handle, end, &why);
    if (result == FRT_GPU_OK) {
        corpus->n_slabs = (uint32_t)slabs;
        atomic_store_explicit(&mirror->bytes, slabs * corpus->slab_bytes, memory_order_relaxed);
    } else if (result == FRT_GPU_NO_MEMORY || result == FRT_GPU_REFUSED) {
        refuse(mirror, more, why.text);
    } else {
        frt_gpu_device_failed(corpus->device, why.text);
    }
    return result == FRT_GPU_OK;
}

/* ------------------------------------------------------------------ ranges */

static uint32_t n_ranges_of(const struct frt_gpu_corpus_ref *corpus)
{
    return atomic_load_explicit(&corpus->n_ranges, memory_order_relaxed); /* the uploader's own */
}

/* Positions that a segment wants: all it can ever have. */
static uint32_t positions_of(const struct frt_segment *segment)
{
    const uint32_t n = segment->sealed ? frt_segment_count(segment) : segment->capacity;
    return (n + FRT_CODE_BLOCK - 1) / FRT_CODE_BLOCK * FRT_CODE_BLOCK;
}

static bool is_in(const struct frt_view *view, const struct frt_segment *segment, uint32_t *hint)
{
    for (uint32_t i = 0; i < view->n; i++) {
        const uint32_t at = (*hint + i) % view->n;
        if (view->segments[at] == segment) {
            *hint = at + 1;
            return true;
        }
    }
    return false;
}

/* Ranges whose segments have left the view have none any more. */
static void note_dead(struct frt_gpu_corpus_ref *corpus, const struct frt_view *view)
{
    const uint32_t n = n_ranges_of(corpus);
    uint32_t hint = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct frt_gpu_range *range = corpus->ranges[i];
        struct frt_segment *segment = atomic_load_explicit(&range->segment, memory_order_relaxed);
        if (segment == NULL || is_in(view, segment, &hint))
            continue;
        /* relaxed: a search compares it with segments it holds, and reads nothing through it */
        atomic_store_explicit(&range->segment, NULL, memory_order_relaxed);
        frt_segment_release(segment);
        corpus->dead_positions += range->capacity;
    }
}

static struct frt_gpu_range *range_of(const struct frt_gpu_corpus_ref *corpus,
                                      const struct frt_segment *segment, uint32_t *hint)
{
    const uint32_t n = n_ranges_of(corpus);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = (*hint + i) % n;
        if (atomic_load_explicit(&corpus->ranges[at]->segment, memory_order_relaxed) == segment) {
            *hint = at + 1;
            return corpus->ranges[at];
        }
    }
    return NULL;
}

/* A range for a segment. NULL: there is no room, and the mirror may have gone. */
static struct frt_gpu_range *range_add(struct frt_mirror *mirror, struct frt_gpu_corpus_ref *corpus,
                                       struct frt_segment *segment)
{
    const uint32_t n = n_ranges_of(corpus), capacity = positions_of(segment);
    if (n == FRT_GPU_MAX_RANGES || !reserve(mirror, corpus, (uint64_t)corpus->n_positions + capacity))
        return NULL;
    struct frt_gpu_range *range = frt_alloc_zero(1, sizeof *range);
    uint64_t *shadow = frt_alloc_zero(capacity / 64 + 1, sizeof *shadow);
    if (range == NULL || shadow == NULL) {
        frt_free(range);
        frt_free(shadow);
        return NULL;
    }
    atomic_init(&range->segment, frt_segment_retain(segment));
    atomic_init(&range->uploaded, 0);
    range->base = corpus->n_positions;
    range->capacity = capacity;
    range->shadow = shadow;
    corpus->n_positions += capacity;
    corpus->ranges[n] = range;
    atomic_store_explicit(&corpus->n_ranges, n + 1,
                          memory_order_release); /* pairs with frt_mirror_cover's readers */
    return range;
}

/* ------------------------------------------------------------------ upload */

/* Bring the next rows of a segment over. False: lost. */
static bool bring(struct frt_gpu_corpus_ref *corpus, struct frt_gpu_range *range,
                  const struct frt_segment *segment, uint32_t row_bytes, uint32_t n)
{
    struct frt_gpu_why why = {""};
    const uint32_t first = atomic_load_explicit(&range->uploaded, memory_order_relaxed); /* our own */
    float *scales = frt_alloc_array(n, sizeof *scales);
    if (scales == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = first + i;
        const bool gone = frt_segment_is_removed(segment, at);
        scales[i] = gone ? NAN : segment->row_scales[at];
        range->shadow[at / 64] |= (uint64_t)gone << (at % 64);
        range->buried += gone;
    }
    const enum frt_gpu_result result = corpus->device->module->append(
        corpus->handle, range->base + first, n, segment->rows + (size_t)first * row_bytes, scales, &why);
    frt_free(scales);
    if (result != FRT_GPU_OK) {
        frt_gpu_device_failed(corpus->device, why.text);
        return false;
    }
    frt_gpu_count_upload((uint64_t)n * (row_bytes + sizeof *scales));
    /* release: whoever sees the count sees rows that are on the device; pairs with frt_mirror_cover */
    atomic_store_explicit(&range->uploaded, first + n, memory_order_release);
    return true;
}

/* Bury what was removed since. False: lost. */
static bool bury(struct frt_gpu_corpus_ref *corpus, struct frt_gpu_range *range,
                 const struct frt_segment *segment, bool *more)
{
    const uint32_t uploaded = atomic_load_explicit(&range->uploaded, memory_order_relaxed);
    struct frt_gpu_why why = {""};
    uint32_t n = 0;
    /* relaxed: what is seen late is buried late; searches look at the segment's own bits */
    if (atomic_load_explicit(&segment->n_removed, memory_order_relaxed) + segment->gaps == range->buried)
        return true;
    uint32_t *positions = frt_alloc_array(BURY_AT_ONCE, sizeof *positions);
    if (positions == NULL)
        return true;
    for (uint32_t w = 0; w * 64 < uploaded && n <= BURY_AT_ONCE - 64; w++) {
        uint64_t fresh = atomic_load_explicit(&segment->removed[w], memory_order_relaxed) & ~range->shadow[w];
        for (; fresh != 0; fresh &= fresh - 1) {
            const uint32_t at = w * 64 + (uint32_t)__builtin_ctzll(fresh);
            if (at >= uploaded)
                break;
            positions[n++] = range->base + at;
            range->shadow[w] |= UINT64_C(1) << (at % 64);
        }
    }
    *more = *more || n > BURY_AT_ONCE - 64;
    range->buried += n;
    const enum frt_gpu_result result =
        n == 0 ? FRT_GPU_OK : corpus->device->module->tombstone(corpus->handle, positions, n, &why);
    frt_free(positions);
    if (result != FRT_GPU_OK)
        frt_gpu_device_failed(corpus->device, why.text);
    return result == FRT_GPU_OK;
}

/* ------------------------------------------------------------------- steps */

/* Begin a corpus, if the index was searched and is worth it. */
static struct frt_gpu_corpus_ref *begin(struct frt_mirror *mirror, struct frt_gpu_device_ref *device,
                                        const struct frt_view *view)
{
    const struct frt_gpu_search_settings *settings = frt_gpu_settings();
    const struct frt_encoder *encoder = &mirror->native->encoder;
    struct frt_gpu_why why = {""};
    uint64_t live = 0, positions = 0;
    for (uint32_t i = 0; i < view->n; i++) {
        live += frt_segment_live(view->segments[i]);
        positions += positions_of(view->segments[i]);
    }
    if (atomic_load_explicit(&mirror->used_ns, memory_order_relaxed) == 0 || live < settings->from ||
        frt_now_ns() < mirror->refused_until_ns)
        return NULL;
    const uint64_t slab_bytes = (uint64_t)settings->slab_rows * (encoder->row_bytes + sizeof(float));
    const uint64_t bytes = (positions + settings->slab_rows - 1) / settings->slab_rows * slab_bytes;
    if (!make_room(mirror, bytes)) {
        refuse(mirror, bytes, NULL);
        return NULL;
    }
    struct frt_gpu_corpus_ref *corpus = corpus_new(encoder, device, &why);
    if (corpus == NULL) {
        refuse(mirror, bytes, why.text);
        return NULL;
    }
    publish(mirror, corpus);
    /* all at once, so that no other mirror is begun in the same room */
    if (!reserve(mirror, corpus, positions))
        return NULL;
    mirror->told = false;
    return corpus;
}

/* The next slice of a corpus that stands. */
static bool keep_up(struct frt_mirror *mirror, struct frt_gpu_corpus_ref *corpus, const struct frt_view *view)
{
    const uint32_t row_bytes = mirror->native->encoder.row_bytes;
    uint32_t room = frt_gpu_settings()->slice_bytes / row_bytes + 1, hint = 0;
    bool more = false;
    note_dead(corpus, view);
    if (corpus->dead_positions > corpus->n_positions / 4) {
        frt_mirror_drop(mirror);
        return true;
    }
    for (uint32_t i = 0; i < view->n; i++) {
        struct frt_segment *segment = view->segments[i];
        const uint32_t count = frt_segment_count(segment);
        struct frt_gpu_range *range = count == 0 ? NULL : range_of(corpus, segment, &hint);
        if (count > 0 && range == NULL)
            range = range_add(mirror, corpus, segment);
        if (range == NULL) {
            if (count > 0)
                return false; /* refused, lost or out of memory: later */
            continue;
        }
        const uint32_t uploaded = atomic_load_explicit(&range->uploaded, memory_order_relaxed);
        const uint32_t n = count - uploaded < room ? count - uploaded : room;
        if (n > 0 && !bring(corpus, range, segment, row_bytes, n))
            return false;
        room -= n;
        if (!bury(corpus, range, segment, &more))
            return false;
        if (uploaded + n < count)
            return true;
    }
    return more;
}

bool frt_mirror_step(struct frt_mirror *mirror)
{
    struct frt_gpu_device_ref *device = frt_gpu_device_get();
    struct frt_gpu_corpus_ref *corpus = mirror->corpus; /* only we change it */
    bool more = false;
    if (corpus != NULL && (device == NULL || corpus->device->generation != device->generation)) {
        frt_mirror_drop(mirror);
        corpus = NULL;
    }
    if (device == NULL)
        return false;
    struct frt_view *view = frt_native_view(mirror->native);
    if (corpus == NULL)
        corpus = begin(mirror, device, view);
    if (corpus != NULL)
        more = keep_up(mirror, corpus, view);
    frt_view_release(view);
    frt_gpu_device_release(device);
    return more;
}

/* ------------------------------------------------------------------- cover */

bool frt_mirror_cover(struct frt_gpu_corpus_ref *corpus, struct frt_mirror_cover *cover)
{
    const struct frt_view *view = cover->view;
    uint64_t total = 0, covered = 0;
    uint32_t next = 0;
    memset(cover->covered, 0, view->n * sizeof *cover->covered);
    for (uint32_t s = 0; s < view->n; s++)
        total += cover->counts[s];
    cover->n_positions = 0;
    for (uint32_t r = 0; r < cover->n_ranges; r++) {
        struct frt_gpu_range *range = corpus->ranges[r];
        const struct frt_segment *segment = atomic_load_explicit(&range->segment, memory_order_relaxed);
        cover->view_of[r] = UINT32_MAX;
        for (uint32_t i = 0; segment != NULL && i < view->n; i++) {
            const uint32_t s = (next + i) % view->n;
            if (view->segments[s] != segment)
                continue;
            const uint32_t uploaded = atomic_load_explicit(&range->uploaded, memory_order_acquire);
            cover->covered[s] =
                uploaded >= cover->counts[s] ? cover->counts[s] : uploaded / FRT_CODE_BLOCK * FRT_CODE_BLOCK;
            cover->view_of[r] = s;
            cover->n_positions = cover->covered[s] > 0 ? range->base + cover->covered[s] : cover->n_positions;
            covered += cover->covered[s];
            next = s + 1;
            break;
        }
    }
    return covered > 0 && (total - covered <= MOST_UNCOVERED || total - covered <= total / 8) &&
           covered >= total - covered;
}
