/*
 * The way of a photo: decode, detect, landmarks, align, embed, attributes.
 *
 *     image ─ coarse frame (as large as the detector looks) ─ detector ─ boxes
 *                     │                                                    │
 *                     └── fine frame (only the faces, only if they need it) ─ landmarks ─ chips ─ embedder
 *
 * A photo is decoded coarsely first, unless its format has to be unpacked whole anyway. When the faces found
 * cover too few pixels of that frame for the nets that look at them, the part of the photo that holds them is
 * decoded again, finely: once for all faces while that fits MAX_FINE_PIXELS, otherwise face by face.
 *
 * With caches (engine/context.h), a photo that comes again byte by byte is answered from what is remembered:
 * its embeddings, else its detections and aligned faces; of several callers with the same photo one works and
 * the others wait for him; and he asks first what other instances have made of it (engine/shared_photo.h). With
 * stages, each step waits for its place.
 *
 * The frames, and waiting for the stages, are in analyse_frames.c.
 *
 * Deadline and cancellation are asked before every costly step, never inside one.
 *
 * Threading: everything here lives on the caller's stack; frt_detect and frt_embed may run in any
 * number of threads over the same pack and image.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/trace.h"
#include "engine/analyse_work.h"
#include "engine/at_hand.h"
#include "engine/detect_boxes.h"
#include "engine/faces.h"
#include "engine/pack.h"
#include "engine/shared_photo.h"
#include "vision/quality.h"

enum {
    DEFAULT_MAX_FACES = 1000,
    MAX_BATCH = 16 /* chips in memory and in one inference */
};

static enum frt_status check_options(const struct frt_detect_options *o, struct frt_error *err)
{
    if (!(o->min_confidence >= 0.0F && o->min_confidence <= 1.0F))
        return frt_fail(err, FRT_EINVAL, "min_confidence is %g; 0 to 1 is right", (double)o->min_confidence);
    if (!(o->min_size_px >= 0.0F && o->min_size_px <= 1e6F))
        return frt_fail(err, FRT_EINVAL, "min_size is %g; 0 or more pixels are right", (double)o->min_size_px);
    if (o->attributes & ~(uint32_t)FRT_ATTRIBUTE_ALL)
        return frt_fail(err, FRT_EINVAL, "attributes has unknown bits: 0x%x", o->attributes);
    return FRT_OK;
}

/* ------------------------------------------------------------- detection */

static double box_area(const struct frt_box *b)
{
    return (double)b->width * (double)b->height;
}

static int by_area_descending(const void *a, const void *b)
{
    double x = box_area(&((const struct frt_detection *)a)->box);
    double y = box_area(&((const struct frt_detection *)b)->box);
    return (x < y) - (x > y);
}

/* Fills found[] with the detections that stay, largest first. */
static enum frt_status detect(struct frt_work *w, struct frt_detection *found, size_t *n, struct frt_error *err)
{
    struct frt_detector_params params = {.min_confidence = w->options.min_confidence};
    size_t all = 0, kept = 0;
    enum frt_status status = frt_work_enter(w, FRT_STAGE_DETECT, err);
    if (status != FRT_OK)
        return status;
    int64_t start = frt_now_ns();
    int span = frt_trace_begin("detect");
    status = frt_detector_run(w->pack->detector, &w->coarse, &params, found, FRT_MAX_DETECTIONS, &all,
                              &w->timing.inference_ms, err);
    frt_trace_end(span, NULL);
    w->timing.detect_ms += frt_elapsed_ms(start);
    frt_stage_leave(w->pack->context->stages, FRT_STAGE_DETECT);
    if (status != FRT_OK)
        return status;
    for (size_t i = 0; i < all; i++)
        if (fminf(found[i].box.width, found[i].box.height) >= w->options.min_size_px)
            found[kept++] = found[i];
    qsort(found, kept, sizeof *found, by_area_descending);
    *n = kept;
    return FRT_OK;
}

