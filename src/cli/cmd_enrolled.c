/* frt faces list|delete: what is enrolled, a face at a time. */
#include <math.h>
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 256 << 20, PAGE = 500 };

static void face_row(struct frt_buf *out, const struct frt_gallery_face *face)
{
    char created[FRT_TIME_TEXT_SIZE];
    frt_time_text(face->created_ms, created);
    frt_buf_printf(out, "%.10s  ", created);
    if (isnan(face->quality))
        frt_buf_append_text(out, "      -  ");
    else
        frt_buf_printf(out, "%7.2f  ", (double)face->quality);
    size_t before = out->size;
    cli_append_name(out, face->face_id);
    for (size_t width = out->size - before; width < 26; width++)
        frt_buf_append_char(out, ' ');
    frt_buf_append_text(out, "  ");
    cli_append_name(out, face->subject);
    frt_buf_append_char(out, '\n');
}

static enum frt_status print_page(const struct cli_run *run, const struct frt_gallery_faces *faces,
                                  enum frt_embedding_encoding encoding, struct frt_buf *out,
                                  struct frt_error *err)
{
    struct frt_json_writer w;
    for (size_t i = 0; i < faces->n; i++) {
        if (cli_has(run, "json")) {
            frt_json_writer_init(&w, out, false);
            frt_answer_gallery_face(&w, &faces->faces[i], encoding);
            frt_buf_append_char(out, '\n');
        } else {
            face_row(out, &faces->faces[i]);
        }
    }
    enum frt_status status = cli_print(out, err);
    frt_buf_clear(out);
    return status;
}

static enum frt_status list_all(const struct cli_run *run, struct frt_gallery *gallery, struct frt_error *err)
{
    static const char *const encodings[] = {"array", "base64", NULL};
    struct frt_face_list_options options = {.subject = cli_text(run, "subject"),
                                            .limit = PAGE,
                                            .embeddings = cli_has(run, "embeddings") && cli_has(run, "json")};
    struct frt_gallery_faces faces = {0};
    struct frt_buf out;
    int encoding = 0;
    bool more = true;
    enum frt_status status = cli_choice(run, "encoding", encodings, 0, &encoding, err);
    if (status != FRT_OK)
        return status;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (!cli_has(run, "json"))
        frt_buf_printf(&out, "%-10s  %7s  %-26s  %s\n", "enrolled", "quality", "face", "subject");
    while (status == FRT_OK && more && !cli_interrupted(NULL)) {
        status = frt_face_list(gallery, run->arguments[0], &options, &faces, err);
        if (status != FRT_OK)
            break;
        more = faces.n == PAGE;
        if (faces.n > 0)
            options.after = faces.faces[faces.n - 1].key;
        status = print_page(run, &faces, encoding == 1 ? FRT_ENCODING_BASE64 : FRT_ENCODING_ARRAY, &out, err);
        frt_gallery_faces_deinit(&faces);
    }
    frt_buf_deinit(&out);
    return status;
}

int cli_faces_list(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    cli_catch_interrupts();
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_LOOK, &gallery, &err);
    if (status == FRT_OK)
        status = list_all(run, gallery, &err);
    frt_gallery_close(gallery);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    return cli_interrupted(NULL) ? FRT_EXIT_INTERRUPTED : FRT_EXIT_OK;
}

static enum frt_status tell_deleted(const struct cli_run *run, const char *face_id, struct frt_error *err)
{
    struct cli_line line;
    struct frt_buf out;
    enum frt_status status;
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "deleted", face_id);
        return cli_line_end(run, &line) == FRT_EXIT_OK ? FRT_OK : frt_fail(err, FRT_EIO, "standard output");
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_append_text(&out, "face ");
    cli_append_name(&out, face_id);
    frt_buf_append_text(&out, " is deleted\n");
    status = cli_print(&out, err);
    frt_buf_deinit(&out);
    return status;
}

int cli_faces_delete(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    int code = FRT_EXIT_OK;
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_CHANGE, &gallery, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    /* one that is not there does not keep the others */
    for (size_t i = 1; i < run->n_arguments && !cli_output_failed(); i++) {
        status = frt_face_delete(gallery, run->arguments[0], run->arguments[i], &err);
        if (status == FRT_OK)
            status = tell_deleted(run, run->arguments[i], &err);
        if (status != FRT_OK) {
            int why = cli_complain(run, &err);
            code = code == FRT_EXIT_OK ? why : code;
        }
    }
    frt_gallery_close(gallery);
    return code;
}
