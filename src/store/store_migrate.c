#include "store/store_migrate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "store/store_internal.h"

/* ------------------------------------------------------------------ helpers */

/* A statement over up to three whole numbers. */
static enum frt_status run_ints(struct db *db, const char *sql, uint64_t a, uint64_t b, uint64_t c, int n,
                                struct frt_error *err)
{
    const uint64_t values[] = {a, b, c};
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status != FRT_OK)
        return status;
    for (int i = 0; i < n; i++)
        db_bind_int(stmt, i + 1, (int64_t)values[i]);
    return db_run(stmt, err);
}

static enum frt_status count_of(struct db *db, const char *sql, uint64_t key, uint64_t *out,
                                struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)key);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK)
        *out = row ? (uint64_t)db_int(stmt, 0) : 0;
    db_done(stmt);
    return status;
}

static enum frt_status copy_text(struct db_stmt *stmt, int column, char *out, size_t size,
                                 struct frt_error *err)
{
    size_t n = 0;
    const char *text = db_text(stmt, column, &n);
    if (n >= size)
        return frt_fail(err, FRT_ESTORE_DAMAGED, "a text of %zu bytes where fewer than %zu fit", n, size);
    memcpy(out, text, n + 1);
    return FRT_OK;
}

static const char count_missing[] = "SELECT count(*) FROM faces f WHERE f.collection = ?1 AND NOT EXISTS "
                                    "(SELECT 1 FROM coming c WHERE c.face = f.key)";

/* The row of `migrations`, or zeros, into out. */
static enum frt_status read_row(struct db *db, struct frt_store_migration *out, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status =
        db_use(db,
               "SELECT coming_model, coming_dim, former_model, former_dim, former_threshold "
               "FROM migrations WHERE collection = ?1",
               &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)out->key);
        status = db_step(stmt, &row, err);
    }
    out->former_threshold = NAN;
    if (status == FRT_OK && row) {
        status = copy_text(stmt, 0, out->coming_model, sizeof out->coming_model, err);
        out->coming_dim = (uint32_t)db_int(stmt, 1);
        if (status == FRT_OK)
            status = copy_text(stmt, 2, out->former_model, sizeof out->former_model, err);
        out->former_dim = (uint32_t)db_int(stmt, 3);
        out->former_threshold = (float)db_number(stmt, 4);
    }
    db_done(stmt);
    return status;
}

static enum frt_status find(struct db *db, const char *collection, struct frt_store_migration *out,
                            struct frt_error *err)
{
    struct store_collection_facts facts = {0};
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = store_collection_find(db, collection, &facts, err);
    *out = (struct frt_store_migration){.key = facts.key, .dim = facts.dim, .threshold = NAN};
    if (status != FRT_OK)
        return status;
    memcpy(out->model, facts.model, sizeof out->model);
    status = db_use(db, "SELECT threshold, faces FROM collections WHERE key = ?1", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)facts.key);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && row) {
        out->threshold = (float)db_number(stmt, 0);
        out->faces = (uint64_t)db_int(stmt, 1);
    }
    db_done(stmt);
    return status == FRT_OK ? read_row(db, out, err) : status;
}

/* Is this the model that is to come? */
static enum frt_status check_coming(const struct frt_store_migration *m, const char *collection,
                                    const char *model, struct frt_error *err)
{
    if (m->coming_model[0] != '\0' && strcmp(m->coming_model, model) == 0)
        return FRT_OK;
    return frt_fail(err, FRT_ECONFLICT, "embeddings of '%s' are to come for collection '%.128s', not of '%s'",
                    m->coming_model[0] != '\0' ? m->coming_model : "no model", collection, model);
}

/* --------------------------------------------------------------------- state */

