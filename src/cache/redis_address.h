/*
 * Where a Redis is, as a setting says it:
 *
 *     redis://[user:password@]host[:6379][,host…][/db]       rediss://… the same over TLS
 *     redis+unix:[//[user:password@]]/path/of.sock[?db=N]
 *     redis-sentinel://[user:password@]host[:26379][,host…]/master[/db]      rediss-sentinel://…
 *
 * User, password and path may have %XX in them. Several hosts of redis:// are tried in turn: nodes of a
 * cluster.
 *
 * What an error says never holds any of what was given: it may be a password.
 *
 * Threading: pure over its arguments.
 */
#ifndef FRT_CACHE_REDIS_ADDRESS_H
#define FRT_CACHE_REDIS_ADDRESS_H

#include "core/status.h"

enum {
    FRT_REDIS_MAX_HOSTS = 8,
    FRT_REDIS_NAME_SIZE = 256,
    FRT_REDIS_PASSWORD_SIZE = 512,
    FRT_REDIS_TEXT_SIZE = 512
};

struct frt_redis_host {
    char name[FRT_REDIS_NAME_SIZE]; /* or the path of a socket */
    uint16_t port;                  /* 0: of a socket */
};

struct frt_redis_address {
    struct frt_redis_host hosts[FRT_REDIS_MAX_HOSTS];
    size_t n_hosts;
    bool tls, sentinel;
    char master[FRT_REDIS_NAME_SIZE]; /* the Sentinels' name of it */
    char user[FRT_REDIS_NAME_SIZE];   /* "": the default one */
    char password[FRT_REDIS_PASSWORD_SIZE];
    uint32_t db;
};

/** Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_redis_address_parse(const char *text, struct frt_redis_address *out,
                                                      struct frt_error *err);
/** For people: without user and password. Returns `out`. */
const char *frt_redis_address_text(const struct frt_redis_address *address, char out[FRT_REDIS_TEXT_SIZE]);
/** "host:port" or the path. Returns `out`. */
const char *frt_redis_host_text(const struct frt_redis_host *host, char out[FRT_REDIS_TEXT_SIZE]);
/** "host:port", "[::1]:6379", "::1:6379" (as a cluster writes it) or a bare host. False: it is none. */
bool frt_redis_host_parse(const char *text, size_t size, uint16_t default_port, struct frt_redis_host *out);

#endif
