/*
 * Packs changed while the service works: no request fails, none sees two packs, caches do not mix them, a
 * broken pack changes nothing. Skipped where the pack or the sample photos are absent.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_client.h"
#include "http_photos.h"

enum { CLIENTS = 3, RELOADS = 20, MANIFEST_MAX = 64 * 1024 };

static const char *program;
static struct photo photos[2];

/* ------------------------------------------------------------------- packs */

static char *read_text(const char *path)
{
    char *text = malloc(MANIFEST_MAX);
    FILE *f = fopen(path, "rb");
    assert_non_null(text);
    assert_non_null(f);
    size_t n = fread(text, 1, MANIFEST_MAX - 1, f);
    text[n] = '\0';
    assert_int_equal(fclose(f), 0);
    return text;
}

/* Replace `from` behind the first `behind`; of the same length, so that it fits. */
static void replace(char *text, const char *behind, const char *from, const char *to)
{
    char *at = strstr(text, behind);
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

/* A pack beside the default one: its files, another manifest. */
static void make_pack(const struct service *service, const char *name, bool another_model, bool broken)
{
    static const char *const files[] = {
        "ssd_mobilenetv1.onnx",  "tiny_face_detector.onnx", "age_gender.onnx", "face_landmark_68.onnx",
        "face_recognition.onnx", "face_expression.onnx",    "antispoof.onnx",  "liveness.onnx"};
    char folder[128], from[PATH_MAX], path[256], real[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s/packs", service->folder);
    (void)mkdir(folder, 0700);
    (void)snprintf(folder, sizeof folder, "%s/packs/%s", service->folder, name);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_non_null(realpath("data/packs/default", real));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        assert_true((size_t)snprintf(from, sizeof from, "%s/%s", real, files[i]) < sizeof from);
        if (broken && strcmp(files[i], "face_recognition.onnx") == 0) {
            FILE *f = fopen(path, "wb");
            assert_non_null(f);
            (void)fputs("these are no weights", f);
            assert_int_equal(fclose(f), 0);
        } else {
            assert_int_equal(symlink(from, path), 0);
        }
    }
    char *text = read_text("data/packs/default/manifest.json");
    if (another_model) { /* and one that answers otherwise: another mean */
        replace(text, "\"embedder\"", "\"version\": \"1.7.15\"", "\"version\": \"1.7.99\"");
        replace(text, "\"embedder\"", "122.782", "100.000");
    }
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    free(text);
}

static void start(struct service *service)
{
    service_folder(service);
    make_pack(service, "default", false, false);
    make_pack(service, "other", true, false);
    make_pack(service, "broken", false, true);
    const char *const options[] = {"--data-dir", service->folder, "--workers", "4", NULL};
    service_start(service, program, options);
}

static struct answer reload(const struct service *service, const char *body)
{
    return request(service->port, "POST", "/v1/models/reload", "application/json", body, strlen(body));
}

static const struct frt_json_value *member(const struct answer *a, const char *outer, const char *inner)
{
    return frt_json_get(frt_json_get(frt_json_root(a->json), outer), inner);
}

/* ---------------------------------------------------------------- embedding */

/* First numbers of the first face's embedding, and the version of the model that it is said to be of. */
struct look {
    double v[4];
    bool other; /* of the pack "other" */
};

static struct look look_at(const struct answer *a)
{
    struct look look = {.other = false};
    const struct frt_json_value *root = frt_json_root(a->json);
    const char *version = frt_json_text(frt_json_get(frt_json_get(root, "model"), "version"));
    const struct frt_json_value *face = frt_json_first(frt_json_get(root, "faces"));
    assert_non_null(version);
    look.other = strcmp(version, "1.7.99") == 0;
    const struct frt_json_value *number = frt_json_first(frt_json_get(face, "embedding"));
    for (size_t i = 0; i < 4 && number != NULL; i++, number = frt_json_next(number))
        look.v[i] = frt_json_double(number, 0);
    return look;
}

static bool same(const struct look *a, const struct look *b)
{
    for (size_t i = 0; i < 4; i++)
        if (a->v[i] - b->v[i] > 1e-4 || b->v[i] - a->v[i] > 1e-4)
            return false;
    return true;
}

static struct answer embed(int port, const struct photo *photo)
{
    return request(port, "POST", "/v1/embed", "image/jpeg", photo->data, photo->size);
}

/* -------------------------------------------------------------------- load */

struct load {
    int port;
    const struct look (*want)[2]; /* [photo][other] */
    atomic_bool stop;
    atomic_uint marks;
    atomic_int embedded[2], searched[2], wrong, failed;
};

static void *ask_on(void *arg)
{
    struct load *load = arg;
    for (unsigned turn = 0; !atomic_load(&load->stop); turn++) {
        const struct photo *photo = &photos[turn % 2];
        if (turn % 3 == 2) {
            struct answer a = request(load->port, "POST", "/v1/collections/people/search", "image/jpeg",
                                      photo->data, photo->size);
            if (a.status == 200 || a.status == 409)
                (void)atomic_fetch_add(&load->searched[a.status == 409], 1);
            else
                (void)atomic_fetch_add(&load->failed, 1);
            if (a.status == 200 && strstr(a.body, "\"one\"") == NULL && turn % 2 == 0)
                (void)atomic_fetch_add(&load->wrong, 1);
            answer_free(&a);
            continue;
        }
        struct photo own = {.data = malloc(photo->size + sizeof turn), .size = photo->size};
        if (own.data == NULL)
            abort();
        memcpy(own.data, photo->data, photo->size);
        if (turn % 4 == 0) { /* one that no cache knows: bytes behind the end of a JPEG change nothing */
            const unsigned mark = turn * CLIENTS + atomic_fetch_add(&load->marks, 1);
            memcpy(own.data + photo->size, &mark, sizeof mark);
            own.size += sizeof mark;
        }
        struct answer a = embed(load->port, &own);
        free(own.data);
        if (a.status != 200) {
            (void)atomic_fetch_add(&load->failed, 1);
        } else {
            const struct look look = look_at(&a);
            (void)atomic_fetch_add(&load->embedded[look.other], 1);
            if (!same(&look, &load->want[turn % 2][look.other]))
                (void)atomic_fetch_add(&load->wrong, 1);
        }
        answer_free(&a);
    }
    return NULL;
}

static void twenty_reloads_under_load(void **state)
{
    (void)state;
    struct service service = {0};
    struct look want[2][2];
    pthread_t threads[CLIENTS];
    start(&service);
    struct answer a = request(service.port, "PUT", "/v1/collections/people", "application/json", "{}", 2);
    expect(&a, 201, NULL);
    answer_free(&a);
    a = request(service.port, "POST", "/v1/collections/people/faces?subject=one", "image/jpeg", photos[0].data,
                photos[0].size);
    expect(&a, 201, NULL);
    answer_free(&a);
    for (size_t other = 0; other < 2; other++) {
        a = reload(&service, other == 0 ? "{}" : "{\"pack\":\"other\"}");
        expect(&a, 200, NULL);
        answer_free(&a);
        for (size_t i = 0; i < 2; i++) {
            a = embed(service.port, &photos[i]);
            expect(&a, 200, NULL);
            want[i][other] = look_at(&a);
            assert_int_equal(want[i][other].other, other);
            answer_free(&a);
        }
    }
    for (size_t i = 0; i < 2; i++)
        assert_false(same(&want[i][0], &want[i][1])); /* else the rest would say nothing */
    struct load load = {.port = service.port, .want = (const struct look(*)[2])want};
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &load), 0);
    for (int i = 0; i < RELOADS; i++) {
        const bool other = i % 2 == 1;
        a = reload(&service, other ? "{\"pack\":\"other\"}" : "{\"pack\":\"default\"}");
        expect(&a, 200, NULL);
        assert_true(frt_json_truth(frt_json_get(frt_json_root(a.json), "changed"), false));
        assert_string_equal(frt_json_text(member(&a, "pack", "embedder")),
                            other ? "face_recognition 1.7.99" : "face_recognition 1.7.15");
        assert_int_equal((int)frt_json_double(frt_json_get(frt_json_root(a.json), "other_models"), -1), other);
        answer_free(&a);
        /* what is asked from now on is answered by the new one */
        a = embed(service.port, &photos[0]);
        expect(&a, 200, NULL);
        const struct look look = look_at(&a);
        assert_int_equal(look.other, other);
        assert_true(same(&look, &want[0][other]));
        answer_free(&a);
        a = request(service.port, "POST", "/v1/collections/people/search", "image/jpeg", photos[0].data,
                    photos[0].size);
        expect(&a, other ? 409 : 200, other ? "model_mismatch" : NULL);
        if (other)
            assert_non_null(strstr(a.body, "frt migrate"));
        answer_free(&a);
    }
    atomic_store(&load.stop, true);
    for (size_t i = 0; i < CLIENTS; i++)
        (void)pthread_join(threads[i], NULL);
    print_message("embedded %d and %d, searched %d, mismatched %d\n", load.embedded[0], load.embedded[1],
                  load.searched[0], load.searched[1]);
    assert_int_equal(load.failed, 0);
    assert_int_equal(load.wrong, 0);
    assert_true(load.embedded[0] > 0 && load.embedded[1] > 0 && load.searched[0] > 0 && load.searched[1] > 0);
    /* nobody works any more: the former ones have left within a tick or two */
    double waiting = 1;
    for (int64_t begun = frt_now_ns(); waiting > 0 && frt_elapsed_ms(begun) < WAIT_MS;
         (void)poll(NULL, 0, 50)) {
        a = get(service.port, "/metrics");
        waiting = frt_json_double(member(&a, "pack", "former_in_memory"), 1);
        assert_int_equal((int)frt_json_double(member(&a, "pack", "reloads"), 0), RELOADS + 2);
        assert_int_equal((int)frt_json_double(member(&a, "pack", "reload_failures"), -1), 0);
        answer_free(&a);
    }
    assert_true(waiting == 0);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

