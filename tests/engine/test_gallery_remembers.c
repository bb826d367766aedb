/* What a gallery remembers of its subjects can never be stale, whoever changes the collection. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "frt/gallery.h"
#include "simd/dot.h"

enum { DIM = 64, PEOPLE = 12, STEPS = 60 };
static const char model[] = "test 1";
static const char *own_path;

static uint64_t seed;

static float uniform(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((z ^ z >> 31) >> 40) / 16777216.0f;
}

static void random_unit(float *v)
{
    for (int i = 0; i < DIM; i++) {
        v[i] = -6;
        for (int k = 0; k < 12; k++)
            v[i] += uniform();
    }
    const float norm = sqrtf(frt_dot_f32(v, v, DIM));
    for (int i = 0; i < DIM; i++)
        v[i] /= norm;
}

/* A face of a person: a unit vector near the person's. */
static void face_of(const float *person, float *out)
{
    random_unit(out);
    for (int i = 0; i < DIM; i++)
        out[i] = person[i] + 0.8f * out[i];
    const float norm = sqrtf(frt_dot_f32(out, out, DIM));
    for (int i = 0; i < DIM; i++)
        out[i] /= norm;
}

static void persons(float *out)
{
    seed = 77;
    for (int i = 0; i < PEOPLE; i++)
        random_unit(out + i * DIM);
}