static enum frt_status read_state(struct db *db, const char *collection, struct frt_store_migration *out,
                                  struct frt_error *err)
{
    const struct {
        const char *sql;
        uint64_t *to;
    } counts[] = {
        {"SELECT count(*) FROM faces f JOIN coming c ON c.face = f.key WHERE f.collection = ?1", &out->coming},
        {"SELECT count(*) FROM faces f JOIN former c ON c.face = f.key WHERE f.collection = ?1", &out->former},
        {"SELECT count(*) FROM faces f JOIN crops c ON c.face = f.key WHERE f.collection = ?1", &out->crops},
        {count_missing, &out->missing},
        {"SELECT count(*) FROM faces f JOIN crops k ON k.face = f.key WHERE f.collection = ?1 AND "
         "NOT EXISTS (SELECT 1 FROM coming c WHERE c.face = f.key)",
         &out->missing_with_crop}};
    enum frt_status status = find(db, collection, out, err);
    for (size_t i = 0; i < sizeof counts / sizeof *counts && status == FRT_OK; i++)
        status = count_of(db, counts[i].sql, out->key, counts[i].to, err);
    return status;
}

enum frt_status frt_store_migration_get(struct frt_store *store, const char *collection,
                                        struct frt_store_migration *out, struct frt_error *err)
{
    struct store_turn turn = {.store = store, .slow = true};
    enum frt_status status = FRT_OK;
    while (store_read(&turn, &status, err))
        status = read_state(turn.db, collection, out, err);
    return status;
}

static const char forget_coming[] =
    "DELETE FROM coming WHERE face IN (SELECT key FROM faces WHERE collection = ?1)";

static enum frt_status begin_row(struct db *db, const struct frt_store_migration *m, const char *model,
                                 uint32_t dim, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use(
        db,
        "INSERT INTO migrations(collection, coming_model, coming_dim, former_model, former_dim) "
        "VALUES(?1, ?2, ?3, '', 0) ON CONFLICT(collection) DO UPDATE SET coming_model = ?2, coming_dim = ?3",
        &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)m->key);
    db_bind_text(stmt, 2, model);
    db_bind_int(stmt, 3, dim);
    return db_run(stmt, err);
}

static enum frt_status begin_it(struct db *db, const char *collection, const char *model, uint32_t dim,
                                struct frt_error *err)
{
    struct frt_store_migration m;
    enum frt_status status = find(db, collection, &m, err);
    if (status == FRT_OK && m.dim != 0 && strcmp(m.model, model) == 0)
        status = frt_fail(err, FRT_ECONFLICT, "collection '%.128s' holds embeddings of '%s' already",
                          collection, model);
    if (status == FRT_OK && strcmp(m.coming_model, model) != 0)
        status = run_ints(db, forget_coming, m.key, 0, 0, 1, err);
    if (status == FRT_OK && strcmp(m.former_model, model) == 0)
        status =
            run_ints(db,
                     "INSERT INTO coming(face, embedding, threshold) SELECT o.face, o.embedding, o.threshold "
                     "FROM faces f JOIN former o ON o.face = f.key WHERE f.collection = ?1 ON CONFLICT DO "
                     "NOTHING",
                     m.key, 0, 0, 1, err);
    return status == FRT_OK ? begin_row(db, &m, model, dim, err) : status;
}

enum frt_status frt_store_migration_begin(struct frt_store *store, const char *collection, const char *model,
                                          uint32_t dim, struct frt_error *err)
{
    struct store_turn turn = {.store = store, .slow = true};
    enum frt_status status = FRT_OK;
    if (model == NULL || model[0] == '\0' || strlen(model) > FRT_STORE_MODEL_MAX || dim == 0 ||
        dim > FRT_MAX_DIM)
        return frt_fail(err, FRT_EINVAL, "a model of %u dimensions, or its name, does not fit", dim);
    while (store_write(&turn, &status, err))
        status = begin_it(turn.db, collection, model, dim, err);
    return status;
}

struct missing_ask {
    const char *collection;
    uint64_t after;
    bool crops;
    size_t max;
};

