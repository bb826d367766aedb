/* frt migrate: a collection's faces to another pack, from the crops that were kept with them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/mem.h"
#include "engine/answer_gallery.h"
#include "engine/migrate.h"
#include "engine/pack.h"

enum { MAX_OUTPUT_BYTES = 4 << 20, NAMED = 1000, NAMED_TEXT = 20 };

/* What is to be done, of which one thing is. */
enum action { ACTION_EMBED = 0, ACTION_LOOK, ACTION_COMMIT, ACTION_ROLLBACK, ACTION_FORGET };

struct migrating {
    const struct cli_run *run;
    const char *collection;
    enum action action;
    struct frt_gallery *gallery;
    struct cli_models models;
    bool has_models;
    char model[CLI_MODEL_SIZE]; /* that is to come */
    uint32_t dim;
    struct frt_migration_state state;
    struct frt_migrated embedded;
    struct frt_migrate_report report;
    bool compared;
    struct frt_migrate_missing *missing; /* [n_missing], the first NAMED */
    size_t n_missing;
    struct frt_migrate_switched switched;
    bool has_switched;
    uint64_t forgotten;
    float threshold; /* of the collection after a switch; NaN = the pack's */
};

static enum frt_status read_action(const struct cli_run *run, enum action *out, struct frt_error *err)
{
    static const char *const names[] = {"dry-run", "commit", "rollback", "forget-old"};
    int given = 0;
    *out = ACTION_EMBED;
    for (int i = 0; i < 4; i++) {
        if (cli_has(run, names[i])) {
            *out = (enum action)(i + ACTION_LOOK);
            given++;
        }
    }
    return given <= 1 ? FRT_OK
                      : frt_fail(err, FRT_EINVAL,
                                 "--dry-run, --commit, --rollback and --forget-old exclude each other");
}

/* ------------------------------------------------------------------ the work */

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
    cli_progress_update(arg, (size_t)done, (size_t)total);
}

/* The pack whose model is to come: the one that was named, for a rollback only then. */
static enum frt_status open_pack(struct migrating *m, struct frt_error *err)
{
    if (m->action == ACTION_FORGET || (m->action == ACTION_ROLLBACK && !cli_has(m->run, "pack")))
        return FRT_OK;
    enum frt_status status = cli_models_open(m->run, 1, &m->models, err);
    if (status != FRT_OK)
        return status;
    m->has_models = true;
    m->dim = frt_pack_info_get(m->models.pack)->dim;
    (void)snprintf(m->model, sizeof m->model, "%s", frt_pack_model(m->models.pack));
    if (m->dim == 0)
        return frt_fail(err, FRT_EBAD_MODEL, "the pack has no embedder model");
    return FRT_OK;
}

/* What the collection goes to. */
static enum frt_status decide_model(struct migrating *m, struct frt_error *err)
{
    const struct frt_migration_state *s = &m->state;
    m->threshold = NAN;
    if (s->faces == 0 && m->action != ACTION_FORGET)
        return frt_fail(err, FRT_ECONFLICT, "collection '%s' has no faces; the next one fixes its model",
                        m->collection);
    if (m->action == ACTION_ROLLBACK) {
        if (s->former_model[0] == '\0')
            return frt_fail(
                err, FRT_ECONFLICT,
                "there is no way back for collection '%s': it was not migrated, or --forget-old was "
                "given since",
                m->collection);
        if (m->has_models && strcmp(m->model, s->former_model) != 0)
            return frt_fail(err, FRT_ECONFLICT, "the way back is to '%s'; the pack's embedder is '%s'",
                            s->former_model, m->model);
        (void)snprintf(m->model, sizeof m->model, "%s", s->former_model);
        m->threshold = s->former_threshold;
    }
    if (m->action != ACTION_FORGET && strcmp(m->model, s->model) == 0)
        return frt_fail(
            err, FRT_ECONFLICT,
            "collection '%s' holds embeddings of '%s' already; --pack names the pack it is to go to",
            m->collection, m->model);
    return FRT_OK;
}

static enum frt_status read_threshold(struct migrating *m, struct frt_error *err)
{
    double said = (double)m->threshold;
    enum frt_status status = cli_number(m->run, "threshold", -1, 1, said, &said, err);
    m->threshold = (float)said;
    return status;
}

