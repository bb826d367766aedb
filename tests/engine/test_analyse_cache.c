/*
 * What the caches of photos may and may not do, over a fake backend that counts what is asked of it: three
 * faces at fixed places, and embeddings that are the colours of their crops, so that another photo, another
 * model or another choice of faces has another answer.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/redis_server.h"
#include "cache/shared_cache.h"
#include "core/clock.h"
#include "core/mem.h"
#include "engine/context.h"
#include "engine/pack.h"
#include "image/jpeg_write.h"
#include "infer/infer_fake.h"

enum { SIDE = 64, DIM = 4, FACES = 3, CALLERS = 6 };

/* ---------------------------------------------------------------- the fakes */

/* What stands in for the two nets, and what they were asked. */
struct fakes {
    atomic_uint detections, crops; /* runs of the detector; crops that were embedded */
    float bias;                    /* of the embedder's weights */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;             /* the detector waits */
    enum frt_status failure; /* of the detector's next run */
};

static struct fakes fakes;

static const struct {
    float cx, cy, side;
} places[FACES] = {{20, 20, 34}, {50, 20, 18}, {20, 52, 14}};

static void put_face(size_t i, float *boxes, float *points, float *scores)
{
    const float stride = 8;
    const size_t column = (size_t)(places[i].cx / stride), row = (size_t)(places[i].cy / stride);
    const size_t cell = row * (SIDE / 8) + column;
    static const float five[2 * FRT_LANDMARK_COUNT] = {-0.2F, -0.1F,  0.2F, -0.1F, 0,
                                                       0.1F,  -0.15F, 0.3F, 0.15F, 0.3F};
    scores[cell] = 0.9F - 0.1F * (float)i;
    boxes[4 * cell] = places[i].cx / stride - (float)column;
    boxes[4 * cell + 1] = places[i].cy / stride - (float)row;
    boxes[4 * cell + 2] = boxes[4 * cell + 3] = logf(places[i].side / stride);
    for (size_t k = 0; k < FRT_LANDMARK_COUNT; k++) {
        points[10 * cell + 2 * k] = (places[i].cx + five[2 * k] * places[i].side) / stride - (float)column;
        points[10 * cell + 2 * k + 1] = (places[i].cy + five[2 * k + 1] * places[i].side) / stride - (float)row;
    }
}

static enum frt_status run_detector(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                                    struct frt_fake_output *outputs, struct frt_error *err)
{
    static const int64_t rows[3] = {64, 16, 4}, channels[4] = {1, 1, 4, 10};
    float *values[4][3];
    (void)arg;
    (void)inputs;
    (void)n_inputs;
    (void)atomic_fetch_add(&fakes.detections, 1);
    (void)pthread_mutex_lock(&fakes.lock);
    (void)pthread_cond_broadcast(&fakes.changed);
    while (fakes.closed)
        (void)pthread_cond_wait(&fakes.changed, &fakes.lock);
    const enum frt_status failure = fakes.failure;
    fakes.failure = FRT_OK;
    (void)pthread_mutex_unlock(&fakes.lock);
    if (failure != FRT_OK)
        return frt_fail(err, failure, "the fake detector fails");
    for (int kind = 0; kind < 4; kind++) {
        for (int k = 0; k < 3; k++) {
            values[kind][k] =
                frt_fake_output_alloc(&outputs[3 * kind + k], (const int64_t[]){1, rows[k], channels[kind]}, 3);
            if (values[kind][k] == NULL)
                return frt_fail_nomem(err, "the fake detector");
        }
    }
    for (size_t i = 0; i < FACES; i++) {
        put_face(i, values[2][0], values[3][0], values[0][0]);
        put_face(i, values[2][0], values[3][0], values[1][0]);
    }
    return FRT_OK;
}

static enum frt_status run_embedder(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                                    struct frt_fake_output *outputs, struct frt_error *err)
{
    const int64_t n = inputs[0].dims[0];
    const size_t plane = (size_t)(inputs[0].dims[2] * inputs[0].dims[3]);
    float *out = frt_fake_output_alloc(outputs, (const int64_t[]){n, DIM}, 2);
    (void)arg;
    (void)n_inputs;
    if (out == NULL)
        return frt_fail_nomem(err, "the fake embedder");
    (void)atomic_fetch_add(&fakes.crops, (uint32_t)n);
    for (int64_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++) {
            double sum = 0;
            for (size_t k = 0; k < plane; k++)
                sum += (double)inputs[0].data[((size_t)i * 3 + c) * plane + k];
            out[i * DIM + (int64_t)c] = (float)(sum / (double)plane) + fakes.bias;
        }
        out[i * DIM + 3] = 1 + fakes.bias * fakes.bias;
    }
    return FRT_OK;
}

