/*
 * The way of a photo: decode, detect, landmarks, align, embed, attributes.
 *
 *     image ─ coarse frame (as large as the detector looks) ─ detector ─ boxes
 *                     │                                                    │
 *                     └── fine frame (only the faces, only if they need it) ─ landmarks ─ chips ─ embedder
 *
 * A photo is decoded coarsely first, unless its format has to be unpacked whole anyway. When the faces found
 * cover too few pixels of that frame for the nets that look at them, the part of the photo that holds them is
 * decoded again, finely: once for all faces while that fits MAX_FINE_PIXELS, otherwise face by face.
 *
 * Deadline and cancellation are asked before every costly step, never inside one.
 *
 * Threading: everything here lives on the caller's stack; frt_detect and frt_embed may run in any
 * number of threads over the same pack and image.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "engine/faces.h"
#include "engine/pack.h"
#include "vision/quality.h"

enum {
    DEFAULT_MAX_FACES = 1000,
    MAX_DETECTIONS = 4096,
    MAX_BATCH = 16,            /* chips in memory and in one inference */
    MAX_FINE_PIXELS = 12000000 /* of the fine frame that serves all faces: 36 MB */
};

/* Side of the face's box, in pixels of the frame, below which a finer frame is wanted for nets without
 * landmarks to go by: the largest crop any of them takes of a box (150 px chip, which shows 1.1 boxes). */
#define BOX_WANTED_PX 140.0
/* Landmarks and alignment look at most this many boxes around a face's centre; the nets for attributes say
 * so themselves (frt_face_net_margin). */
#define FACE_MARGIN 2.0
/* The coarse frame may be this much smaller than the detector looks: what it then enlarges is invisible to
 * it, and a JPEG whose next scale is just below costs a third less. */
#define COARSE_SLACK 0.94

/* The nets that answer each attribute. */
static const struct {
    uint32_t bits;
    enum frt_model_role role;
} net_attributes[] = {{FRT_ATTRIBUTE_LIVENESS, FRT_ROLE_LIVENESS},
                      {FRT_ATTRIBUTE_AGE | FRT_ATTRIBUTE_GENDER, FRT_ROLE_AGE_GENDER},
                      {FRT_ATTRIBUTE_EXPRESSION, FRT_ROLE_EXPRESSION}};
enum { N_NET_ATTRIBUTES = sizeof net_attributes / sizeof *net_attributes };

struct work {
    const struct frt_pack *pack;
    const struct frt_image *image;
    struct frt_detect_options options;
    bool embed;
    struct frt_image_info info;
    double margin; /* boxes around a face's centre that the nets wanted look at */
    struct frt_frame coarse, fine;
    struct frt_timing timing;
};

static enum frt_status check_options(const struct frt_detect_options *o, struct frt_error *err)
{
    if (!(o->min_confidence >= 0.0F && o->min_confidence <= 1.0F))
        return frt_fail(err, FRT_EINVAL, "min_confidence is %g; 0 to 1 is right", (double)o->min_confidence);
    if (!(o->min_size_px >= 0.0F && o->min_size_px <= 1e6F))
        return frt_fail(err, FRT_EINVAL, "min_size is %g; 0 or more pixels are right", (double)o->min_size_px);
    if (o->attributes & ~(uint32_t)FRT_ATTRIBUTE_ALL)
        return frt_fail(err, FRT_EINVAL, "attributes has unknown bits: 0x%x", o->attributes);
    return FRT_OK;
}

static enum frt_status check_alive(const struct work *w, struct frt_error *err)
{
    if (w->options.deadline_ms != 0 && frt_now_ns() / 1000000 >= w->options.deadline_ms)
        return frt_fail(err, FRT_ETIMEOUT, "the deadline passed before the work was done");
    if (w->options.cancelled != NULL && w->options.cancelled(w->options.cancelled_arg))
        return frt_fail(err, FRT_ECANCELLED, "the caller gave up");
    return FRT_OK;
}

