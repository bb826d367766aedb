/*
 * Indexes in a cache that is too small for them: real SQLite, real indexes, made-up embeddings. Whatever
 * leaves it, whenever: a search finds all that was enrolled before it began and nothing that was deleted.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/gallery_figures.h"
#include "simd/dot.h"

enum { DIM = 32 };
static const char model[] = "test 1";

struct place {
    char folder[64], path[96];
};

/* A unit vector by number: far from all others'. */
static void vector_of(uint64_t number, float *out)
{
    uint64_t seed = number * UINT64_C(0x2545f4914f6cdd1d);
    for (int i = 0; i < DIM; i++) {
        float sum = 0;
        for (int k = 0; k < 12; k++) {
            uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
            z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
            z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
            sum += (float)((z ^ z >> 31) >> 40) / 16777216.0f;
        }
        out[i] = sum - 6;
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

static int make_place(void **state)
{
    struct place *p = test_calloc(1, sizeof *p);
    (void)snprintf(p->folder, sizeof p->folder, "/tmp/frt-test-indexes-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->path, sizeof p->path, "%s/frt.db", p->folder);
    *state = p;
    return 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    assert_int_equal(system(command), 0);
    test_free(p);
    return 0;
}

static struct frt_gallery *open_gallery(const struct place *p, const struct frt_cache_limits *limits,
                                        bool background)
{
    struct frt_error err = {0};
    struct frt_gallery *gallery = NULL;
    const struct frt_gallery_options options = {
        .path = p->path, .threads = 1, .index_cache = *limits, .background = background};
    must(frt_gallery_open(&options, &gallery, &err), &err);
    return gallery;
}

static const char *collection_name(size_t i)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    return names[i];
}

static enum frt_status try_enroll(struct frt_gallery *gallery, const char *collection, uint64_t number,
                                  struct frt_error *err)
{
    float v[DIM];
    char subject[32];
    struct frt_enrolled enrolled = {0};
    vector_of(number, v);
    (void)snprintf(subject, sizeof subject, "s%llu", (unsigned long long)number);
    const struct frt_enroll_options options = {.subject = subject};
    enum frt_status status = frt_enroll_embedding(gallery, collection, model, v, DIM, &options, &enrolled, err);
    frt_enrolled_deinit(&enrolled);
    return status;
}

static void enroll(struct frt_gallery *gallery, const char *collection, uint64_t number)
{
    struct frt_error err = {0};
    must(try_enroll(gallery, collection, number, &err), &err);
}

static enum frt_status try_forget(struct frt_gallery *gallery, const char *collection, uint64_t number,
                                  struct frt_error *err)
{
    char subject[32];
    (void)snprintf(subject, sizeof subject, "s%llu", (unsigned long long)number);
    return frt_subject_delete(gallery, collection, subject, NULL, err);
}

static void forget(struct frt_gallery *gallery, const char *collection, uint64_t number)
{
    struct frt_error err = {0};
    must(try_forget(gallery, collection, number, &err), &err);
}

/* 1 found, 0 not, -1 an error or somebody else. */
static int find(struct frt_gallery *gallery, const char *collection, uint64_t number, struct frt_error *err)
{
    float v[DIM];
    char subject[32];
    struct frt_identified found = {0};
    vector_of(number, v);
    (void)snprintf(subject, sizeof subject, "s%llu", (unsigned long long)number);
    const struct frt_identify_options options = {.threshold_set = true, .threshold = 0.95f};
    if (frt_identify_embeddings(gallery, collection, model, v, 1, DIM, 0.95f, &options, &found, err) != FRT_OK)
        return -1;
    int answer = found.faces[0].known;
    if (found.faces[0].known && strcmp(found.faces[0].matches[0].subject, subject) != 0)
        answer = -1;
    frt_identified_deinit(&found);
    return answer;
}

static void expect(struct frt_gallery *gallery, const char *collection, uint64_t number, bool there)
{
    struct frt_error err = {0};
    const int found = find(gallery, collection, number, &err);
    if (found != (int)there)
        fail_msg("s%llu in %s: %d, not %d; %s", (unsigned long long)number, collection, found, (int)there,
                 err.text);
}

static struct frt_cache_stats index_figures(struct frt_gallery *gallery)
{
    struct frt_cache_stats figures[2];
    assert_int_equal(frt_gallery_cache_stats(gallery, figures, 2), 2);
    assert_string_equal(figures[0].name, "index");
    assert_string_equal(figures[1].name, "subject");
    return figures[0];
}

static void make_collections(struct frt_gallery *gallery, size_t n, uint64_t faces)
{
    struct frt_error err = {0};
    for (size_t i = 0; i < n; i++) {
        must(frt_collection_put(gallery, collection_name(i), NULL, NULL, &err), &err);
        for (uint64_t k = 0; k < faces; k++)
            enroll(gallery, collection_name(i), 1000 * i + k);
    }
}

/* ---------------------------------------------------------------- bounds */

static void no_more_than_allowed_are_in_memory(void **state)
{
    struct frt_gallery *gallery = open_gallery(*state, &(struct frt_cache_limits){.entries = 2}, false);
    make_collections(gallery, 4, 5);
    struct frt_cache_stats s = index_figures(gallery);
    assert_string_equal(s.name, "index");
    assert_int_equal(s.entries, 0); /* who only enrolls loads nothing */
    assert_int_equal(s.hits + s.misses, 0);
    for (uint64_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 4; i++) {
            expect(gallery, collection_name(i), 1000 * i + round, true);
            expect(gallery, collection_name(i), 1000 * i + 7, false);
            s = index_figures(gallery);
            assert_true(s.entries <= 2);
            assert_true(s.bytes > 0);
        }
    }
    assert_int_equal(s.capacity, 2);
    assert_int_equal(s.misses, 12); /* four in turn for two places: each has left when it is asked again */
    assert_int_equal(s.hits, 12);
    assert_int_equal(s.evictions, 10);
    struct frt_collection_info info;
    struct frt_error err = {0};
    must(frt_collection_get(gallery, "a", &info, &err), &err); /* tells of it and does not load it */
    assert_string_equal(info.index_kind, "");
    assert_int_equal(info.faces, 5);
    frt_collection_info_deinit(&info);
    assert_int_equal(index_figures(gallery).misses, 12);
    frt_gallery_close(gallery);

    gallery = open_gallery(*state, &(struct frt_cache_limits){0}, false);
    for (size_t i = 0; i < 4; i++)
        expect(gallery, collection_name(i), 1000 * i, true);
    s = index_figures(gallery);
    assert_int_equal(s.entries, 4);
    assert_int_equal(s.capacity, 50);
    assert_int_equal(s.ttl_ms, 7200000);
    frt_gallery_close(gallery);
}

static void bytes_bound_them_but_one_is_held(void **state)
{
    struct frt_gallery *gallery =
        open_gallery(*state, &(struct frt_cache_limits){.entries = 10, .bytes = 1024}, false);
    make_collections(gallery, 2, 40); /* each is larger than that */
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 2; i++) {
            expect(gallery, collection_name(i), 1000 * i, true);
            expect(gallery, collection_name(i), 1000 * i + 1, true);
            assert_int_equal(index_figures(gallery).entries, 1);
        }
    }
    const struct frt_cache_stats s = index_figures(gallery);
    assert_int_equal(s.misses, 4);
    assert_int_equal(s.hits, 4);
    assert_true(s.bytes > s.capacity_bytes);
    frt_gallery_close(gallery);
}

