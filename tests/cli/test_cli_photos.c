/*
 * The program on real photos with the real pack: answers, their JSON, drawings, order, interrupts, and every
 * documented exit code. Skipped where the pack or the sample photos are absent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "cli/cli_table.h"
#include "core/json_read.h"
#include "image/image.h"
#include "image/jpeg_write.h"

#define PHOTOS "node_modules/@vladmandic/face-api/demo/"
#define PHOTO PHOTOS "sample1.jpg"
#define OTHER PHOTOS "sample2.jpg"
#define ANOTHER PHOTOS "sample3.jpg"

enum { GREY_PX = 160, MANY_PHOTOS = 40 };

/* ----------------------------------------------------------------- helpers */

static void copy_file(const char *from, const char *to)
{
    size_t size = 0;
    char *bytes = cli_get(from, &size);
    assert_non_null(bytes);
    cli_put(to, bytes, size);
    free(bytes);
}

/* A grey picture: a photo without a face. */
static const char *blank_photo(void)
{
    static uint8_t pixels[GREY_PX * GREY_PX * 3];
    uint8_t *bytes = NULL;
    size_t size = 0;
    memset(pixels, 128, sizeof pixels);
    assert_int_equal(frt_jpeg_encode(pixels, GREY_PX, GREY_PX, GREY_PX * 3, 90, &bytes, &size, NULL), FRT_OK);
    const char *path = cli_work("blank.jpg");
    cli_put(path, bytes, size);
    frt_jpeg_bytes_free(bytes);
    return path;
}

static struct frt_json *parse_line(const char *line)
{
    struct frt_json *json = NULL;
    struct frt_error err = {0};
    if (frt_json_parse(line, strcspn(line, "\n"), &json, &err) != FRT_OK)
        fail_msg("no JSON: %s: %.200s", err.text, line);
    return json;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line == '\n' ? line + 1 : line;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void assert_number(const struct frt_json_value *object, const char *key, double low, double high)
{
    const struct frt_json_value *v = frt_json_get(object, key);
    double number = frt_json_double(v, (double)NAN);
    if (!(number >= low && number <= high))
        fail_msg("%s is %g, not within %g and %g", key, number, low, high);
}

static void assert_face(const struct frt_json_value *face)
{
    static const char *const points[] = {"left_eye", "right_eye", "nose", "mouth_left", "mouth_right"};
    const struct frt_json_value *box = frt_json_get(face, "box"), *landmarks = frt_json_get(face, "landmarks");
    assert_number(box, "x", -500, 5000);
    assert_number(box, "y", -500, 5000);
    assert_number(box, "width", 1, 5000);
    assert_number(box, "height", 1, 5000);
    assert_number(face, "confidence", 0, 1);
    assert_int_equal(frt_json_count(landmarks), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(frt_json_count(frt_json_get(landmarks, points[i])), 2);
}

static void assert_error(const struct frt_json_value *answer, const char *code)
{
    const struct frt_json_value *error = frt_json_get(answer, "error");
    assert_non_null(error);
    assert_string_equal(frt_json_text(frt_json_get(error, "code")), code);
    assert_true(strlen(frt_json_text(frt_json_get(error, "detail"))) > 5);
    assert_null(frt_json_get(answer, "faces"));
}

/* --------------------------------------------------------------- exit codes */

/* One call for each code of the table; a code that is added there without one here fails. */
static void every_documented_exit_code_is_reached(void **state)
{
    (void)state;
    char blank[256], missing[256];
    (void)snprintf(blank, sizeof blank, "%s", blank_photo());
    (void)snprintf(missing, sizeof missing, "%s", cli_work("missing.jpg"));
    const struct {
        int code;
        struct cli_setting setting;
        const char *words[8];
    } calls[] = {
        {0, {0}, {"detect", PHOTO}},
        {1, {.output = "/dev/full"}, {"detect", PHOTO}},
        {2, {0}, {"detect", "--nonsense", PHOTO}},
        {3, {0}, {"detect", missing}},
        {4, {0}, {"detect", blank}},
        {4, {0}, {"verify", PHOTO, blank}},
        {5, {0}, {"verify", PHOTO, OTHER}},
        {6, {0}, {"detect", "--pack", "/nonexistent", PHOTO}},
        {7, {.env = {"FRT_RUNTIME=/nonexistent/lib.so"}}, {"detect", PHOTO}},
        {141, {.output = "|"}, {"detect", PHOTO}},
    };
    bool reached[256] = {false};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct cli_result r = cli_run_words(&calls[i].setting, calls[i].words);
        if (r.code != calls[i].code)
            fail_msg("call %zu: exit status %d instead of %d: %s", i, r.code, calls[i].code, r.err);
        assert_int_equal(r.err[0] == '\0', r.code == 0 || r.code == 5 || r.code == 141 ||
                                               (r.code == 4 && strcmp(calls[i].words[0], "detect") == 0));
        reached[r.code] = true;
    }
    reached[8] = true;   /* test_cli_people */
    reached[130] = true; /* interrupted_work_leaves_whole_files */
    for (size_t i = 0; cli_exit_codes[i] != NULL; i++)
        if (!reached[strtol(cli_exit_codes[i], NULL, 10)])
            fail_msg("documented and not reached: %s", cli_exit_codes[i]);
}

/* ------------------------------------------------------------------ answers */

static void text_for_people(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "detect", "--attributes", "all", PHOTO);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, PHOTO "  1920 x 1280  3 faces  "));
    assert_non_null(strstr(r.out, "quality "));
    assert_non_null(strstr(r.out, "age "));
    assert_int_equal(count_lines(r.out), 5);
    r = CLI_RUN(NULL, "embed", "--max-faces", "1", PHOTO);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "1 face  "));
    assert_non_null(strstr(r.out, "128 numbers]"));
    r = CLI_RUN(NULL, "verify", PHOTO, PHOTO);
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "same person  similarity 1.0000", 30), 0);
    r = CLI_RUN(NULL, "models", "list");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "face_recognition"));
}

