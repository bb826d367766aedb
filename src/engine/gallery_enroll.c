/*
 * Enrollment.
 *
 *     photos ─ faces and embeddings ─ how many faces? quality? alive? ─ a duplicate? ─ store, one transaction ─
 * index
 *
 * What cannot be taken is rejected with its reason; the rest is enrolled. An enrollment that looks for
 * duplicates is alone in its gallery from the look to the write (enroll_lock), so that two photos of one person
 * cannot slip past each other. Nor can they by way of two processes: the store takes the faces only if the
 * collection still has the number that was read before the look; else the look is repeated.
 *
 * Adaptive thresholds (the older service's rule, docs/api.md), as distances d = (1 - cosine) / 2: a face begins
 * at 0.30; when its nearest neighbour lies at 0.2 <= d < 0.30, both take d; never under 0.2. A neighbour that
 * has a stricter one keeps it, be it its own or, for a face that came another way, the collection's.
 */
#include <math.h>
#include <poll.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "engine/faces.h"
#include "engine/gallery_state.h"
#include "engine/gallery_thresholds.h"
#include "engine/kept_crop.h"
#include "engine/pack.h"
#include "simd/dot.h"

enum { MAX_PHOTOS = 64, NEIGHBOURS = 5, MAX_LOOKS = 50, MOST_PAUSE_MS = 64 };
static const float same_photo = 0.999f;
static const float older_start = 0.30f, older_least = 0.20f; /* distances */

void frt_enrolled_deinit(struct frt_enrolled *enrolled)
{
    frt_gallery_faces_deinit(&enrolled->faces);
    for (size_t i = 0; i < enrolled->n_rejected; i++) {
        frt_free(enrolled->rejected[i].text);
        frt_free(enrolled->rejected[i].face_id);
    }
    frt_free(enrolled->rejected);
    *enrolled = (struct frt_enrolled){0};
}

/* A face that may be enrolled. */
struct applicant {
    size_t image;
    struct frt_face face; /* zeros: came as an embedding */
    const float *embedding;
    bool has_quality;
    float threshold;    /* NaN = the collection's */
    uint64_t neighbour; /* key of the nearest face, when its threshold changes, too; 0 = none */
    float neighbour_threshold;
    const uint8_t *crop; /* to be kept; NULL = none */
    size_t crop_size;
};

struct enrolling {
    struct frt_gallery *gallery;
    const char *collection;
    const struct frt_enroll_options *options;
    const char *model;
    uint32_t dim;
    const struct frt_pack *pack; /* NULL: an embedding, without a threshold of its own */
    struct applicant *applicants;
    size_t n, capacity;
    uint8_t **crops; /* [n_crops], owned; those of rejected faces, too */
    size_t n_crops;
    uint64_t seen_seq;  /* of the collection, before it was looked at for duplicates */
    bool looked, moved; /* the collection has changed since */
    struct frt_enrolled out;
};

/* ------------------------------------------------------------- applicants */

static enum frt_status reject(struct enrolling *e, size_t image, enum frt_status why, const char *text,
                              const char *face_id, float similarity, struct frt_error *err)
{
    struct frt_enroll_rejection *list =
        frt_realloc(e->out.rejected, (e->out.n_rejected + 1) * sizeof *e->out.rejected);
    if (list == NULL)
        return frt_fail_nomem(err, "an enrollment");
    e->out.rejected = list;
    struct frt_enroll_rejection *r = &list[e->out.n_rejected++];
    *r = (struct frt_enroll_rejection){.image = image, .status = why, .similarity = similarity};
    r->text = frt_strdup(text);
    r->face_id = face_id != NULL ? frt_strdup(face_id) : NULL;
    if (r->text == NULL || (face_id != NULL && r->face_id == NULL))
        return frt_fail_nomem(err, "an enrollment");
    return FRT_OK;
}

static enum frt_status apply_for(struct enrolling *e, const struct applicant *applicant, struct frt_error *err)
{
    if (e->n == e->capacity) {
        const size_t capacity = e->capacity == 0 ? 8 : e->capacity * 2;
        struct applicant *more = frt_realloc(e->applicants, capacity * sizeof *more);
        if (more == NULL)
            return frt_fail_nomem(err, "an enrollment");
        e->applicants = more;
        e->capacity = capacity;
    }
    e->applicants[e->n++] = *applicant;
    return FRT_OK;
}

