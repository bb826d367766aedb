/* frt trace: where the time of one request goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/output.h"
#include "cli/service_call.h"
#include "cli/trace_draw.h"
#include "core/clock.h"
#include "core/json_read.h"
#include "core/mem.h"
#include "core/trace.h"
#include "engine/answer_trace.h"

enum { MAX_ANSWER_BYTES = 64 << 20, PATH_SIZE = 200, DEFAULT_WIDTH = 100, LEAST_WIDTH = 40, MOST_WIDTH = 400 };

struct job {
    const struct cli_run *run;
    const char *photo, *collection, *url; /* collection, url: NULL = none */
    struct frt_buf answer;                /* a document with the member "trace" */
};

/* ------------------------------------------------------------------------ here */

static enum frt_status look(const struct job *job, const struct cli_models *models, struct frt_gallery *gallery,
                            const struct frt_image *image, struct frt_error *err)
{
    const struct frt_detect_options detect = {.max_faces = 1, .cancelled = cli_interrupted};
    const struct frt_identify_options identify = {.cancelled = cli_interrupted};
    struct frt_identified found = {0};
    struct frt_faces *faces = NULL;
    enum frt_status status =
        gallery != NULL ? frt_identify(gallery, models->pack, job->collection, image, &identify, &found, err)
                        : frt_embed(models->pack, image, &detect, &faces, err);
    frt_identified_deinit(&found);
    frt_faces_free(faces);
    return status;
}

/* The photo's bytes are read before, as a request's body would be. */
static enum frt_status trace_here(struct job *job, const void *bytes, size_t size, struct frt_error *err)
{
    struct cli_models models = {0};
    struct frt_gallery *gallery = NULL;
    struct frt_image *image = NULL;
    struct frt_trace *trace = frt_alloc_zero(1, sizeof *trace);
    struct frt_json_writer w;
    enum frt_status status =
        trace == NULL ? frt_fail_nomem(err, "a timeline") : cli_models_open(job->run, 0, &models, err);
    if (status == FRT_OK && job->collection != NULL)
        status = cli_gallery_open(job->run, CLI_GALLERY_SEARCH, &gallery, err);
    if (status == FRT_OK)
        status = frt_image_open_memory(models.context, bytes, size, &image, err);
    if (status == FRT_OK && cli_has(job->run, "warm"))
        status = look(job, &models, gallery, image, err);
    if (status == FRT_OK) {
        frt_trace_init(trace, frt_now_ns());
        (void)frt_trace_attach(trace);
        status = look(job, &models, gallery, image, err);
        (void)frt_trace_attach(NULL);
    }
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &job->answer, false);
        frt_json_object(&w);
        frt_answer_trace(&w, trace);
        frt_json_end(&w);
    }
    frt_image_free(image);
    frt_gallery_close(gallery);
    cli_models_close(&models);
    frt_free(trace);
    return status;
}

/* --------------------------------------------------------------------- a service */

/* What a problem says, as an error of ours. */
static enum frt_status problem(const struct frt_json_value *root, int http, struct frt_error *err)
{
    const char *code = frt_json_text(frt_json_get(root, "code")),
               *detail = frt_json_text(frt_json_get(root, "detail"));
    enum frt_status status = FRT_EUNAVAILABLE;
    for (int i = FRT_OK + 1; code != NULL && i < FRT_STATUS_COUNT; i++)
        if (strcmp(frt_status_code((enum frt_status)i), code) == 0)
            status = (enum frt_status)i;
    return frt_fail(err, status, "the service answers %d: %s", http, detail != NULL ? detail : "no more");
}

static enum frt_status ask(struct job *job, const struct cli_service_call *call, struct frt_error *err)
{
    int http = 0;
    struct frt_json *json = NULL;
    frt_buf_clear(&job->answer);
    enum frt_status status = cli_service_post(call, &http, &job->answer, err);
    if (status == FRT_OK && http >= 400) {
        const bool good = frt_json_parse(job->answer.data, job->answer.size, &json, NULL) == FRT_OK;
        status = problem(good ? frt_json_root(json) : NULL, http, err);
        frt_json_free(json);
    }
    return status;
}

