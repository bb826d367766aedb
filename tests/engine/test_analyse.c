/*
 * The whole way of a photo, with the default pack and the sample photos of its npm package: what one user
 * after the other would find wrong. Skipped (77) when the pack or the photos are not there.
 *
 * Who stands on the photos is not known here; that a photo equals itself however it is stored, turned,
 * enlarged or put into a larger one, is.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "image/image.h"
#include "image/jpeg_write.h"

static const char photo_path[] = "node_modules/@vladmandic/face-api/demo/sample1.jpg";
static const char *pack_path;
static struct frt_context *context;
static struct frt_pack *pack;

/* ------------------------------------------------------------- pictures */

struct picture {
    uint8_t *pixels; /* RGB, no gaps; free() */
    uint32_t width, height;
};

static struct picture picture_new(uint32_t width, uint32_t height)
{
    struct picture p = {calloc((size_t)width * height, 3), width, height};
    assert_non_null(p.pixels);
    return p;
}

static struct picture picture_of(const char *path)
{
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    const struct frt_decode_request all = {0};
    assert_int_equal(frt_image_open_file(context, path, &image, NULL), FRT_OK);
    assert_int_equal(frt_image_decode(image, &all, &frame, NULL), FRT_OK);
    struct picture p = picture_new(frame.width_px, frame.height_px);
    for (uint32_t y = 0; y < p.height; y++)
        memcpy(p.pixels + (size_t)y * p.width * 3, frame.pixels + y * frame.stride_bytes, (size_t)p.width * 3);
    frt_frame_deinit(&frame);
    frt_image_free(image);
    return p;
}

/* Turned a quarter counter-clockwise: what a camera stores that says "turn me clockwise" (EXIF 6). */
static struct picture turned(const struct picture *from)
{
    struct picture to = picture_new(from->height, from->width);
    for (uint32_t y = 0; y < to.height; y++)
        for (uint32_t x = 0; x < to.width; x++)
            memcpy(to.pixels + ((size_t)y * to.width + x) * 3,
                   from->pixels + ((size_t)x * from->width + (from->width - 1 - y)) * 3, 3);
    return to;
}

/* n times as large, bilinear. */
static struct picture enlarged(const struct picture *from, uint32_t n)
{
    struct picture to = picture_new(from->width * n, from->height * n);
    for (uint32_t y = 0; y < to.height; y++)
        for (uint32_t x = 0; x < to.width; x++) {
            double u = fmin(fmax((x + 0.5) / n - 0.5, 0), from->width - 1.001);
            double v = fmin(fmax((y + 0.5) / n - 0.5, 0), from->height - 1.001);
            uint32_t i = (uint32_t)u, j = (uint32_t)v;
            const uint8_t *a = from->pixels + ((size_t)j * from->width + i) * 3,
                          *b = a + (size_t)from->width * 3;
            for (uint32_t c = 0; c < 3; c++)
                to.pixels[((size_t)y * to.width + x) * 3 + c] =
                    (uint8_t)lround((a[c] * (1 - (u - i)) + a[c + 3] * (u - i)) * (1 - (v - j)) +
                                    (b[c] * (1 - (u - i)) + b[c + 3] * (u - i)) * (v - j));
        }
    return to;
}

/* `what` on a grey ground of the given size, its corner at x, y. */
static struct picture placed(const struct picture *what, uint32_t width, uint32_t height, uint32_t x,
                             uint32_t y)
{
    struct picture to = picture_new(width, height);
    memset(to.pixels, 128, (size_t)width * height * 3);
    for (uint32_t row = 0; row < what->height; row++)
        memcpy(to.pixels + ((size_t)(y + row) * width + x) * 3, what->pixels + (size_t)row * what->width * 3,
               (size_t)what->width * 3);
    return to;
}

