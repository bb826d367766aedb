/*
 * What stands in a shared cache, and under which names: docs/formats/redis-v1.md.
 *
 * Whoever can write to the cache is not trusted: a value is sealed with a key that only the instances have (it
 * comes from their store), together with its name and the time at which it is over. What was changed, cut,
 * moved to another name, kept too long or made with another key is refused. Whoever can read it learns nothing
 * either: values are encrypted, and names are keyed hashes.
 *
 * Threading: pure over its arguments.
 */
#ifndef FRT_CACHE_SHARED_VALUE_H
#define FRT_CACHE_SHARED_VALUE_H

#include "core/crypto.h"

enum {
    FRT_SHARED_HEAD_BYTES = 20,
    FRT_SHARED_EXTRA_BYTES = FRT_SHARED_HEAD_BYTES + FRT_SEAL_EXTRA_BYTES,
    FRT_SHARED_NAME_SIZE = 64,
    FRT_SHARED_KEY_ID_BYTES = 4
};

struct frt_shared_keys {
    uint8_t name[FRT_HMAC_BYTES], seal[FRT_SEAL_KEY_BYTES], id[FRT_SHARED_KEY_ID_BYTES];
};
/** From a secret of the store. */
void frt_shared_keys_derive(const uint8_t secret[32], struct frt_shared_keys *out);

/**
 * "frt:1:{43 characters}:e". All kinds of one thing have one tag, and so one place in a cluster.
 * edition  whatever else the value depends on, e.g. the versions of what made it.
 */
void frt_shared_name(const struct frt_shared_keys *keys, char kind, const char *edition, const void *key,
                     size_t key_size, char out[FRT_SHARED_NAME_SIZE]);

/** The name of another kind of the same thing. */
void frt_shared_name_of_kind(const char *name, char kind, char out[FRT_SHARED_NAME_SIZE]);

/** expires_ms  wall time. out: u8[size + FRT_SHARED_EXTRA_BYTES] */
void frt_shared_seal(const struct frt_shared_keys *keys, const char *name, int64_t expires_ms,
                     const void *bytes, size_t size, uint8_t *out);

enum frt_shared_verdict {
    FRT_SHARED_GOOD = 0,
    FRT_SHARED_SHORT,  /* cut, or none of ours */
    FRT_SHARED_ALIEN,  /* another version, or sealed with another key */
    FRT_SHARED_OVER,   /* its time is over, or ends later than any of ours may */
    FRT_SHARED_FORGED, /* changed, or not of this name */
    FRT_SHARED_VERDICTS
};
/** "cut", …; static storage. */
const char *frt_shared_verdict_name(enum frt_shared_verdict verdict);
/**
 * The opposite of frt_shared_seal.
 * most_ms  the longest time that a value is given.
 * out      u8[size - FRT_SHARED_EXTRA_BYTES]; unspecified unless good.
 * left_ms  out: how long it may still be used.
 */
enum frt_shared_verdict frt_shared_unseal(const struct frt_shared_keys *keys, const char *name, int64_t now_ms,
                                          int64_t most_ms, const void *sealed, size_t size, uint8_t *out,
                                          int64_t *left_ms);

#endif
