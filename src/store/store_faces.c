#include "core/mem.h"
#include "store/store_internal.h"

/* -------------------------------------------------------------------- read */

#define FACE_COLUMNS                                                                                           \
    "f.key, f.subject, f.face_id, s.name, f.metadata, f.x, f.y, f.width, f.height, f.confidence, f.quality, "  \
    "f.threshold, f.created_ms, f.embedding FROM faces f JOIN subjects s ON s.key = f.subject "

static enum frt_status read_face(struct frt_store_page *page, struct db_stmt *stmt, uint32_t dim,
                                 bool embedding, struct frt_error *err)
{
    struct frt_store_face *row = store_page_row(page);
    if (row == NULL)
        return frt_fail_nomem(err, "faces");
    row->key = row->seq = (uint64_t)db_int(stmt, 0);
    row->subject_key = (uint64_t)db_int(stmt, 1);
    row->face_id = store_page_column(page, stmt, 2);
    row->subject = store_page_column(page, stmt, 3);
    row->metadata = store_page_column(page, stmt, 4);
    row->box = (struct frt_box){(float)db_number(stmt, 5), (float)db_number(stmt, 6), (float)db_number(stmt, 7),
                                (float)db_number(stmt, 8)};
    row->confidence = (float)db_number(stmt, 9);
    row->quality = (float)db_number(stmt, 10);
    row->threshold = (float)db_number(stmt, 11);
    row->created_ms = db_int(stmt, 12);
    if (row->face_id == NULL || row->subject == NULL || row->metadata == NULL)
        return frt_fail_nomem(err, "faces");
    return embedding ? store_page_embedding(page, stmt, 13, dim, &row->embedding, err) : FRT_OK;
}

static enum frt_status read_faces(struct db_stmt *stmt, uint32_t dim, bool embedding,
                                  struct frt_store_page *page, struct frt_error *err)
{
    for (bool row = true;;) {
        enum frt_status status = db_step(stmt, &row, err);
        if (status == FRT_OK && row)
            status = read_face(page, stmt, dim, embedding, err);
        if (status != FRT_OK || !row)
            return status;
    }
}

static enum frt_status get_face(struct db *db, const char *collection, const char *face_id, bool embedding,
                                struct frt_store_page *page, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    size_t n = 0;
    store_page_reset(page);
    enum frt_status status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK)
        status = db_use(db, "SELECT " FACE_COLUMNS "WHERE f.collection = ?1 AND f.face_id = ?2", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)facts.key);
        db_bind_text(stmt, 2, face_id);
        status = read_faces(stmt, facts.dim, embedding, page, err);
    }
    if (status == FRT_OK && (frt_store_page_faces(page, &n), n == 0))
        status =
            frt_fail(err, FRT_EFACE_NOT_FOUND, "no face '%.128s' in collection '%.128s'", face_id, collection);
    db_done(stmt);
    return status;
}

enum frt_status frt_store_face_get(struct frt_store *store, const char *collection, const char *face_id,
                                   bool embedding, struct frt_store_page **page, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct frt_store_page *found = NULL;
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    while (store_read(&turn, &status, err))
        status = get_face(turn.db, collection, face_id, embedding, found, err);
    return store_page_out(found, page, status);
}

static enum frt_status one_by_key(struct db_stmt *stmt, bool embedding, struct frt_store_page *page, bool *row,
                                  struct frt_error *err)
{
    size_t bytes = 0;
    enum frt_status status = db_step(stmt, row, err);
    if (status != FRT_OK || !*row)
        return status;
    (void)db_blob(stmt, 13, &bytes);
    return read_face(page, stmt, (uint32_t)(bytes / sizeof(float)), embedding, err);
}

/* A file is asked key by key, a server once for all. (SELECT ?1): the planner, not knowing how many there are,
 * finds a plan made for one call good for all; planning each time took longer than the answer. */
static enum frt_status faces_by_key(struct db *db, uint64_t collection, const uint64_t *keys, size_t n,
                                    bool embedding, struct frt_store_page *page, struct frt_error *err)
{
    const bool all_at_once = db_is_postgres(db);
    struct db_stmt *stmt = NULL;
    store_page_reset(page);
    enum frt_status status = db_use_either(
        db, "SELECT " FACE_COLUMNS "WHERE f.key = ?1 AND f.collection = ?2",
        "SELECT " FACE_COLUMNS "JOIN unnest((SELECT ?1)) WITH ORDINALITY AS w(key, place) ON w.key = f.key "
        "WHERE f.collection = ?2 ORDER BY w.place",
        &stmt, err);
    if (status == FRT_OK && all_at_once)
        db_bind_ints(stmt, 1, keys, n);
    for (size_t i = 0; i < (all_at_once ? 1 : n) && status == FRT_OK; i++) {
        bool row = true;
        if (!all_at_once)
            db_bind_int(stmt, 1, (int64_t)keys[i]);
        db_bind_int(stmt, 2, (int64_t)collection);
        while (status == FRT_OK && row)
            status = one_by_key(stmt, embedding, page, &row, err);
        db_done(stmt);
    }
    return status;
}

