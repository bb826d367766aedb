/* Weights of TensorFlow.js: values, layouts of the files, and every way a manifest can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/tfjs_weights.h"
#include "model_test_util.h"

static struct frt_json *json_of(const char *text)
{
    struct frt_error err;
    struct frt_json *json = NULL;
    if (frt_json_parse(text, strlen(text), &json, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return json;
}

static enum frt_status parse(const char *text, const void *bytes, size_t size, struct frt_tfjs_weights **out,
                             struct frt_error *err)
{
    struct frt_json *json = json_of(text);
    enum frt_status status = frt_tfjs_weights_parse(frt_json_root(json), bytes, size, out, err);
    frt_json_free(json);
    return status;
}

static void every_encoding_is_decoded(void **state)
{
    (void)state;
    static const char text[] = "[{\"paths\":[\"a\"],\"weights\":["
                               "{\"name\":\"plain\",\"shape\":[2],\"dtype\":\"float32\"},"
                               "{\"name\":\"u8\",\"shape\":[1,3],\"dtype\":\"float32\",\"quantization\":{"
                               "\"dtype\":\"uint8\",\"scale\":0.25,\"min\":-1}},"
                               "{\"name\":\"u16\",\"shape\":[2],\"dtype\":\"float32\",\"quantization\":{"
                               "\"dtype\":\"uint16\",\"scale\":2,\"min\":0.5}}]},"
                               "{\"paths\":[],\"weights\":["
                               "{\"name\":\"half\",\"shape\":[6],\"dtype\":\"float32\",\"quantization\":{"
                               "\"dtype\":\"float16\",\"original_dtype\":\"float32\"}},"
                               "{\"name\":\"whole\",\"shape\":[],\"dtype\":\"int32\"},"
                               "{\"name\":\"whole8\",\"shape\":[2],\"dtype\":\"int32\",\"quantization\":{"
                               "\"dtype\":\"uint8\",\"scale\":1,\"min\":-1.4}}]}]";
    const float plain[2] = {1.5F, -0.125F};
    const unsigned char u8[3] = {0, 4, 255};
    const unsigned char u16[4] = {1, 0, 0xff, 0xff};
    /* 1, -2, the largest, the smallest, zero, a third (IEEE 754 binary16) */
    const unsigned char half[12] = {0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0x00, 0x00, 0x55, 0x35};
    const int whole = -7;
    const unsigned char whole8[2] = {0, 3};
    unsigned char bytes[64];
    size_t n = 0;
#define PUT(x) (memcpy(bytes + n, &(x), sizeof(x)), n += sizeof(x))
    PUT(plain);
    PUT(u8);
    PUT(u16);
    PUT(half);
    PUT(whole);
    PUT(whole8);