/* How many of `n` faces are wanted: the first ones. */
static size_t wanted(const struct frt_work *w, size_t n)
{
    size_t most = w->options.max_faces == 0 ? DEFAULT_MAX_FACES : w->options.max_faces;
    return n < most ? n : most;
}

/* ------------------------------------------------------------- per face */

static enum frt_status find_landmarks(struct frt_work *w, struct frt_detection *d, struct frt_error *err)
{
    struct frt_point dense[FRT_LANDMARKS_DENSE];
    const struct frt_frame *frame = NULL;
    if (d->has_landmarks)
        return FRT_OK;
    if (w->pack->landmarker == NULL)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "the pack '%s' has a detector without landmarks and no landmarks model; add one, or "
                        "take a detector that gives five points",
                        w->pack->info.name);
    enum frt_status status = frt_work_frame_for(w, d, &frame, err);
    if (status != FRT_OK)
        return status;
    status = frt_work_enter(w, FRT_STAGE_DETECT, err);
    if (status != FRT_OK)
        return status;
    int64_t start = frt_now_ns();
    int span = frt_trace_begin("landmarks");
    status = frt_landmarker_run(w->pack->landmarker, frame, &d->box, dense, &w->timing.inference_ms, err);
    frt_trace_end(span, NULL);
    w->timing.detect_ms += frt_elapsed_ms(start);
    frt_stage_leave(w->pack->context->stages, FRT_STAGE_DETECT);
    if (status == FRT_OK)
        frt_landmarks_reduce(dense, d->landmarks);
    d->has_landmarks = status == FRT_OK;
    return status;
}

/* Aligned crops of n faces. */
static enum frt_status align_some(struct frt_work *w, const struct frt_detection *found, size_t n,
                                  uint8_t *chips, struct frt_error *err)
{
    size_t chip_bytes = frt_embedder_chip_bytes(w->pack->embedder);
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < n; i++) {
        const struct frt_frame *frame = NULL;
        status = frt_work_frame_for(w, &found[i], &frame, err);
        if (status == FRT_OK)
            status = frt_work_enter(w, FRT_STAGE_RECOGNIZE, err);
        if (status != FRT_OK)
            return status;
        int64_t start = frt_now_ns();
        int span = frt_trace_begin("align");
        status = frt_embedder_align(w->pack->embedder, frame, found[i].landmarks, chips + i * chip_bytes, err);
        frt_trace_end(span, NULL);
        w->timing.align_ms += frt_elapsed_ms(start);
        frt_stage_leave(w->pack->context->stages, FRT_STAGE_RECOGNIZE);
        if (status != FRT_OK)
            return status;
    }
    return FRT_OK;
}

/* Another thread may have run the batch: what it took is then known, and no step of this one's. */
static void trace_batch(int span, int64_t start_ns, const struct frt_batch_times *times)
{
    struct frt_trace *trace = frt_trace_attached();
    if (trace != NULL && (uint32_t)span + 1 == trace->n) {
        const int64_t run_ns = start_ns + (int64_t)(times->wait_ms * 1e6);
        frt_trace_add(trace, "recognize-wait", true, start_ns, run_ns);
        if (times->inference_ms > 0)
            frt_trace_add(trace, "inference", false, run_ns, run_ns + (int64_t)(times->inference_ms * 1e6));
    }
    frt_trace_end(span, NULL);
}

static enum frt_status embed_some(struct frt_work *w, const uint8_t *chips, size_t n, float *out,
                                  struct frt_error *err)
{
    enum frt_status status = frt_work_check_alive(w, err);
    if (status != FRT_OK)
        return status;
    if (w->pack->batcher != NULL) {
        struct frt_batch_times times = {0};
        const struct frt_stage_wait wait = frt_work_wait_of(w);
        const int64_t begun = frt_now_ns();
        const int batch = frt_trace_begin("embed");
        status = frt_batcher_run(w->pack->batcher, chips, n, &wait, out, &times, err);
        trace_batch(batch, begun, &times);
        w->timing.wait_ms += times.wait_ms;
        w->timing.embed_ms += times.run_ms;
        w->timing.inference_ms += times.inference_ms;
        return status;
    }
    int64_t start = frt_now_ns();
    int span = frt_trace_begin("embed");
    status = frt_embedder_run(w->pack->embedder, chips, n, out, &w->timing.inference_ms, err);
    frt_trace_end(span, NULL);
    w->timing.embed_ms += frt_elapsed_ms(start);
    return status;
}

