#include "store/postgres_db.h"

#include <dlfcn.h>
#include <errno.h>
#include <libpq-fe.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"

enum {
    MAX_PARAMS = 20,
    POSTED_MOST = 256, /* statements under way that nobody waits for */
    JOBS = 2 * POSTED_MOST + 64,
    UNDO_MS = 1000, /* longest wait for a rollback: the connection can be closed as well */
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_BOOL = 16,
    OID_BYTEA_ARRAY = 1001,
    OID_TEXT_ARRAY = 1009,
    OID_INT8_ARRAY = 1016,
    OID_FLOAT8_ARRAY = 1022
};

/* ------------------------------------------------------------------ library */

#define FUNCTIONS(X)                                                                                           \
    X(PQconnectStartParams)                                                                                    \
    X(PQconnectPoll)                                                                                           \
    X(PQstatus)                                                                                                \
    X(PQsocket)                                                                                                \
    X(PQfinish) X(PQerrorMessage) X(PQsetnonblocking) X(PQflush) X(PQconsumeInput) X(PQisBusy) X(PQgetResult)  \
        X(PQclear) X(PQresultStatus) X(PQresultErrorField) X(PQntuples) X(PQgetvalue) X(PQgetlength)           \
            X(PQgetisnull) X(PQftype) X(PQcmdTuples) X(PQcmdStatus) X(PQsendQuery) X(PQsendQueryParams)        \
                X(PQsendPrepare) X(PQsendQueryPrepared) X(PQenterPipelineMode) X(PQexitPipelineMode)           \
                    X(PQpipelineSync) X(PQtransactionStatus) X(PQnotifies) X(PQfreemem) X(PQserverVersion)     \
                        X(PQconninfoParse) X(PQconninfoFree) X(PQsetNoticeProcessor)

#define MEMBER(name) __typeof__(name) *name;
static struct {
    FUNCTIONS(MEMBER)
} lib;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static char load_failure[256]; /* "" = loaded */

static void find(void *library, const char *name, void *to)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL && load_failure[0] == '\0')
        (void)snprintf(load_failure, sizeof load_failure, "libpq lacks %s: version 14 or later is needed",
                       name);
    memcpy(to, &symbol, sizeof symbol);
}

static void load(void)
{
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        (void)snprintf(load_failure, sizeof load_failure, "libpq is not there: install libpq5");
        return;
    }
#define FIND(name) find(library, #name, &lib.name);
    FUNCTIONS(FIND)
}

static enum frt_status need_library(struct frt_error *err)
{
    (void)pthread_once(&load_once, load);
    return load_failure[0] == '\0' ? FRT_OK : frt_fail(err, FRT_EUNAVAILABLE, "%s", load_failure);
}

/* -------------------------------------------------------------------- types */

struct param {
    Oid type;
    const char *bytes; /* NULL = NULL */
    int length;
    uint8_t room[8];
    char *owned; /* an array */
};

enum state { IDLE = 0, UNDER_WAY, HAS_RESULT };

struct pg_stmt {
    struct db_stmt base;
    uint32_t number;
    bool prepared, no_memory;
    int n_params;
    struct param params[MAX_PARAMS];
    enum state state;
    PGresult *result;
    int row; /* the next one is row + 1 */
};

enum job_kind { JOB_PREPARE, JOB_STATEMENT, JOB_POSTED, JOB_COMMIT, JOB_SYNC };
struct job {
    enum job_kind kind;
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
    struct job jobs[JOBS]; /* sent, not answered */
    size_t n_jobs, n_posted;
    enum db_fault fault;
    bool gone; /* nothing more is to be had of the connection */
    int64_t changed_rows;
};

static struct pg_db *own(struct db *db)
{
    return (struct pg_db *)db;
}

static struct pg_stmt *own_stmt(struct db_stmt *stmt)
{
    return (struct pg_stmt *)stmt;
}

static int64_t now_ms(void)
{
    return frt_now_ns() / 1000000;
}

/* ------------------------------------------------------------------- errors */

/* The first line of a text. */
static int line_of(const char *text)
{
    return (int)strcspn(text, "\n");
}

static enum frt_status lost(struct pg_db *db, struct frt_error *err)
{
    const char *text = lib.PQerrorMessage(db->conn);
    db->gone = true;
    db->fault = DB_LOST;
    for (size_t i = 0; i < db->n_jobs; i++) {
        if (db->jobs[i].kind == JOB_COMMIT)
            db->fault = DB_UNSURE;
    }
    return frt_fail(err, FRT_EUNAVAILABLE, "%s: the connection was lost (%.*s)", db->place, line_of(text),
                    text);
}

