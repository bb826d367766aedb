/* failover.h over fake devices: every failure at every place, and no run that is not answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "infer/failover_inside.h"
#include "infer/infer_fake.h"

enum { WAIT_S = 60 };

/* ------------------------------------------------------------ the device */

/* What the device does when it is asked, for all models or for "large.onnx" alone. */
struct device {
    atomic_int make, open, open_large, run, run_large; /* enum frt_status */
    atomic_bool wrong, gate_open;                      /* gate: models are opened only while it is open */
    atomic_int runs, opens, at_gate;
    atomic_bool half, half_wrong,
        no_half; /* it takes graphs in f16; which answer wrongly; or says that it does */
    atomic_int half_opens, half_runs;
};
static struct device gpu;
static atomic_int cpu_runs;

/* doubles; a first value of -1 is a mistake of the caller's, -2 nothing can compute, NAN-free */
static enum frt_status twice(const struct frt_tensor *input, float factor, struct frt_fake_output *output,
                             struct frt_error *err)
{
    size_t n = frt_tensor_size(input);
    if (input->data[0] == -1)
        return frt_fail(err, FRT_EINVAL, "negative");
    if (input->data[0] == -2)
        return frt_fail(err, FRT_ERUNTIME, "poison");
    float *out = frt_fake_output_alloc(output, input->dims, input->n_dims);
    if (out == NULL)
        return frt_fail_nomem(err, "the answer");
    for (size_t i = 0; i < n; i++)
        out[i] = factor * input->data[i];
    return FRT_OK;
}

static enum frt_status on_cpu(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                              struct frt_fake_output *outputs, struct frt_error *err)
{
    (void)arg;
    (void)n_inputs;
    (void)atomic_fetch_add(&cpu_runs, 1);
    return twice(inputs, 2, outputs, err);
}

static enum frt_status on_gpu(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                              struct frt_fake_output *outputs, struct frt_error *err)
{
    atomic_int *own = arg;
    (void)n_inputs;
    (void)atomic_fetch_add(&gpu.runs, 1);
    int status = atomic_load(&gpu.run);
    if (status == FRT_OK && own != NULL)
        status = atomic_load(own);
    if (status != FRT_OK)
        return frt_fail(err, (enum frt_status)status, "injected: run");
    return twice(inputs, atomic_load(&gpu.wrong) ? -3 : 2, outputs, err);
}

static enum frt_status in_half(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                               struct frt_fake_output *outputs, struct frt_error *err)
{
    (void)arg;
    (void)n_inputs;
    (void)atomic_fetch_add(&gpu.half_runs, 1);
    return twice(inputs, atomic_load(&gpu.half_wrong) ? -3 : 2, outputs, err);
}

#define INFO(batch)                                                                                            \
    {                                                                                                          \
        .n_inputs = 1, .n_outputs = 1, .inputs = {{"in", {batch, 2}, 2, true}}, .outputs = {                   \
            {"out", {batch, 2}, 2, true}                                                                       \
        }                                                                                                      \
    }

static const struct frt_fake_model cpu_models[] = {
    {.file = "small.onnx", .info = INFO(-1), .run = on_cpu},
    {.file = "large.onnx", .info = INFO(-1), .run = on_cpu},
    {.file = "narrow.onnx", .info = INFO(-1), .run = on_cpu},
};
static const struct frt_fake_model gpu_models[] = {
    {.file = "small.onnx", .info = INFO(-1), .run = on_gpu},
    {.file = "large.onnx", .info = INFO(-1), .run = on_gpu, .arg = &gpu.run_large},
    {.file = "narrow.onnx", .info = INFO(1), .run = on_gpu},
    {.file = "served.onnx", .info = INFO(-1), .run = on_gpu},
    {.file = "half", .info = INFO(-1), .run = in_half},
};

static enum frt_status (*fake_open)(struct frt_backend *backend, const char *path, struct frt_session **out,
                                    struct frt_error *err);
static struct frt_backend_ops gpu_ops;

static enum frt_status open_on_gpu(struct frt_backend *backend, const char *path, struct frt_session **out,
                                   struct frt_error *err)
{
    int status = atomic_load(&gpu.open);
    (void)atomic_fetch_add(&gpu.opens, 1);
    (void)atomic_fetch_add(&gpu.at_gate, 1);
    while (!atomic_load(&gpu.gate_open))
        (void)usleep(200);
    (void)atomic_fetch_sub(&gpu.at_gate, 1);
    if (status == FRT_OK && strstr(path, "large") != NULL)
        status = atomic_load(&gpu.open_large);
    if (status != FRT_OK)
        return frt_fail(err, (enum frt_status)status, "injected: open");
    return fake_open(backend, path, out, err);
}

