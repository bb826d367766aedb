/*
 * WebGPU on a software driver: the same answers as the CPU's, and a driver that fails in the driver's own way.
 * Skipped where Debian's chromium or the default pack is absent, or the runtime has no WebGPU.
 *
 * The test starts itself again with the environment of software_vulkan.h: the loader looks at it only once.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "infer/failover.h"
#include "model/model_file.h"
#include "model/pass_compute_half.h"
#include "software_vulkan.h"

enum { WAIT_S = 300 /* a first run compiles for seconds, and the machine may be busy */ };

/* The smallest net of the pack: every run of it on the software driver takes a fraction of a second. */
static const char *const model = "data/packs/default/liveness.onnx";
static uint64_t limit = (uint64_t)4 << 30;
static bool half; /* what is asked of the device */
static enum frt_status (*prepare)(const char *path, enum frt_graph graph, uint8_t **bytes, size_t *size,
                                  struct frt_error *err);
static struct frt_backend *backend;
static struct frt_session *session;
static float *pixels;
static struct frt_tensor input;

static enum frt_status make(void *arg, struct frt_backend **out, struct frt_error *err)
{
    (void)arg;
    const struct frt_onnxruntime_options options = {
        .threads = 1, .device = {FRT_DEVICE_WEBGPU, 0}, .memory_limit_bytes = limit, .half = half};
    return frt_backend_onnxruntime_new(&options, out, err);
}

static void begin(void)
{
    const struct frt_onnxruntime_options cpu = {.threads = 1};
    struct frt_failover_options options = {
        .make = make, .device = "webgpu:0", .first_probe_ms = 100, .most_probe_ms = 400};
    const struct frt_model_source source = {.path = model, .name = "liveness", .prepare = prepare};
    assert_int_equal(frt_backend_onnxruntime_new(&cpu, &options.fallback, NULL), FRT_OK);
    assert_int_equal(frt_backend_failover_new(&options, &backend, NULL), FRT_OK);
    assert_int_equal(frt_session_open_source(backend, &source, &session, NULL), FRT_OK);
}

static void end(void)
{
    frt_session_free(session);
    frt_backend_free(backend);
}

static struct frt_backend_state state_now(void)
{
    struct frt_backend_state state;
    assert_int_equal(frt_backend_states(backend, &state, 1), 1);
    return state;
}

static void wait_for(const char *device)
{
    const int64_t began = frt_now_ns();
    while (strcmp(frt_session_device(session), device) != 0) {
        assert_true(frt_elapsed_ms(began) < WAIT_S * 1000.0);
        (void)usleep(2000);
    }
}

/* One run; its outputs, all of them. Returns how many. */
static size_t answer(float *out, size_t max)
{
    struct frt_outputs outputs;
    struct frt_error err = {0};
    size_t n = 0;
    if (frt_session_run(session, &input, 1, &outputs, &err) != FRT_OK)
        fail_msg("a run was dropped: %s", err.text);
    for (uint32_t i = 0; i < outputs.n; i++)
        for (size_t k = 0; k < frt_tensor_size(&outputs.tensors[i]) && n < max; k++)
            out[n++] = outputs.tensors[i].data[k];
    frt_outputs_release(&outputs);
    return n;
}

static void same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(fabsf(a[i] - b[i]) < 1e-4F);
}

static void a_driver_that_comes_goes_and_comes_back(void **state)
{
    float cpu[64], gpu[64];
    (void)state;
    software_vulkan_fault("absent");
    begin();
    const size_t n = answer(cpu, 64);
    assert_true(n > 0);
    assert_string_equal(state_now().serving, "cpu");
    assert_non_null(strstr(state_now().cause, "no Vulkan device"));
    software_vulkan_fault("");
    wait_for("webgpu:0");
    assert_int_equal(answer(gpu, 64), n);
    same(cpu, gpu, n);
    assert_true(state_now().runs > 0);

    software_vulkan_fault("lost"); /* the driver loses the device under a run */
    assert_int_equal(answer(gpu, 64), n);
    same(cpu, gpu, n);
    assert_string_equal(frt_session_device(session), "cpu");
    assert_non_null(strstr(state_now().cause, "lost"));
    assert_int_equal(state_now().falls, 2);
    software_vulkan_fault("");
    wait_for("webgpu:0");
    assert_int_equal(answer(gpu, 64), n);
    same(cpu, gpu, n);

    software_vulkan_fault("memory"); /* and has none */
    assert_int_equal(answer(gpu, 64), n);
    same(cpu, gpu, n);
    assert_string_equal(frt_session_device(session), "cpu");
    assert_int_equal(state_now().falls + state_now().model_falls, 3);
    software_vulkan_fault("");
    end();
}