static enum frt_status late(struct pg_db *db, struct frt_error *err)
{
    enum frt_status status = lost(db, NULL);
    return frt_fail(err, status, "%s: no answer in time", db->place);
}

static bool is(const char *state, const char *with)
{
    return strncmp(state, with, strlen(with)) == 0;
}

/* What a server said was wrong. */
static enum frt_status refused(struct pg_db *db, const PGresult *result, struct frt_error *err)
{
    const char *state = lib.PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = lib.PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *place = db->place;
    state = state == NULL ? "" : state;
    text = text == NULL ? "" : text;
    if (lib.PQstatus(db->conn) == CONNECTION_BAD || is(state, "57P") || is(state, "08") || state[0] == '\0')
        return lost(db, err);
    if (is(state, "23505"))
        return frt_fail(err, FRT_ECONFLICT, "stands already");
    if (is(state, "40001") || is(state, "40P01")) {
        db->fault = DB_COLLIDED;
        return frt_fail(err, FRT_EOVERLOADED, "%s: another transaction was in the way; try again", place);
    }
    if (is(state, "55P03") || is(state, "57014"))
        return frt_fail(err, FRT_EOVERLOADED, "%s: the database was busy for too long (%.200s); try again",
                        place, text);
    if (is(state, "53100"))
        return frt_fail(err, FRT_ESTORAGE_FULL, "%s: the database's disk is full; nothing was changed", place);
    if (is(state, "53"))
        return frt_fail(err, FRT_EOVERLOADED, "%s: the database is at its limits: %.200s", place, text);
    if (is(state, "25006")) { /* a standby, or one that became it: the next connection may find another */
        db->gone = true;
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: the database is read-only", place);
    }
    if (is(state, "42501") || is(state, "28"))
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: not permitted: %.200s", place, text);
    if (is(state, "XX001") || is(state, "XX002"))
        return frt_fail(err, FRT_ESTORE_DAMAGED, "%s: the database is damaged: %.200s", place, text);
    if (is(state, "42P01") || is(state, "42703") || is(state, "3F000"))
        return frt_fail(err, FRT_ESTORE_DAMAGED, "%s: the tables are not as they should be: %.200s", place,
                        text);
    if (is(state, "58"))
        return frt_fail(err, FRT_EIO, "%s: the database's disk: %.200s", place, text);
    if (is(state, "23"))
        return frt_fail(err, FRT_EINTERNAL, "%s: a rule of the database was broken: %.200s", place, text);
    return frt_fail(err, FRT_EIO, "%s: %.200s (%.5s)", place, text, state);
}

/* ------------------------------------------------------------------- waiting */

/* Until the socket can be read, or written when `out`. False: the time is up. */
static bool wait_for(const struct pg_db *db, bool out, int64_t end_ms)
{
    struct pollfd fd = {.fd = lib.PQsocket(db->conn), .events = (short)(POLLIN | (out ? POLLOUT : 0))};
    for (;;) {
        const int64_t left = end_ms - now_ms();
        const int n = left > 0 ? poll(&fd, 1, (int)(left < 60000 ? left : 60000)) : 0;
        if (n > 0 || (n < 0 && errno != EINTR))
            return true; /* what is wrong with it shows when it is read */
        if (left <= 0)
            return false;
    }
}

/* Until the next result is there. */
static enum frt_status await(struct pg_db *db, int64_t end_ms, struct frt_error *err)
{
    for (;;) {
        const int unsent = lib.PQflush(db->conn);
        if (unsent < 0)
            return lost(db, err);
        if (lib.PQisBusy(db->conn) == 0)
            return FRT_OK;
        if (!wait_for(db, unsent > 0, end_ms))
            return late(db, err);
        if (lib.PQconsumeInput(db->conn) == 0)
            return lost(db, err);
    }
}

static int64_t end_of(const struct pg_db *db)
{
    return db->base.owner.end_ms != 0 ? db->base.owner.end_ms : now_ms() + db->answer_ms;
}

/* ------------------------------------------------------------------- pipeline */

static enum frt_status add_job(struct pg_db *db, enum job_kind kind, struct pg_stmt *stmt, int sent,
                               struct frt_error *err)
{
    if (sent != 1 || db->n_jobs == JOBS)
        return lost(db, err);
    db->jobs[db->n_jobs++] = (struct job){kind, stmt};
    return FRT_OK;
}

static void take_result(struct pg_db *db, const struct job *job, PGresult *result)
{
    db->changed_rows = atoll(lib.PQcmdTuples(result));
    if (job->kind == JOB_STATEMENT && job->stmt->state == UNDER_WAY) {
        job->stmt->state = HAS_RESULT;
        job->stmt->result = result;
        job->stmt->row = -1;
    } else {
        lib.PQclear(result);
    }
}

