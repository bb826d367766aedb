/*
 * Loads that outlast a request: whoever has no time is told when to come again, the load goes on and is done
 * once. Real SQLite, real indexes, made-up embeddings. That a load takes long is had by holding the
 * collection's turn, which it needs: no test waits for a slow machine.
 */
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "engine/gallery_figures.h"
#include "engine/gallery_state.h"
#include "simd/dot.h"

enum { DIM = 32, FACES = 300, WAIT_MS = 30000 };
static const char model[] = "test 1";
static char folder[64];

/* A unit vector by number: far from all others'. */
static void vector_of(uint64_t number, float *out)
{
    uint64_t x = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < DIM; i++) {
        float sum = 0;
        for (int k = 0; k < 4; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            sum += (float)(x >> 40) / 16777216.0f - 0.5f;
        }
        out[i] = sum;
    }
    const float norm = sqrtf(frt_dot_f32(out, out, DIM));
    for (int i = 0; i < DIM; i++)
        out[i] /= norm;
}

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK)
        fail_msg("%s: %s", frt_status_code(status), err->text);
}

static struct frt_gallery *open_gallery(void)
{
    char path[96];
    struct frt_error err = {0};
    struct frt_gallery *gallery = NULL;
    (void)snprintf(path, sizeof path, "%s/frt.db", folder);
    const struct frt_gallery_options options = {.path = path, .threads = 1};
    must(frt_gallery_open(&options, &gallery, &err), &err);
    gallery->load_apart_from = 100; /* as if a hundred faces were many */
    return gallery;
}

static void enroll(struct frt_gallery *gallery, uint64_t first, uint64_t end)
{
    struct frt_error err = {0};
    for (uint64_t number = first; number < end; number++) {
        float v[DIM];
        char subject[32];
        struct frt_enrolled enrolled = {0};
        vector_of(number, v);
        (void)snprintf(subject, sizeof subject, "s%llu", (unsigned long long)number);
        const struct frt_enroll_options options = {.subject = subject};
        must(frt_enroll_embedding(gallery, "people", model, v, DIM, &options, &enrolled, &err), &err);
        frt_enrolled_deinit(&enrolled);
    }
}

/* A folder with a gallery of FACES people. */
static int make_place(void **state)
{
    struct frt_error err = {0};
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/frt-test-load-XXXXXX");
    assert_non_null(mkdtemp(folder));
    struct frt_gallery *gallery = open_gallery();
    must(frt_collection_put(gallery, "people", NULL, NULL, &err), &err);
    enroll(gallery, 0, FACES);
    frt_gallery_close(gallery);
    return 0;
}