static struct frt_context *make_context(bool caches)
{
    static struct frt_fake_model models[2] = {{.file = "detector.onnx", .run = run_detector},
                                              {.file = "embedder.onnx", .run = run_embedder}};
    static const int64_t rows[3] = {64, 16, 4}, channels[4] = {1, 1, 4, 10};
    struct frt_context_options options = {0};
    struct frt_context *context = NULL;
    struct frt_backend *backend = NULL;
    models[0].info = (struct frt_session_info){.n_inputs = 1, .n_outputs = 12};
    models[0].info.inputs[0] = (struct frt_tensor_info){"in", {1, 3, SIDE, SIDE}, 4, true};
    for (uint32_t i = 0; i < 12; i++)
        models[0].info.outputs[i] = (struct frt_tensor_info){"out", {1, rows[i % 3], channels[i / 3]}, 3, true};
    models[1].info = (struct frt_session_info){.n_inputs = 1, .n_outputs = 1};
    models[1].info.inputs[0] = (struct frt_tensor_info){"in", {-1, 3, 112, 112}, 4, true};
    models[1].info.outputs[0] = (struct frt_tensor_info){"out", {-1, DIM}, 2, true};
    if (caches) {
        options.embedding_cache.entries = 500;
        options.image_cache.entries = 200;
    }
    assert_int_equal(frt_backend_fake_new(models, 2, &backend, NULL), FRT_OK);
    assert_int_equal(frt_context_new_over(backend, &options, &context, NULL), FRT_OK);
    return context;
}

/* ----------------------------------------------------------------- packs */

struct place {
    char folder[64];
    struct frt_context *context, *plain; /* with caches, without */
    struct frt_pack *pack, *plain_pack;
};