/* What is opened from memory is a graph in f16. */
static enum frt_status open_half(struct frt_backend *from, const void *bytes, size_t size,
                                 struct frt_session **out, struct frt_error *err)
{
    assert_int_equal(size, 4);
    assert_memory_equal(bytes, "half", 4);
    (void)atomic_fetch_add(&gpu.half_opens, 1);
    if (atomic_load(&gpu.no_half))
        return frt_fail(err, FRT_EBAD_MODEL, "injected: no f16");
    return fake_open(from, "half", out, err);
}

static enum frt_status make_gpu(void *arg, struct frt_backend **out, struct frt_error *err)
{
    (void)arg;
    if (atomic_load(&gpu.make) != FRT_OK)
        return frt_fail(err, (enum frt_status)atomic_load(&gpu.make), "injected: no device");
    enum frt_status status = frt_backend_fake_new(gpu_models, 5, out, err);
    if (status == FRT_OK) {
        fake_open = (*out)->ops->open;
        gpu_ops = *(*out)->ops;
        gpu_ops.open = open_on_gpu;
        gpu_ops.device = "gpu:0";
        if (atomic_load(&gpu.half)) {
            gpu_ops.graph = FRT_GRAPH_HALF;
            gpu_ops.open_bytes = open_half;
        }
        (*out)->ops = &gpu_ops;
    }
    return status;
}

/* --------------------------------------------------------------- fixture */

static struct frt_backend *backend;
static int log_fd = -1;

static int begin(void **state)
{
    (void)state;
    memset(&gpu, 0, sizeof gpu);
    atomic_store(&gpu.gate_open, true);
    atomic_store(&cpu_runs, 0);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    frt_log_configure(FRT_LOG_DEBUG, false, log_fd);
    backend = NULL;
    return log_fd < 0;
}

static int end(void **state)
{
    (void)state;
    atomic_store(&gpu.gate_open, true);
    frt_backend_free(backend);
    frt_log_configure(FRT_LOG_INFO, false, STDERR_FILENO);
    (void)close(log_fd);
    return 0;
}

/* Lines of the log that hold a text. */
static int logged(const char *text)
{
    static char log[65536];
    ssize_t n = pread(log_fd, log, sizeof log - 1, 0);
    int count = 0;
    log[n > 0 ? n : 0] = '\0';
    for (const char *line = log; (line = strstr(line, text)) != NULL; line += strlen(text))
        count++;
    return count;
}

static void make_failover(const struct frt_failover_options *asked)
{
    struct frt_failover_options options = asked != NULL ? *asked : (struct frt_failover_options){0};
    options.make = make_gpu;
    options.device = "gpu:0";
    if (options.first_probe_ms == 0)
        options.first_probe_ms = 1;
    if (options.most_probe_ms == 0)
        options.most_probe_ms = 4;
    assert_int_equal(frt_backend_fake_new(cpu_models, 3, &options.fallback, NULL), FRT_OK);
    assert_int_equal(frt_backend_failover_new(&options, &backend, NULL), FRT_OK);
}

static struct frt_session *open_model(const char *file)
{
    struct frt_session *session = NULL;
    const struct frt_model_source source = {.path = file, .name = file};
    assert_int_equal(frt_session_open_source(backend, &source, &session, NULL), FRT_OK);
    return session;
}

static enum frt_status run_with(const struct frt_session *session, float first, float *out,
                                struct frt_error *err)
{
    const float values[] = {first, 7};
    const struct frt_tensor input = {.data = values, .dims = {1, 2}, .n_dims = 2};
    struct frt_outputs outputs;
    enum frt_status status = frt_session_run(session, &input, 1, &outputs, err);
    if (status == FRT_OK) {
        *out = outputs.tensors[0].data[0];
        frt_outputs_release(&outputs);
    }
    return status;
}

/* A run is answered, and right. */
static void answers(const struct frt_session *session)
{
    static float first = 3;
    float out = 0;
    first += 1;
    assert_int_equal(run_with(session, first, &out, NULL), FRT_OK);
    assert_true(out == 2 * first);
}

static struct frt_backend_state state_now(void)
{
    struct frt_backend_state state[4];
    assert_int_equal(frt_backend_states(backend, state, 4), 1);
    return state[0];
}

static bool is_on(const struct frt_session *session, const char *device)
{
    return strcmp(frt_session_device(session), device) == 0;
}

