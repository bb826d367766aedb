#include "engine/eval_detect.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/splitmix.h"
#include "engine/detect_boxes.h"
#include "engine/faces.h"
#include "engine/pack.h"
#include "vision/nms.h"

enum { MAX_CURVE = 400, DRAWS = 1000, FEWER_DRAWS = 100, MANY_DETECTIONS = 200000 };

/* Down to which confidence detections enter the curve: AP is about their order, and what comes later than all
 * that a threshold could be set to changes it little. */
#define FLOOR_CONFIDENCE 0.01F
#define LIST_IOU 0.5

struct found {
    struct frt_scored_box *boxes; /* owned */
    size_t n;
    char *cause; /* why the photo could not be read; owned */
};

/* What the threads share: each photo's slot is written by the one thread that took it. */
struct run {
    const struct frt_context *context;
    const struct frt_pack *pack;
    const struct frt_eval_detect_options *options;
    struct frt_eval_detect_report report;
    struct found *found; /* [n_found], one a photo */
    size_t n_found;
    struct frt_scored_box *boxes;  /* [n_detections], best first */
    struct frt_box_match *matches; /* [n_detections] at the overlap that was last */
    pthread_mutex_t lock;          /* guards what follows; never held during work */
    struct frt_timing sum;
    size_t decoded;
};

/* ----------------------------------------------------------------- photos */

static enum frt_status path_of(const struct run *run, size_t photo, char *path, size_t size,
                               struct frt_error *err)
{
    const int n = snprintf(path, size, "%s/%s", run->options->folder, run->report.labels.photos[photo].file);
    return n > 0 && (size_t)n < size ? FRT_OK
                                     : frt_fail(err, FRT_EINVAL, "a path is longer than %zu bytes", size - 1);
}

