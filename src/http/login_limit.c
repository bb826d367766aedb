#include "http/login_limit.h"

#include <pthread.h>
#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"

enum { SETS = 512, WAYS = 8 };

struct place {
    uint8_t peer[HTTP_PEER_BYTES];
    uint32_t attempts; /* within the window; 0 = free */
    int64_t since_ns;  /* when the window began */
};

struct http_login_limit {
    const struct frt_clock *clock;
    struct frt_shared_cache *shared; /* borrowed; NULL: none */
    uint8_t key[32];                 /* which set an address falls into is nobody else's to know */
    pthread_mutex_t lock;
    struct place places[SETS][WAYS];
};

enum frt_status http_login_limit_new(const struct frt_clock *clock, struct http_login_limit **out,
                                     struct frt_error *err)
{
    struct http_login_limit *limit = frt_alloc_zero(1, sizeof *limit);
    if (limit == NULL)
        return frt_fail_nomem(err, "the table of logins");
    limit->clock = clock;
    frt_random_bytes(limit->key, sizeof limit->key);
    (void)pthread_mutex_init(&limit->lock, NULL);
    *out = limit;
    return FRT_OK;
}

void http_login_limit_free(struct http_login_limit *limit)
{
    if (limit == NULL)
        return;
    (void)pthread_mutex_destroy(&limit->lock);
    frt_free(limit);
}

void http_login_limit_share(struct http_login_limit *limit, struct frt_shared_cache *shared)
{
    limit->shared = shared;
}

static struct place *set_of(struct http_login_limit *limit, const uint8_t peer[HTTP_PEER_BYTES])
{
    uint8_t mac[FRT_HMAC_BYTES];
    frt_hmac_sha256(limit->key, sizeof limit->key, peer, HTTP_PEER_BYTES, mac);
    return limit->places[(mac[0] | (size_t)mac[1] << 8) % SETS];
}

/* The address's place, or the one to take over. */
static struct place *place_of(struct place set[WAYS], const uint8_t peer[HTTP_PEER_BYTES])
{
    struct place *best = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].attempts > 0 && memcmp(set[i].peer, peer, HTTP_PEER_BYTES) == 0)
            return &set[i];
        if (best->attempts > 0 && (set[i].attempts == 0 || set[i].since_ns < best->since_ns))
            best = &set[i];
    }
    return best;
}

static uint32_t begin_here(struct http_login_limit *limit, const uint8_t peer[HTTP_PEER_BYTES])
{
    const int64_t window_ns = (int64_t)HTTP_LOGIN_WINDOW_S * 1000000000;
    int64_t now = limit->clock->monotonic_ns(limit->clock);
    uint32_t wait_s = 0;
    struct place *set = set_of(limit, peer);
    (void)pthread_mutex_lock(&limit->lock);
    struct place *place = place_of(set, peer);
    if (place->attempts == 0 || memcmp(place->peer, peer, HTTP_PEER_BYTES) != 0 ||
        now - place->since_ns >= window_ns) {
        memcpy(place->peer, peer, HTTP_PEER_BYTES);
        place->attempts = 0;
        place->since_ns = now;
    }
    if (place->attempts < HTTP_LOGIN_FAILURES)
        place->attempts++;
    else
        wait_s = (uint32_t)((window_ns - (now - place->since_ns) + 999999999) / 1000000000);
    (void)pthread_mutex_unlock(&limit->lock);
    return wait_s;
}

static void refund_here(struct http_login_limit *limit, const uint8_t peer[HTTP_PEER_BYTES])
{
    struct place *set = set_of(limit, peer);
    (void)pthread_mutex_lock(&limit->lock);
    struct place *place = place_of(set, peer);
    if (place->attempts > 0 && memcmp(place->peer, peer, HTTP_PEER_BYTES) == 0)
        place->attempts--;
    (void)pthread_mutex_unlock(&limit->lock);
}

uint32_t http_login_limit_begin(struct http_login_limit *limit, const uint8_t peer[HTTP_PEER_BYTES])
{
    uint32_t wait_s = begin_here(limit, peer), wait_ms = 0;
    if (wait_s == 0 && limit->shared != NULL &&
        frt_shared_cache_attempt(limit->shared, peer, HTTP_PEER_BYTES, HTTP_LOGIN_FAILURES,
                                 HTTP_LOGIN_WINDOW_S * 1000, &wait_ms) &&
        wait_ms > 0) {
        refund_here(limit, peer);
        wait_s = (wait_ms + 999) / 1000;
    }
    return wait_s;
}

void http_login_limit_refund(struct http_login_limit *limit, const uint8_t peer[HTTP_PEER_BYTES])
{
    refund_here(limit, peer);
    if (limit->shared != NULL)
        frt_shared_cache_refund(limit->shared, peer, HTTP_PEER_BYTES);
}