/* What must come in the end, without a word on how soon. */
#define EVENTUALLY(condition)                                                                                  \
    do {                                                                                                       \
        const int64_t began = frt_now_ns();                                                                    \
        while (!(condition)) {                                                                                 \
            assert_true(frt_elapsed_ms(began) < WAIT_S * 1000.0);                                              \
            (void)usleep(500);                                                                                 \
        }                                                                                                      \
    } while (0)

/* ----------------------------------------------------------------- tests */

static void a_device_that_is_well_answers(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    answers(session); /* the first answer is compared: both run */
    assert_int_equal(atomic_load(&cpu_runs), 1);
    answers(session);
    answers(session);
    assert_int_equal(atomic_load(&cpu_runs), 1);
    assert_int_equal(atomic_load(&gpu.runs), 3);
    assert_true(is_on(session, "gpu:0"));
    struct frt_backend_state s = state_now();
    assert_string_equal(s.state, "up");
    assert_string_equal(s.serving, "gpu:0");
    assert_int_equal(s.models, 1);
    assert_int_equal(s.on_device, 1);
    assert_int_equal(s.runs, 3);
    assert_true(s.falls == 0 && s.down_s < 0 && s.next_probe_s < 0);
    assert_int_equal(logged("event=device"), 0);
    frt_session_free(session);
}

static void no_device_at_start(void **state)
{
    (void)state;
    atomic_store(&gpu.make, FRT_ERUNTIME);
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    answers(session);
    assert_true(is_on(session, "cpu"));
    assert_string_equal(state_now().serving, "cpu");
    EVENTUALLY(state_now().probes >= 3);
    assert_non_null(strstr(state_now().cause, "no device"));
    answers(session);
    assert_int_equal(logged("state=down"), 1);
    atomic_store(&gpu.make, FRT_OK);
    EVENTUALLY(is_on(session, "gpu:0"));
    answers(session);
    assert_int_equal(state_now().returns, 1);
    EVENTUALLY(logged("state=up") == 1);
    assert_int_equal(logged("state=down"), 1);
    frt_session_free(session);
}

static void a_fall_at_load(void **state)
{
    (void)state;
    atomic_store(&gpu.open, FRT_ERUNTIME);
    make_failover(NULL);
    struct frt_session *one = open_model("small.onnx"), *two = open_model("large.onnx");
    answers(one);
    answers(two);
    assert_int_equal(logged("state=down"), 1);
    assert_int_equal(atomic_load(&gpu.runs), 0);
    atomic_store(&gpu.open, FRT_OK);
    EVENTUALLY(is_on(one, "gpu:0") && is_on(two, "gpu:0"));
    answers(one);
    answers(two);
    assert_int_equal(state_now().falls, 1);
    frt_session_free(one);
    frt_session_free(two);
}

static void a_fall_at_the_first_run(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *one = open_model("small.onnx"), *two = open_model("large.onnx");
    atomic_store(&gpu.run, FRT_ERUNTIME);
    answers(one); /* this very run */
    EVENTUALLY(state_now().probes > 0);
    assert_true(is_on(one, "cpu"));
    assert_true(is_on(two, "cpu")); /* a lost device is lost for all */
    answers(two);
    assert_int_equal(logged("state=down"), 1);
    assert_non_null(strstr(state_now().cause, "injected: run"));
    atomic_store(&gpu.run, FRT_OK);
    EVENTUALLY(is_on(one, "gpu:0") && is_on(two, "gpu:0"));
    answers(one);
    frt_session_free(one);
    frt_session_free(two);
}

static void a_fall_later(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    for (int i = 0; i < 10; i++)
        answers(session);
    int64_t opens = atomic_load(&gpu.opens);
    atomic_store(&gpu.run, FRT_EINTERNAL); /* any status that is not told apart */
    for (int i = 0; i < 10; i++)
        answers(session);
    atomic_store(&gpu.run, FRT_OK);
    EVENTUALLY(is_on(session, "gpu:0"));
    assert_true(atomic_load(&gpu.opens) > opens); /* opened anew, not trusted again */
    answers(session);
    assert_int_equal(logged("state=down"), 1);
    EVENTUALLY(logged("state=up") == 1);
    frt_session_free(session);
}