static enum frt_status read_missing(struct db *db, const struct missing_ask *ask, struct frt_store_missing *out,
                                    size_t *n, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    struct store_collection_facts facts = {0};
    *n = 0;
    enum frt_status status = store_collection_find(db, ask->collection, &facts, err);
    if (status == FRT_OK)
        status = db_use(
            db,
            "SELECT f.key, CASE WHEN k.face IS NULL THEN 0 ELSE 1 END, f.face_id, s.name FROM faces f JOIN "
            "subjects s ON s.key = f.subject LEFT JOIN crops k ON k.face = f.key WHERE f.collection = ?1 AND "
            "f.key > ?2 AND NOT EXISTS (SELECT 1 FROM coming c WHERE c.face = f.key) AND (?3 = 0 OR k.face IS "
            "NOT NULL) ORDER BY f.key LIMIT ?4",
            &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)facts.key);
        db_bind_int(stmt, 2, ask->after > INT64_MAX ? INT64_MAX : (int64_t)ask->after);
        db_bind_int(stmt, 3, ask->crops);
        db_bind_int(stmt, 4, (int64_t)ask->max);
    }
    for (bool row = true; status == FRT_OK && *n < ask->max;) {
        status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            break;
        struct frt_store_missing *m = &out[(*n)++];
        m->key = (uint64_t)db_int(stmt, 0);
        m->crop = db_int(stmt, 1) != 0;
        status = copy_text(stmt, 2, m->face_id, sizeof m->face_id, err);
        if (status == FRT_OK)
            status = copy_text(stmt, 3, m->subject, sizeof m->subject, err);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_migration_missing(struct frt_store *store, const char *collection, uint64_t after,
                                            bool crops, struct frt_store_missing *out, size_t max, size_t *n,
                                            struct frt_error *err)
{
    const struct missing_ask ask = {collection, after, crops, max};
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    size_t count = 0;
    while (store_read(&turn, &status, err))
        status = read_missing(turn.db, &ask, out, &count, err);
    if (status == FRT_OK)
        *n = count;
    return status;
}

/* ------------------------------------------------------------------ embeddings */

static enum frt_status put_one(struct db *db, uint64_t collection, uint64_t key, const float *embedding,
                               uint32_t dim, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    double norm = 0;
    for (uint32_t i = 0; i < dim; i++)
        norm += (double)embedding[i] * (double)embedding[i];
    if (!(fabs(sqrt(norm) - 1) <= 1e-3))
        return frt_fail(err, FRT_EINVAL, "an embedding of length %g; length 1 is right", sqrt(norm));
    enum frt_status status = db_use(
        db,
        "INSERT INTO coming(face, embedding) SELECT key, ?3 FROM faces WHERE key = ?1 AND "
        "collection = ?2 ON CONFLICT(face) DO UPDATE SET embedding = excluded.embedding, threshold = NULL",
        &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)key);
    db_bind_int(stmt, 2, (int64_t)collection);
    db_bind_blob(stmt, 3, embedding, dim * sizeof(float));
    return db_post(stmt, err);
}

static enum frt_status check_put(struct db *db, const char *collection, const char *model, uint32_t dim,
                                 uint64_t *key, struct frt_error *err)
{
    struct frt_store_migration m;
    enum frt_status status = find(db, collection, &m, err);
    if (status == FRT_OK)
        status = check_coming(&m, collection, model, err);
    if (status == FRT_OK && dim != m.coming_dim)
        status = frt_fail(err, FRT_EINVAL, "embeddings of %u dimensions; %u are to come", dim, m.coming_dim);
    *key = m.key;
    return status;
}

enum frt_status frt_store_migration_put(struct frt_store *store, const char *collection, const char *model,
                                        const uint64_t *keys, const float *embeddings, uint32_t dim, size_t n,
                                        struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err)) {
        uint64_t key = 0;
        status = check_put(turn.db, collection, model, dim, &key, err);
        for (size_t i = 0; i < n && status == FRT_OK; i++)
            status = put_one(turn.db, key, keys[i], embeddings + i * dim, dim, err);
    }
    return status;
}

static enum frt_status copy_embedding(struct db_stmt *stmt, int column, uint32_t dim, float *out,
                                      struct frt_error *err)
{
    size_t size = 0;
    const void *bytes = db_blob(stmt, column, &size);
    if (size != dim * sizeof(float))
        return frt_fail(err, FRT_ESTORE_DAMAGED, "an embedding has %zu bytes; %zu are right", size,
                        dim * sizeof(float));
    memcpy(out, bytes, size);
    return FRT_OK;
}

