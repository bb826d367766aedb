#include "store/postgres_db.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "store/postgres_inside.h"

enum {
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
int pg_line_of(const char *text)
{
    return (int)strcspn(text, "\n");
}

enum frt_status pg_lost(struct pg_db *db, struct frt_error *err)
{
    const char *text = pg_lib.PQerrorMessage(db->conn);
    db->gone = true;
    db->fault = DB_LOST;
    for (size_t i = 0; i < db->n_jobs; i++) {
        if (db->jobs[i].kind == JOB_COMMIT)
            db->fault = DB_UNSURE;
    }
    return frt_fail(err, FRT_EUNAVAILABLE, "%s: the connection was lost (%.*s)", db->place, pg_line_of(text),
                    text);
}

static enum frt_status late(struct pg_db *db, struct frt_error *err)
{
    enum frt_status status = pg_lost(db, NULL);
    return frt_fail(err, status, "%s: no answer in time", db->place);
}

static bool is(const char *state, const char *with)
{
    return strncmp(state, with, strlen(with)) == 0;
}

/* What a server said was wrong. */
static enum frt_status refused(struct pg_db *db, const PGresult *result, struct frt_error *err)
{
    const char *state = pg_lib.PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = pg_lib.PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *place = db->place;
    state = state == NULL ? "" : state;
    text = text == NULL ? "" : text;
    if (pg_lib.PQstatus(db->conn) == CONNECTION_BAD || is(state, "57P") || is(state, "08") || state[0] == '\0')
        return pg_lost(db, err);
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
bool pg_wait_for(const struct pg_db *db, bool out, int64_t end_ms)
{
    struct pollfd fd = {.fd = pg_lib.PQsocket(db->conn), .events = (short)(POLLIN | (out ? POLLOUT : 0))};
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
        const int unsent = pg_lib.PQflush(db->conn);
        if (unsent < 0)
            return pg_lost(db, err);
        if (pg_lib.PQisBusy(db->conn) == 0)
            return FRT_OK;
        if (!pg_wait_for(db, unsent > 0, end_ms))
            return late(db, err);
        if (pg_lib.PQconsumeInput(db->conn) == 0)
            return pg_lost(db, err);
    }
}

static int64_t end_of(const struct pg_db *db)
{
    return db->base.owner.end_ms != 0 ? db->base.owner.end_ms : now_ms() + db->answer_ms;
}

/* ------------------------------------------------------------------- pipeline */

static enum frt_status add_job(struct pg_db *db, enum pg_job_kind kind, struct pg_stmt *stmt, int sent,
                               struct frt_error *err)
{
    if (sent != 1 || db->n_jobs == (sizeof db->jobs / sizeof *db->jobs))
        return pg_lost(db, err);
    db->jobs[db->n_jobs++] = (struct pg_job){kind, stmt};
    return FRT_OK;
}

static void take_result(struct pg_db *db, const struct pg_job *job, PGresult *result)
{
    db->changed_rows = atoll(pg_lib.PQcmdTuples(result));
    if (job->kind == JOB_STATEMENT && job->stmt->state == UNDER_WAY) {
        job->stmt->state = HAS_RESULT;
        job->stmt->result = result;
        job->stmt->row = -1;
    } else {
        pg_lib.PQclear(result);
    }
}

/* Every answer to what has been sent. The first error is the one to tell; what came behind it was not done. */
static enum frt_status drain(struct pg_db *db, int64_t end_ms, struct frt_error *err)
{
    enum frt_status status = db->gone ? pg_lost(db, err) : FRT_OK, first = FRT_OK;
    if (status == FRT_OK)
        status = add_job(db, JOB_SYNC, NULL, pg_lib.PQpipelineSync(db->conn), err);
    for (size_t at = 0; at < db->n_jobs && status == FRT_OK;) {
        status = await(db, end_ms, err);
        PGresult *result = status == FRT_OK ? pg_lib.PQgetResult(db->conn) : NULL;
        const ExecStatusType what = result != NULL ? pg_lib.PQresultStatus(result) : PGRES_EMPTY_QUERY;
        if (status != FRT_OK)
            break;
        if (result == NULL) {
            if (pg_lib.PQstatus(db->conn) == CONNECTION_BAD)
                status = pg_lost(db, err);
            at++; /* that command is over */
        } else if (what == PGRES_TUPLES_OK || what == PGRES_COMMAND_OK) {
            if (db->jobs[at].kind == JOB_COMMIT && strcmp(pg_lib.PQcmdStatus(result), "COMMIT") != 0)
                first = frt_fail(err, FRT_EINTERNAL, "%s: a failed transaction was to be committed", db->place);
            take_result(db, &db->jobs[at], result);
        } else if (what == PGRES_PIPELINE_SYNC) {
            pg_lib.PQclear(result);
            at++;
        } else {
            if (db->jobs[at].kind == JOB_PREPARE)
                db->jobs[at].stmt->prepared = false;
            if (what != PGRES_PIPELINE_ABORTED && first == FRT_OK)
                first = refused(db, result, err);
            pg_lib.PQclear(result);
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
    enum frt_status status = add_job(
        db, JOB_POSTED, NULL, pg_lib.PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0), err);
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
    Oid types[PG_MAX_PARAMS] = {0};
    char *sql = dollars(stmt->base.sql);
    if (sql == NULL)
        return frt_fail_nomem(err, "a statement");
    for (int i = 0; i < stmt->n_params; i++)
        types[i] = stmt->params[i].type;
    const int sent = pg_lib.PQsendPrepare(db->conn, name, sql, stmt->n_params, types);
    frt_free(sql);
    stmt->prepared = true; /* unless its answer says otherwise */
    return add_job(db, JOB_PREPARE, stmt, sent, err);
}

static enum frt_status send_statement(struct pg_db *db, struct pg_stmt *stmt, enum pg_job_kind kind,
                                      struct frt_error *err)
{
    const char *values[PG_MAX_PARAMS] = {0};
    int lengths[PG_MAX_PARAMS] = {0}, formats[PG_MAX_PARAMS];
    char name[16];
    enum frt_status status = db->gone ? pg_lost(db, err) : FRT_OK;
    if (stmt->no_memory)
        return frt_fail_nomem(err, "a statement's values");
    if (status != FRT_OK)
        return status;
    if (db->n_jobs == 0)
        db->fault = DB_SOUND;
    (void)snprintf(name, sizeof name, "s%u", stmt->number);
    if (db->n_jobs == 0 && pg_lib.PQtransactionStatus(db->conn) == PQTRANS_IDLE)
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
                   pg_lib.PQsendQueryPrepared(db->conn, name, stmt->n_params, values, lengths, formats, 1),
                   err);
}

static enum frt_status send_text(struct pg_db *db, enum pg_job_kind kind, const char *sql,
                                 struct frt_error *err)
{
    return add_job(db, kind, NULL, pg_lib.PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0), err);
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
static void bind_array(struct pg_stmt *stmt, struct pg_param *param, const struct db_value *value, Oid member)
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
    if (i < 1 || i > PG_MAX_PARAMS || value->n > INT32_MAX) {
        stmt->no_memory = true;
        return;
    }
    struct pg_param *param = &stmt->params[i - 1];
    frt_free(param->owned);
    *param = (struct pg_param){.type = types[value->type], .bytes = (const char *)param->room, .length = 8};
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
            db->changed_rows = atoll(pg_lib.PQcmdTuples(stmt->result));
        else if (status == FRT_OK)
            status = frt_fail(err, FRT_EINTERNAL, "%s: a statement had no result", db->place);
    }
    if (status != FRT_OK)
        return status;
    *row = ++stmt->row < pg_lib.PQntuples(stmt->result);
    return FRT_OK;
}