/* An index that grows is weighed again. */
static void growth_is_counted(void **state)
{
    struct frt_gallery *gallery = open_gallery(*state, &(struct frt_cache_limits){0}, false);
    make_collections(gallery, 1, 1);
    expect(gallery, "a", 0, true);
    const uint64_t before = index_figures(gallery).bytes;
    for (uint64_t i = 1; i < 400; i++)
        enroll(gallery, "a", i);
    assert_true(index_figures(gallery).bytes >= before + 300 * DIM);
    frt_gallery_close(gallery);
}

static void an_index_nobody_uses_leaves(void **state)
{
    struct frt_gallery *gallery = open_gallery(*state, &(struct frt_cache_limits){.ttl_ms = 40}, false);
    make_collections(gallery, 1, 5);
    expect(gallery, "a", 1, true);
    (void)usleep(60000);
    struct frt_cache_stats s = index_figures(gallery);
    assert_int_equal(s.entries, 0);
    assert_int_equal(s.expirations, 1);
    forget(gallery, "a", 1); /* while no index is there to hear of it */
    enroll(gallery, "a", 8);
    expect(gallery, "a", 1, false);
    expect(gallery, "a", 8, true);
    frt_gallery_close(gallery);
}

/* ----------------------------------------------------------- never stale */

static void changes_are_seen_whatever_left(void **state)
{
    struct frt_gallery *gallery = open_gallery(*state, &(struct frt_cache_limits){.entries = 1}, false);
    make_collections(gallery, 3, 4);
    for (uint64_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 3; i++) {
            const uint64_t number = 1000 * i + 100 + round;
            const size_t next = (i + 1) % 3;
            expect(gallery, collection_name(i), number, false);
            if (round % 2 == 0) /* its index leaves before the change, or after it, or not at all */
                expect(gallery, collection_name(next), 1000 * next, true);
            enroll(gallery, collection_name(i), number);
            if (round % 3 == 0)
                expect(gallery, collection_name(next), 1000 * next, true);
            expect(gallery, collection_name(i), number, true);
            if (round % 5 == 0)
                expect(gallery, collection_name(next), 1000 * next, true);
            forget(gallery, collection_name(i), number);
            expect(gallery, collection_name(i), number, false);
            expect(gallery, collection_name(i), 1000 * i + 3, true);
        }
    }
    struct frt_error err = {0};
    must(frt_collection_delete(gallery, "c", NULL, &err), &err);
    assert_int_equal(find(gallery, "c", 2003, &err), -1);
    must(frt_collection_put(gallery, "c", NULL, NULL, &err), &err);
    expect(gallery, "c", 2003, false);
    enroll(gallery, "c", 2003);
    expect(gallery, "c", 2003, true);
    expect(gallery, "c", 2002, false);
    frt_gallery_close(gallery);
}

