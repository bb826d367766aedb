#include "index/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"

enum { ALIGNMENT = 64 };

/* ------------------------------------------------------------------ memory */

/* Adds an array of count × size bytes, aligned. */
static bool add_array(size_t *total, size_t count, size_t size)
{
    size_t bytes;
    return frt_mul_size(count, size, &bytes) && frt_add_size(bytes, ALIGNMENT - 1, &bytes) &&
           frt_add_size(*total, bytes / ALIGNMENT * ALIGNMENT, total);
}

static uint32_t whole_blocks(uint32_t n)
{
    return (n + FRT_CODE_BLOCK - 1) / FRT_CODE_BLOCK * FRT_CODE_BLOCK;
}

static bool main_bytes(const struct frt_encoder *e, uint32_t capacity, uint32_t n_lists, size_t *out)
{
    size_t total = 0;
    const bool fits =
        add_array(&total, capacity, sizeof(uint64_t)) && add_array(&total, capacity, sizeof(uint32_t)) &&
        add_array(&total, capacity, sizeof(float)) && add_array(&total, capacity, sizeof(float)) &&
        add_array(&total, capacity / FRT_CODE_BLOCK, e->block_bytes) &&
        add_array(&total, capacity, e->row_bytes) &&
        add_array(&total, n_lists == 0 ? 0 : (size_t)n_lists + 1, sizeof(uint32_t)) &&
        add_array(&total, n_lists, e->row_bytes) && add_array(&total, n_lists, sizeof(float));
    *out = total;
    return fits;
}

static bool side_bytes(uint32_t capacity, bool with_order, size_t *out)
{
    size_t total = 0;
    const bool fits = add_array(&total, ((size_t)capacity + 63) / 64, sizeof(uint64_t)) &&
                      add_array(&total, with_order ? capacity : 0, sizeof(uint32_t));
    *out = total;
    return fits;
}

bool frt_segment_bytes(const struct frt_encoder *encoder, uint32_t capacity, uint32_t n_lists, bool with_order,
                       size_t *out)
{
    size_t a, b;
    return main_bytes(encoder, whole_blocks(capacity), n_lists, &a) &&
           side_bytes(whole_blocks(capacity), with_order, &b) && frt_add_size(a, b, out);
}