/* Embeddings of the photo's first n faces, a batch at a time. */
static enum frt_status embed_all(struct frt_work *w, size_t n, float *out, struct frt_error *err)
{
    const struct frt_photo *photo = w->photo;
    size_t dim = w->pack->info.dim, chip_bytes = frt_embedder_chip_bytes(w->pack->embedder);
    size_t batch = n < MAX_BATCH ? n : MAX_BATCH;
    if (n <= photo->n_chips)
        return n == 0 ? FRT_OK : embed_some(w, photo->chips, n, out, err);
    uint8_t *chips = frt_alloc_array(batch, chip_bytes);
    if (chips == NULL)
        return frt_fail_nomem(err, "aligned faces");
    enum frt_status status = frt_work_decode_coarse(w, err);
    if (status == FRT_OK)
        status = frt_work_decode_fine_for_all(w, photo->found, n, err);
    for (size_t i = 0; status == FRT_OK && i < n; i += batch) {
        size_t some = n - i < batch ? n - i : batch;
        status = align_some(w, photo->found + i, some, chips, err);
        if (status == FRT_OK)
            status = embed_some(w, chips, some, out + i * dim, err);
    }
    frt_free(chips);
    return status;
}

/* Several liveness nets of a pack vote by the mean of their spoof confidence. */
static enum frt_status run_nets(struct frt_work *w, enum frt_model_role role, const struct frt_frame *frame,
                                struct frt_face *face, struct frt_error *err)
{
    const struct frt_face_net *nets[FRT_PACK_MAX_NETS];
    size_t n = 0;
    float spoof = 0;
    enum frt_status status = frt_pack_face_nets(w->pack, role, nets, &n, err);
    for (size_t i = 0; status == FRT_OK && i < n; i++) {
        status = frt_face_net_run(nets[i], frame, face, &w->timing.inference_ms, err);
        spoof += face->liveness.spoof_confidence / (float)n;
    }
    if (status == FRT_OK && role == FRT_ROLE_LIVENESS) {
        face->liveness.spoof_confidence = spoof;
        face->liveness.real = spoof < w->pack->spoof_threshold;
    }
    return status;
}

static enum frt_status find_attributes(struct frt_work *w, const struct frt_detection *d, struct frt_face *face,
                                       struct frt_error *err)
{
    const struct frt_frame *frame = NULL;
    enum frt_status status = frt_work_frame_for(w, d, &frame, err);
    if (status == FRT_OK)
        status = frt_work_enter(w, FRT_STAGE_RECOGNIZE, err);
    if (status != FRT_OK)
        return status;
    int64_t start = frt_now_ns();
    int span = frt_trace_begin("attributes");
    if (w->options.attributes & FRT_ATTRIBUTE_QUALITY) {
        face->quality = frt_quality_measure(frame, face); /* a quality net's score replaces this one's */
        face->attributes |= FRT_ATTRIBUTE_QUALITY;
    }
    for (size_t i = 0; status == FRT_OK && i < FRT_N_NET_ATTRIBUTES; i++)
        if (frt_work_wants_net(w, &frt_net_attributes[i]))
            status = run_nets(w, frt_net_attributes[i].role, frame, face, err);
    face->attributes &= w->options.attributes; /* the age net answers gender, too */
    frt_trace_end(span, NULL);
    w->timing.attribute_ms += frt_elapsed_ms(start);
    frt_stage_leave(w->pack->context->stages, FRT_STAGE_RECOGNIZE);
    return status;
}

/* ------------------------------------------------- detections, from a cache */