static void write_text(const char *folder, const char *file, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* sha256 NULL: not pinned. */
static void write_pack(const char *folder, const char *version, const char *sha256)
{
    static const char input[] =
        "\"input\":{\"color\":\"rgb\",\"mean\":[0,0,0],\"scale\":[0.0078125,0.0078125,0.0078125]}";
    char text[4096], pin[100] = "";
    if (sha256 != NULL)
        (void)snprintf(pin, sizeof pin, "\"sha256\":\"%s\",", sha256);
    (void)snprintf(text, sizeof text,
                   "{\"format\":\"frt-pack\",\"format_version\":1,\"name\":\"fake\",\"version\":\"%s\","
                   "\"models\":["
                   "{\"role\":\"detector\",\"name\":\"one\",\"family\":\"yunet\",\"file\":\"detector.onnx\","
                   "%s%s,\"default\":true,\"min_confidence\":0.5,\"nms_iou\":0.3},"
                   "{\"role\":\"detector\",\"name\":\"two\",\"family\":\"yunet\",\"file\":\"detector.onnx\","
                   "%s%s,\"min_confidence\":0.5,\"nms_iou\":0.3},"
                   "{\"role\":\"embedder\",\"name\":\"e\",\"version\":\"1\",\"family\":\"arcface\","
                   "\"file\":\"embedder.onnx\",%s%s,\"template\":\"arcface112\",\"dim\":4,\"threshold\":0.5}]}",
                   version, pin, input, pin, input, pin, input);
    write_text(folder, "manifest.json", text);
}

static struct frt_pack *open_pack(struct frt_context *context, const char *folder, const char *detector)
{
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    const struct frt_pack_options options = {.detector = detector};
    if (frt_pack_open(context, folder, &options, &pack, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return pack;
}

static int start(void **state)
{
    struct place *p = test_calloc(1, sizeof *p);
    (void)snprintf(p->folder, sizeof p->folder, "/tmp/frt-test-cache-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    write_pack(p->folder, "1", NULL);
    memset(&fakes, 0, sizeof fakes);
    (void)pthread_mutex_init(&fakes.lock, NULL);
    (void)pthread_cond_init(&fakes.changed, NULL);
    p->context = make_context(true);
    p->plain = make_context(false);
    p->pack = open_pack(p->context, p->folder, NULL);
    p->plain_pack = open_pack(p->plain, p->folder, NULL);
    *state = p;
    return 0;
}

static int finish(void **state)
{
    struct place *p = *state;
    char command[128];
    frt_pack_free(p->pack);
    frt_pack_free(p->plain_pack);
    frt_context_free(p->context);
    frt_context_free(p->plain);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    assert_int_equal(system(command), 0);
    (void)pthread_mutex_destroy(&fakes.lock);
    (void)pthread_cond_destroy(&fakes.changed);
    test_free(p);
    return 0;
}

static void forget_counts(void)
{
    atomic_store(&fakes.detections, 0);
    atomic_store(&fakes.crops, 0);
}

static void expect_counts(uint32_t detections, uint32_t crops)
{
    assert_int_equal(atomic_load(&fakes.detections), detections);
    assert_int_equal(atomic_load(&fakes.crops), crops);
    forget_counts();
}

/* ---------------------------------------------------------------- photos */

struct photo {
    uint8_t *bytes;
    size_t size;
};

static struct photo photo_of(uint32_t seed)
{
    static uint8_t pixels[SIDE * SIDE * 3];
    struct photo p = {0};
    for (size_t i = 0; i < sizeof pixels; i++) {
        if (i % (3 * 16) == 0) /* patches, so that the crops differ */
            seed = seed * 1664525U + 1013904223U;
        pixels[i] = (uint8_t)(seed >> (8 * (i % 3)));
    }
    assert_int_equal(frt_jpeg_encode(pixels, SIDE, SIDE, (size_t)SIDE * 3, 90, &p.bytes, &p.size, NULL),
                     FRT_OK);
    return p;
}

static enum frt_status ask(const struct frt_pack *pack, const struct photo *photo, bool embed,
                           const struct frt_detect_options *options, struct frt_faces **out,
                           struct frt_error *err)
{
    struct frt_image *image = NULL;
    enum frt_status status = frt_image_open_memory(pack->context, photo->bytes, photo->size, &image, err);
    if (status != FRT_OK)
        return status;
    status = (embed ? frt_embed : frt_detect)(pack, image, options, out, err);
    frt_image_free(image);
    return status;
}

static struct frt_faces *answer_of(const struct frt_pack *pack, const struct photo *photo, bool embed,
                                   const struct frt_detect_options *options)
{
    struct frt_faces *faces = NULL;
    struct frt_error err = {0};
    if (ask(pack, photo, embed, options, &faces, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return faces;
}

static void expect_equal(const struct frt_faces *a, const struct frt_faces *b, bool embed)
{
    assert_int_equal(frt_faces_count(a), frt_faces_count(b));
    for (size_t i = 0; i < frt_faces_count(a); i++) {
        const struct frt_face *f = frt_faces_get(a, i), *g = frt_faces_get(b, i);
        assert_memory_equal(&f->box, &g->box, sizeof f->box);
        assert_memory_equal(f->landmarks, g->landmarks, sizeof f->landmarks);
        assert_true(f->confidence == g->confidence);
        if (embed)
            assert_memory_equal(frt_faces_embedding(a, i), frt_faces_embedding(b, i), DIM * sizeof(float));
    }
}

static bool same_embedding(const struct frt_faces *a, const struct frt_faces *b, size_t i)
{
    return memcmp(frt_faces_embedding(a, i), frt_faces_embedding(b, i), DIM * sizeof(float)) == 0;
}

/* The answer is that of a context without caches, and cost so much. */
static void expect_answer(struct place *p, const struct photo *photo, bool embed,
                          const struct frt_detect_options *options, enum frt_cached cached, uint32_t detections,
                          uint32_t crops)
{
    struct frt_faces *plain = answer_of(p->plain_pack, photo, embed, options);
    forget_counts();
    struct frt_faces *faces = answer_of(p->pack, photo, embed, options);
    expect_counts(detections, crops);
    assert_int_equal(frt_faces_timing(faces).cached, cached);
    assert_int_equal(frt_faces_timing(plain).cached, FRT_CACHED_NOT);
    expect_equal(faces, plain, embed);
    frt_faces_free(faces);
    frt_faces_free(plain);
}

/* ---------------------------------------------------------- many at a time */

struct caller {
    pthread_t thread;
    const struct frt_pack *pack;
    const struct photo *photo;
    struct frt_detect_options options;
    struct frt_faces *faces;
    enum frt_status status;
    struct frt_error err;
    atomic_uint asked;
    atomic_bool cancel;
    bool joined;
};

static bool cancelled(void *arg)
{
    struct caller *c = arg;
    (void)atomic_fetch_add(&c->asked, 1);
    return atomic_load(&c->cancel);
}

static void *call(void *arg)
{
    struct caller *c = arg;
    c->status = ask(c->pack, c->photo, true, &c->options, &c->faces, &c->err);
    return NULL;
}

/* The first is inside the detector, the others wait for him, when this returns. */
static void start_callers(struct caller *callers, const struct frt_pack *pack, const struct photo *photo)
{
    (void)pthread_mutex_lock(&fakes.lock);
    fakes.closed = true;
    (void)pthread_mutex_unlock(&fakes.lock);
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.pack = pack, .photo = photo};
        callers[i].options.cancelled = cancelled;
        callers[i].options.cancelled_arg = &callers[i];
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
        (void)pthread_mutex_lock(&fakes.lock);
        while (i == 0 && atomic_load(&fakes.detections) == 0)
            (void)pthread_cond_wait(&fakes.changed, &fakes.lock);
        (void)pthread_mutex_unlock(&fakes.lock);
    }
    for (size_t i = 1; i < CALLERS; i++) /* once before the work, then while waiting */
        while (atomic_load(&callers[i].asked) < 2)
            (void)usleep(1000);
}

static void let_go(struct caller *callers)
{
    (void)pthread_mutex_lock(&fakes.lock);
    fakes.closed = false;
    (void)pthread_cond_broadcast(&fakes.changed);
    (void)pthread_mutex_unlock(&fakes.lock);
    for (size_t i = 0; i < CALLERS; i++)
        if (!callers[i].joined)
            assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
}

static void identical_photos_in_flight_cost_one_inference(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(1);
    struct frt_faces *plain = answer_of(p->plain_pack, &photo, true, NULL);
    struct caller callers[CALLERS];
    forget_counts();
    start_callers(callers, p->pack, &photo);
    let_go(callers);
    expect_counts(1, FACES);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, FRT_OK);
        assert_int_equal(frt_faces_timing(callers[i].faces).cached,
                         i == 0 ? FRT_CACHED_MISS : FRT_CACHED_SHARED);
        expect_equal(callers[i].faces, plain, true);
        frt_faces_free(callers[i].faces);
    }
    struct frt_cache_stats stats[2];
    assert_int_equal(frt_context_cache_stats(p->context, stats, 2), 2);
    assert_string_equal(stats[0].name, "embedding");
    assert_int_equal(stats[0].misses, 1);
    assert_int_equal(stats[0].shared, CALLERS - 1);
    assert_int_equal(stats[0].hits, 0);
    assert_int_equal(stats[0].entries, 1);
    assert_string_equal(stats[1].name, "image");
    assert_int_equal(stats[1].misses, 1);
    frt_faces_free(plain);
    frt_jpeg_bytes_free(photo.bytes);
}

static void who_hangs_up_does_not_take_the_others_along(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(2);
    struct caller callers[CALLERS];
    start_callers(callers, p->pack, &photo);
    atomic_store(&callers[1].cancel, true); /* one who waits: at once */
    assert_int_equal(pthread_join(callers[1].thread, NULL), 0);
    callers[1].joined = true;
    atomic_store(&callers[0].cancel, true); /* he who works: after his step */
    let_go(callers);
    assert_int_equal(callers[0].status, FRT_ECANCELLED);
    assert_int_equal(callers[1].status, FRT_ECANCELLED);
    expect_counts(2, FACES); /* one of those who stayed did it anew, and only one */
    for (size_t i = 2; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, FRT_OK);
        frt_faces_free(callers[i].faces);
    }
    frt_jpeg_bytes_free(photo.bytes);
}

static void a_failure_is_told_to_all_and_not_remembered(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(3);
    struct caller callers[CALLERS];
    fakes.failure = FRT_ERUNTIME;
    start_callers(callers, p->pack, &photo);
    let_go(callers);
    expect_counts(1, 0);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, FRT_ERUNTIME);
        assert_non_null(strstr(callers[i].err.text, "the fake detector fails"));
    }
    expect_answer(p, &photo, true, NULL, FRT_CACHED_MISS, 1, FACES);
    frt_jpeg_bytes_free(photo.bytes);
}