static struct picture cut(const struct picture *from, const struct frt_box *box, double boxes)
{
    double side = boxes * fmax((double)box->width, (double)box->height);
    double cx = (double)box->x + (double)box->width / 2, cy = (double)box->y + (double)box->height / 2;
    uint32_t x0 = (uint32_t)fmax(0, cx - side / 2), y0 = (uint32_t)fmax(0, cy - side / 2);
    uint32_t x1 = (uint32_t)fmin(from->width, cx + side / 2), y1 = (uint32_t)fmin(from->height, cy + side / 2);
    struct picture to = picture_new(x1 - x0, y1 - y0);
    for (uint32_t y = 0; y < to.height; y++)
        memcpy(to.pixels + (size_t)y * to.width * 3, from->pixels + ((size_t)(y0 + y) * from->width + x0) * 3,
               (size_t)to.width * 3);
    return to;
}

static struct frt_image *image_of(const struct picture *p)
{
    struct frt_image *image = NULL;
    assert_int_equal(
        frt_image_open_pixels(context, p->pixels, p->width, p->height, (size_t)p->width * 3, &image, NULL),
        FRT_OK);
    return image;
}

static struct frt_faces *embed_picture(const struct picture *p, const struct frt_detect_options *options)
{
    struct frt_faces *faces = NULL;
    struct frt_image *image = image_of(p);
    struct frt_error err = {0};
    if (frt_embed(pack, image, options, &faces, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_image_free(image);
    return faces;
}

/* The face of `faces` whose centre is next to (x, y); its distance in pixels goes to `off`. */
static size_t face_at(const struct frt_faces *faces, double x, double y, double *off)
{
    size_t best = 0;
    *off = INFINITY;
    for (size_t i = 0; i < frt_faces_count(faces); i++) {
        const struct frt_box *b = &frt_faces_get(faces, i)->box;
        double d = hypot((double)b->x + (double)b->width / 2 - x, (double)b->y + (double)b->height / 2 - y);
        if (d < *off) {
            *off = d;
            best = i;
        }
    }
    return best;
}

static double cosine(const struct frt_faces *a, size_t i, const struct frt_faces *b, size_t k)
{
    float s = 0;
    assert_int_equal(frt_compare(frt_faces_embedding(a, i), frt_faces_embedding(b, k),
                                 frt_pack_info_get(pack)->dim, &s, NULL),
                     FRT_OK);
    return (double)s;
}

/* ---------------------------------------------------------------- tests */

static void faces_lie_in_the_photo_largest_first(void **state)
{
    (void)state;
    struct picture p = picture_of(photo_path);
    struct frt_faces *faces = embed_picture(&p, NULL);
    size_t n = frt_faces_count(faces);
    assert_true(n >= 3);
    double before = INFINITY;
    for (size_t i = 0; i < n; i++) {
        const struct frt_face *f = frt_faces_get(faces, i);
        const struct frt_point *l = f->landmarks;
        assert_true(f->confidence > 0 && f->confidence <= 1);
        assert_true(f->box.width > 8 && f->box.height > 8);
        assert_true((double)f->box.width * (double)f->box.height <= before);
        before = (double)f->box.width * (double)f->box.height;
        for (size_t k = 0; k < FRT_LANDMARK_COUNT; k++) {
            assert_true(l[k].x > f->box.x - f->box.width / 4 && l[k].x < f->box.x + f->box.width * 1.25F);
            assert_true(l[k].y > f->box.y - f->box.height / 4 && l[k].y < f->box.y + f->box.height * 1.25F);
        }
        assert_true(l[FRT_LANDMARK_LEFT_EYE].x < l[FRT_LANDMARK_RIGHT_EYE].x);
        assert_true(l[FRT_LANDMARK_LEFT_EYE].y < l[FRT_LANDMARK_MOUTH_RIGHT].y);
        double norm = 0;
        for (size_t k = 0; k < frt_pack_info_get(pack)->dim; k++)
            norm += pow((double)frt_faces_embedding(faces, i)[k], 2);
        assert_float_equal(norm, 1, 1e-3);
        for (size_t k = 0; k < i; k++) /* different people stand here: nobody is anybody else */
            assert_true(cosine(faces, i, faces, k) < (double)frt_pack_info_get(pack)->default_threshold);
    }
    assert_null(frt_faces_get(faces, n));
    frt_faces_free(faces);
    free(p.pixels);
}

static void a_turned_photo_shows_the_same_faces(void **state)
{
    static const uint8_t app1[] = {0xFF, 0xE1, 0,    34, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0,
                                   1,    0,    0x12, 1,  3,   0,   1,   0,   0, 0, 6,   0,   0,  0, 0, 0, 0, 0};
    (void)state;
    struct picture p = picture_of(photo_path), q = turned(&p);
    uint8_t *jpeg = NULL;
    size_t size = 0;
    struct frt_image *image = NULL;
    struct frt_faces *there = NULL;
    assert_int_equal(frt_jpeg_encode(q.pixels, q.width, q.height, (size_t)q.width * 3, 98, &jpeg, &size, NULL),
                     FRT_OK);
    uint8_t *file = malloc(size + sizeof app1);
    assert_non_null(file);
    memcpy(file, jpeg, 2);
    memcpy(file + 2, app1, sizeof app1);
    memcpy(file + 2 + sizeof app1, jpeg + 2, size - 2);
    assert_int_equal(frt_image_open_memory(context, file, size + sizeof app1, &image, NULL), FRT_OK);
    assert_int_equal(frt_image_info_get(image).orientation, 6);
    assert_int_equal(frt_image_info_get(image).width_px, p.width);
    assert_int_equal(frt_embed(pack, image, NULL, &there, NULL), FRT_OK);
    struct frt_faces *here = embed_picture(&p, NULL);
    assert_int_equal(frt_faces_count(there), frt_faces_count(here));
    for (size_t i = 0; i < frt_faces_count(here); i++) {
        const struct frt_box *b = &frt_faces_get(here, i)->box;
        double off;
        size_t k =
            face_at(there, (double)b->x + (double)b->width / 2, (double)b->y + (double)b->height / 2, &off);
        assert_true(off < 0.1 * (double)b->width);
        assert_true(cosine(here, i, there, k) > 0.9);
    }
    frt_faces_free(here);
    frt_faces_free(there);
    frt_image_free(image);
    frt_jpeg_bytes_free(jpeg);
    free(file);
    free(q.pixels);
    free(p.pixels);
}

/* A face that covers few pixels of what the detector sees is looked at in the photo's own pixels. */
static void a_small_face_is_read_finely(void **state)
{
    (void)state;
    struct picture p = picture_of(photo_path);
    struct frt_faces *all = embed_picture(&p, NULL);
    const struct frt_box box = frt_faces_get(all, 0)->box;
    struct picture face = cut(&p, &box, 2.2), large = enlarged(&face, 3);
    struct picture wide = placed(&large, 6000, 4000, 3100, 1700);
    struct frt_faces *near = embed_picture(&large, NULL), *far = embed_picture(&wide, NULL);
    assert_true(frt_faces_count(near) >= 1 && frt_faces_count(far) >= 1);
    double off;
    const struct frt_box *b = &frt_faces_get(near, 0)->box;
    size_t k = face_at(far, 3100 + (double)b->x + (double)b->width / 2,
                       1700 + (double)b->y + (double)b->height / 2, &off);
    assert_true(off < 0.15 * (double)b->width);
    assert_true(cosine(near, 0, far, k) > 0.85);
    frt_faces_free(near);
    frt_faces_free(far);
    frt_faces_free(all);
    free(wide.pixels);
    free(large.pixels);
    free(face.pixels);
    free(p.pixels);
}

static void options_choose(void **state)
{
    (void)state;
    struct picture p = picture_of(photo_path);
    struct frt_faces *all = embed_picture(&p, NULL);
    size_t n = frt_faces_count(all);
    struct frt_detect_options one = {.max_faces = 1, .attributes = FRT_ATTRIBUTE_ALL};
    struct frt_faces *first = embed_picture(&p, &one);
    assert_int_equal(frt_faces_count(first), 1);
    const struct frt_face *f = frt_faces_get(first, 0);
    assert_int_equal(f->attributes, FRT_ATTRIBUTE_ALL);
    assert_true(f->age > 5 && f->age < 100);
    assert_true(f->gender_probability >= 0.5F && f->gender_probability <= 1);
    assert_true(f->expression_probability > 1.0F / FRT_EXPRESSION_COUNT && f->expression_probability <= 1);
    assert_true(f->liveness.spoof_confidence >= 0 && f->liveness.spoof_confidence <= 1);
    assert_true(f->quality.score > 0 && f->quality.score <= 1);
    assert_true(cosine(first, 0, all, 0) > 0.999);
    const struct frt_box *last = &frt_faces_get(all, n - 1)->box;
    struct frt_detect_options larger = {.min_size_px = fminf(last->width, last->height) + 1};
    struct frt_faces *rest = embed_picture(&p, &larger);
    assert_true(frt_faces_count(rest) < n);
    struct frt_detect_options sure = {.min_confidence = 1};
    struct frt_faces *none = embed_picture(&p, &sure);
    assert_int_equal(frt_faces_count(none), 0);
    frt_faces_free(none);
    frt_faces_free(rest);
    frt_faces_free(first);
    frt_faces_free(all);
    free(p.pixels);
}

static void wrong_options_are_refused(void **state)
{
    static const struct frt_detect_options wrong[] = {{.min_confidence = 1.5F},  {.min_confidence = NAN},
                                                      {.min_confidence = -0.1F}, {.min_size_px = -1},
                                                      {.min_size_px = INFINITY}, {.attributes = 1U << 7}};
    (void)state;
    struct picture p = picture_new(64, 64);
    struct frt_image *image = image_of(&p);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct frt_faces *faces = NULL;
        struct frt_error err = {0};
        assert_int_equal(frt_detect(pack, image, &wrong[i], &faces, &err), FRT_EINVAL);
        assert_null(faces);
        assert_true(strlen(err.text) > 10);
    }
    frt_image_free(image);
    free(p.pixels);
}

static void nothing_to_see_is_no_error(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {1, 4000}, {4000, 1}, {17, 13}, {640, 480}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct picture p = picture_new(sizes[i][0], sizes[i][1]);
        struct frt_detect_options options = {.attributes = FRT_ATTRIBUTE_ALL};
        struct frt_faces *faces = embed_picture(&p, &options);
        assert_int_equal(frt_faces_count(faces), 0);
        frt_faces_free(faces);
        free(p.pixels);
    }
}

