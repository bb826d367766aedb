#include "engine/eval_ap.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "vision/nms.h"

static int best_first(const void *a, const void *b)
{
    const struct frt_scored_box *x = a, *y = b;
    const float keys[][2] = {{y->score, x->score},
                             {x->box.x, y->box.x},
                             {x->box.y, y->box.y},
                             {x->box.width, y->box.width},
                             {x->box.height, y->box.height}};
    if (x->score == y->score && x->photo != y->photo)
        return x->photo < y->photo ? -1 : 1;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

void frt_boxes_sort(struct frt_scored_box *boxes, size_t n)
{
    qsort(boxes, n, sizeof *boxes, best_first);
}

/* The share of `a` that lies inside `b`. */
static double share_inside(const struct frt_box *a, const struct frt_box *b)
{
    const double w = fmin((double)a->x + (double)a->width, (double)b->x + (double)b->width) -
                     fmax((double)a->x, (double)b->x);
    const double h = fmin((double)a->y + (double)a->height, (double)b->y + (double)b->height) -
                     fmax((double)a->y, (double)b->y);
    const double area = (double)a->width * (double)a->height;
    return w > 0 && h > 0 && area > 0 ? w * h / area : 0;
}

static struct frt_box_match match_one(const struct frt_labels *labels, const struct frt_scored_box *box,
                                      const bool *taken, double iou)
{
    const struct frt_labelled_photo *photo = &labels->photos[box->photo];
    struct frt_box_match match = {.label = UINT32_MAX};
    float best_free = 0;
    bool ignored = false;
    for (size_t i = photo->first; i < photo->first + photo->n; i++) {
        const struct frt_labelled_box *label = &labels->boxes[i];
        const float overlap = frt_box_iou(&box->box, &label->box);
        if (label->ignored) {
            ignored = ignored || (double)overlap >= iou || share_inside(&box->box, &label->box) >= 0.5;
            continue;
        }
        match.iou = fmaxf(match.iou, overlap);
        if (!taken[i] && overlap > best_free) {
            best_free = overlap;
            match.label = (uint32_t)i;
        }
    }
    if (match.label != UINT32_MAX && (double)best_free >= iou) {
        match.outcome = FRT_BOX_HIT;
        match.iou = best_free;
        return match;
    }
    match.label = UINT32_MAX;
    match.outcome = ignored ? FRT_BOX_IGNORED : FRT_BOX_FALSE_ALARM;
    return match;
}

enum frt_status frt_boxes_match(const struct frt_labels *labels, const struct frt_scored_box *boxes, size_t n,
                                double iou, struct frt_box_match *matches, struct frt_error *err)
{
    bool *taken = frt_alloc_zero(labels->n_boxes + 1, sizeof *taken);
    if (taken == NULL)
        return frt_fail_nomem(err, "matching of boxes");
    for (size_t i = 0; i < n; i++) {
        matches[i] = match_one(labels, &boxes[i], taken, iou);
        if (matches[i].outcome == FRT_BOX_HIT)
            taken[matches[i].label] = true;
    }
    frt_free(taken);
    return FRT_OK;
}

size_t frt_pr_curve(const struct frt_scored_box *boxes, const struct frt_box_match *matches, size_t n,
                    const uint32_t *weights, size_t n_faces, struct frt_pr_point *curve)
{
    size_t points = 0;
    double hits = 0, found = 0;
    for (size_t i = 0; i < n;) {
        const float score = boxes[i].score;
        const double before = found;
        for (; i < n && boxes[i].score == score; i++) {
            const double weight = weights == NULL ? 1 : weights[boxes[i].photo];
            hits += matches[i].outcome == FRT_BOX_HIT ? weight : 0;
            found += matches[i].outcome == FRT_BOX_IGNORED ? 0 : weight;
        }
        if (found > before)
            curve[points++] = (struct frt_pr_point){score, hits / (double)n_faces, hits / found};
    }
    return points;
}

double frt_ap_all_points(const struct frt_pr_point *curve, size_t n)
{
    double area = 0, best = 0;
    for (size_t i = n; i-- > 0;) {
        best = fmax(best, curve[i].precision);
        area += best * (curve[i].recall - (i > 0 ? curve[i - 1].recall : 0));
    }
    return area;
}

double frt_ap_11_points(const struct frt_pr_point *curve, size_t n)
{
    double sum = 0, best = 0;
    size_t i = n;
    for (int tenth = 10; tenth >= 0; tenth--) {
        /* a recall of 3 in 10 is reached although 0.3 has no exact binary form */
        for (; i > 0 && curve[i - 1].recall >= tenth / 10.0 - 1e-9; i--)
            best = fmax(best, curve[i - 1].precision);
        sum += best;
    }
    return sum / 11;
}