/* ------------------------------------------------------------ one at a time */

static void a_photo_that_comes_again_costs_nothing(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(4), other = photo_of(5);
    expect_answer(p, &photo, true, NULL, FRT_CACHED_MISS, 1, FACES);
    expect_answer(p, &photo, true, NULL, FRT_CACHED_EMBEDDING, 0, 0);
    expect_answer(p, &photo, false, NULL, FRT_CACHED_IMAGE, 0, 0);
    expect_answer(p, &other, false, NULL, FRT_CACHED_MISS, 1, 0);
    expect_answer(p, &other, false, NULL, FRT_CACHED_IMAGE, 0, 0);
    expect_answer(p, &other, true, NULL, FRT_CACHED_IMAGE, 0, FACES); /* detections are there */
    expect_answer(p, &other, true, NULL, FRT_CACHED_EMBEDDING, 0, 0);
    /* one byte behind the picture's end: who is to know that it means nothing? */
    struct photo longer = {test_malloc(photo.size + 1), photo.size + 1};
    memcpy(longer.bytes, photo.bytes, photo.size);
    longer.bytes[photo.size] = 0;
    expect_answer(p, &longer, true, NULL, FRT_CACHED_MISS, 1, FACES);
    test_free(longer.bytes);
    frt_jpeg_bytes_free(photo.bytes);
    frt_jpeg_bytes_free(other.bytes);
}

