/*
 * Frames of the photo under way: the coarse one that the detector looks at, the fine one that holds the faces.
 * What is where: engine/analyse.c.
 */
#include "engine/analyse_work.h"

#include <math.h>

#include "core/clock.h"
#include "core/trace.h"
#include "engine/pack.h"

enum { MAX_FINE_PIXELS = 12000000 }; /* of the fine frame that serves all faces: 36 MB */

/* Side of the face's box, in pixels of the frame, below which a finer frame is wanted for nets without
 * landmarks to go by: the largest crop any of them takes of a box (150 px chip, which shows 1.1 boxes). */
#define BOX_WANTED_PX 140.0
/* Landmarks and alignment look at most this many boxes around a face's centre; the nets for attributes say
 * so themselves (frt_face_net_margin). */
#define FACE_MARGIN 2.0
/* The coarse frame may be this much smaller than the detector looks: what it then enlarges is invisible to
 * it, and a JPEG whose next scale is just below costs a third less. */
#define COARSE_SLACK 0.94
const struct frt_net_attribute frt_net_attributes[FRT_N_NET_ATTRIBUTES] = {
    {FRT_ATTRIBUTE_LIVENESS, FRT_ROLE_LIVENESS, false},
    {FRT_ATTRIBUTE_AGE | FRT_ATTRIBUTE_GENDER, FRT_ROLE_AGE_GENDER, false},
    {FRT_ATTRIBUTE_EXPRESSION, FRT_ROLE_EXPRESSION, false},
    {FRT_ATTRIBUTE_QUALITY, FRT_ROLE_QUALITY, true}};

bool frt_work_wants_net(const struct frt_work *w, const struct frt_net_attribute *kind)
{
    return (w->options.attributes & kind->bits) != 0 &&
           (!kind->optional || frt_manifest_find(w->pack->manifest, kind->role, NULL) != NULL);
}

enum frt_status frt_work_check_alive(const struct frt_work *w, struct frt_error *err)
{
    if (w->options.deadline_ms != 0 && frt_now_ns() / 1000000 >= w->options.deadline_ms)
        return frt_fail(err, FRT_ETIMEOUT, "the deadline passed before the work was done");
    if (w->options.cancelled != NULL && w->options.cancelled(w->options.cancelled_arg))
        return frt_fail(err, FRT_ECANCELLED, "the caller gave up");
    return FRT_OK;
}
/* ---------------------------------------------------------------- stages */

struct frt_stage_wait frt_work_wait_of(const struct frt_work *w)
{
    return (struct frt_stage_wait){.priority = w->options.bulk ? FRT_PRIORITY_BULK : FRT_PRIORITY_INTERACTIVE,
                                   .deadline_ms = w->options.deadline_ms,
                                   .cancelled = w->options.cancelled,
                                   .cancelled_arg = w->options.cancelled_arg};
}

enum frt_status frt_work_enter(struct frt_work *w, enum frt_stage stage, struct frt_error *err)
{
    static const char *const waits[FRT_STAGE_COUNT] = {"image-wait", "detect-wait", "recognize-wait",
                                                       "store-wait"};
    const struct frt_stage_wait wait = frt_work_wait_of(w);
    enum frt_status status = frt_work_check_alive(w, err);
    if (status != FRT_OK || w->pack->context->stages == NULL)
        return status;
    int64_t start = frt_now_ns();
    int span = frt_trace_begin_wait(waits[stage]);
    status = frt_stage_enter(w->pack->context->stages, stage, &wait, err);
    frt_trace_end(span, NULL);
    w->timing.wait_ms += frt_elapsed_ms(start);
    if (status == FRT_OK)
        frt_context_settle_width(w->pack->context);
    return status;
}

/* A part of a frame, or all of it, at a size. */
static enum frt_status decode(struct frt_work *w, const struct frt_decode_request *request,
                              struct frt_frame *out, struct frt_error *err)
{
    enum frt_status status = frt_work_enter(w, FRT_STAGE_IMAGE, err);
    if (status != FRT_OK)
        return status;
    int64_t start = frt_now_ns();
    int span = frt_trace_begin("decode");
    status = frt_image_decode(w->image, request, out, err);
    frt_trace_end(span, NULL);
    w->timing.decode_ms += frt_elapsed_ms(start);
    frt_stage_leave(w->pack->context->stages, FRT_STAGE_IMAGE);
    return status;
}