static void json_of_good_and_bad_photos(void **state)
{
    (void)state;
    char text[256], missing[256];
    (void)snprintf(text, sizeof text, "%s", cli_work("text.jpg"));
    (void)snprintf(missing, sizeof missing, "%s", cli_work("missing.jpg"));
    cli_put(text, "hello\n", 6);
    struct cli_result r =
        CLI_RUN(NULL, "detect", "--json", "--attributes", "all", "--jobs", "3", PHOTO, missing, text, OTHER);
    cli_expect(&r, 3, "No such file or directory");
    assert_int_equal(count_lines(r.out), 4);
    const char *const files[] = {PHOTO, missing, text, OTHER};
    const char *line = r.out;
    for (size_t i = 0; i < 4; i++, line = next_line(line)) {
        struct frt_json *json = parse_line(line);
        const struct frt_json_value *root = frt_json_root(json);
        assert_string_equal(frt_json_text(frt_json_get(root, "file")), files[i]);
        if (i == 1 || i == 2) {
            assert_error(root, i == 1 ? "not_found" : "unsupported_image");
        } else {
            const struct frt_json_value *faces = frt_json_get(root, "faces");
            assert_int_equal(frt_json_count(faces), 3);
            for (const struct frt_json_value *f = frt_json_first(faces); f != NULL; f = frt_json_next(f)) {
                assert_face(f);
                assert_number(frt_json_get(f, "quality"), "score", 0, 1);
                assert_number(f, "age", 0, 120);
            }
            assert_number(frt_json_get(root, "image"), "width", 1920, 1920);
            assert_number(frt_json_get(root, "timing_ms"), "total", 0, 1e6);
        }
        frt_json_free(json);
    }
    /* on standard error, in the order of the inputs */
    assert_true(strstr(r.err, missing) < strstr(r.err, text));
}

static void json_of_embeddings(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "embed", "--json", "-n1", PHOTO);
    cli_expect(&r, 0, NULL);
    struct frt_json *json = parse_line(r.out);
    const struct frt_json_value *root = frt_json_root(json);
    const struct frt_json_value *face = frt_json_first(frt_json_get(root, "faces"));
    const struct frt_json_value *embedding = frt_json_get(face, "embedding");
    double square = 0;
    assert_face(face);
    assert_number(frt_json_get(root, "model"), "dim", 128, 128);
    assert_int_equal(frt_json_count(embedding), 128);
    for (const struct frt_json_value *v = frt_json_first(embedding); v != NULL; v = frt_json_next(v))
        square += frt_json_double(v, 1000) * frt_json_double(v, 1000);
    assert_true(fabs(square - 1) < 1e-4);
    frt_json_free(json);
    r = CLI_RUN(NULL, "embed", "--json", "--encoding", "base64", "-n", "1", PHOTO);
    json = parse_line(r.out);
    face = frt_json_first(frt_json_get(frt_json_root(json), "faces"));
    assert_int_equal(strlen(frt_json_text(frt_json_get(face, "embedding"))), (128 * 4 + 2) / 3 * 4);
    frt_json_free(json);
}

static void json_of_verdicts(void **state)
{
    (void)state;
    const char *missing = cli_work("missing.jpg");
    struct cli_result r = CLI_RUN(NULL, "verify", "--json", PHOTO, PHOTO, missing, OTHER);
    cli_expect(&r, 3, missing);
    assert_int_equal(count_lines(r.out), 3);
    const char *line = r.out;
    for (int i = 0; i < 3; i++, line = next_line(line)) {
        struct frt_json *json = parse_line(line);
        const struct frt_json_value *root = frt_json_root(json);
        assert_string_equal(frt_json_text(frt_json_get(root, "file1")), PHOTO);
        assert_non_null(frt_json_text(frt_json_get(root, "file2")));
        if (i == 1) {
            assert_error(root, "not_found");
        } else {
            assert_true(frt_json_is_bool(frt_json_get(root, "verified")));
            assert_int_equal(frt_json_truth(frt_json_get(root, "verified"), false), i == 0);
            assert_number(root, "similarity", i == 0 ? 0.999 : -1, i == 0 ? 1 : 0.6);
            assert_number(root, "distance", 0, 1);
            assert_number(root, "threshold", -1, 1);
            assert_int_equal(frt_json_count(frt_json_get(root, "faces")), 2);
            assert_face(frt_json_first(frt_json_get(root, "faces")));
        }
        frt_json_free(json);
    }
    r = CLI_RUN(NULL, "verify", "--json", missing, PHOTO, OTHER); /* a reference that fails ends it */
    cli_expect(&r, 3, missing);
    assert_int_equal(count_lines(r.out), 1);
    struct frt_json *json = parse_line(r.out);
    assert_error(frt_json_root(json), "not_found");
    frt_json_free(json);
}

