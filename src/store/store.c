/* Life of the store, and its counter. Design: store_internal.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "store/postgres_db.h"
#include "store/store_address.h"
#include "store/store_internal.h"

enum { DEFAULT_READERS = 8, DEFAULT_BUSY_MS = 5000, DEFAULT_ANSWER_MS = 10000 };

enum frt_status store_read_id(struct db *db, uint8_t out[16], struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    size_t size = 0;
    enum frt_status status = db_use(db, "SELECT value FROM meta WHERE name = 'id'", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK) {
        const void *bytes = row ? db_blob(stmt, 0, &size) : NULL;
        if (size == 16)
            memcpy(out, bytes, 16);
        else
            status = frt_fail(err, FRT_ESTORE_DAMAGED, "the database has no id");
    }
    db_done(stmt);
    return status;
}

static void set_options(struct frt_store *store, const struct frt_store_options *options)
{
    struct frt_store_options *o = &store->options;
    *o = *options;
    o->path = NULL;
    o->crop_key = NULL;
    if (o->readers == 0)
        o->readers = DEFAULT_READERS;
    if (o->readers > STORE_MAX_READERS)
        o->readers = STORE_MAX_READERS;
    if (o->busy_ms == 0)
        o->busy_ms = DEFAULT_BUSY_MS;
    if (o->answer_ms == 0)
        o->answer_ms = DEFAULT_ANSWER_MS;
    if (o->clock == NULL)
        o->clock = &frt_clock_system;
    if (options->crop_key != NULL) {
        memcpy(store->crop_key, options->crop_key, sizeof store->crop_key);
        store->has_crop_key = true;
    }
}

static void make_locks(struct frt_store *store)
{
    pthread_condattr_t monotonic;
    (void)pthread_mutex_init(&store->turn_lock, NULL);
    (void)pthread_mutex_init(&store->pool_lock, NULL);
    (void)pthread_mutex_init(&store->news_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->turn_free, &monotonic);
    (void)pthread_cond_init(&store->reader_free, &monotonic);
    (void)pthread_cond_init(&store->news, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

enum frt_status frt_store_open(const struct frt_store_options *options, struct frt_store **out,
                               struct frt_error *err)
{
    struct frt_store *store = frt_alloc_zero(1, sizeof *store);
    if (store == NULL)
        return frt_fail_nomem(err, "a store");
    set_options(store, options);
    make_locks(store);
    store->backend = frt_store_is_server(options->path) ? &store_postgres : &store_sqlite;
    enum frt_status status = store->backend->open(store, options->path, err);
    if (status == FRT_OK && !options->read_only) {
        status = store_finish_deletions(store, err);
        if (status == FRT_EOVERLOADED) /* another program writes: the next opening goes on */
            status = FRT_OK;
    }
    if (status != FRT_OK) {
        frt_store_close(store);
        return status;
    }
    *out = store;
    return FRT_OK;
}

void frt_store_describe(const char *path, char *out, size_t size)
{
    struct frt_error err;
    char place[POSTGRES_PLACE_MAX];
    if (!frt_store_is_server(path))
        (void)snprintf(out, size, "%s", frt_store_file(path));
    else if (postgres_describe(frt_store_server(path), place, &err) == FRT_OK)
        (void)snprintf(out, size, "%s", place);
    else
        (void)snprintf(out, size, "a PostgreSQL server");
}

void frt_store_close(struct frt_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < store->n_idle; i++)
        db_close(store->idle[i]);
    if (store->backend->close != NULL)
        store->backend->close(store);
    db_close(store->writer); /* last: SQLite's checkpoints and removes the write-ahead log */
    (void)pthread_mutex_destroy(&store->turn_lock);
    (void)pthread_mutex_destroy(&store->pool_lock);
    (void)pthread_mutex_destroy(&store->news_lock);
    (void)pthread_cond_destroy(&store->turn_free);
    (void)pthread_cond_destroy(&store->reader_free);
    (void)pthread_cond_destroy(&store->news);
    frt_wipe(store->crop_key, sizeof store->crop_key);
    frt_free(store->path);
    frt_free(store);
}

void frt_store_id(const struct frt_store *store, uint8_t out[16])
{
    memcpy(out, store->id, sizeof store->id);
}

int64_t store_now_ms(const struct frt_store *store)
{
    return store->options.clock->wall_ns(store->options.clock) / 1000000;
}

/* ----------------------------------------------------------------- counter */

enum frt_status store_ask_seqs(struct db *db, uint64_t n, struct db_stmt **out, struct frt_error *err)
{
    enum frt_status status =
        db_use(db, "UPDATE counters SET value = value + ?1 WHERE name = 'seq' RETURNING value", out, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(*out, 1, (int64_t)n);
    return db_start(*out, err);
}

enum frt_status store_hear_seqs(struct db *db, uint64_t n, struct db_stmt *stmt, uint64_t *first,
                                struct frt_error *err)
{
    bool row = false;
    enum frt_status status = db_step(stmt, &row, err);
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ESTORE_DAMAGED, "the database has no counter");
    if (status == FRT_OK) {
        db_owner(db)->changed = (uint64_t)db_int(stmt, 0);
        *first = db_owner(db)->changed - n + 1;
        status = db_step(stmt, &row, err); /* to the end: the update is complete */
    }
    db_done(stmt);
    return status;
}

enum frt_status store_take_seqs(struct db *db, uint64_t n, uint64_t *first, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = store_ask_seqs(db, n, &stmt, err);
    return status == FRT_OK ? store_hear_seqs(db, n, stmt, first, err) : status;
}

static enum frt_status read_seq(struct db *db, uint64_t *out, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(db, "SELECT value FROM counters WHERE name = 'seq'", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ESTORE_DAMAGED, "the database has no counter");
    if (status == FRT_OK)
        *out = (uint64_t)db_int(stmt, 0);
    db_done(stmt);
    return status;
}

enum frt_status frt_store_last_seq(struct frt_store *store, uint64_t *out, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_read(&turn, &status, err))
        status = read_seq(turn.db, out, err);
    return status;
}

enum frt_status frt_store_check(struct frt_store *store, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    uint64_t seq = 0;
    enum frt_status status = frt_store_last_seq(store, &seq, err);
    if (store->options.read_only)
        return status;
    while (store_write(&turn, &status, err)) {
        /* that it begins and ends is all there is to see */
    }
    return status;
}
