/*
 * The Redis that instances share: few connections to one server, or to each of a cluster, lent to whoever asks.
 *
 *     caller ─ lends a connection ─ asks ─ waits, but not past his deadline ─┬─ answered: back to the idle ones
 *                                                                           ├─ late: the keeper awaits what is
 * owed └─ broken: closed
 *
 *     keeper (a thread): connects, looks up names, asks Sentinels and the cluster's map, awaits late answers,
 * and while a server is away tries it again, ever more seldom
 *
 * A caller never connects, never waits for a name, and does not wait at all for a server that is away: that is
 * decided by a score of what lately happened (redis_pool.c), so that a server that is down, stopped or slow
 * costs a few callers their budget, and the others nothing. Each fall and each return is one line in the log.
 *
 * Threading: internally locked; the lock is a leaf and never held across input, output or a log line.
 */
#ifndef FRT_CACHE_REDIS_POOL_H
#define FRT_CACHE_REDIS_POOL_H

#include "cache/redis_link.h"

enum {
    FRT_REDIS_CONNECTIONS = 8 /* to each server at most */,
    FRT_REDIS_SERVERS = 16,
    FRT_REDIS_WHY_SIZE = 200
};

struct frt_redis_options {
    const struct frt_redis_address *address; /* borrowed; copied */
    const char *password_file;               /* read anew for each connection; "" = the address's password */
    const char *ca_file, *cert_file;         /* redis_tls.h */
    uint32_t budget_ms; /* a server that takes longer to answer a PING is not taken back; >= 1 */
};

struct frt_redis;

/** Starts the keeper; that no Redis answers is no error. Errors: FRT_EINVAL (files), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_redis_new(const struct frt_redis_options *options, struct frt_redis **out,
                                            struct frt_error *err);
/** Nobody may be calling. Waits for the keeper, which may be looking up a name. */
void frt_redis_free(struct frt_redis *redis);

/** Some server would be asked now. */
bool frt_redis_is_up(struct frt_redis *redis);

enum frt_redis_outcome {
    FRT_REDIS_ANSWERED = 0, /* perhaps with an error, which is a reply */
    FRT_REDIS_AWAY,         /* not asked: the server is away */
    FRT_REDIS_BUSY,         /* not asked: no connection came free in time */
    FRT_REDIS_LATE,         /* asked, but not answered in time */
    FRT_REDIS_BROKEN        /* the connection broke */
};

enum { FRT_REDIS_MAX_COMMANDS = 2 };
/**
 * Ask `n` commands, all of one key, together.
 *
 * replies      array[n], each the caller's when FRT_REDIS_ANSWERED, else untouched.
 * deadline_ns  monotonic.
 */
enum frt_redis_outcome frt_redis_call(struct frt_redis *redis, const char *key,
                                      const struct frt_redis_command *commands, size_t n, int64_t deadline_ns,
                                      struct frt_redis_reply **replies);

struct frt_redis_stats {
    bool up;
    uint32_t servers, servers_up, connections;
    uint64_t falls, returns, redirected;
    char why[FRT_REDIS_WHY_SIZE]; /* why the server that fell last did */
};
void frt_redis_stats_get(struct frt_redis *redis, struct frt_redis_stats *out);

/**
 * Connect and ask once, as the keeper would: for 'frt doctor'. ms  out: what a PING took.
 * Errors: FRT_EUNAVAILABLE, FRT_ETIMEOUT, FRT_EINVAL.
 */
FRT_NODISCARD enum frt_status frt_redis_try(const struct frt_redis_options *options, double *ms,
                                            char version[FRT_REDIS_TEXT_SIZE], struct frt_error *err);

/** The cluster's slot of a key. Source: the Redis cluster specification (CRC-16/XMODEM, tags in braces). */
uint32_t frt_redis_slot(const char *key);

#endif
