/*
 * Adding faces to a server, in two journeys whatever their number:
 *
 *     there   BEGIN, the lock; the collection; numbers; subjects, made or counted; ids that stand already
 *     back    decide: which faces are taken
 *     there   the faces, 500 a statement; crops; counts; (store_write:) word to others, COMMIT
 *
 * Nobody else writes between the two (db_begin), so that what the first has found still holds for the second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "store/store_add.h"

enum { SET_FACES = 500 };

struct subject {
    const char *name;
    uint64_t n, key, standing; /* faces of this call; out: key, and faces there were before */
};

struct sets {
    struct store_adding *a;
    struct subject *subjects; /* by name */
    size_t n_subjects;
    uint32_t *order; /* faces by id, for finding those that are named twice */
    uint32_t *whose; /* [n] of each face: its place in subjects */
    bool *out;       /* [n] rejected */
    char (*ids)[FRT_STORE_FACE_ID_MAX + 1];
    const char **texts; /* [n] for arrays */
    bool careful;       /* made ids may stand already */
};

static void sets_deinit(struct sets *s)
{
    frt_free(s->subjects);
    frt_free(s->order);
    frt_free(s->whose);
    frt_free(s->out);
    frt_free(s->ids);
    frt_free(s->texts);
}

static enum frt_status sets_init(struct sets *s, struct store_adding *a, struct frt_error *err)
{
    const size_t n = a->add->n;
    *s = (struct sets){.a = a};
    s->subjects = frt_alloc_array(n, sizeof *s->subjects);
    s->order = frt_alloc_array(n, sizeof *s->order);
    s->whose = frt_alloc_zero(n, sizeof *s->whose);
    s->out = frt_alloc_zero(n, sizeof *s->out);
    s->ids = frt_alloc_zero(n, sizeof *s->ids);
    s->texts = frt_alloc_array(n, sizeof *s->texts);
    if (s->subjects == NULL || s->order == NULL || s->whose == NULL || s->out == NULL || s->ids == NULL ||
        s->texts == NULL)
        return frt_fail_nomem(err, "faces");
    return FRT_OK;
}

static bool has_id(const struct frt_store_face *face)
{
    return face->face_id != NULL && face->face_id[0] != '\0';
}

static enum frt_status reject(struct sets *s, size_t i, enum frt_status why, const struct frt_error *text,
                              struct frt_error *err)
{
    s->out[i] = true;
    return store_add_reject(s->a, i, why, text, err);
}

static enum frt_status reject_id(struct sets *s, size_t i, const char *id, struct frt_error *err)
{
    struct frt_error why = {0};
    enum frt_status status = frt_fail(&why, FRT_ECONFLICT, "face id '%.128s' is in collection '%.128s' already",
                                      id, s->a->add->collection);
    return reject(s, i, status, &why, err);
}

/* ---------------------------------------------------------------- beforehand */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct subject *)a)->name, ((const struct subject *)b)->name);
}

static int by_id(const void *a, const void *b, void *arg)
{
    const struct frt_store_face *faces = arg;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const int order = strcmp(faces[i].face_id, faces[j].face_id);
    return order != 0 ? order : (i > j) - (i < j);
}

/* Faces whose values are wrong, and ids that come twice: the first is taken. */
static enum frt_status look_over(struct sets *s, struct frt_error *err)
{
    const struct frt_store_add *add = s->a->add;
    const struct frt_store_face *faces = add->faces;
    enum frt_status status = FRT_OK;
    size_t named = 0;
    for (size_t i = 0; i < add->n && status == FRT_OK; i++) {
        struct frt_error why = {0};
        enum frt_status one = store_add_check_face(s->a, &faces[i], &why);
        if (one != FRT_OK)
            status = reject(s, i, one, &why, err);
        else if (has_id(&faces[i]))
            s->order[named++] = (uint32_t)i;
    }
    if (status == FRT_OK && named > 1)
        qsort_r(s->order, named, sizeof *s->order, by_id, (void *)(uintptr_t)faces);
    for (size_t k = 1; k < named && status == FRT_OK; k++) {
        if (strcmp(faces[s->order[k]].face_id, faces[s->order[k - 1]].face_id) == 0)
            status = reject_id(s, s->order[k], faces[s->order[k]].face_id, err);
    }
    return status;
}

