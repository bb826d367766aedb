/* Liveness: rates worked out by hand, reports, a run over the sample photos. The run is skipped where the pack
 * or the photos are absent. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "engine/eval_liveness.h"

static void assert_near(double value, double wanted)
{
    if (!(fabs(value - wanted) < 1e-6))
        fail_msg("%.8f instead of %.8f", value, wanted);
}

/* Live: 0.1, 0.2, 0.7, and one that did not answer; prints: 0.9, 0.6; masks: 0.3, 0.8, 0.9, 0.95. */
static struct frt_eval_liveness_report made(struct frt_eval_liveness_photo photos[10])
{
    static const float spoof[10] = {0.1f, 0.2f, 0.7f, NAN, 0.9f, 0.6f, 0.3f, 0.8f, 0.9f, 0.95f};
    static const int attack[10] = {0, 0, 0, 0, 2, 2, 1, 1, 1, 1};
    static char file[] = "a.jpg", cause[] = "no face";
    struct frt_eval_liveness_report r = {.photos = photos,
                                         .n_photos = 10,
                                         .rates = {{.attack = ""}, {.attack = "mask"}, {.attack = "print"}},
                                         .n_rates = 3,
                                         .pack = "a<b"};
    for (size_t i = 0; i < 10; i++)
        photos[i] = (struct frt_eval_liveness_photo){
            .file = file, .cause = isnan(spoof[i]) ? cause : NULL, .attack = attack[i], .spoof = spoof[i]};
    return r;
}

static void rates_of_known_photos(void **state)
{
    (void)state;
    struct frt_eval_liveness_photo photos[10];
    struct frt_eval_liveness_report r = made(photos);
    frt_eval_liveness_rates(&r, 0.5f);
    assert_int_equal(r.rates[0].n, 3);
    assert_int_equal(r.rates[0].silent, 1);
    assert_near(r.bpcer, 1.0 / 3);
    assert_near(r.rates[1].rate, 0.25);
    assert_near(r.rates[2].rate, 0);
    assert_near(r.apcer, 0.25); /* of the worst type */
    assert_int_equal(r.worst, 1);
    assert_near(r.acer, (0.25 + 1.0 / 3) / 2);
    assert_true(r.rates[2].interval.low == 0 && r.rates[2].interval.high > 0.6);
    frt_eval_liveness_rates(&r, 0.7f); /* a spoof from there on */
    assert_near(r.bpcer, 1.0 / 3);
    assert_near(r.apcer, 0.5);
    assert_int_equal(r.worst, 2);
    frt_eval_liveness_rates(&r, 1);
    assert_near(r.bpcer, 0);
    assert_near(r.apcer, 1);
    r.n_photos = 4; /* no attacks at all */
    frt_eval_liveness_rates(&r, 0.5f);
    assert_true(isnan(r.apcer) && isnan(r.acer));
    assert_near(r.bpcer, 1.0 / 3);
}

static void reports_are_well_formed(void **state)
{
    (void)state;
    struct frt_eval_liveness_photo photos[10];
    struct frt_eval_liveness_report r = made(photos);
    struct frt_json *json = NULL;
    struct frt_buf out;
    frt_eval_liveness_rates(&r, 0.5f);
    frt_buf_init(&out, 1 << 20);
    frt_eval_liveness_report_json(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json);
    assert_near(frt_json_double(frt_json_get(root, "apcer"), -1), 0.25);
    assert_int_equal(frt_json_count(frt_json_get(root, "attacks")), 2);
    assert_int_equal(frt_json_count(frt_json_get(root, "samples")), 10);
    assert_near(frt_json_double(frt_json_get(frt_json_get(root, "live"), "no_answer"), -1), 1);
    frt_json_free(json);
    frt_buf_clear(&out);
    frt_eval_liveness_report_svg(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_non_null(strstr(out.data, "a&lt;b"));
    assert_null(strstr(out.data, "nan"));
    frt_buf_clear(&out);
    frt_eval_liveness_report_text(&r, &out);
    assert_non_null(strstr(out.data, "an attack that passes"));
    assert_non_null(strstr(out.data, "a.jpg: no face"));
    frt_buf_deinit(&out);
}

static void the_samples_are_looked_at(void **state)
{
    (void)state;
    const char *folder = getenv("FRT_TEST_PACK") != NULL ? getenv("FRT_TEST_PACK") : "data/packs/default";
    const char *assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    char live[4200], fake[4200], manifest[4200];
    (void)snprintf(live, sizeof live, "%s/faces/liveness/image_T1.jpg", assets);
    (void)snprintf(fake, sizeof fake, "%s/faces/liveness/image_F1.jpg", assets);
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", folder);
    if (access(live, R_OK) != 0 || access(fake, R_OK) != 0 || access(manifest, R_OK) != 0) {
        (void)printf("SKIP: no photos in %s, or no pack in %s\n", assets, folder);
        skip();
    }
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    const struct frt_context_options one = {.threads = 1};
    if (frt_context_new(&one, &context, &err) != FRT_OK ||
        frt_pack_open(context, folder, NULL, &pack, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const struct frt_eval_liveness_sample samples[] = {{live, NULL}, {fake, "print"}, {manifest, "paper"}};
    struct frt_eval_liveness_options options = {.samples = samples, .n = 3, .threads = 2};
    struct frt_eval_liveness_report r = {0};
    if (frt_eval_liveness(context, pack, &options, &r, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.n_rates, 3);
    assert_string_equal(r.rates[1].attack, "paper");
    assert_int_equal(r.rates[1].silent, 1); /* no image */
    assert_non_null(r.photos[2].cause);
    assert_int_equal(r.rates[2].n, 1);
    assert_true(r.photos[0].spoof >= 0 && r.photos[0].spoof < r.pack_threshold);
    assert_true(r.photos[0].spoof < r.photos[1].spoof);
    assert_near(r.bpcer, 0);
    frt_eval_liveness_report_deinit(&r);
    const struct frt_eval_liveness_sample nowhere = {"/nonexistent.jpg", NULL};
    options = (struct frt_eval_liveness_options){.samples = &nowhere, .n = 1};
    assert_int_equal(frt_eval_liveness(context, pack, &options, &r, &err), FRT_ENOTFOUND);
    options.n = 0;
    assert_int_equal(frt_eval_liveness(context, pack, &options, &r, &err), FRT_EINVAL);
    frt_pack_free(pack);
    frt_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_of_known_photos),
        cmocka_unit_test(reports_are_well_formed),
        cmocka_unit_test(the_samples_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
