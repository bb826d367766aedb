/*
 * A collection on its way to another model: what is switched, kept, put aside, taken back; what comes and goes
 * meanwhile; kills at any moment.
 *
 * The embedding of face number n by model m is store_vector(n + m * SHIFT), so that any mixture shows.
 */
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_migrate.h"
#include "store/store_place.h"

enum { FACES = 40, SHIFT = 1000000, ROUNDS = 60 };
static const char other_model[] = "made-up 2";

static const char *model_of(int m)
{
    return m == 0 ? place_model : other_model;
}

static struct frt_store *start(const struct store_place *place, uint64_t faces)
{
    struct frt_error err = {0};
    struct frt_store *store = store_place_open(place);
    const struct frt_store_collection people = {
        .name = "people", .threshold = 0.5f, .target_fpir = 0.02, .metadata = "{\"site\":\"north\"}"};
    store_must(frt_store_collection_add(store, &people, &err), &err);
    for (uint64_t i = 0; i < faces; i++) {
        char subject[32], id[32];
        (void)snprintf(subject, sizeof subject, "s%llu", (unsigned long long)(i / 2));
        (void)snprintf(id, sizeof id, "f%llu", (unsigned long long)i);
        store_must(store_add_one(store, "people", subject, id, i, NULL, &err), &err);
    }
    return store;
}

static struct frt_store_migration state_of(struct frt_store *store)
{
    struct frt_store_migration m;
    struct frt_error err = {0};
    store_must(frt_store_migration_get(store, "people", &m, &err), &err);
    return m;
}

/* Embeds up to `most` of what is missing. */
static size_t embed_some(struct frt_store *store, int model, size_t most)
{
    struct frt_store_missing missing[FACES];
    struct frt_error err = {0};
    size_t n = 0;
    store_must(frt_store_migration_missing(store, "people", 0, false, missing, FACES, &n, &err), &err);
    n = n < most ? n : most;
    for (size_t i = 0; i < n; i++) {
        float v[PLACE_DIM];
        store_vector(strtoull(missing[i].face_id + 1, NULL, 10) + (uint64_t)model * SHIFT, v);
        store_must(
            frt_store_migration_put(store, "people", model_of(model), &missing[i].key, v, PLACE_DIM, 1, &err),
            &err);
    }
    return n;
}

static struct frt_store_switch switch_to(struct frt_store *store, int model, const char *aside)
{
    struct frt_store_switch how = {.model = model_of(model), .aside = aside, .threshold = NAN};
    struct frt_error err = {0};
    store_must(frt_store_migration_switch(store, "people", &how, &err), &err);
    return how;
}

/* Every face has the embedding of the model that its collection says; how many there are. */
static size_t check_whole(struct frt_store *store, const char *collection, int *model)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    struct frt_error err = {0};
    size_t n = 0, subjects = 0;
    store_must(frt_store_collection_get(store, collection, &page, &row, &err), &err);
    *model = strcmp(row.model, place_model) == 0 ? 0 : 1;
    if (*model == 1)
        assert_string_equal(row.model, other_model);
    const uint64_t faces = row.faces, people = row.subjects;
    frt_store_page_free(page);
    store_must(frt_store_faces_list(store, collection, NULL, 0, 1000, true, &page, &err), &err);
    const struct frt_store_face *rows = frt_store_page_faces(page, &n);
    for (size_t i = 0; i < n; i++) {
        float v[PLACE_DIM];
        store_vector(strtoull(rows[i].face_id + 1, NULL, 10) + (uint64_t)*model * SHIFT, v);
        for (int k = 0; k < PLACE_DIM; k++)
            assert_true(fabsf(v[k] - rows[i].embedding[k]) < 1e-6f);
    }
    assert_int_equal(n, faces);
    frt_store_page_free(page);
    const struct frt_store_subject *names = NULL;
    store_must(frt_store_subject_list(store, collection, "", 1000, &page, &names, &subjects, &err), &err);
    assert_int_equal(subjects, people);
    uint64_t sum = 0;
    for (size_t i = 0; i < subjects; i++)
        sum += names[i].faces;
    assert_int_equal(sum, faces);
    frt_store_page_free(page);
    return n;
}

/* ------------------------------------------------------------------------ */

