/* The keeper: everything that may take long. One turn looks at each server; what it does without the lock it
 * does on links that it has taken out, and puts back by the epoch in which it took them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cache/redis_pool_inside.h"
#include "core/clock.h"
#include "core/log.h"

enum {
    OWED_TICK_MS = 5,
    PING_MS = 250,
    MAP_EVERY_MS = 500,
    PINGS = 3,
    NEXT_OPEN_MS = 1000,
    IDLE_TICK_MS = 1000
};

static int64_t ns(int64_t ms)
{
    return ms * 1000000;
}

static void close_dead_locked(struct frt_redis *redis)
{
    while (redis->n_dead > 0) {
        struct frt_redis_link *link = redis->dead[--redis->n_dead];
        (void)pthread_mutex_unlock(&redis->lock);
        frt_redis_link_close(link);
        (void)pthread_mutex_lock(&redis->lock);
    }
}

/* One line for a fall and one for a return. */
static void tell(const struct frt_redis_host *host, bool up, const char *why)
{
    char text[FRT_REDIS_TEXT_SIZE];
    frt_redis_host_text(host, text);
    if (up)
        frt_log(FRT_LOG_INFO, "redis", FRT_LOG_STR("state", "up"), FRT_LOG_STR("at", text), FRT_LOG_END);
    else
        frt_log(FRT_LOG_WARN, "redis", FRT_LOG_STR("state", "away"), FRT_LOG_STR("at", text),
                FRT_LOG_STR("why", why), FRT_LOG_END);
}

static void tell_fall_locked(struct frt_redis *redis, struct redis_server *server)
{
    char why[FRT_REDIS_WHY_SIZE];
    if (server->up || server->told || server->why[0] == '\0')
        return;
    const struct frt_redis_host host = server->host;
    memcpy(why, server->why, sizeof why);
    server->told = true;
    (void)pthread_mutex_unlock(&redis->lock);
    tell(&host, false, why);
    (void)pthread_mutex_lock(&redis->lock);
}

/* What came late is read and thrown away: whoever asked for it has made it himself by now, or is about to. */
static enum frt_redis_outcome read_owed(struct frt_redis_link *link)
{
    while (frt_redis_link_owed(link) > 0) {
        struct frt_redis_reply *reply = NULL;
        const enum frt_status status = frt_redis_link_next(link, 0, &reply, NULL);
        if (status != FRT_OK)
            return status == FRT_ETIMEOUT ? FRT_REDIS_LATE : FRT_REDIS_BROKEN;
        frt_redis_reply_free(reply);
    }
    return FRT_REDIS_ANSWERED;
}

static void await_owed_locked(struct frt_redis *redis, struct redis_server *server)
{
    for (size_t left = server->n_owing; left > 0 && server->n_owing > 0; left--) {
        const struct redis_owing owing = server->owing[0];
        const uint32_t epoch = server->epoch;
        server->n_owing--;
        memmove(server->owing, server->owing + 1, server->n_owing * sizeof *server->owing);
        (void)pthread_mutex_unlock(&redis->lock);
        enum frt_redis_outcome outcome = read_owed(owing.link);
        (void)pthread_mutex_lock(&redis->lock);
        if (outcome == FRT_REDIS_LATE && frt_now_ns() - owing.since_ns > ns(REDIS_STUCK_MS))
            outcome = FRT_REDIS_BROKEN;
        if (outcome == FRT_REDIS_LATE && epoch == server->epoch)
            server->owing[server->n_owing++] = owing; /* which costs nothing again */
        else
            redis_take_back_locked(redis, server, epoch, owing.link, outcome);
    }
}

/* A server just connected to is taken only if it answers within what a request would wait for. */
static bool is_quick(const struct frt_redis *redis, struct frt_redis_link *link, double ms)
{
    struct frt_redis_command ping = {0};
    frt_redis_word(&ping, "PING");
    for (int i = 1; i < PINGS && ms > redis->budget_ms; i++) {
        struct frt_redis_reply *reply = NULL;
        const int64_t start = frt_now_ns();
        if (redis_ask(link, &ping, start + ns(PING_MS), &reply, NULL) != FRT_OK)
            return false;
        frt_redis_reply_free(reply);
        ms = frt_elapsed_ms(start);
    }
    return ms <= redis->budget_ms;
}

static void connected_locked(struct frt_redis *redis, struct redis_server *server,
                             const struct frt_redis_host *reached, struct frt_redis_link *link)
{
    const bool returned = !server->up;
    server->n_open++;
    server->host = *reached;
    server->idle[server->n_idle++] = link;
    server->used_ns = frt_now_ns();
    if (returned) {
        server->up = true;
        server->up_since_ns = server->used_ns;
        server->score = 0;
        redis->stats.returns += server->told;
        server->told = false;
        (void)pthread_mutex_unlock(&redis->lock);
        tell(reached, true, NULL);
        (void)pthread_mutex_lock(&redis->lock);
    }
    if (server->n_waiting > 0)
        (void)pthread_cond_broadcast(&redis->link_free);
}