static struct frt_gallery *open_gallery(const char *path, bool read_only)
{
    struct frt_error err = {0};
    struct frt_gallery *gallery = NULL;
    const struct frt_gallery_options options = {.path = path, .read_only = read_only};
    if (frt_gallery_open(&options, &gallery, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return gallery;
}

static enum frt_status enroll(struct frt_gallery *gallery, const char *subject, const float *face, bool older,
                              struct frt_error *err)
{
    struct frt_enrolled enrolled = {0};
    const struct frt_enroll_options options = {.subject = subject, .older_rules = older, .force = older};
    enum frt_status status =
        frt_enroll_embedding(gallery, "people", model, face, DIM, &options, &enrolled, err);
    frt_enrolled_deinit(&enrolled);
    return status;
}

/* --------------------------------------------- in a process of its own */

static enum frt_status delete_a_face(struct frt_gallery *gallery, int step, struct frt_error *err)
{
    struct frt_gallery_faces faces = {0};
    const struct frt_face_list_options list = {.limit = 1000};
    enum frt_status status = frt_face_list(gallery, "people", &list, &faces, err);
    if (status == FRT_OK && faces.n > 0)
        status = frt_face_delete(gallery, "people", faces.faces[(size_t)step * 7 % faces.n].face_id, err);
    frt_gallery_faces_deinit(&faces);
    return status;
}

static int change(const char *path, int step)
{
    struct frt_error err = {0};
    struct frt_gallery *gallery = open_gallery(path, false);
    float all[PEOPLE * DIM], face[DIM];
    char name[32], other[32];
    const int who = step * 5 % PEOPLE;
    enum frt_status status = FRT_OK;
    persons(all);
    seed += (uint64_t)step;
    face_of(all + who * DIM, face);
    (void)snprintf(name, sizeof name, "p%d", who);
    (void)snprintf(other, sizeof other, "q%d", step);
    switch (step % 6) {
    case 0:
        status = enroll(gallery, name, face, false, &err);
        break;
    case 1: /* the nearest face's threshold changes with it */
        status = enroll(gallery, other, face, true, &err);
        break;
    case 2:
        status = delete_a_face(gallery, step, &err);
        break;
    case 3:
        status = frt_subject_rename(gallery, "people", name, other, &err);
        break;
    case 4:
        status = frt_collection_patch(gallery, "people",
                                      &(struct frt_collection_settings){.which = FRT_COLLECTION_THRESHOLD,
                                                                        .threshold = 0.3f + 0.3f * uniform()},
                                      &err);
        break;
    default:
        status = frt_subject_delete(gallery, "people", name, NULL, &err);
        break;
    }
    frt_gallery_close(gallery);
    if (status == FRT_OK || status == FRT_ESUBJECT_NOT_FOUND) /* an earlier step renamed or deleted him */
        return 0;
    (void)fprintf(stderr, "step %d: %s\n", step, err.text);
    return 1;
}

static void change_elsewhere(const char *path, int step)
{
    char number[16];
    int status = 0;
    (void)snprintf(number, sizeof number, "%d", step);
    (void)fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl(own_path, own_path, "change", path, number, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ------------------------------------------------------------------ here */

static struct frt_identified identify(struct frt_gallery *gallery, const float *probe,
                                      const struct frt_identify_options *options)
{
    struct frt_error err = {0};
    struct frt_identified found = {0};
    if (frt_identify_embeddings(gallery, "people", model, probe, 1, DIM, 0.4f, options, &found, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(found.n, 1);
    return found;
}

static void expect_same(const struct frt_identified *a, const struct frt_identified *b)
{
    assert_int_equal(a->faces[0].n_matches, b->faces[0].n_matches);
    assert_int_equal(a->faces[0].known, b->faces[0].known);
    for (size_t i = 0; i < a->faces[0].n_matches; i++) {
        const struct frt_match *x = &a->faces[0].matches[i], *y = &b->faces[0].matches[i];
        assert_string_equal(x->subject, y->subject);
        assert_string_equal(x->face_id, y->face_id);
        assert_memory_equal(&x->similarity, &y->similarity, sizeof x->similarity);
        assert_memory_equal(&x->threshold, &y->threshold, sizeof x->threshold);
    }
}

/* One that searches all the time answers after each change as one that has just begun. */
static void nothing_is_stale_after_changes_elsewhere(void **state)
{
    char folder[] = "/tmp/frt-test-remembers-XXXXXX", path[96], command[128];
    struct frt_error err = {0};
    float all[PEOPLE * DIM], probes[PEOPLE * DIM];
    const struct frt_identify_options asked[] = {{0}, {.candidates = true, .top_k = 20}, {.every_face = true}};
    size_t matches = 0;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/frt.db", folder);
    struct frt_gallery *gallery = open_gallery(path, false);
    assert_int_equal(frt_collection_put(gallery, "people", NULL, NULL, &err), FRT_OK);
    persons(all);
    for (int i = 0; i < PEOPLE; i++) {
        char name[16];
        float face[DIM];
        (void)snprintf(name, sizeof name, "p%d", i);
        face_of(all + i * DIM, probes + i * DIM);
        for (int k = 0; k < 1 + i % 3; k++) {
            face_of(all + i * DIM, face);
            assert_int_equal(enroll(gallery, name, face, false, &err), FRT_OK);
        }
    }
    for (int step = 0; step < STEPS; step++) {
        change_elsewhere(path, step);
        struct frt_gallery *fresh = open_gallery(path, true);
        for (int i = 0; i < PEOPLE; i++) {
            for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
                struct frt_identified known = identify(gallery, probes + i * DIM, &asked[k]);
                struct frt_identified read = identify(fresh, probes + i * DIM, &asked[k]);
                expect_same(&known, &read);
                matches += known.faces[0].n_matches;
                frt_identified_deinit(&known);
                frt_identified_deinit(&read);
            }
        }
        frt_gallery_close(fresh);
    }
    assert_true(matches > STEPS * PEOPLE); /* there was something to be stale */
    frt_gallery_close(gallery);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* A subject with more faces than are remembered of it: each is found all the same. */
static void a_subject_of_many_faces(void **state)
{
    enum { MANY = 150 };
    char folder[] = "/tmp/frt-test-remembers-XXXXXX", path[96], command[128];
    struct frt_error err = {0};
    float faces[MANY * DIM];
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/frt.db", folder);
    struct frt_gallery *gallery = open_gallery(path, false);
    assert_int_equal(frt_collection_put(gallery, "people", NULL, NULL, &err), FRT_OK);
    seed = 5;
    for (int i = 0; i < MANY; i++) {
        random_unit(faces + i * DIM);
        assert_int_equal(enroll(gallery, "many", faces + i * DIM, false, &err), FRT_OK);
    }
    for (int i = 0; i < MANY; i++) {
        const struct frt_identify_options options = {
            .score = FRT_SCORE_BEST, .threshold_set = true, .threshold = 0.9f};
        struct frt_identified found = identify(gallery, faces + i * DIM, &options);
        assert_int_equal(found.faces[0].n_matches, 1);
        assert_true(found.faces[0].matches[0].similarity > 0.999f);
        frt_identified_deinit(&found);
    }
    frt_gallery_close(gallery);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_stale_after_changes_elsewhere),
        cmocka_unit_test(a_subject_of_many_faces),
    };
    own_path = argv[0];
    if (argc == 4 && strcmp(argv[1], "change") == 0)
        return change(argv[2], (int)strtol(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
