/*
 * Lending, and the decision that a server is away.
 *
 * Each server has a score. An answer takes 1 from it, a late answer or no free connection adds 1, a connection
 * that breaks, or still owes an answer after REDIS_STUCK_MS, adds 4; at 16 the server has fallen. So a server
 * that now and then is late stays, one that is late every other time goes after some dozen requests, and one
 * that is dead after four. A refused connection, or a PING of the keeper's that is not answered, is a fall at
 * once.
 *
 * After a fall it is tried after 250 ms, then twice as long each time, 15 s at most, each time up to a quarter
 * more or less, so that instances do not come all at once.
 */
#include "cache/redis_pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cache/redis_pool_inside.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"

enum { LATE_COSTS = 1, BREAK_COSTS = 4 };

/* -------------------------------------------------------------------- life */

static enum frt_status prepare(const struct frt_redis_options *options, struct frt_redis *redis,
                               struct frt_error *err)
{
    redis->address = *options->address;
    redis->budget_ms = options->budget_ms;
    redis->n_servers = 1;
    redis->servers[0].wanted = true;
    redis->servers[0].host = redis->address.hosts[0];
    if (options->password_file[0] != '\0') {
        redis->password_file = frt_strdup(options->password_file);
        if (redis->password_file == NULL)
            return frt_fail_nomem(err, "Redis");
    }
    return redis->address.tls ? frt_redis_tls_new(options->ca_file, options->cert_file, &redis->tls, err)
                              : FRT_OK;
}

static void abandon(struct frt_redis *redis)
{
    frt_redis_tls_free(redis->tls);
    frt_free(redis->password_file);
    frt_wipe(&redis->address, sizeof redis->address);
    frt_free(redis);
}