static void options_that_matter_have_keys_of_their_own(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(6);
    expect_answer(p, &photo, true, NULL, FRT_CACHED_MISS, 1, FACES);
    struct frt_detect_options sure = {.min_confidence = 0.85F}, large = {.min_size_px = 16};
    for (enum frt_cached cached = FRT_CACHED_MISS;; cached = FRT_CACHED_EMBEDDING) {
        const uint32_t runs = cached == FRT_CACHED_MISS;
        expect_answer(p, &photo, true, &sure, cached, runs, runs);
        expect_answer(p, &photo, true, &large, cached, runs, 2 * runs);
        if (cached == FRT_CACHED_EMBEDDING)
            break;
    }
    /* those that do not change what is found have not */
    const struct frt_detect_options soon = {.deadline_ms = frt_now_ns() / 1000000 + 60000, .bulk = true};
    expect_answer(p, &photo, true, &soon, FRT_CACHED_EMBEDDING, 0, 0);
    /* another detector of the same pack */
    struct frt_pack *second = open_pack(p->context, p->folder, "two");
    forget_counts();
    frt_faces_free(answer_of(second, &photo, true, NULL));
    expect_counts(1, FACES);
    frt_pack_free(second);
    frt_jpeg_bytes_free(photo.bytes);
}

static void each_gets_as_many_faces_as_he_asked_for(void **state)
{
    struct place *p = *state;
    /* every order of wishes, so that what is remembered was made for fewer, for as many and for more */
    static const uint32_t orders[][4] = {{1, 3, 1, 2}, {3, 1, 2, 0}, {2, 1, 0, 2}, {1, 2, 3, 0}, {0, 1, 2, 3}};
    for (uint32_t embed = 0; embed <= 1; embed++) {
        for (uint32_t o = 0; o < sizeof orders / sizeof *orders; o++) {
            struct photo photo = photo_of(100 + 10 * embed + o);
            uint32_t most = 0;
            for (size_t i = 0; i < 4; i++) {
                const struct frt_detect_options options = {.max_faces = orders[o][i]};
                const uint32_t faces = orders[o][i] == 0 ? FACES : orders[o][i];
                struct frt_faces *plain = answer_of(p->plain_pack, &photo, embed == 1, &options);
                assert_int_equal(frt_faces_count(plain), faces);
                forget_counts();
                struct frt_faces *cached = answer_of(p->pack, &photo, embed == 1, &options);
                expect_equal(cached, plain, embed == 1);
                if (faces <= most) /* what is there suffices */
                    expect_counts(0, 0);
                most = faces > most ? faces : most;
                frt_faces_free(plain);
                frt_faces_free(cached);
            }
            frt_jpeg_bytes_free(photo.bytes);
        }
    }
}

/* ------------------------------------------------------------ other models */

/* The same manifest, other weights behind it: nothing that the former said is said again. */
static void a_model_that_was_exchanged_answers_itself(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(7);
    struct frt_faces *before = answer_of(p->pack, &photo, true, NULL);
    frt_pack_free(p->pack);
    fakes.bias = 0.7F;
    p->pack = open_pack(p->context, p->folder, NULL);
    forget_counts();
    struct frt_faces *after = answer_of(p->pack, &photo, true, NULL);
    expect_counts(1, FACES);
    assert_false(same_embedding(before, after, 0));
    frt_faces_free(after);
    frt_faces_free(before);
    frt_jpeg_bytes_free(photo.bytes);
}

