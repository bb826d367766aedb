#include "engine/eval_liveness.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "engine/eval_json.h"
#include "engine/faces.h"
#include "engine/pack.h"
#include "engine/plot.h"

enum { CURVE_POINTS = 201, PLOT_COLUMNS = 64, PLOT_ROWS = 16, MAX_LISTED = 20 };

struct run {
    const struct frt_context *context;
    const struct frt_pack *pack;
    const struct frt_eval_liveness_options *options;
    struct frt_eval_liveness_report report; /* each photo's slot is written by the one thread that took it */
    pthread_mutex_t lock;                   /* guards what follows; never held during work */
    struct frt_timing sum;
    size_t decoded;
};

/* ----------------------------------------------------------------- photos */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct frt_eval_liveness_rate *)a)->attack,
                  ((const struct frt_eval_liveness_rate *)b)->attack);
}

static int rate_of(const struct frt_eval_liveness_report *r, const char *attack)
{
    for (size_t i = 0; i < r->n_rates; i++)
        if (strcmp(r->rates[i].attack, attack == NULL ? "" : attack) == 0)
            return (int)i;
    return -1;
}

/* The types of attack that there are, and room for the photos. */
static enum frt_status prepare(struct run *run, struct frt_error *err)
{
    const struct frt_eval_liveness_options *o = run->options;
    struct frt_eval_liveness_report *r = &run->report;
    r->n_rates = 1;
    for (size_t i = 0; i < o->n; i++) {
        const char *attack = o->samples[i].attack;
        if (attack == NULL || rate_of(r, attack) > 0)
            continue;
        if (attack[0] == '\0' || strlen(attack) >= FRT_EVAL_ATTACK_NAME)
            return frt_fail(err, FRT_EINVAL, "a type of attack has a name of 1 to %d bytes",
                            FRT_EVAL_ATTACK_NAME - 1);
        if (r->n_rates > FRT_EVAL_MAX_ATTACKS)
            return frt_fail(err, FRT_EINVAL, "more than %d types of attack", FRT_EVAL_MAX_ATTACKS);
        memcpy(r->rates[r->n_rates++].attack, attack, strlen(attack) + 1);
    }
    qsort(r->rates + 1, r->n_rates - 1, sizeof *r->rates, by_name);
    r->photos = frt_alloc_zero(o->n, sizeof *r->photos);
    if (r->photos == NULL)
        return frt_fail_nomem(err, "evaluation");
    r->n_photos = o->n;
    for (size_t i = 0; i < o->n; i++) {
        r->photos[i] = (struct frt_eval_liveness_photo){
            .file = frt_strdup(o->samples[i].file), .attack = rate_of(r, o->samples[i].attack), .spoof = NAN};
        if (r->photos[i].file == NULL)
            return frt_fail_nomem(err, "evaluation");
    }
    return FRT_OK;
}

static enum frt_status look(void *arg, size_t i, struct frt_error *err)
{
    static const struct frt_detect_options detect = {.attributes = FRT_ATTRIBUTE_LIVENESS, .max_faces = 1};
    struct run *run = arg;
    struct frt_eval_liveness_photo *photo = &run->report.photos[i];
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    struct frt_error why = {0};
    const char *cause = NULL;
    enum frt_status status = frt_image_open_file(run->context, photo->file, &image, &why);
    if (status == FRT_OK)
        status = frt_detect(run->pack, image, &detect, &faces, &why);
    if (status == FRT_EBAD_IMAGE || status == FRT_EUNSUPPORTED_IMAGE || status == FRT_EIMAGE_TOO_LARGE)
        cause = why.text;
    else if (status != FRT_OK)
        status = frt_fail(err, status, "%s", why.text);
    else if (frt_faces_count(faces) == 0)
        cause = frt_status_title(FRT_ENO_FACE);
    else
        photo->spoof = frt_faces_get(faces, 0)->liveness.spoof_confidence;
    if (cause != NULL) {
        photo->cause = frt_strdup(cause);
        status = photo->cause == NULL ? frt_fail_nomem(err, "failures") : FRT_OK;
    }
    if (faces != NULL) {
        const struct frt_timing timing = frt_faces_timing(faces);
        (void)pthread_mutex_lock(&run->lock);
        frt_timing_add(&run->sum, &timing);
        run->decoded++;
        (void)pthread_mutex_unlock(&run->lock);
    }
    frt_faces_free(faces);
    frt_image_free(image);
    return status;
}