static void gather_subjects(struct sets *s)
{
    const struct frt_store_add *add = s->a->add;
    size_t n = 0;
    for (size_t i = 0; i < add->n; i++) {
        if (s->out[i])
            continue;
        s->subjects[n] = (struct subject){.name = add->faces[i].subject, .n = 1};
        n++;
    }
    if (n > 1)
        qsort(s->subjects, n, sizeof *s->subjects, by_name);
    for (size_t i = 0; i < n; i++) {
        if (s->n_subjects > 0 && strcmp(s->subjects[s->n_subjects - 1].name, s->subjects[i].name) == 0)
            s->subjects[s->n_subjects - 1].n++;
        else
            s->subjects[s->n_subjects++] = s->subjects[i];
    }
    for (size_t i = 0; i < add->n; i++) {
        const struct subject wanted = {.name = add->faces[i].subject};
        if (!s->out[i])
            s->whose[i] = (uint32_t)((const struct subject *)bsearch(&wanted, s->subjects, s->n_subjects,
                                                                     sizeof *s->subjects, by_name) -
                                     s->subjects);
    }
}

/* -------------------------------------------------------------- first journey */

static enum frt_status ask_subjects(struct sets *s, struct db_stmt **stmt, uint64_t *numbers,
                                    struct frt_error *err)
{
    static const char sql[] = "INSERT INTO subjects(collection, name, faces, created_ms) SELECT c.key, w.name, "
                              "w.n, ?4 FROM collections "
                              "c, unnest(?2, ?3) AS w(name, n) WHERE c.name = ?1 ON CONFLICT (collection, "
                              "name) DO UPDATE SET faces = "
                              "subjects.faces + excluded.faces RETURNING name, key, faces";
    enum frt_status status = db_use(s->a->db, sql, stmt, err);
    if (status != FRT_OK)
        return status;
    for (size_t i = 0; i < s->n_subjects; i++) {
        s->texts[i] = s->subjects[i].name;
        numbers[i] = s->subjects[i].n;
    }
    db_bind_text(*stmt, 1, s->a->add->collection);
    db_bind_texts(*stmt, 2, s->texts, s->n_subjects);
    db_bind_ints(*stmt, 3, numbers, s->n_subjects);
    db_bind_int(*stmt, 4, store_now_ms(s->a->store));
    return db_start(*stmt, err);
}

static enum frt_status hear_subjects(struct sets *s, struct db_stmt *stmt, struct frt_error *err)
{
    for (bool row = true;;) {
        size_t size = 0;
        enum frt_status status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            return status;
        const struct subject wanted = {.name = db_text(stmt, 0, &size)};
        struct subject *subject = bsearch(&wanted, s->subjects, s->n_subjects, sizeof *s->subjects, by_name);
        if (subject == NULL)
            return frt_fail(err, FRT_ESTORE_DAMAGED, "the database told of a subject that was not asked for");
        subject->key = (uint64_t)db_int(stmt, 1);
        subject->standing = (uint64_t)db_int(stmt, 2) - subject->n;
    }
}

static enum frt_status ask_ids(struct sets *s, struct db_stmt **stmt, size_t *asked, struct frt_error *err)
{
    static const char sql[] =
        "SELECT f.face_id FROM faces f WHERE f.collection = (SELECT key FROM collections WHERE name = ?1) AND "
        "f.face_id = ANY(?2)";
    const struct frt_store_add *add = s->a->add;
    size_t n = 0;
    for (size_t i = 0; i < add->n; i++) {
        if (!s->out[i] && has_id(&add->faces[i]))
            s->texts[n++] = add->faces[i].face_id;
    }
    *asked = n;
    enum frt_status status = n == 0 ? FRT_OK : db_use(s->a->db, sql, stmt, err);
    if (status != FRT_OK || n == 0)
        return status;
    db_bind_text(*stmt, 1, add->collection);
    db_bind_texts(*stmt, 2, s->texts, n);
    return db_start(*stmt, err);
}

