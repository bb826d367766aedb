#include "store/store_copy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "store/store_address.h"
#include "store/store_internal.h"

enum { PAGE_ROWS = 500, MOST_COLUMNS = 14, COPY_MS = 24 * 3600 * 1000, TELL_EVERY = 200 };

/* A table: its columns' kinds (i whole number, n number, t text, b blob), how to read a page of it in order and
 * how to insert a row. Tables with a number for a key are read in pages behind it (?1, ?2 rows); others are
 * small. */
struct table {
    const char *name, *kinds;
    bool paged;
    const char *count, *read, *insert;
};

#define FACE_COLUMNS                                                                                           \
    "key, collection, subject, face_id, embedding, metadata, x, y, width, height, confidence, quality, "       \
    "threshold, created_ms"
#define COLLECTION_COLUMNS                                                                                     \
    "key, name, model, dim, threshold, target_fpir, metadata, faces, subjects, seq, forgotten, created_ms, "   \
    "calibration"

/* In an order in which what is referred to comes first. */
static const struct table tables[FRT_STORE_COPY_TABLES] = {
    {"collections", "ittinntiiiiit", true, "SELECT count(*) FROM collections",
     "SELECT " COLLECTION_COLUMNS " FROM collections WHERE key > ?1 ORDER BY key LIMIT ?2",
     "INSERT INTO collections(" COLLECTION_COLUMNS
     ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"},
    {"subjects", "iitii", true, "SELECT count(*) FROM subjects",
     "SELECT key, collection, name, faces, created_ms FROM subjects WHERE key > ?1 ORDER BY key LIMIT ?2",
     "INSERT INTO subjects(key, collection, name, faces, created_ms) VALUES(?1, ?2, ?3, ?4, ?5)"},
    {"faces", "iiitbtnnnnnnni", true, "SELECT count(*) FROM faces",
     "SELECT " FACE_COLUMNS " FROM faces WHERE key > ?1 ORDER BY key LIMIT ?2",
     "INSERT INTO faces(" FACE_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"},
    {"crops", "iib", true, "SELECT count(*) FROM crops",
     "SELECT face, sealed, bytes FROM crops WHERE face > ?1 ORDER BY face LIMIT ?2",
     "INSERT INTO crops(face, sealed, bytes) VALUES(?1, ?2, ?3)"},
    {"coming", "ibn", true, "SELECT count(*) FROM coming",
     "SELECT face, embedding, threshold FROM coming WHERE face > ?1 ORDER BY face LIMIT ?2",
     "INSERT INTO coming(face, embedding, threshold) VALUES(?1, ?2, ?3)"},
    {"former", "ibn", true, "SELECT count(*) FROM former",
     "SELECT face, embedding, threshold FROM former WHERE face > ?1 ORDER BY face LIMIT ?2",
     "INSERT INTO former(face, embedding, threshold) VALUES(?1, ?2, ?3)"},
    {"migrations", "ititint", true, "SELECT count(*) FROM migrations",
     "SELECT collection, coming_model, coming_dim, former_model, former_dim, former_threshold, "
     "former_calibration FROM migrations WHERE collection > ?1 ORDER BY collection LIMIT ?2",
     "INSERT INTO migrations(collection, coming_model, coming_dim, former_model, former_dim, former_threshold, "
     "former_calibration) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
    {"deletions", "iii", false, "SELECT count(*) FROM deletions",
     "SELECT collection, seq, face FROM deletions WHERE ?1 = 0 AND ?2 > 0 ORDER BY collection, seq",
     "INSERT INTO deletions(collection, seq, face) VALUES(?1, ?2, ?3)"},
    {"users", "ttiii", false, "SELECT count(*) FROM users",
     "SELECT email, password_hash, role, version, created_ms FROM users WHERE ?1 = 0 AND ?2 > 0 ORDER BY email",
     "INSERT INTO users(email, password_hash, role, version, created_ms) VALUES(?1, ?2, ?3, ?4, ?5)"},
    {"keys", "ttbiii", false, "SELECT count(*) FROM keys",
     "SELECT id, name, hash, role, created_ms, expires_ms FROM keys WHERE ?1 = 0 AND ?2 > 0 ORDER BY id",
     "INSERT INTO keys(id, name, hash, role, created_ms, expires_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"},
    {"secrets", "tb", false, "SELECT count(*) FROM secrets",
     "SELECT name, value FROM secrets WHERE ?1 = 0 AND ?2 > 0 ORDER BY name",
     "INSERT INTO secrets(name, value) VALUES(?1, ?2)"},
    {"meta", "tb", false, "SELECT count(*) FROM meta",
     "SELECT name, value FROM meta WHERE ?1 = 0 AND ?2 > 0 ORDER BY name",
     "INSERT INTO meta(name, value) VALUES(?1, ?2)"}};

/* Counters of keys that were given out, be they used or not. */
static const struct {
    const char *table, *read_sqlite, *read_postgres, *write_sqlite, *write_postgres;
} sequences[] = {{"collections", "SELECT seq FROM sqlite_sequence WHERE name = 'collections'",
                  "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM collections_key_seq",
                  "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'collections' AND seq < ?1",
                  "SELECT setval('frt.collections_key_seq', ?1)"},
                 {"subjects", "SELECT seq FROM sqlite_sequence WHERE name = 'subjects'",
                  "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM subjects_key_seq",
                  "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'subjects' AND seq < ?1",
                  "SELECT setval('frt.subjects_key_seq', ?1)"}};

struct copying {
    struct frt_store_copy *copy;
    struct db *from, *to;
    uint64_t done, total;
};

static enum frt_status one_number(struct db *db, const char *sql, uint64_t *out, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK)
        *out = row ? (uint64_t)db_int(stmt, 0) : 0;
    db_done(stmt);
    return status;
}

static enum frt_status tell(struct copying *c, struct frt_error *err)
{
    const struct frt_store_copy *copy = c->copy;
    if (++c->done % TELL_EVERY == 0 && copy->progress != NULL && !copy->progress(copy->arg, c->done, c->total))
        return frt_fail(err, FRT_ECANCELLED, "interrupted; nothing was copied");
    return FRT_OK;
}

static void bind_column(struct db_stmt *to, struct db_stmt *from, int i, char kind)
{
    size_t size = 0;
    if (kind == 'i')
        db_bind_int(to, i + 1, db_int(from, i));
    else if (kind == 'n')
        db_bind_number(to, i + 1, db_number(from, i)); /* NULL is a NaN, and the other way about */
    else if (kind == 't')
        db_bind_text(to, i + 1, db_is_null(from, i) ? NULL : db_text(from, i, &size));
    else {
        const void *bytes = db_blob(from, i, &size);
        db_bind_blob(to, i + 1, bytes, size);
    }
}

static bool same_column(struct db_stmt *a, struct db_stmt *b, int i, char kind)
{
    size_t n = 0, m = 0;
    if (db_is_null(a, i) || db_is_null(b, i))
        return db_is_null(a, i) && db_is_null(b, i);
    if (kind == 'i')
        return db_int(a, i) == db_int(b, i);
    if (kind == 'n') {
        const double x = db_number(a, i), y = db_number(b, i);
        uint64_t p, q;
        memcpy(&p, &x, sizeof p);
        memcpy(&q, &y, sizeof q);
        return p == q; /* bit for bit */
    }
    const void *p = kind == 't' ? (const void *)db_text(a, i, &n) : db_blob(a, i, &n);
    const void *q = kind == 't' ? (const void *)db_text(b, i, &m) : db_blob(b, i, &m);
    return n == m && (n == 0 || memcmp(p, q, n) == 0);
}

static enum frt_status read_page(struct db *db, const struct table *t, uint64_t after, struct db_stmt **stmt,
                                 struct frt_error *err)
{
    enum frt_status status = db_use(db, t->read, stmt, err);
    if (status == FRT_OK) {
        db_bind_int(*stmt, 1, (int64_t)after);
        db_bind_int(*stmt, 2, PAGE_ROWS);
    }
    return status;
}

static enum frt_status insert_row(struct copying *c, const struct table *t, struct db_stmt *from,
                                  struct frt_error *err)
{
    struct db_stmt *to = NULL;
    enum frt_status status = db_use(c->to, t->insert, &to, err);
    for (int i = 0; status == FRT_OK && t->kinds[i] != '\0'; i++)
        bind_column(to, from, i, t->kinds[i]);
    return status == FRT_OK ? db_post(to, err) : status;
}

static enum frt_status copy_table(struct copying *c, const struct table *t, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    uint64_t after = 0;
    for (bool more = true; more && status == FRT_OK;) {
        struct db_stmt *stmt = NULL;
        size_t n = 0;
        status = read_page(c->from, t, after, &stmt, err);
        for (bool row = true; status == FRT_OK;) {
            status = db_step(stmt, &row, err);
            if (status != FRT_OK || !row)
                break;
            after = t->paged ? (uint64_t)db_int(stmt, 0) : 0;
            status = insert_row(c, t, stmt, err);
            if (status == FRT_OK)
                status = tell(c, err);
            n++;
        }
        db_done(stmt);
        more = t->paged && n == PAGE_ROWS;
    }
    return status;
}

static enum frt_status compare_page(struct copying *c, const struct table *t, uint64_t *after, size_t *n,
                                    struct frt_error *err)
{
    struct db_stmt *from = NULL, *to = NULL;
    enum frt_status status = read_page(c->from, t, *after, &from, err);
    if (status == FRT_OK)
        status = read_page(c->to, t, *after, &to, err);
    *n = 0;
    while (status == FRT_OK) {
        bool here = false, there = false;
        status = db_step(from, &here, err);
        if (status == FRT_OK)
            status = db_step(to, &there, err);
        if (status != FRT_OK || (!here && !there))
            break;
        bool same = here && there;
        for (int i = 0; same && t->kinds[i] != '\0'; i++)
            same = same_column(from, to, i, t->kinds[i]);
        if (!same) {
            status =
                frt_fail(err, FRT_ESTORE_DAMAGED,
                         "row %zu of a page of the table %s came out otherwise than it went in; nothing was "
                         "copied",
                         *n + 1, t->name);
            break;
        }
        *after = t->paged ? (uint64_t)db_int(from, 0) : 0;
        (*n)++;
        status = tell(c, err);
    }
    db_done(from);
    db_done(to);
    return status;
}

static enum frt_status compare_table(struct copying *c, size_t which, struct frt_error *err)
{
    const struct table *t = &tables[which];
    enum frt_status status = FRT_OK;
    uint64_t after = 0, rows = 0, counted = 0;
    for (size_t n = PAGE_ROWS; status == FRT_OK && n == PAGE_ROWS;) {
        status = compare_page(c, t, &after, &n, err);
        rows += n;
        if (!t->paged)
            break;
    }
    if (status == FRT_OK)
        status = one_number(c->to, t->count, &counted, err);
    if (status == FRT_OK && counted != rows)
        status = frt_fail(err, FRT_ESTORE_DAMAGED, "the table %s has %llu rows, not %llu; nothing was copied",
                          t->name, (unsigned long long)counted, (unsigned long long)rows);
    c->copy->tables[which] = (struct frt_store_copy_table){t->name, rows};
    c->copy->rows += rows;
    return status;
}

/* ------------------------------------------------------------------- numbers */

static enum frt_status run_number(struct db *db, const char *sqlite, const char *postgres, uint64_t value,
                                  struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use_either(db, sqlite, postgres, &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)value);
    return db_run(stmt, err);
}

static enum frt_status copy_numbers(struct copying *c, struct frt_error *err)
{
    static const char set_seq[] = "UPDATE counters SET value = ?1 WHERE name = 'seq'";
    enum frt_status status =
        one_number(c->from, "SELECT value FROM counters WHERE name = 'seq'", &c->copy->last_seq, err);
    if (status == FRT_OK)
        status = run_number(c->to, set_seq, set_seq, c->copy->last_seq, err);
    db_owner(c->to)->changed = c->copy->last_seq;
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences && status == FRT_OK; i++) {
        uint64_t given = 0;
        status =
            one_number(c->from, db_is_postgres(c->from) ? sequences[i].read_postgres : sequences[i].read_sqlite,
                       &given, err);
        if (status == FRT_OK && given > 0 && !db_is_postgres(c->to)) {
            /* the row is there once a key was given out here */
            char make[160];
            (void)snprintf(
                make, sizeof make,
                "INSERT INTO sqlite_sequence(name, seq) SELECT '%s', 0 WHERE NOT EXISTS (SELECT 1 FROM "
                "sqlite_sequence WHERE name = '%s')",
                sequences[i].table, sequences[i].table);
            status = db_exec(c->to, make, err);
        }
        if (status == FRT_OK && given > 0)
            status = run_number(c->to, sequences[i].write_sqlite, sequences[i].write_postgres, given, err);
    }
    return status;
}

