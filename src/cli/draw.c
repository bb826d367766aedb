#include "cli/draw.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/files.h"
#include "core/mem.h"
#include "image/image.h"
#include "image/jpeg_write.h"

enum { MAX_SIDE_PX = 4096, QUALITY = 90, GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7, PATH_BYTES = 4096 };

struct colour {
    uint8_t r, g, b;
};

static const struct colour green = {40, 220, 110}, yellow = {255, 210, 60}, black = {0, 0, 0};

/* A canvas in frame pixels. */
struct canvas {
    struct frt_frame frame;
    double unit; /* thickness of a line, grows with the picture */
};

/* ---------------------------------------------------------------- shapes */

static void blend(struct canvas *c, long x, long y, struct colour k, double alpha)
{
    if (x < 0 || y < 0 || x >= (long)c->frame.width_px || y >= (long)c->frame.height_px)
        return;
    uint8_t *p = c->frame.pixels + (size_t)y * c->frame.stride_bytes + (size_t)x * 3;
    p[0] = (uint8_t)(p[0] + (k.r - p[0]) * alpha);
    p[1] = (uint8_t)(p[1] + (k.g - p[1]) * alpha);
    p[2] = (uint8_t)(p[2] + (k.b - p[2]) * alpha);
}

/* How much of pixel [i, i+1) lies in [low, high]. */
static double overlap(double low, double high, long i)
{
    return fmax(0, fmin(high, (double)i + 1) - fmax(low, (double)i));
}

static void rectangle(struct canvas *c, double x0, double y0, double x1, double y1, struct colour k,
                      double alpha)
{
    x0 = fmax(x0, 0);
    y0 = fmax(y0, 0);
    x1 = fmin(x1, c->frame.width_px);
    y1 = fmin(y1, c->frame.height_px);
    for (long y = (long)floor(y0); y < (long)ceil(y1); y++)
        for (long x = (long)floor(x0); x < (long)ceil(x1); x++)
            blend(c, x, y, k, alpha * overlap(x0, x1, x) * overlap(y0, y1, y));
}

static void outline(struct canvas *c, double x0, double y0, double x1, double y1, double t, struct colour k)
{
    rectangle(c, x0 - t / 2, y0 - t / 2, x1 + t / 2, y0 + t / 2, k, 1);
    rectangle(c, x0 - t / 2, y1 - t / 2, x1 + t / 2, y1 + t / 2, k, 1);
    rectangle(c, x0 - t / 2, y0 + t / 2, x0 + t / 2, y1 - t / 2, k, 1);
    rectangle(c, x1 - t / 2, y0 + t / 2, x1 + t / 2, y1 - t / 2, k, 1);
}

static void disc(struct canvas *c, double cx, double cy, double radius, struct colour k)
{
    for (long y = (long)floor(cy - radius - 1); y <= (long)ceil(cy + radius); y++)
        for (long x = (long)floor(cx - radius - 1); x <= (long)ceil(cx + radius); x++)
            blend(c, x, y, k,
                  fmin(1, fmax(0, radius + 0.5 - hypot((double)x + 0.5 - cx, (double)y + 0.5 - cy))));
}

/* Digits and the few signs a label needs, 5 × 7, a row a byte, leftmost pixel in bit 4. */
static const struct {
    char sign;
    uint8_t rows[GLYPH_HEIGHT];
} glyphs[] = {
    {'0', {14, 17, 19, 21, 25, 17, 14}}, {'1', {4, 12, 4, 4, 4, 4, 14}},  {'2', {14, 17, 1, 2, 4, 8, 31}},
    {'3', {31, 2, 4, 2, 1, 17, 14}},     {'4', {2, 6, 10, 18, 31, 2, 2}}, {'5', {31, 16, 30, 1, 1, 17, 14}},
    {'6', {6, 8, 16, 30, 17, 17, 14}},   {'7', {31, 1, 2, 4, 8, 8, 8}},   {'8', {14, 17, 17, 14, 17, 17, 14}},
    {'9', {14, 17, 17, 15, 1, 2, 12}},   {'.', {0, 0, 0, 0, 0, 12, 12}},  {'#', {10, 10, 31, 10, 31, 10, 10}},
    {'%', {24, 25, 2, 4, 8, 19, 3}},
};

