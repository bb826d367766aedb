#include <string.h>

#include "store/store_internal.h"

static enum frt_status read_changes(struct db_stmt *stmt, uint32_t dim, struct frt_store_page *page,
                                    struct frt_error *err)
{
    for (bool row = true;;) {
        enum frt_status status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            return status;
        struct frt_store_change *change = store_page_row(page);
        if (change == NULL)
            return frt_fail_nomem(err, "changes");
        change->seq = (uint64_t)db_int(stmt, 0);
        change->key = (uint64_t)db_int(stmt, 1);
        change->subject_key = (uint64_t)db_int(stmt, 2);
        if (change->subject_key != 0)
            status = store_page_embedding(page, stmt, 3, dim, &change->embedding, err);
        if (status != FRT_OK)
            return status;
    }
}

static enum frt_status facts_by_key(struct db *db, uint64_t collection, uint32_t *dim, uint64_t *forgotten,
                                    struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(db, "SELECT dim, forgotten FROM collections WHERE key = ?1", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)collection);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ECOLLECTION_NOT_FOUND, "the collection has been deleted");
    if (status == FRT_OK) {
        *dim = (uint32_t)db_int(stmt, 0);
        *forgotten = (uint64_t)db_int(stmt, 1);
    }
    db_done(stmt);
    return status;
}

/*
 * Additions and deletions, merged in order of number. Each half is cut at `limit` by itself, in order, so that
 * the limit holds for the whole without sorting more than twice as many. A deleted face has no row any more, so
 * it shows as a deletion alone; from 0 on, deletions are of no interest.
 */
static const char since[] =
    "SELECT seq, face, subject, embedding FROM ("
    " SELECT seq, face, subject, embedding FROM (SELECT key AS seq, key AS face, subject, embedding FROM faces"
    "  WHERE collection = ?1 AND key > ?2 ORDER BY key LIMIT ?3) AS a"
    " UNION ALL"
    " SELECT seq, face, 0 AS subject, CAST(NULL AS bytea) AS embedding FROM (SELECT seq, face FROM deletions"
    "  WHERE collection = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3) AS d"
    ") AS c ORDER BY seq LIMIT ?3";
static const char all[] = "SELECT key, key, subject, embedding FROM faces WHERE collection = ?1 AND key > ?2 "
                          "ORDER BY key LIMIT ?3";

static enum frt_status changes_since(struct db *db, uint64_t collection, uint64_t after, size_t limit,
                                     uint64_t *forgotten, struct frt_store_page *page, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint32_t dim = 0;
    store_page_reset(page);
    enum frt_status status = facts_by_key(db, collection, &dim, forgotten, err);
    if (status == FRT_OK)
        status = db_use(db, after == 0 ? all : since, &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)collection);
        db_bind_int(stmt, 2, (int64_t)after);
        db_bind_int(stmt, 3, (int64_t)limit);
        status = read_changes(stmt, dim, page, err);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_changes(struct frt_store *store, uint64_t collection_key, uint64_t after,
                                  size_t limit, struct frt_store_page **page,
                                  const struct frt_store_change **rows, size_t *n, uint64_t *complete_from,
                                  struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct frt_store_page *found = NULL;
    uint64_t forgotten = 0;
    if (limit == 0 || limit > FRT_STORE_BATCH_MAX)
        return frt_fail(err, FRT_EINVAL, "%zu changes at once; 1 to %d are right", limit, FRT_STORE_BATCH_MAX);
    enum frt_status status = store_page_new(STORE_CHANGES, &found, err);
    while (store_read(&turn, &status, err))
        status = changes_since(turn.db, collection_key, after, limit, &forgotten, found, err);
    status = store_page_out(found, page, status);
    if (status == FRT_OK) {
        *rows = store_page_rows(found, n);
        *complete_from = forgotten;
    }
    return status;
}

static enum frt_status forget(struct db *db, uint64_t collection, uint64_t seq, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db, "DELETE FROM deletions WHERE collection = ?1 AND seq <= ?2", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)collection);
    db_bind_int(stmt, 2, (int64_t)seq);
    status = db_run(stmt, err);
    if (status != FRT_OK || db_changes(db) == 0)
        return status;
    status = db_use(db, "UPDATE collections SET forgotten = ?2 WHERE key = ?1 AND forgotten < ?2", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)collection);
    db_bind_int(stmt, 2, (int64_t)seq);
    return db_run(stmt, err);
}

enum frt_status frt_store_changes_forget(struct frt_store *store, uint64_t collection_key, uint64_t seq,
                                         struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err))
        status = forget(turn.db, collection_key, seq, err);
    return status;
}
