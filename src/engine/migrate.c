#include "engine/migrate.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "engine/gallery_state.h"
#include "engine/kept_crop.h"
#include "store/store_crops.h"
#include "store/store_migrate.h"

enum { BATCH = 64, MAX_THREADS = 64, MAX_ROUNDS = 8 };

enum frt_status frt_migration_get(struct frt_gallery *gallery, const char *collection,
                                  struct frt_migration_state *out, struct frt_error *err)
{
    struct frt_store_migration m;
    enum frt_status status = frt_store_migration_get(gallery->store, collection, &m, err);
    if (status != FRT_OK)
        return status;
    *out = (struct frt_migration_state){.dim = m.dim,
                                        .former_dim = m.former_dim,
                                        .faces = m.faces,
                                        .crops = m.crops,
                                        .coming = m.coming,
                                        .former = m.former,
                                        .missing = m.missing,
                                        .without_crop = m.missing - m.missing_with_crop,
                                        .threshold = m.threshold,
                                        .former_threshold = m.former_threshold};
    (void)snprintf(out->model, sizeof out->model, "%s", m.model);
    (void)snprintf(out->coming_model, sizeof out->coming_model, "%s", m.coming_model);
    (void)snprintf(out->former_model, sizeof out->former_model, "%s", m.former_model);
    return FRT_OK;
}

/* ----------------------------------------------------------------- embedding */

/* A batch of faces, each embedded by whatever thread is free. */
struct batch {
    struct frt_gallery *gallery;
    const struct frt_pack *pack;
    struct frt_store_missing faces[BATCH];
    size_t n;
    atomic_size_t next;
    float *embeddings; /* f32[BATCH][dim] */
    uint32_t dim;
    bool done[BATCH], again[BATCH];
    struct frt_error errors[BATCH];
    enum frt_status status[BATCH];
};

static enum frt_status embed_one(struct batch *b, size_t i)
{
    enum frt_kept_landmarks by = FRT_KEPT_AS_THEY_WERE;
    uint8_t *crop = NULL;
    size_t size = 0;
    enum frt_status status =
        frt_store_crop_get(b->gallery->store, b->faces[i].key, &crop, &size, &b->errors[i]);
    if (status == FRT_OK)
        status = frt_kept_crop_embed(b->pack, crop, size, b->embeddings + i * b->dim, &by, &b->errors[i]);
    frt_free(crop);
    b->done[i] = status == FRT_OK;
    b->again[i] = by == FRT_KEPT_FOUND_AGAIN;
    return status;
}

static void *work(void *arg)
{
    struct batch *b = arg;
    for (size_t i; (i = atomic_fetch_add(&b->next, 1)) < b->n;)
        b->status[i] = embed_one(b, i);
    return NULL;
}

static void embed_batch(struct batch *b, uint32_t threads)
{
    pthread_t team[MAX_THREADS];
    uint32_t started = 0;
    atomic_store(&b->next, 0);
    while (started + 1 < threads && started + 1 < b->n && started < MAX_THREADS &&
           pthread_create(&team[started], NULL, work, b) == 0)
        started++;
    (void)work(b);
    while (started > 0)
        (void)pthread_join(team[--started], NULL);
}

/* Is it this crop that is wrong, or everything? */
static bool is_the_crops_fault(enum frt_status status)
{
    return status == FRT_ESTORE_DAMAGED || status == FRT_ENOTFOUND || status == FRT_EINVAL ||
           status == FRT_EBAD_IMAGE;
}

/* Store what was embedded, count what was not. *after: the last of them. */
static enum frt_status put_batch(struct batch *b, const char *collection, const char *model,
                                 struct frt_migrated *out, struct frt_error *err)
{
    uint64_t keys[BATCH];
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->done[i]) {
            keys[n] = b->faces[i].key;
            memmove(b->embeddings + n * b->dim, b->embeddings + i * b->dim, b->dim * sizeof(float));
            out->found_again += b->again[i];
            n++;
        } else if (is_the_crops_fault(b->status[i])) {
            enum frt_status told = FRT_OK;
            if (out->failed++ == 0)
                told = frt_fail(&out->first_failure, b->status[i], "face '%.100s': %.140s", b->faces[i].face_id,
                                b->errors[i].text);
            (void)told; /* the caller tells of it */
        } else {
            return frt_fail(err, b->status[i], "%s", b->errors[i].text);
        }
    }
    out->embedded += n;
    return n == 0 ? FRT_OK
                  : frt_store_migration_put(b->gallery->store, collection, model, keys, b->embeddings, b->dim,
                                            n, err);
}

