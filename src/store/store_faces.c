#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "store/store_internal.h"

/* --------------------------------------------------------------------- add */

static enum frt_status check_face(const struct frt_store_face *face, uint32_t dim, struct frt_error *err)
{
    enum frt_status status = store_check_subject(face->subject, err);
    double norm = 0;
    if (status == FRT_OK && face->face_id != NULL && face->face_id[0] != '\0')
        status = store_check_face_id(face->face_id, err);
    if (status == FRT_OK)
        status = store_check_metadata(face->metadata, err);
    if (status != FRT_OK)
        return status;
    for (uint32_t i = 0; i < dim; i++)
        norm += (double)face->embedding[i] * (double)face->embedding[i];
    if (!(fabs(sqrt(norm) - 1) <= 1e-3))
        return frt_fail(err, FRT_EINVAL, "an embedding of length %g; length 1 is right", sqrt(norm));
    if (!(face->confidence >= 0 && face->confidence <= 1) ||
        (!isnan(face->quality) && !(face->quality >= 0 && face->quality <= 1)) ||
        (!isnan(face->threshold) && !(face->threshold >= -1 && face->threshold <= 1)) ||
        !isfinite(face->box.x) || !isfinite(face->box.y) || !isfinite(face->box.width) ||
        !isfinite(face->box.height))
        return frt_fail(err, FRT_EINVAL,
                        "confidence and quality from 0 to 1, a threshold from -1 to 1 and a finite "
                        "box are right");
    return FRT_OK;
}

/* The first face fixes the collection's model. */
static enum frt_status check_model(struct db *db, const struct store_collection_facts *facts,
                                   const struct frt_store_add *add, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    if (facts->dim != 0) {
        if (facts->dim == add->dim && strcmp(facts->model, add->model) == 0)
            return FRT_OK;
        return frt_fail(err, FRT_EMODEL_MISMATCH,
                        "collection '%.128s' holds embeddings of %s (%u dimensions); these are of %s (%u)",
                        add->collection, facts->model, facts->dim, add->model, add->dim);
    }
    enum frt_status status =
        db_use(db, "UPDATE collections SET model = ?2, dim = ?3 WHERE key = ?1", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)facts->key);
    db_bind_text(stmt, 2, add->model);
    db_bind_int(stmt, 3, add->dim);
    return db_run(stmt, err);
}

/* The subject's key, making it when it is not there. */
static enum frt_status subject_of(struct frt_store *store, struct db *db, uint64_t collection, const char *name,
                                  uint64_t *key, bool *made, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct frt_error unused = {0};
    bool row = false;
    enum frt_status status = store_subject_find(db, collection, name, key, &unused);
    *made = false;
    if (status != FRT_ESUBJECT_NOT_FOUND) {
        if (status != FRT_OK && err != NULL)
            *err = unused;
        return status;
    }
    status = db_use(db, "INSERT INTO subjects(collection, name, created_ms) VALUES(?1, ?2, ?3) RETURNING key",
                    &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)collection);
    db_bind_text(stmt, 2, name);
    db_bind_int(stmt, 3, store_now_ms(store));
    status = db_step(stmt, &row, err);
    if (status == FRT_OK && row) {
        *key = (uint64_t)db_int(stmt, 0);
        *made = true;
        status = db_step(stmt, &row, err);
    }
    db_done(stmt);
    return status;
}

static enum frt_status count_subject(struct db *db, uint64_t key, int64_t more, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use(db, "UPDATE subjects SET faces = faces + ?2 WHERE key = ?1", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)key);
    db_bind_int(stmt, 2, more);
    return db_run(stmt, err);
}

/* "f" and the key in base 32 (Crockford's digits): grows with the key, so that the index of ids is appended to.
 */
static void make_face_id(uint64_t key, int attempt, char out[FRT_STORE_FACE_ID_MAX + 1])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    char text[STORE_FACE_ID_MADE];
    for (int i = STORE_FACE_ID_MADE - 1; i-- > 1; key >>= 5)
        text[i] = digits[key & 31];
    text[0] = 'f';
    text[STORE_FACE_ID_MADE - 1] = '\0';
    if (attempt == 0)
        (void)snprintf(out, FRT_STORE_FACE_ID_MAX + 1, "%s", text);
    else
        (void)snprintf(out, FRT_STORE_FACE_ID_MAX + 1, "%s-%d", text, attempt);
}