static void memory_is_short_for_one_model(void **state)
{
    (void)state;
    atomic_store(&gpu.open_large, FRT_ENOMEM);
    make_failover(NULL);
    struct frt_session *small = open_model("small.onnx"), *large = open_model("large.onnx");
    answers(small);
    answers(large);
    assert_true(is_on(small, "gpu:0"));
    assert_true(is_on(large, "cpu"));
    assert_string_equal(state_now().state, "up");
    assert_int_equal(state_now().on_device, 1);
    assert_int_equal(state_now().model_falls, 1);
    EVENTUALLY(state_now().probes >= 3);
    assert_int_equal(logged("state=\"model down\""), 1);
    atomic_store(&gpu.open_large, FRT_OK);
    EVENTUALLY(is_on(large, "gpu:0"));
    answers(large);

    atomic_store(&gpu.run_large, FRT_ENOMEM); /* and at a run */
    answers(large);
    answers(small);
    assert_true(is_on(small, "gpu:0"));
    assert_int_equal(state_now().falls, 0);
    assert_int_equal(state_now().model_falls, 2);
    atomic_store(&gpu.run_large, FRT_OK);
    EVENTUALLY(is_on(large, "gpu:0"));
    frt_session_free(small);
    frt_session_free(large);
}

static void a_model_that_the_device_does_not_take(void **state)
{
    (void)state;
    atomic_store(&gpu.open_large, FRT_EBAD_MODEL);
    make_failover(NULL);
    struct frt_session *small = open_model("small.onnx"), *large = open_model("large.onnx");
    struct frt_session *eight = NULL;
    const struct frt_model_source source = {.path = "large.onnx", .cpu_only = true};
    int opens = atomic_load(&gpu.opens);
    assert_int_equal(frt_session_open_source(backend, &source, &eight, NULL), FRT_OK);
    assert_int_equal(atomic_load(&gpu.opens), opens); /* not even asked */
    answers(small);
    answers(large);
    answers(eight);
    assert_true(is_on(small, "gpu:0") && is_on(large, "cpu") && is_on(eight, "cpu"));
    assert_int_equal(logged("state=\"model not taken\""), 2);
    assert_true(state_now().next_probe_s < 0); /* nothing to wait for */
    assert_int_equal(state_now().probes, 0);
    /* a fall and a return leave it where it is */
    atomic_store(&gpu.run, FRT_ERUNTIME);
    answers(small);
    atomic_store(&gpu.run, FRT_OK);
    EVENTUALLY(is_on(small, "gpu:0"));
    assert_true(is_on(large, "cpu") && is_on(eight, "cpu"));
    frt_session_free(small);
    frt_session_free(large);
    frt_session_free(eight);
}

static void a_model_that_the_device_turns_out_not_to_take(void **state)
{
    (void)state;
    atomic_store(&gpu.make, FRT_ERUNTIME);
    atomic_store(&gpu.open_large, FRT_EBAD_MODEL);
    make_failover(NULL);
    struct frt_session *small = open_model("small.onnx"), *large = open_model("large.onnx");
    atomic_store(&gpu.make, FRT_OK);
    EVENTUALLY(is_on(small, "gpu:0"));
    EVENTUALLY(logged("state=\"model not taken\"") == 1);
    assert_true(state_now().next_probe_s < 0);
    assert_true(is_on(large, "cpu"));
    frt_session_free(small);
    frt_session_free(large);
}

static enum frt_status halves(const char *path, enum frt_graph graph, uint8_t **bytes, size_t *size,
                              struct frt_error *err)
{
    (void)path;
    *bytes = graph == FRT_GRAPH_HALF ? (uint8_t *)frt_strdup("half") : NULL;
    *size = 4;
    return graph == FRT_GRAPH_HALF && *bytes == NULL ? frt_fail_nomem(err, "halves") : FRT_OK;
}

static struct frt_session *open_with_halves(void)
{
    struct frt_session *session = NULL;
    const struct frt_model_source source = {.path = "small.onnx", .name = "small.onnx", .prepare = halves};
    assert_int_equal(frt_session_open_source(backend, &source, &session, NULL), FRT_OK);
    return session;
}

static void halves_that_agree_stay(void **state)
{
    (void)state;
    atomic_store(&gpu.half, true);
    make_failover(NULL);
    struct frt_session *session = open_with_halves();
    for (int i = 0; i < 3; i++)
        answers(session);
    assert_true(is_on(session, "gpu:0"));
    assert_int_equal(atomic_load(&gpu.half_opens), 1);
    assert_int_equal(atomic_load(&gpu.half_runs), 3);
    assert_int_equal(state_now().model_falls, 0);
    atomic_store(&gpu.half, false);
    frt_session_free(session);
}