/* Where crops are kept: the face's. */
static enum frt_status cut_crop(struct enrolling *e, const struct frt_image *photo, struct applicant *applicant,
                                struct frt_error *err)
{
    const struct frt_enroll_options *o = e->options;
    const struct frt_kept_wait wait = {o->deadline_ms, o->cancelled, o->cancelled_arg, o->bulk};
    if (!e->gallery->keep_crops)
        return FRT_OK;
    uint8_t **more = frt_realloc(e->crops, (e->n_crops + 1) * sizeof *more), *crop = NULL;
    if (more == NULL)
        return frt_fail_nomem(err, "an enrollment");
    e->crops = more;
    enum frt_status status =
        frt_kept_crop_cut(e->pack, photo, &applicant->face, &wait, &crop, &applicant->crop_size, err);
    if (status == FRT_OK)
        applicant->crop = e->crops[e->n_crops++] = crop;
    return status;
}

static enum frt_status consider_face(struct enrolling *e, size_t image, const struct frt_image *photo,
                                     const struct frt_face *face, const float *embedding, struct frt_error *err)
{
    const struct frt_enroll_options *o = e->options;
    const bool has_quality = (face->attributes & FRT_ATTRIBUTE_QUALITY) != 0;
    struct frt_error why;
    if (o->min_quality > 0 && has_quality && face->quality.score < o->min_quality) {
        enum frt_status low =
            frt_fail(&why, FRT_ELOW_QUALITY,
                     "quality %.3f, at least %.3f is wanted (sharpness %.2f, brightness %.2f, yaw "
                     "%.0f, pitch %.0f degrees)",
                     (double)face->quality.score, (double)o->min_quality, (double)face->quality.sharpness,
                     (double)face->quality.brightness, (double)face->quality.yaw, (double)face->quality.pitch);
        return reject(e, image, low, why.text, NULL, 0, err);
    }
    if (o->require_live && frt_face_check_live(face, &why) != FRT_OK)
        return reject(e, image, FRT_ESPOOF, why.text, NULL, 0, err);
    struct applicant applicant = {
        .image = image, .face = *face, .embedding = embedding, .has_quality = has_quality, .threshold = NAN};
    enum frt_status status = cut_crop(e, photo, &applicant, err);
    return status == FRT_OK ? apply_for(e, &applicant, err) : status;
}

/* Faces come largest first: is it clear whom the photo is of? */
static bool stands_out(const struct frt_faces *faces)
{
    const struct frt_box *a = &faces->faces[0].box, *b = &faces->faces[1].box;
    return a->width * a->height >= 2 * b->width * b->height;
}

static enum frt_status consider_photo(struct enrolling *e, const struct frt_pack *pack, size_t number,
                                      const struct frt_image *image, struct frt_faces **faces,
                                      struct frt_error *err)
{
    const struct frt_enroll_options *o = e->options;
    const struct frt_detect_options detect = {.min_confidence = o->min_confidence,
                                              .attributes =
                                                  (uint32_t)FRT_ATTRIBUTE_QUALITY |
                                                  (o->require_live ? (uint32_t)FRT_ATTRIBUTE_LIVENESS : 0u),
                                              .max_faces = o->on_multiple == FRT_MULTIPLE_LARGEST ? 1 : 0,
                                              .deadline_ms = o->deadline_ms,
                                              .cancelled = o->cancelled,
                                              .cancelled_arg = o->cancelled_arg,
                                              .bulk = o->bulk};
    struct frt_error why = {0};
    enum frt_status status = frt_embed(pack, image, &detect, faces, &why);
    if (status == FRT_EBAD_IMAGE)
        return reject(e, number, status, why.text, NULL, 0, err);
    if (status != FRT_OK)
        return frt_fail(err, status, "%s", why.text);
    frt_timing_add(&e->out.image_timing, &(*faces)->timing);
    if ((*faces)->n == 0)
        return reject(e, number, FRT_ENO_FACE, "no face found", NULL, 0, err);
    if ((*faces)->n > 1 && o->on_multiple == FRT_MULTIPLE_CLEAR && stands_out(*faces))
        return consider_face(e, number, image, &(*faces)->faces[0], (*faces)->embeddings, err);
    if ((*faces)->n > 1 && (o->on_multiple == FRT_MULTIPLE_REJECT || o->on_multiple == FRT_MULTIPLE_CLEAR)) {
        status =
            frt_fail(&why, FRT_EMULTIPLE_FACES,
                     "%zu faces where one is wanted; crop the photo, or take the largest or all", (*faces)->n);
        return reject(e, number, status, why.text, NULL, 0, err);
    }
    status = FRT_OK;
    for (size_t i = 0; i < (*faces)->n && status == FRT_OK; i++)
        status =
            consider_face(e, number, image, &(*faces)->faces[i], (*faces)->embeddings + i * (*faces)->dim, err);
    return status;
}

