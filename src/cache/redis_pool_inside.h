/*
 * The inside of redis_pool.h: redis_pool.c lends connections, redis_keeper.c is the thread, redis_connect.c
 * makes a connection, redis_cluster.c knows which server has a key.
 *
 * Threading: everything below `lock` is guarded by it. Functions `_locked` are called with it held.
 */
#ifndef FRT_CACHE_REDIS_POOL_INSIDE_H
#define FRT_CACHE_REDIS_POOL_INSIDE_H

#include <pthread.h>

#include "cache/redis_pool.h"

enum {
    REDIS_SLOTS = 16384,
    REDIS_CONNECT_MS = 1000, /* to connect, agree on TLS, log in */
    REDIS_STUCK_MS = 500,    /* a late answer is awaited no longer */
    REDIS_FALL_AT = 16,      /* the score: redis_pool.c */
    REDIS_FIRST_BACKOFF_MS = 250,
    REDIS_MOST_BACKOFF_MS = 15000,
    REDIS_SETTLED_MS = 30000, /* up so long, and the next fall begins with the first back-off */
    REDIS_PING_EVERY_MS = 3000
};

struct redis_owing {
    struct frt_redis_link *link;
    int64_t since_ns;
};

struct redis_server {
    struct frt_redis_host host; /* of the first server: what it was last reached by */
    bool wanted, up;
    bool told;      /* its being away stands in the log */
    uint32_t epoch; /* of its falls: what was lent before one is not taken back */
    struct frt_redis_link *idle[FRT_REDIS_CONNECTIONS];
    size_t n_idle;
    struct redis_owing owing[FRT_REDIS_CONNECTIONS];
    size_t n_owing;
    uint32_t n_open /* lent ones, too */, n_waiting;
    uint32_t score;
    uint32_t backoff_ms;
    int64_t next_try_ns; /* away: to connect; up: to connect once more */
    int64_t up_since_ns, used_ns;
    char why[FRT_REDIS_WHY_SIZE]; /* it fell */
};

struct frt_redis {
    struct frt_redis_address address;
    struct frt_redis_tls *tls; /* owned; NULL: none */
    char *password_file;       /* owned; NULL: none */
    uint32_t budget_ms;
    pthread_t keeper;
    pthread_mutex_t lock;
    pthread_cond_t link_free, keeper_wake; /* on the monotonic clock */
    struct redis_server servers[FRT_REDIS_SERVERS];
    uint32_t n_servers;
    bool stop, clustered, map_wanted;
    bool poked; /* the keeper has something to look at: he does not sleep */
    int64_t map_asked_ns;
    uint8_t slots[REDIS_SLOTS];                                                 /* number of the server */
    struct frt_redis_link *dead[2 * FRT_REDIS_SERVERS * FRT_REDIS_CONNECTIONS]; /* for the keeper to close */
    size_t n_dead;
    struct frt_redis_stats stats;
};

/* redis_pool.c */
void redis_poke_locked(struct frt_redis *redis);
/** The server is away from now on, and tried again later. `why` NULL: nobody misses it. */
void redis_fall_locked(struct frt_redis *redis, struct redis_server *server, const char *why);
/** Put a link to those that the keeper closes. */
void redis_bury_locked(struct frt_redis *redis, struct redis_server *server, struct frt_redis_link *link);
/** Take back what was lent in `epoch`: idle, owed for, or buried, as it turned out. */
void redis_take_back_locked(struct frt_redis *redis, struct redis_server *server, uint32_t epoch,
                            struct frt_redis_link *link, enum frt_redis_outcome outcome);

/* redis_connect.c */
/**
 * Connect to a server (the first one: to whichever of the address's answers, or the Sentinels name), log in,
 * choose the database, PING. No lock is held. reached  out: by what. ms  out: what the PING took.
 */
FRT_NODISCARD enum frt_status redis_connect(const struct frt_redis *redis, const struct frt_redis_host *host,
                                            bool first, struct frt_redis_host *reached, double *ms,
                                            struct frt_redis_link **out, struct frt_error *err);
/** One command and its reply. Errors: also FRT_EUNAVAILABLE when the reply is an error, whose text is then
 * said. */
FRT_NODISCARD enum frt_status redis_ask(struct frt_redis_link *link, const struct frt_redis_command *command,
                                        int64_t deadline_ns, struct frt_redis_reply **out,
                                        struct frt_error *err);

/* redis_keeper.c */
void *redis_keep(void *arg);

/* redis_cluster.c */
/** Which server has the key. */
struct redis_server *redis_server_of_locked(struct frt_redis *redis, const char *key);
/** What MOVED or ASK says: "MOVED 3999 127.0.0.1:6381". The server named, NULL when there is no room for it.
 *  *ask: only this once. */
struct redis_server *redis_redirect_locked(struct frt_redis *redis, const struct redis_server *from,
                                           const char *text, bool *ask);
/** The cluster's map, from a reply to CLUSTER SLOTS that `from` gave. */
void redis_map_locked(struct frt_redis *redis, const struct redis_server *from,
                      const struct frt_redis_reply *reply);

#endif
