/*
 * The imported nets against the packages' own JavaScript, on real photos.
 *
 *     sample photo ─ decode ─ SSD (ours) ─ face box ─ crops ─ tensors ─┬─ ONNX Runtime ─ outputs ─┐
 *                                                                      └─ file ─ node ─ outputs ──┴─ compare
 *
 * Both sides get the same tensor, so decoding and cropping are not under test here. Tolerance 1e-3 on raw
 * outputs; seen: at most 5e-5 (the tiny detector's grid, whose values reach 40).
 *
 * SKIP when node, the npm packages or the runtime are absent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "image/image.h"
#include "infer/infer.h"
#include "model/import.h"
#include "model/model_file.h"
#include "model/pack_files.h"

#define TOLERANCE 1e-3

extern char **environ;

static const char face_api[] = "node_modules/@vladmandic/face-api";
static const char human[] = "node_modules/@vladmandic/human";
static const char *const photos[] = {"node_modules/@vladmandic/face-api/demo/sample1.jpg",
                                     "node_modules/@vladmandic/face-api/demo/sample4.jpg"};
enum { N_PHOTOS = sizeof photos / sizeof *photos, MAX_JOBS = 32 };

/* A net, its input tensor, and where node writes its outputs. */
struct job {
    const struct frt_model_spec *spec;
    uint32_t side_px;
    float *input;
    char argument[1152];
    char output[512];
    double largest[FRT_SESSION_MAX_OUTPUTS]; /* difference per output */
};

static char folder[256];
static struct frt_backend *backend;
static struct frt_manifest *manifest;
static struct job jobs[MAX_JOBS];
static size_t n_jobs;

