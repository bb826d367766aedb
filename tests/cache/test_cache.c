/* The cache, one caller at a time: bounds, times, loans, figures; against a plain model; without memory. */
#include "cache/counted_value.h"

#include "core/mem.h"

static struct still_clock still;

static int start(void **state)
{
    (void)state;
    clock_init(&still);
    atomic_store(&values_alive, 0);
    return 0;
}

/* ---------------------------------------------------------------- bounds */

static void the_least_recently_used_leaves_for_room(void **state)
{
    (void)state;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 3, .clock = &still.base});
    for (uint64_t i = 1; i <= 3; i++)
        put(cache, i, 10);
    assert_true(has(cache, 1));
    put(cache, 4, 10); /* 2 is the one that nobody used for longest */
    assert_false(has(cache, 2));
    assert_true(has(cache, 1));
    assert_true(has(cache, 3));
    assert_true(has(cache, 4));
    struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_string_equal(s.name, "test");
    assert_int_equal(s.entries, 3);
    assert_int_equal(s.capacity, 3);
    assert_int_equal(s.bytes, 30);
    assert_int_equal(s.hits, 4);
    assert_int_equal(s.misses, 1);
    assert_int_equal(s.evictions, 1);
    assert_int_equal(values_alive, 3);
    put(cache, 4, 7); /* in the place of the former 4: nobody has to leave */
    s = frt_cache_stats_get(cache);
    assert_int_equal(s.entries, 3);
    assert_int_equal(s.bytes, 27);
    assert_int_equal(s.evictions, 1);
    assert_int_equal(values_alive, 3);
    frt_cache_free(cache);
    assert_int_equal(values_alive, 0);
}

static void bytes_bound_it_too(void **state)
{
    (void)state;
    struct frt_cache *cache =
        cache_of(&(struct frt_cache_options){.entries = 100, .bytes = 100, .clock = &still.base});
    for (uint64_t i = 1; i <= 4; i++)
        put(cache, i, 25);
    assert_int_equal(frt_cache_stats_get(cache).entries, 4);
    put(cache, 5, 26); /* two have to leave */
    assert_false(has(cache, 1));
    assert_false(has(cache, 2));
    assert_true(has(cache, 3));
    assert_int_equal(frt_cache_stats_get(cache).bytes, 76);
    put(cache, 6, 101); /* larger than all of it: not kept, and nobody leaves for it */
    assert_false(has(cache, 6));
    assert_int_equal(frt_cache_stats_get(cache).entries, 3);
    put(cache, 3, 101); /* what stood there is out of date all the same */
    assert_false(has(cache, 3));
    assert_int_equal(frt_cache_stats_get(cache).bytes, 51);
    assert_int_equal(values_alive, 2);

    struct frt_cache_key key = key_of(5);
    assert_true(frt_cache_resize(cache, &key, 70));
    assert_int_equal(frt_cache_stats_get(cache).bytes, 95);
    assert_true(has(cache, 4));
    assert_true(frt_cache_resize(cache, &key, 76)); /* 5 was used longer ago than 4 */
    assert_false(has(cache, 5));
    assert_int_equal(frt_cache_stats_get(cache).bytes, 25);
    key = key_of(4);
    put(cache, 7, 1);
    assert_true(frt_cache_resize(cache, &key, 101)); /* goes alone */
    assert_false(has(cache, 4));
    assert_true(has(cache, 7));
    assert_false(frt_cache_resize(cache, &key, 1));
    frt_cache_free(cache);
    assert_int_equal(values_alive, 0);
}

