#include "store/store_crops.h"

#include <string.h>

#include "core/mem.h"
#include "store/store_internal.h"

enum { PLACE_BYTES = 16 + 8 };
static const char check_text[] = "frt crops v1";

/* What a sealed crop is bound to. */
static void place_of(const struct frt_store *store, uint64_t face, uint8_t out[PLACE_BYTES])
{
    memcpy(out, store->id, sizeof store->id);
    for (size_t i = 0; i < 8; i++)
        out[16 + i] = (uint8_t)(face >> (8 * i));
}

/* --------------------------------------------------------------------- key */

static enum frt_status read_check(struct frt_store *store, struct db *db, bool *noted, bool *right,
                                  struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint8_t place[PLACE_BYTES], opened[sizeof check_text];
    size_t size = 0;
    bool row = false;
    enum frt_status status = db_use(db, "SELECT value FROM meta WHERE name = 'crop_key'", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK && row) {
        const void *sealed = db_blob(stmt, 0, &size);
        place_of(store, 0, place);
        *right = store->has_crop_key && size == sizeof check_text + FRT_SEAL_EXTRA_BYTES &&
                 frt_unseal(store->crop_key, place, sizeof place, sealed, size, opened) &&
                 memcmp(opened, check_text, sizeof check_text) == 0;
    }
    *noted = row;
    db_done(stmt);
    return status;
}

static enum frt_status note_check(struct frt_store *store, struct db *db, struct frt_error *err)
{
    uint8_t place[PLACE_BYTES], sealed[sizeof check_text + FRT_SEAL_EXTRA_BYTES];
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db, "INSERT INTO meta(name, value) VALUES('crop_key', ?1) ON CONFLICT DO NOTHING", &stmt, err);
    if (status != FRT_OK)
        return status;
    place_of(store, 0, place);
    frt_seal(store->crop_key, place, sizeof place, check_text, sizeof check_text, sealed);
    db_bind_blob(stmt, 1, sealed, sizeof sealed);
    return db_run(stmt, err);
}

enum frt_status store_crops_check_key(struct frt_store *store, struct db *db, struct frt_error *err)
{
    bool noted = false, right = false;
    enum frt_status status = read_check(store, db, &noted, &right, err);
    if (status == FRT_OK && !noted && store->has_crop_key && !store->options.read_only) {
        status = note_check(store, db, err);
        if (status == FRT_OK) /* another process may have been faster, with another key */
            status = read_check(store, db, &noted, &right, err);
    }
    if (status == FRT_OK && noted && store->has_crop_key && !right)
        status =
            frt_fail(err, FRT_EINVAL,
                     "%s: the faces' crops are sealed with another key than the one given; take the key file "
                     "that they were made with",
                     store->path);
    store->seals_crops = noted;
    return status;
}

/* -------------------------------------------------------------------- crops */

static enum frt_status insert(struct db *db, uint64_t face, bool sealed, const void *bytes, size_t size,
                              struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db, "INSERT INTO crops(face, sealed, bytes) VALUES(?1, ?2, ?3)", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)face);
    db_bind_int(stmt, 2, sealed);
    db_bind_blob(stmt, 3, bytes, size);
    return db_post(stmt, err);
}

enum frt_status store_crop_check(const struct frt_store *store, size_t size, struct frt_error *err)
{
    if (size == 0 || size > FRT_STORE_CROP_MAX)
        return frt_fail(err, FRT_EINVAL, "a crop of %zu bytes; 1 to %d are right", size, FRT_STORE_CROP_MAX);
    if (!store->has_crop_key && store->seals_crops)
        return frt_fail(
            err, FRT_EINVAL,
            "the faces' crops in this store are sealed: FRT_KEY_FILE must name their key file to keep "
            "more");
    return FRT_OK;
}

enum frt_status store_crop_add(struct frt_store *store, struct db *db, uint64_t face, const uint8_t *crop,
                               size_t size, struct frt_error *err)
{
    uint8_t place[PLACE_BYTES];
    enum frt_status status = store_crop_check(store, size, err);
    if (status != FRT_OK)
        return status;
    if (!store->has_crop_key)
        return insert(db, face, false, crop, size, err);
    uint8_t *sealed = frt_alloc_array(1, size + FRT_SEAL_EXTRA_BYTES);
    if (sealed == NULL)
        return frt_fail_nomem(err, "a sealed crop");
    place_of(store, face, place);
    frt_seal(store->crop_key, place, sizeof place, crop, size, sealed);
    status = insert(db, face, true, sealed, size + FRT_SEAL_EXTRA_BYTES, err);
    frt_free(sealed);
    return status;
}

/* CONSUMES nothing; *out owned. */
static enum frt_status open_bytes(const struct frt_store *store, uint64_t face, bool sealed, const void *bytes,
                                  size_t size, uint8_t **out, size_t *out_size, struct frt_error *err)
{
    uint8_t place[PLACE_BYTES];
    if (sealed && !store->has_crop_key)
        return frt_fail(err, FRT_EINVAL,
                        "the faces' crops are sealed; FRT_KEY_FILE must name the key file they were made with");
    if (size == 0 || (sealed && size <= FRT_SEAL_EXTRA_BYTES))
        return frt_fail(err, FRT_ESTORE_DAMAGED, "a face's crop is damaged: it has %zu bytes", size);
    uint8_t *copy = frt_alloc_array(1, size);
    if (copy == NULL)
        return frt_fail_nomem(err, "a crop");
    place_of(store, face, place);
    if (!sealed) {
        memcpy(copy, bytes, size);
        *out_size = size;
    } else if (frt_unseal(store->crop_key, place, sizeof place, bytes, size, copy)) {
        *out_size = size - FRT_SEAL_EXTRA_BYTES;
    } else {
        frt_free(copy);
        return frt_fail(err, FRT_ESTORE_DAMAGED, "a face's crop does not open with the key: it was changed");
    }
    *out = copy;
    return FRT_OK;
}

static enum frt_status read_crop(struct frt_store *store, struct db *db, uint64_t face, uint8_t **out,
                                 size_t *size, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    size_t n = 0;
    enum frt_status status = db_use(db, "SELECT sealed, bytes FROM crops WHERE face = ?1", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)face);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ENOTFOUND, "the face has no crop");
    if (status == FRT_OK) {
        const void *bytes = db_blob(stmt, 1, &n);
        status = open_bytes(store, face, db_int(stmt, 0) != 0, bytes, n, out, size, err);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_crop_get(struct frt_store *store, uint64_t face, uint8_t **out, size_t *size,
                                   struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_read(&turn, &status, err))
        status = read_crop(store, turn.db, face, out, size, err);
    return status;
}

static enum frt_status count_crops(struct db *db, const char *collection, struct frt_store_crops *out,
                                   struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    bool row = false;
    enum frt_status status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK)
        status = db_use(db,
                        "SELECT count(*), coalesce(CAST(sum(c.sealed) AS bigint), 0), "
                        "coalesce(CAST(sum(length(c.bytes)) AS bigint), 0) "
                        "FROM faces f JOIN crops c ON c.face = f.key WHERE f.collection = ?1",
                        &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)facts.key);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && row)
        *out = (struct frt_store_crops){(uint64_t)db_int(stmt, 0), (uint64_t)db_int(stmt, 1),
                                        (uint64_t)db_int(stmt, 2)};
    db_done(stmt);
    return status;
}

enum frt_status frt_store_crops_count(struct frt_store *store, const char *collection,
                                      struct frt_store_crops *out, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_read(&turn, &status, err))
        status = count_crops(turn.db, collection, out, err);
    return status;
}
