#include "cache/cache.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"

enum { FIRST_BUCKETS = 64, POLL_MS = 50 };

/* Two orders: by use (the least recently used leaves for room) and by age (the oldest leaves by its time). */
struct link {
    struct link *before, *after;
};

struct entry {
    struct entry *next; /* in its bucket */
    struct link use, age;
    struct frt_cache_key key;
    void *value;
    size_t bytes;
    int64_t expires_ns;
    uint32_t loans; /* and one for the cache while it holds it */
    bool listed;    /* is in the cache */
};

/* Somebody makes a value, and others wait for him. On the maker's stack. */
struct flight {
    struct flight *next;
    struct frt_cache_key key;
    pthread_cond_t landed_signal;
    uint32_t waiting;
    bool landed;
    bool removed;        /* the key was taken out meanwhile: the value is not put in */
    struct entry *entry; /* of a success; the flight holds a loan for each who waits */
    enum frt_status status;
    struct frt_error err;
};

struct frt_cache {
    struct frt_cache_options options;
    pthread_mutex_t lock; /* guards everything below */
    struct entry **buckets;
    size_t n_buckets;           /* a power of two */
    struct link by_use, by_age; /* rings; .after is the first to leave */
    struct flight *flights;
    struct frt_cache_stats stats;
};

#define ENTRY_OF(link_, member) ((struct entry *)(void *)((char *)(link_)-offsetof(struct entry, member)))

static void ring_init(struct link *ring)
{
    ring->before = ring->after = ring;
}

static void ring_add(struct link *ring, struct link *link)
{
    link->before = ring->before;
    link->after = ring;
    ring->before->after = link;
    ring->before = link;
}

static void ring_take(struct link *link)
{
    link->before->after = link->after;
    link->after->before = link->before;
}