static void one_may_be_larger_than_the_bound(void **state)
{
    (void)state;
    struct frt_cache *cache = cache_of(
        &(struct frt_cache_options){.entries = 4, .bytes = 100, .keep_one = true, .clock = &still.base});
    put(cache, 1, 40);
    put(cache, 2, 40);
    put(cache, 3, 500);
    assert_true(has(cache, 3)); /* alone */
    assert_int_equal(frt_cache_stats_get(cache).entries, 1);
    put(cache, 4, 10);
    assert_false(has(cache, 3));
    assert_true(has(cache, 4));
    put(cache, 5, 10);
    const struct frt_cache_key key = key_of(5);
    assert_true(frt_cache_resize(cache, &key, 700));
    assert_true(has(cache, 5));
    assert_false(has(cache, 4));
    assert_int_equal(frt_cache_stats_get(cache).bytes, 700);
    frt_cache_free(cache);
    assert_int_equal(values_alive, 0);
}

static enum frt_status make_one(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    (void)err;
    *value = value_new(*(uint64_t *)arg);
    *bytes = 10;
    return FRT_OK;
}

static void nothing_is_kept_when_nothing_may_be(void **state)
{
    (void)state;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 0, .clock = &still.base});
    uint64_t number = 1;
    const struct frt_cache_key key = key_of(number);
    struct frt_cache_loan loan = {0};
    enum frt_cache_source source = FRT_CACHE_HIT;
    put(cache, 1, 10);
    assert_false(has(cache, 1));
    assert_int_equal(frt_cache_fetch(cache, &key, NULL, make_one, &number, &loan, &source, NULL), FRT_OK);
    assert_int_equal(source, FRT_CACHE_MADE);
    assert_int_equal(number_in(&loan), 1);
    assert_int_equal(frt_cache_stats_get(cache).entries, 0);
    frt_cache_return(cache, &loan);
    assert_null(loan.value);
    frt_cache_return(cache, &loan); /* nothing is on loan any more */
    assert_int_equal(values_alive, 0);
    frt_cache_free(cache);
    frt_cache_free(NULL);
}

/* ----------------------------------------------------------------- times */

static void a_value_leaves_when_its_time_is_over(void **state)
{
    (void)state;
    struct frt_cache *cache =
        cache_of(&(struct frt_cache_options){.entries = 10, .ttl_ms = 1000, .clock = &still.base});
    put(cache, 1, 10);
    clock_pass_ms(&still, 400);
    put(cache, 2, 10);
    clock_pass_ms(&still, 599);
    atomic_fetch_add(&still.now_ns, 999999);
    assert_true(has(cache, 1)); /* a nanosecond is left; use does not renew it */
    atomic_fetch_add(&still.now_ns, 1);
    assert_int_equal(values_alive, 2);
    assert_true(has(cache, 2)); /* whoever comes next finds that 1 is over: nobody has to look for 1 */
    assert_int_equal(values_alive, 1);
    assert_false(has(cache, 1));
    clock_pass_ms(&still, 400);
    assert_int_equal(values_alive, 1);
    frt_cache_expire(cache);
    assert_int_equal(values_alive, 0);
    put(cache, 3, 10);
    clock_pass_ms(&still, 1000);
    const struct frt_cache_stats s = frt_cache_stats_get(cache); /* tells of nothing that is over */
    assert_int_equal(s.entries, 0);
    assert_int_equal(s.bytes, 0);
    assert_int_equal(s.expirations, 3);
    assert_int_equal(s.evictions, 0);
    assert_int_equal(s.ttl_ms, 1000);
    assert_int_equal(values_alive, 0);
    put(cache, 4, 10);
    clock_pass_ms(&still, 600);
    put(cache, 4, 10); /* a new value has the whole time */
    clock_pass_ms(&still, 600);
    assert_true(has(cache, 4));
    frt_cache_free(cache);
}