static bool is_over(int64_t until_ns)
{
    return until_ns != 0 && frt_now_ns() >= until_ns;
}

/* Is what is remembered of the photo all that this call needs of it? */
static bool suffices(const struct frt_work *w, const struct frt_photo *photo)
{
    size_t n = wanted(w, photo->n);
    if (is_over(photo->until_ns))
        return false;
    bool landmarks = w->embed || w->options.attributes != 0 || w->pack->landmarker != NULL;
    return !landmarks || photo->n_landmarks >= n;
}

/* Detections, and landmarks and crops of the faces that are wanted. */
static enum frt_status look(struct frt_work *w, struct frt_photo *photo, struct frt_error *err)
{
    photo->found = frt_alloc_array(FRT_MAX_DETECTIONS, sizeof *photo->found);
    if (photo->found == NULL)
        return frt_fail_nomem(err, "detections");
    enum frt_status status = frt_work_decode_coarse(w, err);
    if (status == FRT_OK)
        status = detect(w, photo->found, &photo->n, err);
    if (status != FRT_OK)
        return status;
    struct frt_detection *fewer =
        frt_realloc(photo->found, (photo->n > 0 ? photo->n : 1) * sizeof *photo->found);
    photo->found = fewer != NULL ? fewer : photo->found;
    size_t n = wanted(w, photo->n);
    bool look_closer = w->embed || w->options.attributes != 0 || (n > 0 && !photo->found[0].has_landmarks);
    if (look_closer && n > 0)
        status = frt_work_decode_fine_for_all(w, photo->found, n, err);
    for (size_t i = 0; status == FRT_OK && i < n; i++)
        status = find_landmarks(w, &photo->found[i], err);
    while (status == FRT_OK && photo->n_landmarks < photo->n && photo->found[photo->n_landmarks].has_landmarks)
        photo->n_landmarks++;
    if (status != FRT_OK || !w->embed || n == 0 || n > MAX_BATCH)
        return status;
    photo->chips = frt_alloc_array(n, frt_embedder_chip_bytes(w->pack->embedder));
    if (photo->chips == NULL)
        return frt_fail_nomem(err, "aligned faces");
    photo->n_chips = n;
    return align_some(w, photo->found, n, photo->chips, err);
}

static enum frt_status make_photo(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    struct frt_work *w = arg;
    frt_shared_look(w);
    if (w->shared_photo != NULL && suffices(w, w->shared_photo)) {
        *bytes = frt_photo_bytes(w->shared_photo, 0);
        *value = w->shared_photo;
        w->shared_photo = NULL;
        w->timing.cached = FRT_CACHED_REDIS;
        return FRT_OK;
    }
    struct frt_photo *photo = frt_alloc_zero(1, sizeof *photo);
    if (photo == NULL)
        return frt_fail_nomem(err, "a photo");
    enum frt_status status = look(w, photo, err);
    if (status != FRT_OK) {
        frt_photo_free(photo);
        return status;
    }
    if (!w->embed)
        frt_shared_give_photo(w, photo); /* else its detections go with its embeddings */
    if (w->keyed && w->pack->context->image_cache != NULL &&
        w->coarse.height_px * w->coarse.stride_bytes <= w->pack->context->max_kept_frame_bytes) {
        photo->coarse = w->coarse; /* a frame that borrows its pixels has no key */
        w->coarse.borrowed = true;
    }
    *bytes = frt_photo_bytes(photo, w->pack->embedder == NULL ? 0 : frt_embedder_chip_bytes(w->pack->embedder));
    *value = photo;
    return FRT_OK;
}

static enum frt_cached said(enum frt_cache_source source, enum frt_cached hit)
{
    return source == FRT_CACHE_HIT ? hit : source == FRT_CACHE_SHARED ? FRT_CACHED_SHARED : FRT_CACHED_MISS;
}

