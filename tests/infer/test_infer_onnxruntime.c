/* The ONNX Runtime adapter with a real, small model: shapes, zero-copy runs, threads, refusals.
 * Needs the runtime; and, for the model, FRT_TEST_ASSETS (default ../shared/assets). SKIP otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "infer/infer.h"

#define SIDE 80
#define VALUES ((size_t)3 * SIDE * SIDE)
#define CLASSES 3
#define N_THREADS 4
#define RUNS_EACH 8

static struct frt_backend *backend;
static char model_path[1024];
static char home[] = "/tmp/frt-test-home-XXXXXX";

static void fill(float *image, unsigned seed)
{
    for (size_t i = 0; i < VALUES; i++) {
        seed = seed * 1664525u + 1013904223u;
        image[i] = (float)(seed >> 24);
    }
}

static void classify(const struct frt_session *session, unsigned seed, float out[CLASSES])
{
    struct frt_error err;
    struct frt_outputs outputs;
    float *image = frt_alloc_array(VALUES, sizeof *image);
    assert_non_null(image);
    fill(image, seed);
    struct frt_tensor input = {.data = image, .dims = {1, 3, SIDE, SIDE}, .n_dims = 4};
    assert_int_equal(frt_session_run(session, &input, 1, &outputs, &err), FRT_OK);
    assert_int_equal(outputs.n, 1);
    assert_int_equal(outputs.tensors[0].n_dims, 2);
    assert_int_equal(outputs.tensors[0].dims[1], CLASSES);
    assert_true(outputs.run_ms > 0);
    memcpy(out, outputs.tensors[0].data, CLASSES * sizeof *out);
    frt_outputs_release(&outputs);
    assert_null(outputs.session);
    frt_free(image);
}

static struct frt_session *open_model(void)
{
    struct frt_error err = {0};
    struct frt_session *session = NULL;
    if (access(model_path, R_OK) != 0) {
        print_message("SKIP: %s is not there (FRT_TEST_ASSETS)\n", model_path);
        skip();
    }
    if (frt_session_open(backend, model_path, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return session;
}

static void info_says_what_the_graph_says(void **state)
{
    (void)state;
    struct frt_session *session = open_model();
    assert_int_equal(session->info.n_inputs, 1);
    assert_int_equal(session->info.n_outputs, 1);
    assert_string_equal(session->info.inputs[0].name, "input");
    assert_int_equal(session->info.inputs[0].n_dims, 4);
    assert_int_equal(session->info.inputs[0].dims[0], -1);
    assert_int_equal(session->info.inputs[0].dims[3], SIDE);
    assert_true(session->info.inputs[0].is_float);
    assert_int_equal(session->info.outputs[0].dims[1], CLASSES);
    frt_session_free(session);
}

static void the_same_pixels_give_the_same_answer(void **state)
{
    (void)state;
    float first[CLASSES], again[CLASSES], other[CLASSES];
    struct frt_session *session = open_model();
    classify(session, 7, first);
    classify(session, 8, other);
    classify(session, 7, again);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    for (size_t i = 0; i < CLASSES; i++)
        assert_true(isfinite(first[i]));
    frt_session_free(session);
}

static void wrong_shapes_are_refused_with_both_shapes(void **state)
{
    (void)state;
    static float pixel[3];
    struct frt_error err = {0};
    struct frt_outputs outputs = {.n = 99};
    struct frt_session *session = open_model();
    struct frt_tensor input = {.data = pixel, .dims = {1, 3, 1, 1}, .n_dims = 4};
    assert_int_equal(frt_session_run(session, &input, 1, &outputs, &err), FRT_EINVAL);
    assert_non_null(strstr(err.text, "[1,3,1,1]"));
    assert_non_null(strstr(err.text, "[?,3,80,80]"));
    assert_int_equal(outputs.n, 99); /* untouched */
    assert_int_equal(frt_session_run(session, &input, 0, &outputs, &err), FRT_EINVAL);
    frt_session_free(session);
}

struct job {
    const struct frt_session *session;
    unsigned seed;
    float expected[CLASSES];
    int wrong;
};

