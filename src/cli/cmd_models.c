/* frt models list|import|verify. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/json_write.h"
#include "engine/devices.h"
#include "engine/model_speed.h"
#include "engine/pack_locate.h"
#include "model/import.h"
#include "model/onnx_precision.h"
#include "model/pack_files.h"

enum { MAX_OUTPUT_BYTES = 1 << 20, PATH_BYTES = FRT_LOCATE_PATH_MAX + FRT_SPEC_PATH_MAX };

/* --pack, or where packs are found. */
static enum frt_status pack_folder(const struct cli_run *run, char out[FRT_LOCATE_PATH_MAX],
                                   struct frt_error *err)
{
    const char *said = cli_text(run, "pack");
    enum frt_status status = FRT_OK;
    if (said == NULL)
        status = frt_pack_locate(out, err);
    else if ((size_t)snprintf(out, FRT_LOCATE_PATH_MAX, "%s", said) >= FRT_LOCATE_PATH_MAX)
        status = frt_fail(err, FRT_EINVAL, "--pack is too long");
    return status;
}

/* ------------------------------------------------------------------ list */

struct row {
    const struct frt_model_spec *spec;
    long long bytes;       /* -1: no such file */
    const char *check;     /* "ok", "CHANGED", "MISSING", "not pinned" */
    const char *precision; /* NULL: not known */
    bool measured;
    struct frt_model_speed speed;
};

/* context  NULL: speed is not measured. */
static struct row look(const char *folder, const struct frt_model_spec *spec, const struct frt_context *context)
{
    char path[PATH_BYTES], digest[FRT_SHA256_HEX_SIZE];
    struct stat st;
    struct row row = {.spec = spec, .bytes = -1, .check = "MISSING"};
    (void)snprintf(path, sizeof path, "%s/%s", folder, spec->file);
    if (stat(path, &st) != 0)
        return row;
    row.bytes = (long long)st.st_size;
    if (spec->sha256[0] == '\0')
        row.check = "not pinned";
    else if (frt_sha256_file(path, digest, NULL) == FRT_OK)
        row.check = strcmp(digest, spec->sha256) == 0 ? "ok" : "CHANGED";
    row.precision = frt_onnx_precision(path);
    row.measured = context != NULL && frt_model_speed_measure(context, spec, path, &row.speed, NULL) == FRT_OK;
    return row;
}

static void add_usable_device(void *arg, const char *name, bool usable, const char *why)
{
    (void)why;
    if (usable)
        frt_buf_printf(arg, " %s", name);
}

/* "cpu webgpu": those that seem to be usable. */
static void usable_devices(struct frt_buf *out)
{
    frt_buf_append_text(out, "cpu");
    frt_devices_each(NULL, add_usable_device, out);
}

static void list_text(const struct frt_manifest *m, const char *folder, const struct frt_context *context,
                      struct frt_buf *out)
{
    frt_buf_printf(out, "%s %s in %s\n\n%-11s %-24s %-16s %9s %9s %-9s %s%-10s %s\n", m->name, m->version,
                   folder, "role", "name", "family", "input", "size", "precision",
                   context != NULL ? "     time  " : " ", "file", "licence");
    for (uint32_t i = 0; i < m->n_models; i++) {
        struct row row = look(folder, &m->models[i], context);
        char input[24] = "dynamic", size[24] = "-", time[24] = " ";
        if (row.spec->input.width_px != 0)
            (void)snprintf(input, sizeof input, "%ux%u", row.spec->input.width_px, row.spec->input.height_px);
        if (row.bytes >= 0)
            (void)snprintf(size, sizeof size, "%.1f MB", (double)row.bytes / 1e6);
        if (row.measured && row.spec->input.width_px == 0)
            (void)snprintf(input, sizeof input, "%ux%u*", row.speed.width_px, row.speed.height_px);
        if (row.measured)
            (void)snprintf(time, sizeof time, "%6.2f ms  ", row.speed.run_ms);
        else if (context != NULL)
            (void)snprintf(time, sizeof time, "        -  ");
        frt_buf_printf(out, "%-11s %-24s %-16s %9s %9s %-9s %s%-10s %s%s%s\n",
                       frt_model_role_name(row.spec->role), row.spec->name, row.spec->family, input, size,
                       row.precision != NULL ? row.precision : "?", time, row.check, row.spec->licence,
                       row.spec->compiled_from[0] != '\0' ? "  (compiled)" : "",
                       row.spec->is_default ? "  (default)" : "");
    }
    frt_buf_append_text(out, "\ndevices: ");
    usable_devices(out);
    frt_buf_append_text(out, " ('device' chooses; int8 models run on the cpu)\n");
}