/* Two programs over one database: what one writes the other finds, though it holds an older index. */
static void another_program_is_heard(void **state)
{
    struct frt_gallery *one = open_gallery(*state, &(struct frt_cache_limits){.entries = 1}, false);
    make_collections(one, 2, 3);
    struct frt_gallery *two = open_gallery(*state, &(struct frt_cache_limits){.entries = 1}, false);
    for (uint64_t i = 0; i < 10; i++) {
        expect(one, "a", 50 + i, false);
        enroll(two, "a", 50 + i);
        if (i % 2 == 0)
            expect(one, "b", 1000, true);
        expect(one, "a", 50 + i, true);
        forget(two, "a", 50 + i);
        expect(one, "a", 50 + i, false);
    }
    frt_gallery_close(two);
    frt_gallery_close(one);
}

/* ------------------------------------------------------------- snapshots */

static void import(struct frt_gallery *gallery, const char *collection, uint64_t n)
{
    struct frt_error err = {0};
    struct frt_importer *importer = NULL;
    char line[DIM * 20 + 64];
    must(frt_import_begin(gallery, collection, model, DIM, &importer, &err), &err);
    for (uint64_t i = 0; i < n; i++) {
        float v[DIM];
        vector_of(i, v);
        int at = snprintf(line, sizeof line, "{\"subject\":\"s%llu\",\"embedding\":[", (unsigned long long)i);
        for (int j = 0; j < DIM; j++)
            at += snprintf(line + at, sizeof line - (size_t)at, "%s%.9g", j > 0 ? "," : "", (double)v[j]);
        at += snprintf(line + at, sizeof line - (size_t)at, "]}\n");
        must(frt_import_feed(importer, line, (size_t)at, &err), &err);
    }
    must(frt_import_finish(importer, &err), &err);
    assert_int_equal(frt_import_report_get(importer).imported, n);
    frt_importer_free(importer);
}

