#include "policies/policy.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { STRIPES = 16, LISTS = 3, S3_GHOST = 2, SKETCH_ROWS = 4, SKETCH_MOST = 15 };

struct node {
    uint32_t before, after;
    uint8_t list;         /* which, while it is on one */
    bool on_list;         /* guarded by the lists' lock */
    _Atomic uint8_t mark; /* visited, or how often */
    bool in;              /* guarded by its stripe; written with the lists' lock as well */
};

struct stripe {
    _Alignas(64) pthread_mutex_t lock;
};

struct policy {
    enum policy_kind kind;
    uint32_t capacity, n_keys, resident;
    struct node *nodes; /* [n_keys + LISTS]: the last ones are the lists' rings */
    uint32_t size[LISTS];
    uint32_t small; /* s3fifo: keys on trial at most */
    uint8_t worth;  /* s3fifo: hits on trial that are worth a place in the main queue */
    uint32_t hand;  /* sieve: whom it looks at next; n_keys = the oldest */
    _Atomic uint8_t *sketch;
    uint32_t sketch_mask;
    _Atomic uint32_t counted;
    _Alignas(64) pthread_mutex_t lists;
    struct stripe stripes[STRIPES];
};

const char *policy_name(enum policy_kind kind)
{
    static const char *const names[POLICY_COUNT] = {"lru", "sieve", "s3fifo", "s3fifo-30", "w-tinylfu"};
    return names[kind];
}

void policy_free(struct policy *policy)
{
    if (policy == NULL)
        return;
    free(policy->nodes);
    free((void *)(uintptr_t)policy->sketch);
    free(policy);
}

struct policy *policy_new(enum policy_kind kind, uint32_t capacity, uint32_t n_keys)
{
    struct policy *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    uint32_t width = 64;
    while (width < 4 * capacity)
        width *= 2;
    if (p == NULL)
        return NULL;
    *p = (struct policy){.kind = kind, .capacity = capacity, .n_keys = n_keys, .hand = n_keys};
    p->small = kind == POLICY_S3FIFO_30 ? capacity * 3 / 10 : capacity / 10;
    p->worth = kind == POLICY_S3FIFO_30 ? 1 : 2;
    p->nodes = calloc((size_t)n_keys + LISTS, sizeof *p->nodes);
    p->sketch = calloc((size_t)width * SKETCH_ROWS, sizeof *p->sketch);
    p->sketch_mask = width - 1;
    if (p->nodes == NULL || p->sketch == NULL) {
        policy_free(p);
        return NULL;
    }
    for (uint32_t i = 0; i < LISTS; i++)
        p->nodes[n_keys + i].before = p->nodes[n_keys + i].after = n_keys + i;
    (void)pthread_mutex_init(&p->lists, NULL);
    for (int i = 0; i < STRIPES; i++)
        (void)pthread_mutex_init(&p->stripes[i].lock, NULL);
    return p;
}

uint32_t policy_resident(const struct policy *policy)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < policy->n_keys; i++)
        n += policy->nodes[i].in;
    return n;
}

/* ----------------------------------------------------------------- lists */

static uint32_t oldest(const struct policy *p, uint8_t list)
{
    return p->nodes[p->n_keys + list].after;
}

static void push(struct policy *p, uint8_t list, uint32_t key)
{
    struct node *node = &p->nodes[key], *ring = &p->nodes[p->n_keys + list];
    node->before = ring->before;
    node->after = p->n_keys + list;
    p->nodes[ring->before].after = key;
    ring->before = key;
    node->list = list;
    node->on_list = true;
    p->size[list]++;
}

static void take(struct policy *p, uint32_t key)
{
    struct node *node = &p->nodes[key];
    p->nodes[node->before].after = node->after;
    p->nodes[node->after].before = node->before;
    node->on_list = false;
    p->size[node->list]--;
}

static void move(struct policy *p, uint8_t list, uint32_t key)
{
    take(p, key);
    push(p, list, key);
}

