/* The store's contract, call by call. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "store/store_place.h"

static const struct frt_store_collection people = {
    .name = "people", .threshold = NAN, .target_fpir = (double)NAN};

static void collections_stand_and_go(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = store_place_open(place);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    const struct frt_store_collection *rows = NULL;
    struct stat st;
    uint64_t key = 0, faces = 0;
    size_t n = 0;
    if (!place->on_server) {
        assert_int_equal(stat(place->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    static const char *const bad_names[] = {"", ".x", "a/b", "a b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {
        const struct frt_store_collection bad = {.name = bad_names[i], .threshold = NAN};
        assert_int_equal(frt_store_collection_add(store, &bad, &err), FRT_EINVAL);
    }
    char name[FRT_STORE_NAME_MAX + 2];
    memset(name, 'a', sizeof name);
    name[FRT_STORE_NAME_MAX + 1] = '\0';
    const struct frt_store_collection too_long = {.name = name, .threshold = NAN, .target_fpir = (double)NAN};
    assert_int_equal(frt_store_collection_add(store, &too_long, &err), FRT_EINVAL);
    name[FRT_STORE_NAME_MAX] = '\0';
    store_must(frt_store_collection_add(store, &too_long, &err), &err);

    struct frt_store_collection full = {
        .name = "b", .threshold = 0.5f, .target_fpir = 0.01, .metadata = "{\"site\":\"north\"}"};
    store_must(frt_store_collection_add(store, &full, &err), &err);
    assert_int_equal(frt_store_collection_add(store, &full, &err), FRT_ECONFLICT);
    full.name = "c";
    full.metadata = "[1]";
    assert_int_equal(frt_store_collection_add(store, &full, &err), FRT_EINVAL);
    full.metadata = "{";
    assert_int_equal(frt_store_collection_add(store, &full, &err), FRT_EINVAL);
    full.metadata = NULL;
    full.threshold = 1.5f;
    assert_int_equal(frt_store_collection_add(store, &full, &err), FRT_EINVAL);

    store_must(frt_store_collection_get(store, "b", &page, &row, &err), &err);
    assert_true(row.threshold == 0.5f && row.target_fpir == 0.01 && row.dim == 0 && row.faces == 0);
    assert_string_equal(row.metadata, "{\"site\":\"north\"}");
    assert_string_equal(row.model, "");
    frt_store_page_free(page);
    const struct frt_store_collection patch = {.name = "b", .threshold = NAN, .target_fpir = 0.5};
    store_must(frt_store_collection_patch(store, FRT_STORE_SET_THRESHOLD, &patch, &err), &err);
    store_must(frt_store_collection_get(store, "b", &page, &row, &err), &err);
    assert_true(isnan(row.threshold) && row.target_fpir == 0.01);
    frt_store_page_free(page);
    const struct frt_store_collection nobody = {.name = "nobody"};
    assert_int_equal(frt_store_collection_patch(store, FRT_STORE_SET_METADATA, &nobody, &err),
                     FRT_ECOLLECTION_NOT_FOUND);

    store_must(frt_store_collection_list(store, "", 10, &page, &rows, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_string_equal(rows[1].name, "b");
    frt_store_page_free(page);
    store_must(frt_store_collection_list(store, "b", 10, &page, &rows, &n, &err), &err);
    assert_int_equal(n, 0);
    frt_store_page_free(page);

    store_must(store_add_one(store, "b", "Ada", NULL, 1, &key, &err), &err);
    store_must(frt_store_collection_delete(store, "b", &faces, &err), &err);
    assert_int_equal(faces, 1);
    assert_int_equal(frt_store_collection_get(store, "b", &page, &row, &err), FRT_ECOLLECTION_NOT_FOUND);
    assert_int_equal(frt_store_collection_delete(store, "b", &faces, &err), FRT_ECOLLECTION_NOT_FOUND);
    full.threshold = NAN;
    full.name = "b";
    store_must(frt_store_collection_add(store, &full, &err), &err); /* the name is free again, and empty */
    store_must(frt_store_collection_get(store, "b", &page, &row, &err), &err);
    assert_true(row.faces == 0 && row.subjects == 0 && row.dim == 0);
    frt_store_page_free(page);
    frt_store_close(store);
}

