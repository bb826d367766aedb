#include <math.h>
#include <string.h>

#include "store/store_internal.h"

#define COLUMNS                                                                                                \
    "key, name, model, dim, threshold, target_fpir, metadata, faces, subjects, seq, created_ms, "              \
    "calibration FROM "                                                                                        \
    "collections "

static enum frt_status check_settings(const struct frt_store_collection *row, uint32_t which,
                                      struct frt_error *err)
{
    if ((which & FRT_STORE_SET_THRESHOLD) != 0 && !isnan(row->threshold) &&
        !(row->threshold >= -1 && row->threshold <= 1))
        return frt_fail(err, FRT_EINVAL, "a threshold of %g; -1 to 1 are right", (double)row->threshold);
    if ((which & FRT_STORE_SET_TARGET_FPIR) != 0 && !isnan(row->target_fpir) &&
        !(row->target_fpir >= 0 && row->target_fpir <= 1))
        return frt_fail(err, FRT_EINVAL, "a target FPIR of %g; 0 to 1 are right", row->target_fpir);
    if ((which & FRT_STORE_SET_CALIBRATION) != 0 && row->calibration != NULL &&
        strlen(row->calibration) > FRT_STORE_CALIBRATION_MAX)
        return frt_fail(err, FRT_EINVAL, "a threshold table of more than %d bytes", FRT_STORE_CALIBRATION_MAX);
    return (which & FRT_STORE_SET_METADATA) != 0 ? store_check_metadata(row->metadata, err) : FRT_OK;
}

static enum frt_status add(struct frt_store *store, struct db *db, const struct frt_store_collection *row,
                           struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db,
               "INSERT INTO collections(name, model, dim, threshold, target_fpir, metadata, created_ms, "
               "calibration) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
               &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, row->name);
        db_bind_text(stmt, 2, row->dim != 0 ? row->model : "");
        db_bind_int(stmt, 3, row->dim);
        db_bind_number(stmt, 4, (double)row->threshold);
        db_bind_number(stmt, 5, row->target_fpir);
        db_bind_text(stmt, 6, row->metadata != NULL ? row->metadata : "");
        db_bind_int(stmt, 7, store_now_ms(store));
        db_bind_text(stmt, 8, row->calibration != NULL ? row->calibration : "");
        status = db_run(stmt, err);
    }
    if (status == FRT_ECONFLICT)
        status = frt_fail(err, FRT_ECONFLICT, "a collection is called '%.128s' already", row->name);
    return status;
}

enum frt_status frt_store_collection_add(struct frt_store *store, const struct frt_store_collection *row,
                                         struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = store_check_name(row->name, err);
    if (status == FRT_OK)
        status = check_settings(row, UINT32_MAX, err);
    if (status == FRT_OK &&
        (row->dim > FRT_MAX_DIM ||
         (row->dim != 0 && (row->model == NULL || strlen(row->model) > FRT_STORE_MODEL_MAX))))
        status = frt_fail(err, FRT_EINVAL, "a model of %u dimensions, or its name, does not fit", row->dim);
    while (store_write(&turn, &status, err))
        status = add(store, turn.db, row, err);
    return status;
}

static enum frt_status patch(struct db *db, uint32_t which, const struct frt_store_collection *row,
                             struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db,
               "UPDATE collections SET threshold = CASE WHEN ?2 > 0 THEN ?3 ELSE threshold END, "
               "target_fpir = CASE WHEN ?4 > 0 THEN ?5 ELSE target_fpir END, "
               "metadata = CASE WHEN ?6 > 0 THEN ?7 ELSE metadata END, "
               "calibration = CASE WHEN ?8 > 0 THEN ?9 ELSE calibration END WHERE name = ?1",
               &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, row->name);
        db_bind_int(stmt, 2, (which & FRT_STORE_SET_THRESHOLD) != 0);
        db_bind_number(stmt, 3, (double)row->threshold);
        db_bind_int(stmt, 4, (which & FRT_STORE_SET_TARGET_FPIR) != 0);
        db_bind_number(stmt, 5, row->target_fpir);
        db_bind_int(stmt, 6, (which & FRT_STORE_SET_METADATA) != 0);
        db_bind_text(stmt, 7, row->metadata != NULL ? row->metadata : "");
        db_bind_int(stmt, 8, (which & FRT_STORE_SET_CALIBRATION) != 0);
        db_bind_text(stmt, 9, row->calibration != NULL ? row->calibration : "");
        status = db_run(stmt, err);
    }
    if (status == FRT_OK && db_changes(db) == 0)
        status = frt_fail(err, FRT_ECOLLECTION_NOT_FOUND, "no collection is called '%.128s'", row->name);
    return status;
}

enum frt_status frt_store_collection_patch(struct frt_store *store, uint32_t which,
                                           const struct frt_store_collection *row, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = check_settings(row, which, err);
    while (store_write(&turn, &status, err))
        status = patch(turn.db, which, row, err);
    return status;
}