static void use_renews_the_time_when_it_slides(void **state)
{
    (void)state;
    struct frt_cache *cache = cache_of(
        &(struct frt_cache_options){.entries = 10, .ttl_ms = 1000, .sliding = true, .clock = &still.base});
    struct frt_cache_loan loan = {0};
    const struct frt_cache_key key = key_of(2);
    put(cache, 1, 10);
    put(cache, 2, 10);
    for (int i = 0; i < 5; i++) {
        clock_pass_ms(&still, 900);
        assert_true(has(cache, 1));
        if (i == 0) { /* a look is no use */
            assert_true(frt_cache_peek(cache, &key, &loan));
            frt_cache_return(cache, &loan);
        }
    }
    assert_false(frt_cache_peek(cache, &key, &loan));
    const struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_int_equal(s.hits, 5);
    assert_int_equal(s.misses, 0);
    assert_int_equal(s.expirations, 1);
    frt_cache_free(cache);
}

static void a_look_does_not_save_from_eviction(void **state)
{
    (void)state;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 2, .clock = &still.base});
    struct frt_cache_loan loan = {0};
    const struct frt_cache_key key = key_of(1);
    put(cache, 1, 10);
    put(cache, 2, 10);
    assert_true(frt_cache_peek(cache, &key, &loan));
    assert_int_equal(number_in(&loan), 1);
    put(cache, 3, 10);
    assert_int_equal(number_in(&loan), 1); /* on loan it lives on */
    assert_int_equal(values_alive, 3);
    frt_cache_return(cache, &loan);
    assert_int_equal(values_alive, 2);
    assert_false(has(cache, 1));
    frt_cache_free(cache);
}

/* ----------------------------------------------------------------- loans */

static void a_loan_outlives_whatever_happens(void **state)
{
    (void)state;
    struct frt_cache *cache =
        cache_of(&(struct frt_cache_options){.entries = 2, .ttl_ms = 1000, .clock = &still.base});
    struct frt_cache_loan evicted = {0}, expired = {0}, removed = {0}, replaced = {0}, cleared = {0};
    struct frt_cache_key key = key_of(1);
    put(cache, 1, 10);
    assert_true(frt_cache_get(cache, &key, &evicted));
    put(cache, 2, 10);
    put(cache, 3, 10);
    key = key_of(3);
    assert_true(frt_cache_get(cache, &key, &expired));
    clock_pass_ms(&still, 1000);
    assert_int_equal(frt_cache_stats_get(cache).entries, 0);
    key = key_of(4);
    put(cache, 4, 10);
    assert_true(frt_cache_get(cache, &key, &removed));
    assert_true(frt_cache_remove(cache, &key));
    assert_false(frt_cache_remove(cache, &key));
    key = key_of(5);
    put(cache, 5, 10);
    assert_true(frt_cache_get(cache, &key, &replaced));
    frt_cache_put(cache, &key, value_new(55), 10);
    assert_true(frt_cache_get(cache, &key, &cleared));
    assert_int_equal(number_in(&cleared), 55);
    frt_cache_clear(cache);
    assert_int_equal(frt_cache_stats_get(cache).entries, 0);
    assert_int_equal(frt_cache_stats_get(cache).bytes, 0);
    assert_int_equal(values_alive, 5);
    assert_int_equal(number_in(&evicted), 1);
    assert_int_equal(number_in(&expired), 3);
    assert_int_equal(number_in(&removed), 4);
    assert_int_equal(number_in(&replaced), 5);
    struct frt_cache_loan *loans[] = {&evicted, &expired, &removed, &replaced, &cleared};
    for (int i = 0; i < 5; i++) {
        frt_cache_return(cache, loans[i]);
        assert_int_equal(values_alive, 4 - i);
    }
    frt_cache_free(cache);
}