static enum frt_status embed(struct migrating *m, struct frt_error *err)
{
    struct cli_progress progress;
    struct frt_migrate_options options = {
        .progress = on_progress, .cancelled = cli_interrupted, .arg = &progress};
    enum frt_status status = cli_jobs(m->run, &options.threads, err);
    if (status != FRT_OK)
        return status;
    cli_progress_init(&progress, "faces", cli_has(m->run, "quiet") || cli_has(m->run, "json"));
    status = frt_migrate_embed(m->gallery, m->has_models ? m->models.pack : NULL, m->collection, m->model,
                               m->dim, &options, &m->embedded, err);
    cli_progress_deinit(&progress);
    return status;
}

/* What counts as a match now and afterwards, where it can be known. */
static enum frt_status compare(struct migrating *m, struct frt_error *err)
{
    struct frt_collection_info info = {0};
    enum frt_status status = frt_collection_get(m->gallery, m->collection, &info, err);
    if (status != FRT_OK)
        return status;
    struct frt_threshold_basis *basis = frt_alloc_zero(1, sizeof *basis);
    struct gallery_thresholds *rule = frt_alloc_zero(1, sizeof *rule);
    float before = NAN, after = m->threshold;
    struct frt_error why;
    if (basis == NULL || rule == NULL) {
        status = frt_fail_nomem(err, "thresholds");
        goto done;
    }
    const bool has_basis = frt_threshold_basis_of_pack(NULL, basis, &why) == FRT_OK;
    frt_collection_thresholds(&info, has_basis ? basis : NULL, rule);
    before = rule->rule.threshold;
    if (isnan(after) && m->has_models) { /* the collection's own belong to its present model */
        struct frt_collection_info then = info;
        (void)snprintf(then.model, sizeof then.model, "%.200s", m->model);
        then.dim = m->dim;
        then.threshold = NAN;
        then.calibration = NULL;
        frt_collection_thresholds(&then, &m->models.pack->thresholds, rule);
        after = rule->rule.threshold;
    }
    status = frt_migrate_compare(m->gallery, m->collection, before, after, &m->report, err);
    m->compared = status == FRT_OK;
done:
    frt_free(basis);
    frt_free(rule);
    frt_collection_info_deinit(&info);
    return status;
}

static enum frt_status list_missing(struct migrating *m, struct frt_error *err)
{
    m->missing = frt_alloc_array(NAMED, sizeof *m->missing);
    if (m->missing == NULL)
        return frt_fail_nomem(err, "faces");
    return frt_migrate_missing(m->gallery, m->collection, m->missing, NAMED, &m->n_missing, err);
}

static enum frt_status commit(struct migrating *m, struct frt_error *err)
{
    const char *aside = cli_text(m->run, "set-aside");
    if (m->state.missing > 0 && aside == NULL)
        return frt_fail(
            err, FRT_ECONFLICT,
            "nothing was switched: %llu of %llu faces have no embedding of '%s' (%llu have no crop). "
            "--set-aside NAME keeps them in a collection of their own, as they are; enrolling their "
            "photos again is the other way",
            (unsigned long long)m->state.missing, (unsigned long long)m->state.faces, m->model,
            (unsigned long long)m->state.without_crop);
    enum frt_status status =
        frt_migrate_switch(m->gallery, m->collection, m->model, aside, m->threshold, &m->switched, err);
    m->has_switched = status == FRT_OK;
    return status;
}

static enum frt_status migrate(struct migrating *m, struct frt_error *err)
{
    enum frt_status status = open_pack(m, err);
    if (status == FRT_OK)
        status = frt_migration_get(m->gallery, m->collection, &m->state, err);
    if (status == FRT_OK)
        status = decide_model(m, err);
    if (status == FRT_OK)
        status = read_threshold(m, err);
    if (status != FRT_OK)
        return status;
    if (m->action == ACTION_FORGET)
        return frt_migrate_forget(m->gallery, m->collection, false, &m->forgotten, err);
    if (m->action == ACTION_LOOK) {
        if (strcmp(m->state.coming_model, m->model) != 0) { /* nothing of it is there */
            m->state.coming = 0;
            m->state.without_crop = m->state.faces - m->state.crops;
            m->state.missing = m->state.faces;
        }
        return FRT_OK;
    }
    if (m->action == ACTION_ROLLBACK && !m->has_models)
        m->dim = m->state.former_dim;
    status = embed(m, err);
    if (status == FRT_OK)
        status = frt_migration_get(m->gallery, m->collection, &m->state, err);
    if (status == FRT_OK)
        status = list_missing(m, err);
    if (status == FRT_OK)
        status = compare(m, err);
    if (status == FRT_OK && (m->action == ACTION_COMMIT || m->action == ACTION_ROLLBACK))
        status = commit(m, err);
    return status;
}