/* The keeper writes what an index that leaves has that no snapshot has; who asks again follows from there. */
static void what_leaves_is_saved_first(void **state)
{
    enum { MANY = 6000 };
    const struct place *p = *state;
    struct frt_gallery *gallery = open_gallery(p, &(struct frt_cache_limits){.entries = 1}, true);
    struct frt_error err = {0};
    struct stat st;
    char snapshot[160];
    must(frt_collection_put(gallery, "big", NULL, NULL, &err), &err);
    import(gallery, "big", MANY);
    make_collections(gallery, 1, 3);
    (void)snprintf(snapshot, sizeof snapshot, "%s.index/1.frtx", p->path);
    expect(gallery, "big", 77, true);
    assert_int_equal(stat(snapshot, &st), -1);
    expect(gallery, "a", 1, true); /* "big" leaves */
    for (int i = 0; i < 1500 && stat(snapshot, &st) != 0; i++)
        (void)usleep(10000);
    assert_int_equal(stat(snapshot, &st), 0);
    forget(gallery, "big", 77);
    enroll(gallery, "big", MANY + 5);
    expect(gallery, "big", 77, false); /* the snapshot has it; the store's tail says that it is gone */
    expect(gallery, "big", MANY + 5, true);
    expect(gallery, "big", 78, true);
    expect(gallery, "a", 1, true);
    const struct frt_cache_stats s = index_figures(gallery);
    assert_int_equal(s.entries, 1);
    frt_gallery_close(gallery);
    gallery = open_gallery(p, &(struct frt_cache_limits){.entries = 1}, false);
    expect(gallery, "big", 77, false);
    expect(gallery, "big", MANY + 5, true);
    frt_gallery_close(gallery);
}

/* --------------------------------------------------------- many at a time */

enum { SEARCHERS = 6 };

struct searcher {
    pthread_t thread;
    struct frt_gallery *gallery;
    pthread_barrier_t *together;
    const char *collection;
    uint64_t number;
    int found;
    struct frt_error err;
};

static void *search(void *arg)
{
    struct searcher *s = arg;
    (void)pthread_barrier_wait(s->together);
    s->found = find(s->gallery, s->collection, s->number, &s->err);
    return NULL;
}

static void an_index_is_loaded_once_for_all_who_ask(void **state)
{
    const struct place *p = *state;
    struct frt_gallery *gallery = open_gallery(p, &(struct frt_cache_limits){0}, false);
    make_collections(gallery, 1, 300);
    for (uint64_t round = 0; round < 5; round++) {
        struct searcher searchers[SEARCHERS];
        pthread_barrier_t together;
        frt_gallery_close(gallery);
        gallery = open_gallery(p, &(struct frt_cache_limits){0}, false);
        assert_int_equal(pthread_barrier_init(&together, NULL, SEARCHERS), 0);
        for (size_t i = 0; i < SEARCHERS; i++) {
            searchers[i] = (struct searcher){
                .gallery = gallery, .together = &together, .collection = "a", .number = 10 * round + i};
            assert_int_equal(pthread_create(&searchers[i].thread, NULL, search, &searchers[i]), 0);
        }
        for (size_t i = 0; i < SEARCHERS; i++) {
            assert_int_equal(pthread_join(searchers[i].thread, NULL), 0);
            assert_int_equal(searchers[i].found, 1);
        }
        (void)pthread_barrier_destroy(&together);
        const struct frt_cache_stats s = index_figures(gallery);
        assert_int_equal(s.misses, 1);
        assert_int_equal(s.hits + s.shared, SEARCHERS - 1);
    }
    frt_gallery_close(gallery);
}

enum { WRITERS = 3, READERS = 2, COLLECTIONS = 3, ROUNDS = 25 };

struct traffic {
    pthread_t thread;
    struct frt_gallery *gallery;
    uint64_t number;
    atomic_bool *over;
    uint32_t wrong;
    struct frt_error err;
};

/* Each has subjects of his own and looks for them himself: what he just did must be what he finds. */
static void *write_and_look(void *arg)
{
    struct traffic *t = arg;
    for (uint64_t i = 0; i < ROUNDS && t->wrong == 0; i++) {
        const char *here = collection_name((t->number + i) % COLLECTIONS);
        const uint64_t number = 100000 * t->number + i;
        t->wrong += find(t->gallery, here, number, &t->err) != 0;
        t->wrong += try_enroll(t->gallery, here, number, &t->err) != FRT_OK;
        t->wrong += find(t->gallery, here, number, &t->err) != 1;
        if (i % 4 == 0) {
            struct frt_job job;
            t->wrong += frt_rebuild(t->gallery, here, &job, &t->err) != FRT_OK;
            t->wrong += find(t->gallery, here, number, &t->err) != 1;
        }
        t->wrong += try_forget(t->gallery, here, number, &t->err) != FRT_OK;
        t->wrong += find(t->gallery, here, number, &t->err) != 0;
    }
    return NULL;
}