static void faces_come_back_as_they_were(void **state)
{
    struct frt_store *store = store_place_open(*state);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    float vector[PLACE_DIM];
    size_t n = 0;
    store_must(frt_store_collection_add(store, &people, &err), &err);
    store_vector(7, vector);
    const struct frt_store_face face = {.subject = "Zo\xc3\xab",
                                        .face_id = "front",
                                        .embedding = vector,
                                        .metadata = "{\"a\":1}",
                                        .box = {1.5f, -2, 30, 40},
                                        .confidence = 0.9f,
                                        .quality = 0.7f,
                                        .threshold = 0.44f};
    struct frt_store_add add = {
        .collection = "people", .model = place_model, .dim = PLACE_DIM, .faces = &face, .n = 1};
    uint64_t key = 0, seq = 0;
    store_must(frt_store_faces_add(store, &add, &key, &seq, &page, &err), &err);
    assert_string_equal(frt_store_page_faces(page, &n)->face_id, "front");
    frt_store_page_free(page);
    assert_true(key > 0 && seq == key);
    store_must(frt_store_face_get(store, "people", "front", true, &page, &err), &err);
    const struct frt_store_face *back = frt_store_page_faces(page, &n);
    assert_int_equal(n, 1);
    assert_string_equal(back->subject, face.subject);
    assert_string_equal(back->metadata, face.metadata);
    assert_memory_equal(back->embedding, vector, sizeof vector);
    assert_memory_equal(&back->box, &face.box, sizeof face.box);
    assert_true(back->confidence == 0.9f && back->quality == 0.7f && back->threshold == 0.44f &&
                back->key == key);
    assert_true(back->created_ms > 0);
    frt_store_page_free(page);

    add.model = "other 1";
    assert_int_equal(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), FRT_EMODEL_MISMATCH);
    assert_non_null(strstr(err.text, place_model));
    add.model = place_model;
    assert_int_equal(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), FRT_ECONFLICT);
    assert_int_equal(store_add_one(store, "nobody", "a", NULL, 1, NULL, &err), FRT_ECOLLECTION_NOT_FOUND);
    static const char *const bad_subjects[] = {"", "a\nb", "\xff"};
    for (size_t i = 0; i < sizeof bad_subjects / sizeof *bad_subjects; i++)
        assert_int_equal(store_add_one(store, "people", bad_subjects[i], NULL, 1, NULL, &err), FRT_EINVAL);
    assert_int_equal(store_add_one(store, "people", "a", "x/y", 1, NULL, &err), FRT_EINVAL);
    struct frt_store_face flat = face;
    float zeros[PLACE_DIM] = {0};
    flat.face_id = NULL;
    flat.embedding = zeros;
    add.faces = &flat;
    assert_int_equal(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), FRT_EINVAL);
    zeros[0] = NAN;
    assert_int_equal(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), FRT_EINVAL);
    assert_int_equal(frt_store_face_get(store, "people", "none", false, &page, &err), FRT_EFACE_NOT_FOUND);
    frt_store_close(store);
}

