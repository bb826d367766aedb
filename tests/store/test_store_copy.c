/* A store copied to a server and back: nothing is otherwise than it was. And what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "store/store_copy.h"
#include "store/store_crops.h"
#include "store/store_migrate.h"
#include "store/store_place.h"

enum { FACES = 1203 }; /* several pages */
static const uint8_t key[FRT_SEAL_KEY_BYTES] = {9, 8, 7};

static struct frt_store *open_at(const char *path)
{
    const struct frt_store_options options = {.path = path, .crop_key = key};
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    store_must(frt_store_open(&options, &store, &err), &err);
    return store;
}

/* Something in every table. */
static void fill(struct frt_store *store)
{
    static const uint8_t crop[5000] = {1, 2, 3};
    struct frt_error err = {0};
    const struct frt_store_collection people = {.name = "people",
                                                .threshold = 0.25f,
                                                .target_fpir = (double)NAN,
                                                .metadata = "{\"\xc3\xa4\":1}",
                                                .calibration = "{\"rows\":[]}"};
    const struct frt_store_collection empty = {.name = "Empty", .threshold = NAN, .target_fpir = 0.01};
    const struct frt_store_user user = {
        .email = "ada@example.org", .password_hash = "hash", .role = FRT_ROLE_ADMIN};
    const struct frt_store_key k = {
        .id = "k_1", .name = "door \xe2\x82\xac", .hash = {1, 0, 3}, .role = FRT_ROLE_READER, .expires_ms = 77};
    uint8_t secret[32];
    store_must(frt_store_collection_add(store, &people, &err), &err);
    store_must(frt_store_collection_add(store, &empty, &err), &err);
    static char subjects[FACES][32], ids[FACES][32];
    static float vectors[FACES][PLACE_DIM];
    static struct frt_store_face faces[FACES];
    for (uint64_t i = 0; i < FACES; i++) {
        (void)snprintf(subjects[i], sizeof subjects[i], "Zo\xc3\xab %llu", (unsigned long long)(i / 3));
        (void)snprintf(ids[i], sizeof ids[i], "face-%llu", (unsigned long long)i);
        store_vector(i, vectors[i]);
        faces[i] = (struct frt_store_face){.subject = subjects[i],
                                           .face_id = i % 2 == 0 ? ids[i] : NULL,
                                           .embedding = vectors[i],
                                           .metadata = i % 5 == 0 ? "{\"a\":\"\\u00e9\"}" : NULL,
                                           .box = {0.1f, -2.5f, 30, 40},
                                           .confidence = 0.3f,
                                           .quality = i % 3 == 0 ? NAN : 0.7f,
                                           .threshold = i % 7 == 0 ? 0.4f : NAN,
                                           .crop = i % 50 == 0 ? crop : NULL,
                                           .crop_size = sizeof crop};
    }
    const struct frt_store_add add = {
        .collection = "people", .model = place_model, .dim = PLACE_DIM, .faces = faces, .n = FACES};
    store_must(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), &err);
    for (uint64_t i = 0; i < 10; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "face-%llu", (unsigned long long)(i * 4));
        store_must(frt_store_face_delete(store, "people", id, NULL, &err), &err);
    }
    store_must(frt_store_user_add(store, &user, &err), &err);
    store_must(frt_store_key_add(store, &k, &err), &err);
    store_must(frt_store_secret(store, "jwt", secret, &err), &err);
    store_must(frt_store_migration_begin(store, "people", "made-up 2", PLACE_DIM, &err), &err);
    struct frt_store_missing missing[5];
    size_t n = 0;
    store_must(frt_store_migration_missing(store, "people", 0, false, missing, 5, &n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        float v[PLACE_DIM];
        store_vector(i + 5000, v);
        store_must(
            frt_store_migration_put(store, "people", "made-up 2", &missing[i].key, v, PLACE_DIM, 1, &err),
            &err);
    }
}

static struct frt_store_copy copy_it(const char *from, const char *to)
{
    struct frt_store_copy copy = {.from = from, .to = to};
    struct frt_error err = {0};
    store_must(frt_store_copy_all(&copy, &err), &err);
    return copy;
}

/* What a file holds, as text, sorted tables. */
static void dump(const char *path, const char *to)
{
    char command[1600];
    (void)snprintf(command, sizeof command,
                   "sqlite3 '%s' .dump | grep '^INSERT' | sort > '%s'; sqlite3 '%s' 'SELECT name, seq FROM "
                   "sqlite_sequence ORDER BY name' >> '%s'",
                   path, to, path, to);
    assert_int_equal(system(command), 0);
}

