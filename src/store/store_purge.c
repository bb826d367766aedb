/*
 * Deleting a collection. It loses its name first, which is what deletes it; its faces go in batches, so that no
 * transaction is huge and other writers get their turn. What a crash left is finished at the next opening.
 */
#include "store/store_internal.h"

enum { PURGE_FACES = 2000 };

static enum frt_status purge_some(struct db *db, uint64_t key, bool *done, struct frt_error *err)
{
    /* On a server the keys are gathered first, or it joins two scans of the whole table for each batch. */
    static const struct {
        const char *sqlite, *postgres;
    } in_order[] = {
        {"DELETE FROM faces WHERE key IN (SELECT key FROM faces WHERE collection = ?1 LIMIT ?2)",
         "DELETE FROM faces WHERE key = ANY(ARRAY(SELECT key FROM faces WHERE collection = ?1 ORDER BY key "
         "LIMIT "
         "?2))"},
        {"DELETE FROM subjects WHERE key IN (SELECT s.key FROM subjects s WHERE s.collection = ?1 LIMIT ?2)",
         "DELETE FROM subjects WHERE key = ANY(ARRAY(SELECT key FROM subjects WHERE collection = ?1 ORDER BY "
         "name "
         "LIMIT ?2))"},
        {"DELETE FROM deletions WHERE collection = ?1 AND seq IN (SELECT seq FROM deletions WHERE collection = "
         "?1 LIMIT ?2)",
         "DELETE FROM deletions WHERE collection = ?1 AND seq = ANY(ARRAY(SELECT seq FROM deletions WHERE "
         "collection "
         "= ?1 ORDER BY seq LIMIT ?2))"},
        {"DELETE FROM collections WHERE key = ?1 AND ?2 > 0",
         "DELETE FROM collections WHERE key = ?1 AND ?2 > 0"}};
    enum frt_status status = FRT_OK;
    bool more = false;
    for (size_t i = 0; i < sizeof in_order / sizeof *in_order && status == FRT_OK && !more; i++) {
        struct db_stmt *stmt = NULL;
        status = db_use_either(db, in_order[i].sqlite, in_order[i].postgres, &stmt, err);
        if (status == FRT_OK) {
            db_bind_int(stmt, 1, (int64_t)key);
            db_bind_int(stmt, 2, PURGE_FACES);
            status = db_run(stmt, err);
            more = i < 3 && db_changes(db) == PURGE_FACES;
        }
    }
    *done = !more;
    return status;
}

static enum frt_status purge(struct frt_store *store, uint64_t key, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (bool done = false; status == FRT_OK && !done;) {
        struct store_turn turn = {.store = store};
        while (store_write(&turn, &status, err))
            status = purge_some(turn.db, key, &done, err);
    }
    return status;
}

static enum frt_status nameless(struct db *db, uint64_t *key, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(db, "SELECT key FROM collections WHERE name IS NULL LIMIT 1", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    *key = row ? (uint64_t)db_int(stmt, 0) : 0;
    db_done(stmt);
    return status;
}

enum frt_status store_finish_deletions(struct frt_store *store, struct frt_error *err)
{
    for (;;) {
        struct store_turn look = {.store = store}; /* it waits for no writer */
        enum frt_status status = FRT_OK;
        uint64_t key = 0;
        while (store_read(&look, &status, err))
            status = nameless(look.db, &key, err);
        if (status == FRT_OK && key != 0)
            status = purge(store, key, err);
        if (status != FRT_OK || key == 0)
            return status;
    }
}

static enum frt_status unname(struct db *db, const char *name, uint64_t *faces, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status =
        db_use(db, "UPDATE collections SET name = NULL WHERE name = ?1 RETURNING faces", &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, name);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ECOLLECTION_NOT_FOUND, "no collection is called '%.128s'", name);
    if (status == FRT_OK) {
        *faces = (uint64_t)db_int(stmt, 0);
        status = db_step(stmt, &row, err);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_collection_delete(struct frt_store *store, const char *name, uint64_t *faces,
                                            struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct frt_error later = {0};
    uint64_t count = 0;
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err))
        status = unname(turn.db, name, &count, err);
    if (status != FRT_OK)
        return status;
    /* From here on it is gone, whatever happens; what remains of it is finished now or at the next opening. */
    enum frt_status purged = store_finish_deletions(store, &later);
    (void)purged;
    if (faces != NULL)
        *faces = count;
    return FRT_OK;
}
