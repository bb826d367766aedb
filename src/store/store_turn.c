/* Turns: connections lent, transactions, another try. Design: store_internal.h. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/crypto.h"
#include "core/trace.h"
#include "store/store_internal.h"

enum {
    PAUSE_FIRST_MS = 5,
    PAUSE_MOST_MS = 500,
    MOST_COLLISIONS = 10, /* with other transactions, before the caller is told */
    SLOW_MS = 600000      /* what may take minutes may take ten */
};

/* -------------------------------------------------------------------- time */

int64_t store_monotonic_ms(void)
{
    return frt_now_ns() / 1000000;
}

struct timespec store_time_of(int64_t monotonic_ms)
{
    return (struct timespec){.tv_sec = monotonic_ms / 1000, .tv_nsec = (long)(monotonic_ms % 1000) * 1000000};
}

bool store_pause(uint32_t tries, int64_t end_ms)
{
    const uint32_t steps = tries < 8 ? tries : 8;
    const int64_t now = store_monotonic_ms();
    int64_t most = (int64_t)PAUSE_FIRST_MS << steps;
    uint32_t chance = 0;
    if (now >= end_ms)
        return false;
    frt_random_bytes(&chance, sizeof chance);
    most = most < PAUSE_MOST_MS ? most : PAUSE_MOST_MS;
    int64_t ms = most / 2 + (int64_t)(chance % (uint32_t)(most / 2 + 1)); /* so that those who collided part */
    ms = ms < end_ms - now ? ms : end_ms - now;
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
    return true;
}

/* When the call must be over, and when it must have got its turn. */
static void set_ends(struct store_turn *turn)
{
    const struct frt_store_options *o = &turn->store->options;
    if (turn->end_ms == 0)
        turn->end_ms = store_monotonic_ms() + (turn->slow ? SLOW_MS : (int64_t)o->answer_ms);
}

/* Whoever has what one waits for may be looking for a server that is restarted: that takes as long as a call
 * may. */
static struct timespec busy_end(const struct store_turn *turn)
{
    const int64_t busy = store_monotonic_ms() + turn->store->options.busy_ms;
    const bool server = turn->store->backend->look_up != NULL;
    return store_time_of(!server && busy < turn->end_ms ? busy : turn->end_ms);
}

/* ----------------------------------------------------------------- watching */

static void began(struct db *db, const char *name, int64_t end_ms)
{
    *db_owner(db) =
        (struct db_owner){.since_ns = frt_now_ns(), .span = frt_trace_begin(name), .end_ms = end_ms};
}

static void ended(const struct frt_store *store, struct db *db)
{
    const struct db_owner *owner = db_owner(db);
    frt_trace_end(owner->span, NULL);
    void (*const watch)(void *arg, double ms) = atomic_load(&store->watch);
    if (watch != NULL)
        watch(store->watch_arg, frt_elapsed_ms(owner->since_ns));
}

void frt_store_watch(struct frt_store *store, void (*done)(void *arg, double ms), void *arg)
{
    store->watch_arg = arg;
    atomic_store(&store->watch, done);
}

struct frt_store_stats frt_store_stats_get(struct frt_store *store)
{
    /* relaxed: only counts */
    struct frt_store_stats stats = {.kind = store->backend->kind,
                                    .limit = store->options.readers + !store->options.read_only,
                                    .reconnects =
                                        atomic_load_explicit(&store->reconnects, memory_order_relaxed),
                                    .errors = atomic_load_explicit(&store->errors, memory_order_relaxed)};
    (void)pthread_mutex_lock(&store->pool_lock);
    stats.busy = store->n_readers - store->n_idle;
    stats.waiting = store->readers_waiting;
    stats.refused = store->readers_refused;
    (void)pthread_mutex_unlock(&store->pool_lock);
    (void)pthread_mutex_lock(&store->turn_lock);
    stats.busy += store->turn_taken;
    stats.waiting += store->writers_waiting;
    stats.refused += store->writers_refused;
    (void)pthread_mutex_unlock(&store->turn_lock);
    return stats;
}

/* Is it the database that failed, and not what was asked of it? */
static void count_error(struct frt_store *store, enum frt_status status)
{
    if (status == FRT_EIO || status == FRT_ESTORAGE_FULL || status == FRT_ESTORE_DAMAGED ||
        status == FRT_EUNAVAILABLE || status == FRT_EINTERNAL || status == FRT_ETIMEOUT)
        (void)atomic_fetch_add_explicit(&store->errors, 1, memory_order_relaxed); /* only a count */
}

