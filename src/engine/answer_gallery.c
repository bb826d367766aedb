#include "engine/answer_gallery.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void member_text(struct frt_json_writer *w, const char *key, const char *text)
{
    frt_json_key(w, key);
    frt_json_string(w, text);
}

static void member_whole(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void member_number(struct frt_json_writer *w, const char *key, double value, int decimals)
{
    frt_json_key(w, key);
    frt_json_fixed(w, value, decimals);
}

/* Absent when it is not a number. */
static void member_if(struct frt_json_writer *w, const char *key, double value, int decimals)
{
    if (isfinite(value))
        member_number(w, key, value, decimals);
}

void frt_time_text(int64_t ms, char out[FRT_TIME_TEXT_SIZE])
{
    int64_t whole = ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
    time_t seconds = (time_t)whole;
    struct tm utc = {0};
    if (gmtime_r(&seconds, &utc) == NULL || utc.tm_year > 8099)
        (void)gmtime_r(&(time_t){0}, &utc);
    size_t n = strftime(out, FRT_TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out + n, FRT_TIME_TEXT_SIZE - n, ".%03dZ", (int)(ms - whole * 1000));
}

static void member_time(struct frt_json_writer *w, const char *key, int64_t ms)
{
    char text[FRT_TIME_TEXT_SIZE];
    frt_time_text(ms, text);
    member_text(w, key, text);
}

/* JSON text that the store has checked; nothing stands for {}. */
static void member_metadata(struct frt_json_writer *w, const char *json)
{
    frt_json_key(w, "metadata");
    if (json == NULL || json[0] == '\0')
        frt_json_raw(w, "{}", 2);
    else
        frt_json_raw(w, json, strlen(json));
}

/* ------------------------------------------------------------- collections */

void frt_collection_thresholds(const struct frt_collection_info *info, const struct frt_threshold_basis *basis,
                               struct gallery_thresholds *out)
{
    const struct frt_store_collection row = {.name = info->name,
                                             .model = info->model,
                                             .dim = info->dim,
                                             .threshold = info->threshold,
                                             .target_fpir = info->target_fpir,
                                             .calibration = info->calibration,
                                             .faces = info->faces,
                                             .subjects = info->subjects};
    gallery_thresholds_make(&row, basis, false, out);
}

/* What searches go by now, and what that rests on. Nothing when it is not known. */
static void search_threshold(struct frt_json_writer *w, const struct frt_collection_info *info,
                             const struct frt_threshold_basis *basis)
{
    struct gallery_thresholds thresholds;
    frt_collection_thresholds(info, basis, &thresholds);
    const struct frt_threshold_rule *rule = &thresholds.rule;
    if (isnan(rule->threshold))
        return;
    frt_json_key(w, "search_threshold");
    frt_json_object(w);
    member_number(w, "value", (double)rule->threshold, 6);
    member_text(w, "source", frt_threshold_source_name(rule->source));
    if (rule->source != FRT_THRESHOLD_SET && rule->source != FRT_THRESHOLD_PAIRS)
        member_number(w, "fpir", rule->target_fpir, 9);
    member_if(w, "estimated_fpir",
              info->subjects > 0 ? frt_false_match_probability(rule, rule->threshold) : (double)NAN, 9);
    member_whole(w, "people", info->subjects);
    if (info->subjects > 0)
        member_number(w, "photos_per_person", rule->size.enrolled, 2);
    if (rule->extrapolated) {
        frt_json_key(w, "extrapolated");
        frt_json_bool(w, true);
    }
    if (rule->table != NULL) {
        frt_json_key(w, "table");
        frt_json_object(w);
        member_text(w, "measured_on", rule->table->measured_on);
        member_text(w, "date", rule->table->date);
        member_whole(w, "photos", rule->table->photos);
        member_whole(w, "people", rule->table->people);
        if (rule->source != FRT_THRESHOLD_COLLECTION)
            member_text(w, "matched_by", frt_table_match_name(rule->match));
        frt_json_end(w);
    }
    frt_json_end(w);
}

void frt_answer_collection(struct frt_json_writer *w, const struct frt_collection_info *info,
                           const struct frt_threshold_basis *basis)
{
    frt_json_object(w);
    member_text(w, "name", info->name);
    if (info->model[0] != '\0') {
        /* "name version"; a version holds no blank */
        const char *blank = strrchr(info->model, ' ');
        frt_json_key(w, "model");
        frt_json_object(w);
        frt_json_key(w, "name");
        frt_json_string_n(w, info->model, blank == NULL ? strlen(info->model) : (size_t)(blank - info->model));
        member_text(w, "version", blank == NULL ? "" : blank + 1);
        member_whole(w, "dim", info->dim);
        frt_json_end(w);
    }
    member_if(w, "threshold", (double)info->threshold, 6);
    member_if(w, "target_fpir", info->target_fpir, 9);
    member_metadata(w, info->metadata);
    search_threshold(w, info, basis);
    member_whole(w, "faces", info->faces);
    member_whole(w, "subjects", info->subjects);
    member_whole(w, "seq", info->seq);
    member_time(w, "created_at", info->created_ms);
    if (info->index_kind[0] != '\0') {
        frt_json_key(w, "index");
        frt_json_object(w);
        member_text(w, "engine", info->index_engine);
        member_text(w, "kind", info->index_kind);
        member_whole(w, "bytes", info->index_bytes);
        member_if(w, "recall_estimate", info->recall_estimate, 6);
        member_if(w, "recall_low", info->recall_low, 6);
        frt_json_end(w);
    }
    frt_json_end(w);
}

void frt_answer_collections(struct frt_json_writer *w, const struct frt_collection_info *list, size_t n,
                            const struct frt_threshold_basis *basis)
{
    frt_json_key(w, "collections");
    frt_json_array(w);
    for (size_t i = 0; i < n; i++)
        frt_answer_collection(w, &list[i], basis);
    frt_json_end(w);
}

void frt_answer_index_metrics(struct frt_json_writer *w, const struct frt_collection_info *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].index_kind[0] == '\0')
            continue;
        frt_json_key(w, list[i].name);
        frt_json_object(w);
        member_text(w, "kind", list[i].index_kind);
        member_whole(w, "faces", list[i].faces);
        member_whole(w, "bytes", list[i].index_bytes);
        frt_json_key(w, "recall_estimate");
        frt_json_fixed(w, list[i].recall_estimate, 6); /* null: not measured yet */
        frt_json_end(w);
    }
}