static enum frt_status insert_face(struct frt_store *store, struct db *db, uint64_t collection, uint64_t key,
                                   uint64_t subject, const struct frt_store_face *face, const char *face_id,
                                   uint32_t dim, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db,
               "INSERT INTO faces(key, collection, subject, face_id, embedding, metadata, x, y, "
               "width, height, confidence, quality, threshold, created_ms) "
               "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
               &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)key);
    db_bind_int(stmt, 2, (int64_t)collection);
    db_bind_int(stmt, 3, (int64_t)subject);
    db_bind_text(stmt, 4, face_id);
    db_bind_blob(stmt, 5, face->embedding, dim * sizeof(float));
    db_bind_text(stmt, 6, face->metadata != NULL ? face->metadata : "");
    db_bind_number(stmt, 7, (double)face->box.x);
    db_bind_number(stmt, 8, (double)face->box.y);
    db_bind_number(stmt, 9, (double)face->box.width);
    db_bind_number(stmt, 10, (double)face->box.height);
    db_bind_number(stmt, 11, (double)face->confidence);
    db_bind_number(stmt, 12, (double)face->quality);
    db_bind_number(stmt, 13, (double)face->threshold);
    db_bind_int(stmt, 14, store_now_ms(store));
    return db_run(stmt, err);
}

/* What adding needs to carry from face to face. */
struct adding {
    struct frt_store *store;
    struct db *db;
    const struct frt_store_add *add;
    struct store_collection_facts facts;
    uint64_t first_key, last_subject, added, subjects;
    const char *last_name; /* of last_subject; bulk enrollment comes subject by subject */
    bool last_is_new;
    struct frt_store_page *made;
};

static enum frt_status note_made(struct adding *a, const struct frt_store_face *face, uint64_t key,
                                 const char *id, struct frt_error *err)
{
    struct frt_store_face *row = store_page_row(a->made);
    if (row == NULL)
        return frt_fail_nomem(err, "faces");
    *row = *face;
    row->key = row->seq = key;
    row->subject_key = a->last_subject;
    row->embedding = NULL;
    row->crop = NULL;
    row->created_ms = store_now_ms(a->store);
    row->face_id = store_page_text(a->made, id, strlen(id));
    row->subject = store_page_text(a->made, face->subject, strlen(face->subject));
    const char *metadata = face->metadata != NULL ? face->metadata : "";
    row->metadata = store_page_text(a->made, metadata, strlen(metadata));
    if (row->face_id == NULL || row->subject == NULL || row->metadata == NULL)
        return frt_fail_nomem(err, "faces");
    return FRT_OK;
}

static enum frt_status add_face(struct adding *a, size_t i, uint64_t *key, struct frt_error *err)
{
    const struct frt_store_face *face = &a->add->faces[i];
    const bool own_id = face->face_id != NULL && face->face_id[0] != '\0';
    char id[FRT_STORE_FACE_ID_MAX + 1];
    bool made = false;
    enum frt_status status = check_face(face, a->add->dim, err);
    if (status != FRT_OK)
        return status;
    if (a->last_name == NULL || strcmp(a->last_name, face->subject) != 0) {
        uint64_t subject = 0;
        status = subject_of(a->store, a->db, a->facts.key, face->subject, &subject, &made, err);
        if (status != FRT_OK)
            return status;
        a->last_subject = subject;
        a->last_name = face->subject;
        a->last_is_new = made;
    }
    if (a->add->new_subject && !a->last_is_new)
        return frt_fail(err, FRT_ECONFLICT, "subject '%.256s' is in collection '%.128s' already", face->subject,
                        a->add->collection);
    *key = a->first_key + i;
    for (int attempt = 0;; attempt++) {
        if (own_id)
            (void)snprintf(id, sizeof id, "%s", face->face_id);
        else
            make_face_id(*key, attempt, id);
        status = insert_face(a->store, a->db, a->facts.key, *key, a->last_subject, face, id, a->add->dim, err);
        if (status != FRT_ECONFLICT || own_id || attempt == 9)
            break;
    }
    if (status == FRT_ECONFLICT) {
        status = frt_fail(err, FRT_ECONFLICT, "face id '%.128s' is in collection '%.128s' already", id,
                          a->add->collection);
        if (made) { /* a subject without faces must not stay */
            struct db_stmt *stmt = NULL;
            struct frt_error why = {0};
            a->last_name = NULL;
            enum frt_status undone = db_use(a->db, "DELETE FROM subjects WHERE key = ?1", &stmt, &why);
            if (undone == FRT_OK) {
                db_bind_int(stmt, 1, (int64_t)a->last_subject);
                undone = db_run(stmt, &why);
            }
            if (undone != FRT_OK)
                return frt_fail(err, undone, "%s", why.text);
        }
        return status;
    }
    if (status == FRT_OK && face->crop != NULL)
        status = store_crop_add(a->store, a->db, *key, face->crop, face->crop_size, err);
    if (status == FRT_OK)
        status = count_subject(a->db, a->last_subject, 1, err);
    if (status == FRT_OK) {
        a->added++;
        a->subjects += made;
    }
    if (status == FRT_OK && a->made != NULL)
        status = note_made(a, face, *key, id, err);
    return status;
}