static void text(struct canvas *c, double x, double y, double size, const char *words, struct colour k)
{
    for (size_t i = 0; words[i] != '\0'; i++) {
        double left = x + (double)i * (GLYPH_WIDTH + 1) * size;
        for (size_t g = 0; g < sizeof glyphs / sizeof *glyphs; g++)
            for (int row = 0; glyphs[g].sign == words[i] && row < GLYPH_HEIGHT; row++)
                for (int column = 0; column < GLYPH_WIDTH; column++)
                    if (glyphs[g].rows[row] >> (GLYPH_WIDTH - 1 - column) & 1)
                        rectangle(c, left + column * size, y + row * size, left + (column + 1) * size,
                                  y + (row + 1) * size, k, 1);
    }
}

static void draw_face(struct canvas *c, size_t number, const struct frt_face *f)
{
    const struct frt_frame *m = &c->frame;
    char label[32];
    double x0 = ((double)f->box.x - m->origin_x) / m->scale_x,
           y0 = ((double)f->box.y - m->origin_y) / m->scale_y;
    double x1 = x0 + (double)f->box.width / m->scale_x, y1 = y0 + (double)f->box.height / m->scale_y;
    double t = c->unit;
    outline(c, x0, y0, x1, y1, 2 * t, black);
    outline(c, x0, y0, x1, y1, t, green);
    for (int i = 0; i < FRT_LANDMARK_COUNT; i++) {
        double x = ((double)f->landmarks[i].x - m->origin_x) / m->scale_x;
        double y = ((double)f->landmarks[i].y - m->origin_y) / m->scale_y;
        disc(c, x, y, 1.6 * t, black);
        disc(c, x, y, 1.1 * t, yellow);
    }
    (void)snprintf(label, sizeof label, "#%zu %.0f%%", number, (double)f->confidence * 100);
    double size = fmax(1, floor(t)), width = (double)strlen(label) * (GLYPH_WIDTH + 1) * size + size;
    double height = (GLYPH_HEIGHT + 2) * size, top = y0 - t - height >= 0 ? y0 - t - height : y0 + t;
    rectangle(c, x0 - t / 2, top, x0 - t / 2 + width + size, top + height, black, 0.75);
    text(c, x0 - t / 2 + size, top + size, size, label, green);
}

/* ---------------------------------------------------------------- target */

