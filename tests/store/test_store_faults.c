/* What can go wrong around a database file: a clear status, nothing lost, and the store works on afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_place.h"

static const struct frt_store_collection people = {
    .name = "people", .threshold = NAN, .target_fpir = (double)NAN};

static enum frt_status try_open(const struct store_place *place, bool read_only, struct frt_error *err)
{
    const struct frt_store_options options = {.path = place->path, .read_only = read_only, .busy_ms = 50};
    struct frt_store *store = NULL;
    enum frt_status status = frt_store_open(&options, &store, err);
    if (status == FRT_OK)
        frt_store_close(store);
    return status;
}

static uint64_t count_faces(struct frt_store *store)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {0};
    struct frt_error err = {0};
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    frt_store_page_free(page);
    return row.faces;
}

static void fill(const struct store_place *place, uint64_t n)
{
    struct frt_store *store = store_place_open(place);
    struct frt_error err = {0};
    store_must(frt_store_collection_add(store, &people, &err), &err);
    for (uint64_t i = 0; i < n; i++)
        store_must(store_add_one(store, "people", "s", NULL, i, NULL, &err), &err);
    frt_store_close(store);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void run_sql(const struct store_place *place, const char *sql)
{
    char command[1500];
    (void)snprintf(command, sizeof command, "sqlite3 '%s' \"%s\" >/dev/null", place->path, sql);
    if (system("command -v sqlite3 >/dev/null 2>&1") != 0) {
        print_message("SKIP: no sqlite3 program\n");
        skip();
    }
    assert_int_equal(system(command), 0);
}

/* A child whose files may not grow beyond a limit is a full disk without needing one. */
static void a_full_disk_changes_nothing(void **state)
{
    const struct store_place *place = *state;
    fill(place, 10);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct frt_error err = {0};
        const struct frt_store_options options = {.path = place->path};
        struct frt_store *store = NULL;
        const struct rlimit limit = {4 << 20, 4 << 20};
        uint64_t acknowledged = 10;
        enum frt_status status = FRT_OK;
        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || frt_store_open(&options, &store, &err) != FRT_OK)
            _exit(10);
        for (uint64_t i = 0; i < 100000 && status == FRT_OK; i++) {
            status = store_add_one(store, "people", "s", NULL, i, NULL, &err);
            acknowledged += status == FRT_OK;
        }
        if (status != FRT_ESTORAGE_FULL && status != FRT_EIO)
            _exit(11);
        if (acknowledged < 20 || count_faces(store) != acknowledged) /* reads go on */
            _exit(12);
        struct frt_store_page *page = NULL;
        if (frt_store_faces_list(store, "people", NULL, 0, 10, true, &page, &err) != FRT_OK)
            _exit(13);
        frt_store_page_free(page);
        frt_store_close(store);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    /* with room again, everything acknowledged is there and writing works */
    struct frt_error err = {0};
    struct frt_store *store = store_place_open(place);
    assert_true(count_faces(store) >= 20);
    store_must(store_add_one(store, "people", "after", NULL, 1, NULL, &err), &err);
    frt_store_close(store);
}

static void what_is_no_store_is_refused(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    char text[8192];
    memset(text, 'x', sizeof text);
    assert_int_equal(try_open(place, true, &err), FRT_ENOTFOUND);
    write_file(place->path, text, sizeof text);
    assert_int_equal(try_open(place, false, &err), FRT_ESTORE_DAMAGED);
    assert_int_equal(try_open(place, true, &err), FRT_ESTORE_DAMAGED);
    assert_int_equal(unlink(place->path), 0);
    run_sql(place, "CREATE TABLE other(a)");
    assert_int_equal(try_open(place, false, &err), FRT_ESTORE_DAMAGED);
    assert_non_null(strstr(err.text, "another program"));
}

static void a_newer_version_is_refused(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    fill(place, 3);
    run_sql(place, "PRAGMA user_version = 99");
    assert_int_equal(try_open(place, false, &err), FRT_ESTORE_DAMAGED);
    assert_non_null(strstr(err.text, "version 99"));
    run_sql(place, "PRAGMA user_version = 3");
    assert_int_equal(try_open(place, false, &err), FRT_OK);
}

/* A file that version 1 wrote, as SQL: whoever changes the tables must still be able to open it. */
static void an_old_file_is_read(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    char command[1400];
    size_t n = 0;
    if (system("command -v sqlite3 >/dev/null 2>&1") != 0) {
        print_message("SKIP: no sqlite3 program\n");
        skip();
    }
    (void)snprintf(command, sizeof command, "sqlite3 '%s' < tests/store/fixtures/store-v1.sql >/dev/null",
                   place->path);
    assert_int_equal(system(command), 0);
    struct frt_store *store = store_place_open(place);
    struct frt_store_page *page = NULL;
    assert_int_equal(count_faces(store), 3);
    store_must(frt_store_faces_list(store, "people", "Ada", 0, 10, true, &page, &err), &err);
    const struct frt_store_face *faces = frt_store_page_faces(page, &n);
    assert_int_equal(n, 2);
    float vector[PLACE_DIM];
    store_vector(1, vector);
    for (int i = 0; i < PLACE_DIM; i++)
        assert_true(fabsf(faces[0].embedding[i] - vector[i]) < 1e-6f);
    frt_store_page_free(page);
    store_must(store_add_one(store, "people", "Ada", NULL, 9, NULL, &err), &err);
    frt_store_close(store);
}