static void a_device_without_halves_computes_in_whole(void **state)
{
    (void)state;
    atomic_store(&gpu.half, true);
    atomic_store(&gpu.no_half, true);
    make_failover(NULL);
    struct frt_session *session = open_with_halves();
    answers(session);
    assert_true(is_on(session, "gpu:0"));
    assert_int_equal(atomic_load(&gpu.half_opens), 1);
    assert_int_equal(atomic_load(&gpu.half_runs), 0);
    assert_int_equal(state_now().model_falls, 0);
    assert_int_equal(logged("state=\"model in fp32\""), 1);
    frt_session_free(session);
}

/* A graph in f16 that drifts: the CPU's answer goes out, and the device computes it in f32 from then on. */
static void halves_that_drift_become_whole(void **state)
{
    (void)state;
    atomic_store(&gpu.half, true);
    atomic_store(&gpu.half_wrong, true);
    make_failover(NULL);
    struct frt_session *session = open_with_halves();
    answers(session);
    EVENTUALLY(is_on(session, "gpu:0"));
    for (int i = 0; i < 3; i++)
        answers(session);
    assert_int_equal(atomic_load(&gpu.half_opens), 1); /* not tried again */
    assert_int_equal(atomic_load(&gpu.half_runs), 1);
    assert_true(atomic_load(&gpu.runs) >= 3);
    assert_int_equal(state_now().model_falls, 1);
    assert_int_equal(state_now().falls, 0);
    /* nor after the device was lost */
    atomic_store(&gpu.run, FRT_ERUNTIME);
    answers(session);
    atomic_store(&gpu.run, FRT_OK);
    EVENTUALLY(is_on(session, "gpu:0"));
    answers(session);
    assert_int_equal(atomic_load(&gpu.half_opens), 1);
    frt_session_free(session);
}

/* Found out by the prober, at the first opening of all, too: it is no model that the device does not take. */
static void halves_that_drift_at_a_look_become_whole(void **state)
{
    (void)state;
    atomic_store(&gpu.half, true);
    atomic_store(&gpu.half_wrong, true);
    make_failover(&(struct frt_failover_options){.later = true});
    struct frt_session *session = open_with_halves();
    answers(session);
    EVENTUALLY(is_on(session, "gpu:0"));
    answers(session);
    assert_int_equal(logged("state=\"model not taken\""), 0);
    assert_int_equal(atomic_load(&gpu.half_runs), 1);
    frt_session_free(session);
}

/* For who measures the fallback. */
static void the_fallback_alone_may_be_asked(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    answers(session);
    const int before = atomic_load(&gpu.runs), cpu_before = atomic_load(&cpu_runs);
    frt_infer_fallback_only_set(true);
    answers(session);
    frt_infer_fallback_only_set(false);
    assert_int_equal(atomic_load(&gpu.runs), before);
    assert_int_equal(atomic_load(&cpu_runs), cpu_before + 1);
    answers(session);
    assert_int_equal(atomic_load(&gpu.runs), before + 1);
    frt_session_free(session);
}

static void mistakes_and_poison_move_nothing(void **state)
{
    (void)state;
    float out = 0;
    struct frt_error err = {0};
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    answers(session);
    assert_int_equal(run_with(session, -1, &out, &err), FRT_EINVAL);
    assert_int_equal(run_with(session, -2, &out, &err), FRT_ERUNTIME);
    assert_string_equal(err.text, "poison");
    const float values[4] = {0};
    struct frt_outputs outputs;
    const struct frt_tensor misfit = {.data = values, .dims = {1, 4}, .n_dims = 2};
    assert_int_equal(frt_session_run(session, &misfit, 1, &outputs, &err), FRT_EINVAL);
    assert_true(is_on(session, "gpu:0"));
    struct frt_backend_state s = state_now();
    assert_true(s.falls == 0 && s.model_falls == 0);
    answers(session);
    frt_session_free(session);
}

static void a_busy_device_and_a_caller_out_of_time(void **state)
{
    (void)state;
    float out = 0;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    answers(session);
    atomic_store(&gpu.run, FRT_EOVERLOADED);
    answers(session);
    assert_true(is_on(session, "gpu:0"));
    assert_int_equal(state_now().spills, 1);
    int before = atomic_load(&cpu_runs);
    atomic_store(&gpu.run, FRT_ETIMEOUT);
    assert_int_equal(run_with(session, 5, &out, NULL), FRT_ETIMEOUT);
    atomic_store(&gpu.run, FRT_ECANCELLED);
    assert_int_equal(run_with(session, 5, &out, NULL), FRT_ECANCELLED);
    assert_int_equal(atomic_load(&cpu_runs), before); /* nobody waits for it */
    assert_true(is_on(session, "gpu:0"));
    assert_int_equal(state_now().falls, 0);
    frt_session_free(session);
}

