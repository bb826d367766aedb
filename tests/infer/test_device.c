/* Names of devices, and what is said of one that is not here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "infer/infer.h"

static void names(void **state)
{
    static const struct {
        const char *text, *name;
    } good[] = {{NULL, "cpu"},
                {"", "cpu"},
                {"cpu", "cpu"},
                {"auto", "auto"},
                {"cuda", "cuda:0"},
                {"CUDA:1", "cuda:1"},
                {"tensorrt:2", "tensorrt:2"},
                {"WebGPU", "webgpu:0"},
                {"cuda:63", "cuda:63"}};
    static const struct {
        const char *text, *said;
    } bad[] = {{"cudda", "did you mean cuda?"},
               {"gpu", "auto, cpu, cuda"},
               {"cuda:", "0 to 63"},
               {"cuda:64", "0 to 63"},
               {"cuda:-1", "0 to 63"},
               {"cuda:1x", "0 to 63"},
               {"cuda:001", "0 to 63"},
               {"cpu:0", "no index"},
               {"auto:1", "no index"},
               {"cuda 1", "auto, cpu, cuda"},
               {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "auto, cpu, cuda"}};
    char name[FRT_DEVICE_NAME_MAX];
    struct frt_error err;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct frt_device device = {FRT_DEVICE_WEBGPU, 7};
        assert_int_equal(frt_device_parse(good[i].text, &device, NULL), FRT_OK);
        assert_string_equal(frt_device_name(&device, name), good[i].name);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct frt_device device = {FRT_DEVICE_WEBGPU, 7};
        assert_int_equal(frt_device_parse(bad[i].text, &device, &err), FRT_EINVAL);
        assert_non_null(strstr(err.text, bad[i].said));
        assert_true(device.kind == FRT_DEVICE_WEBGPU && device.index == 7);
    }
}

/* Each is here, or is said to be missing with something to do about it; what is missing cannot be opened. */
static void what_is_missing(void **state)
{
    static const enum frt_device_kind kinds[] = {FRT_DEVICE_CUDA, FRT_DEVICE_TENSORRT, FRT_DEVICE_WEBGPU};
    struct frt_onnxruntime_options options = {.threads = 1};
    struct frt_error err;
    struct frt_backend *backend = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct frt_device device = {kinds[i], 0};
        err.text[0] = '\0';
        if (frt_onnxruntime_device_check(&options, &device, &err) == FRT_OK) {
            print_message("device %d could be used here\n", (int)kinds[i]);
            continue;
        }
        print_message("%s\n", err.text);
        options.device = device;
        assert_int_equal(frt_backend_onnxruntime_new(&options, &backend, &err), FRT_ERUNTIME);
        assert_null(backend);
    }
    /* an index that a graphics driver has not */
    const struct frt_device second = {FRT_DEVICE_WEBGPU, 1};
    assert_int_equal(frt_onnxruntime_device_check(&options, &second, &err), FRT_ERUNTIME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(what_is_missing)};
    struct frt_backend *backend = NULL;
    struct frt_error err;
    if (frt_backend_onnxruntime_new(NULL, &backend, &err) != FRT_OK) {
        (void)printf("SKIP: %s\n", err.text);
        return 77;
    }
    frt_backend_free(backend);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