static void the_threshold_decides(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "verify", "--threshold", "-1", PHOTO, OTHER);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "verify", "-t", "0.99", PHOTO, PHOTO, OTHER);
    cli_expect(&r, 5, NULL);
    assert_int_equal(count_lines(r.out), 2);
}

static void packs_are_listed_and_verified(void **state)
{
    (void)state;
    static const char *const keys[] = {"role", "name", "family", "file", "check", "licence"};
    struct cli_result r = CLI_RUN(NULL, "models", "list", "--json");
    cli_expect(&r, 0, NULL);
    struct frt_json *json = parse_line(r.out);
    const struct frt_json_value *root = frt_json_root(json), *models = frt_json_get(root, "models");
    size_t n = frt_json_count(models);
    assert_true(n >= 2);
    assert_int_equal(strlen(frt_json_text(frt_json_get(root, "id"))), 64);
    char damaged[256], from[512], to[512];
    (void)snprintf(damaged, sizeof damaged, "%s", cli_work("damaged"));
    assert_int_equal(mkdir(damaged, 0700), 0);
    for (const struct frt_json_value *m = frt_json_first(models); m != NULL; m = frt_json_next(m)) {
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            assert_non_null(frt_json_text(frt_json_get(m, keys[k])));
        assert_string_equal(frt_json_text(frt_json_get(m, "check")), "ok");
        assert_number(m, "bytes", 1000, 1e9);
        (void)snprintf(from, sizeof from, "%s/%s", frt_json_text(frt_json_get(root, "folder")),
                       frt_json_text(frt_json_get(m, "file")));
        (void)snprintf(to, sizeof to, "%s/%s", damaged, frt_json_text(frt_json_get(m, "file")));
        copy_file(from, to);
    }
    (void)snprintf(from, sizeof from, "%s/manifest.json", frt_json_text(frt_json_get(root, "folder")));
    frt_json_free(json);
    char last[512];
    (void)snprintf(last, sizeof last, "%s", to);
    (void)snprintf(to, sizeof to, "%s/manifest.json", damaged);
    copy_file(from, to);
    r = CLI_RUN(NULL, "models", "verify", "--pack", damaged, "--json");
    cli_expect(&r, 0, NULL);
    json = parse_line(r.out);
    assert_true(frt_json_truth(frt_json_get(frt_json_root(json), "ok"), false));
    assert_number(frt_json_root(json), "models", (double)n, (double)n);
    frt_json_free(json);

    assert_int_equal(truncate(last, 1000), 0);
    r = CLI_RUN(NULL, "models", "list", "--pack", damaged);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "CHANGED"));
    r = CLI_RUN(NULL, "models", "verify", "--pack", damaged);
    cli_expect(&r, 6, "SHA-256");
    r = CLI_RUN(NULL, "doctor", "--pack", damaged);
    assert_int_equal(r.code, 7);
    assert_non_null(strstr(r.out, "FAIL  model pack"));
    assert_int_equal(unlink(last), 0);
    r = CLI_RUN(NULL, "models", "list", "--pack", damaged);
    assert_non_null(strstr(r.out, "MISSING"));
    r = CLI_RUN(NULL, "models", "verify", "--pack", damaged);
    cli_expect(&r, 6, "No such file");
    cli_put(to, "{", 1);
    r = CLI_RUN(NULL, "models", "verify", "--pack", damaged);
    cli_expect(&r, 6, "manifest");
}

/* ------------------------------------------------------------------- inputs */

static void photos_from_pipes(void **state)
{
    (void)state;
    const struct cli_setting photo = {.input = PHOTO};
    struct cli_result r = CLI_RUN(&photo, "detect", "-");
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "-  1920 x 1280  3 faces", 23), 0);
    r = CLI_RUN(&photo, "verify", PHOTO, "-");
    cli_expect(&r, 0, "");
    r = CLI_RUN(&photo, "verify", "-", PHOTO);
    cli_expect(&r, 0, "");
    r = CLI_RUN(&photo, "detect", "--draw", cli_work("stdin.jpg"), "-");
    cli_expect(&r, 0, "");
    r = CLI_RUN(NULL, "detect", "-");
    cli_expect(&r, 3, "standard input: it is empty");
    /* a named pipe, as of bash's <(command) */
    char fifo[256], command[1024];
    (void)snprintf(fifo, sizeof fifo, "%s", cli_work("fifo"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    (void)snprintf(command, sizeof command, "cat '%s' > '%s' &", PHOTO, fifo);
    assert_int_equal(system(command), 0);
    r = CLI_RUN(NULL, "detect", fifo);
    cli_expect(&r, 0, "");
    assert_non_null(strstr(r.out, "3 faces"));
}

static void names_that_would_move_the_cursor(void **state)
{
    (void)state;
    const char *path = cli_work("a\nb\033[2J\xff.jpg"), *dash = cli_work("-n.jpg");
    copy_file(PHOTO, path);
    copy_file(PHOTO, dash);
    struct cli_result r = CLI_RUN(NULL, "detect", path);
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 5);
    assert_null(strchr(r.out, '\033'));
    assert_non_null(strstr(r.out, "a?b?[2J?.jpg  1920 x 1280"));
    r = CLI_RUN(NULL, "detect", "--json", path);
    struct frt_json *json = parse_line(r.out);
    const char *name = frt_json_text(frt_json_get(frt_json_root(json), "file"));
    assert_non_null(strstr(name, "a\nb\033[2J\xEF\xBF\xBD.jpg"));
    frt_json_free(json);
    r = CLI_RUN(NULL, "detect", "--", dash);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "verify", path, dash);
    assert_int_equal(count_lines(r.out), 1);
}