static void shapes_that_only_the_cpu_takes(void **state)
{
    (void)state;
    const float values[4] = {1, 2, 3, 4};
    struct frt_outputs outputs;
    struct frt_error err = {0};
    make_failover(NULL);
    struct frt_session *session = open_model("narrow.onnx");
    assert_int_equal(session->info.inputs[0].dims[0], 1); /* the narrower of the two */
    answers(session);
    const struct frt_tensor two = {.data = values, .dims = {2, 2}, .n_dims = 2};
    assert_int_equal(frt_session_run(session, &two, 1, &outputs, &err), FRT_EINVAL);
    frt_session_free(session);

    /* opened while the device is away, the model takes what the CPU takes, and goes on doing so */
    atomic_store(&gpu.make, FRT_ERUNTIME);
    frt_backend_free(backend);
    make_failover(NULL);
    session = open_model("narrow.onnx");
    atomic_store(&gpu.make, FRT_OK);
    EVENTUALLY(is_on(session, "gpu:0"));
    assert_int_equal(frt_session_run(session, &two, 1, &outputs, &err), FRT_OK);
    assert_true(outputs.tensors[0].data[3] == 8);
    frt_outputs_release(&outputs);
    assert_int_equal(state_now().spills, 1);
    answers(session);
    frt_session_free(session);
}

static void wrong_answers_do_not_go_out(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    atomic_store(&gpu.wrong, true);
    answers(session);
    answers(session);
    assert_true(is_on(session, "cpu"));
    assert_int_equal(state_now().model_falls, 1);
    assert_non_null(strstr(state_now().cause, "cosine -1.0000"));
    EVENTUALLY(state_now().probes >= 3); /* nor do those of a session that is opened anew */
    assert_true(is_on(session, "cpu"));
    atomic_store(&gpu.wrong, false);
    EVENTUALLY(is_on(session, "gpu:0"));
    answers(session);
    frt_session_free(session);
}

static void a_device_that_comes_and_goes(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    for (int i = 0; i < 5; i++) {
        answers(session);
        atomic_store(&gpu.run, FRT_ERUNTIME);
        for (int k = 0; k < 3; k++)
            answers(session);
        atomic_store(&gpu.run, FRT_OK);
        EVENTUALLY(is_on(session, "gpu:0"));
    }
    assert_int_equal(state_now().falls, 5);
    assert_int_equal(state_now().returns, 5);
    assert_int_equal(logged("state=down"), 5);
    EVENTUALLY(logged("state=up") == 5);
    frt_session_free(session);
}

static void waits_double_and_are_forgotten(void **state)
{
    (void)state;
    struct failover self = {.options = {.first_probe_ms = 100, .most_probe_ms = 1000, .forget_ms = 5000}};
    struct failover_again again = {0};
    static const uint32_t wanted[] = {100, 200, 400, 800, 1000, 1000};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int64_t before = failover_now_ms();
        failover_schedule_locked(&self, &again);
        assert_int_equal(again.delay_ms, wanted[i]);
        assert_true(again.due_ms >= before + wanted[i] * 3 / 4);
        assert_true(again.due_ms <= failover_now_ms() + wanted[i]);
        again.since_ms = i % 2 == 0 ? 0 : failover_now_ms(); /* a return that does not hold */
    }
    again.since_ms = failover_now_ms() - 6000;
    failover_schedule_locked(&self, &again);
    assert_int_equal(again.delay_ms, 100);
}

static void a_device_that_never_comes_back(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    answers(session);
    atomic_store(&gpu.run, FRT_ERUNTIME);
    answers(session);
    EVENTUALLY(state_now().probes >= 8);
    for (int i = 0; i < 50; i++)
        answers(session);
    assert_int_equal(logged("event=device"), 1);
    assert_int_equal(state_now().falls, 1);
    assert_true(state_now().down_s >= 0);
    frt_session_free(session);
}