static void set_in(struct policy *p, uint32_t key, bool in)
{
    pthread_mutex_t *stripe = &p->stripes[key % STRIPES].lock;
    (void)pthread_mutex_lock(stripe);
    p->nodes[key].in = in;
    (void)pthread_mutex_unlock(stripe);
    p->resident += in ? 1U : UINT32_MAX;
}

static uint8_t mark_of(const struct policy *p, uint32_t key)
{
    return atomic_load_explicit(&p->nodes[key].mark, memory_order_relaxed); /* a hint */
}

static void set_mark(struct policy *p, uint32_t key, uint8_t mark)
{
    atomic_store_explicit(&p->nodes[key].mark, mark, memory_order_relaxed); /* a hint */
}

/* ---------------------------------------------------------------- policies */

static void sieve_evict(struct policy *p)
{
    uint32_t key = p->hand == p->n_keys ? oldest(p, 0) : p->hand;
    while (mark_of(p, key) != 0) {
        set_mark(p, key, 0);
        key = p->nodes[key].after;
        if (key == p->n_keys)
            key = oldest(p, 0);
    }
    p->hand = p->nodes[key].after; /* the ring itself: from the oldest on */
    take(p, key);
    set_in(p, key, false);
}

static void s3_evict(struct policy *p)
{
    for (;;) {
        const bool small = p->size[0] > p->small || p->size[1] == 0;
        const uint32_t key = oldest(p, small ? 0 : 1);
        if (small && mark_of(p, key) >= p->worth) {
            move(p, 1, key);
            set_mark(p, key, 0);
        } else if (small) {
            move(p, S3_GHOST, key);
            set_in(p, key, false);
            if (p->size[S3_GHOST] > p->capacity - p->capacity / 10)
                take(p, oldest(p, S3_GHOST));
            return;
        } else if (mark_of(p, key) > 0) {
            move(p, 1, key);
            set_mark(p, key, (uint8_t)(mark_of(p, key) - 1));
        } else {
            take(p, key);
            set_in(p, key, false);
            return;
        }
    }
}

static _Atomic uint8_t *cell(const struct policy *p, uint32_t key, uint32_t row)
{
    uint64_t z = ((uint64_t)key + 1) * UINT64_C(0x9e3779b97f4a7c15) + row * UINT64_C(0xd1342543de82ef95);
    z = (z ^ z >> 32) * UINT64_C(0xbf58476d1ce4e5b9);
    return &p->sketch[(size_t)row * (p->sketch_mask + 1) + ((z >> 32) & p->sketch_mask)];
}

static uint8_t frequency(const struct policy *p, uint32_t key)
{
    uint8_t least = UINT8_MAX;
    for (uint32_t row = 0; row < SKETCH_ROWS; row++) {
        const uint8_t n = atomic_load_explicit(cell(p, key, row), memory_order_relaxed);
        least = n < least ? n : least;
    }
    return least;
}

/* Relaxed and with a gap between load and store: a count lost now and then is what a sketch is. */
static void count(struct policy *p, uint32_t key)
{
    for (uint32_t row = 0; row < SKETCH_ROWS; row++) {
        _Atomic uint8_t *c = cell(p, key, row);
        const uint8_t n = atomic_load_explicit(c, memory_order_relaxed);
        if (n < SKETCH_MOST)
            atomic_store_explicit(c, (uint8_t)(n + 1), memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&p->counted, 1, memory_order_relaxed) % (10 * p->capacity) !=
        10 * p->capacity - 1)
        return;
    for (size_t i = 0; i < (size_t)(p->sketch_mask + 1) * SKETCH_ROWS; i++)
        atomic_store_explicit(&p->sketch[i],
                              (uint8_t)(atomic_load_explicit(&p->sketch[i], memory_order_relaxed) / 2),
                              memory_order_relaxed);
}

enum { WINDOW = 0, PROBATION, PROTECTED };

static uint32_t window_size(const struct policy *p)
{
    return p->capacity / 100 > 0 ? p->capacity / 100 : 1;
}