/* A folder of photos: a few, more often by other names, hidden ones, text, a folder below, a link to one. */
static const char *album(void)
{
    static char folder[256];
    char path[512];
    (void)snprintf(folder, sizeof folder, "%s", cli_work("album"));
    if (mkdir(folder, 0700) != 0)
        return folder;
    (void)snprintf(path, sizeof path, "%s/m", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < MANY_PHOTOS; i++) {
        /* big and small ones in turn, so that they are done in another order than they are begun */
        (void)snprintf(path, sizeof path, "%s/%s%02d.jpg", folder,
                       i % 7 == 3   ? "m/"
                       : i % 2 == 0 ? "a"
                                    : "z",
                       i);
        if (i % 3 == 0)
            copy_file(PHOTO, path);
        else
            copy_file(blank_photo(), path);
    }
    (void)snprintf(path, sizeof path, "%s/.hidden.jpg", folder);
    copy_file(PHOTO, path);
    (void)snprintf(path, sizeof path, "%s/notes.txt", folder);
    cli_put(path, "no photo", 8);
    (void)snprintf(path, sizeof path, "%s/m/up", folder);
    assert_int_equal(symlink("..", path), 0);
    return folder;
}

static void the_output_keeps_the_order_of_the_input(void **state)
{
    (void)state;
    static char one[1 << 16];
    struct cli_result r = CLI_RUN(NULL, "detect", "--json", "--jobs", "1", album(), ANOTHER);
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), MANY_PHOTOS + 1);
    char before[512] = "";
    size_t used = 0;
    const char *line = r.out;
    for (int i = 0; i <= MANY_PHOTOS; i++, line = next_line(line)) {
        struct frt_json *json = parse_line(line);
        const char *file = frt_json_text(frt_json_get(frt_json_root(json), "file"));
        if (i < MANY_PHOTOS)
            assert_true(strcmp(before, file) < 0);
        else
            assert_string_equal(file, ANOTHER);
        (void)snprintf(before, sizeof before, "%s", file);
        used += (size_t)snprintf(one + used, sizeof one - used, "%s\n", file);
        frt_json_free(json);
    }
    r = CLI_RUN(NULL, "detect", "--json", "--jobs", "9", album(), ANOTHER);
    cli_expect(&r, 0, NULL);
    line = r.out;
    for (const char *wanted = one; *wanted != '\0'; wanted = next_line(wanted), line = next_line(line)) {
        struct frt_json *json = parse_line(line);
        const char *file = frt_json_text(frt_json_get(frt_json_root(json), "file"));
        assert_int_equal(strlen(file), strcspn(wanted, "\n"));
        assert_int_equal(strncmp(file, wanted, strlen(file)), 0);
        frt_json_free(json);
    }
}

static void folders_without_photos(void **state)
{
    (void)state;
    const char *empty = cli_work("empty");
    assert_int_equal(mkdir(empty, 0700), 0);
    struct cli_result r = CLI_RUN(NULL, "detect", empty);
    cli_expect(&r, 3, "no photo in this folder");
    r = CLI_RUN(NULL, "detect", blank_photo(), PHOTO); /* one of them shows a face: no failure */
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "detect", "--quiet", cli_work("none.jpg"), PHOTO);
    cli_expect(&r, 3, "1 of 2 photos failed");
}

/* ----------------------------------------------------------------- drawings */

static bool is_whole_jpeg(const char *path)
{
    size_t size = 0;
    char *bytes = cli_get(path, &size);
    bool whole = bytes != NULL && size > 1000 && memcmp(bytes, "\xFF\xD8\xFF", 3) == 0 &&
                 memcmp(bytes + size - 2, "\xFF\xD9", 2) == 0;
    free(bytes);
    return whole;
}