static void a_batch_is_whole_or_says_which(void **state)
{
    enum { N = 5 };
    struct frt_store *store = store_place_open(*state);
    struct frt_error err = {0}, reasons[N];
    float vectors[N][PLACE_DIM];
    struct frt_store_face faces[N];
    enum frt_status rejected[N];
    uint64_t keys[N] = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    size_t n = 0;
    store_must(frt_store_collection_add(store, &people, &err), &err);
    for (int i = 0; i < N; i++) {
        store_vector((uint64_t)i, vectors[i]);
        faces[i] = (struct frt_store_face){
            .subject = i == 3 ? "only-bad" : "s", .embedding = vectors[i], .quality = NAN, .threshold = NAN};
    }
    faces[0].face_id = "twice";
    faces[3].face_id = "twice";
    struct frt_store_add add = {
        .collection = "people", .model = place_model, .dim = PLACE_DIM, .faces = faces, .n = N};
    assert_int_equal(frt_store_faces_add(store, &add, keys, NULL, NULL, &err), FRT_ECONFLICT);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    assert_true(row.faces == 0 && row.subjects == 0); /* nothing of it */
    frt_store_page_free(page);
    add.rejected = rejected;
    add.reasons = reasons;
    store_must(frt_store_faces_add(store, &add, keys, NULL, &page, &err), &err);
    (void)frt_store_page_faces(page, &n);
    assert_int_equal(n, N - 1);
    frt_store_page_free(page);
    for (int i = 0; i < N; i++) {
        assert_int_equal(rejected[i], i == 3 ? FRT_ECONFLICT : FRT_OK);
        assert_int_equal(keys[i] == 0, i == 3);
    }
    assert_non_null(strstr(reasons[3].text, "twice"));
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    assert_true(row.faces == N - 1 && row.subjects == 1); /* no subject without faces */
    frt_store_page_free(page);
    add.rejected = NULL;
    add.new_subject = true;
    add.n = 1;
    faces[0].face_id = NULL;
    assert_int_equal(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), FRT_ECONFLICT);
    faces[0].subject = "new";
    add.lower_keys = &keys[1];
    const float lower = 0.55f;
    add.lower_thresholds = &lower;
    add.n_lower = 1;
    store_must(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), &err);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    const uint64_t collection = row.key;
    frt_store_page_free(page);
    const uint64_t wanted[] = {keys[4], 999999, keys[1]};
    store_must(frt_store_faces_by_key(store, collection, wanted, 3, true, &page, &err), &err);
    const struct frt_store_face *found = frt_store_page_faces(page, &n);
    assert_int_equal(n, 2);
    assert_true(found[0].key == keys[4] && found[1].key == keys[1] && found[1].threshold == 0.55f);
    assert_memory_equal(found[0].embedding, vectors[4], sizeof vectors[4]);
    frt_store_page_free(page);
    frt_store_close(store);
}