static void *work(void *arg)
{
    struct job *job = arg;
    float image[VALUES];
    fill(image, job->seed);
    struct frt_tensor input = {.data = image, .dims = {1, 3, SIDE, SIDE}, .n_dims = 4};
    for (int i = 0; i < RUNS_EACH; i++) {
        struct frt_outputs outputs;
        if (frt_session_run(job->session, &input, 1, &outputs, NULL) != FRT_OK) {
            job->wrong++;
            continue;
        }
        job->wrong += memcmp(outputs.tensors[0].data, job->expected, sizeof job->expected) != 0;
        frt_outputs_release(&outputs);
    }
    return NULL;
}

static void threads_share_a_session(void **state)
{
    (void)state;
    struct job jobs[N_THREADS] = {0};
    pthread_t threads[N_THREADS];
    struct frt_session *session = open_model();
    for (unsigned i = 0; i < N_THREADS; i++) {
        jobs[i].session = session;
        jobs[i].seed = i + 1;
        classify(session, jobs[i].seed, jobs[i].expected);
    }
    assert_memory_not_equal(jobs[0].expected, jobs[1].expected, sizeof jobs[0].expected);
    for (unsigned i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &jobs[i]), 0);
    for (unsigned i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(jobs[i].wrong, 0);
    }
    frt_session_free(session);
}

/* CPU time of the process's other threads, in ns; -1 when this kernel does not tell. */
static long long others_cpu_ns(void)
{
    char path[300];
    long long sum = 0, ns;
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == (long)gettid())
            continue;
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL || fscanf(file, "%lld", &ns) != 1)
            ns = sum = -1;
        sum += sum < 0 ? 0 : ns;
        if (file != NULL)
            (void)fclose(file);
    }
    (void)closedir(folder);
    return sum;
}

static long long own_cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void a_narrow_run_stays_on_its_thread_and_answers_the_same(void **state)
{
    (void)state;
    float wide[CLASSES], narrow[CLASSES], alone[CLASSES];
    struct frt_backend *both = NULL;
    const struct frt_onnxruntime_options options = {.threads = 2, .narrow_too = true};
    struct frt_session *session = open_model(), *one = session;
    assert_int_equal(frt_backend_onnxruntime_new(&options, &both, NULL), FRT_OK);
    classify(one, 5, alone);
    session = NULL;
    assert_int_equal(frt_session_open(both, model_path, &session, NULL), FRT_OK);
    assert_int_equal(session->info.n_inputs, 1);
    assert_string_equal(session->info.inputs[0].name, "input");
    assert_int_equal(frt_infer_width_get(), FRT_INFER_WIDE);
    classify(session, 5, wide);
    assert_memory_equal(wide, alone, sizeof wide);
    frt_infer_width_set(FRT_INFER_NARROW);
    classify(session, 5, narrow);
    assert_memory_equal(narrow, wide, sizeof wide);
    (void)usleep(20000); /* the pool's thread goes back to sleep after the wide run */
    long long own = own_cpu_ns(), before = others_cpu_ns();
    for (unsigned i = 0; i < 20; i++)
        classify(session, i, narrow);
    long long after = others_cpu_ns();
    own = own_cpu_ns() - own;
    frt_infer_width_set(FRT_INFER_WIDE);
    frt_session_free(session);
    frt_session_free(one);
    frt_backend_free(both);
    /* a pool would take about half; a sanitizer's own thread takes a little */
    if (before >= 0)
        assert_true(after - before < own / 10);
}

static void a_file_that_is_no_model_is_refused(void **state)
{
    (void)state;
    struct frt_error err = {0};
    struct frt_session *session = NULL;
    char path[] = "/tmp/frt-test-model-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "no model\n", 9), 9);
    assert_int_equal(close(fd), 0);
    assert_int_equal(frt_session_open(backend, path, &session, &err), FRT_EBAD_MODEL);
    assert_int_equal(err.status, FRT_EBAD_MODEL);
    assert_true(strlen(err.text) > 10);
    assert_null(session);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(frt_session_open(backend, path, &session, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, path));
}

