#include "engine/threshold_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json_read.h"

static const char format_name[] = "frt-thresholds";
enum { FORMAT_VERSION = 1 };
static const double highest = 0.99;

/* -------------------------------------------------------------- evaluation */

double frt_rate_for_gallery(double people, double fpir)
{
    return fpir >= 1 ? 1 : -expm1(log1p(-fpir) / fmax(people, 1));
}

double frt_gallery_rate(double people, double rate)
{
    return rate >= 1 ? 1 : -expm1(log1p(-rate) * fmax(people, 1));
}

static double curve_rate(const struct frt_rate_curve *c, double score)
{
    const struct frt_rate_point *p = c->points;
    size_t i = 0;
    if (score < (double)p[0].threshold)
        return 1;
    while (i + 1 < c->n_points && score >= (double)p[i + 1].threshold)
        i++;
    if (i + 1 == c->n_points)
        return c->tail.share > 0 ? frt_tail_share(&c->tail, score) : p[i].rate;
    const double part =
        (score - (double)p[i].threshold) / ((double)p[i + 1].threshold - (double)p[i].threshold);
    return exp(log(p[i].rate) + part * (log(p[i + 1].rate) - log(p[i].rate)));
}

static double curve_threshold(const struct frt_rate_curve *c, double rate, bool *extrapolated)
{
    const struct frt_rate_point *p = c->points;
    size_t i = 0;
    if (rate >= p[0].rate)
        return (double)p[0].threshold;
    while (i + 1 < c->n_points && rate <= p[i + 1].rate)
        i++;
    if (i + 1 == c->n_points) {
        *extrapolated = *extrapolated || rate < p[i].rate;
        return c->tail.share > 0  ? frt_tail_score(&c->tail, rate)
               : rate < p[i].rate ? highest
                                  : (double)p[i].threshold;
    }
    const double part = (log(rate) - log(p[i].rate)) / (log(p[i + 1].rate) - log(p[i].rate));
    return (double)p[i].threshold + part * ((double)p[i + 1].threshold - (double)p[i].threshold);
}

/* The two curves that `enrolled` lies between, and how far from the first to the second. */
static double between(const struct frt_threshold_table *t, double enrolled, const struct frt_rate_curve *two[2])
{
    size_t i = 0;
    while (i + 1 < t->n_curves && enrolled >= t->curves[i + 1].enrolled)
        i++;
    two[0] = two[1] = &t->curves[i];
    if (i + 1 == t->n_curves || !(enrolled > t->curves[i].enrolled))
        return 0;
    two[1] = &t->curves[i + 1];
    return (enrolled - two[0]->enrolled) / (double)(two[1]->enrolled - two[0]->enrolled);
}

double frt_table_rate(const struct frt_threshold_table *table, double enrolled, float score)
{
    const struct frt_rate_curve *two[2];
    const double part = between(table, enrolled, two);
    const double low = curve_rate(two[0], (double)score),
                 high = part > 0 ? curve_rate(two[1], (double)score) : low;
    return fmin(1, exp((1 - part) * log(low) + part * log(high)));
}

float frt_table_threshold(const struct frt_threshold_table *table, double enrolled, double rate,
                          bool *extrapolated)
{
    const struct frt_rate_curve *two[2];
    bool beyond = false;
    const double part = between(table, enrolled, two);
    const double low = curve_threshold(two[0], rate, &beyond);
    const double high = part > 0 ? curve_threshold(two[1], rate, &beyond) : low;
    if (extrapolated != NULL)
        *extrapolated = beyond;
    return (float)fmin(low + part * (high - low), highest);
}

/* ----------------------------------------------------------------- reading */

static enum frt_status wrong(struct frt_error *err, const char *what)
{
    return frt_fail(err, FRT_EBAD_REQUEST, "threshold table: %s", what);
}