static enum frt_status read_row(struct frt_store_page *page, struct db_stmt *stmt, struct frt_error *err)
{
    struct frt_store_collection *row = store_page_row(page);
    if (row == NULL)
        return frt_fail_nomem(err, "collections");
    row->key = (uint64_t)db_int(stmt, 0);
    row->name = store_page_column(page, stmt, 1);
    row->model = store_page_column(page, stmt, 2);
    row->dim = (uint32_t)db_int(stmt, 3);
    row->threshold = (float)db_number(stmt, 4);
    row->target_fpir = db_number(stmt, 5);
    row->metadata = store_page_column(page, stmt, 6);
    row->faces = (uint64_t)db_int(stmt, 7);
    row->subjects = (uint64_t)db_int(stmt, 8);
    row->seq = (uint64_t)db_int(stmt, 9);
    row->created_ms = db_int(stmt, 10);
    row->calibration = store_page_column(page, stmt, 11);
    if (row->name == NULL || row->model == NULL || row->metadata == NULL || row->calibration == NULL)
        return frt_fail_nomem(err, "collections");
    return FRT_OK;
}

static enum frt_status read_rows(struct db *db, const char *sql, const char *name, size_t limit,
                                 struct frt_store_page *page, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    store_page_reset(page);
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, name);
        db_bind_int(stmt, 2, (int64_t)limit);
    }
    for (bool row = true; status == FRT_OK;) {
        status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            break;
        status = read_row(page, stmt, err);
    }
    db_done(stmt);
    return status;
}

static enum frt_status get(struct frt_store *store, bool at_once, const char *name,
                           struct frt_store_page **page, struct frt_store_collection *out,
                           struct frt_error *err)
{
    static const char sql[] = "SELECT " COLUMNS "WHERE name = ?1 LIMIT ?2";
    struct store_turn turn = {.store = store, .at_once = at_once};
    struct frt_store_page *found = NULL;
    size_t n = 0;
    enum frt_status status = store_page_new(STORE_COLLECTIONS, &found, err);
    while (store_read(&turn, &status, err))
        status = read_rows(turn.db, sql, name, 1, found, err);
    const struct frt_store_collection *rows = status == FRT_OK ? store_page_rows(found, &n) : NULL;
    if (status == FRT_OK && n == 0)
        status = frt_fail(err, FRT_ECOLLECTION_NOT_FOUND, "no collection is called '%.128s'", name);
    if (status == FRT_OK)
        *out = rows[0];
    return store_page_out(found, page, status);
}

enum frt_status frt_store_collection_get(struct frt_store *store, const char *name,
                                         struct frt_store_page **page, struct frt_store_collection *out,
                                         struct frt_error *err)
{
    return get(store, false, name, page, out, err);
}

enum frt_status frt_store_collection_glance(struct frt_store *store, const char *name,
                                            struct frt_store_page **page, struct frt_store_collection *out,
                                            struct frt_error *err)
{
    return get(store, true, name, page, out, err);
}

enum frt_status frt_store_collection_list(struct frt_store *store, const char *after, size_t limit,
                                          struct frt_store_page **page,
                                          const struct frt_store_collection **rows, size_t *n,
                                          struct frt_error *err)
{
    static const char sql[] = "SELECT " COLUMNS "WHERE name > ?1 ORDER BY name LIMIT ?2";
    struct store_turn turn = {.store = store};
    struct frt_store_page *found = NULL;
    if (limit == 0 || limit > FRT_STORE_PAGE_MAX)
        return frt_fail(err, FRT_EINVAL, "a page of %zu rows; 1 to %d are right", limit, FRT_STORE_PAGE_MAX);
    enum frt_status status = store_page_new(STORE_COLLECTIONS, &found, err);
    while (store_read(&turn, &status, err))
        status = read_rows(turn.db, sql, after, limit, found, err);
    status = store_page_out(found, page, status);
    if (status == FRT_OK)
        *rows = store_page_rows(found, n);
    return status;
}

enum frt_status store_collection_find(struct db *db, const char *name, struct store_collection_facts *out,
                                      struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    bool row = false;
    size_t size;
    enum frt_status status = db_use(db, "SELECT key, dim, model FROM collections WHERE name = ?1", &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, name);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ECOLLECTION_NOT_FOUND, "no collection is called '%.128s'", name);
    if (status == FRT_OK) {
        facts.key = (uint64_t)db_int(stmt, 0);
        facts.dim = (uint32_t)db_int(stmt, 1);
        const char *model = db_text(stmt, 2, &size);
        if (size >= sizeof facts.model)
            status = frt_fail(err, FRT_ESTORE_DAMAGED, "a model's name has %zu bytes", size);
        else
            memcpy(facts.model, model, size + 1);
    }
    db_done(stmt);
    if (status == FRT_OK)
        *out = facts;
    return status;
}

enum frt_status store_collection_touch(struct db *db, uint64_t collection, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint64_t seq = 0;
    enum frt_status status = store_take_seqs(db, 1, &seq, err);
    db_owner(db)->collection = collection;
    if (status == FRT_OK)
        status = db_use(db, "UPDATE collections SET seq = ?2 WHERE key = ?1", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)collection);
    db_bind_int(stmt, 2, (int64_t)seq);
    return db_post(stmt, err);
}