/* Those who were there before stay there. */
static void *look(void *arg)
{
    struct traffic *t = arg;
    for (uint64_t i = 0; !atomic_load(t->over) && t->wrong == 0; i++) {
        const uint64_t c = (t->number + i) % COLLECTIONS;
        t->wrong += find(t->gallery, collection_name(c), 1000 * c + i % 20, &t->err) != 1;
    }
    return NULL;
}

static void under_traffic_with(void **state, const struct frt_cache_limits *limits)
{
    struct frt_gallery *gallery = open_gallery(*state, limits, true);
    struct traffic all[WRITERS + READERS] = {0};
    atomic_bool over = false;
    make_collections(gallery, COLLECTIONS, 20);
    for (uint64_t i = 0; i < WRITERS + READERS; i++) {
        all[i].gallery = gallery;
        all[i].number = i + 1;
        all[i].over = &over;
        assert_int_equal(pthread_create(&all[i].thread, NULL, i < WRITERS ? write_and_look : look, &all[i]), 0);
    }
    for (size_t i = 0; i < WRITERS + READERS; i++) {
        if (i == WRITERS)
            atomic_store(&over, true);
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);
    }
    for (size_t i = 0; i < WRITERS + READERS; i++)
        if (all[i].wrong != 0)
            fail_msg("thread %zu: %s", i, all[i].err.text);
    const struct frt_cache_stats s = index_figures(gallery);
    assert_true(s.entries <= s.capacity);
    frt_gallery_close(gallery);
}

static void under_traffic_nothing_is_stale(void **state)
{
    under_traffic_with(state, &(struct frt_cache_limits){.entries = 1});
}

static void under_traffic_and_short_lives_nothing_is_stale(void **state)
{
    under_traffic_with(state, &(struct frt_cache_limits){.entries = 2, .ttl_ms = 1});
}

static void short_memory(void **state)
{
    struct frt_gallery *gallery = open_gallery(*state, &(struct frt_cache_limits){.entries = 1}, false);
    make_collections(gallery, 2, 3);
    for (int64_t n = 0;; n++) {
        struct frt_error err = {0};
        expect(gallery, "b", 1001, true); /* the index of "a" leaves */
        frt_mem_fail_after(n);
        const int found = find(gallery, "a", 1, &err);
        const bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        assert_true(found == 1 || (found == -1 && err.text[0] != '\0'));
        assert_true(index_figures(gallery).entries <= 1);
        if (all) {
            assert_int_equal(found, 1);
            break;
        }
    }
    frt_gallery_close(gallery);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_more_than_allowed_are_in_memory, make_place, drop_place),
        cmocka_unit_test_setup_teardown(bytes_bound_them_but_one_is_held, make_place, drop_place),
        cmocka_unit_test_setup_teardown(growth_is_counted, make_place, drop_place),
        cmocka_unit_test_setup_teardown(an_index_nobody_uses_leaves, make_place, drop_place),
        cmocka_unit_test_setup_teardown(changes_are_seen_whatever_left, make_place, drop_place),
        cmocka_unit_test_setup_teardown(another_program_is_heard, make_place, drop_place),
        cmocka_unit_test_setup_teardown(what_leaves_is_saved_first, make_place, drop_place),
        cmocka_unit_test_setup_teardown(an_index_is_loaded_once_for_all_who_ask, make_place, drop_place),
        cmocka_unit_test_setup_teardown(under_traffic_nothing_is_stale, make_place, drop_place),
        cmocka_unit_test_setup_teardown(under_traffic_and_short_lives_nothing_is_stale, make_place, drop_place),
        cmocka_unit_test_setup_teardown(short_memory, make_place, drop_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
