/* Identification: rates on made-up searches with results worked out by hand, splits of made-up embeddings, a
 * run over real photos, reports. The run is skipped where the pack or the photos are absent. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "core/mem.h"
#include "engine/eval_identify.h"

enum { DIM = 32, MAX_MADE = 400 };

static void assert_near(double value, double wanted)
{
    if (!(fabs(value - wanted) < 1e-6))
        fail_msg("%.8f instead of %.8f", value, wanted);
}

/* ----------------------------------------------------------------- metrics */

/* Ten mated searches: eight right (scores 0.95, 0.90 … 0.60), one wrong at 0.97, one without a face. Ten
 * non-mated: 0.10, 0.20 … 1.00. */
static void rates_of_known_searches(void **state)
{
    (void)state;
    struct frt_eval_search mated[10], strangers[10];
    for (size_t i = 0; i < 8; i++)
        mated[i] = (struct frt_eval_search){
            .score = 0.95f - 0.05f * (float)i, .right = true, .split = (uint32_t)i / 5};
    mated[8] = (struct frt_eval_search){.score = 0.97f, .split = 1};
    mated[9] = (struct frt_eval_search){.score = -1, .split = 1};
    for (size_t i = 0; i < 10; i++)
        strangers[i] = (struct frt_eval_search){.score = 0.1f * (float)(i + 1)};
    assert_near(frt_eval_rank1(mated, 10), 0.8);
    assert_near(frt_eval_fpir(strangers, 10, 0.75f), 0.3);
    assert_near(frt_eval_fpir(strangers, 10, -1), 1);
    assert_near(frt_eval_fpir(strangers, 10, 1.01f), 0);
    assert_near(frt_eval_fnir(mated, 10, 0.73f), 0.5); /* 0.95, 0.90, 0.85, 0.80, 0.75 */
    assert_near(frt_eval_fnir(mated, 10, -1), 0.2);
    assert_near(frt_eval_fnir(mated, 10, 0.96f), 1); /* the wrong name at 0.97 is a miss */
    /* FPIR 0.2 allows two, 1.0 and 0.9: the threshold lies just above 0.8 */
    struct frt_eval_identify_point p = frt_eval_fnir_at(mated, 10, strangers, 10, 2, 0.2);
    assert_near(p.fpir_found, 0.2);
    assert_true(p.threshold > 0.8f && p.threshold < 0.8001f);
    assert_near(p.fnir, 0.7); /* 0.95, 0.90, 0.85 */
    /* split 0 has 0.95 … 0.75: 3 of 5 found; split 1 none of 5: 0.4 and 1 */
    assert_near(p.fnir_spread, 0.6 / sqrt(2));
    /* one in a hundred of ten: nobody may be named */
    p = frt_eval_fnir_at(mated, 10, strangers, 10, 1, 0.01);
    assert_near(p.fpir_found, 0);
    assert_true(p.threshold > 1);
    assert_near(p.fnir, 1);
    assert_true(isnan(p.fnir_spread));
    /* everybody may be */
    p = frt_eval_fnir_at(mated, 10, strangers, 10, 2, 1);
    assert_near(p.fpir_found, 1);
    assert_near(p.fnir, 0.2);
    assert_near((double)p.threshold, -1);
    assert_true(isnan(frt_eval_rank1(mated, 0)) && isnan(frt_eval_fpir(strangers, 0, 0)) &&
                isnan(frt_eval_fnir(mated, 0, 0)));
}

static void equal_scores_pass_or_fail_together(void **state)
{
    (void)state;
    struct frt_eval_search mated[1] = {{.score = 0.5f, .right = true}}, strangers[4];
    for (size_t i = 0; i < 4; i++)
        strangers[i] = (struct frt_eval_search){.score = i < 3 ? 0.5f : 0.4f};
    /* a quarter is one of the three equal ones: none may pass, nor the mate with the same score */
    struct frt_eval_identify_point p = frt_eval_fnir_at(mated, 1, strangers, 4, 1, 0.25);
    assert_near(p.fpir_found, 0);
    assert_near(p.fnir, 1);
    p = frt_eval_fnir_at(mated, 1, strangers, 4, 1, 0.75);
    assert_near(p.fpir_found, 0.75);
    assert_near(p.fnir, 0);
}

/* ------------------------------------------------------------------ splits */