static bool same(const struct frt_cache_key *a, const struct frt_cache_key *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static int64_t now_ns(const struct frt_cache *cache)
{
    return cache->options.clock->monotonic_ns(cache->options.clock);
}

/* -------------------------------------------------------------- life */

enum frt_status frt_cache_new(const struct frt_cache_options *options, struct frt_cache **out,
                              struct frt_error *err)
{
    struct frt_cache *cache = frt_alloc_zero(1, sizeof *cache);
    if (cache == NULL)
        return frt_fail_nomem(err, "a cache");
    cache->options = *options;
    if (cache->options.clock == NULL)
        cache->options.clock = &frt_clock_system;
    if (cache->options.bytes == 0)
        cache->options.bytes = UINT64_MAX;
    cache->n_buckets = FIRST_BUCKETS;
    cache->buckets = frt_alloc_zero(cache->n_buckets, sizeof *cache->buckets);
    if (cache->buckets == NULL) {
        frt_free(cache);
        return frt_fail_nomem(err, "a cache");
    }
    (void)pthread_mutex_init(&cache->lock, NULL);
    ring_init(&cache->by_use);
    ring_init(&cache->by_age);
    cache->stats.name = options->name;
    cache->stats.capacity = options->entries;
    cache->stats.capacity_bytes = options->bytes;
    cache->stats.ttl_ms = options->ttl_ms;
    *out = cache;
    return FRT_OK;
}

/* Those who left the cache and are on loan to nobody: freed outside the lock. */
struct leaving {
    struct entry *first;
};

static void drop_locked(struct entry *entry, struct leaving *leaving)
{
    if (--entry->loans == 0) {
        entry->next = leaving->first;
        leaving->first = entry;
    }
}

static void free_leaving(const struct frt_cache *cache, struct leaving *leaving)
{
    while (leaving->first != NULL) {
        struct entry *entry = leaving->first;
        leaving->first = entry->next;
        if (cache->options.free_value != NULL)
            cache->options.free_value(entry->value);
        frt_free(entry);
    }
}

static struct entry **bucket_of(const struct frt_cache *cache, const struct frt_cache_key *key)
{
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    return &cache->buckets[hash & (cache->n_buckets - 1)];
}

static struct entry *find_locked(const struct frt_cache *cache, const struct frt_cache_key *key)
{
    struct entry *entry = *bucket_of(cache, key);
    while (entry != NULL && !same(&entry->key, key))
        entry = entry->next;
    return entry;
}

static void unlist_locked(struct frt_cache *cache, struct entry *entry, struct leaving *leaving)
{
    struct entry **at = bucket_of(cache, &entry->key);
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    ring_take(&entry->use);
    ring_take(&entry->age);
    entry->listed = false;
    cache->stats.entries--;
    cache->stats.bytes -= entry->bytes;
    drop_locked(entry, leaving);
}

static void expire_locked(struct frt_cache *cache, int64_t now, struct leaving *leaving)
{
    while (cache->by_age.after != &cache->by_age) {
        struct entry *oldest = ENTRY_OF(cache->by_age.after, age);
        if (oldest->expires_ns > now)
            break;
        cache->stats.expirations++;
        unlist_locked(cache, oldest, leaving);
    }
}

/* Would so much more be too much? */
static bool crowded_locked(const struct frt_cache *cache, uint64_t more, uint64_t more_bytes)
{
    const uint64_t entries = cache->stats.entries + more, bytes = cache->stats.bytes + more_bytes;
    const bool spared = cache->options.keep_one && entries == 1;
    return entries > cache->options.entries || (bytes > cache->options.bytes && !spared);
}

static void make_room_locked(struct frt_cache *cache, uint64_t more, uint64_t more_bytes,
                             struct leaving *leaving)
{
    while (cache->stats.entries > 0 && crowded_locked(cache, more, more_bytes)) {
        cache->stats.evictions++;
        unlist_locked(cache, ENTRY_OF(cache->by_use.after, use), leaving);
    }
}

void frt_cache_clear(struct frt_cache *cache)
{
    struct leaving leaving = {0};
    (void)pthread_mutex_lock(&cache->lock);
    while (cache->by_use.after != &cache->by_use)
        unlist_locked(cache, ENTRY_OF(cache->by_use.after, use), &leaving);
    for (struct flight *f = cache->flights; f != NULL; f = f->next)
        f->removed = true;
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
}

void frt_cache_free(struct frt_cache *cache)
{
    if (cache == NULL)
        return;
    frt_cache_clear(cache);
    (void)pthread_mutex_destroy(&cache->lock);
    frt_free(cache->buckets);
    frt_free(cache);
}

/* --------------------------------------------------------------- values */

/* More buckets when there are as many entries; without memory it goes on with longer chains. */
static void widen_locked(struct frt_cache *cache)
{
    size_t n = cache->n_buckets * 2;
    struct entry **before = cache->buckets, **buckets;
    if (cache->stats.entries < cache->n_buckets)
        return;
    buckets = frt_alloc_zero(n, sizeof *buckets);
    if (buckets == NULL)
        return;
    size_t n_before = cache->n_buckets;
    cache->buckets = buckets;
    cache->n_buckets = n;
    for (size_t i = 0; i < n_before; i++) {
        for (struct entry *e = before[i], *next; e != NULL; e = next) {
            struct entry **at = bucket_of(cache, &e->key);
            next = e->next;
            e->next = *at;
            *at = e;
        }
    }
    frt_free(before);
}

/* The entry, its time not over, used now; NULL when there is none. A loan. */
static struct entry *use_locked(struct frt_cache *cache, const struct frt_cache_key *key,
                                struct leaving *leaving)
{
    int64_t now = now_ns(cache);
    expire_locked(cache, now, leaving);
    struct entry *entry = find_locked(cache, key);
    if (entry == NULL)
        return NULL;
    ring_take(&entry->use);
    ring_add(&cache->by_use, &entry->use);
    if (cache->options.sliding) {
        entry->expires_ns = now + cache->options.ttl_ms * 1000000;
        ring_take(&entry->age);
        ring_add(&cache->by_age, &entry->age);
    }
    entry->loans++;
    return entry;
}

/* Puts an entry that nobody has seen into the cache, unless it cannot be kept. */
static void list_locked(struct frt_cache *cache, struct entry *entry, struct leaving *leaving)
{
    int64_t now = now_ns(cache);
    expire_locked(cache, now, leaving);
    struct entry *before = find_locked(cache, &entry->key);
    if (before != NULL)
        unlist_locked(cache, before, leaving);
    if (cache->options.entries == 0 || (entry->bytes > cache->options.bytes && !cache->options.keep_one))
        return;
    make_room_locked(cache, 1, entry->bytes, leaving);
    widen_locked(cache);
    struct entry **at = bucket_of(cache, &entry->key);
    entry->next = *at;
    *at = entry;
    ring_add(&cache->by_use, &entry->use);
    ring_add(&cache->by_age, &entry->age);
    entry->expires_ns = now + cache->options.ttl_ms * 1000000;
    entry->loans++;
    entry->listed = true;
    cache->stats.entries++;
    cache->stats.bytes += entry->bytes;
}

bool frt_cache_get(struct frt_cache *cache, const struct frt_cache_key *key, struct frt_cache_loan *out)
{
    struct leaving leaving = {0};
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = use_locked(cache, key, &leaving);
    if (entry != NULL)
        cache->stats.hits++;
    else
        cache->stats.misses++;
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
    if (entry == NULL)
        return false;
    *out = (struct frt_cache_loan){entry->value, entry};
    return true;
}

bool frt_cache_peek(struct frt_cache *cache, const struct frt_cache_key *key, struct frt_cache_loan *out)
{
    struct leaving leaving = {0};
    (void)pthread_mutex_lock(&cache->lock);
    expire_locked(cache, now_ns(cache), &leaving);
    struct entry *entry = find_locked(cache, key);
    if (entry != NULL)
        entry->loans++;
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
    if (entry == NULL)
        return false;
    *out = (struct frt_cache_loan){entry->value, entry};
    return true;
}

void frt_cache_return(struct frt_cache *cache, struct frt_cache_loan *loan)
{
    struct leaving leaving = {0};
    if (loan->entry == NULL)
        return;
    (void)pthread_mutex_lock(&cache->lock);
    drop_locked(loan->entry, &leaving);
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
    *loan = (struct frt_cache_loan){0};
}

static struct entry *entry_new(const struct frt_cache_key *key, void *value, size_t bytes)
{
    struct entry *entry = frt_alloc_zero(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->key = *key;
    entry->value = value;
    entry->bytes = bytes;
    entry->loans = 1; /* the caller's */
    return entry;
}

void frt_cache_put(struct frt_cache *cache, const struct frt_cache_key *key, void *value, size_t bytes)
{
    struct leaving leaving = {0};
    struct entry *entry = entry_new(key, value, bytes);
    if (entry == NULL) {
        (void)frt_cache_remove(cache, key);
        if (cache->options.free_value != NULL)
            cache->options.free_value(value);
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    list_locked(cache, entry, &leaving);
    drop_locked(entry, &leaving);
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
}

bool frt_cache_resize(struct frt_cache *cache, const struct frt_cache_key *key, size_t bytes)
{
    struct leaving leaving = {0};
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = find_locked(cache, key);
    if (entry != NULL) {
        cache->stats.bytes = cache->stats.bytes - entry->bytes + bytes;
        entry->bytes = bytes;
        if (bytes > cache->options.bytes && !cache->options.keep_one) {
            cache->stats.evictions++; /* no room made by others would do */
            unlist_locked(cache, entry, &leaving);
        } else {
            make_room_locked(cache, 0, 0, &leaving);
        }
    }
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
    return entry != NULL;
}

bool frt_cache_remove(struct frt_cache *cache, const struct frt_cache_key *key)
{
    struct leaving leaving = {0};
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = find_locked(cache, key);
    if (entry != NULL)
        unlist_locked(cache, entry, &leaving);
    for (struct flight *f = cache->flights; f != NULL; f = f->next)
        f->removed = f->removed || same(&f->key, key);
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
    return entry != NULL;
}

void frt_cache_expire(struct frt_cache *cache)
{
    struct leaving leaving = {0};
    (void)pthread_mutex_lock(&cache->lock);
    expire_locked(cache, now_ns(cache), &leaving);
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
}

struct frt_cache_stats frt_cache_stats_get(struct frt_cache *cache)
{
    struct leaving leaving = {0};
    (void)pthread_mutex_lock(&cache->lock);
    expire_locked(cache, now_ns(cache), &leaving);
    struct frt_cache_stats stats = cache->stats;
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
    return stats;
}

/* -------------------------------------------------------------- flights */

/* A failure that says nothing about the input: who waits tries himself. */
static bool is_own(enum frt_status status)
{
    return status == FRT_ETIMEOUT || status == FRT_ECANCELLED || status == FRT_EOVERLOADED ||
           status == FRT_ENOMEM || status == FRT_EUNAVAILABLE;
}

static struct flight *flight_of_locked(struct frt_cache *cache, const struct frt_cache_key *key)
{
    struct flight *f = cache->flights;
    while (f != NULL && (f->removed || !same(&f->key, key)))
        f = f->next;
    return f;
}

/* FRT_OK: it has landed. The lock is let go while the caller's own function is asked. */
static enum frt_status await_locked(struct frt_cache *cache, struct flight *flight,
                                    const struct frt_cache_wait *wait)
{
    enum frt_status status = FRT_OK;
    while (!flight->landed && status == FRT_OK) {
        int64_t until = frt_now_ns() + (int64_t)POLL_MS * 1000000;
        if (wait->deadline_ms != 0 && wait->deadline_ms * 1000000 < until)
            until = wait->deadline_ms * 1000000;
        struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = (long)(until % 1000000000)};
        if (pthread_cond_timedwait(&flight->landed_signal, &cache->lock, &t) != ETIMEDOUT || flight->landed)
            continue;
        if (wait->deadline_ms != 0 && frt_now_ns() / 1000000 >= wait->deadline_ms) {
            status = FRT_ETIMEOUT;
        } else if (wait->cancelled != NULL) {
            (void)pthread_mutex_unlock(&cache->lock);
            bool cancelled = wait->cancelled(wait->cancelled_arg);
            (void)pthread_mutex_lock(&cache->lock);
            status = cancelled && !flight->landed ? FRT_ECANCELLED : FRT_OK;
        }
    }
    return status;
}

/* Waits for the flight of another. *entry NULL with FRT_OK: it failed for a reason of the maker's own. */
static enum frt_status share_locked(struct frt_cache *cache, struct flight *flight,
                                    const struct frt_cache_wait *wait, struct entry **entry,
                                    struct frt_error *err)
{
    flight->waiting++;
    enum frt_status status = await_locked(cache, flight, wait);
    *entry = NULL;
    if (status == FRT_ETIMEOUT) {
        status = frt_fail(err, status, "the deadline passed while another worked on the same");
    } else if (status == FRT_ECANCELLED) {
        status = frt_fail(err, status, "the caller gave up");
    } else if (flight->status == FRT_OK) {
        *entry = flight->entry;
        (*entry)->loans++;
    } else if (!is_own(flight->status)) {
        status = flight->status;
        if (err != NULL)
            *err = flight->err;
    }
    if (--flight->waiting == 0 && flight->landed)
        (void)pthread_cond_broadcast(&flight->landed_signal); /* the maker waits for his stack to be free */
    return status;
}

/* Makes the value; the lock is let go meanwhile. The flight has landed when this returns, and nobody looks at
 * it any more. */
static enum frt_status fly_locked(struct frt_cache *cache, struct flight *flight,
                                  enum frt_status (*make)(void *arg, void **value, size_t *bytes,
                                                          struct frt_error *err),
                                  void *arg, struct leaving *leaving)
{
    void *value = NULL;
    size_t bytes = 0;
    flight->next = cache->flights;
    cache->flights = flight;
    (void)pthread_mutex_unlock(&cache->lock);
    flight->status = make(arg, &value, &bytes, &flight->err);
    if (flight->status == FRT_OK) {
        flight->entry = entry_new(&flight->key, value, bytes);
        if (flight->entry == NULL) {
            flight->status = frt_fail_nomem(&flight->err, "a cache entry");
            if (cache->options.free_value != NULL)
                cache->options.free_value(value);
        }
    }
    (void)pthread_mutex_lock(&cache->lock);
    if (flight->status == FRT_OK && !flight->removed)
        list_locked(cache, flight->entry, leaving);
    struct flight **at = &cache->flights;
    while (*at != flight)
        at = &(*at)->next;
    *at = flight->next;
    flight->landed = true;
    (void)pthread_cond_broadcast(&flight->landed_signal);
    while (flight->waiting > 0)
        (void)pthread_cond_wait(&flight->landed_signal, &cache->lock);
    return flight->status;
}

enum frt_status frt_cache_fetch(
    struct frt_cache *cache, const struct frt_cache_key *key, const struct frt_cache_wait *wait,
    enum frt_status (*make)(void *arg, void **value, size_t *bytes, struct frt_error *err), void *arg,
    struct frt_cache_loan *out, enum frt_cache_source *source, struct frt_error *err)
{
    static const struct frt_cache_wait patient = {0};
    struct leaving leaving = {0};
    struct flight own = {.key = *key}, *flight;
    enum frt_cache_source from = FRT_CACHE_HIT;
    enum frt_status status = FRT_OK;
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = use_locked(cache, key, &leaving);
    while (entry == NULL && status == FRT_OK && (flight = flight_of_locked(cache, key)) != NULL) {
        from = FRT_CACHE_SHARED;
        status = share_locked(cache, flight, wait == NULL ? &patient : wait, &entry, err);
        if (entry == NULL && status == FRT_OK)
            entry = use_locked(cache, key, &leaving);
    }
    if (entry == NULL && status == FRT_OK) {
        pthread_condattr_t attributes;
        from = FRT_CACHE_MADE;
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&own.landed_signal, &attributes);
        (void)pthread_condattr_destroy(&attributes);
        status = fly_locked(cache, &own, make, arg, &leaving);
        (void)pthread_cond_destroy(&own.landed_signal);
        entry = status == FRT_OK ? own.entry : NULL;
        if (status != FRT_OK && err != NULL)
            *err = own.err;
    }
    if (from == FRT_CACHE_HIT)
        cache->stats.hits++;
    else if (from == FRT_CACHE_SHARED)
        cache->stats.shared++;
    else
        cache->stats.misses++;
    (void)pthread_mutex_unlock(&cache->lock);
    free_leaving(cache, &leaving);
    if (status != FRT_OK)
        return status;
    *out = (struct frt_cache_loan){entry->value, entry};
    if (source != NULL)
        *source = from;
    return FRT_OK;
}