/* How large the first frame is wanted; 0 = full size, which serves every step. */
static uint32_t coarse_side(const struct work *w)
{
    uint64_t pixels = (uint64_t)w->info.width_px * w->info.height_px;
    if (!frt_image_scales(w->image) && pixels <= MAX_FINE_PIXELS)
        return 0;
    return (uint32_t)(COARSE_SLACK * frt_detector_want_side_px(w->pack->detector));
}

/* ------------------------------------------------------------- detection */

static double box_area(const struct frt_box *b)
{
    return (double)b->width * (double)b->height;
}

static int by_area_descending(const void *a, const void *b)
{
    double x = box_area(&((const struct frt_detection *)a)->box);
    double y = box_area(&((const struct frt_detection *)b)->box);
    return (x < y) - (x > y);
}

/* Fills found[] with the detections that stay, largest first. */
static enum frt_status detect(struct work *w, struct frt_detection *found, size_t *n, struct frt_error *err)
{
    struct frt_detector_params params = {.min_confidence = w->options.min_confidence};
    size_t all = 0, kept = 0;
    size_t most = w->options.max_faces == 0 ? DEFAULT_MAX_FACES : w->options.max_faces;
    int64_t start = frt_now_ns();
    enum frt_status status = frt_detector_run(w->pack->detector, &w->coarse, &params, found, MAX_DETECTIONS,
                                              &all, &w->timing.inference_ms, err);
    w->timing.detect_ms += frt_elapsed_ms(start);
    if (status != FRT_OK)
        return status;
    for (size_t i = 0; i < all; i++)
        if (fminf(found[i].box.width, found[i].box.height) >= w->options.min_size_px)
            found[kept++] = found[i];
    qsort(found, kept, sizeof *found, by_area_descending);
    *n = kept < most ? kept : most;
    return FRT_OK;
}

/* ------------------------------------------------------------ fine frame */

/* Opens the nets that the options ask for, so that `margin` holds what the widest of them looks at. */
static enum frt_status set_margin(struct work *w, struct frt_error *err)
{
    const struct frt_face_net *nets[FRT_PACK_MAX_NETS];
    enum frt_status status = FRT_OK;
    w->margin = FACE_MARGIN;
    for (size_t i = 0; status == FRT_OK && i < N_NET_ATTRIBUTES; i++) {
        size_t n = 0;
        if (w->options.attributes & net_attributes[i].bits)
            status = frt_pack_face_nets(w->pack, net_attributes[i].role, nets, &n, err);
        for (size_t k = 0; status == FRT_OK && k < n; k++)
            w->margin = fmax(w->margin, frt_face_net_margin(nets[k]));
    }
    return status;
}

/* The part of the image that the nets may look at for this face. */
static struct frt_box region_of(const struct work *w, const struct frt_box *b)
{
    double side = w->margin * fmax((double)b->width, (double)b->height);
    double cx = (double)b->x + (double)b->width / 2, cy = (double)b->y + (double)b->height / 2;
    double x0 = fmax(0, floor(cx - side / 2)), y0 = fmax(0, floor(cy - side / 2));
    double x1 = fmin(w->info.width_px, ceil(cx + side / 2)), y1 = fmin(w->info.height_px, ceil(cy + side / 2));
    return (struct frt_box){(float)x0, (float)y0, (float)fmax(0, x1 - x0), (float)fmax(0, y1 - y0)};
}

static bool covers(const struct frt_frame *f, const struct frt_box *r)
{
    return f->pixels != NULL && (double)r->x >= f->origin_x - 0.5 && (double)r->y >= f->origin_y - 0.5 &&
           (double)r->x + (double)r->width <= f->origin_x + f->width_px * f->scale_x + 0.5 &&
           (double)r->y + (double)r->height <= f->origin_y + f->height_px * f->scale_y + 0.5;
}

