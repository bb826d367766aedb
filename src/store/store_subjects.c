#include <string.h>

#include "store/store_internal.h"

enum frt_status store_subject_find(struct db *db, uint64_t collection, const char *name, uint64_t *key,
                                   struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status =
        db_use(db, "SELECT key FROM subjects WHERE collection = ?1 AND name = ?2", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)collection);
        db_bind_text(stmt, 2, name);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ESUBJECT_NOT_FOUND, "no subject '%.256s' in the collection", name);
    if (status == FRT_OK)
        *key = (uint64_t)db_int(stmt, 0);
    db_done(stmt);
    return status;
}

static enum frt_status read_subjects(struct db_stmt *stmt, struct frt_store_page *page, struct frt_error *err)
{
    for (bool row = true;;) {
        enum frt_status status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            return status;
        struct frt_store_subject *subject = store_page_row(page);
        const char *name = subject == NULL ? NULL : store_page_column(page, stmt, 1);
        if (name == NULL)
            return frt_fail_nomem(err, "subjects");
        subject->key = (uint64_t)db_int(stmt, 0);
        subject->name = name;
        subject->faces = (uint64_t)db_int(stmt, 2);
        subject->created_ms = db_int(stmt, 3);
    }
}

static enum frt_status list_subjects(struct db *db, const char *collection, const char *after, size_t limit,
                                     struct frt_store_page *page, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    store_page_reset(page);
    enum frt_status status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK)
        status = db_use(db,
                        "SELECT key, name, faces, created_ms FROM subjects WHERE collection = ?1 AND name > ?2 "
                        "ORDER BY name LIMIT ?3",
                        &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)facts.key);
        db_bind_text(stmt, 2, after);
        db_bind_int(stmt, 3, (int64_t)limit);
        status = read_subjects(stmt, page, err);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_subject_list(struct frt_store *store, const char *collection, const char *after,
                                       size_t limit, struct frt_store_page **page,
                                       const struct frt_store_subject **rows, size_t *n, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct frt_store_page *found = NULL;
    if (limit == 0 || limit > FRT_STORE_PAGE_MAX)
        return frt_fail(err, FRT_EINVAL, "a page of %zu rows; 1 to %d are right", limit, FRT_STORE_PAGE_MAX);
    enum frt_status status = store_page_new(STORE_SUBJECTS, &found, err);
    while (store_read(&turn, &status, err))
        status = list_subjects(turn.db, collection, after, limit, found, err);
    status = store_page_out(found, page, status);
    if (status == FRT_OK)
        *rows = store_page_rows(found, n);
    return status;
}

static enum frt_status rename_subject(struct db *db, const char *collection, const char *from, const char *to,
                                      struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    uint64_t key = 0;
    enum frt_status status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK)
        status = store_subject_find(db, facts.key, from, &key, err);
    if (status == FRT_OK)
        status = db_use(db, "UPDATE subjects SET name = ?2 WHERE key = ?1", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)key);
        db_bind_text(stmt, 2, to);
        status = db_run(stmt, err);
    }
    if (status == FRT_OK)
        status = store_collection_touch(db, facts.key, err);
    if (status == FRT_ECONFLICT)
        status =
            frt_fail(err, FRT_ECONFLICT, "subject '%.256s' is in collection '%.128s' already", to, collection);
    return status;
}

enum frt_status frt_store_subject_rename(struct frt_store *store, const char *collection, const char *from,
                                         const char *to, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = store_check_subject(to, err);
    while (store_write(&turn, &status, err))
        status = rename_subject(turn.db, collection, from, to, err);
    return status;
}

static enum frt_status delete_subject(struct db *db, const char *collection, const char *subject,
                                      uint64_t *deleted, struct frt_error *err)
{
    struct store_collection_facts facts = {0};
    uint64_t key = 0;
    enum frt_status status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK)
        status = store_subject_find(db, facts.key, subject, &key, err);
    return status == FRT_OK
               ? store_delete_faces(db, facts.key, "SELECT key, subject FROM faces WHERE subject = ?1", key,
                                    deleted, NULL, err)
               : status;
}

enum frt_status frt_store_subject_delete(struct frt_store *store, const char *collection, const char *subject,
                                         uint64_t *faces, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    uint64_t deleted = 0;
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err))
        status = delete_subject(turn.db, collection, subject, &deleted, err);
    if (status == FRT_OK && faces != NULL)
        *faces = deleted;
    return status;
}