struct pairs_out {
    uint64_t *keys, *subjects;
    float *present, *coming;
    size_t n;
};

static enum frt_status read_pairs(struct db *db, const struct frt_store_migration *row, uint64_t after,
                                  size_t limit, struct pairs_out *out, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    out->n = 0;
    enum frt_status status =
        db_use(db,
               "SELECT f.key, f.subject, f.embedding, c.embedding FROM faces f JOIN coming c ON c.face = f.key "
               "WHERE f.collection = ?1 AND f.key > ?2 ORDER BY f.key LIMIT ?3",
               &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)row->key);
        db_bind_int(stmt, 2, (int64_t)after);
        db_bind_int(stmt, 3, (int64_t)limit);
    }
    for (bool more = true; status == FRT_OK && out->n < limit; out->n++) {
        status = db_step(stmt, &more, err);
        if (status != FRT_OK || !more)
            break;
        out->keys[out->n] = (uint64_t)db_int(stmt, 0);
        out->subjects[out->n] = (uint64_t)db_int(stmt, 1);
        status = copy_embedding(stmt, 2, row->dim, out->present + out->n * row->dim, err);
        if (status == FRT_OK)
            status = copy_embedding(stmt, 3, row->coming_dim, out->coming + out->n * row->coming_dim, err);
    }
    db_done(stmt);
    return status;
}

/* NOLINTBEGIN(readability-non-const-parameter): filled through `out` */
enum frt_status frt_store_migration_pairs(struct frt_store *store, const struct frt_store_migration *row,
                                          uint64_t after, size_t limit, uint64_t *keys, uint64_t *subjects,
                                          float *present, float *coming, size_t *n, struct frt_error *err)
/* NOLINTEND(readability-non-const-parameter) */
{
    struct pairs_out out = {keys, subjects, present, coming, 0};
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_read(&turn, &status, err))
        status = read_pairs(turn.db, row, after, limit, &out, err);
    if (status == FRT_OK)
        *n = out.n;
    return status;
}

/* ---------------------------------------------------------------------- switch */

/* A row like the collection's, under a name that is free: its key. */
static enum frt_status clone_row(struct db *db, uint64_t from, const char *name, const char *model,
                                 uint32_t dim, float threshold, uint64_t seq, uint64_t *key,
                                 struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status =
        db_use(db,
               "INSERT INTO collections(name, model, dim, threshold, target_fpir, metadata, "
               "faces, subjects, seq, forgotten, created_ms) SELECT ?2, ?3, ?4, ?5, target_fpir, "
               "metadata, 0, 0, ?6, ?6, created_ms FROM collections WHERE key = ?1 RETURNING key",
               &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)from);
    db_bind_text(stmt, 2, name);
    db_bind_text(stmt, 3, model);
    db_bind_int(stmt, 4, dim);
    db_bind_number(stmt, 5, (double)threshold);
    db_bind_int(stmt, 6, (int64_t)seq);
    status = db_step(stmt, &row, err);
    if (status == FRT_OK && row) {
        *key = (uint64_t)db_int(stmt, 0);
        status = db_step(stmt, &row, err);
    }
    db_done(stmt);
    if (status == FRT_ECONFLICT)
        return frt_fail(err, FRT_ECONFLICT, "a collection is called '%.128s' already", name);
    return status;
}

/* Count what a collection holds now. */
static enum frt_status recount(struct db *db, uint64_t key, struct frt_error *err)
{
    enum frt_status status = run_ints(
        db,
        "UPDATE subjects SET faces = (SELECT count(*) FROM faces f WHERE f.subject = subjects.key) WHERE "
        "collection = ?1",
        key, 0, 0, 1, err);
    if (status == FRT_OK)
        status = run_ints(db, "DELETE FROM subjects WHERE collection = ?1 AND faces = 0", key, 0, 0, 1, err);
    if (status == FRT_OK)
        status = run_ints(db,
                          "UPDATE collections SET faces = (SELECT count(*) FROM faces WHERE collection = ?1), "
                          "subjects = (SELECT count(*) FROM subjects WHERE collection = ?1) WHERE key = ?1",
                          key, 0, 0, 1, err);
    return status;
}