static enum frt_status hear_ids(struct sets *s, struct db_stmt *stmt, struct frt_error *err)
{
    const struct frt_store_add *add = s->a->add;
    for (bool row = true;;) {
        size_t size = 0;
        enum frt_status status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            return status;
        const char *id = db_text(stmt, 0, &size);
        for (size_t i = 0; i < add->n && status == FRT_OK; i++) { /* they are few, as a rule none */
            if (!s->out[i] && has_id(&add->faces[i]) && strcmp(add->faces[i].face_id, id) == 0)
                status = reject_id(s, i, id, err);
        }
        if (status != FRT_OK)
            return status;
    }
}

/* The greatest id that may have been chosen to look like a made one. */
static enum frt_status ask_greatest(struct sets *s, struct db_stmt **stmt, struct frt_error *err)
{
    static const char sql[] =
        "SELECT max(face_id) FROM faces WHERE collection = (SELECT key FROM collections WHERE name = ?1) AND "
        "face_id < 'f1'";
    enum frt_status status = db_use(s->a->db, sql, stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_text(*stmt, 1, s->a->add->collection);
    return db_start(*stmt, err);
}

static enum frt_status hear_greatest(struct sets *s, struct db_stmt *stmt, struct frt_error *err)
{
    char first[FRT_STORE_FACE_ID_MAX + 1];
    size_t size = 0;
    bool row = false;
    enum frt_status status = db_step(stmt, &row, err);
    if (status != FRT_OK)
        return status;
    store_add_make_id(s->a->first_key, 0, first);
    s->careful = row && strcmp(db_text(stmt, 0, &size), first) >= 0;
    return FRT_OK;
}

static enum frt_status ask(struct sets *s, struct frt_error *err)
{
    struct store_adding *a = s->a;
    struct db_stmt *subjects = NULL, *ids = NULL, *greatest = NULL, *seqs = NULL;
    uint64_t *numbers = frt_alloc_array(a->add->n, sizeof *numbers);
    size_t asked = 0;
    if (numbers == NULL)
        return frt_fail_nomem(err, "faces");
    enum frt_status status = ask_subjects(s, &subjects, numbers, err);
    if (status == FRT_OK)
        status = ask_ids(s, &ids, &asked, err);
    if (status == FRT_OK)
        status = ask_greatest(s, &greatest, err);
    if (status == FRT_OK)
        status = store_ask_seqs(a->db, a->add->n, &seqs, err);
    if (status == FRT_OK)
        status = store_collection_find(a->db, a->add->collection, &a->facts, err);
    if (status == FRT_OK)
        status = store_add_check_model(a->db, &a->facts, a->add, err);
    if (status == FRT_OK)
        status = store_hear_seqs(a->db, a->add->n, seqs, &a->first_key, err);
    else
        db_done(seqs);
    if (status == FRT_OK)
        status = hear_subjects(s, subjects, err);
    if (status == FRT_OK && asked > 0)
        status = hear_ids(s, ids, err);
    if (status == FRT_OK)
        status = hear_greatest(s, greatest, err);
    db_done(subjects);
    db_done(ids);
    db_done(greatest);
    frt_free(numbers);
    return status;
}

/* ----------------------------------------------------------------------- ids */

/* Does the id stand in the collection, or is it another face's of this call? */
static enum frt_status is_taken(struct sets *s, size_t i, bool *taken, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(s->a->db, "SELECT 1 FROM faces WHERE collection = ?1 AND face_id = ?2", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)s->a->facts.key);
        db_bind_text(stmt, 2, s->ids[i]);
        status = db_step(stmt, taken, err);
    }
    db_done(stmt);
    for (size_t j = 0; j < s->a->add->n && status == FRT_OK && !*taken; j++)
        *taken = j != i && !s->out[j] && strcmp(s->ids[j], s->ids[i]) == 0;
    return status;
}