/* -------------------------------------------------------------- duplicates */

/* The most similar faces of the collection, exactly. page owns the rows; NULL when there are none. */
static enum frt_status neighbours(struct enrolling *e, const float *embedding, float least,
                                  struct frt_store_page **page, const struct frt_store_face **rows, size_t *n,
                                  struct frt_store_collection *row, struct frt_store_page **collection_page,
                                  struct frt_error *err)
{
    struct gallery_entry *entry = NULL;
    struct gallery_index *index = NULL;
    struct frt_index_hit hits[NEIGHBOURS];
    uint64_t keys[NEIGHBOURS];
    size_t n_hits = 0;
    *n = 0;
    enum frt_status status = gallery_collection(e->gallery, e->collection, collection_page, row, err);
    if (status != FRT_OK || row->faces == 0)
        return status;
    if (row->dim != e->dim || strcmp(row->model, e->model) != 0)
        return gallery_mismatch(row, e->model, e->dim, err);
    status = gallery_entry_get(e->gallery, row->key, row->dim, &entry, err);
    const struct gallery_want want = {.seq = row->seq,
                                      .faces = row->faces,
                                      .deadline_ms = e->options->deadline_ms,
                                      .cancelled = e->options->cancelled,
                                      .cancelled_arg = e->options->cancelled_arg};
    if (status == FRT_OK)
        status = gallery_index_get(e->gallery, entry, &want, &index, NULL, err);
    if (status == FRT_OK) {
        const struct frt_index_query query = {
            .vectors = embedding,
            .n = 1,
            .k = NEIGHBOURS,
            .min_score = fmaxf(least - frt_index_stats_get(index->index).score_error, -1)};
        status = frt_index_search(index->index, &query, hits, &n_hits, err);
    }
    for (size_t i = 0; i < n_hits; i++)
        keys[i] = hits[i].key;
    if (status == FRT_OK && n_hits > 0)
        status = frt_store_faces_by_key(e->gallery->store, row->key, keys, n_hits, true, page, err);
    if (status == FRT_OK && n_hits > 0)
        *rows = frt_store_page_faces(*page, n);
    gallery_index_release(index);
    gallery_entry_release(entry);
    return status;
}

static enum frt_status judge(struct enrolling *e, struct applicant *a, const struct frt_store_face *rows,
                             size_t n, float collection_threshold, bool *taken, struct frt_error *err)
{
    const struct frt_enroll_options *o = e->options;
    const struct frt_store_face *nearest = NULL, *duplicate = NULL;
    float best = -1, duplicate_at = -1;
    const float from = o->older_rules                 ? 1 - 2 * older_least
                       : o->duplicate_similarity != 0 ? o->duplicate_similarity
                                                      : collection_threshold;
    for (size_t i = 0; i < n; i++) {
        const float similarity = frt_dot_f32(a->embedding, rows[i].embedding, e->dim);
        const bool other = o->older_rules || strcmp(rows[i].subject, o->subject) != 0;
        if (nearest == NULL || similarity > best) {
            nearest = &rows[i];
            best = similarity;
        }
        const bool too_near = o->older_rules ? similarity > from : similarity >= (other ? from : same_photo);
        if (too_near && similarity > duplicate_at) {
            duplicate = &rows[i];
            duplicate_at = similarity;
        }
    }
    *taken = duplicate == NULL || (o->older_rules && o->force);
    a->neighbour = 0; /* of a look before */
    if (!*taken) {
        struct frt_error why;
        const bool own = strcmp(duplicate->subject, o->subject) == 0;
        enum frt_status status = frt_fail(&why, FRT_EDUPLICATE, "%s, as face '%.128s' (similarity %.4f)",
                                          own && !o->older_rules ? "this photo has been enrolled"
                                          : own                  ? "the id is in the collection"
                                                                 : "the person is in the collection",
                                          duplicate->face_id, (double)duplicate_at);
        return reject(e, a->image, status, why.text, duplicate->face_id, duplicate_at, err);
    }
    if (o->older_rules) {
        const float distance = nearest != NULL ? frt_distance(best) : 1;
        float own = older_start;
        if (nearest != NULL && distance < older_start) {
            own = distance > older_least ? distance : older_least;
            const float theirs =
                frt_distance(isnan(nearest->threshold) ? collection_threshold : nearest->threshold);
            if (own < theirs) {
                a->neighbour = nearest->key;
                a->neighbour_threshold = 1 - 2 * own;
            }
        }
        a->threshold = 1 - 2 * own;
    }
    return FRT_OK;
}