/* Faces without a coming embedding, with their subjects, to a collection of their own. */
static enum frt_status put_aside(struct db *db, const struct frt_store_migration *m, const char *name,
                                 struct frt_error *err)
{
    uint64_t aside = 0, seq = 0;
    enum frt_status status = store_check_name(name, err);
    if (status == FRT_OK)
        status = store_take_seqs(db, 1, &seq, err);
    if (status == FRT_OK)
        status = clone_row(db, m->key, name, m->model, m->dim, m->threshold, seq, &aside, err);
    if (status == FRT_OK)
        status = run_ints(db,
                          "UPDATE collections SET calibration = (SELECT calibration FROM collections WHERE "
                          "key = ?1) WHERE key = ?2",
                          m->key, aside, 0, 2, err);
    if (status == FRT_OK)
        status =
            run_ints(db,
                     "INSERT INTO subjects(collection, name, created_ms) SELECT ?2, s.name, s.created_ms FROM "
                     "subjects s WHERE s.collection = ?1 AND EXISTS (SELECT 1 FROM faces f WHERE f.subject = "
                     "s.key AND NOT EXISTS (SELECT 1 FROM coming c WHERE c.face = f.key))",
                     m->key, aside, 0, 2, err);
    if (status == FRT_OK)
        status = run_ints(
            db,
            "UPDATE faces SET collection = ?2, subject = (SELECT n.key FROM subjects n JOIN subjects o "
            "ON o.name = n.name WHERE n.collection = ?2 AND o.key = faces.subject) WHERE collection = "
            "?1 AND NOT EXISTS (SELECT 1 FROM coming c WHERE c.face = faces.key)",
            m->key, aside, 0, 2, err);
    if (status == FRT_OK)
        status = recount(db, aside, err);
    return status;
}

/* The coming embeddings take the place of the present ones, under a new key of the collection. */
static enum frt_status exchange(struct db *db, uint64_t from, uint64_t to, struct frt_error *err)
{
    static const char *const steps[] = {
        "DELETE FROM former WHERE face IN (SELECT key FROM faces WHERE collection = ?1) AND ?2 > 0",
        "INSERT INTO former(face, embedding, threshold) SELECT key, embedding, threshold FROM faces WHERE "
        "collection = ?1 AND ?2 > 0",
        "UPDATE faces SET collection = ?2, threshold = (SELECT c.threshold FROM coming c WHERE c.face = "
        "faces.key), "
        "embedding = (SELECT c.embedding FROM coming c WHERE c.face = faces.key) WHERE collection = ?1",
        "DELETE FROM coming WHERE face IN (SELECT key FROM faces WHERE collection = ?2) AND ?1 > 0",
        "UPDATE subjects SET collection = ?2 WHERE collection = ?1",
        "DELETE FROM deletions WHERE collection = ?1 AND ?2 > 0",
        "DELETE FROM migrations WHERE collection = ?1 AND ?2 > 0"};
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == FRT_OK; i++)
        status = run_ints(db, steps[i], from, to, 0, 2, err);
    return status;
}

static enum frt_status name_it(struct db *db, uint64_t from, uint64_t to, const char *name,
                               struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        run_ints(db, "DELETE FROM collections WHERE key = ?1 AND ?2 > 0", from, to, 0, 2, err);
    if (status == FRT_OK)
        status = db_use(db, "UPDATE collections SET name = ?2 WHERE key = ?1", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)to);
    db_bind_text(stmt, 2, name);
    return db_run(stmt, err);
}