static enum frt_status check_photos(const struct run *run, struct frt_error *err)
{
    char path[4096];
    struct stat info;
    size_t missing = 0, first = 0;
    if (stat(run->options->folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return frt_fail(err, FRT_ENOTFOUND, "no folder \"%s\"", run->options->folder);
    for (size_t i = 0; i < run->report.labels.n_photos; i++) {
        enum frt_status status = path_of(run, i, path, sizeof path, err);
        if (status != FRT_OK)
            return status;
        if (access(path, R_OK) != 0 && missing++ == 0)
            first = i;
    }
    if (missing > 0)
        return frt_fail(err, FRT_ENOTFOUND,
                        "%zu of %zu photos that have labels are not in the folder, e.g. %.300s", missing,
                        run->report.labels.n_photos, run->report.labels.photos[first].file);
    return FRT_OK;
}

static bool is_no_photo(enum frt_status status)
{
    return status == FRT_EBAD_IMAGE || status == FRT_EUNSUPPORTED_IMAGE || status == FRT_EIMAGE_TOO_LARGE ||
           status == FRT_EBODY_TOO_LARGE;
}

static enum frt_status keep(struct run *run, size_t photo, const struct frt_detection *found, size_t n,
                            struct frt_error *err)
{
    struct frt_scored_box *boxes = frt_alloc_array(n + 1, sizeof *boxes);
    if (boxes == NULL)
        return frt_fail_nomem(err, "detections");
    for (size_t i = 0; i < n; i++)
        boxes[i] = (struct frt_scored_box){found[i].box, found[i].score, (uint32_t)photo};
    run->found[photo].boxes = boxes;
    run->found[photo].n = n;
    return FRT_OK;
}

/* Detections down to the floor. Where none has the lists' confidence, the photo is looked at as it would be in
 * service: a detector that finds nothing at its confidence looks again, from further away. */
static enum frt_status look(const struct run *run, const struct frt_image *image, struct frt_detection *found,
                            size_t *n, struct frt_timing *timing, struct frt_error *err)
{
    struct frt_detect_options options = {.min_confidence = run->report.floor_confidence};
    struct frt_timing again = {0};
    enum frt_status status = frt_detect_boxes(run->pack, image, &options, found, n, timing, err);
    for (size_t i = 0; status == FRT_OK && i < *n; i++)
        if (found[i].score >= run->report.confidence)
            return FRT_OK;
    if (status != FRT_OK || run->report.confidence <= run->report.floor_confidence)
        return status;
    struct frt_detection *better = frt_alloc_array(FRT_MAX_DETECTIONS, sizeof *better);
    if (better == NULL)
        return frt_fail_nomem(err, "detections");
    size_t n_better = 0;
    options.min_confidence = run->report.confidence;
    status = frt_detect_boxes(run->pack, image, &options, better, &n_better, &again, err);
    if (status == FRT_OK && n_better > 0) {
        memcpy(found, better, n_better * sizeof *found);
        *n = n_better;
    }
    frt_timing_add(timing, &again);
    frt_free(better);
    return status;
}

static enum frt_status detect_photo(void *arg, size_t i, struct frt_error *err)
{
    struct run *run = arg;
    struct frt_image *image = NULL;
    struct frt_timing timing = {0};
    struct frt_error why = {0};
    char path[4096];
    size_t n = 0;
    enum frt_status status = path_of(run, i, path, sizeof path, err);
    if (status != FRT_OK)
        return status;
    struct frt_detection *found = frt_alloc_array(FRT_MAX_DETECTIONS, sizeof *found);
    if (found == NULL)
        return frt_fail_nomem(err, "detections");
    status = frt_image_open_file(run->context, path, &image, &why);
    if (status == FRT_OK)
        status = look(run, image, found, &n, &timing, &why);
    if (is_no_photo(status)) {
        run->found[i].cause = frt_strdup(why.text);
        status = run->found[i].cause == NULL ? frt_fail_nomem(err, "failures") : FRT_OK;
    } else if (status != FRT_OK) {
        status = frt_fail(err, status, "%s", why.text);
    } else {
        status = keep(run, i, found, n, err);
        (void)pthread_mutex_lock(&run->lock);
        frt_timing_add(&run->sum, &timing);
        run->decoded++;
        (void)pthread_mutex_unlock(&run->lock);
    }
    frt_free(found);
    frt_image_free(image);
    return status;
}

static enum frt_status detect_all(struct run *run, struct frt_error *err)
{
    const struct frt_eval_detect_options *o = run->options;
    const struct frt_eval_each each = {.n = run->report.labels.n_photos,
                                       .threads = o->threads,
                                       .work = detect_photo,
                                       .arg = run,
                                       .progress = o->progress,
                                       .progress_arg = o->progress_arg,
                                       .cancelled = o->cancelled,
                                       .cancelled_arg = o->cancelled_arg};
    if (pthread_mutex_init(&run->lock, NULL) != 0)
        return frt_fail_nomem(err, "lock");
    enum frt_status status = frt_eval_each(&each, err);
    (void)pthread_mutex_destroy(&run->lock);
    return status;
}

/* The photos' detections in one list, and the list of failures. */
static enum frt_status gather(struct run *run, struct frt_error *err)
{
    struct frt_eval_detect_report *r = &run->report;
    size_t n = 0, failed = 0;
    for (size_t i = 0; i < r->labels.n_photos; i++) {
        r->n_detections += run->found[i].n;
        failed += run->found[i].cause != NULL;
    }
    run->boxes = frt_alloc_array(r->n_detections + 1, sizeof *run->boxes);
    run->matches = frt_alloc_array(r->n_detections + 1, sizeof *run->matches);
    r->failures = frt_alloc_zero(failed + 1, sizeof *r->failures);
    if (run->boxes == NULL || run->matches == NULL || r->failures == NULL)
        return frt_fail_nomem(err, "detections");
    for (size_t i = 0; i < r->labels.n_photos; i++) {
        struct found *found = &run->found[i];
        if (found->n > 0)
            memcpy(run->boxes + n, found->boxes, found->n * sizeof *run->boxes);
        n += found->n;
        if (found->cause == NULL)
            continue;
        struct frt_eval_failure *failure = &r->failures[r->n_failures++];
        failure->file = frt_strdup(r->labels.photos[i].file);
        failure->cause = found->cause;
        found->cause = NULL;
        if (failure->file == NULL)
            return frt_fail_nomem(err, "failures");
    }
    frt_boxes_sort(run->boxes, n);
    return FRT_OK;
}

/* ---------------------------------------------------------------- numbers */

static void count_faces(struct run *run)
{
    struct frt_eval_detect_report *r = &run->report;
    for (size_t i = 0; i < r->labels.n_boxes; i++) {
        struct frt_labelled_box *label = &r->labels.boxes[i];
        label->ignored =
            label->ignored || fminf(label->box.width, label->box.height) < run->options->min_size_px;
        r->n_ignored += label->ignored;
        r->n_faces += !label->ignored;
    }
}

static size_t weighted_faces(const struct frt_labels *labels, const uint32_t *weights)
{
    size_t n = 0;
    for (size_t i = 0; i < labels->n_photos; i++)
        for (size_t k = 0; k < labels->photos[i].n; k++)
            n += labels->boxes[labels->photos[i].first + k].ignored ? 0 : weights[i];
    return n;
}

/* AP at 0.5 over photos drawn with replacement. */
static enum frt_status bootstrap(struct run *run, struct frt_pr_point *curve, struct frt_error *err)
{
    struct frt_eval_detect_report *r = &run->report;
    const size_t draws = r->n_detections > MANY_DETECTIONS ? FEWER_DRAWS : DRAWS;
    uint64_t state = run->options->seed;
    uint32_t *weights = frt_alloc_array(r->labels.n_photos, sizeof *weights);
    double *values = frt_alloc_array(draws, sizeof *values);
    size_t n = 0;
    if (weights == NULL || values == NULL) {
        frt_free(weights);
        frt_free(values);
        return frt_fail_nomem(err, "a bootstrap");
    }
    for (size_t d = 0; d < draws; d++) {
        memset(weights, 0, r->labels.n_photos * sizeof *weights);
        for (size_t i = 0; i < r->labels.n_photos; i++)
            weights[frt_splitmix_next(&state) % r->labels.n_photos]++;
        const size_t faces = weighted_faces(&r->labels, weights);
        if (faces == 0)
            continue;
        const size_t points = frt_pr_curve(run->boxes, run->matches, r->n_detections, weights, faces, curve);
        values[n++] = frt_ap_all_points(curve, points);
    }
    r->ap_interval = frt_percentiles(values, n);
    frt_free(weights);
    frt_free(values);
    return FRT_OK;
}

static enum frt_status keep_curve(struct frt_eval_detect_report *r, const struct frt_pr_point *curve, size_t n,
                                  struct frt_error *err)
{
    r->curve = frt_alloc_array((n < MAX_CURVE ? n : MAX_CURVE) + 1, sizeof *r->curve);
    if (r->curve == NULL)
        return frt_fail_nomem(err, "a curve");
    r->n_curve = n < MAX_CURVE ? n : MAX_CURVE;
    for (size_t i = 0; i < r->n_curve; i++)
        r->curve[i] = curve[r->n_curve == n ? i : i * (n - 1) / (r->n_curve - 1)];
    return FRT_OK;
}

static enum frt_status measure_ap(struct run *run, struct frt_error *err)
{
    struct frt_eval_detect_report *r = &run->report;
    enum frt_status status = FRT_OK;
    struct frt_pr_point *curve = frt_alloc_array(r->n_detections + 1, sizeof *curve);
    if (curve == NULL)
        return frt_fail_nomem(err, "a curve");
    /* the overlap of 0.5 comes last, so that its matches stay */
    for (int k = FRT_EVAL_DETECT_OVERLAPS - 1; status == FRT_OK && k >= 0; k--) {
        status = frt_boxes_match(&r->labels, run->boxes, r->n_detections, 0.5 + 0.05 * k, run->matches, err);
        if (status != FRT_OK)
            break;
        const size_t n = frt_pr_curve(run->boxes, run->matches, r->n_detections, NULL, r->n_faces, curve);
        r->ap[k] = frt_ap_all_points(curve, n);
        r->ap_mean += r->ap[k] / FRT_EVAL_DETECT_OVERLAPS;
        if (k > 0)
            continue;
        r->ap_11 = frt_ap_11_points(curve, n);
        status = keep_curve(r, curve, n, err);
    }
    if (status == FRT_OK)
        status = bootstrap(run, curve, err);
    frt_free(curve);
    return status;
}

static int by_photo(const void *a, const void *b)
{
    const struct frt_eval_box_error *x = a, *y = b;
    if (x->photo != y->photo)
        return x->photo < y->photo ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->box.x != y->box.x ? (x->box.x < y->box.x ? -1 : 1)
                                : (x->box.y > y->box.y) - (x->box.y < y->box.y);
}

/* The faces that no hit took, with the best overlap any detection has with them. */
static void list_misses(struct run *run, const bool *taken)
{
    struct frt_eval_detect_report *r = &run->report;
    for (size_t p = 0; p < r->labels.n_photos; p++) {
        const struct frt_labelled_photo *photo = &r->labels.photos[p];
        for (size_t i = photo->first; i < photo->first + photo->n; i++)
            if (!taken[i] && !r->labels.boxes[i].ignored)
                r->misses[r->n_misses++] =
                    (struct frt_eval_box_error){.photo = (uint32_t)p, .box = r->labels.boxes[i].box};
    }
    for (size_t k = 0; k < r->n_misses; k++) {
        struct frt_eval_box_error *miss = &r->misses[k];
        const struct found *found = &run->found[miss->photo];
        for (size_t i = 0; i < found->n; i++)
            if (found->boxes[i].score >= r->confidence)
                miss->iou = fmaxf(miss->iou, frt_box_iou(&found->boxes[i].box, &miss->box));
    }
}

/* Hits, misses and false alarms at the lists' confidence. */
static enum frt_status list_errors(struct run *run, struct frt_error *err)
{
    struct frt_eval_detect_report *r = &run->report;
    size_t n = 0;
    double iou_sum = 0;
    while (n < r->n_detections && run->boxes[n].score >= r->confidence)
        n++;
    bool *taken = frt_alloc_zero(r->labels.n_boxes + 1, sizeof *taken);
    r->misses = frt_alloc_zero(r->n_faces + 1, sizeof *r->misses);
    r->false_alarms = frt_alloc_zero(n + 1, sizeof *r->false_alarms);
    if (taken == NULL || r->misses == NULL || r->false_alarms == NULL) {
        frt_free(taken);
        return frt_fail_nomem(err, "lists of errors");
    }
    for (size_t i = 0; i < n; i++) {
        const struct frt_box_match *match = &run->matches[i];
        if (match->outcome == FRT_BOX_HIT) {
            taken[match->label] = true;
            iou_sum += (double)match->iou;
            r->n_hits++;
        } else if (match->outcome == FRT_BOX_FALSE_ALARM) {
            r->false_alarms[r->n_false_alarms++] = (struct frt_eval_box_error){
                run->boxes[i].photo, run->boxes[i].box, run->boxes[i].score, match->iou};
        }
    }
    list_misses(run, taken);
    frt_free(taken);
    qsort(r->false_alarms, r->n_false_alarms, sizeof *r->false_alarms, by_photo);
    const size_t counted = r->n_hits + r->n_false_alarms;
    r->precision = counted > 0 ? (double)r->n_hits / (double)counted : NAN;
    r->recall = (double)r->n_hits / (double)r->n_faces;
    r->precision_interval = frt_wilson(r->n_hits, counted);
    r->recall_interval = frt_wilson(r->n_hits, r->n_faces);
    r->mean_iou = r->n_hits > 0 ? iou_sum / (double)r->n_hits : NAN;
    return FRT_OK;
}

/* -------------------------------------------------------------- the whole */

static enum frt_status read_labels(struct run *run, struct frt_error *err)
{
    const struct frt_eval_detect_options *o = run->options;
    enum frt_status status = FRT_OK;
    if (o->folder == NULL || o->n_labels == 0)
        return frt_fail(err, FRT_EINVAL, "a folder of photos and a label file are needed");
    if (!(o->min_confidence >= 0 && o->min_confidence <= 1) || !(o->min_size_px >= 0))
        return frt_fail(err, FRT_EINVAL, "a confidence of 0 to 1 and a size of 0 or more fit");
    for (size_t i = 0; status == FRT_OK && i < o->n_labels; i++)
        status = frt_labels_read(&run->report.labels, o->labels[i], err);
    if (status != FRT_OK)
        return status;
    count_faces(run);
    if (run->report.n_faces == 0)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "no face to find: the labels have %zu boxes of %zu photos, all of them ignored",
                        run->report.labels.n_boxes, run->report.labels.n_photos);
    return check_photos(run, err);
}

static void name_models(const struct frt_pack *pack, struct frt_eval_detect_report *r)
{
    (void)snprintf(r->pack, sizeof r->pack, "%s", pack->info.name);
    (void)snprintf(r->pack_id, sizeof r->pack_id, "%s", pack->info.id);
    (void)snprintf(r->detector, sizeof r->detector, "%s", pack->detector_name);
}

static void run_deinit(struct run *run)
{
    for (size_t i = 0; run->found != NULL && i < run->n_found; i++) {
        frt_free(run->found[i].boxes);
        frt_free(run->found[i].cause);
    }
    frt_free(run->found);
    frt_free(run->boxes);
    frt_free(run->matches);
    frt_eval_detect_report_deinit(&run->report);
}

enum frt_status frt_eval_detect(const struct frt_context *context, const struct frt_pack *pack,
                                const struct frt_eval_detect_options *options,
                                struct frt_eval_detect_report *out, struct frt_error *err)
{
    struct run run = {.context = context, .pack = pack, .options = options};
    struct frt_eval_detect_report *r = &run.report;
    enum frt_status status = read_labels(&run, err);
    if (status != FRT_OK)
        goto done;
    r->confidence =
        options->min_confidence > 0 ? options->min_confidence : frt_detector_min_confidence(pack->detector);
    r->floor_confidence = fminf(FLOOR_CONFIDENCE, r->confidence);
    r->threads = options->threads > 0 ? options->threads : 1;
    name_models(pack, r);
    run.n_found = r->labels.n_photos;
    run.found = frt_alloc_zero(run.n_found, sizeof *run.found);
    if (run.found == NULL) {
        status = frt_fail_nomem(err, "detections");
        goto done;
    }
    const int64_t start = frt_now_ns();
    status = detect_all(&run, err);
    r->wall_ms = frt_elapsed_ms(start);
    r->mean = frt_timing_mean(&run.sum, run.decoded);
    if (status == FRT_OK)
        status = gather(&run, err);
    if (status == FRT_OK)
        status = measure_ap(&run, err);
    if (status == FRT_OK)
        status = list_errors(&run, err);
    if (status != FRT_OK)
        goto done;
    *out = run.report;
    run.report = (struct frt_eval_detect_report){0};
done:
    run_deinit(&run);
    return status;
}

void frt_eval_detect_report_deinit(struct frt_eval_detect_report *report)
{
    frt_labels_deinit(&report->labels);
    frt_free(report->curve);
    frt_free(report->misses);
    frt_free(report->false_alarms);
    frt_eval_failures_free(report->failures, report->n_failures);
    *report = (struct frt_eval_detect_report){0};
}