/* How large the first frame is wanted; 0 = full size, which serves every step. */
static uint32_t coarse_side(const struct frt_work *w)
{
    uint64_t pixels = (uint64_t)w->info.width_px * w->info.height_px;
    if (!frt_image_scales(w->image) && pixels <= MAX_FINE_PIXELS)
        return 0;
    return (uint32_t)(COARSE_SLACK * frt_detector_want_side_px(w->pack->detector));
}
/* ---------------------------------------------------------- coarse frame */

/* The first frame, unless it is there. */
enum frt_status frt_work_decode_coarse(struct frt_work *w, struct frt_error *err)
{
    if (w->coarse.pixels != NULL)
        return FRT_OK;
    struct frt_decode_request whole = {.want_side_px = coarse_side(w)};
    return decode(w, &whole, &w->coarse, err);
}
/* ------------------------------------------------------------ fine frame */

/* Opens the nets that the options ask for, so that `margin` holds what the widest of them looks at. Whatever
 * picks a frame asks for it first: with detections from a cache there was no earlier step that did. */
static enum frt_status set_margin(struct frt_work *w, struct frt_error *err)
{
    const struct frt_face_net *nets[FRT_PACK_MAX_NETS];
    enum frt_status status = FRT_OK;
    double margin = FACE_MARGIN;
    if (w->margin > 0)
        return FRT_OK;
    for (size_t i = 0; status == FRT_OK && i < FRT_N_NET_ATTRIBUTES; i++) {
        size_t n = 0;
        if (frt_work_wants_net(w, &frt_net_attributes[i]))
            status = frt_pack_face_nets(w->pack, frt_net_attributes[i].role, nets, &n, err);
        for (size_t k = 0; status == FRT_OK && k < n; k++)
            margin = fmax(margin, frt_face_net_margin(nets[k]));
    }
    if (status == FRT_OK)
        w->margin = margin;
    return status;
}

/* The part of the image that the nets may look at for this face. */
static struct frt_box region_of(const struct frt_work *w, const struct frt_box *b)
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
static double step_of(const struct frt_work *w, const struct frt_detection *d)
{
    double step = fmin((double)d->box.width, (double)d->box.height) / BOX_WANTED_PX;
    double chip_step;
    if (d->has_landmarks && w->embed &&
        frt_embedder_step(w->pack->embedder, d->landmarks, &chip_step, NULL) == FRT_OK)
        step = chip_step;
    return fmax(step, 1.0);
}

/* Makes `fine` hold `region` at `step`, unless it does already. */
static enum frt_status decode_fine(struct frt_work *w, const struct frt_box *region, double step,
                                   struct frt_error *err)
{
    if (fine_enough(&w->coarse, step) || (covers(&w->fine, region) && fine_enough(&w->fine, step)))
        return FRT_OK;
    double side = fmax((double)region->width, (double)region->height);
    if (side < 1)
        return FRT_OK; /* a box outside the image: there is nothing finer to see */
    struct frt_decode_request request = {.region = *region, .want_side_px = (uint32_t)ceil(side / step)};
    frt_frame_deinit(&w->fine);
    w->fine = (struct frt_frame){0};
    return decode(w, &request, &w->fine, err);
}

/* One fine frame for all faces, when they need one and it fits. */
enum frt_status frt_work_decode_fine_for_all(struct frt_work *w, const struct frt_detection *found, size_t n,
                                             struct frt_error *err)
{
    double x0 = INFINITY, y0 = INFINITY, x1 = -INFINITY, y1 = -INFINITY, step = INFINITY;
    enum frt_status status = set_margin(w, err);
    if (status != FRT_OK)
        return status;
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
enum frt_status frt_work_frame_for(struct frt_work *w, const struct frt_detection *d,
                                   const struct frt_frame **frame, struct frt_error *err)
{
    enum frt_status status = set_margin(w, err);
    if (status == FRT_OK)
        status = frt_work_decode_coarse(w, err);
    if (status != FRT_OK)
        return status;
    struct frt_box region = region_of(w, &d->box);
    status = decode_fine(w, &region, step_of(w, d), err);
    if (status != FRT_OK)
        return status;
    *frame = covers(&w->fine, &region) && w->fine.scale_x < w->coarse.scale_x ? &w->fine : &w->coarse;
    return FRT_OK;
}