struct patience {
    int left;
};

static bool give_up(void *arg)
{
    struct patience *p = arg;
    return p->left-- <= 0;
}

static void deadline_and_cancellation(void **state)
{
    (void)state;
    struct picture p = picture_of(photo_path);
    struct frt_image *image = image_of(&p);
    struct frt_faces *faces = NULL;
    struct frt_detect_options late = {.deadline_ms = frt_now_ns() / 1000000 - 1};
    assert_int_equal(frt_embed(pack, image, &late, &faces, NULL), FRT_ETIMEOUT);
    assert_null(faces);
    for (int n = 0;; n++) { /* the caller gives up at the n-th time of asking */
        struct patience patience = {n};
        struct frt_detect_options options = {.cancelled = give_up, .cancelled_arg = &patience};
        enum frt_status status = frt_embed(pack, image, &options, &faces, NULL);
        if (status == FRT_OK) {
            assert_true(n >= 3);
            break;
        }
        assert_int_equal(status, FRT_ECANCELLED);
        assert_null(faces);
    }
    frt_faces_free(faces);
    frt_image_free(image);
    free(p.pixels);
}

struct shared {
    const struct frt_image *image;
    const struct frt_faces *expected;
    int wrong;
};

static void *embed_again(void *arg)
{
    struct shared *s = arg;
    struct frt_detect_options options = {.attributes = FRT_ATTRIBUTE_ALL};
    for (int i = 0; i < 2; i++) {
        struct frt_faces *faces = NULL;
        float same = 0;
        if (frt_embed(pack, s->image, &options, &faces, NULL) != FRT_OK ||
            frt_faces_count(faces) != frt_faces_count(s->expected) ||
            frt_compare(frt_faces_embedding(faces, 0), frt_faces_embedding(s->expected, 0),
                        frt_pack_info_get(pack)->dim, &same, NULL) != FRT_OK ||
            same < 0.9999F)
            s->wrong++;
        frt_faces_free(faces);
    }
    return NULL;
}