static void damage_is_told_of(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    struct stat st;
    fill(place, 400);
    assert_int_equal(stat(place->path, &st), 0);
    const int fd = open(place->path, O_RDWR);
    assert_true(fd >= 0);
    const char junk[4096] = {0x55};
    for (off_t at = 16384; at < st.st_size; at += 16384)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    assert_int_equal(close(fd), 0);
    const struct frt_store_options options = {.path = place->path};
    struct frt_store *store = NULL;
    enum frt_status status = frt_store_open(&options, &store, &err);
    if (status == FRT_OK) {
        struct frt_store_page *page = NULL;
        status = frt_store_faces_list(store, "people", NULL, 0, 1000, true, &page, &err);
        frt_store_page_free(page);
        frt_store_close(store);
    }
    assert_int_equal(status, FRT_ESTORE_DAMAGED);
    assert_int_equal(truncate(place->path, st.st_size / 2), 0);
    status = try_open(place, false, &err);
    assert_int_equal(status, FRT_ESTORE_DAMAGED);
}

static void another_writer_is_waited_for_not_forever(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    fill(place, 3);
    if (system("command -v sqlite3 >/dev/null 2>&1") != 0) {
        print_message("SKIP: no sqlite3 program\n");
        skip();
    }
    char command[1400];
    (void)snprintf(command, sizeof command, "sqlite3 '%s'", place->path);
    FILE *other = popen(command, "w");
    assert_non_null(other);
    (void)fprintf(other, "BEGIN IMMEDIATE;\n.shell touch '%s/held'\n", place->folder);
    (void)fflush(other);
    char held[600];
    (void)snprintf(held, sizeof held, "%s/held", place->folder);
    for (int i = 0; i < 1000 && access(held, F_OK) != 0; i++)
        (void)usleep(10000);
    const struct frt_store_options options = {.path = place->path, .busy_ms = 100};
    struct frt_store *store = NULL;
    store_must(
        frt_store_open(&(struct frt_store_options){.path = place->path, .read_only = true}, &store, &err),
        &err);
    assert_int_equal(count_faces(store), 3); /* readers do not wait */
    frt_store_close(store);
    store_must(frt_store_open(&options, &store, &err), &err); /* nor does who opens the file to write later */
    assert_int_equal(count_faces(store), 3);
    assert_int_equal(store_add_one(store, "people", "s", NULL, 1, NULL, &err), FRT_EOVERLOADED);
    frt_store_close(store);
    (void)fprintf(other, "COMMIT;\n.quit\n");
    assert_int_equal(pclose(other), 0);
    store = store_place_open(place);
    store_must(store_add_one(store, "people", "s", NULL, 1, NULL, &err), &err);
    frt_store_close(store);
}

static void a_read_only_folder_is_told_of(void **state)
{
    const struct store_place *place = *state;
    struct frt_error err = {0};
    if (geteuid() == 0) {
        print_message("SKIP: root may write everywhere\n");
        skip();
    }
    assert_int_equal(chmod(place->folder, 0500), 0);
    assert_int_equal(try_open(place, false, &err), FRT_EUNAVAILABLE);
}

/* Readers see whole batches, whatever the writer is doing. */
struct reading {
    struct frt_store *store;
    _Atomic bool over;
    uint64_t reads;
    bool torn;
};

static void *read_on(void *arg)
{
    struct reading *r = arg;
    while (!r->over) {
        struct frt_store_page *page = NULL;
        struct frt_store_collection row;
        if (frt_store_collection_get(r->store, "people", &page, &row, NULL) != FRT_OK)
            r->torn = true;
        else
            r->torn = r->torn || row.faces % 10 != 0;
        frt_store_page_free(page);
        r->reads++;
    }
    return NULL;
}

static void readers_see_whole_batches(void **state)
{
    enum { READERS = 3 };
    struct frt_store *store = store_place_open(*state);
    struct frt_error err = {0};
    struct reading readings[READERS];
    pthread_t threads[READERS];
    float vectors[10][PLACE_DIM];
    struct frt_store_face faces[10];
    store_must(frt_store_collection_add(store, &people, &err), &err);
    for (int i = 0; i < READERS; i++) {
        readings[i] = (struct reading){.store = store};
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readings[i]), 0);
    }
    for (uint64_t batch = 0; batch < 50; batch++) {
        for (uint64_t i = 0; i < 10; i++) {
            store_vector(batch * 10 + i, vectors[i]);
            faces[i] = (struct frt_store_face){
                .subject = "s", .embedding = vectors[i], .quality = NAN, .threshold = NAN};
        }
        const struct frt_store_add add = {
            .collection = "people", .model = place_model, .dim = PLACE_DIM, .faces = faces, .n = 10};
        store_must(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), &err);
    }
    for (int i = 0; i < READERS; i++) {
        readings[i].over = true;
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(readings[i].torn);
    }
    frt_store_close(store);
}

int main(int argc, char **argv)
{
    if (!store_places_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_changes_nothing, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(what_is_no_store_is_refused, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(a_newer_version_is_refused, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(an_old_file_is_read, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(damage_is_told_of, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(another_writer_is_waited_for_not_forever, store_place_make,
                                        store_place_drop),
        cmocka_unit_test_setup_teardown(a_read_only_folder_is_told_of, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(readers_see_whole_batches, store_place_make, store_place_drop),
    };
    return store_places_end(cmocka_run_group_tests(tests, NULL, NULL));
}
