/* Cosine, distance and the JSON answers that show them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "engine/answer.h"
#include "engine/faces.h"
#include "engine/search_threshold.h"

static void cosine_of_known_vectors(void **state)
{
    (void)state;
    const float x[2] = {1, 0}, y[2] = {0, 1}, d[2] = {0.6F, 0.8F}, minus[2] = {-1, 0};
    float s = 9;
    assert_int_equal(frt_compare(x, x, 2, &s, NULL), FRT_OK);
    assert_float_equal(s, 1.0F, 1e-7F);
    assert_int_equal(frt_compare(x, y, 2, &s, NULL), FRT_OK);
    assert_float_equal(s, 0.0F, 1e-7F);
    assert_int_equal(frt_compare(x, d, 2, &s, NULL), FRT_OK);
    assert_float_equal(s, 0.6F, 1e-6F);
    assert_int_equal(frt_compare(x, minus, 2, &s, NULL), FRT_OK);
    assert_float_equal(s, -1.0F, 1e-7F);
    assert_float_equal(frt_distance(-1.0F), 1.0F, 0);
    assert_float_equal(frt_distance(0.5F), 0.25F, 0);
}

static void unfit_vectors_are_refused_and_leave_the_output_alone(void **state)
{
    (void)state;
    const float unit[2] = {1, 0}, half[2] = {0.5F, 0}, nan_v[2] = {NAN, 0}, inf_v[2] = {INFINITY, 0};
    const float *bad[] = {half, nan_v, inf_v};
    struct frt_error err = {0};
    for (size_t i = 0; i < 3; i++) {
        float s = 9;
        assert_int_equal(frt_compare(unit, bad[i], 2, &s, &err), FRT_EINVAL);
        assert_int_equal(frt_compare(bad[i], unit, 2, &s, &err), FRT_EINVAL);
        assert_float_equal(s, 9.0F, 0);
        assert_non_null(strstr(err.text, "L2-normalised"));
    }
    float s = 9;
    assert_int_equal(frt_compare(unit, unit, 0, &s, &err), FRT_EINVAL);
    assert_int_equal(frt_compare(unit, unit, FRT_MAX_DIM + 1, &s, &err), FRT_EINVAL);
}

static void attribute_words(void **state)
{
    (void)state;
    uint32_t bits = 99;
    struct frt_error err = {0};
    assert_int_equal(frt_attributes_parse("", &bits, &err), FRT_OK);
    assert_int_equal(bits, 0);
    assert_int_equal(frt_attributes_parse("quality,age", &bits, &err), FRT_OK);
    assert_int_equal(bits, FRT_ATTRIBUTE_QUALITY | FRT_ATTRIBUTE_AGE);
    assert_int_equal(frt_attributes_parse("all", &bits, &err), FRT_OK);
    assert_int_equal(bits, FRT_ATTRIBUTE_ALL);
    bits = 7;
    assert_int_equal(frt_attributes_parse("quality,", &bits, &err), FRT_EBAD_REQUEST);
    assert_int_equal(frt_attributes_parse("smile", &bits, &err), FRT_EBAD_REQUEST);
    assert_non_null(strstr(err.text, "'smile'"));
    assert_non_null(strstr(err.text, "expression"));
    assert_int_equal(bits, 7);
}

static void a_face_as_json_has_the_contract_s_fields(void **state)
{
    (void)state;
    struct frt_face face = {.box = {1.236F, 2, 30, 40},
                            .confidence = 0.98766F,
                            .attributes = FRT_ATTRIBUTE_LIVENESS | FRT_ATTRIBUTE_GENDER,
                            .liveness = {false, 0.75F},
                            .gender = FRT_GENDER_MALE,
                            .gender_probability = 0.9F};
    const float embedding[2] = {0.6F, 0.8F};
    struct frt_buf buf;
    struct frt_json_writer w;
    struct frt_json *json = NULL;
    for (int i = 0; i < FRT_LANDMARK_COUNT; i++)
        face.landmarks[i] = (struct frt_point){(float)i, (float)i + 0.5F};
    frt_buf_init(&buf, 4096);
    frt_json_writer_init(&w, &buf, false);
    frt_answer_face(&w, &face, embedding, 2, FRT_ENCODING_BASE64);
    assert_int_equal(frt_buf_status(&buf), FRT_OK);
    assert_int_equal(frt_json_parse(buf.data, buf.size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json);
    assert_float_equal(frt_json_double(frt_json_get(frt_json_get(root, "box"), "x"), 0), 1.24, 1e-9);
    assert_float_equal(frt_json_double(frt_json_get(root, "confidence"), 0), 0.9877, 1e-9);
    const struct frt_json_value *nose = frt_json_get(frt_json_get(root, "landmarks"), "nose");
    assert_float_equal(frt_json_double(frt_json_next(frt_json_first(nose)), 0), 2.5, 1e-9);
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(root, "liveness"), "type")), "SPOOF");
    assert_string_equal(frt_json_text(frt_json_get(root, "gender")), "male");
    assert_null(frt_json_get(root, "age"));
    assert_null(frt_json_get(root, "quality"));
    /* 0.6f = 0x3f19999a, 0.8f = 0x3f4ccccd, little-endian */
    assert_string_equal(frt_json_text(frt_json_get(root, "embedding")), "mpkZP83MTD8=");
    frt_json_free(json);
    frt_buf_deinit(&buf);
}

/* The more people, the more chances of a false match, the higher the threshold. */
static void the_threshold_rises_with_the_gallery(void **state)
{
    (void)state;
    const struct frt_threshold_curve curve = {0.6F, 0.01F, 0.1F};
    assert_true(frt_search_threshold(&curve, 0, 0.01) == 0.6F);
    assert_true(frt_search_threshold(&curve, 1, 0.01) == 0.6F);
    assert_true(fabsf(frt_search_threshold(&curve, 10, 0.01) - 0.7F) < 1e-5F);
    assert_true(fabsf(frt_search_threshold(&curve, 1000, 0.01) - 0.9F) < 1e-5F);
    assert_true(fabsf(frt_search_threshold(&curve, 1000, 0.1) - 0.8F) < 1e-5F);
    assert_true(fabsf(frt_search_threshold(&curve, 1000, (double)NAN) - 0.9F) < 1e-5F);
    assert_true(frt_search_threshold(&curve, 1000000, 0.001) == 0.99F);
    assert_true(frt_search_threshold(&curve, 10, 1) == 0.6F); /* never under that for two photos */
    const struct frt_threshold_curve unknown = {0.6F, 0, 0};
    assert_true(frt_search_threshold(&unknown, 1000000, 0.01) == 0.6F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_threshold_rises_with_the_gallery),
        cmocka_unit_test(cosine_of_known_vectors),
        cmocka_unit_test(unfit_vectors_are_refused_and_leave_the_output_alone),
        cmocka_unit_test(attribute_words),
        cmocka_unit_test(a_face_as_json_has_the_contract_s_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
