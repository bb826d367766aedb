#include "store/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

struct sqlite_stmt {
    struct db_stmt base;
    sqlite3_stmt *stmt;
    int bind_error; /* the first one; SQLITE_OK = none */
};

struct sqlite_db {
    struct db base;
    sqlite3 *handle;
    const char *path;
    struct sqlite_stmt statements[DB_MAX_STATEMENTS];
    size_t n_statements;
};

static struct sqlite_db *own(struct db *db)
{
    return (struct sqlite_db *)db;
}

static struct sqlite_stmt *own_stmt(struct db_stmt *stmt)
{
    return (struct sqlite_stmt *)stmt;
}

/* ------------------------------------------------------------------ errors */

static enum frt_status failed(const struct sqlite_db *db, int code, struct frt_error *err)
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

static void close_db(struct db *base)
{
    struct sqlite_db *db = own(base);
    for (size_t i = 0; i < db->n_statements; i++)
        (void)sqlite3_finalize(db->statements[i].stmt);
    (void)sqlite3_close(db->handle);
    frt_free(db);
}

static enum frt_status exec(struct db *base, const char *sql, struct frt_error *err)
{
    struct sqlite_db *db = own(base);
    const int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? FRT_OK : failed(db, code, err);
}

static int64_t changes(struct db *db)
{
    return sqlite3_changes64(own(db)->handle);
}

static enum frt_status begin(struct db *db, struct frt_error *err)
{
    return exec(db, "BEGIN IMMEDIATE", err);
}

static enum frt_status commit(struct db *db, struct frt_error *err)
{
    return exec(db, "COMMIT", err);
}

/* SQLite ends a transaction by itself when the disk is full. */
static void rollback(struct db *db)
{
    struct frt_error ignored;
    if (sqlite3_get_autocommit(own(db)->handle) == 0) {
        enum frt_status rolled_back = exec(db, "ROLLBACK", &ignored);
        (void)rolled_back; /* the first failure is the one to tell */
    }
}

static enum db_fault fault(const struct db *db)
{
    (void)db;
    return DB_SOUND;
}

/* --------------------------------------------------------------- statement */

static enum frt_status use(struct db *base, const char *sql, struct db_stmt **out, struct frt_error *err)
{
    struct sqlite_db *db = own(base);
    for (size_t i = 0; i < db->n_statements; i++) {
        if (db->statements[i].base.sql == sql) {
            *out = &db->statements[i].base;
            return FRT_OK;
        }
    }
    if (db->n_statements == DB_MAX_STATEMENTS)
        return frt_fail(err, FRT_EINTERNAL, "more than %d different statements", DB_MAX_STATEMENTS);
    struct sqlite_stmt *s = &db->statements[db->n_statements];
    *s = (struct sqlite_stmt){.base = {.db = base, .sql = sql}};
    const int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
    if (code != SQLITE_OK)
        return failed(db, code, err);
    db->n_statements++;
    *out = &s->base;
    return FRT_OK;
}

static void bind_value(struct db_stmt *base, int i, const struct db_value *value)
{
    struct sqlite_stmt *stmt = own_stmt(base);
    int code = SQLITE_MISUSE;
    switch (value->type) {
    case DB_INT:
        code = sqlite3_bind_int64(stmt->stmt, i, value->as.whole);
        break;
    case DB_NUMBER:
        code = isnan(value->as.number) ? sqlite3_bind_null(stmt->stmt, i)
                                       : sqlite3_bind_double(stmt->stmt, i, value->as.number);
        break;
    case DB_TEXT:
        code = sqlite3_bind_text64(stmt->stmt, i, value->as.bytes, value->n, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case DB_BLOB:
        code = sqlite3_bind_blob64(stmt->stmt, i, value->as.bytes, value->n, SQLITE_STATIC);
        break;
    case DB_INTS:
    case DB_NUMBERS:
    case DB_TEXTS:
    case DB_BLOBS:
    default:
        break; /* it has no arrays */
    }
    if (code != SQLITE_OK && stmt->bind_error == SQLITE_OK)
        stmt->bind_error = code;
}

static enum frt_status step(struct db_stmt *base, bool *row, struct frt_error *err)
{
    struct sqlite_stmt *stmt = own_stmt(base);
    const int code = stmt->bind_error != SQLITE_OK ? stmt->bind_error : sqlite3_step(stmt->stmt);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return failed(own(base->db), code, err);
    *row = code == SQLITE_ROW;
    return FRT_OK;
}

static void done(struct db_stmt *base)
{
    struct sqlite_stmt *stmt = own_stmt(base);
    (void)sqlite3_reset(stmt->stmt);
    (void)sqlite3_clear_bindings(stmt->stmt);
    stmt->bind_error = SQLITE_OK;
}

static int64_t whole(struct db_stmt *stmt, int column)
{
    return sqlite3_column_int64(own_stmt(stmt)->stmt, column);
}

static bool is_null(struct db_stmt *stmt, int column)
{
    return sqlite3_column_type(own_stmt(stmt)->stmt, column) == SQLITE_NULL;
}

static double number(struct db_stmt *stmt, int column)
{
    return is_null(stmt, column) ? (double)NAN : sqlite3_column_double(own_stmt(stmt)->stmt, column);
}

static const void *bytes_at(struct db_stmt *base, int column, bool text, size_t *size)
{
    sqlite3_stmt *stmt = own_stmt(base)->stmt;
    const void *bytes =
        text ? (const void *)sqlite3_column_text(stmt, column) : sqlite3_column_blob(stmt, column);
    *size = bytes == NULL ? 0 : (size_t)sqlite3_column_bytes(stmt, column);
    return bytes;
}

static const struct db_driver sqlite_driver = {.close = close_db,
                                               .exec = exec,
                                               .use = use,
                                               .bind = bind_value,
                                               .step = step,
                                               .done = done,
                                               .whole = whole,
                                               .number = number,
                                               .bytes = bytes_at,
                                               .is_null = is_null,
                                               .changes = changes,
                                               .begin = begin,
                                               .commit = commit,
                                               .rollback = rollback,
                                               .fault = fault};

enum frt_status sqlite_db_open(const char *path, enum sqlite_mode mode, uint32_t busy_ms, struct db **out,
                               struct frt_error *err)
{
    static const int flags[] = {[SQLITE_DB_READ] = SQLITE_OPEN_READONLY,
                                [SQLITE_DB_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE};
    struct sqlite_db *db = frt_alloc_zero(1, sizeof *db);
    enum frt_status status = FRT_OK;
    if (db == NULL)
        return frt_fail_nomem(err, "a database connection");
    db->base.driver = &sqlite_driver;
    db->path = path;
    if (mode == SQLITE_DB_CREATE) { /* embeddings are personal data: nobody else reads the file, whatever the
                                       umask */
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
        close_db(&db->base);
        return status;
    }
    *out = &db->base;
    return FRT_OK;
}
