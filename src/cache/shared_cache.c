#include "cache/shared_cache.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cache/redis_pool.h"
#include "cache/shared_value.h"
#include "core/log.h"
#include "core/mem.h"

enum {
    MAX_QUEUED = 256,
    MAX_QUEUED_BYTES = 8 << 20,
    WRITE_MS = 1000, /* nobody waits for a write but the writer */
    TELL_EVERY_MS = 60000,
    EDITION_SIZE = 128,
    SEALED_MAX = FRT_SHARED_MAX_VALUE_BYTES + FRT_SHARED_EXTRA_BYTES
};

/* Counts, and says no without counting once there were ARGV[1] within ARGV[2] ms. A key that lost its time gets
 * one. */
static const char attempt_script[] = "local n = tonumber(redis.call('GET', KEYS[1])) or 0 "
                                     "local t = redis.call('PTTL', KEYS[1]) "
                                     "if n >= tonumber(ARGV[1]) and t > 0 then return t end "
                                     "n = redis.call('INCR', KEYS[1]) "
                                     "if n == 1 or t < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end "
                                     "return 0";
static const char refund_script[] = "if (tonumber(redis.call('GET', KEYS[1])) or 0) > 0 then "
                                    "return redis.call('DECR', KEYS[1]) end return 0";

/* A value on its way: sealed. */
struct writing {
    struct writing *next;
    char name[FRT_SHARED_NAME_SIZE];
    int64_t expires_ms;
    size_t size;
    uint8_t bytes[];
};

struct frt_shared_cache {
    struct frt_redis *redis;
    struct frt_shared_keys keys;
    const struct frt_clock *clock;
    uint32_t budget_ms;
    char edition[EDITION_SIZE];
    char address[FRT_REDIS_TEXT_SIZE];
    pthread_t writer;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work;
    struct writing *first, **last;
    struct frt_shared_cache_stats stats;
    int64_t told_refused_ns, told_failed_ns;
    bool stop;
};

static int64_t wall_ms(const struct frt_shared_cache *cache)
{
    return cache->clock->wall_ns(cache->clock) / 1000000;
}

/* One line a minute; false: not now. */
static bool may_tell_locked(int64_t *told_ns)
{
    const int64_t now = frt_now_ns();
    if (*told_ns != 0 && now - *told_ns < (int64_t)TELL_EVERY_MS * 1000000)
        return false;
    *told_ns = now;
    return true;
}

/* -------------------------------------------------------------------- writer */

/* What Redis says against a SET: its first word is enough, the rest may be anything. */
static void tell_failed(struct frt_shared_cache *cache, const struct frt_redis_reply *reply)
{
    char word[32];
    const char *text = frt_redis_reply_text(reply, NULL);
    (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(text, " "), text);
    (void)pthread_mutex_lock(&cache->lock);
    const bool tell = may_tell_locked(&cache->told_failed_ns);
    (void)pthread_mutex_unlock(&cache->lock);
    if (tell)
        frt_log(FRT_LOG_WARN, "redis does not store", FRT_LOG_STR("why", word), FRT_LOG_END);
}

enum fate { STORED, DROPPED, FAILED };

static enum fate write_one(struct frt_shared_cache *cache, const struct writing *w)
{
    char ms[24];
    struct frt_redis_command set = {0};
    struct frt_redis_reply *reply = NULL;
    const int64_t left_ms = w->expires_ms - wall_ms(cache);
    if (left_ms <= 0)
        return DROPPED;
    frt_redis_word(&set, "SET");
    frt_redis_word(&set, w->name);
    frt_redis_word_bytes(&set, w->bytes, w->size);
    frt_redis_word(&set, "PX");
    frt_redis_word_int(&set, left_ms, ms);
    const int64_t deadline_ns = frt_now_ns() + (int64_t)WRITE_MS * 1000000;
    const enum frt_redis_outcome outcome = frt_redis_call(cache->redis, w->name, &set, 1, deadline_ns, &reply);
    if (outcome != FRT_REDIS_ANSWERED)
        return outcome == FRT_REDIS_AWAY ? DROPPED : FAILED;
    const bool good = frt_redis_reply_kind(reply) == FRT_REDIS_TEXT;
    if (!good)
        tell_failed(cache, reply);
    frt_redis_reply_free(reply);
    return good ? STORED : FAILED;
}