static bool read_text(const struct frt_json_value *object, const char *key, char *out, size_t size)
{
    const struct frt_json_value *value = frt_json_get(object, key);
    const char *text = frt_json_text(value);
    if (value == NULL)
        return true; /* stays "" */
    if (text == NULL || strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static double read_number(const struct frt_json_value *object, const char *key)
{
    return frt_json_double(frt_json_get(object, key), (double)NAN);
}

static bool within(double value, double low, double high)
{
    return value >= low && value <= high; /* false for NaN */
}

static enum frt_status read_curve(const struct frt_json_value *v, struct frt_rate_curve *out,
                                  struct frt_error *err)
{
    const double enrolled = read_number(v, "enrolled"), people = read_number(v, "people"),
                 comparisons = read_number(v, "comparisons");
    const struct frt_json_value *points = frt_json_get(v, "points"), *tail = frt_json_get(v, "tail");
    if (!within(enrolled, 1, 1000) || !within(people, 0, 4e9) || !within(comparisons, 0, 9e15))
        return wrong(err, "a curve needs 'enrolled', 'people' and 'comparisons'");
    if (!frt_json_is_array(points) || frt_json_count(points) < 1 || frt_json_count(points) > FRT_TABLE_POINTS)
        return wrong(err, "'points' of a curve is no list of 1 to 40");
    *out = (struct frt_rate_curve){
        .enrolled = (uint32_t)enrolled, .people = (uint32_t)people, .comparisons = (uint64_t)comparisons};
    for (const struct frt_json_value *p = frt_json_first(points); p != NULL; p = frt_json_next(p)) {
        const struct frt_json_value *first = frt_json_first(p);
        const double threshold = frt_json_double(first, (double)NAN),
                     rate = frt_json_double(first != NULL ? frt_json_next(first) : NULL, (double)NAN);
        const struct frt_rate_point *last = out->n_points > 0 ? &out->points[out->n_points - 1] : NULL;
        if (!frt_json_is_array(p) || frt_json_count(p) != 2 || !within(threshold, -1, 1) ||
            !(rate > 0 && rate <= 1) ||
            (last != NULL && !((float)threshold > last->threshold && rate < last->rate)))
            return wrong(err, "a point is [threshold, rate], thresholds rising and rates falling");
        out->points[out->n_points++] = (struct frt_rate_point){(float)threshold, rate};
    }
    if (tail == NULL || frt_json_is_null(tail))
        return FRT_OK;
    const struct frt_rate_point *last = &out->points[out->n_points - 1];
    out->tail = (struct frt_tail){.above = (double)last->threshold,
                                  .share = last->rate,
                                  .scale = read_number(tail, "scale"),
                                  .shape = read_number(tail, "shape")};
    return out->tail.scale > 0 && out->tail.scale <= 2 && within(out->tail.shape, 0, 0.5)
               ? FRT_OK
               : wrong(err, "a tail needs 'scale' above 0 and 'shape' from 0 to 0.5");
}

static enum frt_status read_row(const struct frt_json_value *v, struct frt_table_row *out,
                                struct frt_error *err)
{
    *out = (struct frt_table_row){.fmr = read_number(v, "fmr"),
                                  .threshold = (float)read_number(v, "threshold"),
                                  .low = (float)read_number(v, "low"),
                                  .high = (float)read_number(v, "high"),
                                  .errors = read_number(v, "errors"),
                                  .effective = read_number(v, "effective_errors"),
                                  .extrapolated = frt_json_truth(frt_json_get(v, "extrapolated"), false),
                                  .fnmr = read_number(v, "fnmr"),
                                  .fnmr_low = read_number(v, "fnmr_low"),
                                  .fnmr_high = read_number(v, "fnmr_high")};
    return within(out->fmr, 0, 1) && within((double)out->threshold, -1, 1)
               ? FRT_OK
               : wrong(err, "a row of 'verification' needs 'fmr' and 'threshold'");
}

static enum frt_status read_lists(const struct frt_json_value *root, struct frt_threshold_table *out,
                                  struct frt_error *err)
{
    const struct frt_json_value *curves = frt_json_get(root, "curves"),
                                *rows = frt_json_get(root, "verification");
    enum frt_status status = FRT_OK;
    if (!frt_json_is_array(curves) || frt_json_count(curves) < 1 || frt_json_count(curves) > FRT_TABLE_CURVES)
        return wrong(err, "'curves' is no list of 1 to 4");
    for (const struct frt_json_value *c = frt_json_first(curves); c != NULL && status == FRT_OK;
         c = frt_json_next(c)) {
        status = read_curve(c, &out->curves[out->n_curves], err);
        if (status == FRT_OK && out->n_curves > 0 &&
            out->curves[out->n_curves].enrolled <= out->curves[out->n_curves - 1].enrolled)
            status = wrong(err, "curves stand by 'enrolled', rising");
        out->n_curves++;
    }
    if (status == FRT_OK && frt_json_count(rows) > FRT_TABLE_ROWS)
        status = wrong(err, "'verification' has more than 40 rows");
    for (const struct frt_json_value *r = frt_json_first(rows); r != NULL && status == FRT_OK;
         r = frt_json_next(r))
        status = read_row(r, &out->rows[out->n_rows++], err);
    return status;
}

enum frt_status frt_threshold_table_parse(const char *text, size_t size, struct frt_threshold_table *out,
                                          struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_threshold_table table = {0};
    if (size > FRT_TABLE_MAX_BYTES)
        return wrong(err, "it has more than 64 KiB");
    enum frt_status status = frt_json_parse(text, size, &json, err);
    if (status != FRT_OK)
        return status;
    const struct frt_json_value *root = frt_json_root(json), *embedder = frt_json_get(root, "embedder"),
                                *measured = frt_json_get(root, "measured");
    const char *format = frt_json_text(frt_json_get(root, "format"));
    const double version = read_number(root, "format_version"), dim = read_number(embedder, "dim"),
                 photos = read_number(measured, "photos"), people = read_number(measured, "people");
    if (format == NULL || strcmp(format, format_name) != 0 || version != FORMAT_VERSION)
        status = wrong(err, "'format' is not frt-thresholds, or 'format_version' not 1");
    else if (!read_text(embedder, "name", table.embedder, sizeof table.embedder) ||
             !read_text(embedder, "version", table.version, sizeof table.version) ||
             !read_text(embedder, "sha256", table.sha256, sizeof table.sha256) || table.embedder[0] == '\0' ||
             !within(dim, 1, 4096))
        status = wrong(err, "'embedder' needs 'name', 'version' and 'dim'");
    else if (!read_text(measured, "on", table.measured_on, sizeof table.measured_on) ||
             !read_text(measured, "date", table.date, sizeof table.date) ||
             !read_text(measured, "pack", table.pack, sizeof table.pack) ||
             !read_text(measured, "detector", table.detector, sizeof table.detector) ||
             !within(photos, 0, 1e9) || !within(people, 0, 1e9))
        status = wrong(err, "'measured' needs 'on', 'date', 'photos' and 'people'");
    else
        status = read_lists(root, &table, err);
    if (status == FRT_OK) {
        table.dim = (uint32_t)dim;
        table.photos = (uint64_t)photos;
        table.people = (uint64_t)people;
        *out = table;
    }
    frt_json_free(json);
    return status;
}

/* ----------------------------------------------------------------- writing */

static void text(struct frt_json_writer *w, const char *key, const char *value)
{
    if (value[0] == '\0')
        return;
    frt_json_key(w, key);
    frt_json_string(w, value);
}

static void whole(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, (int64_t)value);
}

static void fixed(struct frt_json_writer *w, const char *key, double value, int decimals)
{
    frt_json_key(w, key);
    frt_json_fixed(w, value, decimals);
}

/* Three digits are more than a rate of such samples holds. */
static void rate(struct frt_json_writer *w, double value)
{
    char digits[32];
    const int n = isfinite(value) ? snprintf(digits, sizeof digits, "%.4g", value) : 0;
    if (n > 0)
        frt_json_raw(w, digits, (size_t)n);
    else
        frt_json_null(w);
}

static void member_rate(struct frt_json_writer *w, const char *key, double value)
{
    frt_json_key(w, key);
    rate(w, value);
}

static void write_curve(struct frt_json_writer *w, const struct frt_rate_curve *c)
{
    frt_json_object(w);
    whole(w, "enrolled", c->enrolled);
    whole(w, "people", c->people);
    whole(w, "comparisons", c->comparisons);
    frt_json_key(w, "points");
    frt_json_array(w);
    for (size_t i = 0; i < c->n_points; i++) {
        frt_json_array(w);
        frt_json_fixed(w, (double)c->points[i].threshold, 5);
        rate(w, c->points[i].rate);
        frt_json_end(w);
    }
    frt_json_end(w);
    if (c->tail.share > 0) {
        frt_json_key(w, "tail");
        frt_json_object(w);
        fixed(w, "scale", c->tail.scale, 6);
        fixed(w, "shape", c->tail.shape, 4);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void write_row(struct frt_json_writer *w, const struct frt_table_row *r)
{
    frt_json_object(w);
    member_rate(w, "fmr", r->fmr);
    fixed(w, "threshold", (double)r->threshold, 4);
    fixed(w, "low", (double)r->low, 4);
    fixed(w, "high", (double)r->high, 4);
    fixed(w, "errors", r->errors, 0);
    fixed(w, "effective_errors", r->effective, 1);
    if (r->extrapolated) {
        frt_json_key(w, "extrapolated");
        frt_json_bool(w, true);
    }
    member_rate(w, "fnmr", r->fnmr);
    member_rate(w, "fnmr_low", r->fnmr_low);
    member_rate(w, "fnmr_high", r->fnmr_high);
    frt_json_end(w);
}

void frt_threshold_table_print(const struct frt_threshold_table *table, bool rows, bool pretty,
                               struct frt_buf *out)
{
    const struct frt_threshold_table *t = table;
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, pretty);
    frt_json_object(&w);
    text(&w, "format", format_name);
    whole(&w, "format_version", FORMAT_VERSION);
    frt_json_key(&w, "embedder");
    frt_json_object(&w);
    text(&w, "name", t->embedder);
    frt_json_key(&w, "version");
    frt_json_string(&w, t->version);
    whole(&w, "dim", t->dim);
    text(&w, "sha256", t->sha256);
    frt_json_end(&w);
    frt_json_key(&w, "measured");
    frt_json_object(&w);
    text(&w, "on", t->measured_on);
    text(&w, "date", t->date);
    whole(&w, "photos", t->photos);
    whole(&w, "people", t->people);
    text(&w, "pack", t->pack);
    text(&w, "detector", t->detector);
    frt_json_end(&w);
    frt_json_key(&w, "curves");
    frt_json_array(&w);
    for (size_t i = 0; i < t->n_curves; i++)
        write_curve(&w, &t->curves[i]);
    frt_json_end(&w);
    if (rows) {
        frt_json_key(&w, "verification");
        frt_json_array(&w);
        for (size_t i = 0; i < t->n_rows; i++)
            write_row(&w, &t->rows[i]);
        frt_json_end(&w);
    }
    frt_json_end(&w);
}