/* A new store has an id of its own and nothing else. */
static enum frt_status must_be_empty(struct copying *c, struct frt_error *err)
{
    uint64_t seq = 0;
    enum frt_status status = one_number(c->to, "SELECT value FROM counters WHERE name = 'seq'", &seq, err);
    for (size_t i = 0; i < FRT_STORE_COPY_TABLES && status == FRT_OK; i++) {
        uint64_t n = 0;
        const bool meta = strcmp(tables[i].name, "meta") == 0;
        status = one_number(c->to, tables[i].count, &n, err);
        if (status == FRT_OK && (n > (meta ? 1 : 0) || seq > 0))
            status = frt_fail(err, FRT_ECONFLICT,
                              "the store to copy to is not empty (%s); a new one is needed: nothing was copied",
                              n > 0 && !meta ? tables[i].name : "it has been used");
    }
    return status == FRT_OK ? db_exec(c->to, "DELETE FROM meta", err) : status;
}

static enum frt_status copy_all(struct copying *c, struct frt_error *err)
{
    enum frt_status status = must_be_empty(c, err);
    c->done = c->total = c->copy->rows = 0;
    for (size_t i = 0; i < FRT_STORE_COPY_TABLES && status == FRT_OK; i++) {
        uint64_t n = 0;
        status = one_number(c->from, tables[i].count, &n, err);
        c->total += 2 * n; /* copied, and compared */
    }
    for (size_t i = 0; i < FRT_STORE_COPY_TABLES && status == FRT_OK; i++)
        status = copy_table(c, &tables[i], err);
    if (status == FRT_OK)
        status = copy_numbers(c, err);
    for (size_t i = 0; i < FRT_STORE_COPY_TABLES && status == FRT_OK; i++)
        status = compare_table(c, i, err);
    return status;
}