struct made {
    float vectors[MAX_MADE * DIM];
    bool seen[MAX_MADE];
    uint32_t person[MAX_MADE];
    size_t n;
};

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1;
}

/* A person of n photos: a direction of its own, each photo apart from it by `blur`. */
static void add_person(struct made *m, size_t n, float blur, uint32_t *state)
{
    float middle[DIM];
    const uint32_t who = m->n == 0 ? 0 : m->person[m->n - 1] + 1;
    for (size_t d = 0; d < DIM; d++)
        middle[d] = noise(state);
    for (size_t i = 0; i < n; i++, m->n++) {
        float *v = m->vectors + m->n * DIM, length = 0;
        for (size_t d = 0; d < DIM; d++) {
            v[d] = middle[d] + blur * noise(state);
            length += v[d] * v[d];
        }
        for (size_t d = 0; d < DIM; d++)
            v[d] /= sqrtf(length);
        m->seen[m->n] = true;
        m->person[m->n] = who;
    }
}

static struct frt_eval_identify_report identified(const struct made *m, uint64_t seed)
{
    struct frt_eval_identify_report r = {.dim = DIM, .splits = 10, .seed = seed, .default_threshold = 0.7f};
    struct frt_error err = {0};
    if (frt_eval_identify_embedded(m->vectors, m->seen, m->person, m->n, NULL, NULL, &r, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return r;
}

/* Twenty people of four photos, twelve of one. */
static void a_gallery(struct made *m, float blur)
{
    uint32_t state = 7;
    m->n = 0;
    for (size_t i = 0; i < 32; i++)
        add_person(m, i % 8 < 5 ? 4 : 1, blur, &state);
}

static void splits_are_as_documented(void **state)
{
    (void)state;
    struct made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    a_gallery(m, 0.05f);
    struct frt_eval_identify_report r = identified(m, 1);
    assert_int_equal(r.n_photos, 92);
    assert_int_equal(r.n_people, 32);
    assert_int_equal(r.n_several_people, 20);
    assert_int_equal(r.n_results, 6); /* 1, 2, 3 enrolled; nobody has six photos */
    for (size_t i = 0; i < r.n_results; i++) {
        const struct frt_eval_identify_result *x = &r.results[i];
        const uint32_t k = (uint32_t)i / 2 + 1;
        assert_int_equal(x->enrolled, k);
        assert_int_equal(x->fused, i % 2);
        assert_int_equal(x->mated_people, 20);
        assert_int_equal(x->n_mated, 10 * 20 * (4 - k));
        assert_int_equal(x->n_non_mated, 10 * 6); /* the other half of the twelve */
        assert_near(x->mean_gallery_people, 26);
        assert_near(x->mean_gallery_faces, 20 * k + 6);
        assert_near(x->rank1, 1); /* so little blur that nobody can be mistaken */
        assert_near(x->fnir_at_default, 0);
        assert_near(x->fpir_at_default, 0);
        assert_near(x->points[0].fnir, 0);
        assert_true(x->n_curve > 0 && x->curve[x->n_curve - 1].fpir > 0.999);
    }
    frt_eval_identify_report_deinit(&r);
    free(m);
}

/* With one face a person the template is the face; the mean of several noisy ones is nearer the truth. */
static void best_and_fused(void **state)
{
    (void)state;
    struct made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    a_gallery(m, 1.6f);
    struct frt_eval_identify_report r = identified(m, 1), again = identified(m, 1), other = identified(m, 2);
    assert_near(r.results[0].rank1, r.results[1].rank1);
    assert_near(r.results[0].points[0].fnir, r.results[1].points[0].fnir);
    assert_true(r.results[5].rank1 > r.results[4].rank1);
    assert_true(r.results[4].rank1 > r.results[0].rank1);
    bool differs = false;
    for (size_t i = 0; i < r.n_results; i++) {
        assert_near(again.results[i].rank1, r.results[i].rank1);
        assert_near((double)again.results[i].points[0].threshold, (double)r.results[i].points[0].threshold);
        differs = differs || other.results[i].rank1 != r.results[i].rank1;
    }
    assert_true(differs);
    frt_eval_identify_report_deinit(&r);
    frt_eval_identify_report_deinit(&again);
    frt_eval_identify_report_deinit(&other);
    free(m);
}

static void photos_without_a_face_are_misses(void **state)
{
    (void)state;
    struct made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    a_gallery(m, 0.05f);
    for (size_t i = 0; i < m->n; i++)
        m->seen[i] = i % 4 != 0; /* one photo of every fourth person's */
    struct frt_eval_identify_report r = identified(m, 1);
    assert_true(r.results[0].rank1 < 1 && r.results[0].rank1 > 0.4);
    assert_true(r.results[0].fnir_at_default >= 1 - r.results[0].rank1 - 1e-9);
    assert_true(r.results[0].mean_gallery_people < 26);
    frt_eval_identify_report_deinit(&r);
    memset(m->seen, 0, sizeof m->seen);
    r = identified(m, 1); /* an empty gallery names nobody */
    assert_near(r.results[0].rank1, 0);
    assert_near(r.results[0].fpir_at_default, 0);
    frt_eval_identify_report_deinit(&r);
    free(m);
}

static bool at_once(void *arg)
{
    (void)arg;
    return true;
}

static void too_few_people_and_cancelling(void **state)
{
    (void)state;
    struct made *m = calloc(1, sizeof *m);
    struct frt_eval_identify_report r = {.dim = DIM, .splits = 2};
    struct frt_error err = {0};
    uint32_t seed = 3;
    assert_non_null(m);
    for (size_t i = 0; i < 6; i++)
        add_person(m, i < 4 ? 2 : 1, 0.1f, &seed);
    assert_int_equal(frt_eval_identify_embedded(m->vectors, m->seen, m->person, m->n, NULL, NULL, &r, &err),
                     FRT_EBAD_REQUEST);
    assert_non_null(strstr(err.text, "4 of 6 people"));
    a_gallery(m, 0.1f);
    assert_int_equal(frt_eval_identify_embedded(m->vectors, m->seen, m->person, m->n, at_once, NULL, &r, &err),
                     FRT_ECANCELLED);
    frt_eval_identify_report_deinit(&r);
    free(m);
}

static void failed_allocations_leave_nothing(void **state)
{
    (void)state;
    struct made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    a_gallery(m, 0.1f);
    enum frt_status status = FRT_ENOMEM;
    int64_t n = 0;
    for (; status == FRT_ENOMEM && n < 100; n++) {
        struct frt_eval_identify_report r = {.dim = DIM, .splits = 2};
        frt_mem_fail_after(n);
        status = frt_eval_identify_embedded(m->vectors, m->seen, m->person, m->n, NULL, NULL, &r, NULL);
        frt_mem_fail_after(-1);
        frt_eval_identify_report_deinit(&r);
    }
    assert_int_equal(status, FRT_OK);
    assert_true(n > 10);
    free(m);
}

/* ----------------------------------------------------------------- reports */

static void reports_are_well_formed(void **state)
{
    (void)state;
    struct made *m = calloc(1, sizeof *m);
    struct frt_json *json = NULL;
    struct frt_buf out;
    assert_non_null(m);
    a_gallery(m, 1.2f);
    struct frt_eval_identify_report r = identified(m, 5);
    (void)snprintf(r.pack, sizeof r.pack, "a<b&c");
    frt_buf_init(&out, 1 << 20);
    frt_eval_identify_report_json(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json), *results = frt_json_get(root, "results");
    assert_int_equal(frt_json_count(results), r.n_results);
    assert_near(frt_json_double(frt_json_get(root, "seed"), -1), 5);
    const struct frt_json_value *first = frt_json_first(results);
    assert_string_equal(frt_json_text(frt_json_get(first, "score")), "best");
    assert_int_equal(frt_json_count(frt_json_get(first, "fnir_at_fpir")), 2);
    assert_int_equal(frt_json_count(frt_json_get(first, "curve")), r.results[0].n_curve);
    frt_json_free(json);
    frt_buf_clear(&out);
    frt_eval_identify_report_svg(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_non_null(strstr(out.data, "a&lt;b&amp;c"));
    assert_non_null(strstr(out.data, "3 enrolled a person"));
    assert_null(strstr(out.data, "nan"));
    assert_null(strstr(out.data, "inf"));
    assert_string_equal(out.data + out.size - 7, "</svg>\n");
    frt_buf_clear(&out);
    frt_eval_identify_report_text(&r, &out);
    assert_non_null(strstr(out.data, "       3  fused"));
    frt_buf_deinit(&out);
    frt_eval_identify_report_deinit(&r);
    free(m);
}

/* -------------------------------------------------------------- real photos */

/* Seven people of LFW, five with two photos: in a folder of links, so that the run stays short. */
static void real_people_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int n;
    } people[] = {{"Christine_Gregoire", 2}, {"Eileen_Coparropa", 2}, {"James_Traficant", 2},
                  {"Anders_Ebbeson", 2},     {"Abdullah_Nasseef", 1}, {"Kim_Chinn", 1},
                  {"Gary_Sinise", 1},        {"Aaron_Tippin", 1}};
    const char *pack_folder = getenv("FRT_TEST_PACK") != NULL ? getenv("FRT_TEST_PACK") : "data/packs/default";
    const char *assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    char folder[] = "/tmp/frt_identify_XXXXXX", from[4200], to[4200], *real = realpath(assets, NULL);
    (void)snprintf(from, sizeof from, "%s/faces/lfw-dev/%s/%s_0001.jpg", assets, people[0].name,
                   people[0].name);
    (void)snprintf(to, sizeof to, "%s/manifest.json", pack_folder);
    if (real == NULL || access(from, R_OK) != 0 || access(to, R_OK) != 0) {
        free(real);
        (void)printf("SKIP: no photos in %s, or no pack in %s\n", assets, pack_folder);
        skip();
    }
    assert_non_null(mkdtemp(folder));
    /* five are needed who have two: one more who has them */
    const size_t n = sizeof people / sizeof *people;
    for (size_t i = 0; i <= n; i++) {
        const char *name = i < n ? people[i].name : "Abdel_Nasser_Assidi";
        (void)snprintf(to, sizeof to, "%s/%s", folder, name);
        assert_int_equal(mkdir(to, 0700), 0);
        for (int k = 1; k <= (i < n ? people[i].n : 2); k++) {
            (void)snprintf(from, sizeof from, "%s/faces/lfw-dev/%s/%s_%04d.jpg", real, name, name, k);
            (void)snprintf(to, sizeof to, "%s/%s/%d.jpg", folder, name, k);
            assert_int_equal(symlink(from, to), 0);
        }
    }
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    const struct frt_context_options one = {.threads = 1};
    if (frt_context_new(&one, &context, &err) != FRT_OK ||
        frt_pack_open(context, pack_folder, NULL, &pack, &err) != FRT_OK)
        fail_msg("%s", err.text);
    struct frt_eval_identify_report r = {0};
    const struct frt_eval_identify_options options = {.folder = folder, .splits = 8, .threads = 2};
    if (frt_eval_identify(context, pack, &options, &r, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.n_photos, 14);
    assert_int_equal(r.n_people, 9);
    assert_int_equal(r.n_several_people, 5);
    assert_int_equal(r.n_failures, 0);
    assert_int_equal(r.n_results, 2);
    assert_int_equal(r.results[0].n_mated, 8 * 5);
    assert_int_equal(r.results[0].n_non_mated, 8 * 2);
    assert_true(r.results[0].rank1 >= 0.9);
    frt_eval_identify_report_deinit(&r);
    const struct frt_eval_identify_options nowhere = {.folder = "/nonexistent"};
    assert_int_equal(frt_eval_identify(context, pack, &nowhere, &r, &err), FRT_ENOTFOUND);
    frt_pack_free(pack);
    frt_context_free(context);
    for (size_t i = 0; i <= n; i++) {
        const char *name = i < n ? people[i].name : "Abdel_Nasser_Assidi";
        for (int k = 1; k <= 2; k++) {
            (void)snprintf(to, sizeof to, "%s/%s/%d.jpg", folder, name, k);
            (void)unlink(to);
        }
        (void)snprintf(to, sizeof to, "%s/%s", folder, name);
        assert_int_equal(rmdir(to), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    free(real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_of_known_searches),
        cmocka_unit_test(equal_scores_pass_or_fail_together),
        cmocka_unit_test(splits_are_as_documented),
        cmocka_unit_test(best_and_fused),
        cmocka_unit_test(photos_without_a_face_are_misses),
        cmocka_unit_test(too_few_people_and_cancelling),
        cmocka_unit_test(failed_allocations_leave_nothing),
        cmocka_unit_test(reports_are_well_formed),
        cmocka_unit_test(real_people_are_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