static void decode(const char *path, struct frt_frame *frame)
{
    struct frt_image *image = NULL;
    struct frt_error err = {0};
    if (frt_image_map(&(struct frt_image_limits){0}, path, &image, &err) != FRT_OK ||
        frt_image_decode(image, &(struct frt_decode_request){0}, frame, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_image_free(image);
}

static int difference(const struct frt_frame *a, const struct frt_frame *b, uint32_t x, uint32_t y)
{
    const uint8_t *p = a->pixels + y * a->stride_bytes + x * 3, *q = b->pixels + y * b->stride_bytes + x * 3;
    return abs(p[0] - q[0]) + abs(p[1] - q[1]) + abs(p[2] - q[2]);
}

static void drawings_mark_the_faces_and_nothing_else(void **state)
{
    (void)state;
    struct frt_frame before = {0}, after = {0};
    char drawn[256];
    (void)snprintf(drawn, sizeof drawn, "%s", cli_work("drawn.jpg"));
    struct cli_result r = CLI_RUN(NULL, "detect", "--json", "--draw", drawn, PHOTO);
    cli_expect(&r, 0, NULL);
    assert_true(is_whole_jpeg(drawn));
    decode(PHOTO, &before);
    decode(drawn, &after);
    assert_int_equal(before.width_px, after.width_px);
    assert_int_equal(before.height_px, after.height_px);
    struct frt_json *json = parse_line(r.out);
    const struct frt_json_value *faces = frt_json_get(frt_json_root(json), "faces");
    assert_int_equal(frt_json_count(faces), 3);
    for (const struct frt_json_value *f = frt_json_first(faces); f != NULL; f = frt_json_next(f)) {
        const struct frt_json_value *box = frt_json_get(f, "box");
        double x = frt_json_double(frt_json_get(box, "x"), 0), y = frt_json_double(frt_json_get(box, "y"), 0);
        double w = frt_json_double(frt_json_get(box, "width"), 0);
        double h = frt_json_double(frt_json_get(box, "height"), 0);
        const uint32_t side[4][2] = {{(uint32_t)x, (uint32_t)(y + h / 2)},
                                     {(uint32_t)(x + w), (uint32_t)(y + h / 2)},
                                     {(uint32_t)(x + w / 2), (uint32_t)y},
                                     {(uint32_t)(x + w / 2), (uint32_t)(y + h)}};
        for (int i = 0; i < 4; i++) { /* the middle of each side is green */
            const uint8_t *p = after.pixels + side[i][1] * after.stride_bytes + (size_t)side[i][0] * 3;
            if (p[1] < 150 || p[1] < p[0] + 60 || p[1] < p[2] + 40)
                fail_msg("side %d of a box is not green: %d %d %d", i, p[0], p[1], p[2]);
        }
        const struct frt_json_value *nose = frt_json_get(frt_json_get(f, "landmarks"), "nose");
        const uint32_t nx = (uint32_t)frt_json_double(frt_json_first(nose), 0);
        const uint32_t ny = (uint32_t)frt_json_double(frt_json_next(frt_json_first(nose)), 0);
        const uint8_t *p = after.pixels + ny * after.stride_bytes + (size_t)nx * 3;
        assert_true(p[0] > 200 && p[1] > 150 && p[2] < 130); /* yellow */
    }
    long total = 0;
    for (uint32_t i = 0; i < 10000; i++) /* the lower left corner is the photo's own, but for JPEG's losses */
        total += difference(&before, &after, i % 100, before.height_px - 1 - i / 100);
    assert_true(total / 10000 < 12);
    frt_json_free(json);
    frt_frame_deinit(&before);
    frt_frame_deinit(&after);
}

static void drawings_replace_nothing_unasked(void **state)
{
    (void)state;
    char out[256], photo[256], folder[256], inside[512];
    size_t size = 0, size_now = 0;
    (void)snprintf(out, sizeof out, "%s", cli_work("out.jpg"));
    (void)snprintf(photo, sizeof photo, "%s", cli_work("photo.jpg"));
    (void)snprintf(folder, sizeof folder, "%s", cli_work("drawings"));
    copy_file(PHOTO, photo);
    char *bytes = cli_get(photo, &size);
    cli_put(out, "mine", 4);
    struct cli_result r = CLI_RUN(NULL, "detect", "--draw", out, photo);
    cli_expect(&r, 1, "exists already; --force replaces it");
    char *kept = cli_get(out, NULL);
    assert_string_equal(kept, "mine");
    free(kept);
    r = CLI_RUN(NULL, "detect", "--force", "--draw", out, photo);
    cli_expect(&r, 0, NULL);
    assert_true(is_whole_jpeg(out));
    r = CLI_RUN(NULL, "detect", "--force", "--draw", photo, photo);
    cli_expect(&r, 2, "would replace the photo");
    const char *other_name = cli_work("other-name.jpg");
    assert_int_equal(link(photo, other_name), 0);
    r = CLI_RUN(NULL, "detect", "--force", "--draw", other_name, photo);
    cli_expect(&r, 2, "would replace the photo");
    kept = cli_get(photo, &size_now);
    assert_int_equal(size, size_now);
    assert_memory_equal(kept, bytes, size);
    free(kept);
    free(bytes);
    r = CLI_RUN(NULL, "detect", "--force", "--draw", "/dev/null", photo);
    cli_expect(&r, 2, "no regular file");
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    r = CLI_RUN(NULL, "detect", "--draw", cli_work("nowhere/out.jpg"), photo);
    cli_expect(&r, 1, "No such file or directory");
    r = CLI_RUN(NULL, "detect", "--draw", out, photo, PHOTO);
    cli_expect(&r, 2, "for several photos a folder is right");
    r = CLI_RUN(NULL, "detect", "--draw", folder, photo, PHOTO); /* made, a drawing for each */
    cli_expect(&r, 0, NULL);
    assert_int_equal(cli_count(folder, NULL), 2);
    (void)snprintf(inside, sizeof inside, "%s/node_modules_@vladmandic_face-api_demo_sample1.jpg", folder);
    assert_true(is_whole_jpeg(inside));
}

static void closed_output_does_not_end_up_in_the_drawing(void **state)
{
    (void)state;
    const struct cli_setting closed = {.output = ""};
    char out[256];
    (void)snprintf(out, sizeof out, "%s", cli_work("closed.jpg"));
    struct cli_result r = CLI_RUN(&closed, "detect", "--draw", out, PHOTO);
    cli_expect(&r, 1, "standard output: Bad file descriptor");
    assert_true(is_whole_jpeg(out));
    size_t size = 0;
    char *bytes = cli_get(out, &size);
    assert_null(memmem(bytes, size, "3 faces", 7));
    free(bytes);
}

static bool is_drawing(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".jpg") == 0;
}

static void interrupted_work_leaves_whole_files(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    char out[256], first[512], path[600];
    for (size_t s = 0; s < 2; s++) {
        (void)snprintf(out, sizeof out, "%s%zu", cli_work("interrupted"), s);
        assert_int_equal(mkdir(out, 0700), 0);
        /* the names of the drawings come from those of the photos, the first of the album is a00.jpg */
        const char *photo = album();
        (void)snprintf(first, sizeof first, "%s/%s_a00.jpg", out, photo + 1);
        for (char *p = first + strlen(out) + 1; *p != '\0'; p++)
            *p = *p == '/' ? '_' : *p;
        const struct cli_setting interrupt = {.signal = signals[s], .when_exists = first};
        struct cli_result r =
            CLI_RUN(&interrupt, "embed", "--attributes", "all", "--jobs", "3", "--quiet", "--draw", out, photo);
        cli_expect(&r, 130, NULL);
        size_t n = cli_count(out, NULL);
        assert_true(n >= 1 && n < MANY_PHOTOS);
        assert_int_equal(cli_count(out, is_drawing), n); /* no temporary file stays */
        (void)snprintf(path, sizeof path, "%s", first);
        assert_true(is_whole_jpeg(path));
    }
}

/* --------------------------------------------------------------- evaluation */

static void evaluation_refuses_before_it_works(void **state)
{
    (void)state;
    char lfw[256], path[512], pairs[256], out[256];
    (void)snprintf(lfw, sizeof lfw, "%s", cli_work("lfw"));
    (void)snprintf(pairs, sizeof pairs, "%s", cli_work("pairs.txt"));
    (void)snprintf(out, sizeof out, "%s", cli_work("report.json"));
    assert_int_equal(mkdir(lfw, 0700), 0);
    static const struct {
        const char *name, *photo;
    } photos[] = {{"A/A_0001.jpg", PHOTO}, {"A/A_0002.jpg", PHOTO}, {"B/B_0001.jpg", ANOTHER}};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%c", lfw, photos[i].name[0]);
        (void)mkdir(path, 0700);
        (void)snprintf(path, sizeof path, "%s/%s", lfw, photos[i].name);
        copy_file(photos[i].photo, path);
    }
    cli_put(pairs, "A 1\n", 4);
    struct cli_result r = CLI_RUN(NULL, "eval", "pairs", "--images", lfw, "--pairs", pairs);
    cli_expect(&r, 3, "line 1");
    cli_put(pairs, "A\t1\t9\nA\t1\tB\t1\n", 14);
    r = CLI_RUN(NULL, "eval", "pairs", "--images", lfw, "--pairs", pairs);
    cli_expect(&r, 3, "A_0009");
    r = CLI_RUN(NULL, "eval", "pairs", "--images", lfw, "--pairs", cli_work("none.txt"));
    cli_expect(&r, 3, "none.txt");
    cli_put(pairs, "A\t1\t2\nA\t1\tB\t1\n", 14);
    cli_put(out, "mine", 4);
    r = CLI_RUN(NULL, "eval", "pairs", "--images", lfw, "--pairs", pairs, "--out", out);
    cli_expect(&r, 1, "exists already");
    r = CLI_RUN(NULL, "eval", "pairs", "--images", lfw, "--pairs", pairs, "--force", "--out", out, "--roc",
                cli_work("roc.svg"), "--json");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 1);
    struct frt_json *json = parse_line(r.out), *file = NULL;
    size_t size = 0;
    char *report = cli_get(out, &size);
    assert_int_equal(frt_json_parse(report, size, &file, NULL), FRT_OK);
    assert_number(frt_json_root(json), "pairs", 2, 2);
    assert_number(frt_json_root(file), "pairs", 2, 2);
    assert_int_equal(frt_json_count(frt_json_root(json)), frt_json_count(frt_json_root(file)));
    free(report);
    frt_json_free(json);
    frt_json_free(file);
    char *svg = cli_get(cli_work("roc.svg"), NULL);
    assert_non_null(svg);
    assert_non_null(strstr(svg, "<svg"));
    free(svg);
}