#undef PUT
    struct frt_tfjs_weights *w = NULL;
    struct frt_error err;
    if (parse(text, bytes, n, &w, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const struct frt_tfjs_tensor *t = frt_tfjs_weights_find(w, "plain");
    assert_int_equal(t->n, 2);
    assert_memory_equal(t->f32, plain, sizeof plain);
    t = frt_tfjs_weights_find(w, "u8");
    assert_int_equal(t->shape.n_dims, 2);
    assert_int_equal(t->shape.dims[1], 3);
    assert_float_equal(t->f32[0], -1, 0);
    assert_float_equal(t->f32[1], 0, 0);
    assert_float_equal(t->f32[2], 62.75, 0);
    t = frt_tfjs_weights_find(w, "u16");
    assert_float_equal(t->f32[0], 2.5, 0);
    assert_float_equal(t->f32[1], 131070.5, 0);
    t = frt_tfjs_weights_find(w, "half");
    const double halves[6] = {1, -2, 65504, 0x1p-24, 0, 0.333251953125};
    for (int i = 0; i < 6; i++)
        assert_true((double)t->f32[i] == halves[i]);
    t = frt_tfjs_weights_find(w, "whole");
    assert_null(t->f32);
    assert_int_equal(t->n, 1);
    assert_int_equal(t->i32[0], -7);
    t = frt_tfjs_weights_find(w, "whole8");
    assert_int_equal(t->i32[0], -1); /* -1.4 */
    assert_int_equal(t->i32[1], 2);  /* 1.6 */
    assert_null(frt_tfjs_weights_find(w, "WHOLE"));
    frt_tfjs_weights_free(w);
}

#define ONE(entry) "[{\"paths\":[\"a\"],\"weights\":[" entry "]}]"
#define Q(q) ONE("{\"name\":\"t\",\"shape\":[4],\"dtype\":\"float32\",\"quantization\":" q "}")

/* Manifests over four zero bytes (but where said), and what the refusal says. */
static const struct {
    const char *text, *says;
} breaks[] = {
    {"{}", "an array of groups"},
    {"[]", "0 tensors"},
    {"[{\"paths\":[\"a\"]}]", "no array \"weights\""},
    {"[3]", "no array \"weights\""},
    {ONE("{\"shape\":[1],\"dtype\":\"float32\"}"), "no name"},
    {ONE("{\"name\":\"\",\"shape\":[1],\"dtype\":\"float32\"}"), "no name"},
    {ONE("3"), "no name"},
    {ONE("{\"name\":\"t\",\"shape\":[1]}"), "weights t: dtype missing"},
    {ONE("{\"name\":\"t\",\"shape\":[1],\"dtype\":\"complex64\"}"), "dtype complex64; float32 and int32"},
    {ONE("{\"name\":\"t\",\"dtype\":\"float32\"}"), "no shape"},
    {ONE("{\"name\":\"t\",\"shape\":4,\"dtype\":\"float32\"}"), "no shape"},
    {ONE("{\"name\":\"t\",\"shape\":[0],\"dtype\":\"float32\"}"), "dimension 0 is 0"},
    {ONE("{\"name\":\"t\",\"shape\":[1,-1],\"dtype\":\"float32\"}"), "dimension 1 is -1"},
    {ONE("{\"name\":\"t\",\"shape\":[1.5],\"dtype\":\"float32\"}"), "dimension 0 is 1.5"},
    {ONE("{\"name\":\"t\",\"shape\":[1e300],\"dtype\":\"float32\"}"), "dimension 0 is 1e+300"},
    {ONE("{\"name\":\"t\",\"shape\":[1,1,1,1,1,1,1],\"dtype\":\"float32\"}"), "more than 6 dimensions"},
    {ONE("{\"name\":\"t\",\"shape\":[65536,65536],\"dtype\":\"float32\"}"), "elements"},
    {ONE("{\"name\":\"t\",\"shape\":[2147483647,2147483647,2147483647,2147483647],\"dtype\":\"float32\"}"),
     "elements"},
    {ONE("{\"name\":\"t\",\"shape\":[2],\"dtype\":\"float32\"}"),
     "4 bytes are left in the files, the tensor needs 8"},
    {ONE("{\"name\":\"a\",\"shape\":[1],\"dtype\":\"float32\"},{\"name\":\"b\",\"shape\":[1],\"dtype\":"
         "\"float32\"}"),
     "weights b: 0 bytes are left"},
    {ONE("{\"name\":\"t\",\"shape\":[3],\"dtype\":\"float32\",\"quantization\":{\"dtype\":\"uint8\",\"scale\":"
         "1,\"min\":0}}"),
     "the files hold 4 bytes, the manifest tells of 3"},
    {ONE("{\"name\":\"t\",\"shape\":[1],\"dtype\":\"int32\"},{\"name\":\"t\",\"shape\":[1],\"dtype\":"
         "\"int32\"}"),
     "two tensors are named t"},
    {Q("3"), "quantised as (no dtype)"},
    {Q("{\"dtype\":\"uint4\"}"), "quantised as uint4; uint8, uint16"},
    {Q("{\"dtype\":\"uint8\"}"), "without a finite scale and min"},
    {Q("{\"dtype\":\"uint8\",\"scale\":\"1\",\"min\":0}"), "without a finite scale and min"},
    {Q("{\"dtype\":\"uint8\",\"scale\":1e300,\"min\":1e300}"), "value 0 is not a finite number"},
    {ONE("{\"name\":\"t\",\"shape\":[4],\"dtype\":\"int32\",\"quantization\":{\"dtype\":\"float16\"}}"),
     "quantised as float16"},
    {ONE("{\"name\":\"t\",\"shape\":[4],\"dtype\":\"int32\",\"quantization\":{\"dtype\":\"uint8\",\"scale\":1,"
         "\"min\":1e12}}"),
     "value 0 does not fit int32"},
};

static void each_mistake_is_named(void **state)
{
    (void)state;
    static const unsigned char zeros[4];
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        struct frt_error err = {0};
        struct frt_tfjs_weights *weights = NULL;
        enum frt_status status = parse(breaks[i].text, zeros, sizeof zeros, &weights, &err);
        if (status != FRT_EBAD_MODEL || strstr(err.text, breaks[i].says) == NULL)
            fail_msg("%s: status %d, \"%s\"; \"%s\" expected", breaks[i].text, status, err.text,
                     breaks[i].says);
        assert_null(weights);
    }
    struct frt_tfjs_weights *weights = NULL;
    struct frt_error err = {0};
    const float nan = NAN;
    assert_int_equal(
        parse(ONE("{\"name\":\"t\",\"shape\":[1],\"dtype\":\"float32\"}"), &nan, sizeof nan, &weights, &err),
        FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "value 0 is not a finite number"));
    assert_int_equal(frt_tfjs_weights_parse(NULL, zeros, 0, &weights, &err), FRT_EBAD_MODEL);
}

