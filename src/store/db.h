/*
 * A connection to a database, its prepared statements, and errors as statuses; whatever the database.
 *
 *     store_*.c (tables, by concept) ── db.h ─┬─ sqlite_db.c      one file
 *                                             └─ postgres_db.c    a server, through libpq
 *
 * A statement is asked for by its SQL, which must be a constant: it is prepared once a connection and found
 * again by the address of the text. Use it, then give it back with db_done; at most DB_MAX_STATEMENTS different
 * ones. SQL is written so that both databases take it (parameters ?1, ?2, …; numbers are 64 bits wide; a NaN is
 * NULL); where that is not possible there are two texts: db_use_either.
 *
 * Threading: a connection has one owner at a time.
 */
#ifndef FRT_STORE_DB_H
#define FRT_STORE_DB_H

#include "core/status.h"

enum { DB_MAX_STATEMENTS = 128 };

struct db;      /* a connection */
struct db_stmt; /* a statement in use */

/** What became of a connection whose call failed. */
enum db_fault {
    DB_SOUND = 0, /* nothing: the call failed by itself */
    DB_COLLIDED,  /* with another transaction: everything was undone, and may go better another time */
    DB_LOST,      /* the connection; nothing that was not committed has been changed */
    DB_UNSURE     /* the connection, while a commit was under way: whether it was made must be looked up */
};

/** NULL is fine. */
void db_close(struct db *db);
bool db_is_postgres(const struct db *db);
/** Run statements without results. */
FRT_NODISCARD enum frt_status db_exec(struct db *db, const char *sql, struct frt_error *err);
/** A statement, ready to be bound. */
FRT_NODISCARD enum frt_status db_use(struct db *db, const char *sql, struct db_stmt **out,
                                     struct frt_error *err);
/** db_use of the text that this connection's database takes. */
FRT_NODISCARD enum frt_status db_use_either(struct db *db, const char *sqlite, const char *postgres,
                                            struct db_stmt **out, struct frt_error *err);

/* Parameters count from 1. What does not fit in memory is noticed by db_step. Texts, blobs and arrays are
 * borrowed until db_done. A NaN is NULL, and so is a text at NULL. */
void db_bind_int(struct db_stmt *stmt, int i, int64_t value);
void db_bind_number(struct db_stmt *stmt, int i, double value);
void db_bind_text(struct db_stmt *stmt, int i, const char *text);
void db_bind_blob(struct db_stmt *stmt, int i, const void *bytes, size_t size);
/* Arrays, PostgreSQL only. */
void db_bind_ints(struct db_stmt *stmt, int i, const uint64_t *values, size_t n);
void db_bind_numbers(struct db_stmt *stmt, int i, const double *values, size_t n);
void db_bind_texts(struct db_stmt *stmt, int i, const char *const *texts, size_t n);
/** n blobs; `bytes` NULL: NULL. */
void db_bind_blobs(struct db_stmt *stmt, int i, const void *const *bytes, const size_t *sizes, size_t n);

/** Let it begin: its rows are waited for by db_step, as those of others begun before. So that a server is asked
 *  several things at once. */
FRT_NODISCARD enum frt_status db_start(struct db_stmt *stmt, struct frt_error *err);
/** Next row; *row false at the end. Errors: FRT_ECONFLICT (a unique key stands already), those of store.h. */
FRT_NODISCARD enum frt_status db_step(struct db_stmt *stmt, bool *row, struct frt_error *err);
/** Step to the end of a statement without rows, and give it back. */
FRT_NODISCARD enum frt_status db_run(struct db_stmt *stmt, struct frt_error *err);
/** db_run for which nobody waits: what goes wrong may only be told by the next call that does, the commit at
 * the latest. In a transaction. */
FRT_NODISCARD enum frt_status db_post(struct db_stmt *stmt, struct frt_error *err);
/** Give back. NULL is fine. */
void db_done(struct db_stmt *stmt);

/* Columns count from 0; borrowed until the next step. NULL reads as 0, NaN, "" and no bytes. */
int64_t db_int(struct db_stmt *stmt, int column);
double db_number(struct db_stmt *stmt, int column);
const char *db_text(struct db_stmt *stmt, int column, size_t *size);
const void *db_blob(struct db_stmt *stmt, int column, size_t *size);
bool db_is_null(struct db_stmt *stmt, int column);

/** What its owner wants to remember with a connection. */
struct db_owner {
    int64_t since_ns;
    int span;
    int64_t end_ms; /* monotonic: waits for a server end then */
    /* Number of the last change of the transaction under way, 0 = none, and whose. */
    uint64_t changed, collection;
};
struct db_owner *db_owner(struct db *db);

/** Rows that the last statement changed. */
int64_t db_changes(struct db *db);

/* Transactions that write. They take turns, over all processes: from db_begin on nobody else changes anything.
 */
FRT_NODISCARD enum frt_status db_begin(struct db *db, struct frt_error *err);
FRT_NODISCARD enum frt_status db_commit(struct db *db, struct frt_error *err);
/** Undo, when there is something to undo. */
void db_rollback(struct db *db);
/** What became of the connection in the last call that failed. */
enum db_fault db_fault(const struct db *db);

/* ----------------------------------------------------------------- adapters */

enum db_type { DB_INT = 1, DB_NUMBER, DB_TEXT, DB_BLOB, DB_INTS, DB_NUMBERS, DB_TEXTS, DB_BLOBS };

struct db_value {
    enum db_type type;
    size_t n; /* bytes, or members of an array */
    union {
        int64_t whole;
        double number;
        const void *bytes;
        const uint64_t *ints;
        const double *numbers;
        const char *const *texts;
        const void *const *blobs;
    } as;
    const size_t *sizes; /* DB_BLOBS */
};

struct db_driver {
    bool postgres;
    void (*close)(struct db *db);
    enum frt_status (*exec)(struct db *db, const char *sql, struct frt_error *err);
    enum frt_status (*use)(struct db *db, const char *sql, struct db_stmt **out, struct frt_error *err);
    void (*bind)(struct db_stmt *stmt, int i, const struct db_value *value);
    enum frt_status (*start)(struct db_stmt *stmt, struct frt_error *err); /* NULL: step does it */
    enum frt_status (*step)(struct db_stmt *stmt, bool *row, struct frt_error *err);
    enum frt_status (*post)(struct db_stmt *stmt, struct frt_error *err); /* NULL: as run */
    void (*done)(struct db_stmt *stmt);
    int64_t (*whole)(struct db_stmt *stmt, int column);
    double (*number)(struct db_stmt *stmt, int column);
    const void *(*bytes)(struct db_stmt *stmt, int column, bool text, size_t *size); /* NULL: NULL */
    bool (*is_null)(struct db_stmt *stmt, int column);
    int64_t (*changes)(struct db *db);
    enum frt_status (*begin)(struct db *db, struct frt_error *err);
    enum frt_status (*commit)(struct db *db, struct frt_error *err);
    void (*rollback)(struct db *db);
    enum db_fault (*fault)(const struct db *db);
};

/* An adapter's connections and statements begin with these. */
struct db {
    const struct db_driver *driver;
    struct db_owner owner;
};
struct db_stmt {
    struct db *db;
    const char *sql;
};

#endif
