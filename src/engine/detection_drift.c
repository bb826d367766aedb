#include "engine/detection_drift.h"

#include <math.h>

#include "core/mem.h"

static double overlap(const struct frt_box *a, const struct frt_box *b)
{
    const double left = fmax((double)a->x, (double)b->x), top = fmax((double)a->y, (double)b->y);
    const double right = fmin((double)a->x + (double)a->width, (double)b->x + (double)b->width);
    const double bottom = fmin((double)a->y + (double)a->height, (double)b->y + (double)b->height);
    const double both = fmax(right - left, 0) * fmax(bottom - top, 0);
    const double all = (double)a->width * (double)a->height + (double)b->width * (double)b->height - both;
    return all > 0 ? both / all : 0;
}

enum frt_status frt_box_drift_add(const struct frt_faces *before, const struct frt_faces *after,
                                  struct frt_box_drift *drift, struct frt_error *err)
{
    const size_t n = frt_faces_count(before), m = frt_faces_count(after);
    bool *taken = frt_alloc_zero(n + m + 1, sizeof *taken);
    if (taken == NULL)
        return frt_fail_nomem(err, "boxes");
    size_t pairs = 0;
    for (;; pairs++) {
        double best = 0.5;
        size_t a = n, b = m;
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < m; k++) {
                if (taken[i] || taken[n + k])
                    continue;
                const double iou = overlap(&frt_faces_get(before, i)->box, &frt_faces_get(after, k)->box);
                if (iou >= best) {
                    best = iou;
                    a = i;
                    b = k;
                }
            }
        }
        if (a == n)
            break;
        taken[a] = taken[n + b] = true;
        drift->boxes++;
        drift->sum_iou += best;
        drift->min_iou = drift->boxes == 1 ? best : fmin(drift->min_iou, best);
    }
    drift->apart += (uint32_t)(n + m - 2 * pairs);
    frt_free(taken);
    return FRT_OK;
}