/* What a cache has, or what `make` makes and it then has. What does not suffice is made anew, once. */
static enum frt_status fetch(struct frt_work *w, struct frt_cache *cache,
                             enum frt_status (*make)(void *arg, void **value, size_t *bytes,
                                                     struct frt_error *err),
                             bool (*enough)(const struct frt_work *w, const void *value), enum frt_cached hit,
                             struct frt_cache_loan *loan, struct frt_error *err)
{
    const struct frt_cache_wait wait = {.deadline_ms = w->options.deadline_ms,
                                        .cancelled = w->options.cancelled,
                                        .cancelled_arg = w->options.cancelled_arg};
    enum frt_cache_source source = FRT_CACHE_MADE;
    for (int turn = 0;; turn++) {
        int64_t start = frt_now_ns();
        int span = frt_trace_begin(hit == FRT_CACHED_IMAGE ? "image-cache" : "embedding-cache");
        enum frt_status status = frt_cache_fetch(cache, &w->key, &wait, make, w, loan, &source, err);
        frt_trace_end(span, source == FRT_CACHE_HIT      ? "hit"
                            : source == FRT_CACHE_SHARED ? "another's work"
                                                         : "miss");
        if (source == FRT_CACHE_SHARED)
            w->timing.wait_ms += frt_elapsed_ms(start);
        if (status != FRT_OK)
            return status;
        if (w->timing.cached == FRT_CACHED_NOT || source != FRT_CACHE_MADE)
            w->timing.cached = said(source, hit);
        if (enough(w, loan->value))
            return FRT_OK;
        frt_cache_return(cache, loan);
        if (turn == 1)
            return FRT_OK; /* others want less of it all the time: made without the cache */
        (void)frt_cache_remove(cache, &w->key);
        w->timing.cached = FRT_CACHED_NOT; /* what was there did not help */
    }
}

static bool photo_suffices(const struct frt_work *w, const void *value)
{
    return suffices(w, value);
}

static enum frt_status get_photo(struct frt_work *w, struct frt_error *err)
{
    struct frt_cache *cache = w->keyed ? w->pack->context->image_cache : NULL;
    void *made = NULL;
    size_t bytes;
    enum frt_status status = FRT_OK;
    if (w->photo != NULL)
        return FRT_OK;
    if (cache != NULL)
        status = fetch(w, cache, make_photo, photo_suffices, FRT_CACHED_IMAGE, &w->photo_loan, err);
    if (status == FRT_OK && w->photo_loan.value == NULL) {
        status = make_photo(w, &made, &bytes, err);
        w->photo = made;
    } else if (status == FRT_OK) {
        w->photo = w->photo_loan.value;
    }
    if (w->photo != NULL && w->coarse.pixels == NULL && w->photo->coarse.pixels != NULL) {
        w->coarse = w->photo->coarse;
        w->coarse.borrowed = true;
    }
    return status;
}

/* ------------------------------------------------- embeddings, from a cache */

static bool embedded_suffices(const struct frt_work *w, const void *value)
{
    const struct frt_embedded *embedded = value;
    return embedded->n_embedded >= wanted(w, embedded->n) && !is_over(embedded->until_ns);
}

static enum frt_status make_embedded(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    struct frt_work *w = arg;
    struct frt_embedded *embedded = NULL;
    frt_shared_look(w);
    if (w->shared_embedded != NULL && embedded_suffices(w, w->shared_embedded)) {
        *bytes = frt_embedded_bytes(w->shared_embedded, w->pack->info.dim);
        *value = w->shared_embedded;
        w->shared_embedded = NULL;
        w->timing.cached = FRT_CACHED_REDIS;
        return FRT_OK;
    }
    enum frt_status status = get_photo(w, err);
    if (status != FRT_OK)
        return status;
    size_t n = wanted(w, w->photo->n), dim = w->pack->info.dim;
    embedded = frt_alloc_zero(1, sizeof *embedded);
    if (embedded != NULL) {
        embedded->found = frt_alloc_array(w->photo->n + 1, sizeof *embedded->found);
        embedded->embeddings = frt_alloc_array(n + 1, dim * sizeof *embedded->embeddings);
    }
    if (embedded == NULL || embedded->found == NULL || embedded->embeddings == NULL) {
        frt_embedded_free(embedded);
        return frt_fail_nomem(err, "embeddings");
    }
    memcpy(embedded->found, w->photo->found, w->photo->n * sizeof *embedded->found);
    embedded->n = w->photo->n;
    embedded->n_embedded = n;
    status = embed_all(w, n, embedded->embeddings, err);
    if (status != FRT_OK) {
        frt_embedded_free(embedded);
        return status;
    }
    frt_shared_give_embedded(w, embedded);
    *bytes = frt_embedded_bytes(embedded, dim);
    *value = embedded;
    return FRT_OK;
}

