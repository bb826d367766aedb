/* frt import faiss, frt export faiss: galleries of the older service (docs/formats/faiss-files.md). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/gallery_faiss.h"

enum { MAX_OUTPUT_BYTES = 16 << 20, SHOWN_REJECTIONS = 20 };

/* -------------------------------------------------------------------- import */

static bool on_progress(void *arg, const char *collection, uint64_t done, uint64_t total)
{
    (void)collection;
    cli_progress_update(arg, (size_t)done, (size_t)total);
    return !cli_interrupted(NULL);
}

static int json_import(const struct cli_run *run, const struct frt_faiss_import_report *report)
{
    struct cli_line line;
    cli_line_begin(&line);
    cli_member_whole(&line.w, "collections", report->collections);
    cli_member_whole(&line.w, "faces", report->faces);
    cli_member_whole(&line.w, "imported", report->imported);
    cli_member_whole(&line.w, "already", report->already);
    frt_json_key(&line.w, "rejected");
    frt_json_array(&line.w);
    for (size_t i = 0; i < report->n_listed; i++) {
        const struct frt_faiss_import_rejection *r = &report->rejected[i];
        frt_json_object(&line.w);
        cli_member_text(&line.w, "collection", r->collection);
        cli_member_whole(&line.w, "position", r->position);
        cli_member_text(&line.w, "code", frt_status_code(r->status));
        cli_member_text(&line.w, "detail", r->text);
        frt_json_end(&line.w);
    }
    frt_json_end(&line.w);
    if (report->n_rejected > report->n_listed)
        cli_member_whole(&line.w, "rejected_total", report->n_rejected);
    return cli_line_end(run, &line);
}

static int text_import(const struct cli_run *run, const struct frt_faiss_import_report *report)
{
    struct frt_error err;
    struct frt_buf out;
    for (size_t i = 0; i < report->n_listed && i < SHOWN_REJECTIONS; i++) {
        const struct frt_faiss_import_rejection *r = &report->rejected[i];
        err.status = frt_fail(&err, r->status, "%s.json: face %llu: %s", r->collection,
                              (unsigned long long)r->position, r->text);
        (void)cli_complain(run, &err);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_printf(&out, "%llu collection%s read, %llu face%s imported",
                   (unsigned long long)report->collections, report->collections == 1 ? "" : "s",
                   (unsigned long long)report->imported, report->imported == 1 ? "" : "s");
    if (report->already > 0)
        frt_buf_printf(&out, ", %llu there already", (unsigned long long)report->already);
    if (report->n_rejected > 0)
        frt_buf_printf(&out, ", %llu rejected", (unsigned long long)report->n_rejected);
    frt_buf_append_char(&out, '\n');
    return cli_print_and_free(run, &out);
}

int cli_import_faiss(struct cli_run *run)
{
    struct frt_faiss_import_report report = {0};
    struct frt_gallery *gallery = NULL;
    struct cli_progress progress;
    struct frt_error err = {0};
    char model[CLI_MODEL_SIZE];
    uint32_t dim = 0;
    struct stat st;
    const char *folder = run->arguments[0];
    int code = FRT_EXIT_OK;
    cli_catch_interrupts();
    cli_progress_init(&progress, "faces", cli_has(run, "quiet") || cli_has(run, "json"));
    /* before a database is made for it */
    enum frt_status status = stat(folder, &st) == 0 ? FRT_OK
                                                    : frt_fail(&err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO,
                                                               "%s: %s", folder, strerror(errno));
    if (status == FRT_OK)
        status = cli_model_find(run, NULL, NULL, model, &dim, &err);
    if (status == FRT_OK)
        status = cli_gallery_open(run, CLI_GALLERY_MAKE, &gallery, &err);
    if (status == FRT_OK) {
        const struct frt_faiss_import_options options = {.model = model,
                                                         .collection = cli_text(run, "collection"),
                                                         .progress = on_progress,
                                                         .arg = &progress};
        status = frt_gallery_import_faiss(gallery, folder, &options, &report, &err);
        cli_progress_clear(&progress);
        if (status == FRT_OK || report.imported > 0) /* what came in before an error is in */
            code = cli_has(run, "json") ? json_import(run, &report) : text_import(run, &report);
        if (code == FRT_EXIT_OK && report.n_listed > 0)
            code = (int)frt_status_exit(report.rejected[0].status);
    }
    if (status == FRT_ECANCELLED)
        code = FRT_EXIT_INTERRUPTED;
    else if (status != FRT_OK)
        code = cli_complain(run, &err);
    cli_progress_deinit(&progress);
    frt_faiss_import_report_deinit(&report);
    frt_gallery_close(gallery);
    return code;
}

/* -------------------------------------------------------------------- export */

/* The folder, made if absent, without files that would be replaced unasked. */
static enum frt_status prepare_folder(const struct cli_run *run, struct frt_error *err)
{
    static const char *const ends[] = {"index", "json"};
    const char *folder = run->arguments[1];
    char path[4096];
    for (size_t i = 0; i < 2; i++) {
        int n = snprintf(path, sizeof path, "%s/%s.%s", folder, run->arguments[0], ends[i]);
        if (n < 0 || (size_t)n >= sizeof path)
            return frt_fail(err, FRT_EINVAL, "the folder's name is too long");
        if (access(path, F_OK) == 0 && !cli_has(run, "force"))
            return frt_fail(err, FRT_ECONFLICT, "%s exists already; --force replaces it", path);
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return frt_fail(err, FRT_EIO, "%s: %s", folder, strerror(errno));
    return FRT_OK;
}

int cli_export_faiss(struct cli_run *run)
{
    struct frt_collection_info info;
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    struct cli_line line;
    struct frt_buf out;
    uint64_t faces = 0;
    const char *name = run->arguments[0], *folder = run->arguments[1];
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_LOOK, &gallery, &err);
    if (status == FRT_OK)
        status = frt_collection_get(gallery, name, &info, &err);
    if (status == FRT_OK) {
        frt_collection_info_deinit(&info);
        status = prepare_folder(run, &err);
    }
    if (status == FRT_OK)
        status = frt_gallery_export_faiss(gallery, name, folder, &faces, &err);
    frt_gallery_close(gallery);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "folder", folder);
        cli_member_text(&line.w, "collection", name);
        cli_member_whole(&line.w, "faces", faces);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_printf(&out, "%llu face%s written to ", (unsigned long long)faces, faces == 1 ? "" : "s");
    cli_append_name(&out, folder);
    frt_buf_printf(&out, "/%s.index and .json\n", name);
    return cli_print_and_free(run, &out);
}