static void liveness_is_measured(void **state)
{
    (void)state;
    char folder[256], path[512], map[256];
    static const char *const folders[] = {"", "/real", "/fake", "/fake/print"};
    (void)snprintf(map, sizeof map, "%s", cli_work("live.csv"));
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(folder, sizeof folder, "%s%s", cli_work("alive"), folders[i]);
        assert_int_equal(mkdir(folder, 0700), 0);
    }
    (void)snprintf(folder, sizeof folder, "%s", cli_work("alive"));
    (void)snprintf(path, sizeof path, "%s/real/a.jpg", folder);
    copy_file(PHOTO, path);
    (void)snprintf(path, sizeof path, "%s/fake/b.jpg", folder);
    copy_file(PHOTO, path);
    (void)snprintf(path, sizeof path, "%s/fake/print/c.jpg", folder);
    copy_file(ANOTHER, path);
    struct cli_result r = CLI_RUN(NULL, "eval", "liveness", folder, "--json");
    cli_expect(&r, 0, NULL);
    struct frt_json *json = parse_line(r.out);
    const struct frt_json_value *attacks = frt_json_get(frt_json_root(json), "attacks");
    assert_int_equal(frt_json_count(attacks), 2);
    assert_string_equal(frt_json_text(frt_json_get(frt_json_first(attacks), "attack")), "fake");
    assert_string_equal(frt_json_text(frt_json_get(frt_json_next(frt_json_first(attacks)), "attack")), "print");
    assert_number(frt_json_root(json), "bpcer", 0, 0); /* stock photos of people, all of them: */
    assert_number(frt_json_root(json), "apcer", 1, 1); /* what is called an attack here is none */
    frt_json_free(json);
    static const char good[] = "alive/real/a.jpg,live\nalive/fake/b.jpg,spoof,replay\n",
                      bad[] = "alive/real/a.jpg,Anna\n";
    cli_put(map, good, sizeof good - 1);
    r = CLI_RUN(NULL, "eval", "liveness", map, "--threshold", "1", "--plot", cli_work("live.svg"));
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "replay"));
    cli_put(map, bad, sizeof bad - 1);
    r = CLI_RUN(NULL, "eval", "liveness", map);
    cli_expect(&r, 3, "is of 'Anna'");
}