static int by_file(const void *a, const void *b)
{
    const struct cli_draw_photo *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* Which files the photos are, so that --force replaces none of them, by whatever name. */
static enum frt_status remember_photos(struct cli_draw_target *target, char *const *photos, size_t n,
                                       struct frt_error *err)
{
    struct stat st;
    target->photos = frt_alloc_array(n, sizeof *target->photos);
    if (target->photos == NULL)
        return frt_fail_nomem(err, "the list of photos");
    for (size_t i = 0; i < n; i++)
        if (stat(photos[i], &st) == 0)
            target->photos[target->n_photos++] = (struct cli_draw_photo){st.st_dev, st.st_ino};
    if (target->n_photos > 0)
        qsort(target->photos, target->n_photos, sizeof *target->photos, by_file);
    return FRT_OK;
}

static bool is_photo(const struct cli_draw_target *target, const char *path)
{
    struct stat st;
    if (target->n_photos == 0 || stat(path, &st) != 0)
        return false;
    struct cli_draw_photo wanted = {st.st_dev, st.st_ino};
    return bsearch(&wanted, target->photos, target->n_photos, sizeof wanted, by_file) != NULL;
}

enum frt_status cli_draw_target_init(struct cli_draw_target *target, const char *out, bool several, bool force,
                                     char *const *photos, size_t n, struct frt_error *err)
{
    struct cli_draw_target made = {.path = out, .force = force};
    struct stat st;
    bool there = stat(out, &st) == 0, is_folder = there && S_ISDIR(st.st_mode);
    if (out[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "--draw needs the name of a file or folder");
    if (several && there && !is_folder)
        return frt_fail(err, FRT_EINVAL, "--draw %s is a file; for several photos a folder is right", out);
    if (several && !there && mkdir(out, 0777) != 0)
        return frt_fail(err, FRT_EIO, "--draw %s: %s", out, strerror(errno));
    made.folder = several || is_folder;
    enum frt_status status = remember_photos(&made, photos, n, err);
    /* asked before the models are loaded; what would be a photo is told apart below */
    if (status == FRT_OK && !made.folder && is_photo(&made, out))
        status = frt_fail(err, FRT_EINVAL, "--draw would replace the photo %s itself", out);
    if (status == FRT_OK && !made.folder)
        status = cli_file_check(out, force, err);
    if (status != FRT_OK) {
        cli_draw_target_deinit(&made);
        return status;
    }
    *target = made;
    return FRT_OK;
}

void cli_draw_target_deinit(struct cli_draw_target *target)
{
    frt_free(target->photos);
    *target = (struct cli_draw_target){0};
}

/* OUT/a_b_photo.jpg for "a/b/photo.jpg", OUT/photo.png.jpg for "photo.png": the same name whichever other
 * photos there are, and two names for photo.jpg beside photo.png. */
static enum frt_status target_path(const struct cli_draw_target *target, const char *photo,
                                   char out[PATH_BYTES], struct frt_error *err)
{
    if (!target->folder) {
        int n = snprintf(out, PATH_BYTES, "%s", target->path);
        return n < PATH_BYTES ? FRT_OK : frt_fail(err, FRT_EINVAL, "--draw: the file name is too long");
    }
    while (strncmp(photo, "./", 2) == 0 || strncmp(photo, "../", 3) == 0 || *photo == '/')
        photo = *photo == '/' ? photo + 1 : strchr(photo, '/') + 1;
    const char *name = strcmp(photo, "-") == 0 ? "stdin" : photo, *dot = strrchr(name, '.');
    int n = snprintf(out, PATH_BYTES, "%s/%s%s", target->path, name,
                     dot != NULL && strcasecmp(dot, ".jpg") == 0 ? "" : ".jpg");
    if (n < 0 || n >= PATH_BYTES)
        return frt_fail(err, FRT_EINVAL, "--draw: the file name is too long");
    for (char *p = out + strlen(target->path) + 1; *p != '\0'; p++)
        if (*p == '/')
            *p = '_';
    return FRT_OK;
}

/* The photo as pixels that may be drawn on. */
static enum frt_status canvas_init(struct canvas *c, const struct frt_image *image, struct frt_error *err)
{
    struct frt_image_info info = frt_image_info_get(image);
    uint32_t side = info.width_px > info.height_px ? info.width_px : info.height_px;
    struct frt_decode_request request = {.want_side_px = side > MAX_SIDE_PX ? MAX_SIDE_PX : 0};
    enum frt_status status = frt_image_decode(image, &request, &c->frame, err);
    if (status != FRT_OK)
        return status;
    uint32_t shown = c->frame.width_px > c->frame.height_px ? c->frame.width_px : c->frame.height_px;
    c->unit = fmax(1, shown / 500.0);
    return FRT_OK;
}

enum frt_status cli_draw(const struct cli_draw_target *target, const char *photo, const struct frt_image *image,
                         const struct frt_faces *faces, struct frt_error *err)
{
    char path[PATH_BYTES];
    struct canvas canvas = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum frt_status status = target_path(target, photo, path, err);
    if (status == FRT_OK && is_photo(target, path))
        status = frt_fail(err, FRT_EINVAL, "--draw would replace the photo %s", path);
    if (status == FRT_OK)
        status = canvas_init(&canvas, image, err);
    if (status != FRT_OK)
        return status;
    for (size_t i = frt_faces_count(faces); i-- > 0;) /* the largest on top */
        draw_face(&canvas, i + 1, frt_faces_get(faces, i));
    status = frt_jpeg_encode(canvas.frame.pixels, canvas.frame.width_px, canvas.frame.height_px,
                             canvas.frame.stride_bytes, QUALITY, &bytes, &size, err);
    if (status == FRT_OK)
        status = cli_file_write(path, bytes, size, target->force, err);
    frt_jpeg_bytes_free(bytes);
    frt_frame_deinit(&canvas.frame);
    return status;
}