/* Keys that differ in one bit, the last, live in one bucket and are two. */
static void keys_are_compared_whole(void **state)
{
    (void)state;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 600, .clock = &still.base});
    struct frt_cache_loan loan = {0};
    struct frt_cache_key key = key_of(1);
    for (uint64_t bit = 0; bit < 256; bit++) {
        key.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        frt_cache_put(cache, &key, value_new(bit), 1);
        key.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_false(frt_cache_get(cache, &key, &loan));
    for (uint64_t bit = 0; bit < 256; bit++) {
        key.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_true(frt_cache_get(cache, &key, &loan));
        assert_int_equal(number_in(&loan), bit);
        frt_cache_return(cache, &loan);
        key.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_int_equal(frt_cache_stats_get(cache).entries, 256);
    frt_cache_free(cache);
}

/* -------------------------------------------------------- against a model */

enum { MODEL_KEYS = 24, MODEL_ENTRIES = 8, MODEL_BYTES = 120, MODEL_STEPS = 40000, MODEL_LOANS = 6 };

/* A list, most recently used last: what cache.h says, in the plainest way. */
struct model {
    struct {
        uint64_t key, value;
        size_t bytes;
        int64_t expires_ns;
    } list[MODEL_ENTRIES];
    size_t n;
    bool sliding, keep_one;
    struct frt_cache_stats stats;
};

static uint64_t dice(uint64_t *seed, uint64_t sides)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % sides;
}

static void model_take(struct model *m, size_t i)
{
    m->stats.bytes -= m->list[i].bytes;
    m->n--;
    memmove(&m->list[i], &m->list[i + 1], (m->n - i) * sizeof *m->list);
}

static void model_expire(struct model *m, int64_t now)
{
    for (size_t i = m->n; i-- > 0;) {
        if (m->list[i].expires_ns <= now) {
            model_take(m, i);
            m->stats.expirations++;
        }
    }
}

static size_t model_find(const struct model *m, uint64_t key)
{
    size_t i = 0;
    while (i < m->n && m->list[i].key != key)
        i++;
    return i;
}

static void model_room(struct model *m, size_t more, size_t bytes)
{
    while (m->n > 0 && (m->n + more > MODEL_ENTRIES ||
                        (m->stats.bytes + bytes > MODEL_BYTES && !(m->keep_one && m->n + more == 1)))) {
        model_take(m, 0);
        m->stats.evictions++;
    }
}

static bool model_use(struct model *m, uint64_t key, int64_t now, int64_t ttl_ns)
{
    model_expire(m, now);
    const size_t i = model_find(m, key);
    if (i == m->n)
        return false;
    const __typeof__(m->list[0]) used = m->list[i];
    memmove(&m->list[i], &m->list[i + 1], (m->n - i - 1) * sizeof *m->list);
    m->list[m->n - 1] = used;
    if (m->sliding)
        m->list[m->n - 1].expires_ns = now + ttl_ns;
    return true;
}

static void model_put(struct model *m, uint64_t key, uint64_t value, size_t bytes, int64_t now, int64_t ttl_ns)
{
    model_expire(m, now);
    if (model_find(m, key) < m->n)
        model_take(m, model_find(m, key));
    if (bytes > MODEL_BYTES && !m->keep_one)
        return;
    model_room(m, 1, bytes);
    m->list[m->n].key = key;
    m->list[m->n].value = value;
    m->list[m->n].bytes = bytes;
    m->list[m->n++].expires_ns = now + ttl_ns;
    m->stats.bytes += bytes;
}

static void model_resize(struct model *m, uint64_t key, size_t bytes)
{
    const size_t i = model_find(m, key);
    if (i == m->n)
        return;
    m->stats.bytes = m->stats.bytes - m->list[i].bytes + bytes;
    m->list[i].bytes = bytes;
    if (bytes > MODEL_BYTES && !m->keep_one) {
        model_take(m, i);
        m->stats.evictions++;
    } else {
        model_room(m, 0, 0);
    }
}

static void expect_same(struct frt_cache *cache, struct model *m, int64_t now)
{
    model_expire(m, now);
    const struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_int_equal(s.hits, m->stats.hits);
    assert_int_equal(s.misses, m->stats.misses);
    assert_int_equal(s.shared, 0);
    assert_int_equal(s.entries, m->n);
    assert_int_equal(s.bytes, m->stats.bytes);
    assert_int_equal(s.evictions, m->stats.evictions);
    assert_int_equal(s.expirations, m->stats.expirations);
    for (uint64_t k = 0; k < MODEL_KEYS; k++) {
        const struct frt_cache_key key = key_of(k);
        struct frt_cache_loan loan = {0};
        const size_t i = model_find(m, k);
        assert_int_equal(frt_cache_peek(cache, &key, &loan), i < m->n);
        if (i < m->n)
            assert_int_equal(number_in(&loan), m->list[i].value);
        frt_cache_return(cache, &loan);
    }
}

