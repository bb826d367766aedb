/*
 * Real detectors on real photos. Needs the runtime, FRT_TEST_ASSETS (default ../shared/assets) and, for the
 * default pack's models, data/packs/default; what is absent is skipped with its reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "image/image.h"
#include "vision/detector.h"
#include "vision/face_net.h"
#include "vision/landmarks.h"
#include "vision/nms.h"

#define MAX_FOUND 64
#define PATH_SIZE 1024
#define N_LFW 60

struct model {
    const char *family;
    const char *path;     /* in the assets, or with "data/" in the project */
    uint32_t group_faces; /* found at least in the photo of six */
    uint32_t lfw_misses;  /* at most, of N_LFW */
    uint32_t lfw_doubles; /* at most: a second box over the middle of the photo */
    struct frt_model_spec spec;
    struct frt_session *session;
    struct frt_detector *detector;
};

/* The default pack's tiny detector is known to be weak on groups (docs/design/detectors.md). */
static struct model models[] = {
    {.family = "yunet", .path = "models/detect/yunet_n_dynamic.onnx", .group_faces = 6},
    {.family = "scrfd", .path = "models/detect/scrfd_500m_bnkps.onnx", .group_faces = 6},
    {.family = "scrfd", .path = "models/detect/scrfd_2.5g_bnkps.onnx", .group_faces = 6},
    {.family = "ultralight_rfb", .path = "models/detect/version-RFB-320.onnx", .group_faces = 6},
    /* two neighbouring faces: a third box between them overlaps either by less than its NMS of 0.4 */
    {.family = "retinaface",
     .path = "models/detect/RetinaFace_mobile320.onnx",
     .group_faces = 6,
     .lfw_doubles = 1},
    {.family = "ssd_mobilenetv1", .path = "data/packs/default/ssd_mobilenetv1.onnx", .group_faces = 6},
    {.family = "tiny_yolo2",
     .path = "data/packs/default/tiny_face_detector.onnx",
     .group_faces = 4,
     .lfw_misses = 1},
};
#define N_MODELS (sizeof models / sizeof models[0])
enum { YUNET = 0, SSD = 5 };

static struct frt_backend *backend;
static const char *assets;

/* "data/…" lies in the project, all else in the assets. */
static void path_of(const char *name, char out[PATH_SIZE])
{
    if (strncmp(name, "data/", 5) == 0)
        (void)snprintf(out, PATH_SIZE, "%s", name);
    else
        (void)snprintf(out, PATH_SIZE, "%s/%s", assets, name);
}

static bool is_there(const char *name)
{
    char path[PATH_SIZE];
    path_of(name, path);
    return access(path, R_OK) == 0;
}

static void need(const char *name)
{
    if (!is_there(name)) {
        print_message("SKIP: %s is not there\n", name);
        skip();
    }
}