static void nobody_waits_for_a_slow_probe(void **state)
{
    (void)state;
    make_failover(NULL);
    struct frt_session *one = open_model("small.onnx"), *two = open_model("large.onnx");
    answers(one);
    atomic_store(&gpu.gate_open, false);
    atomic_store(&gpu.run, FRT_ERUNTIME);
    answers(one);
    atomic_store(&gpu.run, FRT_OK);
    EVENTUALLY(atomic_load(&gpu.at_gate) == 1); /* it hangs in open */
    for (int i = 0; i < 20; i++) {
        answers(one);
        answers(two);
    }
    struct frt_session *three = open_model("small.onnx"); /* nor does who loads a model */
    answers(three);
    frt_session_free(two); /* nor who frees one that is being looked at, or was */
    frt_session_free(one);
    atomic_store(&gpu.gate_open, true);
    EVENTUALLY(is_on(three, "gpu:0"));
    answers(three);
    frt_session_free(three);
}

static void outputs_outlive_a_fall(void **state)
{
    (void)state;
    const float values[] = {21, 1};
    const struct frt_tensor input = {.data = values, .dims = {1, 2}, .n_dims = 2};
    struct frt_outputs kept;
    make_failover(NULL);
    struct frt_session *session = open_model("small.onnx");
    answers(session);
    assert_int_equal(frt_session_run(session, &input, 1, &kept, NULL), FRT_OK);
    atomic_store(&gpu.run, FRT_ERUNTIME);
    answers(session);
    atomic_store(&gpu.run, FRT_OK);
    EVENTUALLY(is_on(session, "gpu:0")); /* the session that computed them is gone from the slot */
    assert_true(kept.tensors[0].data[0] == 42);
    frt_outputs_release(&kept);
    frt_outputs_release(&kept);
    frt_session_free(session);
}

static void models_opened_later(void **state)
{
    (void)state;
    atomic_store(&gpu.gate_open, false);
    make_failover(&(struct frt_failover_options){.later = true});
    struct frt_session *session = open_model("small.onnx"); /* at once, though the gate is closed */
    answers(session);
    assert_true(is_on(session, "cpu"));
    atomic_store(&gpu.gate_open, true);
    EVENTUALLY(is_on(session, "gpu:0"));
    answers(session);
    assert_true(state_now().falls == 0 && state_now().returns == 0);
    assert_int_equal(logged("level=warn"), 0);
    frt_session_free(session);

    frt_backend_free(backend);
    atomic_store(&gpu.make, FRT_ERUNTIME);
    make_failover(&(struct frt_failover_options){.later = true});
    session = open_model("small.onnx");
    EVENTUALLY(state_now().falls == 1);
    answers(session);
    EVENTUALLY(state_now().probes >= 2);
    assert_int_equal(logged("state=down"), 1);
    atomic_store(&gpu.make, FRT_OK);
    EVENTUALLY(is_on(session, "gpu:0"));
    frt_session_free(session);
}

static void a_model_without_a_fallback(void **state)
{
    (void)state;
    float out = 0;
    struct frt_error err = {0};
    make_failover(NULL);
    struct frt_session *session = open_model("served.onnx"), *none = NULL;
    answers(session);
    assert_int_equal(logged("model without fallback"), 1);
    atomic_store(&gpu.run, FRT_ERUNTIME);
    assert_int_equal(run_with(session, 1, &out, &err), FRT_ERUNTIME);
    assert_string_equal(err.text, "injected: run");
    atomic_store(&gpu.run, FRT_OK);
    answers(session);
    frt_session_free(session);
    /* a model that nobody has is the caller's mistake */
    const struct frt_model_source source = {.path = "nowhere.onnx"};
    assert_int_equal(frt_session_open_source(backend, &source, &none, &err), FRT_ENOTFOUND);
    assert_int_equal(state_now().falls, 0);
    assert_null(none);
}

static void two_devices_in_a_row(void **state)
{
    (void)state;
    struct frt_backend_state states[3];
    make_failover(NULL);
    struct frt_failover_options outer = {.fallback = backend, .device = "server", .first_probe_ms = 1};
    assert_int_equal(frt_backend_fake_new(gpu_models, 4, &outer.primary, NULL), FRT_OK);
    assert_int_equal(frt_backend_failover_new(&outer, &backend, NULL), FRT_OK);
    struct frt_session *session = open_model("small.onnx");
    answers(session);
    assert_true(is_on(session, "server"));
    assert_int_equal(frt_backend_states(backend, states, 3), 2);
    assert_string_equal(states[0].device, "server");
    assert_string_equal(states[1].device, "gpu:0");
    assert_string_equal(states[0].serving, "server");
    assert_int_equal(frt_backend_states(backend, states, 1), 1);
    atomic_store(&gpu.run, FRT_ERUNTIME); /* both are the same fake: server, then GPU, then CPU */
    answers(session);
    answers(session);
    assert_int_equal(frt_backend_states(backend, states, 3), 2);
    assert_string_equal(states[0].serving, "cpu");
    assert_true(is_on(session, "cpu"));
    frt_session_free(session);
}

