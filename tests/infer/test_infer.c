/* Checks and dispatch of infer.c, through the fake backend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "core/mem.h"
#include "infer/infer_fake.h"

/* doubles every value; answers for any batch */
static enum frt_status twice(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                             struct frt_fake_output *outputs, struct frt_error *err)
{
    (void)arg;
    (void)n_inputs;
    size_t n = frt_tensor_size(&inputs[0]);
    float *out = frt_fake_output_alloc(&outputs[0], inputs[0].dims, inputs[0].n_dims);
    if (out == NULL)
        return frt_fail_nomem(err, "the answer");
    for (size_t i = 0; i < n; i++)
        out[i] = 2 * inputs[0].data[i];
    return FRT_OK;
}

static enum frt_status broken(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                              struct frt_fake_output *outputs, struct frt_error *err)
{
    (void)arg;
    (void)n_inputs;
    if (frt_fake_output_alloc(&outputs[0], inputs[0].dims, inputs[0].n_dims) == NULL)
        return frt_fail_nomem(err, "the answer");
    return frt_fail(err, FRT_ERUNTIME, "broken as told");
}

#define INFO                                                                                                   \
    {                                                                                                          \
        .n_inputs = 1, .n_outputs = 1, .inputs = {{"in", {-1, 2}, 2, true}}, .outputs = {                      \
            {"out", {-1, 2}, 2, true}                                                                          \
        }                                                                                                      \
    }

static const struct frt_fake_model models[] = {
    {.file = "twice.onnx", .info = INFO, .run = twice},
    {.file = "broken.onnx", .info = INFO, .run = broken},
};

static struct frt_backend *backend;

static struct frt_session *open_fake(const char *path)
{
    struct frt_session *session = NULL;
    assert_int_equal(frt_session_open(backend, path, &session, NULL), FRT_OK);
    return session;
}

static void a_run_goes_through(void **state)
{
    (void)state;
    const float values[] = {1, 2, 3, 4};
    struct frt_outputs out;
    struct frt_session *session = open_fake("some/folder/twice.onnx");
    const struct frt_tensor input = {.data = values, .dims = {2, 2}, .n_dims = 2};
    assert_int_equal(frt_session_run(session, &input, 1, &out, NULL), FRT_OK);
    assert_int_equal(out.n, 1);
    assert_int_equal(frt_tensor_size(&out.tensors[0]), 4);
    assert_true(out.tensors[0].data[3] == 8.0f);
    frt_outputs_release(&out);
    frt_outputs_release(&out); /* twice is fine */
    frt_session_free(session);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    const float values[6] = {0};
    static const struct {
        struct frt_tensor tensor;
        const char *text;
    } cases[] = {
        {{.data = NULL, .dims = {1, 2}, .n_dims = 2}, "without data"},
        {{.data = NULL, .dims = {1, 3}, .n_dims = 2}, "[1,3]"},
        {{.data = NULL, .dims = {0, 2}, .n_dims = 2}, "[0,2]"},
        {{.data = NULL, .dims = {-1, 2}, .n_dims = 2}, "[?,2]"},
        {{.data = NULL, .dims = {2}, .n_dims = 1}, "[2]"},
        {{.data = NULL, .dims = {2}, .n_dims = 0}, "[]"},
        {{.data = NULL, .dims = {INT64_MAX, 2}, .n_dims = 2}, "9223372036854775807"},
    };
    struct frt_session *session = open_fake("twice.onnx");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frt_error err = {0};
        struct frt_outputs out;
        struct frt_tensor tensor = cases[i].tensor;
        tensor.data = i == 0 ? NULL : values;
        assert_int_equal(frt_session_run(session, &tensor, 1, &out, &err), FRT_EINVAL);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_non_null(strstr(err.text, "[?,2]")); /* what would fit */
    }
    frt_session_free(session);
}

