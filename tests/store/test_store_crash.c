/*
 * What was acknowledged is there after a SIGKILL, whole; what was not is there whole or not at all.
 *
 * A child enrolls (one face, or a batch of one subject), deletes faces and subjects from several threads. It
 * writes one record into a pipe before each operation and one when it was acknowledged; a pipe keeps what was
 * written when its writer dies. The parent kills it at a random moment, opens the store again and compares.
 * Rounds go on with the same file, so that a store survives many kills, too.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
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

#include "store/store_place.h"

enum {
    ROUNDS = 200,
    ROUNDS_ON_SERVER = 60,
    THREADS = 3,
    BATCH = 20,
    ROUND_MIN_MS = 15,
    ROUND_MORE_MS = 60,
    MAX_SUBJECTS = 200000
};

enum kind { ADD_ONE = 1, ADD_BATCH, DELETE_FACE, DELETE_SUBJECT };
struct record {
    uint32_t subject; /* its number, never used twice */
    uint8_t kind, done, pad[2];
};
_Static_assert(sizeof(struct record) <= 512, "a write of at most PIPE_BUF bytes is one piece");

/* What the parent knows of a subject: 0 nothing, else faces it must have, or may have. */
struct known {
    uint8_t sure, maybe; /* kinds acknowledged last, begun last and not acknowledged; 0 = none */
    bool batch;
};

/* ------------------------------------------------------------------- child */

struct child {
    struct frt_store *store;
    int fd;
    uint32_t first, thread;
};

static void tell(const struct child *c, enum kind kind, uint32_t subject, bool done)
{
    const struct record r = {.subject = subject, .kind = (uint8_t)kind, .done = done};
    if (write(c->fd, &r, sizeof r) != sizeof r)
        _exit(2);
}

static void name_of(uint32_t subject, char out[32])
{
    (void)snprintf(out, 32, "subject-%u", subject);
}

static void child_add(const struct child *c, uint32_t subject, bool batch)
{
    float vectors[BATCH][PLACE_DIM];
    struct frt_store_face faces[BATCH];
    char name[32], id[48];
    const size_t n = batch ? BATCH : 1;
    name_of(subject, name);
    (void)snprintf(id, sizeof id, "face-%u", subject);
    for (size_t i = 0; i < n; i++) {
        store_vector(subject + i, vectors[i]);
        faces[i] =
            (struct frt_store_face){.subject = name, .embedding = vectors[i], .quality = NAN, .threshold = NAN};
    }
    faces[0].face_id = id;
    const struct frt_store_add add = {
        .collection = "people", .model = place_model, .dim = PLACE_DIM, .faces = faces, .n = n};
    tell(c, batch ? ADD_BATCH : ADD_ONE, subject, false);
    if (frt_store_faces_add(c->store, &add, NULL, NULL, NULL, NULL) != FRT_OK)
        _exit(3);
    tell(c, batch ? ADD_BATCH : ADD_ONE, subject, true);
}

static void *child_work(void *arg)
{
    const struct child *c = arg;
    for (uint32_t i = 0;; i++) {
        const uint32_t subject = c->first + i * THREADS + c->thread;
        char name[32], id[48];
        const bool batch = i % 3 == 1;
        child_add(c, subject, batch);
        name_of(subject, name);
        (void)snprintf(id, sizeof id, "face-%u", subject);
        if (i % 4 == 2) {
            tell(c, DELETE_SUBJECT, subject, false);
            if (frt_store_subject_delete(c->store, "people", name, NULL, NULL) != FRT_OK)
                _exit(4);
            tell(c, DELETE_SUBJECT, subject, true);
        } else if (i % 4 == 3) {
            tell(c, DELETE_FACE, subject, false);
            if (frt_store_face_delete(c->store, "people", id, NULL, NULL) != FRT_OK)
                _exit(5);
            tell(c, DELETE_FACE, subject, true);
        }
    }
    return NULL;
}

static void child_main(const char *path, int fd, uint32_t first)
{
    const struct frt_store_options options = {.path = path};
    struct child children[THREADS];
    pthread_t threads[THREADS];
    struct frt_store *store = NULL;
    if (frt_store_open(&options, &store, NULL) != FRT_OK)
        _exit(6);
    for (uint32_t t = 0; t < THREADS; t++) {
        children[t] = (struct child){store, fd, first, t};
        if (pthread_create(&threads[t], NULL, child_work, &children[t]) != 0)
            _exit(7);
    }
    (void)pthread_join(threads[0], NULL);
    _exit(8);
}

/* ------------------------------------------------------------------ parent */

/* Faces that a subject has when the last thing that happened to it was `kind`. */
static uint64_t faces_after(enum kind kind, bool batch)
{
    switch (kind) {
    case ADD_ONE:
        return 1;
    case ADD_BATCH:
        return BATCH;
    case DELETE_FACE:
        return batch ? BATCH - 1 : 0;
    case DELETE_SUBJECT:
    default:
        return 0;
    }
}