enum frt_status frt_store_faces_by_key(struct frt_store *store, uint64_t collection_key, const uint64_t *keys,
                                       size_t n, bool embedding, struct frt_store_page **page,
                                       struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct frt_store_page *found = NULL;
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    while (store_read(&turn, &status, err))
        status = faces_by_key(turn.db, collection_key, keys, n, embedding, found, err);
    return store_page_out(found, page, status);
}

static enum frt_status faces_of(struct db *db, const struct frt_store_collection *row, uint64_t subject_key,
                                size_t limit, struct frt_store_page *page, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    store_page_reset(page);
    enum frt_status status =
        db_use(db, "SELECT " FACE_COLUMNS "WHERE f.subject = ?1 AND +f.collection = ?2 ORDER BY f.key LIMIT ?3",
               &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)subject_key);
        db_bind_int(stmt, 2, (int64_t)row->key);
        db_bind_int(stmt, 3, (int64_t)limit);
        status = read_faces(stmt, row->dim, true, page, err);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_faces_of(struct frt_store *store, const struct frt_store_collection *row,
                                   uint64_t subject_key, size_t limit, struct frt_store_page **page,
                                   struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct frt_store_page *found = NULL;
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    while (store_read(&turn, &status, err))
        status = faces_of(turn.db, row, subject_key, limit, found, err);
    return store_page_out(found, page, status);
}

struct list_ask {
    const char *collection, *subject;
    uint64_t after;
    size_t limit;
    bool embedding;
};

static enum frt_status list_faces(struct db *db, const struct list_ask *ask, struct frt_store_page *page,
                                  struct frt_error *err)
{
    static const char of_subject[] =
        "SELECT " FACE_COLUMNS "WHERE f.subject = ?1 AND f.key > ?2 ORDER BY f.key LIMIT ?3";
    static const char of_all[] =
        "SELECT " FACE_COLUMNS "WHERE f.collection = ?1 AND f.key > ?2 ORDER BY f.key LIMIT ?3";
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    uint64_t subject_key = 0;
    store_page_reset(page);
    enum frt_status status = store_collection_find(db, ask->collection, &facts, err);
    if (status == FRT_OK && ask->subject != NULL)
        status = store_subject_find(db, facts.key, ask->subject, &subject_key, err);
    if (status == FRT_OK)
        status = db_use(db, ask->subject != NULL ? of_subject : of_all, &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)(ask->subject != NULL ? subject_key : facts.key));
        db_bind_int(stmt, 2, ask->after > INT64_MAX ? INT64_MAX : (int64_t)ask->after);
        db_bind_int(stmt, 3, (int64_t)ask->limit);
        status = read_faces(stmt, facts.dim, ask->embedding, page, err);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_faces_list(struct frt_store *store, const char *collection, const char *subject,
                                     uint64_t after, size_t limit, bool embedding, struct frt_store_page **page,
                                     struct frt_error *err)
{
    const struct list_ask ask = {collection, subject, after, limit, embedding};
    struct store_turn turn = {.store = store};
    struct frt_store_page *found = NULL;
    if (limit == 0 || limit > FRT_STORE_PAGE_MAX)
        return frt_fail(err, FRT_EINVAL, "a page of %zu rows; 1 to %d are right", limit, FRT_STORE_PAGE_MAX);
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    while (store_read(&turn, &status, err))
        status = list_faces(turn.db, &ask, found, err);
    return store_page_out(found, page, status);
}

/* ------------------------------------------------------------------ change */

static enum frt_status delete_one(struct db *db, uint64_t collection, uint64_t key, uint64_t seq,
                                  struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use(db, "DELETE FROM faces WHERE key = ?1", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)key);
    status = db_post(stmt, err);
    if (status == FRT_OK)
        status = db_use(db, "INSERT INTO deletions(collection, seq, face) VALUES(?1, ?2, ?3)", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)collection);
    db_bind_int(stmt, 2, (int64_t)seq);
    db_bind_int(stmt, 3, (int64_t)key);
    return db_post(stmt, err);
}

/* (key, subject) of the faces to go; owned by the caller. */
static enum frt_status keys_to_go(struct db *db, const char *select, uint64_t which, uint64_t (**out)[2],
                                  size_t *n, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint64_t(*pairs)[2] = NULL;
    size_t count = 0, capacity = 0;
    bool row = true;
    enum frt_status status = db_use(db, select, &stmt, err);
    if (status == FRT_OK)
        db_bind_int(stmt, 1, (int64_t)which);
    while (status == FRT_OK) {
        status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            break;
        if (count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            void *more = frt_realloc(pairs, capacity * sizeof *pairs);
            if (more == NULL) {
                status = frt_fail_nomem(err, "faces to delete");
                break;
            }
            pairs = more;
        }
        pairs[count][0] = (uint64_t)db_int(stmt, 0);
        pairs[count++][1] = (uint64_t)db_int(stmt, 1);
    }
    db_done(stmt);
    if (status != FRT_OK) {
        frt_free(pairs);
        return status;
    }
    *out = pairs;
    *n = count;
    return FRT_OK;
}