/* Pinned files: the manifest's id stands for them. The same pack opened again is the same; files that changed
 * do not open; a manifest that changed is another pack. */
static void pinned_models_are_known_again(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(8);
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    char sha256[FRT_SHA256_HEX_SIZE];
    frt_sha256_hex("weights", 7, sha256);
    write_text(p->folder, "detector.onnx", "weights");
    write_text(p->folder, "embedder.onnx", "weights");
    write_pack(p->folder, "1", sha256);
    pack = open_pack(p->context, p->folder, NULL);
    forget_counts();
    frt_faces_free(answer_of(pack, &photo, true, NULL));
    expect_counts(1, FACES);
    frt_pack_free(pack);
    pack = open_pack(p->context, p->folder, NULL);
    frt_faces_free(answer_of(pack, &photo, true, NULL));
    expect_counts(0, 0);
    frt_pack_free(pack);

    write_text(p->folder, "embedder.onnx", "other weights");
    pack = NULL;
    assert_int_equal(frt_pack_open(p->context, p->folder, NULL, &pack, &err), FRT_EBAD_MODEL);
    const struct frt_pack_options unchecked = {.skip_checksums = true};
    fakes.bias = 0.5F;
    assert_int_equal(frt_pack_open(p->context, p->folder, &unchecked, &pack, &err), FRT_OK);
    frt_faces_free(answer_of(pack, &photo, true, NULL));
    expect_counts(1, FACES);
    frt_pack_free(pack);

    write_text(p->folder, "embedder.onnx", "weights");
    write_pack(p->folder, "2", sha256);
    pack = open_pack(p->context, p->folder, NULL);
    frt_faces_free(answer_of(pack, &photo, true, NULL));
    expect_counts(1, FACES);
    frt_pack_free(pack);
    frt_jpeg_bytes_free(photo.bytes);
}

/* ---------------------------------------------------- what instances share */

/* Another instance: a context of its own, and its side of the shared cache. */
struct instance {
    struct frt_context *context;
    struct frt_shared_cache *shared;
    struct frt_pack *pack;
};

static uint64_t stored_by(const struct instance *instance)
{
    struct frt_shared_cache_stats s;
    frt_shared_cache_stats_get(instance->shared, &s);
    return s.stored;
}

static void instance_start(struct instance *instance, const struct test_redis *redis, const char *folder)
{
    static const uint8_t secret[32] = {5};
    const struct frt_shared_cache_options options = {.address = redis->url,
                                                     .password_file = "",
                                                     .ca_file = "",
                                                     .cert_file = "",
                                                     .budget_ms = 2000,
                                                     .secret = secret,
                                                     .edition = ""};
    struct frt_shared_cache_stats s = {.up = false};
    instance->context = make_context(true);
    assert_int_equal(frt_shared_cache_new(&options, &instance->shared, NULL), FRT_OK);
    frt_context_share(instance->context, instance->shared);
    instance->pack = open_pack(instance->context, folder, NULL);
    for (int i = 0; i < 1000 && !s.up; i++) {
        (void)usleep(5000);
        frt_shared_cache_stats_get(instance->shared, &s);
    }
    assert_true(s.up);
}

static void instance_end(struct instance *instance)
{
    frt_pack_free(instance->pack);
    frt_context_free(instance->context);
    frt_shared_cache_free(instance->shared);
}

/* What is asked, how many faces of it; and what that costs this instance after what was asked before. */
static void share(struct place *p, const struct instance *instance, const struct photo *photo, bool embed,
                  uint32_t faces, enum frt_cached cached, uint32_t detections, uint32_t crops)
{
    const struct frt_detect_options options = {.max_faces = faces};
    struct frt_faces *plain = answer_of(p->plain_pack, photo, embed, &options);
    const uint64_t stored = stored_by(instance);
    forget_counts();
    struct frt_faces *answer = answer_of(instance->pack, photo, embed, &options);
    assert_int_equal(frt_faces_timing(answer).cached, cached);
    expect_counts(detections, crops);
    expect_equal(answer, plain, embed);
    frt_faces_free(plain);
    frt_faces_free(answer);
    for (int i = 0; i < 1000 && detections + crops > 0 && stored_by(instance) == stored; i++)
        (void)usleep(5000); /* others have it as soon as it is written */
}