/* Made ids stand already when somebody has chosen such a one: hardly ever, so only then each is looked for. */
static enum frt_status make_ids(struct sets *s, struct frt_error *err)
{
    const struct frt_store_add *add = s->a->add;
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < add->n; i++) {
        if (!s->out[i] && has_id(&add->faces[i])) {
            (void)snprintf(s->ids[i], sizeof s->ids[i], "%s", add->faces[i].face_id);
            s->careful = s->careful || strncmp(s->ids[i], "f0", 2) == 0;
        }
    }
    for (size_t i = 0; i < add->n && status == FRT_OK; i++) {
        bool taken = !s->out[i] && !has_id(&add->faces[i]);
        for (int attempt = 0; status == FRT_OK && taken && attempt < 10; attempt++) {
            store_add_make_id(s->a->first_key + i, attempt, s->ids[i]);
            taken = false;
            if (s->careful)
                status = is_taken(s, i, &taken, err);
        }
    }
    return status;
}

/* A subject that stands is not to get faces when only new ones are wanted. */
static enum frt_status refuse_standing(struct sets *s, struct frt_error *err)
{
    const struct frt_store_add *add = s->a->add;
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < add->n && status == FRT_OK && add->new_subject; i++) {
        struct frt_error why = {0};
        if (s->out[i] || s->subjects[s->whose[i]].standing == 0)
            continue;
        enum frt_status one =
            frt_fail(&why, FRT_ECONFLICT, "subject '%.256s' is in collection '%.128s' already",
                     add->faces[i].subject, add->collection);
        status = reject(s, i, one, &why, err);
    }
    return status;
}

/* ------------------------------------------------------------- second journey */

struct columns {
    uint64_t keys[SET_FACES], subjects[SET_FACES];
    const char *ids[SET_FACES], *metadata[SET_FACES];
    const void *embeddings[SET_FACES];
    size_t sizes[SET_FACES];
    double x[SET_FACES], y[SET_FACES], width[SET_FACES], height[SET_FACES], confidence[SET_FACES],
        quality[SET_FACES], threshold[SET_FACES];
    size_t n;
};

static enum frt_status send_faces(struct sets *s, struct columns *c, struct frt_error *err)
{
    static const char sql[] =
        "INSERT INTO faces(key, collection, subject, face_id, embedding, metadata, x, y, width, height, "
        "confidence, "
        "quality, threshold, created_ms) SELECT w.key, ?1, w.subject, w.face_id, w.embedding, w.metadata, w.x, "
        "w.y, "
        "w.width, w.height, w.confidence, w.quality, w.threshold, ?2 FROM unnest(?3, ?4, ?5, ?6, ?7, ?8, ?9, "
        "?10, "
        "?11, ?12, ?13, ?14) AS w(key, subject, face_id, embedding, metadata, x, y, width, height, confidence, "
        "quality, threshold)";
    struct db_stmt *stmt = NULL;
    const double *const numbers[] = {c->x, c->y, c->width, c->height, c->confidence, c->quality, c->threshold};
    enum frt_status status = c->n == 0 ? FRT_OK : db_use(s->a->db, sql, &stmt, err);
    if (status != FRT_OK || c->n == 0)
        return status;
    db_bind_int(stmt, 1, (int64_t)s->a->facts.key);
    db_bind_int(stmt, 2, store_now_ms(s->a->store));
    db_bind_ints(stmt, 3, c->keys, c->n);
    db_bind_ints(stmt, 4, c->subjects, c->n);
    db_bind_texts(stmt, 5, c->ids, c->n);
    db_bind_blobs(stmt, 6, c->embeddings, c->sizes, c->n);
    db_bind_texts(stmt, 7, c->metadata, c->n);
    for (int i = 0; i < 7; i++)
        db_bind_numbers(stmt, 8 + i, numbers[i], c->n);
    c->n = 0;
    return db_post(stmt, err);
}

static void put_face(struct sets *s, size_t i, struct columns *c)
{
    const struct frt_store_face *face = &s->a->add->faces[i];
    const size_t at = c->n++;
    c->keys[at] = s->a->first_key + i;
    c->subjects[at] = s->subjects[s->whose[i]].key;
    c->ids[at] = s->ids[i];
    c->metadata[at] = face->metadata != NULL ? face->metadata : "";
    c->embeddings[at] = face->embedding;
    c->sizes[at] = s->a->add->dim * sizeof(float);
    c->x[at] = (double)face->box.x;
    c->y[at] = (double)face->box.y;
    c->width[at] = (double)face->box.width;
    c->height[at] = (double)face->box.height;
    c->confidence[at] = (double)face->confidence;
    c->quality[at] = (double)face->quality;
    c->threshold[at] = (double)face->threshold;
}

