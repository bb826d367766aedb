/* frt subjects list|rename|delete: the people of a collection. */
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "core/mem.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 16 << 20, PAGE = 1000 };

static void subject_line(const struct cli_run *run, const struct frt_subject_info *s, struct frt_buf *out)
{
    struct frt_json_writer w;
    char created[FRT_TIME_TEXT_SIZE];
    frt_time_text(s->created_ms, created);
    if (cli_has(run, "json")) {
        frt_json_writer_init(&w, out, false);
        frt_json_object(&w);
        cli_member_text(&w, "subject", s->name);
        cli_member_whole(&w, "faces", s->faces);
        cli_member_text(&w, "created_at", created);
        frt_json_end(&w);
    } else {
        frt_buf_printf(out, "%.10s  %6llu  ", created, (unsigned long long)s->faces);
        cli_append_name(out, s->name);
    }
    frt_buf_append_char(out, '\n');
}

static enum frt_status list_all(const struct cli_run *run, struct frt_gallery *gallery, struct frt_error *err)
{
    struct frt_subjects subjects = {0};
    enum frt_status status = FRT_OK;
    char *after = NULL;
    struct frt_buf out;
    bool more = true;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (!cli_has(run, "json"))
        frt_buf_printf(&out, "%-10s  %6s  %s\n", "since", "faces", "subject");
    while (status == FRT_OK && more && !cli_interrupted(NULL)) {
        status = frt_subject_list(gallery, run->arguments[0], after, PAGE, &subjects, err);
        if (status != FRT_OK)
            break;
        for (size_t i = 0; i < subjects.n; i++)
            subject_line(run, &subjects.subjects[i], &out);
        more = subjects.n == PAGE;
        if (more) {
            frt_free(after);
            after = frt_strdup(subjects.subjects[PAGE - 1].name);
            if (after == NULL)
                status = frt_fail_nomem(err, "the list of subjects");
        }
        frt_subjects_deinit(&subjects);
        if (status == FRT_OK)
            status = cli_print(&out, err);
        frt_buf_clear(&out);
    }
    frt_free(after);
    frt_buf_deinit(&out);
    return status;
}

int cli_subjects_list(struct cli_run *run)
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

int cli_subjects_rename(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    struct cli_line line;
    struct frt_buf out;
    const char *from = run->arguments[1], *to = run->arguments[2];
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_CHANGE, &gallery, &err);
    if (status == FRT_OK)
        status = frt_subject_rename(gallery, run->arguments[0], from, to, &err);
    frt_gallery_close(gallery);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "renamed", from);
        cli_member_text(&line.w, "subject", to);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    cli_append_name(&out, from);
    frt_buf_append_text(&out, " is called ");
    cli_append_name(&out, to);
    frt_buf_append_text(&out, " now\n");
    return cli_print_and_free(run, &out);
}

int cli_subjects_delete(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    struct cli_line line;
    struct frt_buf out;
    uint64_t faces = 0;
    const char *subject = run->arguments[1];
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_CHANGE, &gallery, &err);
    if (status == FRT_OK)
        status = frt_subject_delete(gallery, run->arguments[0], subject, &faces, &err);
    frt_gallery_close(gallery);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "deleted", subject);
        cli_member_whole(&line.w, "faces", faces);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    cli_append_name(&out, subject);
    frt_buf_printf(&out, " and %llu face%s are deleted\n", (unsigned long long)faces, faces == 1 ? "" : "s");
    return cli_print_and_free(run, &out);
}
