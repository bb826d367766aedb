#include "store/db.h"

#include <string.h>

void db_close(struct db *db)
{
    if (db != NULL)
        db->driver->close(db);
}

bool db_is_postgres(const struct db *db)
{
    return db->driver->postgres;
}

enum frt_status db_exec(struct db *db, const char *sql, struct frt_error *err)
{
    return db->driver->exec(db, sql, err);
}

enum frt_status db_use(struct db *db, const char *sql, struct db_stmt **out, struct frt_error *err)
{
    return db->driver->use(db, sql, out, err);
}

enum frt_status db_use_either(struct db *db, const char *sqlite, const char *postgres, struct db_stmt **out,
                              struct frt_error *err)
{
    return db->driver->use(db, db->driver->postgres ? postgres : sqlite, out, err);
}

static void bind(struct db_stmt *stmt, int i, const struct db_value *value)
{
    stmt->db->driver->bind(stmt, i, value);
}

void db_bind_int(struct db_stmt *stmt, int i, int64_t value)
{
    bind(stmt, i, &(struct db_value){.type = DB_INT, .as.whole = value});
}

void db_bind_number(struct db_stmt *stmt, int i, double value)
{
    bind(stmt, i, &(struct db_value){.type = DB_NUMBER, .as.number = value});
}

void db_bind_text(struct db_stmt *stmt, int i, const char *text)
{
    bind(stmt, i, &(struct db_value){.type = DB_TEXT, .n = text == NULL ? 0 : strlen(text), .as.bytes = text});
}

void db_bind_blob(struct db_stmt *stmt, int i, const void *bytes, size_t size)
{
    bind(stmt, i, &(struct db_value){.type = DB_BLOB, .n = size, .as.bytes = bytes});
}

void db_bind_ints(struct db_stmt *stmt, int i, const uint64_t *values, size_t n)
{
    bind(stmt, i, &(struct db_value){.type = DB_INTS, .n = n, .as.ints = values});
}

void db_bind_numbers(struct db_stmt *stmt, int i, const double *values, size_t n)
{
    bind(stmt, i, &(struct db_value){.type = DB_NUMBERS, .n = n, .as.numbers = values});
}

void db_bind_texts(struct db_stmt *stmt, int i, const char *const *texts, size_t n)
{
    bind(stmt, i, &(struct db_value){.type = DB_TEXTS, .n = n, .as.texts = texts});
}

void db_bind_blobs(struct db_stmt *stmt, int i, const void *const *bytes, const size_t *sizes, size_t n)
{
    bind(stmt, i, &(struct db_value){.type = DB_BLOBS, .n = n, .as.blobs = bytes, .sizes = sizes});
}

enum frt_status db_start(struct db_stmt *stmt, struct frt_error *err)
{
    return stmt->db->driver->start != NULL ? stmt->db->driver->start(stmt, err) : FRT_OK;
}

enum frt_status db_step(struct db_stmt *stmt, bool *row, struct frt_error *err)
{
    return stmt->db->driver->step(stmt, row, err);
}

enum frt_status db_run(struct db_stmt *stmt, struct frt_error *err)
{
    bool row = true;
    enum frt_status status = FRT_OK;
    while (status == FRT_OK && row)
        status = db_step(stmt, &row, err);
    db_done(stmt);
    return status;
}

enum frt_status db_post(struct db_stmt *stmt, struct frt_error *err)
{
    return stmt->db->driver->post != NULL ? stmt->db->driver->post(stmt, err) : db_run(stmt, err);
}

void db_done(struct db_stmt *stmt)
{
    if (stmt != NULL)
        stmt->db->driver->done(stmt);
}

int64_t db_int(struct db_stmt *stmt, int column)
{
    return stmt->db->driver->whole(stmt, column);
}

double db_number(struct db_stmt *stmt, int column)
{
    return stmt->db->driver->number(stmt, column);
}

const char *db_text(struct db_stmt *stmt, int column, size_t *size)
{
    const char *text = stmt->db->driver->bytes(stmt, column, true, size);
    return text == NULL ? "" : text;
}

const void *db_blob(struct db_stmt *stmt, int column, size_t *size)
{
    return stmt->db->driver->bytes(stmt, column, false, size);
}

bool db_is_null(struct db_stmt *stmt, int column)
{
    return stmt->db->driver->is_null(stmt, column);
}

struct db_owner *db_owner(struct db *db)
{
    return &db->owner;
}

int64_t db_changes(struct db *db)
{
    return db->driver->changes(db);
}

enum frt_status db_begin(struct db *db, struct frt_error *err)
{
    db->owner.changed = db->owner.collection = 0;
    return db->driver->begin(db, err);
}

enum frt_status db_commit(struct db *db, struct frt_error *err)
{
    return db->driver->commit(db, err);
}

void db_rollback(struct db *db)
{
    db->driver->rollback(db);
}

enum db_fault db_fault(const struct db *db)
{
    return db->driver->fault(db);
}