static enum frt_status post_faces(struct sets *s, struct frt_error *err)
{
    struct store_adding *a = s->a;
    struct columns *c = frt_alloc_zero(1, sizeof *c);
    enum frt_status status = FRT_OK;
    if (c == NULL)
        return frt_fail_nomem(err, "faces");
    for (size_t i = 0; i < a->add->n && status == FRT_OK; i++) {
        if (s->out[i])
            continue;
        a->taken[i] = a->first_key + i;
        a->added++;
        put_face(s, i, c);
        if (c->n == SET_FACES)
            status = send_faces(s, c, err);
        if (status == FRT_OK && a->made != NULL)
            status =
                store_add_note(a, &a->add->faces[i], a->taken[i], s->subjects[s->whose[i]].key, s->ids[i], err);
    }
    if (status == FRT_OK)
        status = send_faces(s, c, err);
    frt_free(c);
    for (size_t i = 0; i < a->add->n && status == FRT_OK; i++) {
        if (!s->out[i] && a->add->faces[i].crop != NULL)
            status = store_crop_add(a->store, a->db, a->taken[i], a->add->faces[i].crop,
                                    a->add->faces[i].crop_size, err);
    }
    return status;
}

/* The first journey counted every face that was well formed: those rejected since are taken off again. */
static enum frt_status settle_subjects(struct sets *s, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < s->n_subjects; i++)
        s->subjects[i].n = 0;
    for (size_t i = 0; i < s->a->add->n; i++)
        s->subjects[s->whose[i]].n += !s->out[i];
    for (size_t i = 0; i < s->n_subjects && status == FRT_OK; i++) {
        const struct subject *subject = &s->subjects[i];
        struct db_stmt *stmt = NULL;
        const bool none = subject->standing + subject->n == 0;
        s->a->subjects += subject->standing == 0 && !none;
        status = db_use(s->a->db,
                        none ? "DELETE FROM subjects WHERE key = ?1 AND ?2 = 0"
                             : "UPDATE subjects SET faces = ?2 WHERE key = ?1",
                        &stmt, err);
        if (status == FRT_OK) {
            db_bind_int(stmt, 1, (int64_t)subject->key);
            db_bind_int(stmt, 2, (int64_t)(subject->standing + subject->n));
            status = db_post(stmt, err);
        }
    }
    return status;
}

static void count_new_subjects(struct sets *s)
{
    for (size_t i = 0; i < s->n_subjects; i++)
        s->a->subjects += s->subjects[i].standing == 0;
}

static enum frt_status post_counts(struct store_adding *a, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = store_add_count(a, &stmt, err);
    return status == FRT_OK ? db_post(stmt, err) : status;
}

static bool any_rejected_since(const struct sets *s, const bool *before)
{
    return memcmp(s->out, before, s->a->add->n) != 0;
}

static enum frt_status add_sets(struct sets *s, bool *before, struct frt_error *err)
{
    struct store_adding *a = s->a;
    enum frt_status status = look_over(s, err);
    if (status != FRT_OK)
        return status;
    memcpy(before, s->out, a->add->n);
    gather_subjects(s);
    status = ask(s, err);
    if (status == FRT_OK)
        status = store_add_check_unmoved(a, err);
    if (status == FRT_OK)
        status = refuse_standing(s, err);
    if (status == FRT_OK)
        status = make_ids(s, err);
    if (status == FRT_OK)
        status = post_faces(s, err);
    if (status == FRT_OK && any_rejected_since(s, before))
        status = settle_subjects(s, err);
    else
        count_new_subjects(s);
    return status == FRT_OK && a->added > 0 ? post_counts(a, err) : status;
}

enum frt_status store_add_in_sets(struct store_adding *a, struct frt_error *err)
{
    struct sets s;
    bool *before = frt_alloc_zero(a->add->n, sizeof *before);
    if (before == NULL)
        return frt_fail_nomem(err, "faces");
    enum frt_status status = sets_init(&s, a, err);
    if (status == FRT_OK)
        status = add_sets(&s, before, err);
    sets_deinit(&s);
    frt_free(before);
    return status;
}