static bool fine_enough(const struct frt_frame *f, double step)
{
    return fmax(f->scale_x, f->scale_y) <= fmax(step, 1.0) * 1.001;
}

/* Full-size pixels per frame pixel that the nets want for this face. */
static double step_of(const struct work *w, const struct frt_detection *d)
{
    double step = fmin((double)d->box.width, (double)d->box.height) / BOX_WANTED_PX;
    double chip_step;
    if (d->has_landmarks && w->embed &&
        frt_embedder_step(w->pack->embedder, d->landmarks, &chip_step, NULL) == FRT_OK)
        step = chip_step;
    return fmax(step, 1.0);
}

/* Makes `fine` hold `region` at `step`, unless it does already. */
static enum frt_status decode_fine(struct work *w, const struct frt_box *region, double step,
                                   struct frt_error *err)
{
    if (fine_enough(&w->coarse, step) || (covers(&w->fine, region) && fine_enough(&w->fine, step)))
        return FRT_OK;
    double side = fmax((double)region->width, (double)region->height);
    if (side < 1)
        return FRT_OK; /* a box outside the image: there is nothing finer to see */
    struct frt_decode_request request = {.region = *region, .want_side_px = (uint32_t)ceil(side / step)};
    enum frt_status status = check_alive(w, err);
    if (status != FRT_OK)
        return status;
    frt_frame_deinit(&w->fine);
    w->fine = (struct frt_frame){0};
    int64_t start = frt_now_ns();
    status = frt_image_decode(w->image, &request, &w->fine, err);
    w->timing.decode_ms += frt_elapsed_ms(start);
    return status;
}

/* One fine frame for all faces, when they need one and it fits. */
static enum frt_status decode_fine_for_all(struct work *w, const struct frt_detection *found, size_t n,
                                           struct frt_error *err)
{
    double x0 = INFINITY, y0 = INFINITY, x1 = -INFINITY, y1 = -INFINITY, step = INFINITY;
    for (size_t i = 0; i < n; i++) {
        double s = step_of(w, &found[i]);
        if (fine_enough(&w->coarse, s))
            continue;
        struct frt_box r = region_of(w, &found[i].box);
        step = fmin(step, s);
        x0 = fmin(x0, (double)r.x);
        y0 = fmin(y0, (double)r.y);
        x1 = fmax(x1, (double)r.x + (double)r.width);
        y1 = fmax(y1, (double)r.y + (double)r.height);
    }
    if (!(x1 > x0 && y1 > y0) || (x1 - x0) * (y1 - y0) / (step * step) > MAX_FINE_PIXELS)
        return FRT_OK;
    struct frt_box all = {(float)x0, (float)y0, (float)(x1 - x0), (float)(y1 - y0)};
    return decode_fine(w, &all, step, err);
}

/* The frame to look at this face in. */
static enum frt_status frame_for(struct work *w, const struct frt_detection *d, const struct frt_frame **frame,
                                 struct frt_error *err)
{
    struct frt_box region = region_of(w, &d->box);
    enum frt_status status = decode_fine(w, &region, step_of(w, d), err);
    if (status != FRT_OK)
        return status;
    *frame = covers(&w->fine, &region) && w->fine.scale_x < w->coarse.scale_x ? &w->fine : &w->coarse;
    return FRT_OK;
}

/* ------------------------------------------------------------- per face */

static enum frt_status find_landmarks(struct work *w, struct frt_detection *d, struct frt_error *err)
{
    struct frt_point dense[FRT_LANDMARKS_DENSE];
    const struct frt_frame *frame = NULL;
    if (d->has_landmarks)
        return FRT_OK;
    if (w->pack->landmarker == NULL)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "the pack '%s' has a detector without landmarks and no landmarks model; add one, or "
                        "take a detector that gives five points",
                        w->pack->info.name);
    enum frt_status status = frame_for(w, d, &frame, err);
    if (status != FRT_OK)
        return status;
    int64_t start = frt_now_ns();
    status = frt_landmarker_run(w->pack->landmarker, frame, &d->box, dense, &w->timing.inference_ms, err);
    w->timing.detect_ms += frt_elapsed_ms(start);
    if (status == FRT_OK)
        frt_landmarks_reduce(dense, d->landmarks);
    d->has_landmarks = status == FRT_OK;
    return status;
}

