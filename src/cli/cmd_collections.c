/* frt collections list|create|show|set|delete. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 16 << 20, PAGE = 1000 };

/* ------------------------------------------------------------------ settings */

/* A number, or the word that takes a setting back. */
static enum frt_status number_or(const struct cli_run *run, const char *name, const char *word, double low,
                                 double high, double *out, struct frt_error *err)
{
    const char *text = cli_text(run, name);
    if (text != NULL && strcmp(text, word) == 0) {
        *out = (double)NAN;
        return FRT_OK;
    }
    enum frt_status status = cli_number(run, name, low, high, (double)NAN, out, err);
    return status == FRT_OK
               ? FRT_OK
               : frt_fail(err, FRT_EINVAL, "--%s is '%s'; a number from %g to %g, or '%s', is right", name,
                          text, low, high, word);
}

static enum frt_status read_settings(const struct cli_run *run, struct frt_collection_settings *out,
                                     struct frt_error *err)
{
    double threshold = (double)NAN, target = (double)NAN;
    enum frt_status status = number_or(run, "threshold", "default", -1, 1, &threshold, err);
    if (status == FRT_OK)
        status = number_or(run, "target-fpir", "none", 0, 1, &target, err);
    *out = (struct frt_collection_settings){
        .which = (cli_has(run, "threshold") ? (uint32_t)FRT_COLLECTION_THRESHOLD : 0u) |
                 (cli_has(run, "target-fpir") ? (uint32_t)FRT_COLLECTION_TARGET_FPIR : 0u) |
                 (cli_has(run, "metadata") ? (uint32_t)FRT_COLLECTION_METADATA : 0u),
        .threshold = (float)threshold,
        .target_fpir = target,
        .metadata = cli_text(run, "metadata")};
    return status;
}

/* ------------------------------------------------------------------- answers */

/* What the pack that a search would use knows of thresholds; NULL without a pack. */
static const struct frt_threshold_basis *basis_of_pack(struct frt_threshold_basis *storage)
{
    struct frt_error why; /* a search says what is wrong with it */
    return frt_threshold_basis_of_pack(NULL, storage, &why) == FRT_OK ? storage : NULL;
}

/* What searches go by, and what that rests on. */
static void text_threshold(struct frt_buf *out, const struct frt_collection_info *info,
                           const struct frt_threshold_basis *basis)
{
    struct gallery_thresholds thresholds;
    frt_collection_thresholds(info, basis, &thresholds);
    const struct frt_threshold_rule *rule = &thresholds.rule;
    if (isnan(rule->threshold)) {
        frt_buf_append_text(out, "threshold    by the pack and the number of people\n");
        return;
    }
    frt_buf_printf(out, "threshold    %.4f", (double)rule->threshold);
    if (rule->source == FRT_THRESHOLD_SET)
        frt_buf_append_text(out, ", as it was set");
    else if (rule->source == FRT_THRESHOLD_PAIRS)
        frt_buf_append_text(out, ", the pack's for two photos");
    else if (rule->raised)
        frt_buf_append_text(out, ", the pack's for two photos, which is enough for so few people");
    else
        frt_buf_printf(out, ", so that one stranger in %.0f is named; for %llu people with %.1f photos each",
                       1 / rule->target_fpir, (unsigned long long)info->subjects, rule->size.enrolled);
    frt_buf_append_char(out, '\n');
    if (rule->table != NULL) {
        frt_buf_append_text(out, "measured on  ");
        cli_append_name(out, rule->table->measured_on);
        frt_buf_printf(out, ", %s: %llu photos of %llu people%s\n", rule->table->date,
                       (unsigned long long)rule->table->photos, (unsigned long long)rule->table->people,
                       rule->source == FRT_THRESHOLD_COLLECTION ? ", its own"
                       : rule->extrapolated                     ? "; extrapolated"
                                                                : "");
    }
}

static void text_collection(struct frt_buf *out, const struct frt_collection_info *info)
{
    struct frt_threshold_basis storage;
    char created[FRT_TIME_TEXT_SIZE];
    frt_time_text(info->created_ms, created);
    frt_buf_printf(out, "name         %s\nfaces        %llu\npeople       %llu\n", info->name,
                   (unsigned long long)info->faces, (unsigned long long)info->subjects);
    if (info->model[0] != '\0') {
        frt_buf_append_text(out, "model        ");
        cli_append_name(out, info->model);
        frt_buf_printf(out, " (%u numbers)\n", info->dim);
    } else {
        frt_buf_append_text(out, "model        none until the first face\n");
    }
    text_threshold(out, info, basis_of_pack(&storage));
    if (!isnan(info->target_fpir))
        frt_buf_printf(out, "target-fpir  %g\n", info->target_fpir);
    frt_buf_append_text(out, "metadata     ");
    cli_append_name(out, info->metadata);
    frt_buf_printf(out, "\ncreated      %s\n", created);
}

