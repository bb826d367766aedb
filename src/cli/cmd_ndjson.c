/* frt import ndjson, frt export ndjson: a face a line, in constant memory (docs/formats/ndjson-v1.md). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/mem.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 16 << 20, PIECE_BYTES = 1 << 20, MEGABYTE = 1000000, SHOWN_REJECTIONS = 20 };

/* -------------------------------------------------------------------- import */

static enum frt_status open_input(const char *path, int *fd, size_t *size, struct frt_error *err)
{
    struct stat st;
    *size = 0;
    *fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", path, strerror(errno));
    if (isatty(*fd) == 1)
        return frt_fail(err, FRT_EINVAL, "standard input is a terminal; lines from a pipe or file are right");
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
        *size = (size_t)st.st_size;
    return FRT_OK;
}

static enum frt_status feed_all(int fd, const char *path, size_t size, struct frt_importer *importer,
                                struct cli_progress *progress, struct frt_error *err)
{
    char *piece = frt_alloc(PIECE_BYTES);
    enum frt_status status = piece == NULL ? frt_fail_nomem(err, "an import") : FRT_OK;
    size_t done = 0;
    while (status == FRT_OK && !cli_interrupted(NULL)) {
        ssize_t n = read(fd, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
        if (n <= 0)
            break;
        status = frt_import_feed(importer, piece, (size_t)n, err);
        done += (size_t)n;
        cli_progress_update(progress, done / MEGABYTE, size / MEGABYTE);
    }
    /* what an interrupt cut off is not the end of a line */
    if (status == FRT_OK && !cli_interrupted(NULL))
        status = frt_import_finish(importer, err);
    frt_free(piece);
    return status;
}

static int tell_import(const struct cli_run *run, const struct frt_import_report *report, bool created)
{
    const char *path = run->arguments[1];
    struct cli_line line;
    struct frt_buf out;
    struct frt_error err;
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "collection", run->arguments[0]);
        frt_json_key(&line.w, "created");
        frt_json_bool(&line.w, created);
        frt_answer_import(&line.w, report);
        return cli_line_end(run, &line);
    }
    for (size_t i = 0; i < report->n_listed && i < SHOWN_REJECTIONS; i++) {
        const struct frt_import_rejection *r = &report->rejected[i];
        err.status = frt_fail(&err, r->status, "%s:%llu: %s", path, (unsigned long long)r->line, r->text);
        (void)cli_complain(run, &err);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_printf(&out, "%s%s%s%llu face%s imported", created ? "collection '" : "",
                   created ? run->arguments[0] : "", created ? "' is new; " : "",
                   (unsigned long long)report->imported, report->imported == 1 ? "" : "s");
    if (report->n_rejected > 0)
        frt_buf_printf(&out, ", %llu line%s rejected", (unsigned long long)report->n_rejected,
                       report->n_rejected == 1 ? "" : "s");
    frt_buf_append_char(&out, '\n');
    return cli_print_and_free(run, &out);
}

int cli_import_ndjson(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct frt_importer *importer = NULL;
    struct cli_progress progress;
    struct frt_error err = {0};
    char model[CLI_MODEL_SIZE] = "";
    uint32_t dim = 0;
    size_t size = 0;
    int fd = -1, code = FRT_EXIT_OK;
    bool created = false;
    cli_catch_interrupts();
    cli_progress_init(&progress, "MB", cli_has(run, "quiet") || cli_has(run, "json"));
    enum frt_status status = open_input(run->arguments[1], &fd, &size, &err);
    if (status == FRT_OK)
        status = cli_gallery_open(run, CLI_GALLERY_MAKE, &gallery, &err);
    if (status == FRT_OK)
        status = cli_collection_make(gallery, run->arguments[0], &created, &err);
    if (status == FRT_OK)
        status = cli_model_find(run, gallery, run->arguments[0], model, &dim, &err);
    if (status == FRT_OK)
        status = frt_import_begin(gallery, run->arguments[0], model, dim, &importer, &err);
    if (status == FRT_OK) {
        status = feed_all(fd, run->arguments[1], size, importer, &progress, &err);
        cli_progress_clear(&progress);
        const struct frt_import_report report = frt_import_report_get(importer);
        code = tell_import(run, &report, created);
        if (code == FRT_EXIT_OK && report.n_listed > 0)
            code = (int)frt_status_exit(report.rejected[0].status);
    }
    if (status != FRT_OK)
        code = cli_complain(run, &err);
    else if (cli_interrupted(NULL))
        code = FRT_EXIT_INTERRUPTED;
    cli_progress_deinit(&progress);
    frt_importer_free(importer);
    frt_gallery_close(gallery);
    if (fd > STDIN_FILENO)
        (void)close(fd);
    return code;
}