static void *take(char **at, size_t count, size_t size)
{
    void *array = *at;
    *at += (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return array;
}

enum frt_status frt_segment_new(const struct frt_encoder *encoder, uint32_t capacity, uint32_t n_lists,
                                bool with_order, struct frt_segment **out, struct frt_error *err)
{
    const uint32_t rounded = whole_blocks(capacity);
    size_t bytes = 0, side = 0;
    if (rounded < capacity || !main_bytes(encoder, rounded, n_lists, &bytes) ||
        !side_bytes(rounded, with_order, &side))
        return frt_fail(err, FRT_EINVAL, "%u vectors do not fit in one part of an index", capacity);
    struct frt_segment *s = frt_alloc_zero(1, sizeof *s);
    if (s == NULL)
        return frt_fail_nomem(err, "a part of an index");
    s->memory = frt_alloc_aligned(ALIGNMENT, bytes);
    s->side_memory = frt_alloc_aligned(ALIGNMENT, side);
    if (s->memory == NULL || s->side_memory == NULL) {
        frt_free(s->memory);
        frt_free(s->side_memory);
        frt_free(s);
        return frt_fail_nomem(err, "a part of an index");
    }
    memset(s->side_memory, 0, side);
    char *at = s->memory, *side_at = s->side_memory;
    s->keys = take(&at, rounded, sizeof *s->keys);
    s->groups = take(&at, rounded, sizeof *s->groups);
    s->factors = take(&at, rounded, sizeof *s->factors);
    s->row_scales = take(&at, rounded, sizeof *s->row_scales);
    s->codes = take(&at, rounded / FRT_CODE_BLOCK, encoder->block_bytes);
    s->rows = take(&at, rounded, encoder->row_bytes);
    if (n_lists > 0) {
        s->list_first = take(&at, (size_t)n_lists + 1, sizeof *s->list_first);
        s->centroids = take(&at, n_lists, encoder->row_bytes);
        s->centroid_scales = take(&at, n_lists, sizeof *s->centroid_scales);
    }
    s->removed = take(&side_at, ((size_t)rounded + 63) / 64, sizeof *s->removed);
    if (with_order)
        s->order = take(&side_at, rounded, sizeof *s->order);
    s->n_lists = n_lists;
    s->capacity = rounded;
    s->ascending = true;
    s->bytes = bytes + side;
    atomic_init(&s->refs, 1);
    *out = s;
    return FRT_OK;
}

struct frt_segment *frt_segment_retain(struct frt_segment *segment)
{
    /* relaxed: whoever retains has a reference already */
    atomic_fetch_add_explicit(&segment->refs, 1, memory_order_relaxed);
    return segment;
}

void frt_segment_release(struct frt_segment *segment)
{
    /* acq_rel: the last one sees what all others did */
    if (segment == NULL || atomic_fetch_sub_explicit(&segment->refs, 1, memory_order_acq_rel) != 1)
        return;
    frt_mapping_release(segment->mapping);
    frt_free(segment->memory);
    frt_free(segment->side_memory);
    frt_free(segment);
}

enum frt_status frt_mapping_new(int fd, size_t size, struct frt_mapping **out, struct frt_error *err)
{
    struct frt_mapping *mapping = frt_alloc_zero(1, sizeof *mapping);
    if (mapping == NULL)
        return frt_fail_nomem(err, "a mapping");
    /* writable for nobody, private: what another process does to the file may show, so files are only ever
     * replaced */
    mapping->bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping->bytes == MAP_FAILED) {
        frt_free(mapping);
        return frt_fail(err, FRT_EIO, "a file of %zu bytes cannot be mapped: %s", size, strerror(errno));
    }
    mapping->size = size;
    atomic_init(&mapping->refs, 1);
    *out = mapping;
    return FRT_OK;
}

void frt_mapping_fetch(const void *bytes, size_t size)
{
#if defined(MADV_POPULATE_READ)
    /* Linux 5.14; where it fails, touching the pages does the same */
    (void)madvise((void *)(uintptr_t)bytes, size, MADV_POPULATE_READ);
#else
    (void)bytes;
    (void)size;
#endif
}

struct frt_mapping *frt_mapping_retain(struct frt_mapping *mapping)
{
    /* relaxed: whoever retains has a reference already */
    atomic_fetch_add_explicit(&mapping->refs, 1, memory_order_relaxed);
    return mapping;
}

void frt_mapping_release(struct frt_mapping *mapping)
{
    /* acq_rel: the last one sees what all others did */
    if (mapping == NULL || atomic_fetch_sub_explicit(&mapping->refs, 1, memory_order_acq_rel) != 1)
        return;
    (void)munmap(mapping->bytes, mapping->size);
    frt_free(mapping);
}

/* ----------------------------------------------------------------- writing */

static void *block_of(const struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at)
{
    return (char *)segment->codes + at / FRT_CODE_BLOCK * encoder->block_bytes;
}

void frt_segment_encode(struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at,
                        uint64_t key, uint32_t group, const float *vector, float *scratch)
{
    const struct frt_encoded out = {block_of(segment, encoder, at), at % FRT_CODE_BLOCK, segment->factors + at,
                                    segment->rows + (size_t)at * encoder->row_bytes, segment->row_scales + at};
    segment->keys[at] = key;
    segment->groups[at] = group;
    frt_encoder_encode(encoder, vector, scratch, &out);
}

