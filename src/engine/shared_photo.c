#include "engine/shared_photo.h"

#include <math.h>
#include <string.h>

#include "cache/shared_cache.h"
#include "core/mem.h"
#include "core/trace.h"
#include "engine/context.h"
#include "engine/detect_boxes.h"

/*  0  layout, u16 = 1
 *  2  kind, u8: 'e' or 'd'; 0, u8
 *  4  n detections, u32
 *  8  the first so many have embeddings ('e') or landmarks ('d'), u32
 * 12  numbers in an embedding, u32; 0 of detections
 * 16  detections, 64 bytes each: box x, y, width, height; score (f32); has landmarks, u32; 5 × (x, y), f32
 *     embeddings, f32
 */
enum { LAYOUT = 1, HEAD_BYTES = 16, DETECTION_BYTES = 64 };
enum { EMBEDDED = 'e', DETECTED = 'd' };
#define UNIT_TOLERANCE 1e-3

static void put_u32(struct frt_buf *out, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                              (uint8_t)(value >> 24)};
    frt_buf_append(out, bytes, sizeof bytes);
}

static void put_f32(struct frt_buf *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u32(out, bits);
}

static uint32_t get_u32(const uint8_t *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static float get_f32(const uint8_t *bytes)
{
    const uint32_t bits = get_u32(bytes);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void put_head(struct frt_buf *out, char kind, size_t n, size_t n_ready, size_t dim)
{
    put_u32(out, LAYOUT | (uint32_t)(uint8_t)kind << 16);
    put_u32(out, (uint32_t)n);
    put_u32(out, (uint32_t)n_ready);
    put_u32(out, (uint32_t)dim);
}

static void put_detection(struct frt_buf *out, const struct frt_detection *d)
{
    const float box[] = {d->box.x, d->box.y, d->box.width, d->box.height, d->score};
    for (size_t i = 0; i < sizeof box / sizeof *box; i++)
        put_f32(out, box[i]);
    put_u32(out, d->has_landmarks);
    for (size_t i = 0; i < FRT_LANDMARK_COUNT; i++) {
        put_f32(out, d->has_landmarks ? d->landmarks[i].x : 0);
        put_f32(out, d->has_landmarks ? d->landmarks[i].y : 0);
    }
}

static bool get_detection(const uint8_t *bytes, struct frt_detection *out)
{
    float values[5 + 2 * FRT_LANDMARK_COUNT];
    const uint32_t has = get_u32(bytes + 20);
    for (size_t i = 0; i < 5 + 2 * FRT_LANDMARK_COUNT; i++) {
        values[i] = get_f32(bytes + 4 * (i < 5 ? i : i + 1));
        if (!isfinite(values[i]) || fabsf(values[i]) > 1e6F)
            return false;
    }
    *out = (struct frt_detection){.box = {values[0], values[1], values[2], values[3]}, .score = values[4]};
    out->has_landmarks = has == 1;
    for (size_t i = 0; i < FRT_LANDMARK_COUNT; i++)
        out->landmarks[i] = (struct frt_point){values[5 + 2 * i], values[6 + 2 * i]};
    return has <= 1 && out->score >= 0 && out->score <= 1 && out->box.width >= 0 && out->box.height >= 0;
}

/* The head and the detections; NULL: damaged. */
static struct frt_detection *get_found(const uint8_t *bytes, size_t size, char kind, size_t dim, size_t *n,
                                       size_t *n_ready)
{
    if (size < HEAD_BYTES || get_u32(bytes) != (LAYOUT | (uint32_t)(uint8_t)kind << 16) ||
        get_u32(bytes + 12) != dim)
        return NULL;
    *n = get_u32(bytes + 4);
    *n_ready = get_u32(bytes + 8);
    if (*n > FRT_MAX_DETECTIONS || *n_ready > *n ||
        size != HEAD_BYTES + *n * DETECTION_BYTES + *n_ready * dim * sizeof(float))
        return NULL;
    struct frt_detection *found = frt_alloc_array(*n + 1, sizeof *found);
    bool good = found != NULL;
    for (size_t i = 0; good && i < *n; i++)
        good = get_detection(bytes + HEAD_BYTES + i * DETECTION_BYTES, &found[i]) &&
               (i >= *n_ready || found[i].has_landmarks);
    if (good)
        return found;
    frt_free(found);
    return NULL;
}

/* -------------------------------------------------------------- the values */

void frt_embedded_write(const struct frt_embedded *embedded, size_t dim, struct frt_buf *out)
{
    put_head(out, EMBEDDED, embedded->n, embedded->n_embedded, dim);
    for (size_t i = 0; i < embedded->n; i++)
        put_detection(out, &embedded->found[i]);
    for (size_t i = 0; i < embedded->n_embedded * dim; i++)
        put_f32(out, embedded->embeddings[i]);
}

static bool get_embedding(const uint8_t *bytes, size_t dim, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        out[i] = get_f32(bytes + i * sizeof(float));
        sum += (double)out[i] * (double)out[i];
    }
    return fabs(sqrt(sum) - 1) <= UNIT_TOLERANCE; /* false of what is not finite, too */
}

struct frt_embedded *frt_embedded_read(const void *bytes, size_t size, size_t dim)
{
    struct frt_embedded *embedded = frt_alloc_zero(1, sizeof *embedded);
    if (embedded == NULL)
        return NULL;
    embedded->found = get_found(bytes, size, EMBEDDED, dim, &embedded->n, &embedded->n_embedded);
    if (embedded->found != NULL)
        embedded->embeddings = frt_alloc_array(embedded->n_embedded + 1, dim * sizeof(float));
    bool good = embedded->embeddings != NULL;
    const uint8_t *at = (const uint8_t *)bytes + HEAD_BYTES + embedded->n * DETECTION_BYTES;
    for (size_t i = 0; good && i < embedded->n_embedded; i++)
        good = get_embedding(at + i * dim * sizeof(float), dim, embedded->embeddings + i * dim);
    if (good)
        return embedded;
    frt_embedded_free(embedded);
    return NULL;
}

void frt_photo_write(const struct frt_photo *photo, struct frt_buf *out)
{
    put_head(out, DETECTED, photo->n, photo->n_landmarks, 0);
    for (size_t i = 0; i < photo->n; i++)
        put_detection(out, &photo->found[i]);
}

struct frt_photo *frt_photo_read(const void *bytes, size_t size)
{
    struct frt_photo *photo = frt_alloc_zero(1, sizeof *photo);
    if (photo == NULL)
        return NULL;
    photo->found = get_found(bytes, size, DETECTED, 0, &photo->n, &photo->n_landmarks);
    if (photo->found != NULL)
        return photo;
    frt_photo_free(photo);
    return NULL;
}

/* --------------------------------------------------------------- the sharing */

/* Files that nothing was compared with have a number of this process in their keys, and another process has the
 * same number for other files. */
static struct frt_shared_cache *cache_of(const struct frt_work *w)
{
    return w->keyed && w->pack->opening == 0 ? w->pack->context->shared : NULL;
}

/* What was detected for embeddings serves who wants detections only. */
static struct frt_photo *photo_of(const struct frt_embedded *embedded)
{
    struct frt_photo *photo = frt_alloc_zero(1, sizeof *photo);
    if (photo == NULL)
        return NULL;
    photo->found = frt_alloc_array(embedded->n + 1, sizeof *photo->found);
    if (photo->found == NULL) {
        frt_photo_free(photo);
        return NULL;
    }
    memcpy(photo->found, embedded->found, embedded->n * sizeof *photo->found);
    photo->n = embedded->n;
    while (photo->n_landmarks < photo->n && photo->found[photo->n_landmarks].has_landmarks)
        photo->n_landmarks++;
    photo->until_ns = embedded->until_ns;
    return photo;
}

static void take(struct frt_work *w, struct frt_shared_cache *cache, const struct frt_shared_value values[2])
{
    const int64_t now = frt_now_ns();
    if (values[0].bytes != NULL) {
        w->shared_embedded = frt_embedded_read(values[0].bytes, values[0].size, w->pack->info.dim);
        if (w->shared_embedded == NULL)
            frt_shared_cache_refuse(cache);
        else
            w->shared_embedded->until_ns = now + values[0].left_ms * 1000000;
    }
    if (values[1].bytes != NULL) {
        w->shared_photo = frt_photo_read(values[1].bytes, values[1].size);
        if (w->shared_photo == NULL)
            frt_shared_cache_refuse(cache);
        else
            w->shared_photo->until_ns = now + values[1].left_ms * 1000000;
    }
    if (w->shared_photo == NULL && w->shared_embedded != NULL)
        w->shared_photo = photo_of(w->shared_embedded);
}

void frt_shared_look(struct frt_work *w)
{
    static const char kinds[] = {EMBEDDED, DETECTED, '\0'};
    struct frt_shared_cache *cache = cache_of(w);
    struct frt_shared_value values[2];
    const int64_t most_ms[2] = {w->pack->context->embedding_ttl_ms, w->pack->context->image_ttl_ms};
    if (cache == NULL || w->shared_asked)
        return;
    w->shared_asked = true;
    const int64_t start = frt_now_ns();
    const int span = frt_trace_begin_wait("redis");
    const enum frt_shared_answer answer =
        frt_shared_cache_get(cache, w->key.bytes, kinds, most_ms, w->options.deadline_ms, values);
    frt_trace_end(span, answer == FRT_SHARED_HIT ? "hit" : answer == FRT_SHARED_MISS ? "miss" : "skipped");
    take(w, cache, values);
    frt_shared_value_free(&values[0]);
    frt_shared_value_free(&values[1]);
    w->timing.wait_ms += frt_elapsed_ms(start);
}

static void give(struct frt_shared_cache *cache, const struct frt_work *w, char kind,
                 const struct frt_buf *bytes, int64_t ttl_ms)
{
    if (frt_buf_status(bytes) == FRT_OK)
        frt_shared_cache_put(cache, w->key.bytes, kind, bytes->data, bytes->size, ttl_ms);
}

void frt_shared_give_embedded(const struct frt_work *w, const struct frt_embedded *embedded)
{
    struct frt_shared_cache *cache = cache_of(w);
    struct frt_buf bytes;
    if (cache == NULL)
        return;
    frt_buf_init(&bytes, FRT_SHARED_MAX_VALUE_BYTES);
    frt_embedded_write(embedded, w->pack->info.dim, &bytes);
    give(cache, w, EMBEDDED, &bytes, w->pack->context->embedding_ttl_ms);
    frt_buf_deinit(&bytes);
}

void frt_shared_give_photo(const struct frt_work *w, const struct frt_photo *photo)
{
    struct frt_shared_cache *cache = cache_of(w);
    struct frt_buf bytes;
    if (cache == NULL)
        return;
    frt_buf_init(&bytes, FRT_SHARED_MAX_VALUE_BYTES);
    frt_photo_write(photo, &bytes);
    give(cache, w, DETECTED, &bytes, w->pack->context->image_ttl_ms);
    frt_buf_deinit(&bytes);
}
