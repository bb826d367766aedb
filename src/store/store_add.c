/* Adding faces. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "store/store_add.h"

enum frt_status store_add_check_face(const struct store_adding *a, const struct frt_store_face *face,
                                     struct frt_error *err)
{
    enum frt_status status = store_check_subject(face->subject, err);
    const uint32_t dim = a->add->dim;
    double norm = 0;
    if (status == FRT_OK && face->crop != NULL)
        status = store_crop_check(a->store, face->crop_size, err);
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

enum frt_status store_add_check_model(struct db *db, const struct store_collection_facts *facts,
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
    return db_post(stmt, err);
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

void store_add_make_id(uint64_t key, int attempt, char out[FRT_STORE_FACE_ID_MAX + 1])
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

enum frt_status store_add_note(struct store_adding *a, const struct frt_store_face *face, uint64_t key,
                               uint64_t subject, const char *id, struct frt_error *err)
{
    struct frt_store_face *row = store_page_row(a->made);
    if (row == NULL)
        return frt_fail_nomem(err, "faces");
    *row = *face;
    row->key = row->seq = key;
    row->subject_key = subject;
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

static enum frt_status add_face(struct store_adding *a, size_t i, uint64_t *key, struct frt_error *err)
{
    const struct frt_store_face *face = &a->add->faces[i];
    const bool own_id = face->face_id != NULL && face->face_id[0] != '\0';
    char id[FRT_STORE_FACE_ID_MAX + 1];
    bool made = false;
    enum frt_status status = store_add_check_face(a, face, err);
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
            store_add_make_id(*key, attempt, id);
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
        status = store_add_note(a, face, *key, a->last_subject, id, err);
    return status;
}

static bool is_the_faces_fault(enum frt_status status)
{
    return status == FRT_EINVAL || status == FRT_ECONFLICT;
}

enum frt_status store_add_reject(struct store_adding *a, size_t i, enum frt_status why,
                                 const struct frt_error *text, struct frt_error *err)
{
    const struct frt_store_add *add = a->add;
    if (add->rejected == NULL || !is_the_faces_fault(why))
        return frt_fail(err, why, "%s", text->text);
    add->rejected[i] = why;
    if (add->reasons != NULL)
        add->reasons[i] = *text;
    return FRT_OK;
}

enum frt_status store_add_count(const struct store_adding *a, struct db_stmt **out, struct frt_error *err)
{
    enum frt_status status = db_use(
        a->db, "UPDATE collections SET faces = faces + ?2, subjects = subjects + ?3, seq = ?4 WHERE key = ?1",
        out, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(*out, 1, (int64_t)a->facts.key);
    db_bind_int(*out, 2, (int64_t)a->added);
    db_bind_int(*out, 3, (int64_t)a->subjects);
    db_bind_int(*out, 4, (int64_t)(a->first_key + a->add->n - 1));
    return FRT_OK;
}

static enum frt_status count_collection(struct store_adding *a, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = store_add_count(a, &stmt, err);
    return status == FRT_OK ? db_run(stmt, err) : status;
}

enum frt_status store_add_check_unmoved(struct store_adding *a, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    if (a->add->moved == NULL)
        return FRT_OK;
    enum frt_status status = db_use(a->db, "SELECT seq FROM collections WHERE key = ?1", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)a->facts.key);
    status = db_step(stmt, &row, err);
    *a->add->moved = status == FRT_OK && (!row || (uint64_t)db_int(stmt, 0) != a->add->seen_seq);
    db_done(stmt);
    if (status == FRT_OK && *a->add->moved)
        status = frt_fail(err, FRT_ECONFLICT, "collection '%.128s' has changed meanwhile", a->add->collection);
    return status;
}

static enum frt_status add_one_by_one(struct store_adding *a, struct frt_error *err)
{
    const struct frt_store_add *add = a->add;
    enum frt_status status = store_collection_find(a->db, add->collection, &a->facts, err);
    if (status == FRT_OK)
        status = store_add_check_model(a->db, &a->facts, add, err);
    if (status == FRT_OK)
        status = store_take_seqs(a->db, add->n, &a->first_key, err);
    if (status == FRT_OK)
        status = store_add_check_unmoved(a, err);
    for (size_t i = 0; i < add->n && status == FRT_OK; i++) {
        struct frt_error why = {0};
        uint64_t key = 0;
        enum frt_status one = add_face(a, i, &key, &why);
        if (one == FRT_OK)
            a->taken[i] = key;
        else
            status = store_add_reject(a, i, one, &why, err);
    }
    return status == FRT_OK && a->added > 0 ? count_collection(a, err) : status;
}

static enum frt_status add_faces(struct store_adding *a, struct frt_error *err)
{
    const struct frt_store_add *add = a->add;
    memset(a->taken, 0, add->n * sizeof *a->taken);
    a->added = a->subjects = 0;
    a->last_name = NULL;
    for (size_t i = 0; i < add->n && add->rejected != NULL; i++)
        add->rejected[i] = FRT_OK;
    if (a->made != NULL)
        store_page_reset(a->made);
    enum frt_status status = db_is_postgres(a->db) ? store_add_in_sets(a, err) : add_one_by_one(a, err);
    db_owner(a->db)->collection = a->facts.key;
    return status == FRT_OK ? store_set_thresholds(a->db, a->facts.key, add->lower_keys, add->lower_thresholds,
                                                   add->n_lower, err)
                            : status;
}

enum frt_status frt_store_faces_add(struct frt_store *store, const struct frt_store_add *add, uint64_t *keys,
                                    uint64_t *seqs, struct frt_store_page **made, struct frt_error *err)
{
    struct store_adding a = {.store = store, .add = add};
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    if (add->n == 0 || add->n > FRT_STORE_BATCH_MAX || add->dim == 0 || add->dim > FRT_MAX_DIM ||
        add->model == NULL || add->model[0] == '\0' || strlen(add->model) > FRT_STORE_MODEL_MAX)
        return frt_fail(err, FRT_EINVAL, "%zu faces of %u dimensions, or the model's name, do not fit", add->n,
                        add->dim);
    a.taken = frt_alloc_zero(add->n, sizeof *a.taken);
    if (a.taken == NULL)
        return frt_fail_nomem(err, "faces");
    if (made != NULL)
        status = store_page_new(STORE_FACES, &a.made, err);
    while (store_write(&turn, &status, err)) {
        a.db = turn.db;
        status = add_faces(&a, err);
    }
    for (size_t i = 0; i < add->n && status == FRT_OK; i++) {
        if (keys != NULL)
            keys[i] = a.taken[i];
        if (seqs != NULL)
            seqs[i] = a.taken[i];
    }
    frt_free(a.taken);
    if (made != NULL)
        return store_page_out(a.made, made, status);
    return status;
}