/* ------------------------------------------------------------------- faces */

void frt_answer_gallery_face(struct frt_json_writer *w, const struct frt_gallery_face *face,
                             enum frt_embedding_encoding encoding)
{
    frt_json_object(w);
    member_text(w, "face_id", face->face_id);
    member_text(w, "subject", face->subject);
    if (face->box.width > 0)
        frt_answer_box(w, &face->box);
    if (face->confidence > 0)
        member_number(w, "confidence", (double)face->confidence, 4);
    member_if(w, "quality", (double)face->quality, 4);
    member_if(w, "threshold", (double)face->threshold, 6);
    member_metadata(w, face->metadata);
    member_whole(w, "seq", face->seq);
    member_time(w, "created_at", face->created_ms);
    if (face->embedding != NULL)
        frt_answer_embedding(w, face->embedding, face->dim, encoding);
    frt_json_end(w);
}

void frt_answer_gallery_faces(struct frt_json_writer *w, const struct frt_gallery_faces *faces,
                              enum frt_embedding_encoding encoding)
{
    frt_json_key(w, "faces");
    frt_json_array(w);
    for (size_t i = 0; i < faces->n; i++)
        frt_answer_gallery_face(w, &faces->faces[i], encoding);
    frt_json_end(w);
}

void frt_answer_subjects(struct frt_json_writer *w, const struct frt_subjects *subjects)
{
    frt_json_key(w, "subjects");
    frt_json_array(w);
    for (size_t i = 0; i < subjects->n; i++) {
        frt_json_object(w);
        member_text(w, "subject", subjects->subjects[i].name);
        member_whole(w, "faces", subjects->subjects[i].faces);
        member_time(w, "created_at", subjects->subjects[i].created_ms);
        frt_json_end(w);
    }
    frt_json_end(w);
}

/* ---------------------------------------------------------- enroll, search */

struct step {
    const char *name;
    double ms;
};

/* Member "timing_ms" of the steps that took time, and the total. */
static void timing(struct frt_json_writer *w, const struct step *steps, size_t n, double total_ms)
{
    frt_json_key(w, "timing_ms");
    frt_json_object(w);
    for (size_t i = 0; i < n; i++)
        if (steps[i].ms > 0)
            member_number(w, steps[i].name, steps[i].ms, 3);
    member_number(w, "total", total_ms, 3);
    frt_json_end(w);
}

void frt_answer_rejected(struct frt_json_writer *w, const struct frt_enrolled *enrolled)
{
    frt_json_key(w, "rejected");
    frt_json_array(w);
    for (size_t i = 0; i < enrolled->n_rejected; i++) {
        const struct frt_enroll_rejection *r = &enrolled->rejected[i];
        frt_json_object(w);
        member_whole(w, "image", r->image);
        member_text(w, "code", frt_status_code(r->status));
        if (r->text != NULL)
            member_text(w, "detail", r->text);
        if (r->face_id != NULL) {
            member_text(w, "face_id", r->face_id);
            member_number(w, "similarity", (double)r->similarity, 6);
        }
        frt_json_end(w);
    }
    frt_json_end(w);
}