static bool is_the_faces_fault(enum frt_status status)
{
    return status == FRT_EINVAL || status == FRT_ECONFLICT;
}

static enum frt_status set_thresholds(struct db *db, uint64_t collection, const uint64_t *keys,
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
            status = db_run(stmt, err);
        }
    }
    if (status == FRT_OK && n > 0)
        status = store_collection_touch(db, collection, err);
    return status;
}

static enum frt_status count_collection(struct adding *a, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use(
        a->db, "UPDATE collections SET faces = faces + ?2, subjects = subjects + ?3, seq = ?4 WHERE key = ?1",
        &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)a->facts.key);
    db_bind_int(stmt, 2, (int64_t)a->added);
    db_bind_int(stmt, 3, (int64_t)a->subjects);
    db_bind_int(stmt, 4, (int64_t)(a->first_key + a->add->n - 1));
    return db_run(stmt, err);
}

enum frt_status frt_store_faces_add(struct frt_store *store, const struct frt_store_add *add, uint64_t *keys,
                                    uint64_t *seqs, struct frt_store_page **made, struct frt_error *err)
{
    struct adding a = {.store = store, .add = add};
    uint64_t *taken = NULL;
    enum frt_status status = FRT_OK;
    bool turn = false;
    if (add->n == 0 || add->n > FRT_STORE_BATCH_MAX || add->dim == 0 || add->dim > FRT_MAX_DIM ||
        add->model == NULL || add->model[0] == '\0' || strlen(add->model) > FRT_STORE_MODEL_MAX)
        return frt_fail(err, FRT_EINVAL, "%zu faces of %u dimensions, or the model's name, do not fit", add->n,
                        add->dim);
    taken = frt_alloc_zero(add->n, sizeof *taken);
    if (taken == NULL)
        return frt_fail_nomem(err, "faces");
    if (made != NULL)
        status = store_page_new(STORE_FACES, &a.made, err);
    if (status == FRT_OK) {
        status = store_begin(store, &a.db, err);
        turn = status == FRT_OK;
    }
    if (status == FRT_OK)
        status = store_collection_find(a.db, add->collection, &a.facts, err);
    if (status == FRT_OK)
        status = check_model(a.db, &a.facts, add, err);
    if (status == FRT_OK)
        status = store_take_seqs(a.db, add->n, &a.first_key, err);
    for (size_t i = 0; i < add->n && status == FRT_OK; i++) {
        struct frt_error why = {0};
        uint64_t key = 0;
        enum frt_status one = add_face(&a, i, &key, &why);
        if (add->rejected != NULL)
            add->rejected[i] = FRT_OK;
        if (one == FRT_OK) {
            taken[i] = key;
        } else if (add->rejected != NULL && is_the_faces_fault(one)) {
            add->rejected[i] = one;
            if (add->reasons != NULL)
                add->reasons[i] = why;
        } else {
            status = frt_fail(err, one, "%s", why.text);
        }
    }
    if (status == FRT_OK && a.added > 0)
        status = count_collection(&a, err);
    if (status == FRT_OK)
        status = set_thresholds(a.db, a.facts.key, add->lower_keys, add->lower_thresholds, add->n_lower, err);
    if (turn)
        status = store_end(store, status, err);
    if (status == FRT_OK) {
        for (size_t i = 0; i < add->n; i++) {
            if (keys != NULL)
                keys[i] = taken[i];
            if (seqs != NULL)
                seqs[i] = taken[i];
        }
        if (made != NULL) {
            *made = a.made;
            a.made = NULL;
        }
    }
    frt_store_page_free(a.made);
    frt_free(taken);
    return status;
}

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