/* Every answer to what has been sent. The first error is the one to tell; what came behind it was not done. */
static enum frt_status drain(struct pg_db *db, int64_t end_ms, struct frt_error *err)
{
    enum frt_status status = db->gone ? lost(db, err) : FRT_OK, first = FRT_OK;
    if (status == FRT_OK)
        status = add_job(db, JOB_SYNC, NULL, lib.PQpipelineSync(db->conn), err);
    for (size_t at = 0; at < db->n_jobs && status == FRT_OK;) {
        status = await(db, end_ms, err);
        PGresult *result = status == FRT_OK ? lib.PQgetResult(db->conn) : NULL;
        const ExecStatusType what = result != NULL ? lib.PQresultStatus(result) : PGRES_EMPTY_QUERY;
        if (status != FRT_OK)
            break;
        if (result == NULL) {
            if (lib.PQstatus(db->conn) == CONNECTION_BAD)
                status = lost(db, err);
            at++; /* that command is over */
        } else if (what == PGRES_TUPLES_OK || what == PGRES_COMMAND_OK) {
            if (db->jobs[at].kind == JOB_COMMIT && strcmp(lib.PQcmdStatus(result), "COMMIT") != 0)
                first = frt_fail(err, FRT_EINTERNAL, "%s: a failed transaction was to be committed", db->place);
            take_result(db, &db->jobs[at], result);
        } else if (what == PGRES_PIPELINE_SYNC) {
            lib.PQclear(result);
            at++;
        } else {
            if (db->jobs[at].kind == JOB_PREPARE)
                db->jobs[at].stmt->prepared = false;
            if (what != PGRES_PIPELINE_ABORTED && first == FRT_OK)
                first = refused(db, result, err);
            lib.PQclear(result);
            if (db->fault == DB_LOST || db->fault == DB_UNSURE)
                status = first;
        }
    }
    if (status == FRT_OK)
        status = first;
    db->n_jobs = db->n_posted = 0;
    return status;
}

/* Long work gets a longer time at the server, too; what follows gets the usual one again. */
static enum frt_status set_timeout(struct pg_db *db, struct frt_error *err)
{
    const int64_t left = end_of(db) - now_ms();
    const uint32_t wanted = left > 2 * (int64_t)db->answer_ms ? (uint32_t)left + 1000 : db->answer_ms + 1000;
    char sql[64];
    if ((wanted > db->answer_ms + 1000) == (db->said_ms > db->answer_ms + 1000))
        return FRT_OK;
    (void)snprintf(sql, sizeof sql, "SET statement_timeout = %u", wanted);
    enum frt_status status =
        add_job(db, JOB_POSTED, NULL, lib.PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0), err);
    if (status == FRT_OK) /* by itself: it stays whatever becomes of what follows */
        status = drain(db, end_of(db), err);
    if (status == FRT_OK)
        db->said_ms = wanted;
    return status;
}

/* Parameters ?1 … of the common SQL are $1 … here. */
static char *dollars(const char *sql)
{
    char *out = frt_strdup(sql);
    for (char *at = out; at != NULL && *at != '\0'; at++) {
        if (*at == '?')
            *at = '$';
    }
    return out;
}

static enum frt_status prepare(struct pg_db *db, struct pg_stmt *stmt, const char *name, struct frt_error *err)
{
    Oid types[MAX_PARAMS] = {0};
    char *sql = dollars(stmt->base.sql);
    if (sql == NULL)
        return frt_fail_nomem(err, "a statement");
    for (int i = 0; i < stmt->n_params; i++)
        types[i] = stmt->params[i].type;
    const int sent = lib.PQsendPrepare(db->conn, name, sql, stmt->n_params, types);
    frt_free(sql);
    stmt->prepared = true; /* unless its answer says otherwise */
    return add_job(db, JOB_PREPARE, stmt, sent, err);
}

static enum frt_status send_statement(struct pg_db *db, struct pg_stmt *stmt, enum job_kind kind,
                                      struct frt_error *err)
{
    const char *values[MAX_PARAMS] = {0};
    int lengths[MAX_PARAMS] = {0}, formats[MAX_PARAMS];
    char name[16];
    enum frt_status status = db->gone ? lost(db, err) : FRT_OK;
    if (stmt->no_memory)
        return frt_fail_nomem(err, "a statement's values");
    if (status != FRT_OK)
        return status;
    if (db->n_jobs == 0)
        db->fault = DB_SOUND;
    (void)snprintf(name, sizeof name, "s%u", stmt->number);
    if (db->n_jobs == 0 && lib.PQtransactionStatus(db->conn) == PQTRANS_IDLE)
        status = set_timeout(db, err);
    if (status == FRT_OK && !stmt->prepared)
        status = prepare(db, stmt, name, err);
    if (status != FRT_OK)
        return status;
    for (int i = 0; i < stmt->n_params; i++) {
        values[i] = stmt->params[i].bytes;
        lengths[i] = stmt->params[i].length;
        formats[i] = 1;
    }
    return add_job(db, kind, stmt,
                   lib.PQsendQueryPrepared(db->conn, name, stmt->n_params, values, lengths, formats, 1), err);
}

