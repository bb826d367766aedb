/* frt models pull. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/json_write.h"
#include "engine/pack_locate.h"
#include "model/pull.h"

enum { MAX_OUTPUT_BYTES = 1 << 20, ANSWER_BYTES = 64 };

struct pulling {
    const struct cli_run *run;
    struct cli_progress progress;
    bool quiet;
};

/* ------------------------------------------------------------ catalogue */

static void list_text(const struct frt_catalogue *c, struct frt_buf *out)
{
    frt_buf_printf(out, "%-20s %9s  %-38s %s\n", "name", "download", "licence", "what it is");
    for (uint32_t i = 0; i < c->n_packs; i++) {
        const struct frt_catalogue_pack *p = &c->packs[i];
        frt_buf_printf(out, "%-20s %6.1f MB  %-38s %s\n", p->name, (double)frt_catalogue_pack_bytes(p) / 1e6,
                       p->licence, p->summary);
    }
}

static void list_json(const struct frt_catalogue *c, struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    frt_json_key(&w, "packs");
    frt_json_array(&w);
    for (uint32_t i = 0; i < c->n_packs; i++) {
        const struct frt_catalogue_pack *p = &c->packs[i];
        frt_json_object(&w);
        cli_member_text(&w, "name", p->name);
        cli_member_text(&w, "summary", p->summary);
        cli_member_text(&w, "licence", p->licence);
        cli_member_text(&w, "licence_url", p->licence_url);
        frt_json_key(&w, "non_commercial");
        frt_json_bool(&w, p->non_commercial);
        cli_member_whole(&w, "bytes", frt_catalogue_pack_bytes(p));
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

static int list_catalogue(const struct cli_run *run, const struct frt_catalogue *catalogue)
{
    struct frt_buf out;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (cli_has(run, "json"))
        list_json(catalogue, &out);
    else
        list_text(catalogue, &out);
    return cli_print_and_free(run, &out);
}

/* ------------------------------------------------------------ on the way */

static bool ask_consent(void *arg, const char *name, const char *licence, const char *licence_url)
{
    char answer[ANSWER_BYTES] = "";
    (void)arg;
    (void)fprintf(stderr,
                  "%s may not be used commercially. Its licence: %s%s%s\n"
                  "Do you accept it? Type 'yes' to go on: ",
                  name, licence, licence_url[0] != '\0' ? "\n  " : "", licence_url);
    (void)fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) == NULL)
        return false;
    answer[strcspn(answer, "\r\n")] = '\0';
    return strcmp(answer, "yes") == 0;
}

static void begin_file(void *arg, const char *what, uint64_t size)
{
    struct pulling *p = arg;
    cli_progress_clear(&p->progress);
    if (p->quiet)
        return;
    if (size > 0)
        (void)fprintf(stderr, "%s, %.1f MB\n", what, (double)size / 1e6);
    else
        (void)fprintf(stderr, "%s\n", what);
}

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
    struct pulling *p = arg;
    cli_progress_update(&p->progress, (size_t)(done / 1000), (size_t)(total / 1000));
}

/* ---------------------------------------------------------------- result */

static void print_result(const struct cli_run *run, const struct frt_pull_result *r, struct frt_buf *out)
{
    if (cli_has(run, "json")) {
        struct frt_json_writer w;
        frt_json_writer_init(&w, out, false);
        frt_json_object(&w);
        cli_member_text(&w, "name", r->name);
        cli_member_text(&w, "folder", r->folder);
        cli_member_whole(&w, "models", r->n_models);
        cli_member_whole(&w, "fetched_bytes", r->fetched_bytes);
        frt_json_key(&w, "resumed");
        frt_json_bool(&w, r->resumed);
        frt_json_key(&w, "was_there");
        frt_json_bool(&w, r->was_there);
        frt_json_end(&w);
        frt_buf_append_char(out, '\n');
    } else {
        frt_buf_printf(out, "%s: %u models in %s, %s; use them with --pack %s\n", r->name, r->n_models,
                       r->folder, r->was_there ? "there already, files unchanged" : "every file checked",
                       r->folder);
    }
}

static enum frt_status packs_folder(const struct cli_run *run, char out[FRT_PULL_PATH_MAX],
                                    struct frt_error *err)
{
    char data[FRT_LOCATE_PATH_MAX] = "";
    const char *to = cli_text(run, "to");
    enum frt_status status = FRT_OK;
    if (to == NULL)
        status = frt_data_dir_locate(data, err);
    if (status != FRT_OK)
        return status;
    int n = to != NULL ? snprintf(out, FRT_PULL_PATH_MAX, "%s", to)
                       : snprintf(out, FRT_PULL_PATH_MAX, "%s/packs", data);
    return n > 0 && n < FRT_PULL_PATH_MAX ? FRT_OK : frt_fail(err, FRT_EINVAL, "--to is empty or too long");
}

static const char *mirror_of(const struct cli_run *run)
{
    const char *mirror =
        cli_text(run, "mirror") != NULL ? cli_text(run, "mirror") : getenv("FRT_MODELS_MIRROR");
    return mirror != NULL && mirror[0] != '\0' ? mirror : NULL;
}

int cli_models_pull(struct cli_run *run)
{
    char packs[FRT_PULL_PATH_MAX];
    struct frt_catalogue *catalogue = NULL;
    struct frt_pull_result result = {0};
    struct frt_error err = {0};
    struct frt_buf out;
    enum frt_status status = frt_catalogue_load(cli_text(run, "catalogue"), &catalogue, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (run->n_arguments == 0) {
        int code = list_catalogue(run, catalogue);
        frt_catalogue_free(catalogue);
        return code;
    }
    struct pulling pulling = {.run = run, .quiet = cli_has(run, "quiet") || cli_has(run, "json")};
    cli_progress_init(&pulling.progress, "KB", pulling.quiet);
    cli_catch_interrupts();
    status = packs_folder(run, packs, &err);
    bool terminal = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
    struct frt_pull_options options = {
        .catalogue = catalogue,
        .source = run->arguments[0],
        .sha256 = cli_text(run, "sha256"),
        .mirror = mirror_of(run),
        .packs = packs,
        .name = cli_text(run, "name"),
        .force = cli_has(run, "force"),
        .licence_accepted = cli_has(run, "accept-licence"),
        .consent = terminal ? ask_consent : NULL,
        .begins = begin_file,
        .arg = &pulling,
        .fetch = {.ca_file = cli_text(run, "ca-file"),
                  .progress = show_progress,
                  .progress_arg = &pulling,
                  .cancelled = cli_interrupted},
    };
    if (status == FRT_OK)
        status = frt_pull(&options, &result, &err);
    cli_progress_deinit(&pulling.progress);
    frt_catalogue_free(catalogue);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    print_result(run, &result, &out);
    return cli_print_and_free(run, &out);
}
