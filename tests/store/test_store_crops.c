/* Crops kept with faces: sealed or not, with the right key or another, moved, changed, deleted; a full disk. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "store/store_crops.h"
#include "store/store_migrate.h"
#include "store/store_place.h"

enum { CROP = 20000 };
static const uint8_t key_a[FRT_SEAL_KEY_BYTES] = {1, 2, 3}, key_b[FRT_SEAL_KEY_BYTES] = {1, 2, 4};
static const char text_in_crop[] = "a face that nobody is to read on the disk";

static void make_crop(uint64_t number, uint8_t out[CROP])
{
    for (size_t i = 0; i < CROP; i++)
        out[i] = (uint8_t)(number * 31 + i * i);
    memcpy(out + 100, text_in_crop, sizeof text_in_crop);
}

static enum frt_status try_open(const struct store_place *place, const uint8_t *key, bool read_only,
                                struct frt_store **out, struct frt_error *err)
{
    const struct frt_store_options options = {.path = place->path, .crop_key = key, .read_only = read_only};
    return frt_store_open(&options, out, err);
}

static struct frt_store *open_with(const struct store_place *place, const uint8_t *key)
{
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    store_must(try_open(place, key, false, &store, &err), &err);
    return store;
}

static void make_people(struct frt_store *store)
{
    struct frt_error err = {0};
    const struct frt_store_collection people = {.name = "people", .threshold = NAN, .target_fpir = (double)NAN};
    store_must(frt_store_collection_add(store, &people, &err), &err);
}

static enum frt_status add(struct frt_store *store, uint64_t number, size_t size, uint64_t *face,
                           struct frt_error *err)
{
    float vector[PLACE_DIM];
    uint8_t *crop = test_malloc(size > CROP ? size : CROP);
    char id[32];
    store_vector(number, vector);
    memset(crop, 0, size > CROP ? size : CROP);
    make_crop(number, crop);
    (void)snprintf(id, sizeof id, "face-%llu", (unsigned long long)number);
    const struct frt_store_face row = {.subject = "Ada",
                                       .face_id = id,
                                       .embedding = vector,
                                       .quality = NAN,
                                       .threshold = NAN,
                                       .crop = crop,
                                       .crop_size = size};
    const struct frt_store_add adding = {
        .collection = "people", .model = place_model, .dim = PLACE_DIM, .faces = &row, .n = 1};
    enum frt_status status = frt_store_faces_add(store, &adding, face, NULL, NULL, err);
    test_free(crop);
    return status;
}

static uint64_t add_one(struct frt_store *store, uint64_t number)
{
    struct frt_error err = {0};
    uint64_t face = 0;
    store_must(add(store, number, CROP, &face, &err), &err);
    return face;
}

static void expect_crop(struct frt_store *store, uint64_t face, uint64_t number)
{
    uint8_t want[CROP], *got = NULL;
    struct frt_error err = {0};
    size_t size = 0;
    store_must(frt_store_crop_get(store, face, &got, &size, &err), &err);
    make_crop(number, want);
    assert_int_equal(size, CROP);
    assert_memory_equal(got, want, CROP);
    frt_free(got);
}

static struct frt_store_crops count(struct frt_store *store)
{
    struct frt_store_crops crops = {0};
    struct frt_error err = {0};
    store_must(frt_store_crops_count(store, "people", &crops, &err), &err);
    return crops;
}

/* Do the database's files hold the text? */
static bool on_disk(const struct store_place *place)
{
    char command[1400], found[16] = "";
    if (place->on_server) {
        (void)snprintf(command, sizeof command,
                       "SELECT count(*) FROM frt.crops WHERE position(convert_to('%s', 'UTF8') IN bytes) > 0",
                       text_in_crop);
        postgres_server_sql(place->path, command, found, sizeof found);
        return strcmp(found, "0") != 0;
    }
    (void)snprintf(command, sizeof command, "grep -qa '%s' '%s'*", text_in_crop, place->path);
    return system(command) == 0;
}