static enum frt_status load(const char *folder, const char *text, struct frt_tfjs_weights **out,
                            struct frt_error *err)
{
    struct frt_json *json = json_of(text);
    enum frt_status status = frt_tfjs_weights_load(folder, frt_json_root(json), out, err);
    frt_json_free(json);
    return status;
}

#define FILES(paths) "[{\"paths\":" paths ",\"weights\":[{\"name\":\"t\",\"shape\":[3],\"dtype\":\"int32\"}]}]"

static void files_are_put_together(void **state)
{
    const char *folder = *state;
    const int values[3] = {1, 2, 3};
    struct frt_tfjs_weights *weights = NULL;
    struct frt_error err;
    model_test_write_file(folder, "shard1", values, 5);
    model_test_write_file(folder, "shard2", (const char *)values + 5, 7);
    if (load(folder, FILES("[\"shard1\",\"shard2\"]"), &weights, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(frt_tfjs_weights_find(weights, "t")->i32, values, sizeof values);
    frt_tfjs_weights_free(weights);

    assert_int_equal(load(folder, FILES("[\"shard1\"]"), &weights, &err), FRT_EBAD_MODEL);
    assert_int_equal(load(folder, FILES("[\"shard1\",\"shard3\"]"), &weights, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, "shard3"));
    static const char *const hostile[] = {FILES("[\"../shard1\"]"), FILES("[\"/etc/passwd\"]"),
                                          FILES("[\"..\"]"), FILES("[\"\"]"), FILES("[3]")};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        assert_int_equal(load(folder, hostile[i], &weights, &err), FRT_EBAD_MODEL);
        assert_non_null(strstr(err.text, "no plain file name"));
    }
    assert_int_equal(load(folder, FILES("[]"), &weights, &err), FRT_EBAD_MODEL);
}

static void every_allocation_may_fail(void **state)
{
    const char *folder = *state;
    const int values[3] = {1, 2, 3};
    model_test_write_file(folder, "shard1", values, 5);
    model_test_write_file(folder, "shard2", (const char *)values + 5, 7);
    struct frt_json *json = json_of(FILES("[\"shard1\",\"shard2\"]"));
    for (int64_t n = 0;; n++) {
        struct frt_tfjs_weights *weights = NULL;
        struct frt_error err = {0};
        frt_mem_fail_after(n);
        enum frt_status status = frt_tfjs_weights_load(folder, frt_json_root(json), &weights, &err);
        bool reached = frt_mem_asked() > n;
        frt_mem_fail_after(-1);
        frt_tfjs_weights_free(weights);
        if (!reached) {
            assert_int_equal(status, FRT_OK);
            assert_true(n >= 8);
            break;
        }
        assert_int_equal(status, FRT_ENOMEM);
    }
    frt_json_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_is_decoded),
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test_setup_teardown(files_are_put_together, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, model_test_folder_make,
                                        model_test_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