/* Only what the manifest vouches for is shared. */
static void pin_pack(const struct place *p)
{
    char sha256[FRT_SHA256_HEX_SIZE];
    frt_sha256_hex("weights", 7, sha256);
    write_text(p->folder, "detector.onnx", "weights");
    write_text(p->folder, "embedder.onnx", "weights");
    write_pack(p->folder, "1", sha256);
}

static void instances_share_what_they_have_made(void **state)
{
    struct place *p = *state;
    struct test_redis redis = {.pid = 0};
    struct instance a, b, c;
    struct photo one = photo_of(1), two = photo_of(2), three = photo_of(3), four = photo_of(4);
    if (!test_redis_is_there())
        skip();
    test_redis_start(&redis, NULL);
    pin_pack(p);
    instance_start(&a, &redis, p->folder);
    instance_start(&b, &redis, p->folder);
    instance_start(&c, &redis, p->folder);
    share(p, &a, &one, true, FACES, FRT_CACHED_MISS, 1, FACES);
    share(p, &b, &one, true, FACES, FRT_CACHED_REDIS, 0, 0);
    share(p, &b, &one, true, FACES, FRT_CACHED_EMBEDDING, 0, 0);
    share(p, &c, &one, false, FACES, FRT_CACHED_REDIS, 0, 0); /* of what was embedded */
    /* one who wants more than another had made makes it, and leaves it to the next */
    share(p, &a, &two, true, 1, FRT_CACHED_MISS, 1, 1);
    share(p, &b, &two, true, FACES, FRT_CACHED_REDIS, 0, FACES);
    share(p, &c, &two, true, FACES, FRT_CACHED_REDIS, 0, 0);
    /* detections alone spare the detector */
    share(p, &a, &three, false, FACES, FRT_CACHED_MISS, 1, 0);
    share(p, &b, &three, true, FACES, FRT_CACHED_REDIS, 0, FACES);
    share(p, &c, &three, true, FACES, FRT_CACHED_REDIS, 0, 0);
    /* other weights behind the same manifest are not known to be these */
    const struct frt_pack_options unchecked = {.skip_checksums = true};
    struct frt_pack *pack = NULL;
    assert_int_equal(frt_pack_open(b.context, p->folder, &unchecked, &pack, NULL), FRT_OK);
    share(p, &a, &four, true, FACES, FRT_CACHED_MISS, 1, FACES);
    forget_counts();
    frt_faces_free(answer_of(pack, &four, true, NULL));
    expect_counts(1, FACES);
    frt_pack_free(pack);
    instance_end(&a);
    instance_end(&b);
    instance_end(&c);
    test_redis_end(&redis);
    frt_jpeg_bytes_free(one.bytes);
    frt_jpeg_bytes_free(two.bytes);
    frt_jpeg_bytes_free(three.bytes);
    frt_jpeg_bytes_free(four.bytes);
}

/* What comes from another instance is used no longer than it would be there. */
static void what_is_shared_keeps_its_time(void **state)
{
    struct place *p = *state;
    struct test_redis redis = {.pid = 0};
    struct instance a, b;
    struct photo one = photo_of(1);
    if (!test_redis_is_there())
        skip();
    test_redis_start(&redis, NULL);
    pin_pack(p);
    instance_start(&a, &redis, p->folder);
    instance_start(&b, &redis, p->folder);
    a.context->embedding_ttl_ms = 3000; /* b would keep its own for 30 min */
    share(p, &a, &one, true, FACES, FRT_CACHED_MISS, 1, FACES);
    share(p, &b, &one, true, FACES, FRT_CACHED_REDIS, 0, 0);
    struct frt_faces *again = NULL;
    enum frt_cached cached = FRT_CACHED_EMBEDDING;
    for (int i = 0; i < 1000 && cached == FRT_CACHED_EMBEDDING; i++) {
        (void)usleep(5000);
        again = answer_of(b.pack, &one, true, NULL);
        cached = frt_faces_timing(again).cached;
        frt_faces_free(again);
    }
    assert_int_equal(cached, FRT_CACHED_MISS);
    instance_end(&a);
    instance_end(&b);
    test_redis_end(&redis);
    frt_jpeg_bytes_free(one.bytes);
}

/* ------------------------------------------------------------------- storm */