enum frt_status frt_redis_new(const struct frt_redis_options *options, struct frt_redis **out,
                              struct frt_error *err)
{
    pthread_condattr_t monotonic;
    struct frt_redis *redis = frt_alloc_zero(1, sizeof *redis);
    if (redis == NULL)
        return frt_fail_nomem(err, "Redis");
    enum frt_status status = prepare(options, redis, err);
    if (status != FRT_OK) {
        abandon(redis);
        return status;
    }
    (void)pthread_mutex_init(&redis->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&redis->link_free, &monotonic);
    (void)pthread_cond_init(&redis->keeper_wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (pthread_create(&redis->keeper, NULL, redis_keep, redis) != 0) {
        (void)pthread_cond_destroy(&redis->keeper_wake);
        (void)pthread_cond_destroy(&redis->link_free);
        (void)pthread_mutex_destroy(&redis->lock);
        abandon(redis);
        return frt_fail_nomem(err, "a thread for Redis");
    }
    *out = redis;
    return FRT_OK;
}

void frt_redis_free(struct frt_redis *redis)
{
    if (redis == NULL)
        return;
    (void)pthread_mutex_lock(&redis->lock);
    redis->stop = true;
    redis_poke_locked(redis);
    (void)pthread_mutex_unlock(&redis->lock);
    (void)pthread_join(redis->keeper, NULL);
    for (uint32_t i = 0; i < redis->n_servers; i++) {
        struct redis_server *s = &redis->servers[i];
        for (size_t k = 0; k < s->n_idle; k++)
            frt_redis_link_close(s->idle[k]);
        for (size_t k = 0; k < s->n_owing; k++)
            frt_redis_link_close(s->owing[k].link);
    }
    for (size_t i = 0; i < redis->n_dead; i++)
        frt_redis_link_close(redis->dead[i]);
    (void)pthread_cond_destroy(&redis->keeper_wake);
    (void)pthread_cond_destroy(&redis->link_free);
    (void)pthread_mutex_destroy(&redis->lock);
    abandon(redis);
}

enum frt_status frt_redis_try(const struct frt_redis_options *options, double *ms,
                              char version[FRT_REDIS_TEXT_SIZE], struct frt_error *err)
{
    struct frt_redis_host reached;
    struct frt_redis_link *link = NULL;
    struct frt_redis_reply *reply = NULL;
    struct frt_redis_command command = {0};
    struct frt_redis *redis = frt_alloc_zero(1, sizeof *redis);
    if (redis == NULL)
        return frt_fail_nomem(err, "Redis");
    enum frt_status status = prepare(options, redis, err);
    if (status == FRT_OK)
        status = redis_connect(redis, &redis->address.hosts[0], true, &reached, ms, &link, err);
    if (status == FRT_OK) {
        version[0] = '\0'; /* INFO may be forbidden: it is not needed */
        frt_redis_word(&command, "INFO");
        frt_redis_word(&command, "server");
        if (redis_ask(link, &command, frt_now_ns() + (int64_t)REDIS_CONNECT_MS * 1000000, &reply, NULL) ==
            FRT_OK) {
            const char *line = strstr(frt_redis_reply_text(reply, NULL), "redis_version:");
            if (line != NULL)
                (void)snprintf(version, FRT_REDIS_TEXT_SIZE, "%.*s", (int)strcspn(line + 14, "\r\n"),
                               line + 14);
            frt_redis_reply_free(reply);
        }
    }
    frt_redis_link_close(link);
    abandon(redis);
    return status;
}

/* ---------------------------------------------------------------- decisions */

void redis_poke_locked(struct frt_redis *redis)
{
    redis->poked = true;
    (void)pthread_cond_signal(&redis->keeper_wake);
}

void redis_bury_locked(struct frt_redis *redis, struct redis_server *server, struct frt_redis_link *link)
{
    server->n_open--;
    redis->dead[redis->n_dead++] = link; /* the keeper opens one at most between two times that he empties it */
    redis_poke_locked(redis);
}

void redis_fall_locked(struct frt_redis *redis, struct redis_server *server, const char *why)
{
    const int64_t now = frt_now_ns();
    uint8_t luck;
    const bool settled = server->up && now - server->up_since_ns > (int64_t)REDIS_SETTLED_MS * 1000000;
    while (server->n_idle > 0)
        redis_bury_locked(redis, server, server->idle[--server->n_idle]);
    while (server->n_owing > 0)
        redis_bury_locked(redis, server, server->owing[--server->n_owing].link);
    redis->stats.falls += server->up && why != NULL;
    server->up = false;
    server->epoch++;
    server->score = 0;
    server->backoff_ms = server->backoff_ms == 0 || settled ? REDIS_FIRST_BACKOFF_MS : server->backoff_ms * 2;
    if (server->backoff_ms > REDIS_MOST_BACKOFF_MS)
        server->backoff_ms = REDIS_MOST_BACKOFF_MS;
    frt_random_bytes(&luck, sizeof luck);
    server->next_try_ns = now + (int64_t)server->backoff_ms * 1000000 / 512 * (384 + luck);
    (void)snprintf(server->why, sizeof server->why, "%s", why == NULL ? "" : why);
    if (redis->clustered)
        redis->map_wanted = true;
    (void)pthread_cond_broadcast(&redis->link_free);
    redis_poke_locked(redis);
}

static void cost_locked(struct frt_redis *redis, struct redis_server *server, uint32_t cost, const char *why)
{
    server->score += cost;
    if (server->up && server->score >= REDIS_FALL_AT)
        redis_fall_locked(redis, server, why);
}

static void count_locked(struct frt_redis *redis, struct redis_server *server, enum frt_redis_outcome outcome)
{
    switch (outcome) {
    case FRT_REDIS_ANSWERED:
        server->score -= server->score > 0;
        break;
    case FRT_REDIS_LATE:
        cost_locked(redis, server, LATE_COSTS, "it answers too late");
        break;
    case FRT_REDIS_BUSY:
        cost_locked(redis, server, LATE_COSTS, "no connection comes free in time");
        break;
    case FRT_REDIS_BROKEN:
        cost_locked(redis, server, BREAK_COSTS, "connections break");
        break;
    case FRT_REDIS_AWAY:
        break;
    }
}

void redis_take_back_locked(struct frt_redis *redis, struct redis_server *server, uint32_t epoch,
                            struct frt_redis_link *link, enum frt_redis_outcome outcome)
{
    if (outcome == FRT_REDIS_BROKEN || epoch != server->epoch || !server->up) {
        redis_bury_locked(redis, server, link);
    } else if (outcome == FRT_REDIS_LATE) {
        server->owing[server->n_owing++] = (struct redis_owing){link, frt_now_ns()};
        redis_poke_locked(redis);
    } else {
        server->idle[server->n_idle++] = link;
        if (server->n_waiting > 0)
            (void)pthread_cond_broadcast(&redis->link_free);
    }
    if (epoch == server->epoch)
        count_locked(redis, server, outcome);
}

/* ----------------------------------------------------------------- lending */

/* FRT_REDIS_ANSWERED: *out is lent. The lock is let go meanwhile. */
static enum frt_redis_outcome lend_locked(struct frt_redis *redis, struct redis_server *server,
                                          int64_t deadline_ns, struct frt_redis_link **out)
{
    const struct timespec until = {.tv_sec = deadline_ns / 1000000000,
                                   .tv_nsec = (long)(deadline_ns % 1000000000)};
    enum frt_redis_outcome outcome = FRT_REDIS_ANSWERED;
    *out = NULL;
    server->n_waiting++;
    while (*out == NULL && outcome == FRT_REDIS_ANSWERED) {
        if (!server->up) {
            outcome = FRT_REDIS_AWAY;
        } else if (server->n_idle > 0) {
            struct frt_redis_link *link = server->idle[--server->n_idle];
            const uint32_t epoch = server->epoch;
            (void)pthread_mutex_unlock(&redis->lock);
            const bool quiet = frt_redis_link_is_quiet(link);
            (void)pthread_mutex_lock(&redis->lock);
            if (quiet && epoch == server->epoch)
                *out = link;
            else
                redis_bury_locked(redis, server, link);
        } else {
            redis_poke_locked(redis); /* he may connect once more */
            if (pthread_cond_timedwait(&redis->link_free, &redis->lock, &until) == ETIMEDOUT &&
                server->n_idle == 0)
                outcome = server->up ? FRT_REDIS_BUSY : FRT_REDIS_AWAY;
        }
    }
    server->n_waiting--;
    return outcome;
}

static enum frt_redis_outcome exchange(struct frt_redis_link *link, bool asking,
                                       const struct frt_redis_command *commands, size_t n, int64_t deadline_ns,
                                       struct frt_redis_reply **replies)
{
    struct frt_redis_reply *got[FRT_REDIS_MAX_COMMANDS] = {NULL}, *word = NULL;
    struct frt_redis_command ask = {0};
    enum frt_status status = FRT_OK;
    frt_redis_word(&ask, "ASKING");
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        if (asking)
            status = frt_redis_link_ask(link, &ask, NULL);
        if (status == FRT_OK)
            status = frt_redis_link_ask(link, &commands[i], NULL);
    }
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        if (asking)
            status = frt_redis_link_next(link, deadline_ns, &word, NULL);
        if (asking && status == FRT_OK)
            frt_redis_reply_free(word);
        if (status == FRT_OK)
            status = frt_redis_link_next(link, deadline_ns, &got[i], NULL);
    }
    for (size_t i = 0; i < n; i++) {
        if (status == FRT_OK)
            replies[i] = got[i];
        else if (got[i] != NULL)
            frt_redis_reply_free(got[i]);
    }
    return status == FRT_OK ? FRT_REDIS_ANSWERED : status == FRT_ETIMEOUT ? FRT_REDIS_LATE : FRT_REDIS_BROKEN;
}