static enum frt_status send_text(struct pg_db *db, enum job_kind kind, const char *sql, struct frt_error *err)
{
    return add_job(db, kind, NULL, lib.PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0), err);
}

/* --------------------------------------------------------------- statements */

static enum frt_status use(struct db *base, const char *sql, struct db_stmt **out, struct frt_error *err)
{
    struct pg_db *db = own(base);
    for (size_t i = 0; i < db->n_statements; i++) {
        if (db->statements[i].base.sql == sql) {
            *out = &db->statements[i].base;
            return FRT_OK;
        }
    }
    if (db->n_statements == DB_MAX_STATEMENTS)
        return frt_fail(err, FRT_EINTERNAL, "more than %d different statements", DB_MAX_STATEMENTS);
    struct pg_stmt *s = &db->statements[db->n_statements++];
    *s = (struct pg_stmt){.base = {.db = base, .sql = sql}, .number = (uint32_t)db->n_statements};
    *out = &s->base;
    return FRT_OK;
}

static void put32(char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (char)(uint8_t)(value >> (8 * (3 - i)));
}

static void put64(char *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(uint8_t)(value >> (8 * (7 - i)));
}

static void put_number(char *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put64(out, bits);
}

struct member {
    const void *bytes; /* NULL = NULL */
    size_t size;
    char room[8];
};

static void member_of(const struct db_value *value, size_t i, struct member *m)
{
    *m = (struct member){.bytes = m->room, .size = 8};
    if (value->type == DB_INTS) {
        put64(m->room, value->as.ints[i]);
    } else if (value->type == DB_NUMBERS) {
        put_number(m->room, value->as.numbers[i]);
        m->bytes = isnan(value->as.numbers[i]) ? NULL : m->room;
    } else if (value->type == DB_TEXTS) {
        m->bytes = value->as.texts[i];
        m->size = m->bytes == NULL ? 0 : strlen(m->bytes);
    } else {
        m->bytes = value->as.blobs[i];
        m->size = value->sizes[i];
    }
}

/* An array as the protocol has it: dimensions, NULLs?, type of a member, members, first number; each with its
 * length. */
static void bind_array(struct pg_stmt *stmt, struct param *param, const struct db_value *value, Oid member)
{
    size_t size = 20;
    struct member m;
    for (size_t i = 0; i < value->n; i++) {
        member_of(value, i, &m);
        size += 4 + (m.bytes == NULL ? 0 : m.size);
    }
    char *out = size > INT32_MAX ? NULL : frt_alloc_array(1, size), *at = out;
    if (out == NULL) {
        stmt->no_memory = true;
        return;
    }
    const uint32_t head[] = {value->n > 0, 1, member, (uint32_t)value->n, 1};
    for (size_t i = 0; i < (value->n > 0 ? 5 : 3); i++, at += 4)
        put32(at, head[i]);
    for (size_t i = 0; i < value->n; i++) {
        member_of(value, i, &m);
        put32(at, m.bytes == NULL ? UINT32_MAX : (uint32_t)m.size);
        at += 4;
        if (m.bytes != NULL && m.size > 0)
            memcpy(at, m.bytes, m.size);
        at += m.bytes == NULL ? 0 : m.size;
    }
    param->bytes = param->owned = out;
    param->length = (int)(at - out);
}

static void bind_value(struct db_stmt *base, int i, const struct db_value *value)
{
    static const Oid types[] = {
        [DB_INT] = OID_INT8,         [DB_NUMBER] = OID_FLOAT8,    [DB_TEXT] = OID_TEXT,
        [DB_BLOB] = OID_BYTEA,       [DB_INTS] = OID_INT8_ARRAY,  [DB_NUMBERS] = OID_FLOAT8_ARRAY,
        [DB_TEXTS] = OID_TEXT_ARRAY, [DB_BLOBS] = OID_BYTEA_ARRAY};
    static const Oid members[] = {
        [DB_INTS] = OID_INT8, [DB_NUMBERS] = OID_FLOAT8, [DB_TEXTS] = OID_TEXT, [DB_BLOBS] = OID_BYTEA};
    struct pg_stmt *stmt = own_stmt(base);
    if (i < 1 || i > MAX_PARAMS || value->n > INT32_MAX) {
        stmt->no_memory = true;
        return;
    }
    struct param *param = &stmt->params[i - 1];
    frt_free(param->owned);
    *param = (struct param){.type = types[value->type], .bytes = (const char *)param->room, .length = 8};
    stmt->n_params = stmt->n_params < i ? i : stmt->n_params;
    if (value->type >= DB_INTS) {
        bind_array(stmt, param, value, members[value->type]);
    } else if (value->type == DB_INT) {
        put64((char *)param->room, (uint64_t)value->as.whole);
    } else if (value->type == DB_NUMBER) {
        put_number((char *)param->room, value->as.number);
        param->bytes = isnan(value->as.number) ? NULL : param->bytes;
    } else {
        static const char nothing[1];
        param->bytes = value->type == DB_BLOB && value->n == 0 ? nothing : value->as.bytes;
        param->length = (int)value->n;
    }
}

