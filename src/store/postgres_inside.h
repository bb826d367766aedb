/*
 * The inside of the adapter over libpq, shared by postgres_db.c (statements, transactions) and postgres_open.c
 * (the library, connections, what comes before and between statements). Threading: as postgres_db.h.
 */
#ifndef FRT_STORE_POSTGRES_INSIDE_H
#define FRT_STORE_POSTGRES_INSIDE_H

#include <libpq-fe.h>

#include "store/postgres_db.h"

enum { PG_MAX_PARAMS = 20, PG_POSTED_MOST = 256 /* statements under way that nobody waits for */ };

/* What is used of the library; filled by pg_need_library. */
/* One line each, as the formatter would indent them ever further. */
/* clang-format off */
#define PG_FUNCTIONS(X) \
    X(PQconnectStartParams) \
    X(PQconnectPoll) \
    X(PQstatus) \
    X(PQsocket) \
    X(PQfinish) \
    X(PQerrorMessage) \
    X(PQsetnonblocking) \
    X(PQflush) \
    X(PQconsumeInput) \
    X(PQisBusy) \
    X(PQgetResult) \
    X(PQclear) \
    X(PQresultStatus) \
    X(PQresultErrorField) \
    X(PQntuples) \
    X(PQgetvalue) \
    X(PQgetlength) \
    X(PQgetisnull) \
    X(PQftype) \
    X(PQcmdTuples) \
    X(PQcmdStatus) \
    X(PQsendQuery) \
    X(PQsendQueryParams) \
    X(PQsendPrepare) \
    X(PQsendQueryPrepared) \
    X(PQenterPipelineMode) \
    X(PQexitPipelineMode) \
    X(PQpipelineSync) \
    X(PQtransactionStatus) \
    X(PQnotifies) \
    X(PQfreemem) \
    X(PQserverVersion) \
    X(PQconninfoParse) \
    X(PQconninfoFree) \
    X(PQsetNoticeProcessor)
/* clang-format on */

#define PG_MEMBER(name) __typeof__(name) *(name);
struct pg_library {
    PG_FUNCTIONS(PG_MEMBER)
};
#undef PG_MEMBER
extern struct pg_library pg_lib;

struct pg_param {
    Oid type;
    const char *bytes; /* NULL = NULL */
    int length;
    uint8_t room[8];
    char *owned; /* an array */
};

enum pg_state { IDLE = 0, UNDER_WAY, HAS_RESULT };

struct pg_stmt {
    struct db_stmt base;
    uint32_t number;
    bool prepared, no_memory;
    int n_params;
    struct pg_param params[PG_MAX_PARAMS];
    enum pg_state state;
    PGresult *result;
    int row; /* the next one is row + 1 */
};

enum pg_job_kind { JOB_PREPARE, JOB_STATEMENT, JOB_POSTED, JOB_COMMIT, JOB_SYNC };
struct pg_job {
    enum pg_job_kind kind;
    struct pg_stmt *stmt;
};

struct pg_db {
    struct db base;
    PGconn *conn;
    const char *place;
    uint32_t answer_ms, said_ms; /* statement_timeout, usual and as it is set now */
    struct postgres_writer *writer;
    struct pg_stmt statements[DB_MAX_STATEMENTS];
    size_t n_statements;
    struct pg_job jobs[2 * PG_POSTED_MOST + 64]; /* sent, not answered */
    size_t n_jobs, n_posted;
    enum db_fault fault;
    bool gone; /* nothing more is to be had of the connection */
    int64_t changed_rows;
};

/** Load the library. Errors: FRT_EUNAVAILABLE. */
FRT_NODISCARD enum frt_status pg_need_library(struct frt_error *err);
extern const struct db_driver pg_driver;
/** The connection is lost. Returns FRT_EUNAVAILABLE. */
FRT_NODISCARD enum frt_status pg_lost(struct pg_db *db, struct frt_error *err);
/** Until the socket can be read, or written when `out`. False: the time is up. */
bool pg_wait_for(const struct pg_db *db, bool out, int64_t end_ms);
/** Length of the first line of a text. */
int pg_line_of(const char *text);

#endif
