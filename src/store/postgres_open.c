#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "store/postgres_inside.h"

/* ------------------------------------------------------------------ library */

struct pg_library pg_lib;
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
#define FIND(name) find(library, #name, &pg_lib.name);
    PG_FUNCTIONS(FIND)
}

enum frt_status pg_need_library(struct frt_error *err)
{
    (void)pthread_once(&load_once, load);
    return load_failure[0] == '\0' ? FRT_OK : frt_fail(err, FRT_EUNAVAILABLE, "%s", load_failure);
}

/* ------------------------------------------------------------------ opening */

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

/* A password whose '@' or '/' was not written %40 or %2F ends up in other parts, which texts show. */
static bool is_plausible(const PQconninfoOption *options)
{
    for (; options->keyword != NULL; options++) {
        const char *value = options->val == NULL ? "" : options->val;
        if ((strcmp(options->keyword, "port") == 0 && strspn(value, "0123456789,") != strlen(value)) ||
            (strcmp(options->keyword, "dbname") == 0 && strpbrk(value, "@:") != NULL) ||
            (strncmp(options->keyword, "host", 4) == 0 && strchr(value, '@') != NULL))
            return false;
    }
    return true;
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
    enum frt_status status = pg_need_library(err);
    if (status != FRT_OK)
        return status;
    PQconninfoOption *options = pg_lib.PQconninfoParse(server, &why);
    pg_lib.PQfreemem(why); /* it may quote a part of a password */
    const bool right = options != NULL && is_plausible(options);
    if (right)
        describe(options, out);
    pg_lib.PQconninfoFree(options);
    return right ? FRT_OK
                 : frt_fail(err, FRT_EINVAL,
                            "the store's address is none that libpq understands: "
                            "postgresql://user@host:5432/database is right; ':', '/', '@', '?' and '%%' in a "
                            "password are written %%3A, %%2F, %%40, %%3F and %%25");
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
    db->conn = pg_lib.PQconnectStartParams(keywords, values, 1);
    if (db->conn == NULL)
        return frt_fail_nomem(err, "a database connection");
    while (pg_lib.PQstatus(db->conn) != CONNECTION_BAD && polled != PGRES_POLLING_OK &&
           polled != PGRES_POLLING_FAILED) {
        struct pollfd fd = {.fd = pg_lib.PQsocket(db->conn),
                            .events = polled == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        const int64_t left = end_ms - frt_now_ns() / 1000000;
        if (left <= 0)
            return frt_fail(err, FRT_EUNAVAILABLE, "%s: no connection in time", db->place);
        if (poll(&fd, 1, (int)(left < 60000 ? left : 60000)) > 0)
            polled = pg_lib.PQconnectPoll(db->conn);
    }
    if (pg_lib.PQstatus(db->conn) == CONNECTION_OK && pg_lib.PQsetnonblocking(db->conn, 1) == 0 &&
        pg_lib.PQenterPipelineMode(db->conn) == 1)
        return FRT_OK;
    const char *text = pg_lib.PQerrorMessage(db->conn);
    *wait = may_pass(text);
    return frt_fail(err, FRT_EUNAVAILABLE, "%s: no connection (%.*s)", db->place, pg_line_of(text), text);
}

/* Nothing of a database's or a role's own settings may change what our SQL means or how long it waits. */
static enum frt_status set_session(struct pg_db *db, const struct postgres_options *o, struct frt_error *err)
{
    char sql[1024];
    if (pg_lib.PQserverVersion(db->conn) < 120000)
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: PostgreSQL %d; 12 or later is needed", db->place,
                        pg_lib.PQserverVersion(db->conn) / 10000);
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
        pg_lib.PQserverVersion(db->conn) >= 140000 ? "SET client_connection_check_interval = 1000" : "");
    enum frt_status status = db_exec(&db->base, sql, err);
    if (status == FRT_OK && o->use == POSTGRES_LISTEN)
        status = db_exec(&db->base, "LISTEN frt", err);
    return status;
}

enum frt_status postgres_db_open(const struct postgres_options *options, int64_t end_ms, struct db **out,
                                 bool *wait, struct frt_error *err)
{
    enum frt_status status = pg_need_library(err);
    *wait = false;
    if (status != FRT_OK)
        return status;
    struct pg_db *db = frt_alloc_zero(1, sizeof *db);
    if (db == NULL)
        return frt_fail_nomem(err, "a database connection");
    db->base.driver = &pg_driver;
    db->base.owner.end_ms = end_ms;
    db->place = options->place;
    db->answer_ms = options->answer_ms;
    db->writer = options->writer;
    status = connect_server(db, options->server, end_ms, wait, err);
    if (status == FRT_OK) {
        (void)pg_lib.PQsetNoticeProcessor(db->conn, ignore_notice, NULL);
        status = set_session(db, options, err);
        *wait = db->gone;
    }
    if (status != FRT_OK) {
        db_close(&db->base);
        return status;
    }
    *out = &db->base;
    return FRT_OK;
}

/* ------------------------------------------------------------ doubt, and word */

enum frt_status postgres_db_enter_writer(struct db *db, struct frt_error *err)
{
    static const char sql[] =
        "INSERT INTO writers(id, token, used) VALUES(?1, '', now()) ON CONFLICT (id) DO NOTHING";
    struct db_stmt *stmt = NULL;
    const struct postgres_writer *writer = ((const struct pg_db *)db)->writer;
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_blob(stmt, 1, writer->id, sizeof writer->id);
    return db_run(stmt, err);
}

static enum frt_status read_token(struct db *db, bool *made, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    const struct postgres_writer *writer = ((const struct pg_db *)db)->writer;
    bool row = false;
    enum frt_status status = db_use(db, "SELECT token = ?2 FROM writers WHERE id = ?1", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_blob(stmt, 1, writer->id, sizeof writer->id);
    db_bind_blob(stmt, 2, writer->token, sizeof writer->token);
    status = db_step(stmt, &row, err);
    if (status == FRT_OK)
        *made = row && db_int(stmt, 0) != 0;
    db_done(stmt);
    return status;
}

/* The transaction in doubt has held the counter's lock since before its first answer: with the lock in hand, it
 * is over, even if its commit was still on its way when the connection was lost. */
enum frt_status postgres_db_look_up(struct db *db, bool *made, struct frt_error *err)
{
    bool found = false;
    enum frt_status status = db_begin(db, err);
    if (status == FRT_OK)
        status = read_token(db, &found, err);
    db_rollback(db);
    if (status == FRT_OK)
        *made = found;
    return status;
}

enum frt_status postgres_db_listen(struct db *base, int64_t end_ms, bool *told, struct frt_error *err)
{
    struct pg_db *db = (struct pg_db *)base;
    *told = false;
    for (;;) {
        if (pg_lib.PQconsumeInput(db->conn) == 0)
            return pg_lost(db, err);
        for (PGnotify *notice = pg_lib.PQnotifies(db->conn); notice != NULL;
             notice = pg_lib.PQnotifies(db->conn)) {
            *told = true;
            pg_lib.PQfreemem(notice);
        }
        if (pg_lib.PQstatus(db->conn) == CONNECTION_BAD)
            return pg_lost(db, err);
        if (*told || !pg_wait_for(db, false, end_ms))
            return FRT_OK;
    }
}