static atomic_bool stop_running;
static atomic_int wrong_answers;

static void *run_often(void *arg)
{
    const struct frt_session *session = arg;
    for (int i = 1; !atomic_load(&stop_running); i++) {
        float out = 0;
        if (run_with(session, (float)(i % 1000) + 1, &out, NULL) != FRT_OK ||
            out != 2 * ((float)(i % 1000) + 1))
            (void)atomic_fetch_add(&wrong_answers, 1);
        (void)usleep(20);
    }
    return NULL;
}

static void *open_often(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop_running)) {
        struct frt_session *session = NULL;
        const struct frt_model_source source = {.path = "large.onnx"};
        float out = 0;
        if (frt_session_open_source(backend, &source, &session, NULL) != FRT_OK ||
            run_with(session, 4, &out, NULL) != FRT_OK || out != 8)
            (void)atomic_fetch_add(&wrong_answers, 1);
        frt_session_free(session);
        (void)usleep(300);
    }
    return NULL;
}

static void callers_while_it_falls(void **state)
{
    (void)state;
    static const int statuses[] = {FRT_ERUNTIME, FRT_ENOMEM, FRT_EOVERLOADED, FRT_EBAD_MODEL, FRT_EUNAVAILABLE};
    pthread_t threads[5];
    make_failover(NULL);
    struct frt_session *one = open_model("small.onnx"), *two = open_model("large.onnx");
    atomic_store(&stop_running, false);
    atomic_store(&wrong_answers, 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i == 4 ? open_often : run_often, i % 2 ? one : two),
                         0);
    for (int i = 0; i < 40; i++) {
        atomic_store(&gpu.run, statuses[i % 5]);
        (void)usleep(2000);
        atomic_store(&gpu.run, FRT_OK);
        (void)usleep(4000);
    }
    EVENTUALLY(is_on(one, "gpu:0") && is_on(two, "gpu:0"));
    atomic_store(&stop_running, true);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&wrong_answers), 0);
    assert_true(state_now().falls > 0 && state_now().returns > 0);
    assert_int_equal(state_now().models, 2);
    frt_session_free(one);
    frt_session_free(two);
}

static void memory_fails_at_every_place(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct frt_failover_options options = {.make = make_gpu, .device = "gpu:0", .first_probe_ms = 10000};
        struct frt_session *session = NULL;
        const struct frt_model_source source = {.path = "small.onnx", .name = "small", .version = "1"};
        float out = 0;
        assert_int_equal(frt_backend_fake_new(cpu_models, 3, &options.fallback, NULL), FRT_OK);
        frt_mem_fail_after(n);
        enum frt_status status = frt_backend_failover_new(&options, &backend, NULL);
        if (status == FRT_OK)
            status = frt_session_open_source(backend, &source, &session, NULL);
        if (status == FRT_OK)
            status = run_with(session, 4, &out, NULL);
        const bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        assert_true(status == FRT_ENOMEM || (status == FRT_OK && out == 8));
        frt_session_free(session);
        frt_backend_free(backend);
        backend = NULL;
        if (all)
            break;
        assert_true(n < 100);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_device_that_is_well_answers),
        TEST(no_device_at_start),
        TEST(a_fall_at_load),
        TEST(a_fall_at_the_first_run),
        TEST(a_fall_later),
        TEST(memory_is_short_for_one_model),
        TEST(a_model_that_the_device_does_not_take),
        TEST(a_model_that_the_device_turns_out_not_to_take),
        TEST(mistakes_and_poison_move_nothing),
        TEST(a_busy_device_and_a_caller_out_of_time),
        TEST(shapes_that_only_the_cpu_takes),
        TEST(wrong_answers_do_not_go_out),
        TEST(halves_that_agree_stay),
        TEST(a_device_without_halves_computes_in_whole),
        TEST(halves_that_drift_become_whole),
        TEST(halves_that_drift_at_a_look_become_whole),
        TEST(the_fallback_alone_may_be_asked),
        TEST(a_device_that_comes_and_goes),
        TEST(waits_double_and_are_forgotten),
        TEST(a_device_that_never_comes_back),
        TEST(nobody_waits_for_a_slow_probe),
        TEST(outputs_outlive_a_fall),
        TEST(models_opened_later),
        TEST(a_model_without_a_fallback),
        TEST(two_devices_in_a_row),
        TEST(callers_while_it_falls),
        TEST(memory_fails_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