static void a_broken_pack_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int status;
        const char *code;
    } refused[] = {{"{\"pack\":\"broken\"}", 500, "bad_model"},
                   {"{\"pack\":\"absent\"}", 404, "not_found"},
                   {"{\"pack\":\"../default\"}", 400, "bad_request"},
                   {"{\"pack\":\"/etc\"}", 400, "bad_request"},
                   {"{\"pack\":\".\"}", 400, "bad_request"},
                   {"{\"pack\":\"\"}", 400, "bad_request"},
                   {"{\"pack\":7}", 400, "bad_request"},
                   {"{\"path\":\"default\"}", 400, "bad_request"}};
    struct service service = {0};
    start(&service);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct answer a = reload(&service, refused[i].body);
        print_message("%s: %d %s\n", refused[i].body, a.status, a.body);
        expect(&a, refused[i].status, refused[i].code);
        assert_null(strstr(a.body, "/packs/")); /* nothing of the service's paths */
        answer_free(&a);
        a = embed(service.port, &photos[0]);
        expect(&a, 200, NULL);
        assert_false(look_at(&a).other);
        answer_free(&a);
    }
    struct answer a = get(service.port, "/metrics");
    assert_int_equal((int)frt_json_double(member(&a, "pack", "reloads"), -1), 0);
    assert_int_equal((int)frt_json_double(member(&a, "pack", "reload_failures"), -1), 2);
    answer_free(&a);
    char *log = service_log_with(&service, "pack not loaded; the one in use stays");
    free(log);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