static void there_and_back_is_as_it_was(void **state)
{
    const struct store_place *place = *state;
    char first[640], back[640], a[640], b[640], command[2100];
    (void)snprintf(first, sizeof first, "sqlite:%s/first.db", place->folder);
    (void)snprintf(back, sizeof back, "sqlite:%s/back.db", place->folder);
    (void)snprintf(a, sizeof a, "%s/a.txt", place->folder);
    (void)snprintf(b, sizeof b, "%s/b.txt", place->folder);
    struct frt_store *store = open_at(first);
    fill(store);
    frt_store_close(store);
    struct frt_store_copy copy = copy_it(first, place->path);
    assert_true(copy.rows > FACES);
    const uint64_t rows = copy.rows, seq = copy.last_seq;
    /* the copy is a store like any other */
    store = open_at(place->path);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    uint8_t *crop = NULL, secret[32];
    size_t n = 0, size = 0;
    uint64_t last = 0, added = 0;
    store_must(frt_store_last_seq(store, &last, &err), &err);
    assert_int_equal(last, seq);
    store_must(frt_store_faces_list(store, "people", NULL, 0, 1000, true, &page, &err), &err);
    const struct frt_store_face *faces = frt_store_page_faces(page, &n);
    assert_int_equal(n, 1000);
    store_must(frt_store_secret(store, "jwt", secret, &err), &err);
    for (size_t i = 0; i < n; i++) {
        if (frt_store_crop_get(store, faces[i].key, &crop, &size, &err) != FRT_OK)
            continue;
        assert_int_equal(size, 5000); /* it opens: the store's id has come along */
        frt_free(crop);
        last = 0;
    }
    assert_int_equal(last, 0);
    frt_store_page_free(page);
    frt_store_close(store);
    copy = copy_it(place->path, back);
    assert_int_equal(copy.rows, rows);
    assert_int_equal(copy.last_seq, seq);
    if (system("command -v sqlite3 >/dev/null 2>&1") == 0) {
        dump(first + 7, a);
        dump(back + 7, b);
        (void)snprintf(command, sizeof command, "cmp '%s' '%s' && test -s '%s'", a, b, a);
        assert_int_equal(system(command), 0);
    }
    store = open_at(back); /* numbers go on where they were */
    store_must(store_add_one(store, "people", "new", NULL, 1, &added, &err), &err);
    assert_int_equal(added, seq + 1);
    frt_store_close(store);
    store = open_at(place->path);
    store_must(store_add_one(store, "people", "new", NULL, 1, &added, &err), &err);
    assert_int_equal(added, seq + 1);
    frt_store_close(store);
}

static bool after_a_while(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    assert_true(done <= total);
    return done < 800;
}

static void what_cannot_be_copied_is_refused(void **state)
{
    const struct store_place *place = *state;
    char first[640], other[640];
    struct frt_error err = {0};
    (void)snprintf(first, sizeof first, "sqlite:%s/first.db", place->folder);
    (void)snprintf(other, sizeof other, "sqlite:%s/other.db", place->folder);
    struct frt_store_copy copy = {.from = first, .to = place->path};
    assert_int_equal(frt_store_copy_all(&copy, &err), FRT_ENOTFOUND);
    struct frt_store *store = open_at(first);
    fill(store);
    frt_store_close(store);
    copy.progress = after_a_while;
    assert_int_equal(frt_store_copy_all(&copy, &err), FRT_ECANCELLED);
    copy.progress = NULL;
    store_must(frt_store_copy_all(&copy, &err), &err); /* nothing of the interrupted one has stayed */
    assert_int_equal(frt_store_copy_all(&copy, &err), FRT_ECONFLICT);
    copy.to = first;
    assert_int_equal(frt_store_copy_all(&copy, &err), FRT_ECONFLICT);
    store = open_at(other);
    const struct frt_store_user user = {.email = "a@b", .password_hash = "h", .role = FRT_ROLE_READER};
    store_must(frt_store_user_add(store, &user, &err), &err);
    frt_store_close(store);
    copy.to = other;
    assert_int_equal(frt_store_copy_all(&copy, &err), FRT_ECONFLICT);
    assert_non_null(strstr(err.text, "not empty"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_place_make, store_place_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {TEST(there_and_back_is_as_it_was),
                                       TEST(what_cannot_be_copied_is_refused)};
    if (!store_places_choose(argc, argv))
        return 77;
    return store_places_end(cmocka_run_group_tests(tests, NULL, NULL));
}