static enum frt_status look_at_all(struct run *run, struct frt_error *err)
{
    const struct frt_eval_liveness_options *o = run->options;
    const struct frt_eval_each each = {.n = o->n,
                                       .threads = o->threads,
                                       .work = look,
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

/* ---------------------------------------------------------------- numbers */

void frt_eval_liveness_rates(struct frt_eval_liveness_report *r, float threshold)
{
    r->threshold = threshold;
    for (size_t k = 0; k < r->n_rates; k++)
        r->rates[k].n = r->rates[k].wrong = r->rates[k].silent = 0;
    for (size_t i = 0; i < r->n_photos; i++) {
        struct frt_eval_liveness_rate *rate = &r->rates[r->photos[i].attack];
        if (isnan(r->photos[i].spoof)) {
            rate->silent++;
            continue;
        }
        const bool spoof = r->photos[i].spoof >= threshold;
        rate->n++;
        rate->wrong += spoof == (r->photos[i].attack == 0);
    }
    r->apcer = NAN;
    r->worst = 0;
    for (size_t k = 0; k < r->n_rates; k++) {
        struct frt_eval_liveness_rate *rate = &r->rates[k];
        rate->rate = rate->n > 0 ? (double)rate->wrong / (double)rate->n : NAN;
        rate->interval = frt_wilson(rate->wrong, rate->n);
        if (k > 0 && rate->n > 0 && !(rate->rate <= r->apcer)) {
            r->apcer = rate->rate;
            r->worst = k;
        }
    }
    r->bpcer = r->rates[0].rate;
    r->acer = (r->apcer + r->bpcer) / 2;
}

static void name_models(const struct frt_pack *pack, struct frt_eval_liveness_report *r)
{
    size_t used = 0;
    (void)snprintf(r->pack, sizeof r->pack, "%s", pack->info.name);
    (void)snprintf(r->pack_id, sizeof r->pack_id, "%s", pack->info.id);
    for (uint32_t i = 0; i < pack->manifest->n_models; i++) {
        const struct frt_model_spec *spec = &pack->manifest->models[i];
        if (spec->role != FRT_ROLE_LIVENESS)
            continue;
        const int n = snprintf(r->nets + used, sizeof r->nets - used, "%s%s", used > 0 ? ", " : "", spec->name);
        used += n > 0 && (size_t)n < sizeof r->nets - used ? (size_t)n : 0;
    }
}

enum frt_status frt_eval_liveness(const struct frt_context *context, const struct frt_pack *pack,
                                  const struct frt_eval_liveness_options *options,
                                  struct frt_eval_liveness_report *out, struct frt_error *err)
{
    struct run run = {.context = context, .pack = pack, .options = options};
    const struct frt_face_net *nets[FRT_PACK_MAX_NETS];
    size_t n_nets = 0;
    if (options->n == 0 || !(options->threshold >= 0 && options->threshold <= 1))
        return frt_fail(err, FRT_EINVAL, "photos, and a threshold of 0 to 1, are needed");
    enum frt_status status = frt_pack_face_nets(pack, FRT_ROLE_LIVENESS, nets, &n_nets, err);
    if (status == FRT_OK)
        status = prepare(&run, err);
    const int64_t start = frt_now_ns();
    if (status == FRT_OK)
        status = look_at_all(&run, err);
    if (status != FRT_OK) {
        frt_eval_liveness_report_deinit(&run.report);
        return status;
    }
    run.report.wall_ms = frt_elapsed_ms(start);
    run.report.mean = frt_timing_mean(&run.sum, run.decoded);
    run.report.threads = options->threads > 0 ? options->threads : 1;
    run.report.pack_threshold = pack->spoof_threshold;
    name_models(pack, &run.report);
    frt_eval_liveness_rates(&run.report, options->threshold > 0 ? options->threshold : pack->spoof_threshold);
    *out = run.report;
    return FRT_OK;
}

void frt_eval_liveness_report_deinit(struct frt_eval_liveness_report *report)
{
    for (size_t i = 0; report->photos != NULL && i < report->n_photos; i++) {
        frt_free(report->photos[i].file);
        frt_free(report->photos[i].cause);
    }
    frt_free(report->photos);
    *report = (struct frt_eval_liveness_report){0};
}

/* ---------------------------------------------------------------- reports */

static void write_rate(struct frt_json_writer *w, const struct frt_eval_liveness_rate *rate, const char *name)
{
    frt_eval_json_integer(w, "photos", rate->n);
    frt_eval_json_integer(w, "wrong", rate->wrong);
    frt_eval_json_integer(w, "no_answer", rate->silent);
    frt_eval_json_number(w, name, rate->rate, 6);
    frt_json_key(w, "interval");
    frt_json_array(w);
    frt_json_fixed(w, rate->interval.low, 6);
    frt_json_fixed(w, rate->interval.high, 6);
    frt_json_end(w);
}

static void write_photos(struct frt_json_writer *w, const struct frt_eval_liveness_report *r)
{
    frt_json_key(w, "samples");
    frt_json_array(w);
    for (size_t i = 0; i < r->n_photos; i++) {
        const struct frt_eval_liveness_photo *photo = &r->photos[i];
        frt_json_object(w);
        frt_eval_json_text(w, "file", photo->file);
        frt_eval_json_text(w, "attack", photo->attack == 0 ? NULL : r->rates[photo->attack].attack);
        frt_eval_json_number(w, "spoof_confidence", (double)photo->spoof, 4);
        if (photo->cause != NULL)
            frt_eval_json_text(w, "cause", photo->cause);
        frt_json_end(w);
    }
    frt_json_end(w);
}

void frt_eval_liveness_report_json(const struct frt_eval_liveness_report *report, struct frt_buf *out)
{
    const struct frt_eval_liveness_report *r = report;
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, true);
    frt_json_object(&w);
    frt_json_key(&w, "pack");
    frt_json_object(&w);
    frt_eval_json_text(&w, "name", r->pack);
    frt_eval_json_text(&w, "id", r->pack_id);
    frt_eval_json_text(&w, "liveness", r->nets);
    frt_json_end(&w);
    frt_eval_json_number(&w, "threshold", (double)r->threshold, 6);
    frt_eval_json_number(&w, "pack_threshold", (double)r->pack_threshold, 6);
    frt_eval_json_number(&w, "apcer", r->apcer, 6);
    frt_eval_json_number(&w, "bpcer", r->bpcer, 6);
    frt_eval_json_number(&w, "acer", r->acer, 6);
    frt_json_key(&w, "live");
    frt_json_object(&w);
    write_rate(&w, &r->rates[0], "bpcer");
    frt_json_end(&w);
    frt_json_key(&w, "attacks");
    frt_json_array(&w);
    for (size_t k = 1; k < r->n_rates; k++) {
        frt_json_object(&w);
        frt_eval_json_text(&w, "attack", r->rates[k].attack);
        write_rate(&w, &r->rates[k], "apcer");
        frt_json_end(&w);
    }
    frt_json_end(&w);
    write_photos(&w, r);
    frt_eval_json_number(&w, "photo_ms", r->mean.total_ms, 3);
    frt_eval_json_number(&w, "liveness_ms", r->mean.attribute_ms, 3);
    frt_eval_json_integer(&w, "threads", r->threads);
    frt_eval_json_number(&w, "wall_seconds", r->wall_ms / 1e3, 3);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* Both rates over the threshold: a copy of the report is asked at each. */
static void draw(const struct frt_eval_liveness_report *report, struct frt_buf *out,
                 void (*render)(const struct frt_plot *plot, struct frt_buf *out))
{
    double x[CURVE_POINTS], apcer[CURVE_POINTS], bpcer[CURVE_POINTS];
    char title[400], subtitle[160];
    struct frt_eval_liveness_report at = *report;
    for (int i = 0; i < CURVE_POINTS; i++) {
        x[i] = (double)i / (CURVE_POINTS - 1);
        frt_eval_liveness_rates(&at, (float)x[i]);
        apcer[i] = at.apcer;
        bpcer[i] = at.bpcer;
    }
    (void)snprintf(title, sizeof title, "Liveness, pack \xE2\x80\x9C%s\xE2\x80\x9D (%s)", report->pack,
                   report->nets);
    (void)snprintf(subtitle, sizeof subtitle, "%zu photos; at %.2f: APCER %.3f, BPCER %.3f", report->n_photos,
                   (double)report->threshold, report->apcer, report->bpcer);
    const struct frt_plot plot = {
        .title = title,
        .subtitle = subtitle,
        .x = {.title = "Spoof confidence from which a face is a spoof", .low = 0, .high = 1},
        .y = {.title = "Share that goes wrong", .low = 0, .high = 1},
        .curves = {{.name = "APCER: attacks that pass, the worst type", .x = x, .y = apcer, .n = CURVE_POINTS},
                   {.name = "BPCER: live faces turned away", .x = x, .y = bpcer, .n = CURVE_POINTS}},
        .n_curves = 2};
    render(&plot, out);
}

static void as_text(const struct frt_plot *plot, struct frt_buf *out)
{
    frt_plot_text(plot, PLOT_COLUMNS, PLOT_ROWS, out);
}

void frt_eval_liveness_report_svg(const struct frt_eval_liveness_report *report, struct frt_buf *out)
{
    draw(report, out, frt_plot_svg);
}

static void rate_line(const char *name, const struct frt_eval_liveness_rate *rate, struct frt_buf *out)
{
    char type[FRT_EVAL_ATTACK_NAME];
    (void)snprintf(type, sizeof type, "%s", rate->attack[0] == '\0' ? "live" : rate->attack);
    frt_utf8_sanitise(type);
    frt_buf_printf(out, "  %-20s %zu photos, %zu wrong: %s %.3f (95 %%: %.3f to %.3f)", type, rate->n,
                   rate->wrong, name, rate->rate, rate->interval.low, rate->interval.high);
    if (rate->silent > 0)
        frt_buf_printf(out, "; %zu without an answer", rate->silent);
    frt_buf_append_char(out, '\n');
}

/* What went wrong or did not answer. */
static void list_photos(const struct frt_eval_liveness_report *r, struct frt_buf *out)
{
    size_t listed = 0;
    for (size_t i = 0; i < r->n_photos; i++) {
        const struct frt_eval_liveness_photo *photo = &r->photos[i];
        const bool spoof = photo->spoof >= r->threshold;
        if (photo->cause == NULL && spoof == (photo->attack != 0))
            continue;
        if (listed++ >= MAX_LISTED)
            continue;
        char name[256];
        (void)snprintf(name, sizeof name, "%s", photo->file);
        frt_utf8_sanitise(name);
        if (photo->cause != NULL)
            frt_buf_printf(out, "  %s: %s\n", name, photo->cause);
        else
            frt_buf_printf(out, "  %s: %s, spoof confidence %.3f\n", name,
                           photo->attack == 0 ? "live and turned away" : "an attack that passes",
                           (double)photo->spoof);
    }
    if (listed > MAX_LISTED)
        frt_buf_printf(out, "  and %zu more\n", listed - MAX_LISTED);
}

void frt_eval_liveness_report_text(const struct frt_eval_liveness_report *report, struct frt_buf *out)
{
    const struct frt_eval_liveness_report *r = report;
    frt_buf_printf(out, "pack %s (%s), %zu photos; a spoof from a confidence of %.2f on\n", r->pack, r->nets,
                   r->n_photos, (double)r->threshold);
    rate_line("BPCER", &r->rates[0], out);
    for (size_t k = 1; k < r->n_rates; k++)
        rate_line("APCER", &r->rates[k], out);
    frt_buf_printf(out, "APCER %.3f, BPCER %.3f, ACER %.3f\n", r->apcer, r->bpcer, r->acer);
    list_photos(r, out);
    draw(r, out, as_text);
    frt_buf_printf(out, "a photo takes %.1f ms, of it liveness %.1f; %u thread%s\n", r->mean.total_ms,
                   r->mean.attribute_ms, r->threads, r->threads == 1 ? "" : "s");
}
