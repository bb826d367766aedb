#include "engine/kept_crop.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "image/jpeg_write.h"
#include "simd/resample.h"

enum {
    CROP_SIDE = 320, /* pixels of the square at most: a box of 160, more than any chip takes of one */
    QUALITY = 95,
    VERSION = 1,
    AS_JPEG = 1,
    AS_PIXELS = 2,
    MAX_FACES = 16,
    /* the bytes before the picture: docs/formats/crop-v1.md */
    AT_VERSION = 4,
    AT_ENCODING = 5,
    AT_SIDE = 6,
    AT_SCALE = 8,
    AT_BOX = 12,
    AT_LANDMARKS = 28,
    AT_FINDER = AT_LANDMARKS + 2 * FRT_LANDMARK_COUNT * 4,
    FINDER = 8,
    AT_PLACE = AT_FINDER + FINDER,
    HEAD = AT_PLACE + 16,
    MAX_CANVAS = 12000000 /* pixels */
};
static const char magic[4] = {'F', 'R', 'T', 'C'};
/* Of boxes around the face's centre: detectors find a face with its surroundings, and every template lies
 * within. */
static const double crop_margin = 2.0;
/* From so much overlap of the boxes on, the face that is found again is the one that was kept. */
static const double same_box = 0.4;

static void put_f32(uint8_t *at, double value)
{
    const float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(bits >> (8 * i));
}

