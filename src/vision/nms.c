#include "vision/nms.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"

void frt_candidates_init(struct frt_candidates *list)
{
    *list = (struct frt_candidates){0};
}

void frt_candidates_deinit(struct frt_candidates *list)
{
    frt_free(list->items);
    *list = (struct frt_candidates){0};
}

static bool near_enough(float value)
{
    return isfinite(value) && fabsf(value) <= FRT_NMS_MAX_COORDINATE;
}

static bool usable(const struct frt_detection *d)
{
    if (isnan(d->score) || !near_enough(d->box.x) || !near_enough(d->box.y) || !near_enough(d->box.width) ||
        !near_enough(d->box.height) || d->box.width <= 0 || d->box.height <= 0)
        return false;
    for (size_t i = 0; d->has_landmarks && i < FRT_LANDMARK_COUNT; i++) {
        if (!near_enough(d->landmarks[i].x) || !near_enough(d->landmarks[i].y))
            return false;
    }
    return true;
}

/* Restore the min-heap below `root`. */
static void sift_down(struct frt_detection *items, size_t n, size_t root)
{
    struct frt_detection moved = items[root];
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n)
            break;
        if (child + 1 < n && items[child + 1].score < items[child].score)
            child++;
        if (items[child].score >= moved.score)
            break;
        items[root] = items[child];
        root = child;
    }
    items[root] = moved;
}

static bool grow(struct frt_candidates *list)
{
    size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
    if (capacity > FRT_NMS_MAX)
        capacity = FRT_NMS_MAX;
    struct frt_detection *items = frt_realloc(list->items, capacity * sizeof *items);
    if (items == NULL) {
        list->no_memory = true;
        return false;
    }
    list->items = items;
    list->capacity = capacity;
    return true;
}

void frt_candidates_add(struct frt_candidates *list, const struct frt_detection *detection)
{
    struct frt_detection item = *detection;
    if (list->no_memory || !usable(detection))
        return;
    item.score = item.score < 0 ? 0 : item.score > 1 ? 1 : item.score;
    if (list->n < FRT_NMS_MAX) {
        if (list->n == list->capacity && !grow(list))
            return;
        list->items[list->n++] = item;
        return;
    }
    if (!list->heap) {
        for (size_t i = list->n / 2; i-- > 0;)
            sift_down(list->items, list->n, i);
        list->heap = true;
    }
    if (item.score <= list->items[0].score)
        return;
    list->items[0] = item;
    sift_down(list->items, list->n, 0);
}

/* Best first; equal scores by place, so that the answer does not depend on the sort's whims. */
static int by_score(const void *left, const void *right)
{
    const struct frt_detection *a = left;
    const struct frt_detection *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->box.y != b->box.y)
        return a->box.y < b->box.y ? -1 : 1;
    if (a->box.x != b->box.x)
        return a->box.x < b->box.x ? -1 : 1;
    return (a->box.width < b->box.width) - (a->box.width > b->box.width);
}

float frt_box_iou(const struct frt_box *a, const struct frt_box *b)
{
    float left = fmaxf(a->x, b->x), top = fmaxf(a->y, b->y);
    float right = fminf(a->x + a->width, b->x + b->width);
    float bottom = fminf(a->y + a->height, b->y + b->height);
    if (right <= left || bottom <= top)
        return 0;
    float both = (right - left) * (bottom - top);
    float all = a->width * a->height + b->width * b->height - both;
    return all > 0 ? both / all : 0;
}

enum frt_status frt_nms(struct frt_candidates *list, float iou, struct frt_detection *out, size_t capacity,
                        size_t *n, struct frt_error *err)
{
    size_t kept = 0;
    if (list->no_memory)
        return frt_fail_nomem(err, "face candidates");
    if (list->n > 1)
        qsort(list->items, list->n, sizeof *list->items, by_score);
    list->heap = false;
    for (size_t i = 0; i < list->n && kept < capacity; i++) {
        bool overlaps = false;
        for (size_t k = 0; k < kept && !overlaps; k++)
            overlaps = frt_box_iou(&list->items[i].box, &out[k].box) > iou;
        if (!overlaps)
            out[kept++] = list->items[i];
    }
    *n = kept;
    return FRT_OK;
}