/* The default pack's files, and a manifest to which nearly every face is a spoof. */
static void make_suspicious_pack(const char *folder)
{
    const char *pack = getenv("FRT_PACK");
    char path[4200], real[4096];
    size_t size = 0;
    assert_non_null(pack);
    assert_non_null(realpath(pack, real));
    assert_int_equal(mkdir(folder, 0700), 0);
    DIR *d = opendir(real);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char to[4700];
        if (strstr(e->d_name, ".onnx") == NULL)
            continue;
        (void)snprintf(to, sizeof to, "%s/%s", real, e->d_name);
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(symlink(to, path), 0);
    }
    (void)closedir(d);
    (void)snprintf(path, sizeof path, "%s/manifest.json", real);
    char *manifest = cli_get(path, &size), *more = malloc(size + 100);
    assert_non_null(manifest);
    assert_non_null(more);
    static const char role[] = "\"role\": \"liveness\",";
    const char *at = strstr(manifest, role);
    assert_non_null(at);
    at += sizeof role - 1;
    const int n =
        snprintf(more, size + 100, "%.*s\"spoof_threshold\": 0.01,%s", (int)(at - manifest), manifest, at);
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    cli_put(path, more, (size_t)n);
    free(manifest);
    free(more);
}

static void who_is_no_live_face_gets_no_further(void **state)
{
    (void)state;
    char pack[256], database[256];
    (void)snprintf(pack, sizeof pack, "%s", cli_work("suspicious"));
    (void)snprintf(database, sizeof database, "%s", cli_work("live.db"));
    make_suspicious_pack(pack);
    struct cli_result r = CLI_RUN(NULL, "verify", "--require-live", PHOTO, PHOTO);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "verify", "--require-live", "--pack", pack, PHOTO, PHOTO);
    cli_expect(&r, 3, "no live face");
    r = CLI_RUN(NULL, "verify", "--pack", pack, PHOTO, PHOTO);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "enroll", "c", PHOTO, "--subject", "Ann", "--on-multiple", "largest", "--database",
                database, "--require-live");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "search", "c", PHOTO, "--database", database, "--require-live");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "search", "c", PHOTO, "--database", database, "--require-live", "--pack", pack);
    cli_expect(&r, 3, "no live face");
    r = CLI_RUN(NULL, "search", "c", PHOTO, "--database", database, "--pack", pack);
    cli_expect(&r, 0, NULL);
}