static void there_and_back(void **state)
{
    struct frt_store *store = start(*state, FACES);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_collection before, now;
    int model = -1;
    store_must(frt_store_collection_get(store, "people", &page, &before, &err), &err);
    const uint64_t old_key = before.key, old_seq = before.seq;
    frt_store_page_free(page);
    store_must(frt_store_migration_begin(store, "people", other_model, PLACE_DIM, &err), &err);
    assert_int_equal(embed_some(store, 1, 15), 15);
    struct frt_store_migration m = state_of(store);
    assert_int_equal(m.coming, 15);
    assert_int_equal(m.missing, FACES - 15);
    struct frt_store_switch how = {.model = other_model, .threshold = NAN};
    assert_int_equal(frt_store_migration_switch(store, "people", &how, &err), FRT_ECONFLICT);
    assert_int_equal(check_whole(store, "people", &model), FACES);
    assert_int_equal(model, 0);
    store_must(frt_store_migration_begin(store, "people", other_model, PLACE_DIM, &err), &err); /* goes on */
    assert_int_equal(state_of(store).coming, 15);
    assert_int_equal(embed_some(store, 1, FACES), FACES - 15);
    how = switch_to(store, 1, NULL);
    assert_int_equal(how.moved, FACES);
    assert_int_equal(how.old_key, old_key);
    assert_int_equal(check_whole(store, "people", &model), FACES);
    assert_int_equal(model, 1);
    store_must(frt_store_collection_get(store, "people", &page, &now, &err), &err);
    assert_true(now.key != old_key && now.seq > old_seq);
    assert_true(isnan(now.threshold)); /* it was the former model's */
    assert_true(now.target_fpir == 0.02);
    assert_string_equal(now.metadata, "{\"site\":\"north\"}");
    frt_store_page_free(page);
    /* readers under the old key are told that it is gone */
    const struct frt_store_change *changes = NULL;
    uint64_t complete = 0;
    size_t n = 0;
    assert_int_equal(frt_store_changes(store, old_key, 0, 10, &page, &changes, &n, &complete, &err),
                     FRT_ECOLLECTION_NOT_FOUND);
    m = state_of(store);
    assert_string_equal(m.former_model, place_model);
    assert_int_equal(m.former, FACES);
    assert_true(m.former_threshold == 0.5f);
    /* and back: everything is at hand */
    store_must(frt_store_migration_begin(store, "people", place_model, PLACE_DIM, &err), &err);
    assert_int_equal(state_of(store).missing, 0);
    (void)switch_to(store, 0, NULL);
    assert_int_equal(check_whole(store, "people", &model), FACES);
    assert_int_equal(model, 0);
    uint64_t forgotten = 0;
    store_must(frt_store_migration_forget(store, "people", false, &forgotten, &err), &err);
    assert_int_equal(forgotten, FACES);
    assert_int_equal(state_of(store).former, 0);
    frt_store_close(store);
}

static void what_comes_and_goes_meanwhile(void **state)
{
    struct frt_store *store = start(*state, FACES);
    struct frt_error err = {0};
    int model = -1;
    store_must(frt_store_migration_begin(store, "people", other_model, PLACE_DIM, &err), &err);
    assert_int_equal(embed_some(store, 1, FACES), FACES);
    store_must(frt_store_face_delete(store, "people", "f3", NULL, &err), &err);
    store_must(frt_store_subject_delete(store, "people", "s5", NULL, &err), &err);
    store_must(frt_store_subject_rename(store, "people", "s6", "six", &err), &err);
    store_must(store_add_one(store, "people", "late", "f900", 900, NULL, &err), &err);
    struct frt_store_migration m = state_of(store);
    assert_int_equal(m.faces, FACES - 3 + 1);
    assert_int_equal(m.coming, FACES - 3);
    assert_int_equal(m.missing, 1);
    struct frt_store_switch how = {.model = other_model, .threshold = NAN};
    assert_int_equal(frt_store_migration_switch(store, "people", &how, &err), FRT_ECONFLICT);
    assert_int_equal(embed_some(store, 1, 10), 1);
    (void)switch_to(store, 1, NULL);
    assert_int_equal(check_whole(store, "people", &model), FACES - 2);
    /* after the switch: a face that is deleted does not come back with a rollback; one that came lacks what it
     * takes */
    store_must(frt_store_face_delete(store, "people", "f0", NULL, &err), &err);
    float v[PLACE_DIM];
    store_vector(901 + SHIFT, v);
    const struct frt_store_face row = {
        .subject = "later", .face_id = "f901", .embedding = v, .quality = NAN, .threshold = 0.25f};
    const struct frt_store_add add = {
        .collection = "people", .model = other_model, .dim = PLACE_DIM, .faces = &row, .n = 1};
    store_must(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), &err);
    store_must(frt_store_migration_begin(store, "people", place_model, PLACE_DIM, &err), &err);
    assert_int_equal(state_of(store).missing, 1);
    how = (struct frt_store_switch){.model = place_model, .threshold = NAN};
    assert_int_equal(frt_store_migration_switch(store, "people", &how, &err), FRT_ECONFLICT);
    how = switch_to(store, 0, "newcomers");
    assert_int_equal(how.aside_n, 1);
    assert_int_equal(check_whole(store, "people", &model), FACES - 3);
    assert_int_equal(model, 0);
    assert_int_equal(check_whole(store, "newcomers", &model), 1); /* nothing is lost */
    assert_int_equal(model, 1);
    struct frt_store_page *page = NULL;
    store_must(frt_store_face_get(store, "newcomers", "f901", false, &page, &err), &err);
    size_t n = 0;
    assert_true(frt_store_page_faces(page, &n)[0].threshold == 0.25f); /* of its own model, so it holds */
    frt_store_page_free(page);
    frt_store_close(store);
}