/* One collection as it stands. */
static enum frt_status show(const struct cli_run *run, struct frt_gallery *gallery, const char *name, int *code,
                            struct frt_error *err)
{
    struct frt_collection_info info;
    struct frt_threshold_basis storage;
    struct frt_json_writer w;
    struct frt_buf out;
    enum frt_status status = frt_collection_get(gallery, name, &info, err);
    if (status != FRT_OK)
        return status;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (cli_has(run, "json")) {
        frt_json_writer_init(&w, &out, false);
        frt_answer_collection(&w, &info, basis_of_pack(&storage));
        frt_buf_append_char(&out, '\n');
    } else {
        text_collection(&out, &info);
    }
    frt_collection_info_deinit(&info);
    *code = cli_print_and_free(run, &out);
    return FRT_OK;
}

static void list_row(struct frt_buf *out, const struct frt_collection_info *info)
{
    frt_buf_printf(out, "%10llu %10llu  ", (unsigned long long)info->faces, (unsigned long long)info->subjects);
    if (isnan(info->threshold))
        frt_buf_append_text(out, "-           ");
    else
        frt_buf_printf(out, "%-10.4f  ", (double)info->threshold);
    cli_append_name(out, info->name);
    frt_buf_append_char(out, '\n');
}

static enum frt_status list_all(const struct cli_run *run, struct frt_gallery *gallery, struct frt_error *err)
{
    struct frt_collection_info *list = NULL;
    char after[sizeof list->name] = "";
    bool json = cli_has(run, "json");
    struct frt_threshold_basis storage;
    const struct frt_threshold_basis *basis = json ? basis_of_pack(&storage) : NULL;
    enum frt_status status = FRT_OK;
    struct frt_json_writer w;
    struct frt_buf out;
    size_t n = PAGE;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (!json)
        frt_buf_append_text(&out, "     faces     people  threshold   name\n");
    while (status == FRT_OK && n == PAGE) {
        status = frt_collection_list(gallery, after, PAGE, &list, &n, err);
        for (size_t i = 0; status == FRT_OK && i < n; i++) {
            if (json) {
                frt_json_writer_init(&w, &out, false);
                frt_answer_collection(&w, &list[i], basis);
                frt_buf_append_char(&out, '\n');
            } else {
                list_row(&out, &list[i]);
            }
        }
        if (status != FRT_OK)
            break;
        if (n > 0)
            memcpy(after, list[n - 1].name, sizeof after);
        frt_collection_list_free(list, n);
        status = cli_print(&out, err);
        frt_buf_clear(&out);
    }
    frt_buf_deinit(&out);
    return status;
}

/* ------------------------------------------------------------------ commands */

int cli_collections_list(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_LOOK, &gallery, &err);
    if (status == FRT_OK)
        status = list_all(run, gallery, &err);
    frt_gallery_close(gallery);
    return status == FRT_OK ? FRT_EXIT_OK : cli_complain(run, &err);
}

int cli_collections_show(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    int code = FRT_EXIT_OK;
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_LOOK, &gallery, &err);
    if (status == FRT_OK)
        status = show(run, gallery, run->arguments[0], &code, &err);
    frt_gallery_close(gallery);
    return status == FRT_OK ? code : cli_complain(run, &err);
}

int cli_collections_create(struct cli_run *run)
{
    struct frt_collection_settings settings;
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    int code = FRT_EXIT_OK;
    enum frt_status status = read_settings(run, &settings, &err);
    if (status == FRT_OK)
        status = cli_gallery_open(run, CLI_GALLERY_MAKE, &gallery, &err);
    if (status == FRT_OK)
        status = frt_collection_put(gallery, run->arguments[0], &settings, NULL, &err);
    if (status == FRT_OK)
        status = show(run, gallery, run->arguments[0], &code, &err);
    frt_gallery_close(gallery);
    return status == FRT_OK ? code : cli_complain(run, &err);
}

int cli_collections_set(struct cli_run *run)
{
    struct frt_collection_settings settings;
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    int code = FRT_EXIT_OK;
    enum frt_status status = read_settings(run, &settings, &err);
    if (status == FRT_OK && settings.which == 0)
        status = frt_fail(&err, FRT_EINVAL, "nothing is to be set; --threshold, --target-fpir or --metadata");
    if (status == FRT_OK)
        status = cli_gallery_open(run, CLI_GALLERY_CHANGE, &gallery, &err);
    if (status == FRT_OK)
        status = frt_collection_patch(gallery, run->arguments[0], &settings, &err);
    if (status == FRT_OK)
        status = show(run, gallery, run->arguments[0], &code, &err);
    frt_gallery_close(gallery);
    return status == FRT_OK ? code : cli_complain(run, &err);
}

int cli_collections_delete(struct cli_run *run)
{
    struct frt_collection_removed removed = {0};
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    struct cli_line line;
    struct frt_buf out;
    const char *name = run->arguments[0];
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_CHANGE, &gallery, &err);
    if (status == FRT_OK)
        status = frt_collection_delete(gallery, name, &removed, &err);
    frt_gallery_close(gallery);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "deleted", name);
        cli_member_whole(&line.w, "faces", removed.faces);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_printf(&out, "collection '%s' and its %llu face%s are deleted\n", name,
                   (unsigned long long)removed.faces, removed.faces == 1 ? "" : "s");
    return cli_print_and_free(run, &out);
}