/* Subjects of the faces that went: their counts, and those who have none left. */
static enum frt_status settle_subjects(struct db *db, uint64_t collection, uint64_t (*pairs)[2], size_t n,
                                       int64_t *subjects, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = FRT_OK;
    *subjects = 0;
    for (size_t i = 0; i < n && status == FRT_OK;) { /* faces of one subject mostly come in a row */
        size_t same = 1;
        while (i + same < n && pairs[i + same][1] == pairs[i][1])
            same++;
        status = db_use(db, "UPDATE subjects SET faces = faces - ?2 WHERE key = ?1", &stmt, err);
        if (status == FRT_OK) {
            db_bind_int(stmt, 1, (int64_t)pairs[i][1]);
            db_bind_int(stmt, 2, (int64_t)same);
            status = db_post(stmt, err);
        }
        if (status == FRT_OK)
            status =
                db_use(db, "DELETE FROM subjects WHERE key = ?1 AND collection = ?2 AND faces = 0", &stmt, err);
        if (status == FRT_OK) {
            db_bind_int(stmt, 1, (int64_t)pairs[i][1]);
            db_bind_int(stmt, 2, (int64_t)collection);
            status = db_run(stmt, err);
        }
        if (status == FRT_OK)
            *subjects += db_changes(db);
        i += same;
    }
    return status;
}

enum frt_status store_delete_faces(struct db *db, uint64_t collection, const char *select, uint64_t which,
                                   uint64_t *deleted, uint64_t *seq, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint64_t(*pairs)[2] = NULL;
    uint64_t first = 0;
    int64_t subjects = 0;
    size_t n = 0;
    enum frt_status status = keys_to_go(db, select, which, &pairs, &n, err);
    if (status == FRT_OK && n > 0)
        status = store_take_seqs(db, n, &first, err);
    db_owner(db)->collection = collection;
    for (size_t i = 0; i < n && status == FRT_OK; i++)
        status = delete_one(db, collection, pairs[i][0], first + i, err);
    if (status == FRT_OK)
        status = settle_subjects(db, collection, pairs, n, &subjects, err);
    if (status == FRT_OK && n > 0)
        status = db_use(
            db, "UPDATE collections SET faces = faces - ?2, subjects = subjects - ?3, seq = ?4 WHERE key = ?1",
            &stmt, err);
    if (status == FRT_OK && n > 0) {
        db_bind_int(stmt, 1, (int64_t)collection);
        db_bind_int(stmt, 2, (int64_t)n);
        db_bind_int(stmt, 3, subjects);
        db_bind_int(stmt, 4, (int64_t)(first + n - 1));
        status = db_post(stmt, err);
    }
    frt_free(pairs);
    if (status == FRT_OK) {
        *deleted = n;
        if (seq != NULL && n > 0)
            *seq = first + n - 1;
    }
    return status;
}

static enum frt_status delete_face(struct db *db, const char *collection, const char *face_id, uint64_t *seq,
                                   struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    bool row = false;
    uint64_t key = 0, deleted = 0;
    enum frt_status status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK)
        status = db_use(db, "SELECT key FROM faces WHERE collection = ?1 AND face_id = ?2", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)facts.key);
        db_bind_text(stmt, 2, face_id);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && !row)
        status =
            frt_fail(err, FRT_EFACE_NOT_FOUND, "no face '%.128s' in collection '%.128s'", face_id, collection);
    if (status == FRT_OK)
        key = (uint64_t)db_int(stmt, 0);
    db_done(stmt);
    return status == FRT_OK ? store_delete_faces(db, facts.key, "SELECT key, subject FROM faces WHERE key = ?1",
                                                 key, &deleted, seq, err)
                            : status;
}

enum frt_status frt_store_face_delete(struct frt_store *store, const char *collection, const char *face_id,
                                      uint64_t *seq, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    uint64_t last = 0;
    while (store_write(&turn, &status, err))
        status = delete_face(turn.db, collection, face_id, &last, err);
    if (status == FRT_OK && seq != NULL)
        *seq = last;
    return status;
}

enum frt_status store_set_thresholds(struct db *db, uint64_t collection, const uint64_t *keys,
                                     const float *thresholds, size_t n, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        struct db_stmt *stmt = NULL;
        status = db_use(db, "UPDATE faces SET threshold = ?3 WHERE key = ?1 AND collection = ?2", &stmt, err);
        if (status == FRT_OK) {
            db_bind_int(stmt, 1, (int64_t)keys[i]);
            db_bind_int(stmt, 2, (int64_t)collection);
            db_bind_number(stmt, 3, (double)thresholds[i]);
            status = db_post(stmt, err);
        }
    }
    if (status == FRT_OK && n > 0)
        status = store_collection_touch(db, collection, err);
    return status;
}

enum frt_status frt_store_face_thresholds(struct frt_store *store, uint64_t collection_key,
                                          const uint64_t *keys, const float *thresholds, size_t n,
                                          struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err))
        status = store_set_thresholds(turn.db, collection_key, keys, thresholds, n, err);
    return status;
}