static void against_model(bool sliding, bool keep_one, uint64_t seed)
{
    enum { TTL_MS = 12 };
    struct model m = {.sliding = sliding, .keep_one = keep_one};
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = MODEL_ENTRIES,
                                                                   .bytes = MODEL_BYTES,
                                                                   .ttl_ms = TTL_MS,
                                                                   .sliding = sliding,
                                                                   .keep_one = keep_one,
                                                                   .clock = &still.base});
    struct frt_cache_loan loans[MODEL_LOANS] = {0};
    uint64_t held[MODEL_LOANS] = {0};
    uint64_t lookups = 0;
    for (uint64_t step = 1; step <= MODEL_STEPS; step++) {
        const uint64_t k = dice(&seed, MODEL_KEYS);
        const struct frt_cache_key key = key_of(k);
        const size_t bytes = dice(&seed, 50) == 0 ? MODEL_BYTES + 5 : (size_t)dice(&seed, 40);
        const int64_t now = atomic_load(&still.now_ns), ttl_ns = (int64_t)TTL_MS * 1000000;
        const size_t slot = (size_t)dice(&seed, MODEL_LOANS);
        switch (dice(&seed, 12)) {
        case 0:
        case 1:
            frt_cache_put(cache, &key, value_new(step), bytes);
            model_put(&m, k, step, bytes, now, ttl_ns);
            break;
        case 2:
            assert_int_equal(frt_cache_remove(cache, &key), model_find(&m, k) < m.n);
            if (model_find(&m, k) < m.n)
                model_take(&m, model_find(&m, k));
            break;
        case 3:
            assert_int_equal(frt_cache_resize(cache, &key, bytes), model_find(&m, k) < m.n);
            model_resize(&m, k, bytes);
            break;
        case 4:
            clock_pass_ms(&still, (int64_t)dice(&seed, 15));
            break;
        case 5:
            if (dice(&seed, 40) == 0) {
                frt_cache_clear(cache);
                m.n = 0;
                m.stats.bytes = 0;
            } else {
                frt_cache_expire(cache);
                model_expire(&m, now);
            }
            break;
        case 6:
        case 7: {
            uint64_t number = step;
            enum frt_cache_source source = FRT_CACHE_SHARED;
            frt_cache_return(cache, &loans[slot]);
            const bool there = model_use(&m, k, now, ttl_ns);
            assert_int_equal(frt_cache_fetch(cache, &key, NULL, make_one, &number, &loans[slot], &source, NULL),
                             FRT_OK);
            assert_int_equal(source, there ? FRT_CACHE_HIT : FRT_CACHE_MADE);
            m.stats.hits += there;
            m.stats.misses += !there;
            if (!there)
                model_put(&m, k, step, 10, now, ttl_ns);
            held[slot] = m.list[model_find(&m, k)].value;
            lookups++;
            break;
        }
        default: {
            const bool there = model_use(&m, k, now, ttl_ns);
            frt_cache_return(cache, &loans[slot]);
            assert_int_equal(frt_cache_get(cache, &key, &loans[slot]), there);
            m.stats.hits += there;
            m.stats.misses += !there;
            if (there)
                held[slot] = m.list[m.n - 1].value;
            lookups++;
        }
        }
        for (size_t i = 0; i < MODEL_LOANS; i++)
            if (loans[i].value != NULL)
                assert_int_equal(number_in(&loans[i]), held[i]);
        expect_same(cache, &m, atomic_load(&still.now_ns));
        assert_true(values_alive <= (int64_t)m.n + MODEL_LOANS);
    }
    assert_int_equal(m.stats.hits + m.stats.misses, lookups);
    assert_true(m.stats.hits > 1000 && m.stats.evictions > 100 && m.stats.expirations > 100);
    for (size_t i = 0; i < MODEL_LOANS; i++)
        frt_cache_return(cache, &loans[i]);
    assert_int_equal(values_alive, m.n);
    frt_cache_free(cache);
    assert_int_equal(values_alive, 0);
}