enum frt_status frt_store_face_get(struct frt_store *store, const char *collection, const char *face_id,
                                   bool embedding, struct frt_store_page **page, struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    struct frt_store_page *found = NULL;
    struct store_collection_facts facts = {0};
    size_t n = 0;
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    if (status == FRT_OK)
        status = store_reader(store, &db, err);
    if (status == FRT_OK)
        status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK)
        status = db_use(db, "SELECT " FACE_COLUMNS "WHERE f.collection = ?1 AND f.face_id = ?2", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)facts.key);
        db_bind_text(stmt, 2, face_id);
        status = read_faces(stmt, facts.dim, embedding, found, err);
    }
    if (status == FRT_OK && (frt_store_page_faces(found, &n), n == 0))
        status =
            frt_fail(err, FRT_EFACE_NOT_FOUND, "no face '%.128s' in collection '%.128s'", face_id, collection);
    db_done(stmt);
    if (db != NULL)
        store_reader_done(store, db);
    if (status != FRT_OK) {
        frt_store_page_free(found);
        return status;
    }
    *page = found;
    return FRT_OK;
}

enum frt_status frt_store_faces_by_key(struct frt_store *store, uint64_t collection_key, const uint64_t *keys,
                                       size_t n, bool embedding, struct frt_store_page **page,
                                       struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    struct frt_store_page *found = NULL;
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    if (status == FRT_OK)
        status = store_reader(store, &db, err);
    if (status == FRT_OK)
        status = db_use(db, "SELECT " FACE_COLUMNS "WHERE f.key = ?1 AND f.collection = ?2", &stmt, err);
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        bool row = false;
        size_t bytes = 0;
        db_bind_int(stmt, 1, (int64_t)keys[i]);
        db_bind_int(stmt, 2, (int64_t)collection_key);
        status = db_step(stmt, &row, err);
        if (status == FRT_OK && row) {
            (void)db_blob(stmt, 13, &bytes);
            status = read_face(found, stmt, (uint32_t)(bytes / sizeof(float)), embedding, err);
        }
        db_done(stmt);
    }
    if (db != NULL)
        store_reader_done(store, db);
    if (status != FRT_OK) {
        frt_store_page_free(found);
        return status;
    }
    *page = found;
    return FRT_OK;
}

enum frt_status frt_store_faces_of(struct frt_store *store, const struct frt_store_collection *row,
                                   uint64_t subject_key, size_t limit, struct frt_store_page **page,
                                   struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    struct frt_store_page *found = NULL;
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    if (status == FRT_OK)
        status = store_reader(store, &db, err);
    if (status == FRT_OK)
        status = db_use(
            db, "SELECT " FACE_COLUMNS "WHERE f.subject = ?1 AND +f.collection = ?2 ORDER BY f.key LIMIT ?3",
            &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)subject_key);
        db_bind_int(stmt, 2, (int64_t)row->key);
        db_bind_int(stmt, 3, (int64_t)limit);
        status = read_faces(stmt, row->dim, true, found, err);
    }
    db_done(stmt);
    if (db != NULL)
        store_reader_done(store, db);
    if (status != FRT_OK) {
        frt_store_page_free(found);
        return status;
    }
    *page = found;
    return FRT_OK;
}