/* Once over all that are missing; *embedded: how many were not any more. */
static enum frt_status one_round(struct batch *b, const char *collection, const char *model,
                                 const struct frt_migrate_options *o, uint64_t total, struct frt_migrated *out,
                                 struct frt_error *err)
{
    uint64_t after = 0, seen = 0;
    for (;;) {
        enum frt_status status = frt_store_migration_missing(b->gallery->store, collection, after, true,
                                                             b->faces, BATCH, &b->n, err);
        if (status != FRT_OK || b->n == 0)
            return status;
        after = b->faces[b->n - 1].key;
        embed_batch(b, o->threads);
        status = put_batch(b, collection, model, out, err);
        if (status != FRT_OK)
            return status;
        seen += b->n;
        if (o->progress != NULL)
            o->progress(o->arg, seen, total > seen ? total : seen);
        if (o->cancelled != NULL && o->cancelled(o->arg))
            return frt_fail(err, FRT_ECANCELLED,
                            "interrupted; what is embedded stays, and the same command goes on");
    }
}

enum frt_status frt_migrate_embed(struct frt_gallery *gallery, const struct frt_pack *pack,
                                  const char *collection, const char *model, uint32_t dim,
                                  const struct frt_migrate_options *options, struct frt_migrated *out,
                                  struct frt_error *err)
{
    struct frt_store_migration m;
    struct batch *b = NULL;
    struct frt_migrated done = {0};
    enum frt_status status = frt_store_migration_begin(gallery->store, collection, model, dim, err);
    if (status == FRT_OK)
        status = frt_store_migration_get(gallery->store, collection, &m, err);
    if (status != FRT_OK)
        return status;
    if (pack == NULL) {
        *out = done;
        return FRT_OK;
    }
    b = frt_alloc_zero(1, sizeof *b);
    if (b != NULL)
        b->embeddings = frt_alloc_array(BATCH, dim * sizeof *b->embeddings);
    if (b == NULL || b->embeddings == NULL) {
        frt_free(b);
        return frt_fail_nomem(err, "embeddings");
    }
    b->gallery = gallery;
    b->pack = pack;
    b->dim = dim;
    /* and again, as long as faces came meanwhile */
    for (int round = 0; status == FRT_OK && round < MAX_ROUNDS; round++) {
        const uint64_t before = done.embedded;
        done.failed = 0;
        status = one_round(b, collection, model, options, m.missing_with_crop, &done, err);
        if (done.embedded == before)
            break;
    }
    frt_free(b->embeddings);
    frt_free(b);
    *out = done;
    return status;
}

enum frt_status frt_migrate_missing(struct frt_gallery *gallery, const char *collection,
                                    struct frt_migrate_missing *out, size_t max, size_t *n,
                                    struct frt_error *err)
{
    struct frt_store_missing *rows = frt_alloc_array(max, sizeof *rows);
    size_t count = 0;
    if (rows == NULL)
        return frt_fail_nomem(err, "faces");
    enum frt_status status =
        frt_store_migration_missing(gallery->store, collection, 0, false, rows, max, &count, err);
    for (size_t i = 0; status == FRT_OK && i < count; i++) {
        memcpy(out[i].face_id, rows[i].face_id, sizeof out[i].face_id);
        memcpy(out[i].subject, rows[i].subject, sizeof out[i].subject);
        out[i].crop = rows[i].crop;
    }
    frt_free(rows);
    if (status == FRT_OK)
        *n = count;
    return status;
}

/* --------------------------------------------------------------------- switch */

enum frt_status frt_migrate_switch(struct frt_gallery *gallery, const char *collection, const char *model,
                                   const char *aside, float threshold, struct frt_migrate_switched *out,
                                   struct frt_error *err)
{
    struct frt_store_switch how = {.model = model, .aside = aside, .threshold = threshold};
    enum frt_status status = frt_store_migration_switch(gallery->store, collection, &how, err);
    if (status != FRT_OK)
        return status;
    (void)gallery_index_drop(gallery, how.old_key); /* of the former embeddings */
    *out = (struct frt_migrate_switched){how.moved, how.aside_n};
    return FRT_OK;
}

enum frt_status frt_migrate_forget(struct frt_gallery *gallery, const char *collection, bool coming,
                                   uint64_t *n, struct frt_error *err)
{
    return frt_store_migration_forget(gallery->store, collection, coming, n, err);
}