static void it_does_what_a_plain_model_does(void **state)
{
    (void)state;
    against_model(false, false, 1);
    against_model(true, false, 2);
    against_model(true, true, 3);
}

/* -------------------------------------------------------- without memory */

/* Puts, fetches and growth with allocation N failing: values are neither lost nor kept half. */
static enum frt_status life(int64_t *gone)
{
    struct frt_cache *cache = NULL;
    const struct frt_cache_options options = {
        .name = "test", .entries = 200, .ttl_ms = 1000, .clock = &still.base, .free_value = value_free};
    enum frt_status status = frt_cache_new(&options, &cache, NULL), first;
    if (status != FRT_OK)
        return status;
    uint64_t lookups = 0;
    for (uint64_t i = 0; i < 150; i++) { /* past the first number of buckets */
        const struct frt_cache_key key = key_of(i);
        struct frt_cache_loan loan = {0};
        if (i % 2 == 0) {
            put(cache, i, 10);
        } else {
            struct frt_error err = {0};
            first = frt_cache_fetch(cache, &key, NULL, make_one, &i, &loan, NULL, &err);
            lookups++;
            if (first != FRT_OK) {
                assert_int_equal(first, FRT_ENOMEM);
                assert_null(loan.value);
                assert_true(err.text[0] != '\0');
                status = first;
            } else {
                assert_int_equal(number_in(&loan), i);
            }
            frt_cache_return(cache, &loan);
        }
    }
    *gone = 0;
    for (uint64_t i = 0; i < 150; i++, lookups++)
        *gone += !has(cache, i);
    const struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_int_equal(s.hits + s.misses, lookups);
    assert_int_equal(s.entries, 150 - *gone);
    assert_int_equal(s.bytes, 10 * s.entries);
    assert_int_equal(values_alive, s.entries);
    frt_cache_free(cache);
    return status;
}

static void without_memory_nothing_is_lost_but_the_value(void **state)
{
    (void)state;
    int64_t gone = 0;
    frt_mem_fail_after(INT64_MAX);
    assert_int_equal(life(&gone), FRT_OK);
    const int64_t asked = frt_mem_asked();
    assert_int_equal(gone, 0);
    assert_true(asked > 150);
    for (int64_t n = 0; n < asked; n++) {
        gone = 0;
        frt_mem_fail_after(n);
        const enum frt_status status = life(&gone);
        frt_mem_fail_after(-1);
        assert_int_equal(values_alive, 0);
        assert_true(gone <= 1); /* 0: wider buckets are only a wish */
        assert_true(status == FRT_OK || n < 2 || gone == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_least_recently_used_leaves_for_room, start),
        cmocka_unit_test_setup(bytes_bound_it_too, start),
        cmocka_unit_test_setup(one_may_be_larger_than_the_bound, start),
        cmocka_unit_test_setup(nothing_is_kept_when_nothing_may_be, start),
        cmocka_unit_test_setup(a_value_leaves_when_its_time_is_over, start),
        cmocka_unit_test_setup(use_renews_the_time_when_it_slides, start),
        cmocka_unit_test_setup(a_look_does_not_save_from_eviction, start),
        cmocka_unit_test_setup(a_loan_outlives_whatever_happens, start),
        cmocka_unit_test_setup(keys_are_compared_whole, start),
        cmocka_unit_test_setup(it_does_what_a_plain_model_does, start),
        cmocka_unit_test_setup(without_memory_nothing_is_lost_but_the_value, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