static void tinylfu_touch(struct policy *p, uint32_t key)
{
    const uint8_t list = p->nodes[key].list;
    if (list == WINDOW) {
        move(p, WINDOW, key);
        return;
    }
    move(p, PROTECTED, key);
    if (p->size[PROTECTED] > (p->capacity - window_size(p)) * 8 / 10)
        move(p, PROBATION, oldest(p, PROTECTED));
}

static void tinylfu_add(struct policy *p, uint32_t key)
{
    push(p, WINDOW, key);
    set_in(p, key, true);
    if (p->size[WINDOW] <= window_size(p))
        return;
    const uint32_t candidate = oldest(p, WINDOW);
    if (p->resident <= p->capacity) {
        move(p, PROBATION, candidate);
        return;
    }
    const uint32_t victim = oldest(p, p->size[PROBATION] > 0 ? PROBATION : PROTECTED);
    const bool better = frequency(p, candidate) > frequency(p, victim);
    const uint32_t gone = better ? victim : candidate;
    if (better)
        move(p, PROBATION, candidate);
    take(p, gone);
    set_in(p, gone, false);
}

/* A key that is not there; with the lists' lock. */
static void miss(struct policy *p, uint32_t key)
{
    switch (p->kind) {
    case POLICY_LRU:
        if (p->resident == p->capacity) {
            const uint32_t gone = oldest(p, 0);
            take(p, gone);
            set_in(p, gone, false);
        }
        push(p, 0, key);
        set_in(p, key, true);
        break;
    case POLICY_SIEVE:
        if (p->resident == p->capacity)
            sieve_evict(p);
        push(p, 0, key);
        set_mark(p, key, 0);
        set_in(p, key, true);
        break;
    case POLICY_S3FIFO:
    case POLICY_S3FIFO_30: {
        const bool known = p->nodes[key].on_list; /* among those thrown out of the small queue */
        if (known)
            take(p, key);
        if (p->resident == p->capacity)
            s3_evict(p);
        push(p, known ? 1 : 0, key);
        set_mark(p, key, 0);
        set_in(p, key, true);
        break;
    }
    default:
        tinylfu_add(p, key);
    }
}

static void hit(struct policy *p, uint32_t key)
{
    if (p->kind == POLICY_SIEVE && mark_of(p, key) == 0)
        set_mark(p, key, 1);
    else if ((p->kind == POLICY_S3FIFO || p->kind == POLICY_S3FIFO_30) && mark_of(p, key) < 3)
        set_mark(p, key, (uint8_t)(mark_of(p, key) + 1));
}

static bool lru_access(struct policy *p, uint32_t key)
{
    (void)pthread_mutex_lock(&p->lists);
    const bool in = p->nodes[key].in;
    if (in)
        move(p, 0, key);
    else
        miss(p, key);
    (void)pthread_mutex_unlock(&p->lists);
    return in;
}

bool policy_access(struct policy *p, uint32_t key)
{
    pthread_mutex_t *stripe = &p->stripes[key % STRIPES].lock;
    if (p->kind == POLICY_LRU)
        return lru_access(p, key);
    if (p->kind == POLICY_WTINYLFU)
        count(p, key);
    (void)pthread_mutex_lock(stripe);
    bool in = p->nodes[key].in;
    if (in)
        hit(p, key);
    (void)pthread_mutex_unlock(stripe);
    if (in && p->kind != POLICY_WTINYLFU)
        return true;
    if (in && pthread_mutex_trylock(&p->lists) != 0)
        return true; /* not moved this time */
    if (!in)
        (void)pthread_mutex_lock(&p->lists);
    const bool still = p->nodes[key].in; /* written with the lists' lock only */
    if (still && p->kind == POLICY_WTINYLFU)
        tinylfu_touch(p, key);
    else if (!still && !in)
        miss(p, key);
    in = in || still;
    (void)pthread_mutex_unlock(&p->lists);
    return in;
}