static void connect_locked(struct frt_redis *redis, struct redis_server *server)
{
    struct frt_error err = {0};
    struct frt_redis_host reached = server->host;
    const struct frt_redis_host host = server->host;
    struct frt_redis_link *link = NULL;
    double ms = 0;
    const bool first = server == &redis->servers[0], was_up = server->up;
    const uint32_t epoch = server->epoch;
    (void)pthread_mutex_unlock(&redis->lock);
    enum frt_status status = redis_connect(redis, &host, first, &reached, &ms, &link, &err);
    if (status == FRT_OK && !was_up && !is_quick(redis, link, ms)) {
        status = frt_fail(&err, FRT_ETIMEOUT, "it takes longer than %u ms to answer", redis->budget_ms);
        frt_redis_link_close(link);
    }
    (void)pthread_mutex_lock(&redis->lock);
    if (status == FRT_OK && epoch == server->epoch) {
        connected_locked(redis, server, &reached, link);
    } else if (status == FRT_OK) {
        server->n_open++; /* it fell meanwhile */
        redis_bury_locked(redis, server, link);
    } else if (server->up && server->n_open > 0) {
        server->next_try_ns = frt_now_ns() + ns(NEXT_OPEN_MS); /* those it has must do */
    } else {
        redis_fall_locked(redis, server, err.text);
    }
}

static void ping_locked(struct frt_redis *redis, struct redis_server *server)
{
    struct frt_redis_command ping = {0};
    struct frt_redis_reply *reply = NULL;
    struct frt_error err = {0};
    struct frt_redis_link *link = server->idle[--server->n_idle];
    const uint32_t epoch = server->epoch;
    (void)pthread_mutex_unlock(&redis->lock);
    frt_redis_word(&ping, "PING");
    enum frt_status status = redis_ask(link, &ping, frt_now_ns() + ns(PING_MS), &reply, &err);
    if (status == FRT_OK)
        frt_redis_reply_free(reply);
    (void)pthread_mutex_lock(&redis->lock);
    server->used_ns = frt_now_ns();
    redis_take_back_locked(redis, server, epoch, link,
                           status == FRT_OK ? FRT_REDIS_ANSWERED : FRT_REDIS_BROKEN);
    if (status == FRT_ETIMEOUT && epoch == server->epoch && server->up)
        redis_fall_locked(redis, server, err.text);
}

static void ask_map_locked(struct frt_redis *redis)
{
    struct redis_server *server = NULL;
    struct frt_redis_command command = {0};
    struct frt_redis_reply *reply = NULL;
    for (uint32_t i = 0; i < redis->n_servers && server == NULL; i++)
        if (redis->servers[i].up && redis->servers[i].n_idle > 0)
            server = &redis->servers[i];
    if (server == NULL)
        return;
    struct frt_redis_link *link = server->idle[--server->n_idle];
    const uint32_t epoch = server->epoch;
    redis->map_wanted = false;
    redis->map_asked_ns = frt_now_ns();
    (void)pthread_mutex_unlock(&redis->lock);
    frt_redis_word(&command, "CLUSTER");
    frt_redis_word(&command, "SLOTS");
    enum frt_status status = redis_ask(link, &command, frt_now_ns() + ns(PING_MS), &reply, NULL);
    (void)pthread_mutex_lock(&redis->lock);
    if (status == FRT_OK)
        redis_map_locked(redis, server, reply);
    redis_take_back_locked(redis, server, epoch, link,
                           status == FRT_OK ? FRT_REDIS_ANSWERED : FRT_REDIS_BROKEN);
    if (status == FRT_OK)
        frt_redis_reply_free(reply);
}

/* Returns when to look again. */
static int64_t look_after_locked(struct frt_redis *redis, struct redis_server *server)
{
    await_owed_locked(redis, server);
    const int64_t now = frt_now_ns();
    if (!server->wanted)
        return now + ns(IDLE_TICK_MS);
    const bool short_of =
        server->n_waiting > 0 && server->n_idle == 0 && server->n_open < FRT_REDIS_CONNECTIONS;
    if (now >= server->next_try_ns && (!server->up || server->n_open == 0 || short_of))
        connect_locked(redis, server);
    else if (server->up && server->n_idle > 0 && now - server->used_ns > ns(REDIS_PING_EVERY_MS))
        ping_locked(redis, server);
    tell_fall_locked(redis, server);
    const int64_t then = frt_now_ns();
    if (server->n_owing > 0)
        return then + ns(OWED_TICK_MS);
    return !server->up && server->next_try_ns < then + ns(IDLE_TICK_MS) ? server->next_try_ns
                                                                        : then + ns(IDLE_TICK_MS);
}

void *redis_keep(void *arg)
{
    struct frt_redis *redis = arg;
    (void)pthread_mutex_lock(&redis->lock);
    while (!redis->stop) {
        int64_t next = INT64_MAX;
        redis->poked = false;
        for (uint32_t i = 0; i < redis->n_servers && !redis->stop; i++) {
            const int64_t at = look_after_locked(redis, &redis->servers[i]);
            next = at < next ? at : next;
        }
        if (redis->map_wanted && frt_now_ns() - redis->map_asked_ns > ns(MAP_EVERY_MS))
            ask_map_locked(redis);
        close_dead_locked(redis);
        const struct timespec until = {.tv_sec = next / 1000000000, .tv_nsec = (long)(next % 1000000000)};
        if (!redis->poked)
            (void)pthread_cond_timedwait(&redis->keeper_wake, &redis->lock, &until);
    }
    (void)pthread_mutex_unlock(&redis->lock);
    return NULL;
}
