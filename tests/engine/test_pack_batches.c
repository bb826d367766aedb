/*
 * Batches of the default pack's own embedder: a face in company has the embedding that it has alone, and the
 * measurement in the background comes to a choice, another one for a device before the CPU. Skipped (77)
 * without the pack, the runtime or the photos.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/batch_tune.h"
#include "engine/context.h"
#include "engine/pack.h"
#include "infer/failover.h"
#include "infer/infer_fake.h"

enum { MOST = 8, MAX_DIM = 512 };

static struct frt_context *context;
static struct frt_pack *pack;
static const char *pack_path;

/* Aligned faces of the sample photos. */
static uint8_t *chips;
static size_t n_chips, chip_bytes;

static void add_chips(const char *path)
{
    const struct frt_decode_request all = {0};
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_faces *faces = NULL;
    assert_int_equal(frt_image_open_file(context, path, &image, NULL), FRT_OK);
    assert_int_equal(frt_image_decode(image, &all, &frame, NULL), FRT_OK);
    assert_int_equal(frt_detect(pack, image, NULL, &faces, NULL), FRT_OK);
    for (size_t i = 0; i < frt_faces_count(faces) && n_chips < MOST; i++)
        assert_int_equal(frt_embedder_align(pack->embedder, &frame, frt_faces_get(faces, i)->landmarks,
                                            chips + n_chips++ * chip_bytes, NULL),
                         FRT_OK);
    frt_faces_free(faces);
    frt_frame_deinit(&frame);
    frt_image_free(image);
}

static int open_pack(void **state)
{
    (void)state;
    const struct frt_stage_limits limits = {.cores = 1};
    const struct frt_context_options options = {.stages = &limits};
    char photo[128];
    assert_int_equal(frt_context_new(&options, &context, NULL), FRT_OK);
    assert_int_equal(frt_pack_open(context, pack_path, NULL, &pack, NULL), FRT_OK);
    assert_non_null(pack->batcher);
    assert_true(pack->info.dim <= MAX_DIM);
    chip_bytes = frt_embedder_chip_bytes(pack->embedder);
    chips = frt_alloc_array(MOST, chip_bytes);
    assert_non_null(chips);
    n_chips = 0;
    for (int i = 1; i <= 6 && n_chips < MOST; i++) {
        (void)snprintf(photo, sizeof photo, "node_modules/@vladmandic/face-api/demo/sample%d.jpg", i);
        add_chips(photo);
    }
    assert_true(n_chips >= 4);
    return 0;
}

static int close_pack(void **state)
{
    (void)state;
    frt_free(chips);
    frt_pack_free(pack);
    frt_context_free(context);
    return 0;
}

struct caller {
    pthread_t thread;
    const uint8_t *chip;
    float out[MAX_DIM];
    struct frt_batch_times times;
    enum frt_status status;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    c->status = frt_batcher_run(pack->batcher, c->chip, 1, NULL, c->out, &c->times, NULL);
    return NULL;
}