static enum frt_status embed_batch(struct work *w, const struct frt_detection *found, size_t n, uint8_t *chips,
                                   float *out, struct frt_error *err)
{
    size_t chip_bytes = frt_embedder_chip_bytes(w->pack->embedder);
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < n; i++) {
        const struct frt_frame *frame = NULL;
        status = frame_for(w, &found[i], &frame, err);
        if (status != FRT_OK)
            return status;
        int64_t start = frt_now_ns();
        status = frt_embedder_align(w->pack->embedder, frame, found[i].landmarks, chips + i * chip_bytes, err);
        w->timing.align_ms += frt_elapsed_ms(start);
        if (status != FRT_OK)
            return status;
    }
    status = check_alive(w, err);
    if (status != FRT_OK)
        return status;
    int64_t start = frt_now_ns();
    status = frt_embedder_run(w->pack->embedder, chips, n, out, &w->timing.inference_ms, err);
    w->timing.embed_ms += frt_elapsed_ms(start);
    return status;
}

static enum frt_status embed_all(struct work *w, const struct frt_detection *found, struct frt_faces *faces,
                                 struct frt_error *err)
{
    size_t batch = faces->n < MAX_BATCH ? faces->n : MAX_BATCH;
    if (faces->n == 0)
        return FRT_OK;
    uint8_t *chips = frt_alloc_array(batch, frt_embedder_chip_bytes(w->pack->embedder));
    if (chips == NULL)
        return frt_fail_nomem(err, "aligned faces");
    enum frt_status status = FRT_OK;
    for (size_t i = 0; status == FRT_OK && i < faces->n; i += batch) {
        size_t n = faces->n - i < batch ? faces->n - i : batch;
        status = embed_batch(w, found + i, n, chips, faces->embeddings + i * faces->dim, err);
    }
    frt_free(chips);
    return status;
}

/* Several liveness nets of a pack vote by the mean of their spoof confidence. */
static enum frt_status run_nets(struct work *w, enum frt_model_role role, const struct frt_frame *frame,
                                struct frt_face *face, struct frt_error *err)
{
    const struct frt_face_net *nets[FRT_PACK_MAX_NETS];
    size_t n = 0;
    float spoof = 0;
    enum frt_status status = frt_pack_face_nets(w->pack, role, nets, &n, err);
    for (size_t i = 0; status == FRT_OK && i < n; i++) {
        status = frt_face_net_run(nets[i], frame, face, &w->timing.inference_ms, err);
        spoof += face->liveness.spoof_confidence / (float)n;
    }
    if (status == FRT_OK && role == FRT_ROLE_LIVENESS && n > 1) {
        face->liveness.spoof_confidence = spoof;
        face->liveness.real = spoof < 0.5F;
    }
    return status;
}

static enum frt_status find_attributes(struct work *w, const struct frt_detection *d, struct frt_face *face,
                                       struct frt_error *err)
{
    const struct frt_frame *frame = NULL;
    enum frt_status status = frame_for(w, d, &frame, err);
    if (status == FRT_OK)
        status = check_alive(w, err);
    if (status != FRT_OK)
        return status;
    int64_t start = frt_now_ns();
    if (w->options.attributes & FRT_ATTRIBUTE_QUALITY) {
        face->quality = frt_quality_measure(frame, face);
        face->attributes |= FRT_ATTRIBUTE_QUALITY;
    }
    for (size_t i = 0; status == FRT_OK && i < N_NET_ATTRIBUTES; i++)
        if (w->options.attributes & net_attributes[i].bits)
            status = run_nets(w, net_attributes[i].role, frame, face, err);
    face->attributes &= w->options.attributes; /* the age net answers gender, too */
    w->timing.attribute_ms += frt_elapsed_ms(start);
    return status;
}

