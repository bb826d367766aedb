/*
 * Values whose lives are counted, a clock that stands still, and keys by number: what every test of a cache
 * needs.
 */
#ifndef TESTS_CACHE_COUNTED_VALUE_H
#define TESTS_CACHE_COUNTED_VALUE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/cache.h"

#define VALUE_ALIVE UINT32_C(0x616c6976)

struct counted_value {
    uint32_t magic;
    uint64_t number;
};

static _Atomic int64_t values_alive;

/* Not of the project's heap: what a torture test makes fail is the cache's own memory. */
static inline struct counted_value *value_new(uint64_t number)
{
    struct counted_value *value = malloc(sizeof *value);
    if (value == NULL)
        abort();
    *value = (struct counted_value){VALUE_ALIVE, number};
    atomic_fetch_add(&values_alive, 1);
    return value;
}

static inline void value_free(void *arg)
{
    struct counted_value *value = arg;
    if (value->magic != VALUE_ALIVE)
        abort(); /* freed twice */
    value->magic = 0;
    atomic_fetch_sub(&values_alive, 1);
    free(value);
}

static inline uint64_t number_in(const struct frt_cache_loan *loan)
{
    const struct counted_value *value = loan->value;
    if (value->magic != VALUE_ALIVE)
        abort(); /* gone while on loan */
    return value->number;
}

struct still_clock {
    struct frt_clock base;
    _Atomic int64_t now_ns;
};

static inline int64_t still_now(const struct frt_clock *clock)
{
    return atomic_load(&((struct still_clock *)(uintptr_t)clock)->now_ns);
}

static inline void clock_init(struct still_clock *clock)
{
    clock->base = (struct frt_clock){.monotonic_ns = still_now, .wall_ns = still_now};
    atomic_store(&clock->now_ns, 1000000000);
}

static inline void clock_pass_ms(struct still_clock *clock, int64_t ms)
{
    atomic_fetch_add(&clock->now_ns, ms * 1000000);
}

/* Spread as a hash is. */
static inline struct frt_cache_key key_of(uint64_t number)
{
    struct frt_cache_key key = {{0}};
    for (uint64_t i = 0; i < sizeof key.bytes / sizeof(uint64_t); i++) {
        uint64_t z = (number + i * 1000003 + 1) * UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        memcpy(key.bytes + i * sizeof z, &z, sizeof z);
    }
    return key;
}

static inline struct frt_cache *cache_of(const struct frt_cache_options *options)
{
    struct frt_cache *cache = NULL;
    struct frt_cache_options o = *options;
    o.name = "test";
    o.free_value = value_free;
    if (o.ttl_ms == 0)
        o.ttl_ms = 1000;
    assert_int_equal(frt_cache_new(&o, &cache, NULL), FRT_OK);
    return cache;
}

static inline void put(struct frt_cache *cache, uint64_t number, size_t bytes)
{
    const struct frt_cache_key key = key_of(number);
    frt_cache_put(cache, &key, value_new(number), bytes);
}

/* Is it there? A get, given back. */
static inline bool has(struct frt_cache *cache, uint64_t number)
{
    const struct frt_cache_key key = key_of(number);
    struct frt_cache_loan loan = {0};
    if (!frt_cache_get(cache, &key, &loan))
        return false;
    assert_int_equal(number_in(&loan), number);
    frt_cache_return(cache, &loan);
    return true;
}

#endif