/* ----------------------------------------------------------------- readers */

static void forget_reader(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->pool_lock);
    store->n_readers--;
    (void)pthread_cond_signal(&store->reader_free);
    (void)pthread_mutex_unlock(&store->pool_lock);
}

static struct db *idle_reader(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->pool_lock);
    struct db *db = store->n_idle > 0 ? store->idle[--store->n_idle] : NULL;
    (void)pthread_mutex_unlock(&store->pool_lock);
    return db;
}

static void drop_idle(struct frt_store *store)
{
    for (struct db *db = idle_reader(store); db != NULL; db = idle_reader(store)) {
        db_close(db);
        forget_reader(store);
    }
}

static enum frt_status take_reader(struct store_turn *turn, struct frt_error *err)
{
    struct frt_store *store = turn->store;
    const struct timespec end = busy_end(turn);
    struct db *db = NULL;
    bool make = false;
    int waited = 0, span = frt_trace_begin_wait("store-wait");
    (void)pthread_mutex_lock(&store->pool_lock);
    store->readers_waiting++;
    while (store->n_idle == 0 && store->n_readers == store->options.readers && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&store->reader_free, &store->pool_lock, &end);
    store->readers_waiting--;
    if (store->n_idle > 0) {
        db = store->idle[--store->n_idle];
    } else if (store->n_readers < store->options.readers) {
        store->n_readers++;
        make = true;
    } else {
        store->readers_refused++;
    }
    (void)pthread_mutex_unlock(&store->pool_lock);
    frt_trace_end(span, NULL);
    if (db == NULL && !make)
        return frt_fail(err, FRT_EOVERLOADED, "no reader of the database became free in time; try again");
    if (make) {
        enum frt_status status = store->backend->connect(store, false, turn->end_ms, &db, err);
        if (status != FRT_OK) {
            forget_reader(store);
            return status;
        }
    }
    turn->db = db;
    return FRT_OK;
}

/* True: once more. */
static bool give_reader(struct store_turn *turn, enum frt_status status)
{
    struct frt_store *store = turn->store;
    struct db *db = turn->db;
    turn->db = NULL;
    ended(store, db);
    if (status != FRT_OK && db_fault(db) != DB_SOUND) {
        db_close(db);
        forget_reader(store);
        drop_idle(store); /* what has befallen one has befallen all, mostly */
        (void)atomic_fetch_add_explicit(&store->reconnects, 1, memory_order_relaxed); /* only a count */
        return !turn->at_once && store_pause(turn->tries++, turn->end_ms);
    }
    (void)pthread_mutex_lock(&store->pool_lock);
    store->idle[store->n_idle++] = db;
    (void)pthread_cond_signal(&store->reader_free);
    (void)pthread_mutex_unlock(&store->pool_lock);
    return false;
}

bool store_read(struct store_turn *turn, enum frt_status *status, struct frt_error *err)
{
    if (turn->under_way) {
        turn->under_way = false;
        if (!give_reader(turn, *status)) {
            count_error(turn->store, *status);
            return false;
        }
    } else if (*status != FRT_OK) {
        return false;
    }
    set_ends(turn);
    if (turn->at_once) {
        turn->db = idle_reader(turn->store);
        *status =
            turn->db != NULL ? FRT_OK : frt_fail(err, FRT_EOVERLOADED, "no connection to the database is free");
    } else {
        *status = take_reader(turn, err);
    }
    if (*status != FRT_OK) {
        count_error(turn->store, *status);
        return false;
    }
    began(turn->db, "store-read", turn->end_ms);
    turn->under_way = true;
    return true;
}

/* ------------------------------------------------------------------ writers */

static void give_turn(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->turn_lock);
    store->turn_taken = false;
    (void)pthread_cond_signal(&store->turn_free);
    (void)pthread_mutex_unlock(&store->turn_lock);
}

