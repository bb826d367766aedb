#include "store/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

struct db_stmt {
    sqlite3_stmt *stmt;
    const char *sql;
    struct db *db;
    int bind_error; /* the first one; SQLITE_OK = none */
};

struct db {
    sqlite3 *handle;
    const char *path;
    struct db_stmt statements[DB_MAX_STATEMENTS];
    size_t n_statements;
    struct db_owner owner;
};

struct db_owner *db_owner(struct db *db)
{
    return &db->owner;
}

/* ------------------------------------------------------------------ errors */

static enum frt_status failed(const struct db *db, int code, struct frt_error *err)
{
    const char *path = db->path;
    switch (code & 0xff) {
    case SQLITE_FULL:
        return frt_fail(err, FRT_ESTORAGE_FULL, "%s: the disk is full; nothing was changed", path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return frt_fail(err, FRT_ESTORE_DAMAGED,
                        "%s: the database is damaged (%s); restore a backup, or try "
                        "sqlite3's .recover",
                        path, sqlite3_errstr(code));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return frt_fail(err, FRT_EOVERLOADED, "%s: another program holds the database; try again", path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: the database or its folder is read-only", path);
    case SQLITE_CANTOPEN:
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: the database cannot be opened (%s)", path,
                        db->handle != NULL && sqlite3_system_errno(db->handle) != 0
                            ? strerror(sqlite3_system_errno(db->handle))
                            : "is the folder there and writable?");
    case SQLITE_NOMEM:
        return frt_fail_nomem(err, "the database");
    case SQLITE_CONSTRAINT:
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
            return frt_fail(err, FRT_ECONFLICT, "stands already");
        return frt_fail(err, FRT_EINTERNAL, "%s: a rule of the database was broken: %s", path,
                        sqlite3_errmsg(db->handle));
    case SQLITE_IOERR:
        if (db->handle != NULL && sqlite3_system_errno(db->handle) == ENOSPC)
            return frt_fail(err, FRT_ESTORAGE_FULL, "%s: the disk is full; nothing was changed", path);
        return frt_fail(err, FRT_EIO, "%s: reading or writing failed: %s", path,
                        db->handle != NULL && sqlite3_system_errno(db->handle) != 0
                            ? strerror(sqlite3_system_errno(db->handle))
                            : sqlite3_errstr(code));
    default:
        return frt_fail(err, FRT_EIO, "%s: %s", path,
                        db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
    }
}

/* -------------------------------------------------------------- connection */

enum frt_status db_open(const char *path, enum db_mode mode, uint32_t busy_ms, struct db **out,
                        struct frt_error *err)
{
    static const int flags[] = {[DB_READ] = SQLITE_OPEN_READONLY,
                                [DB_WRITE] = SQLITE_OPEN_READWRITE,
                                [DB_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE};
    struct db *db = frt_alloc_zero(1, sizeof *db);
    enum frt_status status = FRT_OK;
    if (db == NULL)
        return frt_fail_nomem(err, "a database connection");
    db->path = path;
    if (mode == DB_CREATE) { /* embeddings are personal data: nobody else reads the file, whatever the umask */
        /* A file that stands is not opened here: closing it would drop the locks that this process's other
         * connections hold on it (POSIX), and the next process to leave would delete their write-ahead log. */
        const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        const bool stands = fd < 0 && errno == EEXIST;
        if ((fd < 0 && !stands) || (stands && access(path, R_OK | W_OK) != 0 && errno != ENOENT)) {
            status = frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EUNAVAILABLE, "%s: %s", path,
                              strerror(errno));
            goto done;
        }
        if (fd >= 0)
            (void)close(fd);
    }
    int code =
        sqlite3_open_v2(path, &db->handle, flags[mode] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(db->handle, (int)busy_ms);
    if (code == SQLITE_OK) /* a made-up file cannot make functions run from its schema */
        code = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (code != SQLITE_OK)
        status = failed(db, code, err);
done:
    if (status != FRT_OK) {
        db_close(db);
        return status;
    }
    *out = db;
    return FRT_OK;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    for (size_t i = 0; i < db->n_statements; i++)
        (void)sqlite3_finalize(db->statements[i].stmt);
    (void)sqlite3_close(db->handle);
    frt_free(db);
}

enum frt_status db_exec(struct db *db, const char *sql, struct frt_error *err)
{
    const int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? FRT_OK : failed(db, code, err);
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->handle);
}

bool db_in_transaction(struct db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
}

/* --------------------------------------------------------------- statement */

enum frt_status db_use(struct db *db, const char *sql, struct db_stmt **out, struct frt_error *err)
{
    for (size_t i = 0; i < db->n_statements; i++) {
        if (db->statements[i].sql == sql) {
            *out = &db->statements[i];
            return FRT_OK;
        }
    }
    if (db->n_statements == DB_MAX_STATEMENTS)
        return frt_fail(err, FRT_EINTERNAL, "more than %d different statements", DB_MAX_STATEMENTS);
    struct db_stmt *s = &db->statements[db->n_statements];
    *s = (struct db_stmt){.sql = sql, .db = db};
    const int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
    if (code != SQLITE_OK)
        return failed(db, code, err);
    db->n_statements++;
    *out = s;
    return FRT_OK;
}

static void bound(struct db_stmt *stmt, int code)
{
    if (code != SQLITE_OK && stmt->bind_error == SQLITE_OK)
        stmt->bind_error = code;
}

void db_bind_int(struct db_stmt *stmt, int i, int64_t value)
{
    bound(stmt, sqlite3_bind_int64(stmt->stmt, i, value));
}

void db_bind_number(struct db_stmt *stmt, int i, double value)
{
    bound(stmt, isnan(value) ? sqlite3_bind_null(stmt->stmt, i) : sqlite3_bind_double(stmt->stmt, i, value));
}

void db_bind_text(struct db_stmt *stmt, int i, const char *text)
{
    bound(stmt, sqlite3_bind_text(stmt->stmt, i, text, -1, SQLITE_STATIC));
}

void db_bind_blob(struct db_stmt *stmt, int i, const void *bytes, size_t size)
{
    bound(stmt, sqlite3_bind_blob64(stmt->stmt, i, bytes, size, SQLITE_STATIC));
}

enum frt_status db_step(struct db_stmt *stmt, bool *row, struct frt_error *err)
{
    const int code = stmt->bind_error != SQLITE_OK ? stmt->bind_error : sqlite3_step(stmt->stmt);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return failed(stmt->db, code, err);
    *row = code == SQLITE_ROW;
    return FRT_OK;
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

void db_done(struct db_stmt *stmt)
{
    if (stmt == NULL)
        return;
    (void)sqlite3_reset(stmt->stmt);
    (void)sqlite3_clear_bindings(stmt->stmt);
    stmt->bind_error = SQLITE_OK;
}

int64_t db_int(struct db_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt->stmt, column);
}

double db_number(struct db_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt->stmt, column) == SQLITE_NULL ? (double)NAN
                                                                  : sqlite3_column_double(stmt->stmt, column);
}

const char *db_text(struct db_stmt *stmt, int column, size_t *size)
{
    const char *text = (const char *)sqlite3_column_text(stmt->stmt, column);
    *size = text == NULL ? 0 : (size_t)sqlite3_column_bytes(stmt->stmt, column);
    return text == NULL ? "" : text;
}

const void *db_blob(struct db_stmt *stmt, int column, size_t *size)
{
    const void *bytes = sqlite3_column_blob(stmt->stmt, column);
    *size = bytes == NULL ? 0 : (size_t)sqlite3_column_bytes(stmt->stmt, column);
    return bytes;
}