/* Two photos of one call may be the same, too. */
static const struct applicant *twin(const struct enrolling *e, const struct applicant *a, size_t n_taken)
{
    for (size_t i = 0; i < n_taken; i++) {
        if (frt_dot_f32(a->embedding, e->applicants[i].embedding, e->dim) >= same_photo)
            return &e->applicants[i];
    }
    return NULL;
}

static enum frt_status judge_all(struct enrolling *e, struct frt_error *err)
{
    const struct frt_enroll_options *o = e->options;
    size_t n_taken = 0;
    enum frt_status status = FRT_OK;
    e->looked = false;
    if (o->on_duplicate != FRT_DUPLICATE_REJECT && !o->older_rules)
        return FRT_OK;
    for (size_t i = 0; i < e->n && status == FRT_OK; i++) {
        struct frt_store_page *page = NULL, *collection_page = NULL;
        const struct frt_store_face *rows = NULL;
        struct frt_store_collection row = {.model = "", .calibration = ""};
        struct applicant *a = &e->applicants[i];
        const int64_t start = frt_now_ns();
        bool taken = false;
        size_t n = 0;
        if (!o->older_rules && twin(e, a, n_taken) != NULL) {
            status =
                reject(e, a->image, FRT_EDUPLICATE, "the same photo comes twice in this request", NULL, 1, err);
            continue;
        }
        status = gallery_collection(e->gallery, e->collection, &collection_page, &row, err);
        float threshold = 1;
        if (status == FRT_OK) {
            struct gallery_thresholds thresholds;
            gallery_thresholds_make(&row, e->pack != NULL ? &e->pack->thresholds : NULL, true, &thresholds);
            threshold = isnan(thresholds.rule.threshold) ? 1 : thresholds.rule.threshold;
            if (!e->looked)
                e->seen_seq = row.seq;
            e->looked = true;
        }
        frt_store_page_free(collection_page);
        collection_page = NULL;
        const float least = o->older_rules                 ? 1 - 2 * older_start
                            : o->duplicate_similarity != 0 ? o->duplicate_similarity
                                                           : threshold;
        if (status == FRT_OK)
            status = neighbours(e, a->embedding, least, &page, &rows, &n, &row, &collection_page, err);
        e->out.timing.search_ms += frt_elapsed_ms(start);
        if (status == FRT_OK)
            status = judge(e, a, rows, n, threshold, &taken, err);
        if (status == FRT_OK && taken)
            e->applicants[n_taken++] = *a;
        frt_store_page_free(page);
        frt_store_page_free(collection_page);
    }
    e->n = n_taken;
    return status;
}

/* ------------------------------------------------------------------- write */

/* The index follows, so that the next search finds the face. What is stored stays stored if that fails: the
 * next search follows by itself. */
static void follow(struct enrolling *e)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {.model = ""};
    const int64_t start = frt_now_ns();
    if (gallery_collection(e->gallery, e->collection, &page, &row, NULL) != FRT_OK)
        return;
    gallery_index_follow(e->gallery, row.key, row.seq); /* not loaded: the first search loads it */
    frt_store_page_free(page);
    e->out.timing.index_ms = frt_elapsed_ms(start);
}