static void threads_share_pack_and_image(void **state)
{
    (void)state;
    struct picture p = picture_of(photo_path);
    struct frt_faces *expected = embed_picture(&p, NULL);
    struct frt_image *image = image_of(&p);
    struct shared shared[4];
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        shared[i] = (struct shared){image, expected, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, embed_again, &shared[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(shared[i].wrong, 0);
    }
    frt_image_free(image);
    frt_faces_free(expected);
    free(p.pixels);
}

/* Every allocation fails in turn: FRT_ENOMEM, nothing leaks, and the pack is as good as before. */
static void short_memory(void **state)
{
    (void)state;
    struct picture p = picture_of(photo_path);
    struct frt_image *image = image_of(&p);
    struct frt_detect_options options = {.max_faces = 1, .attributes = FRT_ATTRIBUTE_ALL};
    for (int64_t n = 0;; n++) {
        struct frt_faces *faces = NULL;
        frt_mem_fail_after(n);
        enum frt_status status = frt_embed(pack, image, &options, &faces, NULL);
        bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        if (status != FRT_ENOMEM)
            assert_int_equal(status, FRT_OK);
        assert_true((status == FRT_OK) == (faces != NULL));
        frt_faces_free(faces);
        if (all) {
            assert_int_equal(status, FRT_OK);
            break;
        }
    }
    frt_image_free(image);
    free(p.pixels);
}

static void packs_that_do_not_open(void **state)
{
    (void)state;
    struct frt_pack *other = NULL;
    struct frt_error err = {0};
    assert_int_equal(frt_pack_open(context, "no/such/folder", NULL, &other, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, "no/such/folder"));
    const struct frt_pack_options options = {.detector = "no_such_detector"};
    assert_int_not_equal(frt_pack_open(context, pack_path, &options, &other, &err), FRT_OK);
    assert_non_null(strstr(err.text, "no_such_detector"));
    assert_null(other);
}

static void the_tiny_detector_finds_them_too(void **state)
{
    (void)state;
    struct frt_pack *tiny = NULL;
    struct frt_error err = {0};
    const struct frt_pack_options options = {.detector = "tiny_face_detector"};
    if (frt_pack_open(context, pack_path, &options, &tiny, &err) != FRT_OK)
        fail_msg("%s", err.text);
    struct picture p = picture_of(photo_path);
    struct frt_faces *here = embed_picture(&p, NULL), *there = NULL;
    struct frt_image *image = image_of(&p);
    assert_int_equal(frt_embed(tiny, image, NULL, &there, NULL), FRT_OK);
    assert_true(frt_faces_count(there) >= 1);
    for (size_t i = 0; i < frt_faces_count(there); i++) {
        const struct frt_box *b = &frt_faces_get(there, i)->box;
        double off;
        size_t k =
            face_at(here, (double)b->x + (double)b->width / 2, (double)b->y + (double)b->height / 2, &off);
        if (off < 0.3 * (double)b->width) /* a face that both found: the same person by both */
            assert_true(cosine(there, i, here, k) > 0.7);
    }
    frt_faces_free(there);
    frt_faces_free(here);
    frt_image_free(image);
    frt_pack_free(tiny);
    free(p.pixels);
}

/* A context with caches, and the same pack over it. */
static void with_caches(struct frt_context **cached, struct frt_pack **its_pack)
{
    const struct frt_cache_limits limits = {.entries = 10, .bytes = 256U << 20, .ttl_ms = 600000};
    const struct frt_context_options options = {.embedding_cache = limits, .image_cache = limits};
    assert_int_equal(frt_context_new(&options, cached, NULL), FRT_OK);
    assert_int_equal(frt_pack_open(*cached, pack_path, NULL, its_pack, NULL), FRT_OK);
}

/* Whatever was asked of a photo before, the caches do not change what is said of it now. */
static void caches_change_no_answer(void **state)
{
    (void)state;
    const struct {
        bool embed;
        struct frt_detect_options options;
    } calls[] = {{false, {0}},
                 {false, {.max_faces = 1}},
                 {false, {.attributes = FRT_ATTRIBUTE_QUALITY}},
                 {true, {.max_faces = 1}},
                 {true, {0}}};
    enum { N_CALLS = sizeof calls / sizeof *calls };
    struct frt_faces *plain = NULL, *faces = NULL;
    struct frt_image *image = NULL;
    assert_int_equal(frt_image_open_file(context, photo_path, &image, NULL), FRT_OK);
    assert_int_equal(frt_embed(pack, image, NULL, &plain, NULL), FRT_OK);
    frt_image_free(image);
    assert_true(frt_faces_count(plain) >= 3);
    for (size_t before = 0; before < N_CALLS; before++)
        for (size_t now = 0; now < N_CALLS; now++) {
            struct frt_context *cached = NULL;
            struct frt_pack *its_pack = NULL;
            with_caches(&cached, &its_pack);
            const size_t order[] = {before, now, now};
            for (size_t i = 0; i < 3; i++) {
                bool embed = calls[order[i]].embed;
                const struct frt_detect_options *options = &calls[order[i]].options;
                size_t want = options->max_faces == 1 ? 1 : frt_faces_count(plain);
                assert_int_equal(frt_image_open_file(cached, photo_path, &image, NULL), FRT_OK);
                assert_int_equal((embed ? frt_embed : frt_detect)(its_pack, image, options, &faces, NULL),
                                 FRT_OK);
                assert_int_equal(frt_faces_count(faces), want);
                for (size_t k = 0; k < want; k++) {
                    const struct frt_box *a = &frt_faces_get(faces, k)->box, *b = &frt_faces_get(plain, k)->box;
                    assert_true(fabsf(a->x - b->x) + fabsf(a->y - b->y) + fabsf(a->width - b->width) < 1);
                    if (embed && cosine(faces, k, plain, k) < 0.995)
                        fail_msg("call %zu after call %zu: face %zu is %.4f like itself", now, before, k,
                                 cosine(faces, k, plain, k));
                }
                frt_faces_free(faces);
                frt_image_free(image);
            }
            frt_pack_free(its_pack);
            frt_context_free(cached);
        }
    frt_faces_free(plain);
}

static bool readable(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file != NULL)
        (void)fclose(file);
    return file != NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faces_lie_in_the_photo_largest_first),
        cmocka_unit_test(a_turned_photo_shows_the_same_faces),
        cmocka_unit_test(a_small_face_is_read_finely),
        cmocka_unit_test(options_choose),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(nothing_to_see_is_no_error),
        cmocka_unit_test(deadline_and_cancellation),
        cmocka_unit_test(threads_share_pack_and_image),
        cmocka_unit_test(short_memory),
        cmocka_unit_test(packs_that_do_not_open),
        cmocka_unit_test(the_tiny_detector_finds_them_too),
        cmocka_unit_test(caches_change_no_answer),
    };
    char manifest[1024];
    struct frt_error err = {0};
    pack_path = getenv("FRT_TEST_PACK") != NULL ? getenv("FRT_TEST_PACK") : "data/packs/default";
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", pack_path);
    if (!readable(manifest) || !readable(photo_path)) {
        (void)printf("SKIP: %s or %s is not there (make pack)\n", manifest, photo_path);
        return 77;
    }
    if (frt_context_new(NULL, &context, &err) != FRT_OK ||
        frt_pack_open(context, pack_path, NULL, &pack, &err) != FRT_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_pack_free(pack);
    frt_context_free(context);
    return failed;
}