enum frt_status frt_store_faces_list(struct frt_store *store, const char *collection, const char *subject,
                                     uint64_t after, size_t limit, bool embedding, struct frt_store_page **page,
                                     struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    struct frt_store_page *found = NULL;
    struct store_collection_facts facts = {0};
    uint64_t subject_key = 0;
    if (limit == 0 || limit > FRT_STORE_PAGE_MAX)
        return frt_fail(err, FRT_EINVAL, "a page of %zu rows; 1 to %d are right", limit, FRT_STORE_PAGE_MAX);
    enum frt_status status = store_page_new(STORE_FACES, &found, err);
    if (status == FRT_OK)
        status = store_reader(store, &db, err);
    if (status == FRT_OK)
        status = store_collection_find(db, collection, &facts, err);
    if (status == FRT_OK && subject != NULL)
        status = store_subject_find(db, facts.key, subject, &subject_key, err);
    if (status == FRT_OK)
        status = db_use(db,
                        subject != NULL ? "SELECT " FACE_COLUMNS
                                          "WHERE f.subject = ?1 AND f.key > ?2 ORDER BY f.key LIMIT ?3"
                                        : "SELECT " FACE_COLUMNS
                                          "WHERE f.collection = ?1 AND f.key > ?2 ORDER BY f.key LIMIT ?3",
                        &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)(subject != NULL ? subject_key : facts.key));
        db_bind_int(stmt, 2, after > INT64_MAX ? INT64_MAX : (int64_t)after);
        db_bind_int(stmt, 3, (int64_t)limit);
        status = read_faces(stmt, facts.dim, embedding, found, err);
    }
    db_done(stmt);
    if (db != NULL)
        store_reader_done(store, db);
    if (status != FRT_OK) {
        frt_store_page_free(found);
        return status;
    }
    *page = found;
    return FRT_OK;
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
    status = db_run(stmt, err);
    if (status == FRT_OK)
        status = db_use(db, "INSERT INTO deletions(collection, seq, face) VALUES(?1, ?2, ?3)", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)collection);
    db_bind_int(stmt, 2, (int64_t)seq);
    db_bind_int(stmt, 3, (int64_t)key);
    return db_run(stmt, err);
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
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        status = delete_one(db, collection, pairs[i][0], first + i, err);
        if (status == FRT_OK)
            status = count_subject(db, pairs[i][1], -1, err);
        if (status == FRT_OK)
            status = db_use(db, "DELETE FROM subjects WHERE key = ?1 AND faces = 0", &stmt, err);
        if (status == FRT_OK) {
            db_bind_int(stmt, 1, (int64_t)pairs[i][1]);
            status = db_run(stmt, err);
            subjects += status == FRT_OK ? db_changes(db) : 0;
        }
    }
    if (status == FRT_OK && n > 0)
        status = db_use(
            db, "UPDATE collections SET faces = faces - ?2, subjects = subjects - ?3, seq = ?4 WHERE key = ?1",
            &stmt, err);
    if (status == FRT_OK && n > 0) {
        db_bind_int(stmt, 1, (int64_t)collection);
        db_bind_int(stmt, 2, (int64_t)n);
        db_bind_int(stmt, 3, subjects);
        db_bind_int(stmt, 4, (int64_t)(first + n - 1));
        status = db_run(stmt, err);
    }
    frt_free(pairs);
    if (status == FRT_OK) {
        *deleted = n;
        if (seq != NULL && n > 0)
            *seq = first + n - 1;
    }
    return status;
}

enum frt_status frt_store_face_delete(struct frt_store *store, const char *collection, const char *face_id,
                                      uint64_t *seq, struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    bool row = false;
    uint64_t key = 0, deleted = 0, last = 0;
    enum frt_status status = store_begin(store, &db, err);
    if (status != FRT_OK)
        return status;
    status = store_collection_find(db, collection, &facts, err);
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
    if (status == FRT_OK)
        status = store_delete_faces(db, facts.key, "SELECT key, subject FROM faces WHERE key = ?1", key,
                                    &deleted, &last, err);
    status = store_end(store, status, err);
    if (status == FRT_OK && seq != NULL)
        *seq = last;
    return status;
}

enum frt_status frt_store_face_thresholds(struct frt_store *store, uint64_t collection_key,
                                          const uint64_t *keys, const float *thresholds, size_t n,
                                          struct frt_error *err)
{
    struct db *db = NULL;
    enum frt_status status = store_begin(store, &db, err);
    if (status != FRT_OK)
        return status;
    status = set_thresholds(db, collection_key, keys, thresholds, n, err);
    return store_end(store, status, err);
}