/* -------------------------------------------------------------------- export */

/* To the file, or to standard output when it is none. */
static enum frt_status put(struct cli_file *file, const char *text, size_t size, struct frt_error *err)
{
    struct frt_buf out;
    if (file->fd >= 0)
        return cli_file_append(file, text, size, err);
    frt_buf_init(&out, size);
    frt_buf_append(&out, text, size);
    enum frt_status status = cli_print(&out, err);
    frt_buf_deinit(&out);
    return status;
}

static enum frt_status export_all(const struct cli_run *run, struct frt_gallery *gallery, struct cli_file *file,
                                  uint64_t *faces, struct frt_error *err)
{
    struct frt_collection_info info;
    struct cli_progress progress;
    uint64_t cursor = 0;
    bool more = true;
    enum frt_status status = frt_collection_get(gallery, run->arguments[0], &info, err);
    if (status != FRT_OK)
        return status;
    cli_progress_init(&progress, "faces", cli_has(run, "quiet") || cli_has(run, "json"));
    while (status == FRT_OK && more) {
        char *text = NULL;
        size_t size = 0;
        status = cli_interrupted(NULL)
                     ? frt_fail(err, FRT_ECANCELLED, "interrupted")
                     : frt_export_page(gallery, run->arguments[0], &cursor, 0, &text, &size, err);
        more = status == FRT_OK && size > 0;
        if (more) {
            status = put(file, text, size, err);
            for (size_t i = 0; i < size; i++)
                *faces += text[i] == '\n';
            cli_progress_update(&progress, (size_t)*faces, (size_t)info.faces);
        }
        frt_export_free(text);
    }
    cli_progress_deinit(&progress);
    frt_collection_info_deinit(&info);
    return status;
}

int cli_export_ndjson(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct cli_file file = {.fd = -1};
    struct frt_error err = {0};
    struct cli_line line;
    struct frt_buf out;
    uint64_t faces = 0;
    const bool to_file = run->n_arguments > 1 && strcmp(run->arguments[1], "-") != 0;
    const char *path = to_file ? run->arguments[1] : NULL;
    cli_catch_interrupts();
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_LOOK, &gallery, &err);
    if (status == FRT_OK && path != NULL) /* embeddings are nobody else's business */
        status = cli_file_begin(&file, path, 0600, cli_has(run, "force"), &err);
    if (status == FRT_OK)
        status = export_all(run, gallery, &file, &faces, &err);
    if (status == FRT_OK && path != NULL)
        status = cli_file_finish(&file, &err);
    cli_file_discard(&file);
    frt_gallery_close(gallery);
    if (status == FRT_ECANCELLED)
        return FRT_EXIT_INTERRUPTED;
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (path == NULL)
        return FRT_EXIT_OK;
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "file", path);
        cli_member_whole(&line.w, "faces", faces);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_printf(&out, "%llu face%s written to ", (unsigned long long)faces, faces == 1 ? "" : "s");
    cli_append_name(&out, path);
    frt_buf_append_char(&out, '\n');
    return cli_print_and_free(run, &out);
}