static void list_json(const struct frt_manifest *m, const char *folder, const struct frt_context *context,
                      struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    frt_json_key(&w, "name");
    frt_json_string(&w, m->name);
    frt_json_key(&w, "version");
    frt_json_string(&w, m->version);
    frt_json_key(&w, "id");
    frt_json_string(&w, m->id);
    frt_json_key(&w, "folder");
    frt_json_string(&w, folder);
    struct frt_buf devices;
    frt_buf_init(&devices, MAX_OUTPUT_BYTES);
    usable_devices(&devices);
    frt_json_key(&w, "devices");
    frt_json_array(&w);
    for (char *rest = NULL, *word = devices.data == NULL ? NULL : strtok_r(devices.data, " ", &rest);
         word != NULL; word = strtok_r(NULL, " ", &rest))
        frt_json_string(&w, word);
    frt_json_end(&w);
    frt_buf_deinit(&devices);
    frt_json_key(&w, "models");
    frt_json_array(&w);
    for (uint32_t i = 0; i < m->n_models; i++) {
        struct row row = look(folder, &m->models[i], context);
        frt_json_object(&w);
        frt_json_key(&w, "role");
        frt_json_string(&w, frt_model_role_name(row.spec->role));
        frt_json_key(&w, "name");
        frt_json_string(&w, row.spec->name);
        frt_json_key(&w, "family");
        frt_json_string(&w, row.spec->family);
        frt_json_key(&w, "default");
        frt_json_bool(&w, row.spec->is_default);
        frt_json_key(&w, "file");
        frt_json_string(&w, row.spec->file);
        frt_json_key(&w, "bytes");
        if (row.bytes < 0)
            frt_json_null(&w);
        else
            frt_json_int(&w, row.bytes);
        frt_json_key(&w, "check");
        frt_json_string(&w, row.check);
        frt_json_key(&w, "precision");
        frt_json_string(&w, row.precision);
        if (row.measured) {
            frt_json_key(&w, "ms");
            frt_json_fixed(&w, row.speed.run_ms, 3);
            frt_json_key(&w, "open_ms");
            frt_json_fixed(&w, row.speed.open_ms, 1);
            cli_member_whole(&w, "width", row.speed.width_px);
            cli_member_whole(&w, "height", row.speed.height_px);
        }
        if (row.spec->compiled_from[0] != '\0') {
            cli_member_text(&w, "compiled_from", row.spec->compiled_from);
            cli_member_text(&w, "compiled_by", row.spec->compiled_by);
        }
        frt_json_key(&w, "licence");
        frt_json_string(&w, row.spec->licence);
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

int cli_models_list(struct cli_run *run)
{
    char folder[FRT_LOCATE_PATH_MAX];
    struct frt_manifest *manifest = NULL;
    struct frt_context *context = NULL;
    struct frt_error err = {0};
    struct frt_buf out;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    enum frt_status status = pack_folder(run, folder, &err);
    if (status == FRT_OK)
        status = frt_manifest_load(folder, &manifest, &err);
    if (status == FRT_ENOTFOUND)
        err.status = FRT_EBAD_MODEL; /* a missing pack, not a missing photo */
    if (status != FRT_OK)
        return cli_complain(run, &err);
    const struct frt_context_options one_core = {.threads = 1};
    if (cli_has(run, "measure"))
        status = frt_context_new(&one_core, &context, &err);
    if (status != FRT_OK) {
        frt_manifest_free(manifest);
        return cli_complain(run, &err);
    }
    if (cli_has(run, "json"))
        list_json(manifest, folder, context, &out);
    else
        list_text(manifest, folder, context, &out);
    frt_context_free(context);
    frt_manifest_free(manifest);
    return cli_print_and_free(run, &out);
}

/* ---------------------------------------------------------------- verify */

int cli_models_verify(struct cli_run *run)
{
    char folder[FRT_LOCATE_PATH_MAX];
    struct frt_manifest *manifest = NULL;
    struct cli_models models = {0};
    struct frt_error err = {0};
    struct frt_buf out;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    enum frt_status status = pack_folder(run, folder, &err);
    if (status == FRT_OK)
        status = frt_manifest_load(folder, &manifest, &err);
    if (status == FRT_OK)
        status = frt_manifest_verify(manifest, folder, &err);
    /* every detector in turn, and with the first everything else */
    struct frt_context_options one_core = {.threads = 1};
    if (status == FRT_OK)
        status = frt_context_new(&one_core, &models.context, &err);
    bool first = true;
    for (uint32_t i = 0; status == FRT_OK && i < manifest->n_models; i++) {
        if (manifest->models[i].role != FRT_ROLE_DETECTOR)
            continue;
        struct frt_pack_options options = {
            .detector = manifest->models[i].name, .preload = first, .skip_checksums = true};
        status = frt_pack_open(models.context, folder, &options, &models.pack, &err);
        frt_pack_free(models.pack);
        models.pack = NULL;
        first = false;
    }
    if (status == FRT_OK && cli_has(run, "json"))
        frt_buf_printf(&out, "{\"ok\":true,\"models\":%u,\"id\":\"%s\"}\n", manifest->n_models, manifest->id);
    else if (status == FRT_OK)
        frt_buf_printf(&out, "%u models of %s: files unchanged, all load\n", manifest->n_models, folder);
    frt_manifest_free(manifest);
    cli_models_close(&models);
    if (status == FRT_OK)
        return cli_print_and_free(run, &out);
    if (status == FRT_ENOTFOUND)
        err.status = FRT_EBAD_MODEL; /* a file of the pack, not a photo */
    int code = cli_complain(run, &err);
    if (cli_has(run, "json")) {
        struct frt_json_writer w;
        frt_json_writer_init(&w, &out, false);
        frt_json_object(&w);
        frt_json_key(&w, "ok");
        frt_json_bool(&w, false);
        frt_json_key(&w, "error");
        cli_json_error(&w, &err);
        frt_json_end(&w);
        frt_buf_append_char(&out, '\n');
        int printed = cli_print_and_free(run, &out);
        code = printed == FRT_EXIT_OK ? code : printed;
    }
    return code;
}

/* ---------------------------------------------------------------- import */

static void import_progress(void *arg, const char *model, uint32_t done, uint32_t total)
{
    const struct cli_run *run = arg;
    if (!cli_has(run, "quiet") && !cli_has(run, "json"))
        (void)fprintf(stderr, "imported %u of %u: %s\n", done, total, model);
}

int cli_models_import(struct cli_run *run)
{
    if (run->n_arguments > 0)
        return cli_models_import_onnx(run);
    char face_api[PATH_BYTES], human[PATH_BYTES], to[PATH_BYTES], data[FRT_LOCATE_PATH_MAX];
    const char *from = cli_text(run, "from") != NULL ? cli_text(run, "from") : "node_modules";
    struct frt_error err = {0};
    struct frt_buf out;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    enum frt_status status = frt_data_dir_locate(data, &err);
    if (status == FRT_OK &&
        (strlen(from) >= FRT_LOCATE_PATH_MAX ||
         (cli_text(run, "to") != NULL && strlen(cli_text(run, "to")) >= FRT_LOCATE_PATH_MAX)))
        status = frt_fail(&err, FRT_EINVAL, "--from or --to is too long");
    if (status != FRT_OK)
        return cli_complain(run, &err);
    (void)snprintf(face_api, sizeof face_api, "%s/@vladmandic/face-api", from);
    (void)snprintf(human, sizeof human, "%s/@vladmandic/human", from);
    if (cli_text(run, "to") != NULL)
        (void)snprintf(to, sizeof to, "%s", cli_text(run, "to"));
    else
        (void)snprintf(to, sizeof to, "%s/packs/default", data);
    struct frt_import_options options = {.face_api_dir = face_api,
                                         .human_dir = human,
                                         .out_dir = to,
                                         .progress = import_progress,
                                         .progress_arg = run,
                                         .cancelled = cli_interrupted};
    cli_catch_interrupts();
    status = frt_model_import(&options, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (cli_has(run, "json")) {
        struct frt_json_writer w;
        frt_json_writer_init(&w, &out, false);
        frt_json_object(&w);
        frt_json_key(&w, "folder");
        frt_json_string(&w, to);
        frt_json_end(&w);
        frt_buf_append_char(&out, '\n');
    } else {
        frt_buf_printf(&out, "model pack written to %s\n", to);
    }
    return cli_print_and_free(run, &out);
}
