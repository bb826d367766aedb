/* Which server of a cluster has a key. Without a cluster there is one, and all keys are its. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/redis_pool_inside.h"

static uint16_t crc16(const char *bytes, size_t size)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc = (uint16_t)(crc ^ (uint16_t)((unsigned)(uint8_t)bytes[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)((crc & 0x8000) != 0 ? (unsigned)crc << 1 ^ 0x1021U : (unsigned)crc << 1);
    }
    return crc;
}

uint32_t frt_redis_slot(const char *key)
{
    const char *open = strchr(key, '{'), *close = open == NULL ? NULL : strchr(open, '}');
    if (close != NULL && close > open + 1)
        return crc16(open + 1, (size_t)(close - open) - 1) % REDIS_SLOTS;
    return crc16(key, strlen(key)) % REDIS_SLOTS;
}

struct redis_server *redis_server_of_locked(struct frt_redis *redis, const char *key)
{
    return &redis->servers[redis->clustered ? redis->slots[frt_redis_slot(key)] : 0];
}

static bool same_host(const struct frt_redis_host *a, const struct frt_redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

/* A place for it if it is new; NULL: all are taken. */
static struct redis_server *server_named_locked(struct frt_redis *redis, const struct frt_redis_host *host)
{
    struct redis_server *unwanted = NULL;
    for (uint32_t i = 0; i < redis->n_servers; i++) {
        struct redis_server *s = &redis->servers[i];
        if (same_host(&s->host, host)) {
            s->wanted = true;
            return s;
        }
        if (!s->wanted && s->n_open == 0 && s->n_waiting == 0)
            unwanted = s;
    }
    if (unwanted == NULL && redis->n_servers < FRT_REDIS_SERVERS)
        unwanted = &redis->servers[redis->n_servers++];
    if (unwanted != NULL)
        *unwanted = (struct redis_server){.host = *host, .wanted = true, .epoch = unwanted->epoch + 1};
    return unwanted;
}

/* A cluster that does not know how it is reached leaves the name out: it is then the one that was asked. */
static bool named(const struct redis_server *from, const char *name, size_t size, struct frt_redis_host *out)
{
    char text[FRT_REDIS_TEXT_SIZE];
    if (size > 0 && name[0] == ':')
        (void)snprintf(text, sizeof text, "%s%.*s", from->host.name, (int)size, name);
    else
        (void)snprintf(text, sizeof text, "%.*s", (int)size, name);
    return from->host.port != 0 && size < FRT_REDIS_NAME_SIZE &&
           frt_redis_host_parse(text, strlen(text), 6379, out);
}

struct redis_server *redis_redirect_locked(struct frt_redis *redis, const struct redis_server *from,
                                           const char *text, bool *ask)
{
    struct frt_redis_host host;
    char *end = NULL;
    const char *slot_text = strchr(text, ' ');
    const unsigned long slot = slot_text == NULL ? REDIS_SLOTS : strtoul(slot_text, &end, 10);
    if (slot >= REDIS_SLOTS || *end != ' ' || !named(from, end + 1, strcspn(end + 1, " "), &host))
        return NULL;
    struct redis_server *server = server_named_locked(redis, &host);
    *ask = strncmp(text, "ASK", 3) == 0;
    if (server != NULL && !*ask) {
        redis->clustered = redis->map_wanted = true;
        redis->slots[slot] = (uint8_t)(server - redis->servers);
    }
    redis->stats.redirected++;
    redis_poke_locked(redis);
    return server;
}

/* [first slot, last slot, [host, port, …], …]: the first host is the master. */
static void map_range_locked(struct frt_redis *redis, const struct redis_server *from,
                             const struct frt_redis_reply *range)
{
    char text[FRT_REDIS_TEXT_SIZE];
    struct frt_redis_host host;
    size_t size = 0;
    if (frt_redis_reply_count(range) < 3 || frt_redis_reply_count(frt_redis_reply_at(range, 2)) < 2)
        return;
    const int64_t first = frt_redis_reply_whole(frt_redis_reply_at(range, 0));
    const int64_t last = frt_redis_reply_whole(frt_redis_reply_at(range, 1));
    const struct frt_redis_reply *master = frt_redis_reply_at(range, 2);
    const char *name = frt_redis_reply_text(frt_redis_reply_at(master, 0), &size);
    const int64_t port = frt_redis_reply_whole(frt_redis_reply_at(master, 1));
    if (first < 0 || last >= REDIS_SLOTS || size >= FRT_REDIS_NAME_SIZE || port <= 0 || port > 65535)
        return;
    (void)snprintf(text, sizeof text, "%s:%d", name, (int)port);
    struct redis_server *server =
        named(from, text, strlen(text), &host) ? server_named_locked(redis, &host) : NULL;
    for (int64_t i = first; server != NULL && i <= last; i++)
        redis->slots[i] = (uint8_t)(server - redis->servers);
}

void redis_map_locked(struct frt_redis *redis, const struct redis_server *from,
                      const struct frt_redis_reply *reply)
{
    for (uint32_t i = 1; i < redis->n_servers; i++)
        redis->servers[i].wanted = false;
    for (size_t i = 0; i < frt_redis_reply_count(reply); i++)
        map_range_locked(redis, from, frt_redis_reply_at(reply, i));
    for (uint32_t i = 1; i < redis->n_servers; i++)
        if (!redis->servers[i].wanted && redis->servers[i].up)
            redis_fall_locked(redis, &redis->servers[i], NULL);
}