static enum frt_status get_embedded(struct frt_work *w, struct frt_error *err)
{
    struct frt_cache *cache = w->keyed ? w->pack->context->embedding_cache : NULL;
    void *made = NULL;
    size_t bytes;
    enum frt_status status = FRT_OK;
    if (cache != NULL)
        status =
            fetch(w, cache, make_embedded, embedded_suffices, FRT_CACHED_EMBEDDING, &w->embedded_loan, err);
    if (status == FRT_OK && w->embedded_loan.value == NULL) {
        status = make_embedded(w, &made, &bytes, err);
        w->embedded = made;
    } else if (status == FRT_OK) {
        w->embedded = w->embedded_loan.value;
    }
    return status;
}

/* ------------------------------------------------------------ the whole */

/* From what is known of the photo to what its owner is told. */
static enum frt_status hand_out(struct frt_work *w, struct frt_faces **out, struct frt_error *err)
{
    struct frt_faces *faces = NULL;
    enum frt_status status = FRT_OK;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): get_embedded has set it, or failed */
    const struct frt_detection *found = w->embed ? w->embedded->found : w->photo->found;
    size_t n = wanted(w, w->embed ? w->embedded->n : w->photo->n), dim = w->embed ? w->pack->info.dim : 0;
    status = frt_faces_new(n, dim, &faces, err);
    for (size_t i = 0; status == FRT_OK && i < n; i++) {
        faces->faces[i].box = found[i].box;
        faces->faces[i].confidence = found[i].score;
        memcpy(faces->faces[i].landmarks, found[i].landmarks, sizeof found[i].landmarks);
    }
    if (status == FRT_OK && w->embed && n > 0)
        memcpy(faces->embeddings, w->embedded->embeddings, n * dim * sizeof(float));
    if (status == FRT_OK && w->options.attributes != 0 && n > 0) {
        status = frt_work_decode_coarse(w, err);
        if (status == FRT_OK)
            status = frt_work_decode_fine_for_all(w, found, n, err);
    }
    for (size_t i = 0; status == FRT_OK && w->options.attributes != 0 && i < n; i++)
        status = find_attributes(w, &found[i], &faces->faces[i], err);
    if (status != FRT_OK) {
        frt_faces_free(faces);
        return status;
    }
    *out = faces;
    return FRT_OK;
}

static enum frt_status answer(struct frt_work *w, struct frt_faces **out, struct frt_error *err)
{
    enum frt_status status = w->embed ? get_embedded(w, err) : get_photo(w, err);
    return status == FRT_OK ? hand_out(w, out, err) : status;
}

static void work_deinit(struct frt_work *w)
{
    frt_frame_deinit(&w->fine);
    frt_frame_deinit(&w->coarse);
    if (w->photo_loan.value != NULL)
        frt_cache_return(w->pack->context->image_cache, &w->photo_loan);
    else
        frt_photo_free(w->photo);
    if (w->embedded_loan.value != NULL)
        frt_cache_return(w->pack->context->embedding_cache, &w->embedded_loan);
    else
        frt_embedded_free(w->embedded);
    frt_photo_free(w->shared_photo);
    frt_embedded_free(w->shared_embedded);
}