static void run_sql(const struct store_place *place, const char *sql)
{
    char command[1400];
    if (place->on_server) {
        (void)snprintf(command, sizeof command, "SET search_path = frt; %s", sql);
        postgres_server_sql(place->path, command, NULL, 0);
        return;
    }
    (void)snprintf(command, sizeof command, "sqlite3 '%s' \"%s\"", place->path, sql);
    assert_int_equal(system(command), 0);
}

static bool has_sqlite(void)
{
    return system("command -v sqlite3 >/dev/null 2>&1") == 0;
}

/* ------------------------------------------------------------------------ */

static void without_a_key_they_are_plain(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    uint8_t *got = NULL;
    size_t size = 0;
    struct frt_store *store = open_with(place, NULL);
    make_people(store);
    const uint64_t face = add_one(store, 1);
    expect_crop(store, face, 1);
    assert_int_equal(frt_store_crop_get(store, face + 999, &got, &size, &err), FRT_ENOTFOUND);
    assert_int_equal(count(store).count, 1);
    assert_int_equal(count(store).sealed, 0);
    assert_int_equal(count(store).bytes, CROP);
    assert_int_equal(add(store, 2, FRT_STORE_CROP_MAX + 1, NULL, &err), FRT_EINVAL);
    assert_int_equal(count(store).count, 1);
    frt_store_close(store);
    assert_true(on_disk(place));
}

static void with_a_key_they_are_sealed(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    struct frt_store *store = open_with(place, key_a), *none = NULL;
    uint8_t *got = NULL;
    size_t size = 0;
    make_people(store);
    const uint64_t face = add_one(store, 1);
    expect_crop(store, face, 1);
    assert_int_equal(count(store).sealed, 1);
    frt_store_close(store);
    assert_false(on_disk(place));
    for (int read_only = 0; read_only < 2; read_only++) { /* another key opens nothing */
        assert_int_equal(try_open(place, key_b, read_only != 0, &none, &err), FRT_EINVAL);
        assert_non_null(strstr(err.text, "another key"));
    }
    store = open_with(place, NULL); /* searches need no key */
    assert_int_equal(frt_store_crop_get(store, face, &got, &size, &err), FRT_EINVAL);
    assert_non_null(strstr(err.text, "FRT_KEY_FILE"));
    assert_int_equal(add(store, 2, CROP, NULL, &err),
                     FRT_EINVAL); /* and none is kept in the open beside them */
    store_must(store_add_one(store, "people", "Ada", NULL, 9, NULL, &err), &err);
    frt_store_close(store);
    store = open_with(place, key_a);
    expect_crop(store, face, 1);
    frt_store_close(store);
}

static void plain_ones_stay_readable_when_a_key_comes(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = open_with(place, NULL);
    make_people(store);
    const uint64_t plain = add_one(store, 1);
    frt_store_close(store);
    store = open_with(place, key_a);
    const uint64_t sealed = add_one(store, 2);
    expect_crop(store, plain, 1);
    expect_crop(store, sealed, 2);
    assert_int_equal(count(store).sealed, 1);
    frt_store_close(store);
}

static void a_sealed_crop_opens_only_at_its_face(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    uint8_t *got = NULL;
    size_t size = 0;
    if (!place->on_server && !has_sqlite()) {
        print_message("SKIP: no sqlite3 program\n");
        skip();
    }
    struct frt_store *store = open_with(place, key_a);
    make_people(store);
    const uint64_t one = add_one(store, 1), two = add_one(store, 2), three = add_one(store, 3);
    frt_store_close(store);
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "UPDATE crops SET bytes = (SELECT bytes FROM crops WHERE face = %llu) WHERE face = %llu",
                   (unsigned long long)one, (unsigned long long)two);
    run_sql(place, sql);
    (void)snprintf(sql, sizeof sql, "UPDATE crops SET bytes = %s WHERE face = %llu",
                   place->on_server ? "'\\x0102'" : "x'0102'", (unsigned long long)three);
    run_sql(place, sql);
    store = open_with(place, key_a);
    expect_crop(store, one, 1);
    assert_int_equal(frt_store_crop_get(store, two, &got, &size, &err), FRT_ESTORE_DAMAGED);
    assert_int_equal(frt_store_crop_get(store, three, &got, &size, &err), FRT_ESTORE_DAMAGED);
    frt_store_close(store);
}