static void a_failing_run_leaves_nothing(void **state)
{
    (void)state;
    const float values[] = {1, 2};
    struct frt_error err = {0};
    struct frt_outputs out = {.n = 77};
    struct frt_session *session = open_fake("broken.onnx");
    const struct frt_tensor input = {.data = values, .dims = {1, 2}, .n_dims = 2};
    assert_int_equal(frt_session_run(session, &input, 1, &out, &err), FRT_ERUNTIME);
    assert_string_equal(err.text, "broken as told");
    assert_int_equal(out.n, 77);
    frt_session_free(session);
}

static void an_unknown_model_is_not_found(void **state)
{
    (void)state;
    struct frt_session *session = NULL;
    assert_int_equal(frt_session_open(backend, "other.onnx", &session, NULL), FRT_ENOTFOUND);
    assert_int_equal(frt_session_open(NULL, "twice.onnx", &session, NULL), FRT_EINVAL);
    assert_null(session);
    frt_session_free(NULL);
    frt_outputs_release(NULL);
    frt_backend_free(NULL);
}

static void a_source_is_a_path_or_bytes(void **state)
{
    (void)state;
    struct frt_session *session = NULL;
    struct frt_model_source source = {.path = "twice.onnx", .name = "twice", .version = "1"};
    assert_int_equal(frt_session_open_source(backend, &source, &session, NULL), FRT_OK);
    assert_non_null(session);
    frt_session_free(session);
    session = NULL;
    source = (struct frt_model_source){.bytes = "x", .size = 1};
    assert_int_equal(frt_session_open_source(backend, &source, &session, NULL), FRT_EINVAL); /* files only */
    assert_int_equal(frt_session_open_source(backend, NULL, &session, NULL), FRT_EINVAL);
    assert_null(session);
}

static void sizes_do_not_overflow(void **state)
{
    (void)state;
    struct frt_tensor tensor = {.dims = {3, 4, 5}, .n_dims = 3};
    assert_int_equal(frt_tensor_size(&tensor), 60);
    tensor.dims[0] = INT64_MAX;
    assert_int_equal(frt_tensor_size(&tensor), 0);
    tensor.dims[0] = 0;
    assert_int_equal(frt_tensor_size(&tensor), 0);
    tensor.n_dims = FRT_TENSOR_MAX_DIMS + 1;
    assert_int_equal(frt_tensor_size(&tensor), 0);
}

static void shape_texts_are_cut_to_fit(void **state)
{
    (void)state;
    const int64_t dims[] = {1, 3, -1, 640};
    char text[32], small[4];
    frt_tensor_shape_text(dims, 4, text, sizeof text);
    assert_string_equal(text, "[1,3,?,640]");
    frt_tensor_shape_text(dims, 4, small, sizeof small);
    assert_string_equal(small, "[1,");
}

static void *run_often(void *arg)
{
    const struct frt_session *session = arg;
    for (int i = 0; i < 200; i++) {
        const float values[] = {(float)i, 1};
        struct frt_outputs out;
        const struct frt_tensor input = {.data = values, .dims = {1, 2}, .n_dims = 2};
        if (frt_session_run(session, &input, 1, &out, NULL) != FRT_OK ||
            out.tensors[0].data[0] != 2.0f * (float)i)
            return arg;
        frt_outputs_release(&out);
    }
    return NULL;
}

static void threads_share_a_session(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct frt_session *session = open_fake("twice.onnx");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, session), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed = session;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    frt_session_free(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_goes_through),           cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_failing_run_leaves_nothing), cmocka_unit_test(an_unknown_model_is_not_found),
        cmocka_unit_test(a_source_is_a_path_or_bytes),  cmocka_unit_test(sizes_do_not_overflow),
        cmocka_unit_test(shape_texts_are_cut_to_fit),   cmocka_unit_test(threads_share_a_session),
    };
    if (frt_backend_fake_new(models, sizeof models / sizeof models[0], &backend, NULL) != FRT_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_backend_free(backend);
    return failed;
}