static float get_f32(const uint8_t *at)
{
    const uint32_t bits =
        (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Which nets found the landmarks: the first bytes of SHA-256 over their names and versions. */
static void finder_of(const struct frt_pack *pack, uint8_t out[FINDER])
{
    const struct frt_model_spec *detector =
        frt_manifest_find(pack->manifest, FRT_ROLE_DETECTOR, pack->detector_name);
    const struct frt_model_spec *landmarks =
        pack->landmarker != NULL ? frt_manifest_find(pack->manifest, FRT_ROLE_LANDMARKS, NULL) : NULL;
    char text[4 * FRT_SPEC_NAME_MAX + 4];
    uint8_t hash[FRT_SHA256_BYTES];
    int n = snprintf(text, sizeof text, "%s\n%s\n%s\n%s", detector != NULL ? detector->name : "",
                     detector != NULL ? detector->version : "", landmarks != NULL ? landmarks->name : "",
                     landmarks != NULL ? landmarks->version : "");
    frt_sha256(text, n > 0 ? (size_t)n : 0, hash);
    memcpy(out, hash, FINDER);
}

/* ------------------------------------------------------------------- cutting */

/* The square around the face, in the upright full-size photo: it may reach past its edge, where it is black. */
struct square {
    double x, y, side;
    double photo_width, photo_height;
};

static struct square square_of(const struct frt_image *image, const struct frt_face *face)
{
    const struct frt_image_info info = frt_image_info_get(image);
    const struct frt_box *b = &face->box;
    const double side = crop_margin * fmax((double)b->width, (double)b->height);
    return (struct square){(double)b->x + (double)b->width / 2 - side / 2,
                           (double)b->y + (double)b->height / 2 - side / 2, side, info.width_px,
                           info.height_px};
}

static enum frt_status decode_part(const struct frt_context *context, const struct frt_image *image,
                                   const struct square *s, uint32_t want_px, const struct frt_kept_wait *wait,
                                   struct frt_frame *frame, struct frt_error *err)
{
    const struct frt_image_info info = frt_image_info_get(image);
    const double x0 = fmax(0, floor(s->x)), y0 = fmax(0, floor(s->y)),
                 x1 = fmin(info.width_px, ceil(s->x + s->side)),
                 y1 = fmin(info.height_px, ceil(s->y + s->side));
    struct frt_decode_request request = {.want_side_px = want_px};
    enum frt_status status = FRT_OK;
    if (!(x1 - x0 >= 1 && y1 - y0 >= 1))
        return frt_fail(err, FRT_EINVAL, "a face's box lies outside its photo");
    request.region = (struct frt_box){(float)x0, (float)y0, (float)(x1 - x0), (float)(y1 - y0)};
    if (context->stages != NULL) {
        const struct frt_stage_wait place = {.priority =
                                                 wait->bulk ? FRT_PRIORITY_BULK : FRT_PRIORITY_INTERACTIVE,
                                             .deadline_ms = wait->deadline_ms,
                                             .cancelled = wait->cancelled,
                                             .cancelled_arg = wait->cancelled_arg};
        status = frt_stage_enter(context->stages, FRT_STAGE_IMAGE, &place, err);
        if (status != FRT_OK)
            return status;
    }
    status = frt_image_decode(image, &request, frame, err);
    if (context->stages != NULL)
        frt_stage_leave(context->stages, FRT_STAGE_IMAGE);
    return status;
}

static void write_head(const struct frt_pack *pack, uint8_t *head, const struct square *s, uint32_t side_px,
                       double scale, const struct frt_face *face, uint8_t encoding)
{
    memset(head, 0, HEAD);
    memcpy(head, magic, sizeof magic);
    head[AT_VERSION] = VERSION;
    head[AT_ENCODING] = encoding;
    head[AT_SIDE] = (uint8_t)side_px;
    head[AT_SIDE + 1] = (uint8_t)(side_px >> 8);
    put_f32(head + AT_SCALE, scale);
    put_f32(head + AT_BOX, ((double)face->box.x - s->x) / scale);
    put_f32(head + AT_BOX + 4, ((double)face->box.y - s->y) / scale);
    put_f32(head + AT_BOX + 8, (double)face->box.width / scale);
    put_f32(head + AT_BOX + 12, (double)face->box.height / scale);
    finder_of(pack, head + AT_FINDER);
    put_f32(head + AT_PLACE, s->x / scale);
    put_f32(head + AT_PLACE + 4, s->y / scale);
    put_f32(head + AT_PLACE + 8, s->photo_width / scale);
    put_f32(head + AT_PLACE + 12, s->photo_height / scale);
    for (size_t i = 0; i < FRT_LANDMARK_COUNT; i++) {
        put_f32(head + AT_LANDMARKS + 8 * i, ((double)face->landmarks[i].x - s->x) / scale);
        put_f32(head + AT_LANDMARKS + 8 * i + 4, ((double)face->landmarks[i].y - s->y) / scale);
    }
}

enum frt_status frt_kept_crop_cut_as(const struct frt_pack *pack, const struct frt_image *image,
                                     const struct frt_face *face, const struct frt_kept_wait *wait,
                                     const struct frt_kept_choice *choice, uint8_t **out, size_t *size,
                                     struct frt_error *err)
{
    struct square s = square_of(image, face);
    const uint32_t most = choice->side_px != 0 ? choice->side_px : CROP_SIDE;
    /* as fine as the photo, or as the most that is kept: whole pixels of the photo where they all fit */
    const uint32_t side_px = s.side <= most ? (uint32_t)fmax(1, ceil(s.side)) : most;
    const double scale = s.side <= most ? 1 : s.side / most;
    struct frt_frame frame = {0};
    uint8_t *pixels = NULL, *jpeg = NULL, *all = NULL;
    size_t picture = (size_t)side_px * side_px * 3;
    if (scale == 1) { /* on the photo's grid, so that not a pixel is mixed with its neighbour */
        s.x = floor(s.x);
        s.y = floor(s.y);
    }
    enum frt_status status = decode_part(pack->context, image, &s, scale == 1 ? 0 : most, wait, &frame, err);
    if (status != FRT_OK)
        return status;
    pixels = frt_alloc_array(side_px, (size_t)side_px * 3);
    if (pixels == NULL) {
        status = frt_fail_nomem(err, "a face's crop");
        goto done;
    }
    const struct frt_pixels source = {frame.pixels, frame.width_px, frame.height_px, frame.stride_bytes};
    const double m[6] = {scale / frame.scale_x,
                         0,
                         (s.x - frame.origin_x) / frame.scale_x,
                         0,
                         scale / frame.scale_y,
                         (s.y - frame.origin_y) / frame.scale_y};
    frt_warp_to_chip(&source, m, pixels, side_px, side_px);
    if (choice->quality != 0)
        status = frt_jpeg_encode(pixels, side_px, side_px, (size_t)side_px * 3, choice->quality, &jpeg,
                                 &picture, err);
    if (status == FRT_OK)
        all = frt_alloc_array(1, HEAD + picture);
    if (status == FRT_OK && all == NULL)
        status = frt_fail_nomem(err, "a face's crop");
    if (status == FRT_OK && all != NULL) {
        write_head(pack, all, &s, side_px, scale, face, jpeg != NULL ? AS_JPEG : AS_PIXELS);
        memcpy(all + HEAD, jpeg != NULL ? jpeg : pixels, picture);
        *out = all;
        *size = HEAD + picture;
    }
done:
    frt_jpeg_bytes_free(jpeg);
    frt_free(pixels);
    frt_frame_deinit(&frame);
    return status;
}

enum frt_status frt_kept_crop_cut(const struct frt_pack *pack, const struct frt_image *image,
                                  const struct frt_face *face, const struct frt_kept_wait *wait, uint8_t **out,
                                  size_t *size, struct frt_error *err)
{
    static const struct frt_kept_choice choice = {.quality = QUALITY};
    return frt_kept_crop_cut_as(pack, image, face, wait, &choice, out, size, err);
}

/* ----------------------------------------------------------------- embedding */

struct crop {
    uint32_t side_px;
    struct frt_box box;
    struct frt_point landmarks[FRT_LANDMARK_COUNT];
    uint8_t finder[FINDER];
    struct frt_box
        place; /* where it lay in its photo: x, y; and the photo's width and height. In crop pixels */
    struct frt_frame frame; /* owned, unless borrowed */
};

static enum frt_status open_crop(const struct frt_context *context, const void *bytes, size_t size,
                                 struct crop *out, struct frt_error *err)
{
    const uint8_t *b = bytes;
    struct frt_image *image = NULL;
    enum frt_status status = FRT_OK;
    *out = (struct crop){0};
    if (size <= HEAD || memcmp(b, magic, sizeof magic) != 0)
        return frt_fail(err, FRT_ESTORE_DAMAGED, "a face's crop is damaged: its head is no crop's");
    if (b[AT_VERSION] != VERSION)
        return frt_fail(err, FRT_ESTORE_DAMAGED,
                        "a face's crop of version %d; this program knows %d. Use a "
                        "newer frt",
                        b[AT_VERSION], VERSION);
    out->side_px = (uint32_t)b[AT_SIDE] | (uint32_t)b[AT_SIDE + 1] << 8;
    out->box = (struct frt_box){get_f32(b + AT_BOX), get_f32(b + AT_BOX + 4), get_f32(b + AT_BOX + 8),
                                get_f32(b + AT_BOX + 12)};
    memcpy(out->finder, b + AT_FINDER, FINDER);
    out->place = (struct frt_box){get_f32(b + AT_PLACE), get_f32(b + AT_PLACE + 4), get_f32(b + AT_PLACE + 8),
                                  get_f32(b + AT_PLACE + 12)};
    bool finite = isfinite(out->place.x) && isfinite(out->place.y) && isfinite(out->place.width) &&
                  isfinite(out->place.height) && isfinite(out->box.x) && isfinite(out->box.y) &&
                  isfinite(out->box.width) && isfinite(out->box.height);
    for (size_t i = 0; i < FRT_LANDMARK_COUNT; i++) {
        out->landmarks[i] =
            (struct frt_point){get_f32(b + AT_LANDMARKS + 8 * i), get_f32(b + AT_LANDMARKS + 8 * i + 4)};
        finite = finite && isfinite(out->landmarks[i].x) && isfinite(out->landmarks[i].y);
    }
    if (!finite || out->side_px == 0)
        return frt_fail(err, FRT_ESTORE_DAMAGED, "a face's crop is damaged: its numbers are none");
    if (b[AT_ENCODING] == AS_PIXELS && size - HEAD == (size_t)out->side_px * out->side_px * 3)
        status = frt_image_wrap(&context->limits, b + HEAD, out->side_px, out->side_px,
                                (size_t)out->side_px * 3, &image, err);
    else if (b[AT_ENCODING] == AS_JPEG && frt_image_sniff(b + HEAD, size - HEAD) == FRT_IMAGE_JPEG)
        status = frt_image_open(&context->limits, b + HEAD, size - HEAD, &image, err);
    else
        status = FRT_EBAD_IMAGE;
    if (status == FRT_OK)
        status = frt_image_decode(image, &(struct frt_decode_request){0}, &out->frame, err);
    frt_image_free(image);
    if (status == FRT_OK && (out->frame.width_px != out->side_px || out->frame.height_px != out->side_px))
        status = FRT_EBAD_IMAGE;
    if (status == FRT_EBAD_IMAGE) {
        frt_frame_deinit(&out->frame);
        status = frt_fail(err, FRT_ESTORE_DAMAGED, "a face's crop is damaged: its picture cannot be read");
    }
    return status;
}

static double overlap(const struct frt_box *a, const struct frt_box *b)
{
    const double w = fmin((double)a->x + (double)a->width, (double)b->x + (double)b->width) -
                     fmax((double)a->x, (double)b->x);
    const double h = fmin((double)a->y + (double)a->height, (double)b->y + (double)b->height) -
                     fmax((double)a->y, (double)b->y);
    const double both = w > 0 && h > 0 ? w * h : 0;
    return both / ((double)a->width * (double)a->height + (double)b->width * (double)b->height - both + 1e-9);
}

/* The crop where it lay in its photo, black around it: a detector that looks at a photo in a size of its own
 * sees the face as large, and as far from the edges, as it would have in the photo. *out NULL: the photo was
 * too large for that, or what is said of it makes no sense. */
static enum frt_status canvas_of(const struct crop *crop, uint8_t **out, uint32_t *width, uint32_t *height,
                                 int32_t *x, int32_t *y, struct frt_error *err)
{
    const double w = ceil((double)crop->place.width), h = ceil((double)crop->place.height),
                 left = round((double)crop->place.x), top = round((double)crop->place.y);
    const int32_t side = (int32_t)crop->side_px;
    *out = NULL;
    if (!(w >= 1 && h >= 1 && w <= 65000 && h <= 65000 && w * h <= MAX_CANVAS && left > -side && top > -side &&
          left < w && top < h))
        return FRT_OK;
    *width = (uint32_t)w;
    *height = (uint32_t)h;
    *x = (int32_t)left;
    *y = (int32_t)top;
    uint8_t *pixels = frt_alloc_zero((size_t)*width * *height, 3);
    if (pixels == NULL)
        return frt_fail_nomem(err, "a photo around a crop");
    const int32_t from = *x < 0 ? -*x : 0, to = *x + side > (int32_t)*width ? (int32_t)*width - *x : side;
    for (int32_t row = *y < 0 ? -*y : 0; row < side && row + *y < (int32_t)*height; row++)
        memcpy(pixels + ((size_t)(row + *y) * *width + (size_t)(*x + from)) * 3,
               crop->frame.pixels + (size_t)row * crop->frame.stride_bytes + (size_t)from * 3,
               (size_t)(to - from) * 3);
    *out = pixels;
    return FRT_OK;
}

/* Landmarks as the pack's own nets see them, when they see this face. */
static enum frt_status look_again(const struct frt_pack *pack, struct crop *crop, bool *found,
                                  struct frt_error *err)
{
    uint8_t *canvas = NULL;
    uint32_t width = 0, height = 0;
    int32_t x = 0, y = 0;
    const struct frt_detect_options options = {.max_faces = MAX_FACES, .attributes = 0, .bulk = true};
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    double best = same_box;
    *found = false;
    enum frt_status status = canvas_of(crop, &canvas, &width, &height, &x, &y, err);
    if (status == FRT_OK && canvas != NULL)
        status = frt_image_wrap(&pack->context->limits, canvas, width, height, (size_t)width * 3, &image, err);
    else if (status == FRT_OK)
        status = frt_image_wrap(&pack->context->limits, crop->frame.pixels, crop->frame.width_px,
                                crop->frame.height_px, crop->frame.stride_bytes, &image, err);
    if (status == FRT_OK)
        status = frt_detect(pack, image, &options, &faces, err);
    for (size_t i = 0; status == FRT_OK && i < frt_faces_count(faces); i++) {
        struct frt_face own = *frt_faces_get(faces, i), *face = &own;
        face->box.x -= (float)x;
        face->box.y -= (float)y;
        const double same = overlap(&face->box, &crop->box);
        if (same < best)
            continue;
        best = same;
        *found = true;
        for (size_t k = 0; k < FRT_LANDMARK_COUNT; k++)
            crop->landmarks[k] =
                (struct frt_point){face->landmarks[k].x - (float)x, face->landmarks[k].y - (float)y};
    }
    frt_faces_free(faces);
    frt_image_free(image);
    frt_free(canvas);
    return status;
}

enum frt_status frt_kept_crop_embed_as(const struct frt_pack *pack, const void *bytes, size_t size,
                                       const struct frt_kept_choice *choice, float *out,
                                       enum frt_kept_landmarks *by, struct frt_error *err)
{
    struct crop crop;
    uint8_t *chip = NULL;
    double ms = 0;
    uint8_t finder[FINDER];
    bool again = false;
    enum frt_status status = open_crop(pack->context, bytes, size, &crop, err);
    if (status != FRT_OK)
        return status;
    finder_of(pack, finder);
    if (!choice->as_they_were && (choice->look_again || memcmp(finder, crop.finder, FINDER) != 0))
        status = look_again(pack, &crop, &again, err);
    chip = frt_alloc_array(1, frt_embedder_chip_bytes(pack->embedder));
    if (status == FRT_OK && chip == NULL)
        status = frt_fail_nomem(err, "an aligned face");
    if (status == FRT_OK)
        status = frt_embedder_align(pack->embedder, &crop.frame, crop.landmarks, chip, err);
    if (status == FRT_OK)
        status = frt_embedder_run(pack->embedder, chip, 1, out, &ms, err);
    if (status == FRT_OK && by != NULL)
        *by = again ? FRT_KEPT_FOUND_AGAIN : FRT_KEPT_AS_THEY_WERE;
    frt_free(chip);
    frt_frame_deinit(&crop.frame);
    return status;
}

enum frt_status frt_kept_crop_embed(const struct frt_pack *pack, const void *bytes, size_t size, float *out,
                                    enum frt_kept_landmarks *by, struct frt_error *err)
{
    static const struct frt_kept_choice choice = {.quality = QUALITY};
    return frt_kept_crop_embed_as(pack, bytes, size, &choice, out, by, err);
}