static void company_changes_no_embedding(void **state)
{
    (void)state;
    static struct caller callers[MOST];
    float alone[MAX_DIM];
    uint32_t dim = pack->info.dim;
    frt_pack_batches_start(pack, (uint32_t)n_chips);
    frt_batcher_set(pack->batcher, (uint32_t)n_chips, 3600000000u);
    assert_int_equal(frt_stage_enter(context->stages, FRT_STAGE_DETECT, NULL, NULL), FRT_OK);
    for (size_t i = 0; i < n_chips; i++) {
        callers[i].chip = chips + i * chip_bytes;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    while (frt_stage_stats_get(context->stages, FRT_STAGE_RECOGNIZE).queued == 0)
        (void)usleep(500);
    frt_stage_leave(context->stages, FRT_STAGE_DETECT);
    for (size_t i = 0; i < n_chips; i++) {
        double inference_ms = 0, cosine = 0, most = 0;
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_int_equal(callers[i].status, FRT_OK);
        assert_true(callers[i].times.inference_ms > 0);
        assert_int_equal(frt_embedder_run(pack->embedder, callers[i].chip, 1, alone, &inference_ms, NULL),
                         FRT_OK);
        for (uint32_t k = 0; k < dim; k++) {
            cosine += (double)alone[k] * (double)callers[i].out[k];
            most = fmax(most, fabs((double)alone[k] - (double)callers[i].out[k]));
        }
        /* other sums in another order: a few units in the last place of f32, of values up to 1 */
        assert_true(most < 1e-5);
        assert_true(cosine > 1 - 1e-6);
    }
    struct frt_batcher_stats stats = frt_batcher_stats_get(pack->batcher);
    assert_int_equal(stats.count, 1);
    assert_int_equal(stats.items, n_chips);
}

static void the_measurement_comes_to_a_choice(void **state)
{
    (void)state;
    frt_pack_batches_start(pack, 0);
    frt_pack_batches_start(pack, 0); /* once */
    assert_true(pack->measuring);
    /* a slow machine comes to none; then the choice stays what it was */
    assert_int_equal(pthread_join(pack->measurer, NULL), 0);
    pack->measuring = false;
    struct frt_batcher_stats stats = frt_batcher_stats_get(pack->batcher);
    assert_true(stats.best == 1 || stats.best == 2 || stats.best == 4 || stats.best == 8);
    assert_true((stats.best == 1) == (stats.window_us == 0));
    print_message("%u faces, window %.1f ms\n", stats.best, stats.window_us / 1000.0);
}

static void a_pack_may_be_closed_while_it_measures(void **state)
{
    (void)state;
    frt_pack_batches_start(pack, 0);
    /* close_pack does it */
}

/* A device whose inference costs the same however many faces are in it, until it is lost. */
static struct {
    struct frt_fake_model model;
    char file[FRT_SPEC_PATH_MAX];
    atomic_bool lost;
    atomic_uint most, runs;
} gpu;

static enum frt_status on_gpu(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                              struct frt_fake_output *outputs, struct frt_error *err)
{
    const int64_t n = inputs[0].dims[0];
    const struct frt_tensor_info *out = &gpu.model.info.outputs[0];
    int64_t dims[FRT_TENSOR_MAX_DIMS];
    (void)arg;
    (void)n_inputs;
    (void)atomic_fetch_add(&gpu.runs, 1);
    if (atomic_load(&gpu.lost))
        return frt_fail(err, FRT_ERUNTIME, "injected: lost");
    if ((unsigned)n > atomic_load(&gpu.most))
        atomic_store(&gpu.most, (unsigned)n);
    for (uint32_t i = 0; i < out->n_dims; i++)
        dims[i] = i == 0 ? n : out->dims[i] < 0 ? 1 : out->dims[i];
    float *rows = frt_fake_output_alloc(&outputs[0], dims, out->n_dims);
    if (rows == NULL)
        return frt_fail_nomem(err, "rows");
    for (int64_t i = 0; i < n; i++)
        rows[i * (int64_t)pack->info.dim] = 1;
    (void)usleep(5000);
    return FRT_OK;
}

static struct frt_backend *device_before(struct frt_backend *cpu)
{
    struct frt_failover_options options = {
        .fallback = cpu, .device = "cuda:0", .agreement = -1, .first_probe_ms = 3600000};
    struct frt_backend *backend = NULL;
    assert_int_equal(frt_backend_fake_new(&gpu.model, 1, &options.primary, NULL), FRT_OK);
    assert_int_equal(frt_backend_failover_new(&options, &backend, NULL), FRT_OK);
    return backend;
}

static void learn_the_embedder(void)
{
    for (uint32_t i = 0; i < pack->manifest->n_models; i++) {
        const struct frt_model_spec *spec = &pack->manifest->models[i];
        if (spec->role != FRT_ROLE_EMBEDDER || pack->sessions[i] == NULL)
            continue;
        const char *slash = strrchr(spec->file, '/');
        (void)snprintf(gpu.file, sizeof gpu.file, "%s", slash != NULL ? slash + 1 : spec->file);
        gpu.model = (struct frt_fake_model){.file = gpu.file, .info = pack->sessions[i]->info, .run = on_gpu};
    }
    assert_non_null(gpu.model.file);
    assert_int_equal(gpu.model.info.n_outputs, 1);
}

static void a_device_has_a_best_of_its_own(void **state)
{
    (void)state;
    const struct frt_stage_limits limits = {.cores = 2};
    const struct frt_context_options options = {.stages = &limits};
    const struct frt_onnxruntime_options runtime = {.threads = 2, .narrow_too = true};
    struct frt_backend *cpu = NULL;
    float row[MAX_DIM], alone[MAX_DIM];
    double inference_ms = 0;
    struct frt_batch_times times = {0};
    learn_the_embedder();
    struct frt_context *own_context = context;
    struct frt_pack *own_pack = pack;
    assert_int_equal(frt_embedder_run(pack->embedder, chips, 1, alone, &inference_ms, NULL), FRT_OK);
    assert_int_equal(frt_backend_onnxruntime_new(&runtime, &cpu, NULL), FRT_OK);
    assert_int_equal(frt_context_new_over(device_before(cpu), &options, &context, NULL), FRT_OK);
    assert_int_equal(frt_pack_open(context, pack_path, NULL, &pack, NULL), FRT_OK);
    assert_string_equal(frt_embedder_device(pack->embedder), "cuda:0");
    frt_pack_batches_start(pack, 0);
    assert_int_equal(pthread_join(pack->measurer, NULL), 0);
    pack->measuring = false;
    struct frt_batcher_stats on_device = frt_batcher_stats_get(pack->batcher);
    /* half as long a face at each doubling: as many as are allowed */
    assert_true(on_device.best > FRT_TUNE_CPU_MOST && on_device.best <= FRT_BATCH_MAX);
    assert_int_equal(atomic_load(&gpu.most), on_device.best);
    assert_int_equal(frt_batcher_run(pack->batcher, chips, 1, NULL, row, &times, NULL), FRT_OK);
    assert_true(fabsf(row[0] - alone[0]) > 1e-3F); /* the device's */
    /* lost: this very run is the CPU's, and so is the best from now on */
    atomic_store(&gpu.lost, true);
    assert_int_equal(frt_batcher_run(pack->batcher, chips, 1, NULL, row, &times, NULL), FRT_OK);
    assert_string_equal(frt_embedder_device(pack->embedder), "cpu");
    for (uint32_t k = 0; k < pack->info.dim; k++)
        assert_true(fabsf(row[k] - alone[k]) < 1e-5F);
    assert_true(frt_batcher_stats_get(pack->batcher).best <= FRT_TUNE_CPU_MOST);
    print_message("%u faces on the device, %u on the CPU\n", on_device.best,
                  frt_batcher_stats_get(pack->batcher).best);
    frt_pack_free(pack);
    /* one that is down is waited for, and no longer than the pack is open */
    assert_int_equal(frt_pack_open(context, pack_path, NULL, &pack, NULL), FRT_OK);
    assert_string_equal(frt_embedder_device(pack->embedder), "cpu");
    frt_pack_batches_start(pack, 0);
    frt_pack_free(pack);
    frt_context_free(context);
    context = own_context;
    pack = own_pack;
}

static void a_fixed_size_keeps_to_what_each_place_takes(void **state)
{
    (void)state;
    frt_pack_batches_start(pack, 1000);
    assert_int_equal(frt_batcher_stats_get(pack->batcher).best, FRT_TUNE_CPU_MOST);
    assert_false(pack->measuring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(company_changes_no_embedding, open_pack, close_pack),
        cmocka_unit_test_setup_teardown(the_measurement_comes_to_a_choice, open_pack, close_pack),
        cmocka_unit_test_setup_teardown(a_device_has_a_best_of_its_own, open_pack, close_pack),
        cmocka_unit_test_setup_teardown(a_fixed_size_keeps_to_what_each_place_takes, open_pack, close_pack),
        cmocka_unit_test_setup_teardown(a_pack_may_be_closed_while_it_measures, open_pack, close_pack),
    };
    struct frt_error err = {0};
    pack_path = getenv("FRT_TEST_PACK");
    if (pack_path == NULL)
        pack_path = "data/packs/default";
    if (access(pack_path, R_OK) != 0 ||
        access("node_modules/@vladmandic/face-api/demo/sample1.jpg", R_OK) != 0) {
        (void)fprintf(stderr, "SKIP: no pack in %s, or no sample photos\n", pack_path);
        return 77;
    }
    if (frt_context_new(NULL, &context, &err) != FRT_OK) {
        (void)fprintf(stderr, "SKIP: %s\n", err.text);
        return 77;
    }
    frt_context_free(context);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