static enum frt_status start(struct db_stmt *base, struct frt_error *err)
{
    struct pg_stmt *stmt = own_stmt(base);
    enum frt_status status = send_statement(own(base->db), stmt, JOB_STATEMENT, err);
    if (status == FRT_OK)
        stmt->state = UNDER_WAY;
    return status;
}

static enum frt_status step(struct db_stmt *base, bool *row, struct frt_error *err)
{
    struct pg_db *db = own(base->db);
    struct pg_stmt *stmt = own_stmt(base);
    enum frt_status status = FRT_OK;
    if (stmt->state == IDLE)
        status = start(base, err);
    if (status == FRT_OK && stmt->state == UNDER_WAY) {
        status = drain(db, end_of(db), err);
        if (stmt->state == HAS_RESULT)
            db->changed_rows = atoll(lib.PQcmdTuples(stmt->result));
        else if (status == FRT_OK)
            status = frt_fail(err, FRT_EINTERNAL, "%s: a statement had no result", db->place);
    }
    if (status != FRT_OK)
        return status;
    *row = ++stmt->row < lib.PQntuples(stmt->result);
    return FRT_OK;
}

static void done(struct db_stmt *base)
{
    struct pg_stmt *stmt = own_stmt(base);
    lib.PQclear(stmt->result);
    stmt->result = NULL;
    stmt->state = IDLE; /* a result that is still to come goes unread */
    stmt->no_memory = false;
    for (int i = 0; i < stmt->n_params; i++) {
        frt_free(stmt->params[i].owned);
        stmt->params[i].owned = NULL;
    }
}

static enum frt_status post(struct db_stmt *base, struct frt_error *err)
{
    struct pg_db *db = own(base->db);
    enum frt_status status = send_statement(db, own_stmt(base), JOB_POSTED, err);
    done(base);
    if (status == FRT_OK && ++db->n_posted >= POSTED_MOST)
        status = drain(db, end_of(db), err);
    return status;
}

static uint64_t get_big(const char *bytes, int n)
{
    uint64_t value = 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | (uint8_t)bytes[i];
    return value;
}

static bool is_null(struct db_stmt *base, int column)
{
    const struct pg_stmt *stmt = own_stmt(base);
    return lib.PQgetisnull(stmt->result, stmt->row, column) != 0;
}

static int64_t whole(struct db_stmt *base, int column)
{
    const struct pg_stmt *stmt = own_stmt(base);
    if (is_null(base, column))
        return 0;
    const char *bytes = lib.PQgetvalue(stmt->result, stmt->row, column);
    switch ((int)lib.PQftype(stmt->result, column)) {
    case OID_INT8:
        return (int64_t)get_big(bytes, 8);
    case OID_INT4:
        return (int32_t)(uint32_t)get_big(bytes, 4);
    case OID_INT2:
        return (int16_t)(uint16_t)get_big(bytes, 2);
    case OID_BOOL:
        return bytes[0] != 0;
    default:
        return 0;
    }
}