static void subjects_and_pages(void **state)
{
    struct frt_store *store = store_place_open(*state);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    const struct frt_store_subject *subjects = NULL;
    uint64_t after = 0, faces = 0, seen = 0;
    size_t n = 0;
    store_must(frt_store_collection_add(store, &people, &err), &err);
    for (uint64_t i = 0; i < 25; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%llu", (unsigned long long)(i % 5));
        store_must(store_add_one(store, "people", name, NULL, i, NULL, &err), &err);
    }
    for (;;) {
        store_must(frt_store_faces_list(store, "people", NULL, after, 7, false, &page, &err), &err);
        const struct frt_store_face *rows = frt_store_page_faces(page, &n);
        for (size_t i = 0; i < n; i++) {
            assert_true(rows[i].key > after);
            assert_null(rows[i].embedding);
            after = rows[i].key;
            seen++;
        }
        frt_store_page_free(page);
        if (n == 0)
            break;
    }
    assert_int_equal(seen, 25);
    store_must(frt_store_faces_list(store, "people", "s3", 0, 100, true, &page, &err), &err);
    assert_non_null(frt_store_page_faces(page, &n));
    assert_int_equal(n, 5);
    frt_store_page_free(page);
    assert_int_equal(frt_store_faces_list(store, "people", "s9", 0, 100, true, &page, &err),
                     FRT_ESUBJECT_NOT_FOUND);
    assert_int_equal(frt_store_faces_list(store, "people", NULL, 0, 0, true, &page, &err), FRT_EINVAL);

    store_must(frt_store_subject_list(store, "people", "s1", 2, &page, &subjects, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_string_equal(subjects[0].name, "s2");
    assert_int_equal(subjects[0].faces, 5);
    frt_store_page_free(page);
    assert_int_equal(frt_store_subject_rename(store, "people", "s1", "s2", &err), FRT_ECONFLICT);
    assert_int_equal(frt_store_subject_rename(store, "people", "s9", "x", &err), FRT_ESUBJECT_NOT_FOUND);
    assert_int_equal(frt_store_subject_rename(store, "people", "s1", "", &err), FRT_EINVAL);
    store_must(frt_store_subject_rename(store, "people", "s1", "s1", &err), &err);
    store_must(frt_store_subject_rename(store, "people", "s1", "renamed", &err), &err);
    store_must(frt_store_subject_delete(store, "people", "renamed", &faces, &err), &err);
    assert_int_equal(faces, 5);
    assert_int_equal(frt_store_subject_delete(store, "people", "renamed", &faces, &err),
                     FRT_ESUBJECT_NOT_FOUND);
    frt_store_close(store);
}

/* The feed against a model: an index that only ever follows it has exactly the faces that stand. */
static void changes_lead_an_index(void **state)
{
    enum { STEPS = 600, MOST = 2000 };
    const struct store_place *place = *state;
    struct frt_store *store = store_place_open(place);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    bool *stands = test_calloc(MOST, sizeof *stands), *follows = test_calloc(MOST, sizeof *follows);
    uint64_t follower = 0, last_key = 0, known_forgotten = 0, restarts = 0;
    unsigned seed = 5;
    store_must(frt_store_collection_add(store, &people, &err), &err);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    const uint64_t collection = row.key;
    frt_store_page_free(page);
    for (int step = 0; step < STEPS; step++) {
        const int what = rand_r(&seed) % 10;
        uint64_t key = 0;
        char id[24];
        if (what < 5) {
            store_must(store_add_one(store, "people", "s", NULL, (uint64_t)step, &key, &err), &err);
            assert_true(key > last_key && key < MOST); /* never used again */
            last_key = key;
            stands[key] = true;
        } else if (what < 8) {
            size_t n = 0;
            store_must(frt_store_faces_list(store, "people", NULL,
                                            last_key > 0 ? (uint64_t)rand_r(&seed) % last_key : 0, 1, false,
                                            &page, &err),
                       &err);
            const struct frt_store_face *face = frt_store_page_faces(page, &n);
            if (n == 1) {
                key = face->key;
                (void)snprintf(id, sizeof id, "%s", face->face_id);
            }
            frt_store_page_free(page);
            if (n == 1) {
                uint64_t seq = 0;
                store_must(frt_store_face_delete(store, "people", id, &seq, &err), &err);
                assert_true(seq > last_key);
                last_key = seq;
                stands[key] = false;
            }
        } else if (what == 8 && step % 2 == 0) {
            store_must(frt_store_changes_forget(store, collection, last_key > 5 ? last_key - 5 : 0, &err),
                       &err);
        } else if (what == 8 && step % 50 == 1) {
            frt_store_close(store);
            store = store_place_open(place);
        } else {
            for (;;) {
                const struct frt_store_change *rows = NULL;
                uint64_t complete_from = 0;
                size_t n = 0;
                store_must(
                    frt_store_changes(store, collection, follower, 3, &page, &rows, &n, &complete_from, &err),
                    &err);
                if (follower == 0)
                    known_forgotten = complete_from;
                const bool again = follower != 0 && complete_from > follower && complete_from > known_forgotten;
                restarts += again;
                if (again) {
                    memset(follows, 0, MOST * sizeof *follows);
                    follower = 0;
                }
                for (size_t i = 0; i < n && !again; i++) {
                    follows[rows[i].key] = rows[i].embedding != NULL;
                    follower = rows[i].seq;
                }
                frt_store_page_free(page);
                if (n < 3 && !again)
                    break;
            }
            for (uint64_t k = 0; k < MOST; k++) {
                if (stands[k] != follows[k])
                    fail_msg("step %d: face %llu stands: %d, follows: %d", step, (unsigned long long)k,
                             stands[k], follows[k]);
            }
        }
    }
    assert_true(restarts > 0); /* it was put to the test */
    frt_store_close(store);
    test_free(stands);
    test_free(follows);
}

static void users_keys_and_secrets(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = store_place_open(place);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_user user = {.email = "Ada@Example.org", .password_hash = "hash", .role = FRT_ROLE_ADMIN},
                          got;
    struct frt_store_key key = {.id = "k_1", .name = "door", .hash = {1, 2, 3}, .role = FRT_ROLE_READER},
                         got_key;
    const struct frt_store_user *users = NULL;
    const struct frt_store_key *keys = NULL;
    uint8_t a[32], b[32];
    bool has = true;
    size_t n = 0;
    store_must(frt_store_has_credentials(store, &has, &err), &err);
    assert_false(has);
    store_must(frt_store_user_add(store, &user, &err), &err);
    assert_int_equal(frt_store_user_add(store, &user, &err), FRT_ECONFLICT);
    store_must(frt_store_user_get(store, "ada@example.ORG", &page, &got, &err), &err);
    assert_string_equal(got.email, "ada@example.org");
    assert_int_equal(got.role, FRT_ROLE_ADMIN);
    const uint64_t version = got.version;
    frt_store_page_free(page);
    store_must(frt_store_user_change(store, "ada@example.org", "new", FRT_ROLE_NONE, &err), &err);
    store_must(frt_store_user_get(store, "ada@example.org", &page, &got, &err), &err);
    assert_string_equal(got.password_hash, "new");
    assert_int_equal(got.role, FRT_ROLE_ADMIN);
    assert_true(got.version > version);
    frt_store_page_free(page);
    static const char *const bad[] = {"", "ada", "@x", "x@", "a b@c"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        user.email = bad[i];
        assert_int_equal(frt_store_user_add(store, &user, &err), FRT_EINVAL);
    }
    assert_int_equal(frt_store_user_change(store, "eve@x", "h", FRT_ROLE_NONE, &err), FRT_ENOTFOUND);
    store_must(frt_store_user_list(store, &page, &users, &n, &err), &err);
    assert_int_equal(n, 1);
    frt_store_page_free(page);
    store_must(frt_store_user_delete(store, "ADA@example.org", &err), &err);
    assert_int_equal(frt_store_user_delete(store, "ada@example.org", &err), FRT_ENOTFOUND);

    store_must(frt_store_key_add(store, &key, &err), &err);
    assert_int_equal(frt_store_key_add(store, &key, &err), FRT_ECONFLICT);
    store_must(frt_store_key_get(store, "k_1", &page, &got_key, &err), &err);
    assert_memory_equal(got_key.hash, key.hash, sizeof key.hash);
    frt_store_page_free(page);
    store_must(frt_store_key_list(store, &page, &keys, &n, &err), &err);
    assert_int_equal(n, 1);
    frt_store_page_free(page);
    store_must(frt_store_has_credentials(store, &has, &err), &err);
    assert_true(has);
    store_must(frt_store_key_delete(store, "k_1", &err), &err);
    assert_int_equal(frt_store_key_get(store, "k_1", &page, &got_key, &err), FRT_ENOTFOUND);

    store_must(frt_store_secret(store, "jwt", a, &err), &err);
    frt_store_close(store);
    store = store_place_open(place);
    store_must(frt_store_secret(store, "jwt", b, &err), &err);
    assert_memory_equal(a, b, sizeof a);
    store_must(frt_store_secret(store, "other", b, &err), &err);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(frt_store_secret(store, "No", b, &err), FRT_EINVAL);
    frt_store_close(store);
}

/* Whoever waits hears of what another connection has changed, and is woken. */
struct teller {
    const struct store_place *place;
    uint64_t seq;
};

static void *tell_later(void *arg)
{
    struct teller *teller = arg;
    const struct timespec pause = {0, 60000000};
    struct frt_store *other = store_place_open(teller->place);
    (void)nanosleep(&pause, NULL);
    enum frt_status status = store_add_one(other, "people", "s", NULL, 2, &teller->seq, NULL);
    (void)status; /* the seq tells */
    frt_store_close(other);
    return NULL;
}

static void *wake_later(void *arg)
{
    const struct timespec pause = {0, 60000000};
    (void)nanosleep(&pause, NULL);
    frt_store_wake(arg);
    return NULL;
}

static void changes_are_told_of(void **state)
{
    struct teller teller = {.place = *state};
    struct frt_store *store = store_place_open(*state);
    struct frt_error err = {0};
    struct frt_store_news news = {0};
    struct frt_store_collection row;
    struct frt_store_page *page = NULL;
    pthread_t thread;
    uint64_t seq = 0;
    store_must(frt_store_wait_changes(store, 0, frt_now_ns() / 1000000 + 60, &news, &err), &err);
    assert_int_equal(news.last_seq, 0); /* the time was up */
    store_must(frt_store_collection_add(store, &people, &err), &err);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    frt_store_page_free(page);
    store_must(store_add_one(store, "people", "s", NULL, 1, &seq, &err), &err);
    store_must(frt_store_wait_changes(store, 0, frt_now_ns() / 1000000 + 60000, &news, &err), &err);
    assert_int_equal(news.last_seq, seq); /* what has happened is told at once */
    assert_int_equal(news.n, 1);
    assert_int_equal(news.keys[0], row.key);
    assert_int_equal(pthread_create(&thread, NULL, tell_later, &teller), 0);
    store_must(frt_store_wait_changes(store, seq, frt_now_ns() / 1000000 + 60000, &news, &err), &err);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(teller.seq > seq);
    assert_int_equal(news.last_seq, teller.seq);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, store), 0);
    store_must(frt_store_wait_changes(store, news.last_seq, frt_now_ns() / 1000000 + 600000, &news, &err),
               &err);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(news.last_seq, teller.seq);
    frt_store_close(store);
}