static void *write_all(void *arg)
{
    struct frt_shared_cache *cache = arg;
    (void)pthread_mutex_lock(&cache->lock);
    for (;;) {
        while (cache->first == NULL && !cache->stop)
            (void)pthread_cond_wait(&cache->work, &cache->lock);
        if (cache->stop)
            break;
        struct writing *w = cache->first;
        cache->first = w->next;
        if (cache->first == NULL)
            cache->last = &cache->first;
        (void)pthread_mutex_unlock(&cache->lock);
        const enum fate fate = write_one(cache, w);
        (void)pthread_mutex_lock(&cache->lock);
        cache->stats.stored += fate == STORED;
        cache->stats.store_dropped += fate == DROPPED;
        cache->stats.store_failed += fate == FAILED;
        cache->stats.queued--;
        cache->stats.queued_bytes -= w->size;
        frt_free(w);
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return NULL;
}

/* -------------------------------------------------------------------- life */

static void abandon(struct frt_shared_cache *cache)
{
    frt_redis_free(cache->redis);
    frt_wipe(&cache->keys, sizeof cache->keys);
    frt_free(cache);
}

enum frt_status frt_shared_cache_new(const struct frt_shared_cache_options *options,
                                     struct frt_shared_cache **out, struct frt_error *err)
{
    struct frt_redis_address address;
    const struct frt_redis_options redis = {.address = &address,
                                            .password_file = options->password_file,
                                            .ca_file = options->ca_file,
                                            .cert_file = options->cert_file,
                                            .budget_ms = options->budget_ms};
    struct frt_shared_cache *cache = frt_alloc_zero(1, sizeof *cache);
    if (cache == NULL)
        return frt_fail_nomem(err, "a shared cache");
    cache->clock = options->clock == NULL ? &frt_clock_system : options->clock;
    cache->budget_ms = options->budget_ms;
    cache->last = &cache->first;
    (void)snprintf(cache->edition, sizeof cache->edition, "%s", options->edition);
    frt_shared_keys_derive(options->secret, &cache->keys);
    enum frt_status status = frt_redis_address_parse(options->address, &address, err);
    if (status == FRT_OK) {
        frt_redis_address_text(&address, cache->address);
        status = frt_redis_new(&redis, &cache->redis, err);
        frt_wipe(&address, sizeof address);
    }
    if (status != FRT_OK) {
        abandon(cache);
        return status;
    }
    (void)pthread_mutex_init(&cache->lock, NULL);
    (void)pthread_cond_init(&cache->work, NULL);
    if (pthread_create(&cache->writer, NULL, write_all, cache) != 0) {
        (void)pthread_cond_destroy(&cache->work);
        (void)pthread_mutex_destroy(&cache->lock);
        abandon(cache);
        return frt_fail_nomem(err, "a thread for the shared cache");
    }
    *out = cache;
    return FRT_OK;
}

void frt_shared_cache_free(struct frt_shared_cache *cache)
{
    if (cache == NULL)
        return;
    (void)pthread_mutex_lock(&cache->lock);
    cache->stop = true;
    (void)pthread_cond_signal(&cache->work);
    (void)pthread_mutex_unlock(&cache->lock);
    (void)pthread_join(cache->writer, NULL);
    while (cache->first != NULL) {
        struct writing *w = cache->first;
        cache->first = w->next;
        frt_free(w);
    }
    (void)pthread_cond_destroy(&cache->work);
    (void)pthread_mutex_destroy(&cache->lock);
    abandon(cache);
}

/* ---------------------------------------------------------------- look-ups */

static void refuse(struct frt_shared_cache *cache, const char *why)
{
    (void)pthread_mutex_lock(&cache->lock);
    cache->stats.refused++;
    const bool tell = may_tell_locked(&cache->told_refused_ns);
    (void)pthread_mutex_unlock(&cache->lock);
    if (tell)
        frt_log(FRT_LOG_WARN, "redis value refused", FRT_LOG_STR("why", why), FRT_LOG_END);
}

void frt_shared_cache_refuse(struct frt_shared_cache *cache)
{
    refuse(cache, "what is in it is not right");
}

/* What stands under a name, if it is good. */
static bool take(struct frt_shared_cache *cache, const char *name, const struct frt_redis_reply *reply,
                 int64_t most_ms, struct frt_shared_value *out)
{
    size_t size = 0;
    const char *sealed = frt_redis_reply_text(reply, &size);
    if (frt_redis_reply_kind(reply) == FRT_REDIS_ERROR) {
        refuse(cache, frt_redis_reply_is_error(reply, "WRONGTYPE") ? "it is of another type"
                                                                   : "an error in its place");
        return false;
    }
    if (size == 0)
        return false; /* GETRANGE of nothing is an empty text */
    if (size > SEALED_MAX) {
        refuse(cache, "it is too large");
        return false;
    }
    uint8_t *bytes = frt_alloc(size);
    if (bytes == NULL)
        return false;
    const enum frt_shared_verdict verdict =
        frt_shared_unseal(&cache->keys, name, wall_ms(cache), most_ms, sealed, size, bytes, &out->left_ms);
    if (verdict != FRT_SHARED_GOOD) {
        frt_free(bytes);
        refuse(cache, frt_shared_verdict_name(verdict));
        return false;
    }
    out->bytes = bytes;
    out->size = size - FRT_SHARED_EXTRA_BYTES;
    return true;
}

/* GETRANGE, so that however large a value stands there, not more of it comes than one of ours could have. */
static void get_command(const char *name, char last[24], struct frt_redis_command *out)
{
    frt_redis_word(out, "GETRANGE");
    frt_redis_word(out, name);
    frt_redis_word(out, "0");
    frt_redis_word_int(out, SEALED_MAX, last);
}

static int64_t deadline_of(const struct frt_shared_cache *cache, int64_t now_ns, int64_t deadline_ms)
{
    const int64_t budget_ns = now_ns + (int64_t)cache->budget_ms * 1000000;
    return deadline_ms != 0 && deadline_ms * 1000000 < budget_ns ? deadline_ms * 1000000 : budget_ns;
}

enum frt_shared_answer frt_shared_cache_get(struct frt_shared_cache *cache, const uint8_t key[32],
                                            const char *kinds, const int64_t *most_ms, int64_t deadline_ms,
                                            struct frt_shared_value *out)
{
    char names[FRT_SHARED_MAX_KINDS][FRT_SHARED_NAME_SIZE], last[24];
    struct frt_redis_command commands[FRT_SHARED_MAX_KINDS] = {0};
    struct frt_redis_reply *replies[FRT_SHARED_MAX_KINDS] = {NULL};
    const size_t n = strlen(kinds);
    const int64_t start = frt_now_ns();
    enum frt_redis_outcome outcome = FRT_REDIS_AWAY;
    bool hit = false;
    memset(out, 0, n * sizeof *out);
    const bool up = frt_redis_is_up(cache->redis); /* a name costs some microseconds */
    if (up)
        frt_shared_name(&cache->keys, kinds[0], cache->edition, key, 32, names[0]);
    for (size_t i = 0; up && i < n; i++) {
        if (i > 0)
            frt_shared_name_of_kind(names[0], kinds[i], names[i]);
        get_command(names[i], last, &commands[i]);
    }
    if (up)
        outcome = frt_redis_call(cache->redis, names[0], commands, n, deadline_of(cache, start, deadline_ms),
                                 replies);
    for (size_t i = 0; outcome == FRT_REDIS_ANSWERED && i < n; i++) {
        hit = take(cache, names[i], replies[i], most_ms[i], &out[i]) || hit;
        frt_redis_reply_free(replies[i]);
    }
    (void)pthread_mutex_lock(&cache->lock);
    struct frt_shared_cache_stats *s = &cache->stats;
    s->lookups_ns += (uint64_t)(frt_now_ns() - start);
    s->hits += outcome == FRT_REDIS_ANSWERED && hit;
    s->misses += outcome == FRT_REDIS_ANSWERED && !hit;
    s->away += outcome == FRT_REDIS_AWAY || outcome == FRT_REDIS_BROKEN;
    s->late += outcome == FRT_REDIS_LATE || outcome == FRT_REDIS_BUSY;
    (void)pthread_mutex_unlock(&cache->lock);
    return outcome != FRT_REDIS_ANSWERED ? FRT_SHARED_SKIPPED : hit ? FRT_SHARED_HIT : FRT_SHARED_MISS;
}

void frt_shared_value_free(struct frt_shared_value *value)
{
    if (value->bytes != NULL)
        frt_wipe(value->bytes, value->size);
    frt_free(value->bytes);
    *value = (struct frt_shared_value){.bytes = NULL};
}

void frt_shared_cache_put(struct frt_shared_cache *cache, const uint8_t key[32], char kind, const void *bytes,
                          size_t size, int64_t ttl_ms)
{
    struct writing *w = NULL;
    const size_t sealed = size + FRT_SHARED_EXTRA_BYTES;
    bool room = size <= FRT_SHARED_MAX_VALUE_BYTES && frt_redis_is_up(cache->redis);
    (void)pthread_mutex_lock(&cache->lock);
    room = room && cache->stats.queued < MAX_QUEUED && cache->stats.queued_bytes + sealed <= MAX_QUEUED_BYTES;
    cache->stats.queued += room; /* the place is taken before the work */
    cache->stats.queued_bytes += room ? sealed : 0;
    (void)pthread_mutex_unlock(&cache->lock);
    if (room)
        w = frt_alloc(sizeof *w + sealed);
    if (w != NULL) {
        w->next = NULL;
        w->size = sealed;
        w->expires_ms = wall_ms(cache) + ttl_ms;
        frt_shared_name(&cache->keys, kind, cache->edition, key, 32, w->name);
        frt_shared_seal(&cache->keys, w->name, w->expires_ms, bytes, size, w->bytes);
    }
    (void)pthread_mutex_lock(&cache->lock);
    if (w != NULL) {
        *cache->last = w;
        cache->last = &w->next;
        (void)pthread_cond_signal(&cache->work);
    } else {
        cache->stats.store_dropped++;
        cache->stats.queued -= room;
        cache->stats.queued_bytes -= room ? sealed : 0;
    }
    (void)pthread_mutex_unlock(&cache->lock);
}

/* ------------------------------------------------------------------ limits */

static bool run_script(struct frt_shared_cache *cache, const char *script, const char *name,
                       const char *const *words, size_t n, uint32_t ms, int64_t *out)
{
    struct frt_redis_command eval = {0};
    struct frt_redis_reply *reply = NULL;
    frt_redis_word(&eval, "EVAL");
    frt_redis_word(&eval, script);
    frt_redis_word(&eval, "1");
    frt_redis_word(&eval, name);
    for (size_t i = 0; i < n; i++)
        frt_redis_word(&eval, words[i]);
    const int64_t deadline_ns = frt_now_ns() + (int64_t)ms * 1000000;
    if (frt_redis_call(cache->redis, name, &eval, 1, deadline_ns, &reply) != FRT_REDIS_ANSWERED)
        return false;
    const bool good = frt_redis_reply_kind(reply) == FRT_REDIS_WHOLE;
    *out = frt_redis_reply_whole(reply);
    if (!good)
        tell_failed(cache, reply);
    frt_redis_reply_free(reply);
    return good;
}

bool frt_shared_cache_attempt(struct frt_shared_cache *cache, const void *what, size_t size, uint32_t most,
                              uint32_t window_ms, uint32_t *wait_ms)
{
    char name[FRT_SHARED_NAME_SIZE], most_text[16], window_text[16];
    int64_t wait = 0;
    frt_shared_name(&cache->keys, 'l', "", what, size, name);
    (void)snprintf(most_text, sizeof most_text, "%u", most);
    (void)snprintf(window_text, sizeof window_text, "%u", window_ms);
    const char *const words[] = {most_text, window_text};
    if (!run_script(cache, attempt_script, name, words, 2, cache->budget_ms, &wait))
        return false;
    *wait_ms = wait <= 0 ? 0 : wait < window_ms ? (uint32_t)wait : window_ms;
    if (wait > 0) {
        (void)pthread_mutex_lock(&cache->lock);
        cache->stats.limited++;
        (void)pthread_mutex_unlock(&cache->lock);
    }
    return true;
}

void frt_shared_cache_refund(struct frt_shared_cache *cache, const void *what, size_t size)
{
    char name[FRT_SHARED_NAME_SIZE];
    int64_t left = 0;
    frt_shared_name(&cache->keys, 'l', "", what, size, name);
    (void)run_script(cache, refund_script, name, NULL, 0, cache->budget_ms, &left);
}

/* ----------------------------------------------------------------- figures */

void frt_shared_cache_stats_get(struct frt_shared_cache *cache, struct frt_shared_cache_stats *out)
{
    struct frt_redis_stats redis;
    frt_redis_stats_get(cache->redis, &redis);
    (void)pthread_mutex_lock(&cache->lock);
    *out = cache->stats;
    (void)pthread_mutex_unlock(&cache->lock);
    memcpy(out->address, cache->address, sizeof out->address);
    memcpy(out->why, redis.why, sizeof out->why);
    out->up = redis.up;
    out->servers = redis.servers;
    out->servers_up = redis.servers_up;
    out->connections = redis.connections;
    out->budget_ms = cache->budget_ms;
    out->falls = redis.falls;
    out->returns = redis.returns;
    out->redirected = redis.redirected;
}
