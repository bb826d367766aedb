/* Waiting for changes: what is common to the backends. */
#include <errno.h>

#include "store/store_internal.h"

void store_tell_news(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->news_lock);
    store->changes_here++;
    (void)pthread_cond_broadcast(&store->news);
    (void)pthread_mutex_unlock(&store->news_lock);
}

void frt_store_wake(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->news_lock);
    store->wake = true;
    (void)pthread_cond_broadcast(&store->news);
    (void)pthread_mutex_unlock(&store->news_lock);
}

bool store_news_woken(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->news_lock);
    const bool woken = store->wake;
    (void)pthread_mutex_unlock(&store->news_lock);
    return woken;
}

bool store_news_sleep(struct frt_store *store, int64_t ms, int64_t end_ms)
{
    const int64_t now = store_monotonic_ms(), until = now + ms < end_ms ? now + ms : end_ms;
    const struct timespec end = store_time_of(until);
    int waited = 0;
    if (now >= end_ms)
        return false;
    (void)pthread_mutex_lock(&store->news_lock);
    while (!store->wake && store->changes_seen == store->changes_here && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&store->news, &store->news_lock, &end);
    store->changes_seen = store->changes_here;
    const bool woken = store->wake;
    (void)pthread_mutex_unlock(&store->news_lock);
    return !woken;
}

static enum frt_status read_news(struct db *db, uint64_t after, struct frt_store_news *out,
                                 struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    *out = (struct frt_store_news){0};
    enum frt_status status = db_use(db, "SELECT value FROM counters WHERE name = 'seq'", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK && row)
        out->last_seq = (uint64_t)db_int(stmt, 0);
    db_done(stmt);
    if (status != FRT_OK || out->last_seq <= after)
        return status;
    status = db_use(db, "SELECT key FROM collections WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2", &stmt, err);
    if (status == FRT_OK) {
        db_bind_int(stmt, 1, (int64_t)after);
        db_bind_int(stmt, 2, FRT_STORE_NEWS_MAX + 1);
    }
    while (status == FRT_OK) {
        status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            break;
        if (out->n == FRT_STORE_NEWS_MAX)
            out->more = true;
        else
            out->keys[out->n++] = (uint64_t)db_int(stmt, 0);
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_wait_changes(struct frt_store *store, uint64_t after_seq, int64_t deadline_ms,
                                       struct frt_store_news *news, struct frt_error *err)
{
    struct frt_store_news found = {0};
    enum frt_status status = FRT_OK;
    for (;;) {
        struct store_turn turn = {.store = store};
        while (store_read(&turn, &status, err))
            status = read_news(turn.db, after_seq, &found, err);
        if (status != FRT_OK || found.last_seq > after_seq || store_monotonic_ms() >= deadline_ms ||
            store_news_woken(store))
            break;
        status = store->backend->wait(store, after_seq, deadline_ms, err);
        if (status != FRT_OK)
            break;
    }
    (void)pthread_mutex_lock(&store->news_lock);
    store->wake = false;
    (void)pthread_mutex_unlock(&store->news_lock);
    if (status == FRT_OK)
        *news = found;
    return status;
}