static uint32_t read_records(int fd, struct known *known, uint32_t first)
{
    struct record r;
    uint32_t next = first;
    while (read(fd, &r, sizeof r) == sizeof r) {
        assert_true(r.subject < MAX_SUBJECTS);
        struct known *k = &known[r.subject];
        if (r.kind == ADD_BATCH)
            k->batch = true;
        if (r.done) {
            k->sure = r.kind;
            k->maybe = 0;
        } else {
            k->maybe = r.kind;
        }
        if (r.subject >= next)
            next = r.subject + 1;
    }
    return next;
}

/* Every subject's faces, through the list; the changes from 0 on say the same. */
static void compare(struct frt_store *store, const struct known *known, uint32_t n, uint32_t round)
{
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    uint64_t *have = test_calloc(n + 1, sizeof *have);
    uint64_t faces = 0, subjects = 0, listed = 0, after = 0, complete_from = 0;
    char name[FRT_STORE_SUBJECT_MAX + 1] = "";
    for (;;) {
        const struct frt_store_subject *rows = NULL;
        size_t count = 0;
        store_must(frt_store_subject_list(store, "people", name, 1000, &page, &rows, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            const uint32_t subject = (uint32_t)strtoul(rows[i].name + strlen("subject-"), NULL, 10);
            assert_true(subject < n);
            have[subject] = rows[i].faces;
            faces += rows[i].faces;
            subjects++;
        }
        if (count > 0)
            (void)snprintf(name, sizeof name, "%s", rows[count - 1].name);
        frt_store_page_free(page);
        if (count == 0)
            break;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct known *k = &known[i];
        const uint64_t sure = faces_after((enum kind)k->sure, k->batch);
        const uint64_t maybe = faces_after((enum kind)k->maybe, k->batch);
        if (have[i] != sure && !(k->maybe != 0 && have[i] == maybe))
            fail_msg("round %u, subject %u has %llu faces; acknowledged: %llu; begun: %llu", round, i,
                     (unsigned long long)have[i], (unsigned long long)sure, (unsigned long long)maybe);
    }
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    assert_int_equal(row.faces, faces);
    assert_int_equal(row.subjects, subjects);
    const uint64_t key = row.key;
    frt_store_page_free(page);
    for (;;) {
        const struct frt_store_change *rows = NULL;
        size_t count = 0;
        store_must(frt_store_changes(store, key, after, 1000, &page, &rows, &count, &complete_from, &err),
                   &err);
        for (size_t i = 0; i < count; i++) {
            assert_true(rows[i].seq > after);
            after = rows[i].seq;
            listed += rows[i].embedding != NULL;
        }
        frt_store_page_free(page);
        if (count < 1000)
            break;
    }
    assert_int_equal(listed, faces);
    test_free(have);
}

/* What cannot be told apart later is settled by what is there. */
static void settle(struct frt_store *store, struct known *known, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct frt_store_page *page = NULL;
        char name[32];
        size_t count = 0;
        if (known[i].maybe == 0)
            continue;
        name_of(i, name);
        if (frt_store_faces_list(store, "people", name, 0, 1000, false, &page, NULL) == FRT_OK)
            (void)frt_store_page_faces(page, &count);
        frt_store_page_free(page);
        if (count == faces_after((enum kind)known[i].maybe, known[i].batch))
            known[i].sure = known[i].maybe;
        known[i].maybe = 0;
    }
}

static void acknowledged_changes_survive_kills(void **state)
{
    const struct store_place *place = *state;
    struct known *known = test_calloc(MAX_SUBJECTS, sizeof *known);
    const char *wanted = getenv("FRT_TEST_SEED");
    unsigned seed = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : (unsigned)time(NULL);
    uint32_t next = 0;
    const uint32_t rounds = place->on_server ? ROUNDS_ON_SERVER : ROUNDS;
    struct frt_error err = {0};
    print_message("seed %u (FRT_TEST_SEED)\n", seed);
    struct frt_store *store = store_place_open(place);
    const struct frt_store_collection people = {.name = "people", .threshold = NAN, .target_fpir = (double)NAN};
    store_must(frt_store_collection_add(store, &people, &err), &err);
    frt_store_close(store);
    for (uint32_t round = 0; round < rounds; round++) {
        int fds[2], status = 0;
        assert_int_equal(pipe(fds), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)close(fds[0]);
            child_main(place->path, fds[1], next);
        }
        (void)close(fds[1]);
        const long ms = (place->on_server ? 4 * ROUND_MIN_MS : ROUND_MIN_MS) + rand_r(&seed) % ROUND_MORE_MS;
        const struct timespec pause = {0, ms * 1000000 + rand_r(&seed) % 1000000};
        (void)nanosleep(&pause, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status))
            fail_msg("round %u: the child ended by itself with %d", round, WEXITSTATUS(status));
        next = read_records(fds[0], known, next);
        (void)close(fds[0]);
        store_place_settle(place);
        store = store_place_open(place);
        compare(store, known, next, round);
        settle(store, known, next);
        frt_store_close(store);
    }
    print_message("%u kills, %u subjects\n", rounds, next);
    assert_true(next > rounds / 4); /* it did something */
    test_free(known);
}

int main(int argc, char **argv)
{
    if (!store_places_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(acknowledged_changes_survive_kills, store_place_make, store_place_drop),
    };
    return store_places_end(cmocka_run_group_tests(tests, NULL, NULL));
}