static enum frt_status note_former(struct db *db, uint64_t key, const struct frt_store_migration *m,
                                   struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db,
               "INSERT INTO migrations(collection, coming_model, coming_dim, former_model, former_dim, "
               "former_threshold, former_calibration) SELECT ?1, '', 0, ?2, ?3, ?4, calibration FROM "
               "collections WHERE key = ?5",
               &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)key);
    db_bind_text(stmt, 2, m->model);
    db_bind_int(stmt, 3, m->dim);
    db_bind_number(stmt, 4, (double)m->threshold);
    db_bind_int(stmt, 5, (int64_t)m->key);
    return db_run(stmt, err);
}

static enum frt_status switch_it(struct db *db, const char *collection, struct frt_store_switch *how,
                                 struct frt_error *err)
{
    struct frt_store_migration m;
    uint64_t missing = 0, key = 0, seq = 0;
    enum frt_status status = find(db, collection, &m, err);
    if (status == FRT_OK)
        status = check_coming(&m, collection, how->model, err);
    if (status == FRT_OK)
        status = count_of(db, count_missing, m.key, &missing, err);
    if (status == FRT_OK && missing > 0 && how->aside == NULL)
        status =
            frt_fail(err, FRT_ECONFLICT,
                     "%llu faces of collection '%.128s' have no embedding of '%s' yet; nothing was changed",
                     (unsigned long long)missing, collection, how->model);
    if (status == FRT_OK && missing > 0)
        status = put_aside(db, &m, how->aside, err);
    if (status == FRT_OK)
        status = store_take_seqs(db, 1, &seq, err);
    if (status == FRT_OK)
        status = clone_row(db, m.key, NULL, how->model, m.coming_dim, how->threshold, seq, &key, err);
    if (status == FRT_OK &&
        strcmp(m.former_model, how->model) == 0) /* back: what was measured then holds again */
        status = run_ints(db,
                          "UPDATE collections SET calibration = (SELECT former_calibration FROM migrations "
                          "WHERE collection = ?1) WHERE key = ?2",
                          m.key, key, 0, 2, err);
    if (status == FRT_OK)
        status = exchange(db, m.key, key, err);
    if (status == FRT_OK)
        status = recount(db, key, err);
    if (status == FRT_OK)
        status = note_former(db, key, &m, err);
    if (status == FRT_OK)
        status = name_it(db, m.key, key, collection, err);
    if (status == FRT_OK) {
        how->aside_n = missing;
        how->moved = m.faces - missing;
        how->old_key = m.key;
    }
    return status;
}

enum frt_status frt_store_migration_switch(struct frt_store *store, const char *collection,
                                           struct frt_store_switch *how, struct frt_error *err)
{
    struct store_turn turn = {.store = store, .slow = true};
    struct frt_store_switch done = *how;
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err)) {
        done = *how;
        status = switch_it(turn.db, collection, &done, err);
    }
    if (status == FRT_OK)
        *how = done;
    return status;
}

static enum frt_status forget(struct db *db, const char *collection, bool coming, uint64_t *count,
                              struct frt_error *err)
{
    struct frt_store_migration m;
    enum frt_status status = find(db, collection, &m, err);
    if (status == FRT_OK)
        status =
            run_ints(db,
                     coming ? forget_coming
                            : "DELETE FROM former WHERE face IN (SELECT key FROM faces WHERE collection = ?1)",
                     m.key, 0, 0, 1, err);
    if (status == FRT_OK)
        *count = (uint64_t)db_changes(db);
    if (status == FRT_OK)
        status = run_ints(
            db,
            coming ? "UPDATE migrations SET coming_model = '', coming_dim = 0 WHERE collection = ?1"
                   : "UPDATE migrations SET former_model = '', former_dim = 0, former_threshold = NULL, "
                     "former_calibration = '' WHERE collection = ?1",
            m.key, 0, 0, 1, err);
    return status;
}

enum frt_status frt_store_migration_forget(struct frt_store *store, const char *collection, bool coming,
                                           uint64_t *n, struct frt_error *err)
{
    struct store_turn turn = {.store = store, .slow = true};
    uint64_t count = 0;
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err))
        status = forget(turn.db, collection, coming, &count, err);
    if (status == FRT_OK && n != NULL)
        *n = count;
    return status;
}