/* An answer that says: not I, or not now. */
static void heed_locked(struct frt_redis *redis, struct redis_server *server,
                        struct frt_redis_reply *const *replies, size_t n)
{
    static const char *const words[] = {"LOADING", "MASTERDOWN", "NOAUTH", "CLUSTERDOWN"};
    for (size_t i = 0; i < n && server->up; i++) {
        for (size_t k = 0; k < sizeof words / sizeof *words && server->up; k++)
            if (frt_redis_reply_is_error(replies[i], words[k]))
                redis_fall_locked(redis, server, words[k]);
        if (server->up && redis->address.sentinel && frt_redis_reply_is_error(replies[i], "READONLY"))
            redis_fall_locked(redis, server, "it is not the master any more");
    }
}

enum frt_redis_outcome frt_redis_call(struct frt_redis *redis, const char *key,
                                      const struct frt_redis_command *commands, size_t n, int64_t deadline_ns,
                                      struct frt_redis_reply **replies)
{
    enum frt_redis_outcome outcome;
    bool asking = false;
    (void)pthread_mutex_lock(&redis->lock);
    struct redis_server *server = redis_server_of_locked(redis, key);
    for (int turn = 0;; turn++) {
        struct frt_redis_link *link = NULL;
        outcome = lend_locked(redis, server, deadline_ns, &link);
        if (outcome != FRT_REDIS_ANSWERED) {
            count_locked(redis, server, outcome);
            break;
        }
        const uint32_t epoch = server->epoch;
        (void)pthread_mutex_unlock(&redis->lock);
        outcome = exchange(link, asking, commands, n, deadline_ns, replies);
        (void)pthread_mutex_lock(&redis->lock);
        server->used_ns = frt_now_ns();
        redis_take_back_locked(redis, server, epoch, link, outcome);
        if (outcome != FRT_REDIS_ANSWERED)
            break;
        heed_locked(redis, server, replies, n);
        if (turn == 1 ||
            !(frt_redis_reply_is_error(replies[0], "MOVED") || frt_redis_reply_is_error(replies[0], "ASK")))
            break;
        struct redis_server *other =
            redis_redirect_locked(redis, server, frt_redis_reply_text(replies[0], NULL), &asking);
        if (other == NULL)
            break;
        for (size_t i = 0; i < n; i++)
            frt_redis_reply_free(replies[i]);
        server = other;
    }
    (void)pthread_mutex_unlock(&redis->lock);
    return outcome;
}

/* ----------------------------------------------------------------- figures */

void frt_redis_stats_get(struct frt_redis *redis, struct frt_redis_stats *out)
{
    (void)pthread_mutex_lock(&redis->lock);
    *out = redis->stats;
    for (uint32_t i = 0; i < redis->n_servers; i++) {
        const struct redis_server *s = &redis->servers[i];
        out->servers += s->wanted;
        out->servers_up += s->up;
        out->connections += s->n_open;
        if (!s->up && s->why[0] != '\0')
            memcpy(out->why, s->why, sizeof out->why);
    }
    (void)pthread_mutex_unlock(&redis->lock);
    out->up = out->servers_up > 0;
}

bool frt_redis_is_up(struct frt_redis *redis)
{
    struct frt_redis_stats stats;
    frt_redis_stats_get(redis, &stats);
    return stats.up;
}