static void detection_is_measured(void **state)
{
    (void)state;
    char photos[256], path[512], labels[256], more[256];
    (void)snprintf(photos, sizeof photos, "%s", cli_work("labelled"));
    (void)snprintf(labels, sizeof labels, "%s", cli_work("boxes.txt"));
    (void)snprintf(more, sizeof more, "%s", cli_work("boxes.xml"));
    assert_int_equal(mkdir(photos, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/a.jpg", photos);
    copy_file(PHOTO, path);
    (void)snprintf(path, sizeof path, "%s/b.jpg", photos);
    copy_file(ANOTHER, path);
    static const char list[] = "a.jpg\n1\n9000 9000 9 9\n";
    cli_put(labels, list, sizeof list - 1);
    static const char xml[] = "<dataset><images><image file='b.jpg'/></images></dataset>";
    cli_put(more, xml, sizeof xml - 1);
    struct cli_result r = CLI_RUN(NULL, "eval", "detect", photos);
    cli_expect(&r, 2, "--boxes FILE is needed");
    r = CLI_RUN(NULL, "eval", "detect", photos, "--boxes", cli_work("none.xml"));
    cli_expect(&r, 3, "none.xml");
    r = CLI_RUN(NULL, "eval", "detect", photos, "--boxes", more);
    cli_expect(&r, 3, "no face to find");
    /* a face far outside: missed, and what stands there instead are false alarms, in both photos */
    r = CLI_RUN(NULL, "eval", "detect", photos, "--boxes", labels, "--boxes", more, "--json", "--plot",
                cli_work("pr.svg"));
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 1);
    struct frt_json *json = parse_line(r.out);
    const struct frt_json_value *at = frt_json_get(frt_json_root(json), "at_confidence");
    assert_number(frt_json_root(json), "photos", 2, 2);
    assert_number(at, "missed", 1, 1);
    assert_number(at, "false_alarms", 2, 10);
    assert_number(frt_json_get(frt_json_root(json), "ap"), "at_050", 0, 0);
    frt_json_free(json);
    char *svg = cli_get(cli_work("pr.svg"), NULL);
    assert_non_null(svg);
    assert_non_null(strstr(svg, "Precision"));
    free(svg);
}

/* ------------------------------------------------------------------ service */

static void the_service_starts_and_stops(void **state)
{
    (void)state;
    const struct cli_setting stop = {.signal = SIGTERM, .when_said = "event=ready"};
    struct cli_result r = CLI_RUN(&stop, "serve", "--listen", "127.0.0.1:0");
    cli_expect(&r, 0, "event=stopped");
    assert_non_null(strstr(r.err, "url=http://127.0.0.1:"));
    assert_null(strstr(r.err, "curl")); /* hints are for terminals; a log stays a log */
    const struct cli_setting as_json = {
        .signal = SIGINT, .when_said = "\"event\":\"ready\"", .env = {"FRT_LOG_JSON=true"}};
    r = CLI_RUN(&as_json, "serve", "--listen", "127.0.0.1:0");
    cli_expect(&r, 0, "\"event\":\"stopped\"");
    r = CLI_RUN(NULL, "serve", "--pack", "/nonexistent", "--listen", "127.0.0.1:0");
    cli_expect(&r, 6, "/nonexistent");
    r = CLI_RUN(NULL, "serve", "--listen", "0.0.0.0:0");
    cli_expect(&r, 7, "refusing to listen");
}

int main(int argc, char **argv)
{
    static char manifest[1024];
    const char *pack = getenv("FRT_TEST_PACK") != NULL ? getenv("FRT_TEST_PACK") : "data/packs/default";
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", pack);
    if (access(manifest, R_OK) != 0) {
        (void)printf("SKIP: no model pack in %s ('make pack' makes it)\n", pack);
        return 77;
    }
    if (access(PHOTO, R_OK) != 0 || access(OTHER, R_OK) != 0 || access(ANOTHER, R_OK) != 0) {
        (void)printf("SKIP: no sample photos in " PHOTOS " (npm ci --ignore-scripts)\n");
        return 77;
    }
    cli_runner_init(argc, argv);
    (void)setenv("FRT_PACK", pack, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_documented_exit_code_is_reached),
        cmocka_unit_test(text_for_people),
        cmocka_unit_test(json_of_good_and_bad_photos),
        cmocka_unit_test(json_of_embeddings),
        cmocka_unit_test(json_of_verdicts),
        cmocka_unit_test(the_threshold_decides),
        cmocka_unit_test(packs_are_listed_and_verified),
        cmocka_unit_test(photos_from_pipes),
        cmocka_unit_test(names_that_would_move_the_cursor),
        cmocka_unit_test(the_output_keeps_the_order_of_the_input),
        cmocka_unit_test(folders_without_photos),
        cmocka_unit_test(drawings_mark_the_faces_and_nothing_else),
        cmocka_unit_test(drawings_replace_nothing_unasked),
        cmocka_unit_test(closed_output_does_not_end_up_in_the_drawing),
        cmocka_unit_test(interrupted_work_leaves_whole_files),
        cmocka_unit_test(evaluation_refuses_before_it_works),
        cmocka_unit_test(detection_is_measured),
        cmocka_unit_test(liveness_is_measured),
        cmocka_unit_test(who_is_no_live_face_gets_no_further),
        cmocka_unit_test(the_service_starts_and_stops),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}