static void a_truncated_model_is_refused(void **state)
{
    (void)state;
    struct frt_error err = {0};
    struct frt_session *session = open_model();
    frt_session_free(session);
    session = NULL;
    struct frt_backend *both = NULL;
    const struct frt_onnxruntime_options options = {.threads = 2, .narrow_too = true};
    assert_int_equal(frt_backend_onnxruntime_new(&options, &both, NULL), FRT_OK);
    char path[] = "/tmp/frt-test-model-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fopen(model_path, "rb");
    assert_non_null(file);
    char *bytes = frt_alloc(100000);
    assert_non_null(bytes);
    size_t n = fread(bytes, 1, 100000, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    assert_int_equal(close(fd), 0);
    assert_int_equal(frt_session_open(backend, path, &session, &err), FRT_EBAD_MODEL);
    assert_int_equal(frt_session_open(both, path, &session, &err), FRT_EBAD_MODEL);
    assert_int_equal(unlink(path), 0);
    frt_backend_free(both);
    frt_free(bytes);
}

static void a_library_that_is_asked_for_is_used_or_refused(void **state)
{
    (void)state;
    struct frt_error err = {0};
    struct frt_backend *other = NULL;
    struct frt_onnxruntime_options options = {.library_path = "/nonexistent/libonnxruntime.so.1"};
    assert_int_equal(frt_backend_onnxruntime_new(&options, &other, &err), FRT_ERUNTIME);
    assert_non_null(strstr(err.text, "/nonexistent/libonnxruntime.so.1"));
    options.library_path = "/nonexistent-folder";
    assert_int_equal(frt_backend_onnxruntime_new(&options, &other, &err), FRT_ERUNTIME);
    options.library_path = "libc.so.6";
    assert_int_equal(frt_backend_onnxruntime_new(&options, &other, &err), FRT_ERUNTIME);
    assert_non_null(strstr(err.text, "OrtGetApiBase"));
    assert_null(other);
}

static bool is_empty_folder(const char *path)
{
    size_t n = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        n++;
    assert_int_equal(closedir(folder), 0);
    return n == 2; /* . and .. */
}

/* Runtimes with a telemetry client write a device id and a database below the home folder as soon as an
 * environment is made; main() made one with `home` as that folder. */
static void the_runtime_leaves_no_traces(void **state)
{
    (void)state;
    char path[64];
    assert_true(is_empty_folder(home));
    (void)snprintf(path, sizeof path, "/tmp/mat-debug-%d.log", (int)getpid());
    assert_int_not_equal(access(path, F_OK), 0);
}

static void a_second_backend_lives_beside_the_first(void **state)
{
    (void)state;
    struct frt_backend *other = NULL;
    assert_int_equal(frt_backend_onnxruntime_new(NULL, &other, NULL), FRT_OK);
    assert_string_equal(other->ops->name, "onnxruntime");
    assert_string_equal(other->ops->version(other), backend->ops->version(backend));
    frt_backend_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_says_what_the_graph_says),
        cmocka_unit_test(the_same_pixels_give_the_same_answer),
        cmocka_unit_test(wrong_shapes_are_refused_with_both_shapes),
        cmocka_unit_test(threads_share_a_session),
        cmocka_unit_test(a_narrow_run_stays_on_its_thread_and_answers_the_same),
        cmocka_unit_test(a_file_that_is_no_model_is_refused),
        cmocka_unit_test(a_truncated_model_is_refused),
        cmocka_unit_test(a_library_that_is_asked_for_is_used_or_refused),
        cmocka_unit_test(a_second_backend_lives_beside_the_first),
        cmocka_unit_test(the_runtime_leaves_no_traces),
    };
    struct frt_error err = {0};
    const struct frt_onnxruntime_options options = {.threads = 2};
    const char *assets = getenv("FRT_TEST_ASSETS");
    (void)snprintf(model_path, sizeof model_path, "%s/models/liveness/fasnet_2_7.onnx",
                   assets != NULL ? assets : "../shared/assets");
    if (mkdtemp(home) == NULL || setenv("HOME", home, 1) != 0 || setenv("XDG_CACHE_HOME", home, 1) != 0)
        return 1;
    if (frt_backend_onnxruntime_new(&options, &backend, &err) != FRT_OK) {
        (void)rmdir(home);
        (void)fprintf(stderr, "SKIP: %s\n", err.text);
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_backend_free(backend);
    (void)rmdir(home);
    return failed;
}