static void faces_set_aside_keep_their_people(void **state)
{
    struct frt_store *store = start(*state, FACES);
    struct frt_error err = {0};
    int model = -1;
    store_must(frt_store_migration_begin(store, "people", other_model, PLACE_DIM, &err), &err);
    assert_int_equal(embed_some(store, 1, 25), 25); /* s12 has one face here and one there */
    struct frt_store_switch how = {.model = other_model, .aside = "people", .threshold = NAN};
    assert_int_equal(frt_store_migration_switch(store, "people", &how, &err),
                     FRT_ECONFLICT); /* the name is taken */
    how.aside = ".hidden";
    assert_int_equal(frt_store_migration_switch(store, "people", &how, &err), FRT_EINVAL);
    assert_int_equal(check_whole(store, "people", &model), FACES);
    how = switch_to(store, 1, "rest");
    assert_int_equal(how.moved, 25);
    assert_int_equal(how.aside_n, FACES - 25);
    assert_int_equal(check_whole(store, "people", &model), 25);
    assert_int_equal(model, 1);
    assert_int_equal(check_whole(store, "rest", &model), FACES - 25);
    assert_int_equal(model, 0);
    frt_store_close(store);
}

static void thresholds_go_and_come_back(void **state)
{
    struct frt_store *store = start(*state, 4);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    size_t n = 0;
    struct frt_store_collection row;
    store_must(frt_store_faces_list(store, "people", NULL, 0, 10, false, &page, &err), &err);
    const uint64_t key = frt_store_page_faces(page, &n)[1].key;
    frt_store_page_free(page);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    const uint64_t collection = row.key;
    frt_store_page_free(page);
    const float own = 0.44f;
    const struct frt_store_collection measured = {.name = "people", .calibration = "{\"a\":1}"};
    store_must(frt_store_collection_patch(store, FRT_STORE_SET_CALIBRATION, &measured, &err), &err);
    store_must(frt_store_face_thresholds(store, collection, &key, &own, 1, &err), &err);
    store_must(frt_store_migration_begin(store, "people", other_model, PLACE_DIM, &err), &err);
    (void)embed_some(store, 1, 4);
    (void)switch_to(store, 1, NULL);
    store_must(frt_store_faces_list(store, "people", NULL, 0, 10, false, &page, &err), &err);
    assert_int_equal(frt_store_page_faces(page, &n)[1].key, key); /* face keys stay */
    assert_true(isnan(frt_store_page_faces(page, &n)[1].threshold));
    frt_store_page_free(page);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    assert_string_equal(row.calibration, ""); /* it was the former model's */
    frt_store_page_free(page);
    store_must(frt_store_migration_begin(store, "people", place_model, PLACE_DIM, &err), &err);
    (void)switch_to(store, 0, NULL);
    store_must(frt_store_faces_list(store, "people", NULL, 0, 10, false, &page, &err), &err);
    assert_true(frt_store_page_faces(page, &n)[1].threshold == own);
    frt_store_page_free(page);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    assert_string_equal(row.calibration, "{\"a\":1}");
    frt_store_page_free(page);
    frt_store_close(store);
}