static int drop_place(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

struct search {
    struct frt_gallery *gallery;
    uint64_t number;
    int64_t within_ms; /* of the search's deadline */
    bool (*cancelled)(void *arg);
    enum frt_status status;
    bool right;
    struct frt_error err;
};

static void *search(void *arg)
{
    struct search *s = arg;
    float v[DIM];
    char subject[32];
    struct frt_identified found = {0};
    vector_of(s->number, v);
    (void)snprintf(subject, sizeof subject, "s%llu", (unsigned long long)s->number);
    const struct frt_identify_options options = {.threshold_set = true,
                                                 .threshold = 0.95f,
                                                 .deadline_ms = frt_now_ns() / 1000000 + s->within_ms,
                                                 .cancelled = s->cancelled};
    s->status =
        frt_identify_embeddings(s->gallery, "people", model, v, 1, DIM, 0.95f, &options, &found, &s->err);
    s->right =
        s->status == FRT_OK && found.faces[0].known && strcmp(found.faces[0].matches[0].subject, subject) == 0;
    frt_identified_deinit(&found);
    return NULL;
}

static struct search search_now(struct frt_gallery *gallery, uint64_t number, int64_t within_ms)
{
    struct search s = {.gallery = gallery, .number = number, .within_ms = within_ms};
    (void)search(&s);
    return s;
}

static void expect_not_ready(const struct search *s)
{
    if (s->status != FRT_EINDEX_NOT_READY)
        fail_msg("%s: %s", frt_status_code(s->status), s->err.text);
    assert_true(s->err.retry_after_s >= 1);
    assert_non_null(strstr(s->err.text, "0 of 300 faces"));
}

/* Whoever holds it keeps any load of the collection from its work. */
static struct gallery_entry *take_the_turn(struct frt_gallery *gallery)
{
    struct frt_error err = {0};
    struct frt_collection_info info;
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    struct gallery_entry *entry = NULL;
    must(frt_collection_get(gallery, "people", &info, &err), &err);
    frt_collection_info_deinit(&info);
    must(gallery_collection(gallery, "people", &page, &row, &err), &err);
    must(gallery_entry_get(gallery, row.key, row.dim, &entry, &err), &err);
    frt_store_page_free(page);
    must(gallery_take(&entry->turn, &err), &err);
    return entry;
}

static void give_the_turn(struct gallery_entry *entry)
{
    (void)pthread_mutex_unlock(&entry->turn);
}

static void expect_one_load(struct frt_gallery *gallery)
{
    struct frt_cache_stats figures[2];
    assert_int_equal(frt_gallery_cache_stats(gallery, figures, 2), 2);
    assert_string_equal(figures[0].name, "index");
    assert_int_equal(figures[0].misses, 1);
    assert_int_equal(atomic_load(&gallery->counts.builds), 1);
    assert_int_equal(atomic_load(&gallery->counts.loads), 0);
}

static void who_has_no_time_is_told_when_to_come_again(void **state)
{
    (void)state;
    enum { MANY = 6 };
    struct frt_gallery *gallery = open_gallery();
    struct search searches[MANY];
    pthread_t threads[MANY];
    struct gallery_entry *entry = take_the_turn(gallery);
    for (uint64_t i = 0; i < MANY; i++) {
        searches[i] = (struct search){.gallery = gallery, .number = i, .within_ms = 200};
        assert_int_equal(pthread_create(&threads[i], NULL, search, &searches[i]), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        expect_not_ready(&searches[i]);
    }
    const struct search again = search_now(gallery, 7, 100);
    expect_not_ready(&again);
    give_the_turn(entry);
    for (uint64_t i = 0; i < MANY; i++) {
        const struct search s = search_now(gallery, i, WAIT_MS);
        must(s.status, &s.err);
        assert_true(s.right);
    }
    expect_one_load(gallery); /* all of them together */
    gallery_entry_release(entry);
    frt_gallery_close(gallery);
}

static void who_has_time_waits(void **state)
{
    (void)state;
    enum { MANY = 6 };
    struct frt_gallery *gallery = open_gallery();
    struct search searches[MANY];
    pthread_t threads[MANY];
    struct gallery_entry *entry = take_the_turn(gallery);
    for (uint64_t i = 0; i < MANY; i++) {
        searches[i] = (struct search){.gallery = gallery, .number = 40 + i, .within_ms = WAIT_MS};
        assert_int_equal(pthread_create(&threads[i], NULL, search, &searches[i]), 0);
    }
    (void)poll(NULL, 0, 50);
    give_the_turn(entry);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        must(searches[i].status, &searches[i].err);
        assert_true(searches[i].right);
    }
    assert_int_equal(atomic_load(&gallery->counts.builds), 1);
    gallery_entry_release(entry);
    frt_gallery_close(gallery);
}

static void a_load_goes_on_when_nobody_waits(void **state)
{
    (void)state;
    struct frt_gallery *gallery = open_gallery();
    struct gallery_entry *entry = take_the_turn(gallery);
    struct gallery_index *index = NULL;
    const struct search s = search_now(gallery, 3, 100);
    expect_not_ready(&s);
    give_the_turn(entry);
    for (int64_t start = frt_now_ns(); index == NULL; (void)poll(NULL, 0, 5)) {
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
        index = gallery_index_peek(entry);
    }
    assert_int_equal(frt_index_stats_get(index->index).vectors, FACES);
    gallery_index_release(index);
    gallery_entry_release(entry);
    expect_one_load(gallery);
    frt_gallery_close(gallery);
}

static bool yes(void *arg)
{
    (void)arg;
    return true;
}

static void who_hangs_up_waits_no_longer(void **state)
{
    (void)state;
    struct frt_gallery *gallery = open_gallery();
    struct gallery_entry *entry = take_the_turn(gallery);
    struct search s = {.gallery = gallery, .number = 3, .within_ms = 10 * (int64_t)WAIT_MS, .cancelled = yes};
    (void)search(&s);
    assert_int_equal(s.status, FRT_ECANCELLED);
    give_the_turn(entry);
    gallery_entry_release(entry);
    frt_gallery_close(gallery);
}

static void closing_ends_a_load(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct frt_gallery *gallery = open_gallery();
        struct gallery_entry *entry = take_the_turn(gallery);
        const struct search s = search_now(gallery, 3, 10);
        expect_not_ready(&s);
        give_the_turn(entry);
        gallery_entry_release(entry);
        frt_gallery_close(gallery); /* amid it, or before it begins */
    }
    struct frt_gallery *gallery = open_gallery();
    const struct search s = search_now(gallery, FACES - 1, WAIT_MS);
    must(s.status, &s.err);
    assert_true(s.right);
    frt_gallery_close(gallery);
}

/* An index in memory that is far behind, since another process enrolled. */
static void what_is_far_behind_is_loaded_apart_as_well(void **state)
{
    (void)state;
    struct frt_gallery *gallery = open_gallery(), *other = open_gallery();
    struct search s = search_now(gallery, 5, WAIT_MS);
    assert_true(s.right);
    enroll(other, FACES, 2 * FACES);
    frt_gallery_close(other);
    struct gallery_entry *entry = take_the_turn(gallery);
    s = search_now(gallery, 5, 100);
    assert_int_equal(s.status, FRT_EINDEX_NOT_READY);
    give_the_turn(entry);
    gallery_entry_release(entry);
    s = search_now(gallery, 2 * FACES - 1, WAIT_MS);
    must(s.status, &s.err);
    assert_true(s.right);
    frt_gallery_close(gallery);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_has_no_time_is_told_when_to_come_again, make_place, drop_place),
        cmocka_unit_test_setup_teardown(who_has_time_waits, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_load_goes_on_when_nobody_waits, make_place, drop_place),
        cmocka_unit_test_setup_teardown(who_hangs_up_waits_no_longer, make_place, drop_place),
        cmocka_unit_test_setup_teardown(closing_ends_a_load, make_place, drop_place),
        cmocka_unit_test_setup_teardown(what_is_far_behind_is_loaded_apart_as_well, make_place, drop_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
