/*
 * The one adapter over SQLite: a connection, its prepared statements, and errors as statuses.
 *
 * A statement is asked for by its SQL, which must be a constant: it is prepared once a connection and found
 * again by the address of the text. Use it, then give it back with db_done; at most DB_MAX_STATEMENTS different
 * ones.
 *
 * Threading: a connection has one owner at a time.
 */
#ifndef FRT_STORE_SQLITE_DB_H
#define FRT_STORE_SQLITE_DB_H

#include "core/status.h"

enum { DB_MAX_STATEMENTS = 128 };

struct db;      /* a connection */
struct db_stmt; /* a statement in use */

enum db_mode { DB_READ = 0, DB_WRITE, DB_CREATE };

/** Open. path borrowed as long as the connection lives. Errors: those of store.h. */
FRT_NODISCARD enum frt_status db_open(const char *path, enum db_mode mode, uint32_t busy_ms, struct db **out,
                                      struct frt_error *err);
/** NULL is fine. */
void db_close(struct db *db);
/** Run statements without results. */
FRT_NODISCARD enum frt_status db_exec(struct db *db, const char *sql, struct frt_error *err);
/** A statement, ready to be bound. */
FRT_NODISCARD enum frt_status db_use(struct db *db, const char *sql, struct db_stmt **out,
                                     struct frt_error *err);

/* Parameters count from 1. What does not fit in memory is noticed by db_step. Texts and blobs are borrowed
 * until db_done. A NaN is NULL. */
void db_bind_int(struct db_stmt *stmt, int i, int64_t value);
void db_bind_number(struct db_stmt *stmt, int i, double value);
void db_bind_text(struct db_stmt *stmt, int i, const char *text);
void db_bind_blob(struct db_stmt *stmt, int i, const void *bytes, size_t size);

/** Next row; *row false at the end. Errors: FRT_ECONFLICT (a unique key stands already), those of store.h. */
FRT_NODISCARD enum frt_status db_step(struct db_stmt *stmt, bool *row, struct frt_error *err);
/** Step to the end of a statement without rows, and give it back. */
FRT_NODISCARD enum frt_status db_run(struct db_stmt *stmt, struct frt_error *err);
/** Give back. NULL is fine. */
void db_done(struct db_stmt *stmt);

/* Columns count from 0; borrowed until the next step. NULL reads as 0, NaN, "" and no bytes. */
int64_t db_int(struct db_stmt *stmt, int column);
double db_number(struct db_stmt *stmt, int column);
const char *db_text(struct db_stmt *stmt, int column, size_t *size);
const void *db_blob(struct db_stmt *stmt, int column, size_t *size);

/** What its owner wants to remember with a connection. */
struct db_owner {
    int64_t since_ns;
    int span;
};
struct db_owner *db_owner(struct db *db);

/** Rows that the last statement changed. */
int64_t db_changes(struct db *db);
/** Inside a transaction? SQLite ends one by itself when the disk is full. */
bool db_in_transaction(struct db *db);

#endif