static double number(struct db_stmt *base, int column)
{
    const struct pg_stmt *stmt = own_stmt(base);
    if (is_null(base, column))
        return (double)NAN;
    const char *bytes = lib.PQgetvalue(stmt->result, stmt->row, column);
    const int type = (int)lib.PQftype(stmt->result, column);
    if (type == OID_FLOAT8) {
        const uint64_t bits = get_big(bytes, 8);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    if (type == OID_FLOAT4) {
        const uint32_t bits = (uint32_t)get_big(bytes, 4);
        float value;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    return (double)whole(base, column);
}

static const void *bytes_at(struct db_stmt *base, int column, bool text, size_t *size)
{
    const struct pg_stmt *stmt = own_stmt(base);
    (void)text; /* libpq ends every value with a NUL */
    *size = 0;
    if (is_null(base, column))
        return NULL;
    *size = (size_t)lib.PQgetlength(stmt->result, stmt->row, column);
    return lib.PQgetvalue(stmt->result, stmt->row, column);
}

/* --------------------------------------------------------------- connection */

static int64_t changes(struct db *db)
{
    return own(db)->changed_rows;
}

/* Several statements in one text, outside the pipeline. */
static enum frt_status exec(struct db *base, const char *sql, struct frt_error *err)
{
    struct pg_db *db = own(base);
    enum frt_status status = db->n_jobs > 0 ? drain(db, end_of(db), err) : FRT_OK, first = FRT_OK;
    if (status == FRT_OK && db->gone)
        status = lost(db, err);
    if (status != FRT_OK)
        return status;
    db->fault = DB_SOUND;
    if (lib.PQexitPipelineMode(db->conn) != 1 || lib.PQsendQuery(db->conn, sql) != 1)
        return lost(db, err);
    for (;;) {
        status = await(db, end_of(db), err);
        PGresult *result = status == FRT_OK ? lib.PQgetResult(db->conn) : NULL;
        if (result == NULL)
            break;
        const ExecStatusType what = lib.PQresultStatus(result);
        if (what != PGRES_TUPLES_OK && what != PGRES_COMMAND_OK && first == FRT_OK)
            first = refused(db, result, err);
        lib.PQclear(result);
    }
    if (status == FRT_OK && !db->gone && lib.PQenterPipelineMode(db->conn) != 1)
        status = lost(db, err);
    return status == FRT_OK ? first : status;
}

static enum frt_status begin(struct db *base, struct frt_error *err)
{
    static const char lock[] = "SELECT value FROM counters WHERE name = 'seq' FOR UPDATE";
    struct pg_db *db = own(base);
    struct db_stmt *stmt = NULL;
    enum frt_status status = db->gone ? lost(db, err) : FRT_OK;
    db->fault = db->gone ? DB_LOST : DB_SOUND;
    if (status == FRT_OK)
        status = set_timeout(db, err);
    if (status == FRT_OK)
        status = send_text(db, JOB_POSTED, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", err);
    if (status == FRT_OK)
        status = use(base, lock, &stmt, err);
    return status == FRT_OK ? post(stmt, err) : status;
}

/* The token into the writer's row, and word to those who listen. */
static enum frt_status post_last_words(struct pg_db *db, struct frt_error *err)
{
    static const char sign[] = "INSERT INTO writers(id, token, used) VALUES(?1, ?2, now()) ON CONFLICT (id) DO "
                               "UPDATE SET token = excluded.token, used = excluded.used";
    static const char tell[] = "SELECT pg_notify('frt', ?1)";
    struct db_stmt *stmt = NULL;
    char text[64];
    enum frt_status status = use(&db->base, sign, &stmt, err);
    frt_random_bytes(db->writer->token, sizeof db->writer->token);
    if (status == FRT_OK) {
        db_bind_blob(stmt, 1, db->writer->id, sizeof db->writer->id);
        db_bind_blob(stmt, 2, db->writer->token, sizeof db->writer->token);
        status = post(stmt, err);
    }
    if (status != FRT_OK || db->base.owner.changed == 0)
        return status;
    (void)snprintf(text, sizeof text, "%llu %llu", (unsigned long long)db->base.owner.collection,
                   (unsigned long long)db->base.owner.changed);
    status = use(&db->base, tell, &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, text);
        status = post(stmt, err);
    }
    return status;
}

static void rollback(struct db *base)
{
    struct pg_db *db = own(base);
    const enum db_fault fault = db->fault;
    const int64_t soon = now_ms() + UNDO_MS, end = end_of(db) < soon ? end_of(db) : soon;
    enum frt_status status = FRT_OK;
    if (!db->gone && db->n_jobs > 0)
        status = drain(db, end, NULL); /* the first failure is the one to tell */
    if (!db->gone && lib.PQtransactionStatus(db->conn) != PQTRANS_IDLE) {
        status = send_text(db, JOB_POSTED, "ROLLBACK", NULL);
        if (status == FRT_OK)
            status = drain(db, end, NULL);
    }
    db->fault = fault != DB_SOUND ? fault : db->gone ? DB_LOST : DB_SOUND;
}

static enum frt_status commit(struct db *base, struct frt_error *err)
{
    struct pg_db *db = own(base);
    enum frt_status status = post_last_words(db, err);
    if (status == FRT_OK)
        status = send_text(db, JOB_COMMIT, "COMMIT", err);
    if (status == FRT_OK)
        status = drain(db, end_of(db), err);
    if (status != FRT_OK && !db->gone)
        rollback(base);
    return status;
}

/* A connection that is of no more use is lost, even if the call had an answer (read-only). */
static enum db_fault fault(const struct db *base)
{
    return ((const struct pg_db *)base)->fault;
}

static void close_db(struct db *base)
{
    struct pg_db *db = own(base);
    for (size_t i = 0; i < db->n_statements; i++)
        done(&db->statements[i].base);
    lib.PQfinish(db->conn);
    frt_free(db);
}

static const struct db_driver postgres_driver = {.postgres = true,
                                                 .close = close_db,
                                                 .exec = exec,
                                                 .use = use,
                                                 .bind = bind_value,
                                                 .start = start,
                                                 .step = step,
                                                 .post = post,
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

/* ------------------------------------------------------------------ opening */

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

/* Where it is and who asks, as far as the address says. */
static void describe(const PQconninfoOption *options, char out[POSTGRES_PLACE_MAX])
{
    const char *user = "", *host = "", *port = "", *name = "";
    for (; options->keyword != NULL; options++) {
        const char *value = options->val == NULL ? "" : options->val;
        if (strcmp(options->keyword, "user") == 0)
            user = value;
        else if (strcmp(options->keyword, "host") == 0 && value[0] != '\0')
            host = value;
        else if (strcmp(options->keyword, "hostaddr") == 0 && host[0] == '\0')
            host = value;
        else if (strcmp(options->keyword, "port") == 0)
            port = value;
        else if (strcmp(options->keyword, "dbname") == 0)
            name = value;
    }
    (void)snprintf(out, POSTGRES_PLACE_MAX, "postgresql://%.60s%s%.100s%s%.20s/%.60s", user,
                   user[0] != '\0' ? "@" : "", host, port[0] != '\0' ? ":" : "", port, name);
}

enum frt_status postgres_describe(const char *server, char out[POSTGRES_PLACE_MAX], struct frt_error *err)
{
    char *why = NULL;
    enum frt_status status = need_library(err);
    if (status != FRT_OK)
        return status;
    PQconninfoOption *options = lib.PQconninfoParse(server, &why);
    lib.PQfreemem(why); /* it may quote a part of a password */
    if (options == NULL)
        return frt_fail(
            err, FRT_EINVAL,
            "the store's address is none that libpq understands: "
            "postgresql://user@host:5432/database is right; ':', '/', '@', '?' and '%%' in a password "
            "are written %%3A, %%2F, %%40, %%3F and %%25");
    describe(options, out);
    lib.PQconninfoFree(options);
    return FRT_OK;
}

/* What the server says when it cannot take us now, and may later. */
static bool may_pass(const char *text)
{
    static const char *const signs[] = {"starting up",     "shutting down",
                                        "recovery mode",   "not yet accepting",
                                        "too many",        "remaining connection slots",
                                        "refused",         "No such file",
                                        "timeout expired", "closed the connection",
                                        "not accept",      "reset by peer",
                                        "No route",        "unreachable",
                                        "Broken pipe",     "crash of another"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (strstr(text, signs[i]) != NULL)
            return true;
    }
    return false;
}

static enum frt_status connect_server(struct pg_db *db, const char *server, int64_t end_ms, bool *wait,
                                      struct frt_error *err)
{
    /* What stands before the address are defaults, which it may change. */
    static const char *const keywords[] = {
        "tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "application_name", "dbname",          "client_encoding",     NULL};
    const char *values[] = {"5000", "10", "5", "3", "frt", server, "UTF8", NULL};
    PostgresPollingStatusType polled = PGRES_POLLING_WRITING;
    *wait = true;
    db->conn = lib.PQconnectStartParams(keywords, values, 1);
    if (db->conn == NULL)
        return frt_fail_nomem(err, "a database connection");
    while (lib.PQstatus(db->conn) != CONNECTION_BAD && polled != PGRES_POLLING_OK &&
           polled != PGRES_POLLING_FAILED) {
        struct pollfd fd = {.fd = lib.PQsocket(db->conn),
                            .events = polled == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        const int64_t left = end_ms - now_ms();
        if (left <= 0)
            return frt_fail(err, FRT_EUNAVAILABLE, "%s: no connection in time", db->place);
        if (poll(&fd, 1, (int)(left < 60000 ? left : 60000)) > 0)
            polled = lib.PQconnectPoll(db->conn);
    }
    if (lib.PQstatus(db->conn) == CONNECTION_OK && lib.PQsetnonblocking(db->conn, 1) == 0 &&
        lib.PQenterPipelineMode(db->conn) == 1)
        return FRT_OK;
    const char *text = lib.PQerrorMessage(db->conn);
    *wait = may_pass(text);
    return frt_fail(err, FRT_EUNAVAILABLE, "%s: no connection (%.*s)", db->place, line_of(text), text);
}

/* Nothing of a database's or a role's own settings may change what our SQL means or how long it waits. */
static enum frt_status set_session(struct pg_db *db, const struct postgres_options *o, struct frt_error *err)
{
    char sql[1024];
    if (lib.PQserverVersion(db->conn) < 120000)
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: PostgreSQL %d; 12 or later is needed", db->place,
                        lib.PQserverVersion(db->conn) / 10000);
    db->said_ms = o->answer_ms + 1000;
    (void)snprintf(
        sql, sizeof sql,
        "SET search_path = pg_catalog, frt, pg_temp; SET statement_timeout = %u; SET lock_timeout = %u; "
        "SET idle_in_transaction_session_timeout = %u; SET client_min_messages = error; SET jit = off; "
        "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = %s; "
        "SET DateStyle = ISO; "
        "SELECT set_config('synchronous_commit', 'on', false) WHERE "
        "current_setting('synchronous_commit') = 'off'; %s",
        db->said_ms, o->busy_ms, o->answer_ms, o->use == POSTGRES_WRITE ? "off" : "on",
        lib.PQserverVersion(db->conn) >= 140000 ? "SET client_connection_check_interval = 1000" : "");
    enum frt_status status = exec(&db->base, sql, err);
    if (status == FRT_OK && o->use == POSTGRES_LISTEN)
        status = exec(&db->base, "LISTEN frt", err);
    return status;
}

enum frt_status postgres_db_open(const struct postgres_options *options, int64_t end_ms, struct db **out,
                                 bool *wait, struct frt_error *err)
{
    enum frt_status status = need_library(err);
    *wait = false;
    if (status != FRT_OK)
        return status;
    struct pg_db *db = frt_alloc_zero(1, sizeof *db);
    if (db == NULL)
        return frt_fail_nomem(err, "a database connection");
    db->base.driver = &postgres_driver;
    db->base.owner.end_ms = end_ms;
    db->place = options->place;
    db->answer_ms = options->answer_ms;
    db->writer = options->writer;
    status = connect_server(db, options->server, end_ms, wait, err);
    if (status == FRT_OK) {
        (void)lib.PQsetNoticeProcessor(db->conn, ignore_notice, NULL);
        status = set_session(db, options, err);
        *wait = db->gone;
    }
    if (status != FRT_OK) {
        close_db(&db->base);
        return status;
    }
    *out = &db->base;
    return FRT_OK;
}

/* ------------------------------------------------------------ doubt, and word */

/* A row that is being written by a transaction under way makes this wait until that is over. */
static enum frt_status token_of(struct pg_db *db, uint8_t out[POSTGRES_ID_BYTES], struct frt_error *err)
{
    static const char sql[] = "INSERT INTO writers(id, token, used) VALUES(?1, ?2, now()) ON CONFLICT (id) DO "
                              "UPDATE SET used = excluded.used RETURNING token";
    struct db_stmt *stmt = NULL;
    bool row = false;
    size_t size = 0;
    enum frt_status status = use(&db->base, sql, &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_blob(stmt, 1, db->writer->id, sizeof db->writer->id);
    db_bind_blob(stmt, 2, NULL, 0);
    status = step(stmt, &row, err);
    memset(out, 0, POSTGRES_ID_BYTES);
    if (status == FRT_OK && row) {
        const void *bytes = bytes_at(stmt, 0, false, &size);
        if (size == POSTGRES_ID_BYTES)
            memcpy(out, bytes, size);
    }
    done(stmt);
    return status;
}

enum frt_status postgres_db_enter_writer(struct db *db, struct frt_error *err)
{
    uint8_t token[POSTGRES_ID_BYTES];
    return token_of(own(db), token, err);
}

enum frt_status postgres_db_look_up(struct db *base, bool *made, struct frt_error *err)
{
    struct pg_db *db = own(base);
    uint8_t token[POSTGRES_ID_BYTES];
    enum frt_status status = token_of(db, token, err);
    if (status == FRT_OK)
        *made = memcmp(token, db->writer->token, sizeof token) == 0;
    return status;
}

enum frt_status postgres_db_listen(struct db *base, int64_t end_ms, bool *told, struct frt_error *err)
{
    struct pg_db *db = own(base);
    *told = false;
    for (;;) {
        if (lib.PQconsumeInput(db->conn) == 0)
            return lost(db, err);
        for (PGnotify *notice = lib.PQnotifies(db->conn); notice != NULL; notice = lib.PQnotifies(db->conn)) {
            *told = true;
            lib.PQfreemem(notice);
        }
        if (lib.PQstatus(db->conn) == CONNECTION_BAD)
            return lost(db, err);
        if (*told || !wait_for(db, false, end_ms))
            return FRT_OK;
    }
}