/* ------------------------------------------------------------------- answers */

static void member_share(struct frt_json_writer *w, const char *key, double value)
{
    frt_json_key(w, key);
    if (isnan(value))
        frt_json_null(w);
    else
        frt_json_fixed(w, value, 6);
}

static void json_side(struct frt_json_writer *w, const char *key, const struct frt_migrate_side *side)
{
    frt_json_key(w, key);
    frt_json_object(w);
    member_share(w, "rank1", side->rank1);
    member_share(w, "tar_at_far_1e-3", side->tar[0]);
    member_share(w, "tar_at_far_1e-4", side->tar[1]);
    member_share(w, "threshold", (double)side->threshold);
    member_share(w, "mates_above_threshold", side->mates_above);
    frt_json_end(w);
}

static void json_report(struct frt_json_writer *w, const struct migrating *m)
{
    const struct frt_migrate_report *r = &m->report;
    frt_json_key(w, "comparison");
    if (!m->compared) {
        frt_json_null(w);
        return;
    }
    frt_json_object(w);
    cli_member_whole(w, "faces", r->faces);
    cli_member_whole(w, "probes", r->probes);
    cli_member_whole(w, "probes_with_mates", r->probes_with_mates);
    cli_member_whole(w, "mates", r->mates);
    cli_member_whole(w, "strangers", r->strangers);
    member_share(w, "agreement", r->agreement);
    json_side(w, "before", &r->before);
    json_side(w, "after", &r->after);
    frt_json_end(w);
}

static void json_answer(struct frt_json_writer *w, const struct migrating *m)
{
    cli_member_text(w, "collection", m->collection);
    cli_member_text(w, "from", m->state.model);
    cli_member_text(w, "to", m->model);
    cli_member_whole(w, "faces", m->state.faces);
    cli_member_whole(w, "crops", m->state.crops);
    cli_member_whole(w, "ready", m->state.faces - m->state.missing);
    cli_member_whole(w, "missing", m->state.missing);
    cli_member_whole(w, "without_crop", m->state.without_crop);
    cli_member_whole(w, "embedded", m->embedded.embedded);
    cli_member_whole(w, "found_again", m->embedded.found_again);
    cli_member_whole(w, "failed", m->embedded.failed);
    frt_json_key(w, "missing_faces");
    frt_json_array(w);
    for (size_t i = 0; i < m->n_missing; i++) {
        frt_json_object(w);
        cli_member_text(w, "face_id", m->missing[i].face_id);
        cli_member_text(w, "subject", m->missing[i].subject);
        frt_json_key(w, "crop");
        frt_json_bool(w, m->missing[i].crop);
        frt_json_end(w);
    }
    frt_json_end(w);
    json_report(w, m);
    frt_json_key(w, "switched");
    frt_json_bool(w, m->has_switched);
    if (m->has_switched)
        cli_member_whole(w, "set_aside", m->switched.aside);
}

static void percent(struct frt_buf *out, double before, double after, const char *what)
{
    char texts[2][16];
    const double values[2] = {before, after};
    for (int i = 0; i < 2; i++)
        (void)snprintf(texts[i], sizeof texts[i], isnan(values[i]) ? "not known" : "%.2f %%", 100 * values[i]);
    frt_buf_printf(out, "  %-42s %12s %12s\n", what, texts[0], texts[1]);
}

static void threshold_line(struct frt_buf *out, float before, float after)
{
    char texts[2][16];
    const float values[2] = {before, after};
    for (int i = 0; i < 2; i++)
        (void)snprintf(texts[i], sizeof texts[i], isnan(values[i]) ? "not known" : "%.4f", (double)values[i]);
    frt_buf_printf(out, "  %-42s %12s %12s\n", "the threshold", texts[0], texts[1]);
}

static void text_report(struct frt_buf *out, const struct migrating *m)
{
    const struct frt_migrate_report *r = &m->report;
    if (!m->compared || r->probes == 0)
        return;
    frt_buf_printf(out,
                   "compared: %llu probes (%llu with mates) against %llu faces: %llu mates, %llu strangers\n"
                   "  %-42s %12s %12s\n",
                   (unsigned long long)r->probes, (unsigned long long)r->probes_with_mates,
                   (unsigned long long)r->faces, (unsigned long long)r->mates, (unsigned long long)r->strangers,
                   "", "now", "then");
    percent(out, r->before.rank1, r->after.rank1, "nearest face is the same person's");
    percent(out, r->before.tar[0], r->after.tar[0], "mates accepted, 1 in 1,000 strangers is");
    percent(out, r->before.tar[1], r->after.tar[1], "mates accepted, 1 in 10,000 strangers is");
    percent(out, r->before.mates_above, r->after.mates_above, "mates at or above the threshold");
    if (!isnan(r->agreement))
        frt_buf_printf(out, "  both models name the same person as nearest: %.2f %% of the probes\n",
                       100 * r->agreement);
    threshold_line(out, r->before.threshold, r->after.threshold);
}