static enum frt_status trace_there(struct job *job, const void *bytes, size_t size, struct frt_error *err)
{
    char path[PATH_SIZE] = "/v1/embed?max_faces=1&encoding=base64";
    struct frt_buf headers;
    char *key = NULL;
    enum frt_status status = FRT_OK;
    if (job->collection != NULL) {
        const size_t n = strlen(job->collection);
        if (n == 0 || n > 128 ||
            strspn(job->collection, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789._-") != n)
            return frt_fail(err, FRT_EINVAL, "'%.128s' cannot be a collection's name", job->collection);
        (void)snprintf(path, sizeof path, "/v1/collections/%s/search", job->collection);
    }
    frt_buf_init(&headers, 4096);
    if (cli_has(job->run, "key-file"))
        status = cli_key_read(cli_text(job->run, "key-file"), &key, err);
    if (key != NULL)
        frt_buf_printf(&headers, "X-API-Key: %s\r\n", key);
    frt_free(key);
    struct cli_service_call call = {.url = job->url,
                                    .path = path,
                                    .headers = headers.size > 0 ? headers.data : "",
                                    .type = "application/octet-stream",
                                    .body = bytes,
                                    .size = size};
    if (status == FRT_OK && cli_has(job->run, "warm"))
        status = ask(job, &call, err);
    frt_buf_append_text(&headers, "X-FRT-Trace: 1\r\n");
    if (status == FRT_OK && frt_buf_status(&headers) != FRT_OK)
        status = frt_fail_nomem(err, "a request");
    if (status == FRT_OK) {
        call.headers = headers.data;
        status = ask(job, &call, err);
    }
    frt_buf_deinit(&headers);
    return status;
}

/* ----------------------------------------------------------------------- output */

static unsigned terminal_width(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return DEFAULT_WIDTH;
    return size.ws_col < LEAST_WIDTH ? LEAST_WIDTH : size.ws_col > MOST_WIDTH ? MOST_WIDTH : size.ws_col;
}

static void json_line(const struct job *job, const struct cli_timeline *timeline, struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    cli_member_text(&w, "file", job->photo);
    cli_member_text(&w, "collection", job->collection);
    cli_member_text(&w, "url", job->url);
    frt_json_key(&w, "total_ms");
    frt_json_fixed(&w, timeline->total_ms, 3);
    frt_json_key(&w, "trace");
    frt_json_array(&w);
    for (size_t i = 0; i < timeline->n; i++) {
        const struct cli_step *s = &timeline->steps[i];
        frt_json_object(&w);
        cli_member_text(&w, "name", s->name);
        cli_member_whole(&w, "depth", s->depth);
        frt_json_key(&w, "start_ms");
        frt_json_fixed(&w, s->start_ms, 3);
        frt_json_key(&w, "ms");
        frt_json_fixed(&w, s->ms, 3);
        if (s->wait) {
            frt_json_key(&w, "wait");
            frt_json_bool(&w, true);
        }
        if (s->note[0] != '\0')
            cli_member_text(&w, "note", s->note);
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

static enum frt_status write_svg(const struct job *job, const struct cli_timeline *timeline,
                                 struct frt_error *err)
{
    struct frt_buf svg;
    frt_buf_init(&svg, MAX_ANSWER_BYTES);
    cli_timeline_svg(timeline, &svg);
    enum frt_status status =
        frt_buf_status(&svg) != FRT_OK
            ? frt_fail_nomem(err, "a drawing")
            : cli_file_write(cli_text(job->run, "svg"), svg.data, svg.size, cli_has(job->run, "force"), err);
    frt_buf_deinit(&svg);
    return status;
}

static enum frt_status show(const struct job *job, struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct cli_timeline timeline = {0};
    struct frt_buf out, title;
    frt_buf_init(&out, MAX_ANSWER_BYTES);
    frt_buf_init(&title, 4096);
    frt_buf_printf(&title, "%s of %s", job->collection == NULL ? "embed" : "search", job->photo);
    if (job->collection != NULL)
        frt_buf_printf(&title, " in %s", job->collection);
    if (job->url != NULL)
        frt_buf_printf(&title, " at %s", job->url);
    enum frt_status status = frt_json_parse(job->answer.data, job->answer.size, &json, err);
    if (status == FRT_OK)
        status = cli_timeline_read(frt_json_get(frt_json_root(json), "trace"), &timeline, err);
    if (status == FRT_OK) {
        const struct cli_draw_style style = {terminal_width(), !cli_utf8(), cli_colours()};
        timeline.title = frt_buf_status(&title) == FRT_OK ? title.data : "";
        if (cli_has(job->run, "json"))
            json_line(job, &timeline, &out);
        else
            cli_timeline_text(&timeline, &style, &out);
        if (cli_has(job->run, "svg"))
            status = write_svg(job, &timeline, err);
    }
    if (status == FRT_OK)
        status = cli_print(&out, err);
    cli_timeline_deinit(&timeline);
    frt_json_free(json);
    frt_buf_deinit(&title);
    frt_buf_deinit(&out);
    return status;
}

int cli_trace(struct cli_run *run)
{
    struct job job = {.run = run,
                      .photo = run->arguments[0],
                      .collection = cli_text(run, "collection"),
                      .url = cli_text(run, "url")};
    struct frt_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    enum frt_status status = FRT_OK;
    cli_catch_interrupts();
    frt_buf_init(&job.answer, MAX_ANSWER_BYTES);
    if (job.url == NULL && cli_has(run, "key-file"))
        status = frt_fail(&err, FRT_EINVAL, "--key-file is for a service; --url names it");
    if (status == FRT_OK && cli_has(run, "svg"))
        status = cli_file_check(cli_text(run, "svg"), cli_has(run, "force"), &err);
    if (status == FRT_OK)
        status = cli_photo_read(job.photo, &bytes, &size, &err);
    if (status == FRT_OK)
        status = job.url != NULL ? trace_there(&job, bytes, size, &err) : trace_here(&job, bytes, size, &err);
    if (status == FRT_OK)
        status = show(&job, &err);
    frt_free(bytes);
    frt_buf_deinit(&job.answer);
    return status == FRT_OK ? FRT_EXIT_OK : cli_complain(run, &err);
}