static int run_program(char *const *arguments)
{
    pid_t pid;
    int status = -1;
    if (posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ) != 0)
        return -1;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *argument(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

static bool have_node(void)
{
    char *arguments[] = {argument("node"), argument("-e"), argument(""), NULL};
    int code = run_program(arguments);
    for (size_t i = 0; arguments[i] != NULL; i++)
        free(arguments[i]);
    return code == 0;
}

static struct frt_session *open_model(const struct frt_model_spec *spec)
{
    struct frt_error err;
    struct frt_session *session = NULL;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, spec->file);
    if (frt_session_open(backend, path, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return session;
}

/* One sample of a channel, bilinear between pixel centres; black outside. */
static double sample(const struct frt_frame *frame, double x, double y, int channel)
{
    double fx = floor(x - 0.5), fy = floor(y - 0.5), value = 0;
    for (int dy = 0; dy < 2; dy++) {
        for (int dx = 0; dx < 2; dx++) {
            double px = fx + dx, py = fy + dy;
            double share = (1 - fabs(x - 0.5 - px)) * (1 - fabs(y - 0.5 - py));
            if (px >= 0 && py >= 0 && px < frame->width_px && py < frame->height_px)
                value +=
                    share * frame->pixels[(size_t)py * frame->stride_bytes + (size_t)px * 3 + (size_t)channel];
        }
    }
    return value;
}

/* The square (left, top, size) of a frame as a net's normalised input. */
static float *crop(const struct frt_frame *frame, double left, double top, double size, uint32_t side_px,
                   const struct frt_model_input *input)
{
    float *tensor = frt_alloc_array((size_t)3 * side_px * side_px, sizeof *tensor);
    assert_non_null(tensor);
    assert_int_equal(input->color, FRT_COLOR_RGB);
    float *to = tensor;
    for (int c = 0; c < 3; c++) {
        for (uint32_t y = 0; y < side_px; y++) {
            for (uint32_t x = 0; x < side_px; x++) {
                double pixel =
                    sample(frame, left + (x + 0.5) * size / side_px, top + (y + 0.5) * size / side_px, c);
                *to++ = (float)((round(pixel) - (double)input->mean[c]) * (double)input->scale[c]);
            }
        }
    }
    return tensor;
}

static void job_add(const struct frt_model_spec *spec, uint32_t side_px, float *input)
{
    assert_true(n_jobs < MAX_JOBS);
    struct job *job = &jobs[n_jobs];
    job->spec = spec;
    job->side_px = side_px;
    job->input = input;
    char in[512], out[512];
    (void)snprintf(in, sizeof in, "%s/%zu.in", folder, n_jobs);
    (void)snprintf(out, sizeof out, "%s/%zu.out", folder, n_jobs);
    FILE *file = fopen(in, "wb");
    assert_non_null(file);
    size_t n = (size_t)3 * side_px * side_px;
    assert_int_equal(fwrite(input, sizeof *input, n, file), n);
    assert_int_equal(fclose(file), 0);
    memcpy(job->output, out, sizeof job->output);
    (void)snprintf(job->argument, sizeof job->argument, "%s:%s:%s:%u:%u", spec->name, in, out, side_px,
                   side_px);
    n_jobs++;
}

/* Best box of our own SSD on a tensor: centre and longer side in frame pixels. */
static void find_face(const struct frt_model_spec *spec, const float *tensor, double frame_side, double face[3])
{
    struct frt_error err;
    struct frt_outputs outputs;
    struct frt_session *session = open_model(spec);
    struct frt_tensor input = {.data = tensor, .dims = {1, 3, 512, 512}, .n_dims = 4};
    if (frt_session_run(session, &input, 1, &outputs, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const float *boxes = outputs.tensors[0].data, *scores = outputs.tensors[1].data;
    size_t best = 0;
    for (size_t i = 0; i < frt_tensor_size(&outputs.tensors[1]); i++)
        best = scores[i] > scores[best] ? i : best;
    assert_true(scores[best] > 0.8F); /* a sample photo shows a face */
    const float *box = boxes + 4 * best;
    face[0] = (double)(box[1] + box[3]) / 2 * frame_side;
    face[1] = (double)(box[0] + box[2]) / 2 * frame_side;
    face[2] = fmax((double)(box[3] - box[1]), (double)(box[2] - box[0])) * frame_side;
    frt_outputs_release(&outputs);
    frt_session_free(session);
}

static const struct frt_model_spec *model_named(const char *name)
{
    for (uint32_t i = 0; i < manifest->n_models; i++) {
        if (strcmp(manifest->models[i].name, name) == 0)
            return &manifest->models[i];
    }
    fail_msg("the pack has no model %s", name);
    return NULL;
}

/* All nets' inputs from one photo: whole for the detectors, the best face for the others. */
static void photo_add(const char *path)
{
    struct frt_error err;
    struct frt_image *image = NULL;
    struct frt_frame frame;
    struct frt_image_limits limits = {0};
    struct frt_decode_request request = {.want_side_px = 1024};
    if (frt_image_map(&limits, path, &image, &err) != FRT_OK ||
        frt_image_decode(image, &request, &frame, &err) != FRT_OK)
        fail_msg("%s: %s", path, err.text);
    double side = fmax(frame.width_px, frame.height_px), face[3];
    const struct frt_model_spec *ssd = model_named("ssd_mobilenetv1");
    float *whole = crop(&frame, 0, 0, side, 512, &ssd->input);
    find_face(ssd, whole, side, face);
    job_add(ssd, 512, whole);
    const struct frt_model_spec *tiny = model_named("tiny_face_detector");
    job_add(tiny, 416, crop(&frame, 0, 0, side, 416, &tiny->input));
    for (uint32_t i = 0; i < manifest->n_models; i++) {
        const struct frt_model_spec *spec = &manifest->models[i];
        if (spec->role == FRT_ROLE_DETECTOR)
            continue;
        double size = face[2] * (spec->crop_scale > 0 ? (double)spec->crop_scale : 1);
        job_add(spec, spec->input.width_px,
                crop(&frame, face[0] - size / 2, face[1] - size / 2, size, spec->input.width_px, &spec->input));
    }
    frt_frame_deinit(&frame);
    frt_image_free(image);
}

/* Another size for the net that takes any. */
static void other_size_add(void)
{
    const struct frt_model_spec *tiny = model_named("tiny_face_detector");
    const struct job *from = &jobs[1];
    assert_ptr_equal(from->spec, tiny);
    float *tensor = frt_alloc_array((size_t)3 * 224 * 224, sizeof *tensor);
    assert_non_null(tensor);
    for (size_t c = 0; c < 3; c++) /* the middle of the larger tensor */
        for (size_t y = 0; y < 224; y++)
            memcpy(tensor + (c * 224 + y) * 224, from->input + (c * 416 + y + 96) * 416 + 96,
                   224 * sizeof *tensor);
    job_add(tiny, 224, tensor);
}

static void node_run(void)
{
    char *arguments[MAX_JOBS + 5] = {argument("node"), argument("scripts/golden/run-nets.js"),
                                     argument(face_api), argument(human)};
    for (size_t i = 0; i < n_jobs; i++)
        arguments[4 + i] = argument(jobs[i].argument);
    assert_int_equal(run_program(arguments), 0);
    for (size_t i = 0; arguments[i] != NULL; i++)
        free(arguments[i]);
}

static void job_compare(struct job *job)
{
    struct frt_error err;
    struct frt_outputs outputs;
    uint8_t *bytes = NULL;
    size_t size, at = 0;
    struct frt_session *session = open_model(job->spec);
    struct frt_tensor input = {.data = job->input, .dims = {1, 3, job->side_px, job->side_px}, .n_dims = 4};
    if (frt_session_run(session, &input, 1, &outputs, &err) != FRT_OK)
        fail_msg("%s: %s", job->spec->name, err.text);
    if (frt_model_file_read(job->output, (size_t)1 << 26, &bytes, &size, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (uint32_t o = 0; o < outputs.n; o++) {
        size_t n = frt_tensor_size(&outputs.tensors[o]);
        assert_true(size - at >= n * sizeof(float));
        for (size_t i = 0; i < n; i++, at += sizeof(float)) {
            float theirs;
            memcpy(&theirs, bytes + at, sizeof theirs);
            double difference = fabs((double)outputs.tensors[o].data[i] - (double)theirs);
            assert_true(isfinite(difference));
            job->largest[o] = fmax(job->largest[o], difference);
        }
        print_message("%-20s %3u px  %-10s %6zu values  largest difference %.2g\n", job->spec->name,
                      job->side_px, session->info.outputs[o].name, n, job->largest[o]);
        if (job->largest[o] > TOLERANCE)
            fail_msg("%s: output %s differs by %g", job->spec->name, session->info.outputs[o].name,
                     job->largest[o]);
    }
    assert_int_equal(at, size);
    frt_free(bytes);
    frt_outputs_release(&outputs);
    frt_session_free(session);
}

static void imported_nets_answer_as_the_javascript(void **state)
{
    (void)state;
    for (int i = 0; i < N_PHOTOS; i++)
        photo_add(photos[i]);
    other_size_add();
    assert_int_equal(n_jobs, 8 * N_PHOTOS + 1);
    node_run();
    for (size_t i = 0; i < n_jobs; i++)
        job_compare(&jobs[i]);
}

static int set_up(void **state)
{
    (void)state;
    struct frt_error err;
    const char *base = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%s/frt-golden-XXXXXX", base != NULL ? base : P_tmpdir);
    if (mkdtemp(folder) == NULL)
        return -1;
    struct frt_import_options options = {.face_api_dir = face_api, .human_dir = human, .out_dir = folder};
    if (frt_model_import(&options, &err) != FRT_OK || frt_manifest_load(folder, &manifest, &err) != FRT_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        (void)unlink(path); /* "." and ".." refuse */
    }
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(folder);
    for (size_t i = 0; i < n_jobs; i++)
        frt_free(jobs[i].input);
    frt_manifest_free(manifest);
    frt_backend_free(backend);
    return 0;
}

int main(void)
{
    struct frt_error err;
    if (access("node_modules/@vladmandic/face-api/package.json", R_OK) != 0 ||
        access("node_modules/@vladmandic/human/package.json", R_OK) != 0) {
        (void)fprintf(stderr, "SKIP: the npm packages are not installed (npm ci --ignore-scripts)\n");
        return 77;
    }
    if (!have_node()) {
        (void)fprintf(stderr, "SKIP: node is not installed\n");
        return 77;
    }
    if (frt_backend_onnxruntime_new(NULL, &backend, &err) != FRT_OK) {
        (void)fprintf(stderr, "SKIP: %s\n", err.text);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(imported_nets_answer_as_the_javascript)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