static enum frt_status store_all(struct enrolling *e, struct frt_error *err)
{
    const struct frt_enroll_options *o = e->options;
    struct frt_store_face *rows = frt_alloc_zero(e->n, sizeof *rows);
    uint64_t *lower_keys = frt_alloc_array(e->n, sizeof *lower_keys);
    float *lower = frt_alloc_array(e->n, sizeof *lower);
    struct frt_store_page *made = NULL;
    struct frt_store_add add = {.collection = e->collection,
                                .model = e->model,
                                .dim = e->dim,
                                .faces = rows,
                                .n = e->n,
                                .new_subject = o->older_rules,
                                .moved = e->looked ? &e->moved : NULL,
                                .seen_seq = e->seen_seq,
                                .lower_keys = lower_keys,
                                .lower_thresholds = lower};
    const int64_t start = frt_now_ns();
    enum frt_status status = FRT_OK;
    size_t n = 0;
    if (rows == NULL || lower_keys == NULL || lower == NULL) {
        status = frt_fail_nomem(err, "an enrollment");
        goto done;
    }
    for (size_t i = 0; i < e->n; i++) {
        const struct applicant *a = &e->applicants[i];
        rows[i] = (struct frt_store_face){.face_id = o->face_id,
                                          .subject = o->subject,
                                          .embedding = a->embedding,
                                          .metadata = o->metadata,
                                          .box = a->face.box,
                                          .confidence = a->face.confidence,
                                          .quality = a->has_quality ? a->face.quality.score : NAN,
                                          .threshold = a->threshold,
                                          .crop = a->crop,
                                          .crop_size = a->crop_size};
        if (a->neighbour != 0) {
            lower_keys[add.n_lower] = a->neighbour;
            lower[add.n_lower++] = a->neighbour_threshold;
        }
    }
    status = frt_store_faces_add(e->gallery->store, &add, NULL, NULL, &made, err);
    e->out.timing.store_ms = frt_elapsed_ms(start);
    if (status == FRT_OK) {
        const struct frt_store_face *taken = frt_store_page_faces(made, &n);
        status = gallery_faces_copy(taken, n, e->dim, &e->out.faces, err);
        if (n > 0)
            gallery_note_seq(e->gallery, taken[n - 1].seq);
        follow(e);
    }
done:
    frt_store_page_free(made);
    frt_free(rows);
    frt_free(lower_keys);
    frt_free(lower);
    return status;
}