/* ------------------------------------------------------------ the whole */

static enum frt_status analyse_found(struct work *w, struct frt_detection *found, size_t n,
                                     struct frt_faces **out, struct frt_error *err)
{
    struct frt_faces *faces = NULL;
    size_t dim = w->embed ? w->pack->info.dim : 0;
    enum frt_status status = FRT_OK;
    bool look_closer = w->embed || w->options.attributes != 0 || (n > 0 && !found[0].has_landmarks);

    if (look_closer && n > 0)
        status = set_margin(w, err);
    if (status == FRT_OK && look_closer)
        status = decode_fine_for_all(w, found, n, err);
    for (size_t i = 0; status == FRT_OK && i < n; i++)
        status = find_landmarks(w, &found[i], err);
    if (status == FRT_OK)
        status = frt_faces_new(n, dim, &faces, err);
    if (status != FRT_OK)
        return status;
    for (size_t i = 0; i < n; i++) {
        faces->faces[i].box = found[i].box;
        faces->faces[i].confidence = found[i].score;
        memcpy(faces->faces[i].landmarks, found[i].landmarks, sizeof found[i].landmarks);
    }
    if (w->embed)
        status = embed_all(w, found, faces, err);
    for (size_t i = 0; status == FRT_OK && w->options.attributes != 0 && i < n; i++)
        status = find_attributes(w, &found[i], &faces->faces[i], err);
    if (status != FRT_OK) {
        frt_faces_free(faces);
        return status;
    }
    *out = faces;
    return FRT_OK;
}

static enum frt_status analyse(const struct frt_pack *pack, const struct frt_image *image,
                               const struct frt_detect_options *options, bool embed, struct frt_faces **out,
                               struct frt_error *err)
{
    struct work w = {.pack = pack, .image = image, .embed = embed, .info = frt_image_info_get(image)};
    struct frt_detection *found = NULL;
    struct frt_faces *faces = NULL;
    size_t n = 0;
    int64_t start = frt_now_ns();
    enum frt_status status;

    if (options != NULL)
        w.options = *options;
    status = check_options(&w.options, err);
    if (status != FRT_OK)
        return status;
    if (embed && pack->embedder == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "the pack '%s' has no embedder model", pack->info.name);
    status = check_alive(&w, err);
    if (status != FRT_OK)
        goto done;
    struct frt_decode_request whole = {.want_side_px = coarse_side(&w)};
    status = frt_image_decode(image, &whole, &w.coarse, err);
    w.timing.decode_ms = frt_elapsed_ms(start);
    if (status != FRT_OK)
        goto done;
    found = frt_alloc_array(MAX_DETECTIONS, sizeof *found);
    if (found == NULL) {
        status = frt_fail_nomem(err, "detections");
        goto done;
    }
    status = check_alive(&w, err);
    if (status == FRT_OK)
        status = detect(&w, found, &n, err);
    if (status == FRT_OK)
        status = analyse_found(&w, found, n, &faces, err);
    if (status != FRT_OK)
        goto done;
    w.timing.total_ms = frt_elapsed_ms(start);
    faces->timing = w.timing;
    *out = faces;
done:
    frt_free(found);
    frt_frame_deinit(&w.fine);
    frt_frame_deinit(&w.coarse);
    return status;
}

enum frt_status frt_detect(const struct frt_pack *pack, const struct frt_image *image,
                           const struct frt_detect_options *options, struct frt_faces **out,
                           struct frt_error *err)
{
    return analyse(pack, image, options, false, out, err);
}

enum frt_status frt_embed(const struct frt_pack *pack, const struct frt_image *image,
                          const struct frt_detect_options *options, struct frt_faces **out,
                          struct frt_error *err)
{
    return analyse(pack, image, options, true, out, err);
}