static enum frt_status in_half(const char *path, enum frt_graph graph, uint8_t **bytes, size_t *size,
                               struct frt_error *err)
{
    const void *file = NULL;
    size_t file_size = 0;
    uint32_t n = 0;
    *bytes = NULL;
    if (graph != FRT_GRAPH_HALF)
        return FRT_OK;
    enum frt_status status = frt_model_file_map(path, 1 << 24, &file, &file_size, err);
    if (status == FRT_OK)
        status = frt_rewrite_in_half(file, file_size, bytes, size, &n, err);
    frt_model_file_unmap(file, file_size);
    return status;
}

/* The software driver has no f16: it refuses the graph, and computes in f32. One that has it computes in f16.
 */
static void half_precision_where_it_is_had(void **state)
{
    float cpu[64], gpu[64];
    (void)state;
    software_vulkan_fault("absent");
    half = true;
    prepare = in_half;
    begin();
    const size_t n = answer(cpu, 64);
    software_vulkan_fault("");
    wait_for("webgpu:0");
    assert_int_equal(answer(gpu, 64), n);
    for (size_t i = 0; i < n; i++)
        assert_true(fabsf(cpu[i] - gpu[i]) < 5e-3F);
    end();
    half = false;
    prepare = NULL;
}

static void a_limit_that_is_too_small(void **state)
{
    float out[64];
    (void)state;
    software_vulkan_fault("");
    limit = 1 << 16;
    begin();
    assert_string_equal(frt_session_device(session), "cpu");
    assert_string_equal(state_now().state, "up"); /* the device is well */
    assert_int_equal(state_now().model_falls, 1);
    assert_non_null(strstr(state_now().cause, "gpu_memory_limit"));
    assert_true(answer(out, 64) > 0);
    end();
    limit = (uint64_t)4 << 30;
}

static int make_input(void **state)
{
    struct frt_backend *cpu = NULL;
    struct frt_session *plain = NULL;
    (void)state;
    if (frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &cpu, NULL) != FRT_OK ||
        frt_session_open(cpu, model, &plain, NULL) != FRT_OK)
        return 1;
    input.n_dims = plain->info.inputs[0].n_dims;
    for (uint32_t d = 0; d < input.n_dims; d++)
        input.dims[d] = plain->info.inputs[0].dims[d] < 0 ? 1 : plain->info.inputs[0].dims[d];
    const size_t n = frt_tensor_size(&input);
    pixels = frt_alloc_array(n, sizeof *pixels);
    for (size_t i = 0; pixels != NULL && i < n; i++)
        pixels[i] = (float)((i * 2654435761U >> 8) % 1024) / 512.0F - 1;
    input.data = pixels;
    frt_session_free(plain);
    frt_backend_free(cpu);
    return pixels == NULL;
}

static int free_input(void **state)
{
    (void)state;
    frt_free(pixels);
    return 0;
}

/* Whether the runtime can have the device at all. */
static bool is_usable(void)
{
    struct frt_error err = {0};
    const struct frt_onnxruntime_options options = {.threads = 1};
    const struct frt_device device = {FRT_DEVICE_WEBGPU, 0};
    if (access(model, R_OK) != 0)
        (void)printf("SKIP: %s is not there (make pack)\n", model);
    else if (frt_onnxruntime_device_check(&options, &device, &err) != FRT_OK)
        (void)printf("SKIP: %s\n", err.text);
    else
        return true;
    return false;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_driver_that_comes_goes_and_comes_back),
                                       cmocka_unit_test(half_precision_where_it_is_had),
                                       cmocka_unit_test(a_limit_that_is_too_small)};
    if (argc == 2) { /* the folder of the shim: set up, and again */
        pid_t child;
        int status = 0;
        if (!software_vulkan_set_up(argv[1]))
            return 77;
        if ((child = fork()) == 0) {
            (void)execl("/proc/self/exe", argv[0], (char *)NULL);
            _exit(127);
        }
        if (child < 0 || waitpid(child, &status, 0) != child)
            status = 1 << 8;
        software_vulkan_tear_down();
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    const char *fault = getenv("VULKAN_SHIM_FAULT");
    if (fault == NULL || !is_usable())
        return 77;
    (void)snprintf(software_vulkan_fault_file, sizeof software_vulkan_fault_file, "%s", fault);
    return cmocka_run_group_tests(tests, make_input, free_input);
}