static enum frt_status analyse(const struct frt_pack *pack, const struct frt_image *image,
                               const struct frt_detect_options *options, bool embed, struct frt_faces **out,
                               struct frt_error *err)
{
    struct frt_work w = {.pack = pack, .image = image, .embed = embed, .info = frt_image_info_get(image)};
    struct frt_faces *faces = NULL;
    int64_t start = frt_now_ns();
    enum frt_status status;

    if (options != NULL)
        w.options = *options;
    status = check_options(&w.options, err);
    if (status != FRT_OK)
        return status;
    if (embed && pack->embedder == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "the pack '%s' has no embedder model", pack->info.name);
    status = frt_work_check_alive(&w, err);
    if (status != FRT_OK)
        return status;
    if (pack->context->image_cache != NULL || pack->context->shared != NULL ||
        (embed && pack->context->embedding_cache != NULL)) {
        int span = frt_trace_begin("hash");
        w.keyed = frt_photo_key(pack, image, &w.options, &w.key);
        frt_trace_end(span, NULL);
    }
    frt_infer_deadline_set(w.options.deadline_ms);
    status = answer(&w, &faces, err);
    frt_infer_deadline_set(0);
    if (status == FRT_OK) {
        w.timing.total_ms = frt_elapsed_ms(start);
        faces->timing = w.timing;
        *out = faces;
    }
    work_deinit(&w);
    return status;
}

bool frt_embed_at_hand(const struct frt_pack *pack, const void *photo, size_t size,
                       const struct frt_detect_options *options, struct frt_faces **out)
{
    struct frt_work w = {.pack = pack, .options = *options, .embed = true};
    struct frt_cache *cache = pack->context->embedding_cache;
    struct frt_error why;
    struct frt_faces *faces = NULL;
    int64_t start = frt_now_ns();
    if (cache == NULL || options->attributes != 0 || size > FRT_AT_HAND_BYTES ||
        check_options(&w.options, &why) != FRT_OK)
        return false;
    frt_photo_key_of(pack, photo, size, &w.options, &w.key);
    if (!frt_cache_peek(cache, &w.key, &w.embedded_loan))
        return false;
    bool enough = embedded_suffices(&w, w.embedded_loan.value);
    frt_cache_return(cache, &w.embedded_loan);
    if (!enough || !frt_cache_get(cache, &w.key, &w.embedded_loan))
        return false;
    w.embedded = w.embedded_loan.value;
    w.timing.cached = FRT_CACHED_EMBEDDING;
    if (embedded_suffices(&w, w.embedded) && hand_out(&w, &faces, &why) == FRT_OK) {
        faces->timing = w.timing;
        faces->timing.total_ms = frt_elapsed_ms(start);
        *out = faces;
    }
    work_deinit(&w);
    return faces != NULL;
}

enum frt_status frt_detect(const struct frt_pack *pack, const struct frt_image *image,
                           const struct frt_detect_options *options, struct frt_faces **out,
                           struct frt_error *err)
{
    return analyse(pack, image, options, false, out, err);
}

enum frt_status frt_embed(const struct frt_pack *pack, const struct frt_image *image,
                          const struct frt_detect_options *options, struct frt_faces **out,
                          struct frt_error *err)
{
    return analyse(pack, image, options, true, out, err);
}

enum frt_status frt_detect_boxes(const struct frt_pack *pack, const struct frt_image *image,
                                 const struct frt_detect_options *options, struct frt_detection *found,
                                 size_t *n, struct frt_timing *timing, struct frt_error *err)
{
    struct frt_work w = {.pack = pack, .image = image, .info = frt_image_info_get(image)};
    int64_t start = frt_now_ns();
    if (options != NULL)
        w.options = *options;
    enum frt_status status = check_options(&w.options, err);
    if (status == FRT_OK)
        status = frt_work_decode_coarse(&w, err);
    if (status == FRT_OK)
        status = detect(&w, found, n, err);
    w.timing.total_ms = frt_elapsed_ms(start);
    if (status == FRT_OK)
        *timing = w.timing;
    work_deinit(&w);
    return status;
}