static void they_go_with_their_faces(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    uint64_t faces = 0;
    struct frt_store *store = open_with(place, NULL);
    make_people(store);
    for (uint64_t i = 0; i < 6; i++)
        (void)add_one(store, i);
    store_must(frt_store_face_delete(store, "people", "face-1", NULL, &err), &err);
    assert_int_equal(count(store).count, 5);
    store_must(frt_store_subject_delete(store, "people", "Ada", &faces, &err), &err);
    assert_int_equal(faces, 5);
    assert_int_equal(count(store).count, 0);
    (void)add_one(store, 7);
    store_must(frt_store_collection_delete(store, "people", &faces, &err), &err);
    frt_store_close(store);
    assert_false(on_disk(place)); /* and what is deleted is overwritten */
}

static void a_full_disk_loses_neither(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = open_with(place, key_a);
    make_people(store);
    (void)add_one(store, 0);
    frt_store_close(store);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* the limit is a process's for good */
        const struct rlimit limit = {2 << 20, 2 << 20};
        struct frt_error err = {0};
        uint64_t i = 1;
        enum frt_status status = FRT_OK;
        struct frt_store_crops crops = {0};
        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || try_open(place, key_a, false, &store, &err) != FRT_OK)
            _exit(2);
        while (i < 1000 && (status = add(store, i, CROP, NULL, &err)) == FRT_OK)
            i++;
        if (status != FRT_ESTORAGE_FULL && status != FRT_EIO) /* the limit is told as either */
            _exit(3);
        if (i < 5 || frt_store_crops_count(store, "people", &crops, &err) != FRT_OK || crops.count != i)
            _exit(4);
        frt_store_close(store);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    store = open_with(place, key_a);
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    struct frt_error err = {0};
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    assert_int_equal(row.faces, count(store).count); /* each face has its crop */
    frt_store_page_free(page);
    frt_store_close(store);
}

/* A file that version 3 wrote, as SQL: whoever changes the tables must still be able to open it. */
static void an_old_file_is_read(void **state)
{
    const struct store_place *place = *state;
    struct frt_store_migration m;
    struct frt_error err = {0};
    char command[1400];
    uint8_t *crop = NULL;
    size_t size = 0;
    if (!has_sqlite()) {
        print_message("SKIP: no sqlite3 program\n");
        skip();
    }
    (void)snprintf(command, sizeof command, "sqlite3 '%s' < tests/store/fixtures/store-v3.sql >/dev/null",
                   place->path);
    assert_int_equal(system(command), 0);
    struct frt_store *store = store_place_open(place);
    store_must(frt_store_crop_get(store, 1, &crop, &size, &err), &err);
    assert_int_equal(size, 5);
    assert_memory_equal(crop, "\1\2\3\4\5", 5);
    frt_free(crop);
    store_must(frt_store_migration_get(store, "people", &m, &err), &err);
    assert_string_equal(m.coming_model, "made-up 2");
    assert_string_equal(m.former_model, "made-up 0");
    assert_int_equal(m.coming, 1);
    assert_int_equal(m.former, 2);
    assert_int_equal(m.missing, 2);
    assert_true(m.former_threshold == 0.25f);
    frt_store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_place_make, store_place_drop)

int main(int argc, char **argv)
{
    const bool on_server = argc > 1;
    if (!store_places_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {TEST(without_a_key_they_are_plain), TEST(with_a_key_they_are_sealed),
                                       TEST(plain_ones_stay_readable_when_a_key_comes),
                                       TEST(a_sealed_crop_opens_only_at_its_face),
                                       TEST(they_go_with_their_faces)};
    const struct CMUnitTest of_files[] = {TEST(an_old_file_is_read), TEST(a_full_disk_loses_neither)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!on_server)
        failed += cmocka_run_group_tests(of_files, NULL, NULL);
    return store_places_end(failed);
}
