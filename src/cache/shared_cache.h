/*
 * The second level of the caches: what other instances have made, kept in Redis. Always a hint: whatever goes
 * wrong there, the answer is that it has nothing, within the budget.
 *
 *     get ─ at most `budget_ms` ─ unseal ─ value and how long it may still be used
 *     put ─ seal ─ a bounded queue ─ writer (a thread) ─ SET … PX what is left
 *     attempt ─ an atomic count of things that may happen so often in so long
 *
 * Threading: internally locked; the lock (of queue and figures) is never held across input or output. Lock
 * order: this one, never with redis_pool.h's.
 */
#ifndef FRT_CACHE_SHARED_CACHE_H
#define FRT_CACHE_SHARED_CACHE_H

#include "core/clock.h"
#include "core/status.h"

enum { FRT_SHARED_MAX_VALUE_BYTES = 512 * 1024, FRT_SHARED_MAX_KINDS = 2 };

struct frt_shared_cache;

struct frt_shared_cache_options {
    const char *address;                             /* redis_address.h */
    const char *password_file, *ca_file, *cert_file; /* "" = none */
    uint32_t budget_ms;                              /* >= 1 */
    const uint8_t *secret;                           /* u8[32]: the same for all instances, and nobody else's */
    const char *edition;                             /* what values depend on besides their keys: versions */
    const struct frt_clock *clock;                   /* NULL = the system's */
};

/** Redis need not be there. Errors: FRT_EINVAL (address, files), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_shared_cache_new(const struct frt_shared_cache_options *options,
                                                   struct frt_shared_cache **out, struct frt_error *err);
/** Nobody may be calling. What the queue holds is not written any more. NULL is fine. */
void frt_shared_cache_free(struct frt_shared_cache *cache);

struct frt_shared_value {
    uint8_t *bytes; /* owned; NULL: there is none */
    size_t size;
    int64_t left_ms; /* how long it may still be used */
};

enum frt_shared_answer {
    FRT_SHARED_HIT = 0,
    FRT_SHARED_MISS,
    FRT_SHARED_SKIPPED /* not known: away, or late */
};
/**
 * Values of one key, of up to FRT_SHARED_MAX_KINDS kinds, asked for together. Counted once: a hit when any is
 * there.
 *
 * kinds        a letter each.
 * most_ms      the longest time that a value of the kind is put for.
 * deadline_ms  monotonic; 0 = only the budget counts.
 * out          array[strlen(kinds)]; freed by frt_shared_value_free.
 */
enum frt_shared_answer frt_shared_cache_get(struct frt_shared_cache *cache, const uint8_t key[32],
                                            const char *kinds, const int64_t *most_ms, int64_t deadline_ms,
                                            struct frt_shared_value *out);
void frt_shared_value_free(struct frt_shared_value *value);
/** A value that was good to the seal, but not to who knows what is in it. Counted. */
void frt_shared_cache_refuse(struct frt_shared_cache *cache);
/** Have a value written, some time soon; or dropped and counted. Never waits. */
void frt_shared_cache_put(struct frt_shared_cache *cache, const uint8_t key[32], char kind, const void *bytes,
                          size_t size, int64_t ttl_ms);

/**
 * Something happens that may happen `most` times in `window_ms`, over all instances: from the first one on.
 * wait_ms  out: 0 = it may; else how long not to, and then it did not count.
 * False: Redis does not say, within the budget.
 */
bool frt_shared_cache_attempt(struct frt_shared_cache *cache, const void *what, size_t size, uint32_t most,
                              uint32_t window_ms, uint32_t *wait_ms);
/** It does not count after all. */
void frt_shared_cache_refund(struct frt_shared_cache *cache, const void *what, size_t size);

struct frt_shared_cache_stats {
    char address[512]; /* without credentials */
    char why[200];     /* "" unless it is away */
    bool up;
    uint32_t servers, servers_up, connections, budget_ms;
    uint64_t hits, misses; /* Redis answered */
    uint64_t away, late;   /* it was not asked, or did not answer in time */
    uint64_t refused;      /* misses because of what stood there: forged, cut, another key's, … */
    uint64_t stored, store_dropped,
        store_failed; /* dropped: no room in the queue, too large, or Redis was away */
    uint64_t limited; /* attempts that were refused */
    uint64_t falls, returns, redirected;
    uint64_t lookups_ns; /* time of all look-ups */
    uint32_t queued;
    uint64_t queued_bytes;
};
void frt_shared_cache_stats_get(struct frt_shared_cache *cache, struct frt_shared_cache_stats *out);

#endif