struct storm {
    struct place *place;
    const struct photo *photos;
    struct frt_faces *const *expected;
    uint32_t seed, wrong;
};

enum { STORM_PHOTOS = 12, STORM_STEPS = 150, STORM_THREADS = 4 };

static void *storm_run(void *arg)
{
    struct storm *s = arg;
    for (uint32_t i = 0; i < STORM_STEPS; i++) {
        s->seed = s->seed * 1664525U + 1013904223U;
        const uint32_t k = (s->seed >> 16) % STORM_PHOTOS, most = 1 + (s->seed >> 8) % FACES;
        const struct frt_detect_options options = {.max_faces = most};
        struct frt_faces *faces = NULL;
        const bool embed = (s->seed >> 28) % 3 > 0;
        if (ask(s->place->pack, &s->photos[k], embed, &options, &faces, NULL) != FRT_OK ||
            frt_faces_count(faces) != most) {
            s->wrong++;
            continue;
        }
        for (size_t f = 0; embed && f < most; f++)
            s->wrong += !same_embedding(faces, s->expected[k], f);
        frt_faces_free(faces);
    }
    return NULL;
}

static void a_storm_of_photos_gets_the_right_faces(void **state)
{
    struct place *p = *state;
    struct photo photos[STORM_PHOTOS];
    struct frt_faces *expected[STORM_PHOTOS];
    struct storm storms[STORM_THREADS];
    pthread_t threads[STORM_THREADS];
    for (uint32_t i = 0; i < STORM_PHOTOS; i++) {
        photos[i] = photo_of(200 + i);
        expected[i] = answer_of(p->plain_pack, &photos[i], true, NULL);
    }
    for (uint32_t i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){p, photos, expected, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, storm_run, &storms[i]), 0);
    }
    for (uint32_t i = 0; i < STORM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(storms[i].wrong, 0);
    }
    for (uint32_t i = 0; i < STORM_PHOTOS; i++) {
        frt_jpeg_bytes_free(photos[i].bytes);
        frt_faces_free(expected[i]);
    }
}

/* Every allocation fails in turn: FRT_ENOMEM or the right answer, and nothing half is remembered. */
static void short_memory_leaves_nothing_wrong(void **state)
{
    struct place *p = *state;
    struct photo photo = photo_of(9);
    struct frt_faces *plain = answer_of(p->plain_pack, &photo, true, NULL);
    for (int64_t n = 0;; n++) {
        struct frt_faces *faces = NULL;
        frt_cache_clear(p->context->embedding_cache);
        frt_cache_clear(p->context->image_cache);
        frt_mem_fail_after(n);
        const enum frt_status status = ask(p->pack, &photo, true, NULL, &faces, NULL);
        const bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        assert_true(status == FRT_OK || status == FRT_ENOMEM);
        assert_true((status == FRT_OK) == (faces != NULL));
        if (faces != NULL)
            expect_equal(faces, plain, true);
        frt_faces_free(faces);
        faces = answer_of(p->pack, &photo, true, NULL);
        expect_equal(faces, plain, true);
        frt_faces_free(faces);
        if (all)
            break;
    }
    frt_faces_free(plain);
    frt_jpeg_bytes_free(photo.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identical_photos_in_flight_cost_one_inference, start, finish),
        cmocka_unit_test_setup_teardown(who_hangs_up_does_not_take_the_others_along, start, finish),
        cmocka_unit_test_setup_teardown(a_failure_is_told_to_all_and_not_remembered, start, finish),
        cmocka_unit_test_setup_teardown(a_photo_that_comes_again_costs_nothing, start, finish),
        cmocka_unit_test_setup_teardown(options_that_matter_have_keys_of_their_own, start, finish),
        cmocka_unit_test_setup_teardown(each_gets_as_many_faces_as_he_asked_for, start, finish),
        cmocka_unit_test_setup_teardown(a_model_that_was_exchanged_answers_itself, start, finish),
        cmocka_unit_test_setup_teardown(pinned_models_are_known_again, start, finish),
        cmocka_unit_test_setup_teardown(instances_share_what_they_have_made, start, finish),
        cmocka_unit_test_setup_teardown(what_is_shared_keeps_its_time, start, finish),
        cmocka_unit_test_setup_teardown(a_storm_of_photos_gets_the_right_faces, start, finish),
        cmocka_unit_test_setup_teardown(short_memory_leaves_nothing_wrong, start, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