static void sighup_reads_the_configured_pack(void **state)
{
    (void)state;
    struct service service = {0};
    char from[160], to[160], aside[160];
    start(&service);
    (void)snprintf(to, sizeof to, "%s/packs/default", service.folder);
    (void)snprintf(aside, sizeof aside, "%s/packs/aside", service.folder);
    (void)snprintf(from, sizeof from, "%s/packs/other", service.folder);
    assert_int_equal(rename(to, aside), 0);
    assert_int_equal(kill(service.pid, SIGHUP), 0); /* nothing is there: said, and nothing happens */
    char *log = service_log_with(&service, "pack not loaded; the one in use stays");
    free(log);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(kill(service.pid, SIGHUP), 0);
    for (int64_t begun = frt_now_ns();; (void)poll(NULL, 0, 20)) {
        struct answer a = embed(service.port, &photos[0]);
        expect(&a, 200, NULL);
        const bool other = look_at(&a).other;
        answer_free(&a);
        if (other)
            break;
        assert_true(frt_elapsed_ms(begun) < WAIT_MS);
    }
    for (int i = 0; i < 20; i++) /* a burst is one or two loads, and no harm */
        assert_int_equal(kill(service.pid, SIGHUP), 0);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(twenty_reloads_under_load),
                                       cmocka_unit_test(a_broken_pack_changes_nothing),
                                       cmocka_unit_test(sighup_reads_the_configured_pack)};
    if (argc != 2 || !photos_are_there())
        return argc != 2 ? 2 : 77;
    program = argv[1];
    for (int i = 0; i < 2; i++)
        photos[i] = photo_of(i + 1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < 2; i++)
        free(photos[i].data);
    return failed;
}