static struct frt_session *open_session(const char *name)
{
    char path[PATH_SIZE];
    struct frt_error err = {0};
    struct frt_session *session = NULL;
    path_of(name, path);
    if (frt_session_open(backend, path, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return session;
}

/* The detector; NULL when its file is not there. */
static struct frt_detector *detector_of(struct model *model)
{
    struct frt_error err = {0};
    if (model->detector != NULL || !is_there(model->path))
        return model->detector;
    (void)snprintf(model->spec.name, sizeof model->spec.name, "%s", model->family);
    (void)snprintf(model->spec.family, sizeof model->spec.family, "%s", model->family);
    model->session = open_session(model->path);
    if (frt_detector_new(&model->spec, model->session, &model->detector, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return model->detector;
}

static struct frt_frame load_photo(const char *name)
{
    char path[PATH_SIZE];
    struct frt_error err = {0};
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    const struct frt_image_limits limits = {0};
    const struct frt_decode_request all = {0};
    path_of(name, path);
    if (frt_image_map(&limits, path, &image, &err) != FRT_OK ||
        frt_image_decode(image, &all, &frame, &err) != FRT_OK)
        fail_msg("%s: %s", name, err.text);
    frt_image_free(image);
    return frame;
}

static size_t find_faces(const struct frt_detector *detector, const struct frt_frame *frame,
                         struct frt_detection found[MAX_FOUND])
{
    struct frt_error err = {0};
    size_t n = 0;
    if (frt_detector_run(detector, frame, NULL, found, MAX_FOUND, &n, NULL, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return n;
}

static bool holds(const struct frt_box *box, float x, float y)
{
    return x >= box->x && y >= box->y && x <= box->x + box->width && y <= box->y + box->height;
}

/* Fixed choice: the first photo of every 14th person, by name. */
static size_t list_lfw(char names[N_LFW][PATH_SIZE])
{
    char path[PATH_SIZE];
    struct dirent **people = NULL;
    size_t n = 0;
    path_of("faces/lfw-dev", path);
    int n_people = scandir(path, &people, NULL, alphasort);
    for (int i = 0; i < n_people; i++) {
        if (people[i]->d_name[0] != '.' && i % 14 == 0 && n < N_LFW) {
            (void)snprintf(names[n], PATH_SIZE, "faces/lfw-dev/%.200s/%.200s_0001.jpg", people[i]->d_name,
                           people[i]->d_name);
            n += is_there(names[n]) ? 1 : 0;
        }
        free(people[i]); /* scandir's */
    }
    free(people);
    return n;
}

static void six_faces_in_the_group(void **state)
{
    (void)state;
    need("faces/groups/t1.jpg");
    struct frt_frame frame = load_photo("faces/groups/t1.jpg");
    size_t tried = 0;
    for (size_t m = 0; m < N_MODELS; m++) {
        struct frt_detection found[MAX_FOUND];
        if (detector_of(&models[m]) == NULL)
            continue;
        size_t n = find_faces(models[m].detector, &frame, found);
        if (n < models[m].group_faces || n > 6)
            fail_msg("%s found %zu faces", models[m].path, n);
        for (size_t i = 0; i < n; i++) {
            assert_true(found[i].box.width > 70 && found[i].box.width < 200);
            for (int k = 0; found[i].has_landmarks && k < FRT_LANDMARK_COUNT; k++)
                assert_true(holds(&found[i].box, found[i].landmarks[k].x, found[i].landmarks[k].y));
            if (found[i].has_landmarks) {
                assert_true(found[i].landmarks[FRT_LANDMARK_LEFT_EYE].x <
                            found[i].landmarks[FRT_LANDMARK_RIGHT_EYE].x);
                assert_true(found[i].landmarks[FRT_LANDMARK_LEFT_EYE].y <
                            found[i].landmarks[FRT_LANDMARK_MOUTH_LEFT].y);
            }
        }
        tried++;
    }
    frt_frame_deinit(&frame);
    if (tried == 0)
        skip();
}

static void one_central_face_in_each_portrait(void **state)
{
    (void)state;
    static char names[N_LFW][PATH_SIZE];
    need("faces/lfw-dev/pairs.txt");
    size_t n_photos = list_lfw(names);
    assert_true(n_photos >= 50);
    for (size_t m = 0; m < N_MODELS; m++) {
        uint32_t misses = 0, doubles = 0;
        if (detector_of(&models[m]) == NULL)
            continue;
        for (size_t i = 0; i < n_photos; i++) {
            struct frt_detection found[MAX_FOUND];
            struct frt_frame frame = load_photo(names[i]);
            size_t n = find_faces(models[m].detector, &frame, found), central = 0;
            for (size_t k = 0; k < n; k++)
                central += holds(&found[k].box, 125, 125);
            misses += central == 0;
            doubles += central > 1;
            frt_frame_deinit(&frame);
        }
        if (misses > models[m].lfw_misses)
            fail_msg("%s missed %u of %zu", models[m].path, (unsigned)misses, n_photos);
        if (doubles > models[m].lfw_doubles)
            fail_msg("%s found two central faces in %u of %zu", models[m].path, (unsigned)doubles, n_photos);
    }
}

static size_t central_face(const struct frt_detector *detector, const struct frt_frame *frame,
                           struct frt_detection found[MAX_FOUND])
{
    size_t n = find_faces(detector, frame, found);
    for (size_t i = 0; i < n; i++) {
        if (holds(&found[i].box, 125, 125))
            return i;
    }
    fail_msg("no central face");
    return 0;
}

/* Nets that know nothing of each other put the face at the same place: decoders cannot all err alike. */
static void families_agree_on_where_the_face_is(void **state)
{
    (void)state;
    static char names[N_LFW][PATH_SIZE];
    need("faces/lfw-dev/pairs.txt");
    need(models[YUNET].path);
    size_t n_photos = list_lfw(names);
    for (size_t m = 1; m < N_MODELS; m++) {
        double sum = 0;
        size_t n = 0;
        if (detector_of(&models[m]) == NULL || models[m].lfw_misses > 0)
            continue;
        for (size_t i = 0; i < n_photos; i += 6, n++) {
            struct frt_detection a[MAX_FOUND], b[MAX_FOUND];
            struct frt_frame frame = load_photo(names[i]);
            size_t x = central_face(detector_of(&models[YUNET]), &frame, a);
            size_t y = central_face(models[m].detector, &frame, b);
            sum += (double)frt_box_iou(&a[x].box, &b[y].box);
            for (int k = 0; b[y].has_landmarks && k < FRT_LANDMARK_COUNT; k++) {
                float dx = a[x].landmarks[k].x - b[y].landmarks[k].x,
                      dy = a[x].landmarks[k].y - b[y].landmarks[k].y;
                /* 20 % of the box: profile faces, where a hidden eye is anybody's guess */
                assert_true(hypotf(dx, dy) < 0.2f * a[x].box.width);
            }
            frt_frame_deinit(&frame);
        }
        if (sum / (double)n < 0.7)
            fail_msg("%s overlaps yunet by %.2f only", models[m].path, sum / (double)n);
    }
}

/* ------------------------------------------------ YuNet, decoded anew */

#define CANVAS 256
#define PHOTO 250

static float value(const struct frt_outputs *out, const char *prefix, int stride, size_t row, size_t channels,
                   size_t at)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s_%d", prefix, stride);
    for (uint32_t i = 0; i < out->n; i++) {
        if (strcmp(out->session->info.outputs[i].name, name) == 0)
            return out->tensors[i].data[row * channels + at];
    }
    fail_msg("the model has no output %s", name);
    return 0;
}

/* Outputs by name, as the model's authors do it. A 250 px photo lies unscaled on a 256 px canvas, so the
 * input needs no resampling and must be reproduced exactly. */
static void yunet_agrees_with_an_independent_decoder(void **state)
{
    (void)state;
    static float canvas[3][CANVAS][CANVAS];
    static char names[N_LFW][PATH_SIZE];
    need("faces/lfw-dev/pairs.txt");
    need(models[YUNET].path);
    assert_true(list_lfw(names) >= 50);
    for (size_t photo = 0; photo < 5; photo++) {
        struct frt_detection found[MAX_FOUND];
        struct frt_frame frame = load_photo(names[photo * 11]);
        assert_int_equal(frame.width_px, PHOTO);
        memset(canvas, 0, sizeof canvas);
        for (size_t y = 0; y < PHOTO; y++) {
            for (size_t x = 0; x < PHOTO; x++) {
                for (size_t c = 0; c < 3; c++)
                    canvas[c][y][x] = frame.pixels[y * frame.stride_bytes + x * 3 + 2 - c];
            }
        }
        const struct frt_tensor input = {.data = &canvas[0][0][0], .dims = {1, 3, CANVAS, CANVAS}, .n_dims = 4};
        struct frt_outputs out;
        size_t n = find_faces(detector_of(&models[YUNET]), &frame, found);
        assert_int_equal(frt_session_run(models[YUNET].session, &input, 1, &out, NULL), FRT_OK);

        /* the best-scored cell of all must be the first detection */
        double best = -1;
        struct frt_detection expected = {0};
        for (int s = 8; s <= 32; s *= 2) {
            size_t columns = (size_t)(CANVAS / s);
            for (size_t row = 0; row < columns * columns; row++) {
                double score =
                    sqrt((double)value(&out, "cls", s, row, 1, 0) * (double)value(&out, "obj", s, row, 1, 0));
                if (score <= best)
                    continue;
                best = score;
                double cx = ((double)(row % columns) + (double)value(&out, "bbox", s, row, 4, 0)) * s;
                double cy = ((double)(row / columns) + (double)value(&out, "bbox", s, row, 4, 1)) * s;
                double w = exp((double)value(&out, "bbox", s, row, 4, 2)) * s;
                double h = exp((double)value(&out, "bbox", s, row, 4, 3)) * s;
                expected.box = (struct frt_box){(float)(cx - w / 2), (float)(cy - h / 2), (float)w, (float)h};
                for (size_t k = 0; k < 5; k++) {
                    expected.landmarks[k].x =
                        ((float)(row % columns) + value(&out, "kps", s, row, 10, 2 * k)) * (float)s;
                    expected.landmarks[k].y =
                        ((float)(row / columns) + value(&out, "kps", s, row, 10, 2 * k + 1)) * (float)s;
                }
            }
        }
        assert_true(n >= 1);
        assert_float_equal(found[0].score, best, 1e-3);
        assert_float_equal(found[0].box.x, expected.box.x, 0.02);
        assert_float_equal(found[0].box.y, expected.box.y, 0.02);
        assert_float_equal(found[0].box.width, expected.box.width, 0.02);
        assert_float_equal(found[0].box.height, expected.box.height, 0.02);
        for (size_t k = 0; k < FRT_LANDMARK_COUNT; k++) {
            assert_float_equal(found[0].landmarks[k].x, expected.landmarks[k].x, 0.02);
            assert_float_equal(found[0].landmarks[k].y, expected.landmarks[k].y, 0.02);
        }
        frt_outputs_release(&out);
        frt_frame_deinit(&frame);
    }
}

static void poses_are_found_and_their_absence_is_not(void **state)
{
    (void)state;
    static const char *const poses[] = {"left_face.jpeg", "right_face.png",   "lower_face.jpeg",
                                        "rise_face.jpeg", "left_wryneck.png", "right_wryneck.png"};
    static const struct {
        size_t model, least;
    } judges[] = {{YUNET, 6}, {SSD, 5 /* left_wryneck: its best score is 0.30 */}};
    need("faces/pose-and-rotation/crop/no_face.png");
    struct frt_frame empty = load_photo("faces/pose-and-rotation/crop/no_face.png");
    for (size_t j = 0; j < 2; j++) {
        struct frt_detection found[MAX_FOUND];
        size_t seen = 0;
        const struct frt_detector *detector = detector_of(&models[judges[j].model]);
        if (detector == NULL)
            continue;
        if (find_faces(detector, &empty, found) != 0)
            fail_msg("%s sees a face where none is", models[judges[j].model].path);
        for (size_t i = 0; i < sizeof poses / sizeof poses[0]; i++) {
            char name[PATH_SIZE];
            (void)snprintf(name, sizeof name, "faces/pose-and-rotation/pose/%s", poses[i]);
            struct frt_frame frame = load_photo(name);
            size_t n = find_faces(detector, &frame, found);
            if (n > 1)
                fail_msg("%s found %zu faces in %s", models[judges[j].model].path, n, poses[i]);
            seen += n;
            frt_frame_deinit(&frame);
        }
        if (seen < judges[j].least)
            fail_msg("%s found %zu of 6 poses", models[judges[j].model].path, seen);
    }
    frt_frame_deinit(&empty);
}

/* A photo shrunk by the decoder gives the same faces at the same full-size coordinates. */
static void coordinates_are_of_the_full_photo(void **state)
{
    (void)state;
    struct frt_detection fine[MAX_FOUND], coarse[MAX_FOUND];
    struct frt_image *image = NULL;
    struct frt_frame small = {0};
    char path[PATH_SIZE];
    const struct frt_image_limits limits = {0};
    const struct frt_decode_request request = {.want_side_px = 640};
    need("faces/groups/t1.jpg");
    need(models[YUNET].path);
    const struct frt_detector *detector = detector_of(&models[YUNET]);
    struct frt_frame full = load_photo("faces/groups/t1.jpg");
    path_of("faces/groups/t1.jpg", path);
    assert_int_equal(frt_image_map(&limits, path, &image, NULL), FRT_OK);
    assert_int_equal(frt_image_decode(image, &request, &small, NULL), FRT_OK);
    assert_true(small.width_px < full.width_px);
    assert_int_equal(find_faces(detector, &full, fine), 6);
    assert_int_equal(find_faces(detector, &small, coarse), 6);
    for (size_t i = 0; i < 6; i++) {
        float best = 0;
        for (size_t k = 0; k < 6; k++)
            best = fmaxf(best, frt_box_iou(&fine[i].box, &coarse[k].box));
        assert_true(best > 0.85f);
    }
    frt_frame_deinit(&small);
    frt_frame_deinit(&full);
    frt_image_free(image);
}

/* ------------------------------------------------ landmarks and liveness */

static void dense_landmarks_agree_with_the_detector(void **state)
{
    (void)state;
    static char names[N_LFW][PATH_SIZE];
    static const char model_path[] = "data/packs/default/face_landmark_68.onnx";
    struct frt_model_spec spec = {.role = FRT_ROLE_LANDMARKS, .name = "landmarks", .family = "landmarks68"};
    struct frt_landmarker *landmarker = NULL;
    double sum = 0;
    size_t n = 0;
    need("faces/lfw-dev/pairs.txt");
    need(models[YUNET].path);
    need(model_path);
    spec.input = (struct frt_model_input){
        112, 112, FRT_COLOR_RGB, {122.782f, 117.001f, 104.298f}, {1 / 255.0f, 1 / 255.0f, 1 / 255.0f}};
    struct frt_session *session = open_session(model_path);
    assert_int_equal(frt_landmarker_new(&spec, session, &landmarker, NULL), FRT_OK);
    size_t n_photos = list_lfw(names);
    for (size_t i = 0; i < n_photos; i += 2, n++) {
        struct frt_detection found[MAX_FOUND];
        struct frt_point dense[FRT_LANDMARKS_DENSE], five[FRT_LANDMARK_COUNT];
        struct frt_frame frame = load_photo(names[i]);
        const struct frt_detection *face = &found[central_face(detector_of(&models[YUNET]), &frame, found)];
        assert_int_equal(frt_landmarker_run(landmarker, &frame, &face->box, dense, NULL, NULL), FRT_OK);
        frt_landmarks_reduce(dense, five);
        for (int k = 0; k < FRT_LANDMARK_COUNT; k++)
            sum += (double)(hypotf(five[k].x - face->landmarks[k].x, five[k].y - face->landmarks[k].y) /
                            face->box.width);
        frt_frame_deinit(&frame);
    }
    /* two nets, other annotators: 4 % of the box's width on average were seen */
    if (sum / (double)n / FRT_LANDMARK_COUNT > 0.07)
        fail_msg("points differ by %.3f of the box's width", sum / (double)n / FRT_LANDMARK_COUNT);
    frt_landmarker_free(landmarker);
    frt_session_free(session);
}

static void open_minifasnets(struct frt_model_spec specs[2], struct frt_session *sessions[2],
                             struct frt_face_net *nets[2])
{
    static const char *const files[] = {"models/liveness/fasnet_2_7.onnx", "models/liveness/fasnet_4_0.onnx"};
    need(files[0]);
    need(files[1]);
    for (int i = 0; i < 2; i++) {
        specs[i] = (struct frt_model_spec){.name = "fasnet", .role = FRT_ROLE_LIVENESS};
        (void)snprintf(specs[i].family, sizeof specs[i].family, "minifasnet");
        specs[i].crop_scale = i == 0 ? 2.7f : 4.0f;
        specs[i].input = (struct frt_model_input){80, 80, FRT_COLOR_BGR, {0}, {1, 1, 1}};
        sessions[i] = open_session(files[i]);
        assert_int_equal(frt_face_net_new(&specs[i], sessions[i], &nets[i], NULL), FRT_OK);
    }
}

/* Numbers of tests/golden/minifasnet.py, which computes them without any of FRT. Tolerance: two decoders of
 * JPEG, two ways to shrink, whole against continuous pixels; seen: 0.001, and 0.019 where the answer is in
 * between. */
static void minifasnet_agrees_with_an_independent_computation(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float box[4];
        double spoof[2];
    } known[] = {
        {"image_T1.jpg", {119, 109, 177, 248}, {0.0005, 0.0000}},
        {"image_F1.jpg", {188, 110, 190, 246}, {0.9929, 0.5539}},
        {"image_F2.jpg", {147, 211, 214, 311}, {0.9996, 0.9994}},
    };
    struct frt_model_spec specs[2];
    struct frt_session *sessions[2];
    struct frt_face_net *nets[2];
    need("faces/liveness/image_T1.jpg");
    open_minifasnets(specs, sessions, nets);
    for (size_t p = 0; p < sizeof known / sizeof *known; p++) {
        char path[128];
        (void)snprintf(path, sizeof path, "faces/liveness/%s", known[p].name);
        struct frt_frame frame = load_photo(path);
        for (int i = 0; i < 2; i++) {
            const float *b = known[p].box;
            struct frt_face face = {.box = {b[0], b[1], b[2], b[3]}};
            assert_int_equal(frt_face_net_run(nets[i], &frame, &face, NULL, NULL), FRT_OK);
            const double spoof = (double)face.liveness.spoof_confidence;
            if (!(fabs(spoof - known[p].spoof[i]) < 0.04))
                fail_msg("%s, net %d: %.4f, independently %.4f", known[p].name, i, spoof, known[p].spoof[i]);
        }
        frt_frame_deinit(&frame);
    }
    for (int i = 0; i < 2; i++) {
        frt_face_net_free(nets[i]);
        frt_session_free(sessions[i]);
    }
}

static void minifasnet_tells_the_samples_apart(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool real;
    } photos[] = {{"faces/liveness/image_T1.jpg", true},
                  {"faces/liveness/image_F1.jpg", false},
                  {"faces/liveness/image_F2.jpg", false}};
    struct frt_face_net *nets[2] = {NULL};
    struct frt_session *sessions[2] = {NULL};
    struct frt_model_spec specs[2];
    need(photos[0].name);
    need(models[YUNET].path);
    open_minifasnets(specs, sessions, nets);
    for (size_t p = 0; p < 3; p++) {
        struct frt_detection found[MAX_FOUND];
        struct frt_frame frame = load_photo(photos[p].name);
        assert_int_equal(find_faces(detector_of(&models[YUNET]), &frame, found), 1);
        float spoof = 0;
        for (int i = 0; i < 2; i++) {
            struct frt_face face = {.box = found[0].box};
            assert_int_equal(frt_face_net_run(nets[i], &frame, &face, NULL, NULL), FRT_OK);
            spoof += face.liveness.spoof_confidence / 2;
        }
        if ((spoof < 0.5f) != photos[p].real)
            fail_msg("%s: spoof confidence %.3f", photos[p].name, (double)spoof);
        frt_frame_deinit(&frame);
    }
    for (int i = 0; i < 2; i++) {
        frt_face_net_free(nets[i]);
        frt_session_free(sessions[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_faces_in_the_group),
        cmocka_unit_test(one_central_face_in_each_portrait),
        cmocka_unit_test(families_agree_on_where_the_face_is),
        cmocka_unit_test(yunet_agrees_with_an_independent_decoder),
        cmocka_unit_test(poses_are_found_and_their_absence_is_not),
        cmocka_unit_test(coordinates_are_of_the_full_photo),
        cmocka_unit_test(dense_landmarks_agree_with_the_detector),
        cmocka_unit_test(minifasnet_agrees_with_an_independent_computation),
        cmocka_unit_test(minifasnet_tells_the_samples_apart),
    };
    struct frt_error err = {0};
    const struct frt_onnxruntime_options options = {.threads = 1};
    assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    if (frt_backend_onnxruntime_new(&options, &backend, &err) != FRT_OK) {
        (void)fprintf(stderr, "SKIP: %s\n", err.text);
        return 77;
    }
    if (!is_there("faces/groups/t1.jpg")) {
        (void)fprintf(stderr, "SKIP: no photos in %s (FRT_TEST_ASSETS)\n", assets);
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < N_MODELS; i++) {
        frt_detector_free(models[i].detector);
        frt_session_free(models[i].session);
    }
    frt_backend_free(backend);
    return failed;
}