/* Every allocation of the common calls fails once: an error, nothing changed, and the next try works. */
static void memory_runs_out(void **state)
{
    struct frt_store *store = store_place_open(*state);
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    store_must(frt_store_collection_add(store, &people, &err), &err);
    for (int64_t i = 0; i < 200; i++) {
        uint64_t key = 0;
        frt_mem_fail_after(i);
        enum frt_status added = store_add_one(store, "people", "s", NULL, 1, &key, &err);
        enum frt_status read = frt_store_faces_list(store, "people", NULL, 0, 10, true, &page, &err);
        const bool failed = frt_mem_asked() <= i;
        frt_mem_fail_after(-1);
        assert_true(added == FRT_OK || added == FRT_ENOMEM);
        assert_true(read == FRT_OK || read == FRT_ENOMEM);
        if (read == FRT_OK)
            frt_store_page_free(page);
        if (failed && added == FRT_OK && read == FRT_OK)
            break;
    }
    store_must(store_add_one(store, "people", "s", NULL, 1, NULL, &err), &err);
    frt_store_close(store);
}

int main(int argc, char **argv)
{
    if (!store_places_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(collections_stand_and_go, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(faces_come_back_as_they_were, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(a_batch_is_whole_or_says_which, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(subjects_and_pages, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(changes_lead_an_index, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(users_keys_and_secrets, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(changes_are_told_of, store_place_make, store_place_drop),
        cmocka_unit_test_setup_teardown(memory_runs_out, store_place_make, store_place_drop),
    };
    return store_places_end(cmocka_run_group_tests(tests, NULL, NULL));
}