/* -------------------------------------------------------------------- stores */

static enum frt_status copy_between(struct frt_store *from, struct frt_store *to, struct copying *c,
                                    struct frt_error *err)
{
    const int64_t end = store_monotonic_ms() + COPY_MS;
    struct store_turn reading = {.store = from, .slow = true, .end_ms = end};
    enum frt_status status = FRT_OK;
    while (store_read(&reading, &status, err)) {
        struct frt_error ignored;
        struct store_turn writing = {.store = to, .slow = true, .end_ms = end};
        c->from = reading.db;
        /* one moment's state, whatever others write meanwhile */
        status =
            db_exec(c->from,
                    db_is_postgres(c->from) ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN", err);
        while (store_write(&writing, &status, err)) {
            c->to = writing.db;
            status = copy_all(c, err);
        }
        enum frt_status ended = db_exec(c->from, "ROLLBACK", &ignored);
        (void)ended; /* nothing was changed on this side */
    }
    return status;
}

static enum frt_status open_side(const char *path, bool read_only, const char *side, struct frt_store **out,
                                 struct frt_error *err)
{
    const struct frt_store_options options = {.path = path, .read_only = read_only, .readers = 2};
    enum frt_status status = frt_store_open(&options, out, err);
    return status == FRT_OK ? FRT_OK : frt_fail_within(err, status, "%s", side);
}

enum frt_status frt_store_copy_all(struct frt_store_copy *copy, struct frt_error *err)
{
    struct frt_store *from = NULL, *to = NULL;
    struct copying c = {.copy = copy};
    uint8_t here[16], there[16];
    uint64_t seq = 0;
    enum frt_status status = open_side(copy->from, true, "from", &from, err);
    if (status == FRT_OK)
        status = open_side(copy->to, false, "to", &to, err);
    if (status == FRT_OK) {
        frt_store_id(from, here);
        frt_store_id(to, there);
        if (memcmp(here, there, sizeof here) == 0)
            status = frt_fail(err, FRT_ECONFLICT,
                              "both are the same store, or one is a copy of the other: nothing was copied");
    }
    if (status == FRT_OK)
        status = copy_between(from, to, &c, err);
    if (status == FRT_OK)
        status = frt_store_last_seq(from, &seq, err);
    if (status == FRT_OK && seq != copy->last_seq)
        status = frt_fail(
            err, FRT_ECONFLICT,
            "the copy is complete up to change %llu, but there have been others since: stop what writes "
            "to the old store, and copy again to an empty one",
            (unsigned long long)copy->last_seq);
    frt_store_close(from);
    frt_store_close(to);
    return status;
}