void frt_answer_enrolled(struct frt_json_writer *w, const struct frt_enrolled *enrolled)
{
    const struct frt_timing *image = &enrolled->image_timing;
    const struct frt_enroll_timing *t = &enrolled->timing;
    const struct step steps[] = {{"decode", image->decode_ms},
                                 {"detect", image->detect_ms},
                                 {"embed", image->align_ms + image->embed_ms},
                                 {"attributes", image->attribute_ms},
                                 {"search", t->search_ms},
                                 {"store", t->store_ms},
                                 {"index", t->index_ms}};
    frt_answer_gallery_faces(w, &enrolled->faces, FRT_ENCODING_ARRAY);
    frt_answer_rejected(w, enrolled);
    timing(w, steps, sizeof steps / sizeof *steps, t->total_ms);
}

/* From 1 down to one in a million million; two digits are more than it holds. */
static void probability(struct frt_json_writer *w, double value)
{
    char digits[32];
    const int n = snprintf(digits, sizeof digits, "%.3g", value);
    frt_json_raw(w, digits, n > 0 ? (size_t)n : 0);
}

static void match(struct frt_json_writer *w, const struct frt_match *m, bool candidates)
{
    frt_json_object(w);
    member_text(w, "face_id", m->face_id);
    member_text(w, "subject", m->subject);
    member_number(w, "similarity", (double)m->similarity, 6);
    member_number(w, "distance", (double)m->distance, 6);
    member_number(w, "threshold", (double)m->threshold, 6);
    if (candidates) {
        frt_json_key(w, "match");
        frt_json_bool(w, m->match);
    }
    if (m->false_match_probability > 0) {
        frt_json_key(w, "false_match_probability");
        probability(w, m->false_match_probability);
    }
    if (m->metadata != NULL && m->metadata[0] != '\0' && strcmp(m->metadata, "{}") != 0)
        member_metadata(w, m->metadata);
    frt_json_end(w);
}

void frt_answer_identified(struct frt_json_writer *w, const struct frt_identified *identified, bool candidates)
{
    const struct frt_timing *image = &identified->image_timing;
    const struct step steps[] = {{"decode", image->decode_ms},
                                 {"detect", image->detect_ms},
                                 {"embed", image->align_ms + image->embed_ms},
                                 {"load", identified->load_ms},
                                 {"search", identified->search_ms}};
    frt_json_key(w, "faces");
    frt_json_array(w);
    for (size_t i = 0; i < identified->n; i++) {
        const struct frt_identified_face *face = &identified->faces[i];
        frt_json_object(w);
        if (face->face.box.width > 0) {
            frt_answer_box(w, &face->face.box);
            member_number(w, "confidence", (double)face->face.confidence, 4);
            frt_answer_liveness(w, &face->face);
        }
        member_text(w, "decision", face->known ? "match" : "unknown");
        frt_json_key(w, "matches");
        frt_json_array(w);
        for (size_t k = 0; k < face->n_matches; k++)
            match(w, &face->matches[k], candidates);
        frt_json_end(w);
        frt_json_end(w);
    }
    frt_json_end(w);
    timing(w, steps, sizeof steps / sizeof *steps, identified->total_ms);
}

/* ------------------------------------------------------------ import, jobs */

void frt_answer_import(struct frt_json_writer *w, const struct frt_import_report *report)
{
    member_whole(w, "imported", report->imported);
    member_whole(w, "lines", report->lines);
    frt_json_key(w, "rejected");
    frt_json_array(w);
    for (size_t i = 0; i < report->n_listed; i++) {
        frt_json_object(w);
        member_whole(w, "line", report->rejected[i].line);
        member_text(w, "code", frt_status_code(report->rejected[i].status));
        member_text(w, "detail", report->rejected[i].text);
        frt_json_end(w);
    }
    frt_json_end(w);
    if (report->n_rejected > report->n_listed)
        member_whole(w, "rejected_total", report->n_rejected);
}

const char *frt_job_state_name(enum frt_job_state state)
{
    static const char *const names[] = {"queued", "running", "done", "failed", "cancelled"};
    return (unsigned)state < sizeof names / sizeof *names ? names[(unsigned)state] : "failed";
}

void frt_answer_job(struct frt_json_writer *w, const struct frt_job *job)
{
    frt_json_object(w);
    member_text(w, "id", job->id);
    member_text(w, "collection", job->collection);
    member_text(w, "state", frt_job_state_name(job->state));
    member_whole(w, "done", job->done);
    member_whole(w, "total", job->total);
    frt_json_key(w, "eta_seconds");
    frt_json_fixed(w, job->eta_seconds, 1); /* null: unknown */
    if (job->state == FRT_JOB_FAILED) {
        frt_json_key(w, "error");
        frt_json_object(w);
        member_text(w, "code", frt_status_code(job->error.status));
        member_text(w, "detail", job->error.text);
        frt_json_end(w);
    }
    frt_json_end(w);
}