static void wrong_turns_are_refused(void **state)
{
    struct frt_store *store = start(*state, 4);
    struct frt_error err = {0};
    const uint64_t key = 1;
    float v[PLACE_DIM];
    store_vector(0, v);
    assert_int_equal(frt_store_migration_begin(store, "people", place_model, PLACE_DIM, &err), FRT_ECONFLICT);
    assert_int_equal(frt_store_migration_begin(store, "nobody", other_model, PLACE_DIM, &err),
                     FRT_ECOLLECTION_NOT_FOUND);
    assert_int_equal(frt_store_migration_begin(store, "people", other_model, 0, &err), FRT_EINVAL);
    assert_int_equal(frt_store_migration_put(store, "people", other_model, &key, v, PLACE_DIM, 1, &err),
                     FRT_ECONFLICT);
    store_must(frt_store_migration_begin(store, "people", other_model, PLACE_DIM, &err), &err);
    v[0] += 1;
    assert_int_equal(frt_store_migration_put(store, "people", other_model, &key, v, PLACE_DIM, 1, &err),
                     FRT_EINVAL);
    assert_int_equal(frt_store_migration_put(store, "people", "third 1", &key, v, PLACE_DIM, 1, &err),
                     FRT_ECONFLICT);
    (void)embed_some(store, 1, 4);
    store_must(frt_store_migration_begin(store, "people", "third 1", PLACE_DIM, &err), &err);
    assert_int_equal(state_of(store).coming, 0); /* another model's are no use */
    store_must(frt_store_migration_begin(store, "people", other_model, PLACE_DIM, &err), &err);
    assert_int_equal(embed_some(store, 1, 4), 4);
    store_must(frt_store_collection_delete(store, "people", NULL, &err), &err); /* with all that was to come */
    frt_store_close(store);
}

/* ---------------------------------------------------------------------- kills */

/* There and back for ever. */
static void child_main(const char *path)
{
    const struct frt_store_options options = {.path = path};
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    if (frt_store_open(&options, &store, &err) != FRT_OK)
        _exit(2);
    for (;;) {
        struct frt_store_migration m;
        if (frt_store_migration_get(store, "people", &m, &err) != FRT_OK)
            _exit(3);
        const int to = strcmp(m.model, place_model) == 0 ? 1 : 0;
        if (frt_store_migration_begin(store, "people", model_of(to), PLACE_DIM, &err) != FRT_OK)
            _exit(4);
        while (embed_some(store, to, 7) > 0)
            ;
        struct frt_store_switch how = {.model = model_of(to), .threshold = NAN};
        if (frt_store_migration_switch(store, "people", &how, &err) != FRT_OK)
            _exit(5);
        if (frt_store_migration_forget(store, "people", false, NULL, &err) != FRT_OK)
            _exit(6);
    }
}

static void kills_leave_it_whole(void **state)
{
    const struct store_place *place = *state;
    const char *wanted = getenv("FRT_TEST_SEED");
    unsigned seed = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : (unsigned)time(NULL);
    int seen[2] = {0, 0};
    print_message("seed %u (FRT_TEST_SEED)\n", seed);
    frt_store_close(start(place, FACES));
    for (int round = 0; round < ROUNDS; round++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            child_main(place->path);
        (void)poll(NULL, 0, 10 + rand_r(&seed) % 120);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status = 0, model = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* it had not failed by itself */
        store_place_settle(place);
        struct frt_store *store = store_place_open(place);
        assert_int_equal(check_whole(store, "people", &model), FACES);
        seen[model]++;
        frt_store_close(store);
    }
    print_message("found at one model %d times, at the other %d\n", seen[0], seen[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_place_make, store_place_drop)

int main(int argc, char **argv)
{
    if (!store_places_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {TEST(there_and_back),
                                       TEST(what_comes_and_goes_meanwhile),
                                       TEST(faces_set_aside_keep_their_people),
                                       TEST(thresholds_go_and_come_back),
                                       TEST(wrong_turns_are_refused),
                                       TEST(kills_leave_it_whole)};
    return store_places_end(cmocka_run_group_tests(tests, NULL, NULL));
}
