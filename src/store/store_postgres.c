/* The backend over a server. Design: store_internal.h, docs/design/postgresql.md. */
#include <string.h>

#include "core/mem.h"
#include "store/postgres_db.h"
#include "store/postgres_schema.h"
#include "store/store_address.h"
#include "store/store_internal.h"

enum {
    LOOK_EVERY_MS = 1000, /* at the counter, without a notification */
    LISTEN_STEP_MS = 100  /* between looks whether somebody is to wake */
};

struct server {
    char *address; /* libpq's; may hold a password */
    struct postgres_writer writer;
    /* Since when no connection has come about, 0 = one has; only so that calls fail soon when a server has been
     * away for long: relaxed. */
    _Atomic int64_t away_since_ms;
    struct db *ears; /* used by whoever waits for changes */
};

/* ---------------------------------------------------------------- connecting */

/* Try until it succeeds, or the time is up; once only, when the server has been away for longer than a call may
 * take. */
static enum frt_status connect_as(struct frt_store *store, enum postgres_use use, int64_t end_ms,
                                  struct db **out, struct frt_error *err)
{
    struct server *s = store->own;
    const struct postgres_options options = {.server = s->address,
                                             .place = store->path,
                                             .use = use,
                                             .busy_ms = store->options.busy_ms,
                                             .answer_ms = store->options.answer_ms,
                                             .writer = &s->writer};
    for (uint32_t tries = 0;; tries++) {
        bool wait = false;
        enum frt_status status = postgres_db_open(&options, end_ms, out, &wait, err);
        if (status == FRT_OK) {
            atomic_store_explicit(&s->away_since_ms, 0, memory_order_relaxed);
            return FRT_OK;
        }
        const int64_t now = store_monotonic_ms();
        int64_t since = 0;
        if (wait)
            (void)atomic_compare_exchange_strong_explicit(&s->away_since_ms, &since, now, memory_order_relaxed,
                                                          memory_order_relaxed);
        if (!wait || (since != 0 && now - since > (int64_t)store->options.answer_ms) ||
            !store_pause(tries, end_ms)) {
            if (err != NULL && wait)
                err->retry_after_s = 1;
            return status;
        }
    }
}

static enum frt_status connect_server(struct frt_store *store, bool writer, int64_t end_ms, struct db **out,
                                      struct frt_error *err)
{
    struct db *db = NULL;
    enum frt_status status = connect_as(store, writer ? POSTGRES_WRITE : POSTGRES_READ, end_ms, &db, err);
    if (status == FRT_OK && writer)
        status = postgres_db_enter_writer(db, err);
    if (status != FRT_OK) {
        db_close(db);
        return status;
    }
    *out = db;
    return FRT_OK;
}

static enum frt_status look_up(struct frt_store *store, struct db *fresh, bool *made, struct frt_error *err)
{
    (void)store;
    return postgres_db_look_up(fresh, made, err);
}

/* Rows of writers that have not written for a long time, and never will again. */
static enum frt_status sweep(struct db *db, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status =
        db_use(db, "DELETE FROM writers WHERE used < now() - interval '7 days'", &stmt, err);
    return status == FRT_OK ? db_run(stmt, err) : status;
}

static enum frt_status open_writer(struct frt_store *store, int64_t end_ms, struct frt_error *err)
{
    enum frt_status status = connect_as(store, POSTGRES_WRITE, end_ms, &store->writer, err);
    if (status == FRT_OK)
        status = postgres_schema_prepare(store->writer, store->path, err);
    if (status == FRT_OK)
        status = postgres_db_enter_writer(store->writer, err);
    if (status == FRT_OK)
        status = sweep(store->writer, err);
    if (status == FRT_OK)
        status = store_read_id(store->writer, store->id, err);
    return status == FRT_OK ? store_crops_check_key(store, store->writer, err) : status;
}

static enum frt_status look_at(struct frt_store *store, struct db *db, struct frt_error *err)
{
    enum frt_status status = postgres_schema_check(db, store->path, err);
    if (status == FRT_OK)
        status = store_read_id(db, store->id, err);
    return status == FRT_OK ? store_crops_check_key(store, db, err) : status;
}

static enum frt_status open_server(struct frt_store *store, const char *address, struct frt_error *err)
{
    char place[POSTGRES_PLACE_MAX];
    struct store_turn turn = {.store = store};
    enum frt_status status = postgres_describe(frt_store_server(address), place, err);
    if (status != FRT_OK)
        return status;
    struct server *s = store->own = frt_alloc_zero(1, sizeof *s);
    store->path = frt_strdup(place);
    if (s == NULL || store->path == NULL)
        return frt_fail_nomem(err, "a store");
    s->address = frt_strdup(frt_store_server(address));
    if (s->address == NULL)
        return frt_fail_nomem(err, "a store");
    frt_random_bytes(s->writer.id, sizeof s->writer.id);
    if (!store->options.read_only)
        return open_writer(store, store_monotonic_ms() + store->options.answer_ms, err);
    while (store_read(&turn, &status, err))
        status = look_at(store, turn.db, err);
    return status;
}

/* --------------------------------------------------------------------- news */

/* New ears hear nothing of what was said before: whoever waits looks at the counter. */
static enum frt_status wait_server(struct frt_store *store, uint64_t after, int64_t end_ms,
                                   struct frt_error *err)
{
    struct server *s = store->own;
    const int64_t look = store_monotonic_ms() + LOOK_EVERY_MS, until = look < end_ms ? look : end_ms;
    (void)after;
    if (s->ears == NULL)
        return connect_as(store, POSTGRES_LISTEN, end_ms, &s->ears, err);
    while (!store_news_woken(store)) {
        const int64_t now = store_monotonic_ms(), next = now + LISTEN_STEP_MS;
        bool told = false;
        if (now >= until)
            return FRT_OK;
        if (postgres_db_listen(s->ears, next < until ? next : until, &told, NULL) != FRT_OK) {
            db_close(s->ears);
            s->ears = NULL;
            return FRT_OK;
        }
        if (told)
            return FRT_OK;
    }
    return FRT_OK;
}

static void close_server(struct frt_store *store)
{
    struct server *s = store->own;
    if (s == NULL)
        return;
    db_close(s->ears);
    if (s->address != NULL)
        frt_wipe(s->address, strlen(s->address));
    frt_free(s->address);
    frt_free(s);
    store->own = NULL;
}

const struct store_backend store_postgres = {.kind = "postgresql",
                                             .open = open_server,
                                             .connect = connect_server,
                                             .look_up = look_up,
                                             .wait = wait_server,
                                             .close = close_server};
