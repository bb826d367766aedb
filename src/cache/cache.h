/*
 * A bounded cache whose values expire: at most so many values, so many bytes, so long.
 *
 *     key (32 bytes of a cryptographic hash) ─ fetch ─┬─ there: the value, on loan
 *                                                     └─ not there: one caller makes it, the others wait for
 * him
 *
 * Values are immutable and shared: a loan keeps one alive after it has left the cache. A value leaves when its
 * time is over, when room is needed (the replacement policy chooses), or when it is removed; it never needs a
 * scan: expiry is kept in order.
 *
 * Threading: internally locked. `make` and `free_value` run outside every lock. Lock order: a leaf.
 */
#ifndef FRT_CACHE_CACHE_H
#define FRT_CACHE_CACHE_H

#include "core/clock.h"
#include "core/status.h"

enum { FRT_CACHE_KEY_BYTES = 32 };

struct frt_cache;

/* Not a text and not chosen by a client: the first bytes are taken for a uniform hash. */
struct frt_cache_key {
    uint8_t bytes[FRT_CACHE_KEY_BYTES];
};

struct frt_cache_options {
    const char *name;              /* "embedding"; static storage */
    uint64_t entries;              /* values at most; 0 = nothing is kept (work in flight is still shared) */
    uint64_t bytes;                /* of all values together at most; 0 = as many as `entries` allows */
    int64_t ttl_ms;                /* from when it was put, or last used (sliding); >= 1 */
    bool sliding;                  /* a use renews the time */
    bool keep_one;                 /* one value alone may be larger than `bytes` */
    const struct frt_clock *clock; /* borrowed; NULL = the system's */
    void (*free_value)(void *value);
};

/** Errors: FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_cache_new(const struct frt_cache_options *options, struct frt_cache **out,
                                            struct frt_error *err);
/** No loan may be out and no call running. NULL is fine. */
void frt_cache_free(struct frt_cache *cache);

/** A value on loan: valid until it is given back. */
struct frt_cache_loan {
    void *value; /* NULL: none */
    void *entry; /* the cache's own */
};

/** The value, when it is there and its time is not over. Counts a hit or a miss. */
bool frt_cache_get(struct frt_cache *cache, const struct frt_cache_key *key, struct frt_cache_loan *out);
/** As frt_cache_get, but a look only: nothing is counted, renewed or moved to the front. */
bool frt_cache_peek(struct frt_cache *cache, const struct frt_cache_key *key, struct frt_cache_loan *out);
/** Give a loan back, once; zeroes it. A zero loan is fine. */
void frt_cache_return(struct frt_cache *cache, struct frt_cache_loan *loan);
/**
 * Put a value in the place of the one that stands there, if any. CONSUMES value, also when it cannot be kept
 * (larger than the cache, no memory).
 * bytes  what it costs, its own structures included.
 */
void frt_cache_put(struct frt_cache *cache, const struct frt_cache_key *key, void *value, size_t bytes);
/** A value's cost has changed. False when it is not there. */
bool frt_cache_resize(struct frt_cache *cache, const struct frt_cache_key *key, size_t bytes);
/** Take a value out; false when it was not there. Who is making it now (fetch) does not put it in afterwards.
 */
bool frt_cache_remove(struct frt_cache *cache, const struct frt_cache_key *key);
void frt_cache_clear(struct frt_cache *cache);
/** Let those leave whose time is over, without waiting for the next call to find them. */
void frt_cache_expire(struct frt_cache *cache);

enum frt_cache_source { FRT_CACHE_HIT = 0, FRT_CACHE_MADE, FRT_CACHE_SHARED /* another's work, awaited */ };

/* How long somebody waits for another's work. */
struct frt_cache_wait {
    int64_t deadline_ms; /* monotonic; 0 = none */
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

/**
 * The value, or make it; of several callers with one key, one makes it and the others wait for him.
 *
 * make    called without a lock, at most once a call; writes *value (owned) and *bytes, or fails.
 * source  out: where the value came from; may be NULL. Counted: hit; miss (made); shared.
 * Errors: make's own. A failure that lies in the input (FRT_EBAD_IMAGE, …) is told to those who wait, too; one
 *         that does not (FRT_ETIMEOUT, FRT_ECANCELLED, FRT_EOVERLOADED, FRT_ENOMEM, FRT_EUNAVAILABLE) is the
 *         maker's own, and one who waits makes it anew. FRT_ETIMEOUT, FRT_ECANCELLED while waiting.
 */
FRT_NODISCARD enum frt_status frt_cache_fetch(
    struct frt_cache *cache, const struct frt_cache_key *key, const struct frt_cache_wait *wait,
    enum frt_status (*make)(void *arg, void **value, size_t *bytes, struct frt_error *err), void *arg,
    struct frt_cache_loan *out, enum frt_cache_source *source, struct frt_error *err);

struct frt_cache_stats {
    const char *name;
    uint64_t hits, misses, shared;
    uint64_t entries, capacity, bytes, capacity_bytes;
    uint64_t evictions, expirations;
    int64_t ttl_ms;
};
struct frt_cache_stats frt_cache_stats_get(struct frt_cache *cache);

#endif