static void done(struct db_stmt *base)
{
    struct pg_stmt *stmt = own_stmt(base);
    pg_lib.PQclear(stmt->result);
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
    if (status == FRT_OK && ++db->n_posted >= PG_POSTED_MOST)
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
    return pg_lib.PQgetisnull(stmt->result, stmt->row, column) != 0;
}

static int64_t whole(struct db_stmt *base, int column)
{
    const struct pg_stmt *stmt = own_stmt(base);
    if (is_null(base, column))
        return 0;
    const char *bytes = pg_lib.PQgetvalue(stmt->result, stmt->row, column);
    switch ((int)pg_lib.PQftype(stmt->result, column)) {
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
    const char *bytes = pg_lib.PQgetvalue(stmt->result, stmt->row, column);
    const int type = (int)pg_lib.PQftype(stmt->result, column);
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
    *size = (size_t)pg_lib.PQgetlength(stmt->result, stmt->row, column);
    return pg_lib.PQgetvalue(stmt->result, stmt->row, column);
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
        status = pg_lost(db, err);
    if (status != FRT_OK)
        return status;
    db->fault = DB_SOUND;
    if (pg_lib.PQexitPipelineMode(db->conn) != 1 || pg_lib.PQsendQuery(db->conn, sql) != 1)
        return pg_lost(db, err);
    for (;;) {
        status = await(db, end_of(db), err);
        PGresult *result = status == FRT_OK ? pg_lib.PQgetResult(db->conn) : NULL;
        if (result == NULL)
            break;
        const ExecStatusType what = pg_lib.PQresultStatus(result);
        if (what != PGRES_TUPLES_OK && what != PGRES_COMMAND_OK && first == FRT_OK)
            first = refused(db, result, err);
        pg_lib.PQclear(result);
    }
    if (status == FRT_OK && !db->gone && pg_lib.PQenterPipelineMode(db->conn) != 1)
        status = pg_lost(db, err);
    return status == FRT_OK ? first : status;
}

static enum frt_status begin(struct db *base, struct frt_error *err)
{
    static const char lock[] = "SELECT value FROM counters WHERE name = 'seq' FOR UPDATE";
    struct pg_db *db = own(base);
    struct db_stmt *stmt = NULL;
    enum frt_status status = db->gone ? pg_lost(db, err) : FRT_OK;
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
    bool on = !db->gone;
    if (on && db->n_jobs > 0) /* the first failure is the one to tell */
        on = drain(db, end, NULL) == FRT_OK || !db->gone;
    if (on && pg_lib.PQtransactionStatus(db->conn) != PQTRANS_IDLE &&
        send_text(db, JOB_POSTED, "ROLLBACK", NULL) == FRT_OK)
        on = drain(db, end, NULL) == FRT_OK;
    db->fault = fault == DB_SOUND && !on && db->gone ? DB_LOST : fault;
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
    pg_lib.PQfinish(db->conn);
    frt_free(db);
}

const struct db_driver pg_driver = {.postgres = true,
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