static enum frt_status take_turn(struct store_turn *turn, struct frt_error *err)
{
    struct frt_store *store = turn->store;
    const struct timespec end = busy_end(turn);
    int waited = 0, span = FRT_TRACE_NOT_RECORDED;
    if (store->options.read_only)
        return frt_fail(err, FRT_EUNAVAILABLE, "%s is open for reading only", store->path);
    span = frt_trace_begin_wait("store-wait");
    (void)pthread_mutex_lock(&store->turn_lock);
    store->writers_waiting++;
    while (store->turn_taken && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&store->turn_free, &store->turn_lock, &end);
    store->writers_waiting--;
    const bool mine = !store->turn_taken;
    store->turn_taken = true;
    store->writers_refused += !mine;
    (void)pthread_mutex_unlock(&store->turn_lock);
    frt_trace_end(span, NULL);
    return mine ? FRT_OK
                : frt_fail(err, FRT_EOVERLOADED, "the database was busy writing for more than %u ms; try again",
                           store->options.busy_ms);
}

/* With the turn. */
static void drop_writer(struct frt_store *store)
{
    db_close(store->writer);
    store->writer = NULL;
    (void)atomic_fetch_add_explicit(&store->reconnects, 1, memory_order_relaxed); /* only a count */
}

/* A transaction begins, on another connection if the present one is lost. With the turn. */
static enum frt_status begin(struct store_turn *turn, struct frt_error *err)
{
    struct frt_store *store = turn->store;
    for (;;) {
        enum frt_status status = FRT_OK;
        if (store->writer == NULL)
            status = store->backend->connect(store, true, turn->end_ms, &store->writer, err);
        if (status != FRT_OK)
            return status;
        began(store->writer, "store-write", turn->end_ms);
        status = db_begin(store->writer, err);
        if (status == FRT_OK) {
            turn->db = store->writer;
            return FRT_OK;
        }
        ended(store, store->writer);
        if (db_fault(store->writer) == DB_SOUND)
            return status;
        drop_writer(store);
        if (!store_pause(turn->tries++, turn->end_ms))
            return status;
    }
}

/* The answer to a commit did not come: was it made? */
static enum frt_status look_up(struct store_turn *turn, bool *made, struct frt_error *err)
{
    struct frt_store *store = turn->store;
    struct frt_error why = {0};
    for (;;) {
        enum frt_status status = store->backend->connect(store, true, turn->end_ms, &store->writer, &why);
        if (status == FRT_OK) {
            db_owner(store->writer)->end_ms = turn->end_ms;
            status = store->backend->look_up(store, store->writer, made, &why);
            if (status == FRT_OK)
                return FRT_OK;
            drop_writer(store);
        }
        if (!store_pause(turn->tries++, turn->end_ms))
            return frt_fail(
                err, FRT_EUNAVAILABLE,
                "%s: the connection was lost while a change was being made, and whether it was made "
                "could not be found out (%.200s)",
                store->path, why.text);
    }
}

/* True: once more. */
static bool end_write(struct store_turn *turn, enum frt_status *status, struct frt_error *err)
{
    struct frt_store *store = turn->store;
    bool made = false, again = false;
    turn->db = NULL;
    if (*status == FRT_OK)
        *status = db_commit(store->writer, err);
    else
        db_rollback(store->writer);
    const bool changed = db_owner(store->writer)->changed != 0;
    const enum db_fault fault = *status == FRT_OK ? DB_SOUND : db_fault(store->writer);
    ended(store, store->writer);
    if (fault == DB_COLLIDED) {
        again = turn->tries < MOST_COLLISIONS && store_pause(turn->tries++, turn->end_ms);
    } else if (fault == DB_LOST) {
        drop_writer(store);
        again = store_pause(turn->tries++, turn->end_ms);
    } else if (fault == DB_UNSURE) {
        drop_writer(store);
        *status = look_up(turn, &made, err);
        again = *status == FRT_OK && !made;
    }
    if (*status == FRT_OK && !again && changed)
        store_tell_news(store);
    return again;
}

bool store_write(struct store_turn *turn, enum frt_status *status, struct frt_error *err)
{
    if (turn->under_way) {
        turn->under_way = false;
        if (!end_write(turn, status, err)) {
            give_turn(turn->store);
            count_error(turn->store, *status);
            return false;
        }
    } else if (*status != FRT_OK) {
        return false;
    } else {
        set_ends(turn);
        *status = take_turn(turn, err);
        if (*status != FRT_OK)
            return false;
    }
    *status = begin(turn, err);
    if (*status != FRT_OK) {
        give_turn(turn->store);
        count_error(turn->store, *status);
        return false;
    }
    turn->under_way = true;
    return true;
}