static void text_missing(struct frt_buf *out, const struct migrating *m)
{
    if (m->state.missing == 0)
        return;
    frt_buf_printf(out, "%llu without an embedding, %llu of them without a crop%s\n",
                   (unsigned long long)m->state.missing, (unsigned long long)m->state.without_crop,
                   m->n_missing > 0 ? ":" : "");
    for (size_t i = 0; i < m->n_missing && i < NAMED_TEXT; i++) {
        frt_buf_append_text(out, "  ");
        cli_append_name(out, m->missing[i].face_id);
        frt_buf_append_text(out, "  ");
        cli_append_name(out, m->missing[i].subject);
        frt_buf_append_text(out, m->missing[i].crop ? "\n" : "  (no crop)\n");
    }
    if (m->n_missing > NAMED_TEXT)
        frt_buf_append_text(out, "  … (--json lists up to 1,000)\n");
    if (m->embedded.failed > 0)
        frt_buf_printf(out, "%llu crops could not be embedded; the first: %s\n",
                       (unsigned long long)m->embedded.failed, m->embedded.first_failure.text);
}

static void text_answer(struct frt_buf *out, const struct migrating *m)
{
    const struct frt_migration_state *s = &m->state;
    if (m->action == ACTION_FORGET) {
        frt_buf_printf(out, "%llu former embeddings of collection '%s' are forgotten\n",
                       (unsigned long long)m->forgotten, m->collection);
        return;
    }
    frt_buf_printf(out,
                   "collection '%s': from '%s' to '%s'\n%llu of %llu faces are ready (%llu embedded now)\n",
                   m->collection, s->model, m->model, (unsigned long long)(s->faces - s->missing),
                   (unsigned long long)s->faces, (unsigned long long)m->embedded.embedded);
    text_missing(out, m);
    text_report(out, m);
    if (m->has_switched) {
        frt_buf_printf(out, "switched: %llu faces", (unsigned long long)m->switched.faces);
        if (m->switched.aside > 0)
            frt_buf_printf(out, ", %llu set aside in '%s'", (unsigned long long)m->switched.aside,
                           cli_text(m->run, "set-aside"));
        frt_buf_append_text(out, ". --rollback goes back, --forget-old ends that\n");
    } else {
        frt_buf_append_text(out, m->action == ACTION_LOOK
                                     ? "nothing was changed (--dry-run)\n"
                                     : "searches see the old embeddings; --commit switches\n");
    }
}

static int answer(struct migrating *m)
{
    struct cli_line line;
    struct frt_buf out;
    if (cli_has(m->run, "json")) {
        cli_line_begin(&line);
        if (m->action == ACTION_FORGET) {
            cli_member_text(&line.w, "collection", m->collection);
            cli_member_whole(&line.w, "forgotten", m->forgotten);
        } else {
            json_answer(&line.w, m);
        }
        return cli_line_end(m->run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    text_answer(&out, m);
    return cli_print_and_free(m->run, &out);
}

int cli_migrate(struct cli_run *run)
{
    struct migrating m = {.run = run, .collection = run->arguments[0]};
    struct frt_error err = {0};
    struct frt_buf out;
    int code = FRT_EXIT_OK;
    cli_catch_interrupts();
    enum frt_status status = read_action(run, &m.action, &err);
    if (status == FRT_OK)
        status = cli_gallery_open(run, m.action == ACTION_LOOK ? CLI_GALLERY_LOOK : CLI_GALLERY_CHANGE,
                                  &m.gallery, &err);
    if (status == FRT_OK)
        status = migrate(&m, &err);
    if (status == FRT_OK) {
        code = answer(&m);
    } else {
        if (m.n_missing > 0 && !cli_has(run, "json")) { /* whose faces they are */
            frt_buf_init(&out, MAX_OUTPUT_BYTES);
            text_missing(&out, &m);
            text_report(&out, &m);
            (void)cli_print_and_free(run, &out);
        }
        code = cli_complain(run, &err);
    }
    frt_free(m.missing);
    if (m.has_models)
        cli_models_close(&m.models);
    frt_gallery_close(m.gallery);
    return code;
}