void frt_segment_copy(struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at,
                      const struct frt_segment *source, uint32_t from)
{
    const uint32_t lane = at % FRT_CODE_BLOCK, from_lane = from % FRT_CODE_BLOCK;
    segment->keys[at] = source->keys[from];
    segment->groups[at] = source->groups[from];
    segment->factors[at] = source->factors[from];
    segment->row_scales[at] = source->row_scales[from];
    memcpy(segment->rows + (size_t)at * encoder->row_bytes, source->rows + (size_t)from * encoder->row_bytes,
           encoder->row_bytes);
    if (encoder->kind == FRT_CODE_BITS) {
        uint64_t *to = block_of(segment, encoder, at);
        const uint64_t *of = block_of(source, encoder, from);
        for (uint32_t w = 0; w < encoder->words; w++)
            to[w * FRT_CODE_BLOCK + lane] = of[w * FRT_CODE_BLOCK + from_lane];
    } else {
        uint32_t *to = block_of(segment, encoder, at);
        const uint32_t *of = block_of(source, encoder, from);
        for (uint32_t w = 0; w < encoder->words; w++)
            to[w * FRT_CODE_BLOCK + lane] = of[w * FRT_CODE_BLOCK + from_lane];
    }
}

void frt_segment_gap(struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at)
{
    const uint32_t lane = at % FRT_CODE_BLOCK;
    segment->keys[at] = 0;
    segment->groups[at] = 0;
    segment->factors[at] = 0;
    segment->row_scales[at] = 0;
    memset(segment->rows + (size_t)at * encoder->row_bytes, 0, encoder->row_bytes);
    for (uint32_t w = 0; w < encoder->words; w++) {
        if (encoder->kind == FRT_CODE_BITS)
            ((uint64_t *)block_of(segment, encoder, at))[w * FRT_CODE_BLOCK + lane] = 0;
        else
            ((uint32_t *)block_of(segment, encoder, at))[w * FRT_CODE_BLOCK + lane] = 0;
    }
    segment->gaps++;
    atomic_fetch_or_explicit(&segment->removed[at / 64], UINT64_C(1) << (at % 64), memory_order_relaxed);
}

void frt_segment_publish(struct frt_segment *segment, uint32_t n)
{
    for (uint32_t i = atomic_load_explicit(&segment->n, memory_order_relaxed); i < n; i++) {
        if (segment->keys[i] <= segment->last_key)
            segment->ascending = false;
        else
            segment->last_key = segment->keys[i];
    }
    atomic_store_explicit(&segment->n, n, memory_order_release); /* pairs with frt_segment_count */
}

/* ----------------------------------------------------------------- look-up */

static int by_key(const void *a, const void *b, void *keys)
{
    uint32_t i, j;
    memcpy(&i, a, sizeof i);
    memcpy(&j, b, sizeof j);
    const uint64_t *k = keys;
    if (k[i] != k[j]) /* gaps have key 0: last */
        return k[i] - 1 < k[j] - 1 ? -1 : 1;
    return (i > j) - (i < j);
}

void frt_segment_sort(struct frt_segment *segment)
{
    const uint32_t n = frt_segment_count(segment);
    for (uint32_t i = 0; i < n; i++)
        segment->order[i] = i;
    qsort_r(segment->order, n, sizeof *segment->order, by_key, segment->keys);
}

bool frt_segment_find(const struct frt_segment *segment, uint64_t key, uint32_t *at)
{
    const uint32_t n = frt_segment_count(segment);
    if (!segment->ascending && segment->order == NULL) {
        for (uint32_t i = n; i-- > 0;) { /* from the end: a key that came again stands later */
            if (segment->keys[i] == key) {
                *at = i;
                return true;
            }
        }
        return false;
    }
    uint32_t low = 0, high = n - (segment->order == NULL ? 0 : segment->gaps);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint32_t place = segment->order == NULL ? middle : segment->order[middle];
        if (segment->keys[place] == key) {
            *at = place;
            return true;
        }
        if (segment->keys[place] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool frt_segment_remove(struct frt_segment *segment, uint32_t at)
{
    const uint64_t bit = UINT64_C(1) << (at % 64);
    /* relaxed: see frt_segment_is_removed */
    if ((atomic_fetch_or_explicit(&segment->removed[at / 64], bit, memory_order_relaxed) & bit) != 0)
        return false;
    atomic_fetch_add_explicit(&segment->n_removed, 1, memory_order_relaxed);
    return true;
}

void frt_segment_decode(const struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at,
                        float *out)
{
    const int8_t *row = segment->rows + (size_t)at * encoder->row_bytes;
    for (uint32_t i = 0; i < encoder->dim; i++)
        out[i] = (float)row[i] * segment->row_scales[at];
}