static enum frt_status check_options(const struct frt_enroll_options *o, size_t n, struct frt_error *err)
{
    if (o->subject == NULL || o->subject[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "a subject is wanted: whose face is it?");
    if (n == 0 || n > MAX_PHOTOS)
        return frt_fail(err, FRT_EINVAL, "%zu photos at once; 1 to %d are right", n, MAX_PHOTOS);
    if (o->face_id != NULL && n > 1)
        return frt_fail(err, FRT_EINVAL, "a face id fits one photo; %zu were given", n);
    if (!(o->min_quality >= 0 && o->min_quality <= 1))
        return frt_fail(err, FRT_EINVAL, "min_quality is %g; 0 to 1 are right", (double)o->min_quality);
    if (!(o->duplicate_similarity >= -1 && o->duplicate_similarity <= 1))
        return frt_fail(err, FRT_EINVAL, "a duplicate's similarity of %g; -1 to 1 are right",
                        (double)o->duplicate_similarity);
    return FRT_OK;
}

/* Does the collection stand, and does it take this model? Asked before anything costs much. */
static enum frt_status check_collection(const struct enrolling *e, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {.model = ""};
    enum frt_status status = gallery_collection(e->gallery, e->collection, &page, &row, err);
    if (status == FRT_OK && row.dim != 0 && (row.dim != e->dim || strcmp(row.model, e->model) != 0))
        status = gallery_mismatch(&row, e->model, e->dim, err);
    frt_store_page_free(page);
    return status;
}

/* Until nobody else has changed the collection between the look and the write: one of several always gets
 * through.
 */
static enum frt_status look_and_store(struct enrolling *e, struct frt_error *err)
{
    for (int look = 0;; look++) {
        enum frt_status status = judge_all(e, err);
        e->moved = false;
        if (status == FRT_OK && e->n > 0)
            status = store_all(e, err);
        if (!e->moved)
            return status;
        if (look == MAX_LOOKS ||
            (e->options->deadline_ms != 0 && frt_now_ns() / 1000000 >= e->options->deadline_ms))
            return frt_fail(err, FRT_EOVERLOADED, "collection '%.128s' changes too fast; try again",
                            e->collection);
        /* out of step with who else tries */
        uint8_t random = 0;
        frt_random_bytes(&random, sizeof random);
        (void)poll(NULL, 0, random % (look < 6 ? 1 << look : MOST_PAUSE_MS));
    }
}

/* From applicants to an answer. Releases e->applicants. */
static enum frt_status finish(struct enrolling *e, int64_t start, enum frt_status status,
                              struct frt_enrolled *out, struct frt_error *err)
{
    const bool alone = e->options->older_rules || e->options->on_duplicate == FRT_DUPLICATE_REJECT;
    bool locked = false;
    if (status == FRT_OK && e->options->face_id != NULL && e->n > 1)
        status = frt_fail(err, FRT_EINVAL, "a face id fits one face; the photo has %zu", e->n);
    e->out.timing.embed_ms = frt_elapsed_ms(start);
    if (status == FRT_OK && alone && e->n > 0) {
        status = gallery_take(&e->gallery->enroll_lock, err);
        locked = status == FRT_OK;
    }
    if (status == FRT_OK)
        status = look_and_store(e, err);
    if (locked)
        (void)pthread_mutex_unlock(&e->gallery->enroll_lock);
    if (status == FRT_OK && e->out.faces.n == 0 && e->out.n_rejected > 0)
        status = frt_fail(err, e->out.rejected[0].status, "%s", e->out.rejected[0].text);
    e->out.timing.total_ms = frt_elapsed_ms(start);
    frt_free(e->applicants);
    for (size_t i = 0; i < e->n_crops; i++)
        frt_free(e->crops[i]);
    frt_free(e->crops);
    *out = e->out; /* also when all were rejected: the caller may want to tell */
    return status;
}

enum frt_status frt_enroll(struct frt_gallery *gallery, const struct frt_pack *pack, const char *collection,
                           const struct frt_image *const *images, size_t n,
                           const struct frt_enroll_options *options, struct frt_enrolled *out,
                           struct frt_error *err)
{
    struct enrolling e = {.gallery = gallery,
                          .collection = collection,
                          .options = options,
                          .model = frt_pack_model(pack),
                          .dim = pack->info.dim,
                          .pack = pack};
    struct frt_faces *faces[MAX_PHOTOS] = {NULL};
    const int64_t start = frt_now_ns();
    *out = (struct frt_enrolled){0};
    enum frt_status status = check_options(options, n, err);
    if (status == FRT_OK)
        status = check_collection(&e, err);
    if (status != FRT_OK)
        return status;
    for (size_t i = 0; i < n && status == FRT_OK; i++)
        status = consider_photo(&e, pack, i, images[i], &faces[i], err);
    status = finish(&e, start, status, out, err);
    for (size_t i = 0; i < n; i++)
        frt_faces_free(faces[i]);
    return status;
}

enum frt_status frt_enroll_embedding(struct frt_gallery *gallery, const char *collection, const char *model,
                                     const float *embedding, uint32_t dim,
                                     const struct frt_enroll_options *options, struct frt_enrolled *out,
                                     struct frt_error *err)
{
    struct enrolling e = {
        .gallery = gallery, .collection = collection, .options = options, .model = model, .dim = dim};
    const struct applicant applicant = {.embedding = embedding, .threshold = NAN};
    const int64_t start = frt_now_ns();
    *out = (struct frt_enrolled){0};
    enum frt_status status = check_options(options, 1, err);
    if (dim == 0 || dim > FRT_MAX_DIM || model == NULL || model[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "an embedding of %u dimensions, or its model's name, does not fit",
                        dim);
    if (status == FRT_OK && !(fabsf(sqrtf(frt_dot_f32(embedding, embedding, dim)) - 1) <= 1e-3f))
        status = frt_fail(err, FRT_EINVAL, "the embedding's length is not 1");
    if (status != FRT_OK)
        return status;
    status = check_collection(&e, err);
    if (status == FRT_OK)
        status = apply_for(&e, &applicant, err);
    if (status != FRT_OK) {
        frt_free(e.applicants);
        return status;
    }
    return finish(&e, start, FRT_OK, out, err);
}
