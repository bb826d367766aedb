/* frt models import FILE.onnx…: a pack of ONNX files, or further models for one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/output.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "engine/model_guess.h"
#include "engine/pack_locate.h"
#include "model/model_file.h"
#include "model/pull_files.h"

enum { MAX_OUTPUT_BYTES = 1 << 20, PATH_BYTES = FRT_LOCATE_PATH_MAX + FRT_SPEC_PATH_MAX };
static const uint64_t MAX_MODEL_BYTES = UINT64_C(1) << 30;

struct importing {
    struct cli_run *run;
    struct cli_models at_hand; /* the pack that finds faces to try on; pack NULL = none */
    struct cli_inputs photos;
    struct frt_guess_faces *faces;    /* NULL = nothing to try on */
    char why_not[FRT_ERROR_TEXT_MAX]; /* "" = tried */
    struct frt_model_guess guesses[FRT_PACK_MAX_MODELS];
    size_t n;
    char folder[FRT_LOCATE_PATH_MAX];
};

/* ---------------------------------------------------------- what is said */

/* "127.5" or "123,117,104" → three numbers. */
static enum frt_status three_numbers(const struct cli_run *run, const char *option, float fallback,
                                     float out[3], struct frt_error *err)
{
    const char *text = cli_text(run, option);
    char *end = NULL;
    int n = 0;
    out[0] = out[1] = out[2] = fallback;
    if (text == NULL)
        return FRT_OK;
    for (const char *at = text; n < 3; at = end + 1) {
        out[n++] = strtof(at, &end);
        if (end == at || (*end != ',' && *end != '\0'))
            return frt_fail(err, FRT_EINVAL,
                            "--%s %s: a number, or three with commas between them, would be right", option,
                            text);
        if (*end == '\0')
            break;
    }
    if ((n != 1 && n != 3) || *end != '\0')
        return frt_fail(err, FRT_EINVAL, "--%s %s: a number, or three with commas between them, would be right",
                        option, text);
    if (n == 1)
        out[1] = out[2] = out[0];
    return FRT_OK;
}

static enum frt_status read_said(const struct cli_run *run, struct frt_guess_said *out, struct frt_error *err)
{
    static const char *const of_one_file[] = {"model-name", "family",    "color",      "mean",
                                              "scale",      "threshold", "crop-scale", "template"};
    double threshold = 0, crop_scale = 0, min_confidence = 0;
    for (size_t i = 0; run->n_arguments > 1 && i < sizeof of_one_file / sizeof *of_one_file; i++)
        if (cli_has(run, of_one_file[i]))
            return frt_fail(err, FRT_EINVAL, "--%s is of one model: import the files one after the other",
                            of_one_file[i]);
    *out = (struct frt_guess_said){.role = cli_text(run, "role"),
                                   .name = cli_text(run, "model-name"),
                                   .family = cli_text(run, "family"),
                                   .color = cli_text(run, "color"),
                                   .template_name = cli_text(run, "template"),
                                   .licence = cli_text(run, "licence"),
                                   .has_scale = cli_has(run, "mean") || cli_has(run, "scale"),
                                   .has_threshold = cli_has(run, "threshold")};
    enum frt_status status = three_numbers(run, "mean", 0, out->mean, err);
    if (status == FRT_OK)
        status = three_numbers(run, "scale", 1, out->scale, err);
    if (status == FRT_OK)
        status = cli_number(run, "threshold", -1, 1, 0, &threshold, err);
    if (status == FRT_OK)
        status = cli_number(run, "crop-scale", 0.1, 10, 0, &crop_scale, err);
    if (status == FRT_OK)
        status = cli_number(run, "min-confidence", 0, 1, 0, &min_confidence, err);
    out->threshold = (float)threshold;
    out->crop_scale = (float)crop_scale;
    out->min_confidence = (float)min_confidence;
    return status;
}

/* --------------------------------------------------------------- faces */

/* Photos and a pack to find faces in them. Not having them is no failure: the guesses are then not tried. */
static enum frt_status find_faces(struct importing *im, struct frt_error *err)
{
    static char samples[] = "node_modules/@vladmandic/face-api/demo";
    char *photos =
        cli_text(im->run, "photos") != NULL ? (char *)(uintptr_t)cli_text(im->run, "photos") : samples;
    struct frt_error why = {0};
    if (cli_has(im->run, "no-try")) {
        (void)snprintf(im->why_not, sizeof im->why_not, "--no-try");
        return FRT_OK;
    }
    enum frt_status status = cli_inputs_collect(&photos, 1, &im->photos, &why);
    if (status == FRT_OK && im->at_hand.pack == NULL)
        status = frt_pack_open(im->at_hand.context, cli_text(im->run, "with"), NULL, &im->at_hand.pack, &why);
    if (status == FRT_OK)
        status =
            frt_guess_faces_find(im->at_hand.context, im->at_hand.pack, (const char *const *)im->photos.paths,
                                 im->photos.n, cli_interrupted, NULL, &im->faces, &why);
    if (status == FRT_OK)
        return FRT_OK;
    if (status == FRT_ECANCELLED || cli_has(im->run, "photos") || cli_has(im->run, "with")) {
        *err = why; /* what was asked for must work */
        return status;
    }
    (void)snprintf(im->why_not, sizeof im->why_not, "%s", why.text);
    return FRT_OK;
}

/* ---------------------------------------------------------------- output */

static void print_text(const struct importing *im, struct frt_buf *out)
{
    for (size_t i = 0; i < im->n; i++) {
        const struct frt_model_guess *g = &im->guesses[i];
        cli_append_name(out, g->spec.file);
        frt_buf_printf(out, ": %s\n", g->spec.name);
        for (uint32_t k = 0; k < g->n; k++) {
            const struct frt_guess_reason *r = &g->reasons[k];
            frt_buf_printf(out, "  %-15s %-22s %-11s %s\n", r->key, r->value, frt_guess_sure_text(r->sure),
                           r->why);
        }
    }
    if (im->why_not[0] != '\0')
        frt_buf_printf(out, "Not tried on faces: %s\n", im->why_not);
    if (cli_has(im->run, "dry-run"))
        frt_buf_printf(out, "Nothing was written.\n");
    else
        frt_buf_printf(out, "%zu model%s written to %s; 'frt models verify --pack %s' opens all of it\n", im->n,
                       im->n == 1 ? "" : "s", im->folder, im->folder);
}

static void print_json(const struct importing *im, struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    cli_member_text(&w, "folder", im->folder);
    frt_json_key(&w, "written");
    frt_json_bool(&w, !cli_has(im->run, "dry-run"));
    frt_json_key(&w, "not_tried");
    if (im->why_not[0] != '\0')
        frt_json_string(&w, im->why_not);
    else
        frt_json_null(&w);
    frt_json_key(&w, "models");
    frt_json_array(&w);
    for (size_t i = 0; i < im->n; i++) {
        const struct frt_model_guess *g = &im->guesses[i];
        frt_json_object(&w);
        cli_member_text(&w, "file", g->spec.file);
        cli_member_text(&w, "name", g->spec.name);
        frt_json_key(&w, "guesses");
        frt_json_array(&w);
        for (uint32_t k = 0; k < g->n; k++) {
            frt_json_object(&w);
            cli_member_text(&w, "key", g->reasons[k].key);
            cli_member_text(&w, "value", g->reasons[k].value);
            cli_member_text(&w, "sure", frt_guess_sure_text(g->reasons[k].sure));
            cli_member_text(&w, "why", g->reasons[k].why);
            frt_json_end(&w);
        }
        frt_json_end(&w);
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* --------------------------------------------------------------- writing */

static enum frt_status choose_folder(struct importing *im, struct frt_error *err)
{
    char data[FRT_LOCATE_PATH_MAX] = "";
    const char *out = cli_text(im->run, "out"), *name = cli_text(im->run, "name");
    enum frt_status status = FRT_OK;
    int n;
    if (out != NULL) {
        n = snprintf(im->folder, sizeof im->folder, "%s", out);
    } else {
        status = frt_data_dir_locate(data, err);
        n = snprintf(im->folder, sizeof im->folder, "%s/packs/%s", data,
                     name != NULL ? name : im->guesses[0].spec.name);
    }
    return status != FRT_OK                         ? status
           : n > 0 && (size_t)n < sizeof im->folder ? FRT_OK
                                                    : frt_fail(err, FRT_EINVAL, "--out is empty or too long");
}

/* The pack that stands there, or a new one. */
static enum frt_status begin_manifest(const struct importing *im, struct frt_manifest **out,
                                      struct frt_error *err)
{
    const char *slash = strrchr(im->folder, '/'),
               *last = slash != NULL && slash[1] != '\0' ? slash + 1 : im->folder;
    const char *name = cli_text(im->run, "name") != NULL ? cli_text(im->run, "name") : last;
    enum frt_status status = frt_manifest_load(im->folder, out, err);
    if (status != FRT_ENOTFOUND)
        return status;
    if (strlen(name) >= FRT_SPEC_NAME_MAX)
        return frt_fail(err, FRT_EINVAL, "--name: at most %d bytes fit", FRT_SPEC_NAME_MAX - 1);
    struct frt_manifest *manifest = frt_alloc_zero(1, sizeof *manifest);
    if (manifest == NULL)
        return frt_fail_nomem(err, "a manifest");
    memcpy(manifest->name, name, strlen(name) + 1);
    memcpy(manifest->version, "1", 2);
    *out = manifest;
    return FRT_OK;
}

/* A place for the model: the one of its name with --force, else a new one. */
static enum frt_status place_model(const struct cli_run *run, struct frt_manifest *manifest,
                                   const struct frt_model_spec *spec, struct frt_error *err)
{
    uint32_t at = 0;
    bool first_of_role = true;
    while (at < manifest->n_models && strcmp(manifest->models[at].name, spec->name) != 0)
        at++;
    if (at < manifest->n_models && !cli_has(run, "force"))
        return frt_fail(err, FRT_ECONFLICT,
                        "the pack has a model named %s; --force replaces it, --model-name names the new one",
                        spec->name);
    if (at == FRT_PACK_MAX_MODELS)
        return frt_fail(err, FRT_EINVAL, "a pack has at most %d models", FRT_PACK_MAX_MODELS);
    for (uint32_t i = 0; i < manifest->n_models; i++)
        first_of_role = first_of_role && (i == at || manifest->models[i].role != spec->role);
    if (at < manifest->n_models)
        frt_free(manifest->models[at].centre);
    else
        manifest->n_models++;
    bool was_default = manifest->models[at].is_default && manifest->models[at].role == spec->role;
    manifest->models[at] = *spec;
    manifest->models[at].is_default = first_of_role || was_default;
    if (cli_has(run, "default"))
        for (uint32_t i = 0; i < manifest->n_models; i++)
            if (manifest->models[i].role == spec->role)
                manifest->models[i].is_default = i == at;
    return FRT_OK;
}

/* The file into the folder, under its own name, pinned. One that is there with other bytes is kept with its
 * name only where nobody reads it: another model's file is never replaced under it. */
static enum frt_status copy_model(const struct importing *im, const char *from, struct frt_model_spec *spec,
                                  struct frt_error *err)
{
    char to[PATH_BYTES], there[FRT_SHA256_HEX_SIZE];
    (void)snprintf(to, sizeof to, "%s/%s", im->folder, spec->file);
    enum frt_status status = frt_sha256_file(from, spec->sha256, err);
    if (status != FRT_OK)
        return status;
    if (frt_sha256_file(to, there, NULL) == FRT_OK) {
        if (strcmp(there, spec->sha256) == 0)
            return FRT_OK;
        if (!cli_has(im->run, "force"))
            return frt_fail(err, FRT_ECONFLICT, "%s is there with other bytes; --force replaces it", to);
        /* beside it, then in its place: a service that has it open keeps the old one */
        char beside[PATH_BYTES + 8];
        (void)snprintf(beside, sizeof beside, "%s.new", to);
        (void)unlink(beside);
        status = frt_pull_copy_most(from, beside, MAX_MODEL_BYTES, cli_interrupted, NULL, err);
        if (status == FRT_OK && rename(beside, to) != 0)
            status = frt_fail(err, FRT_EIO, "%s: cannot be replaced", to);
        return status;
    }
    return frt_pull_copy_most(from, to, MAX_MODEL_BYTES, cli_interrupted, NULL, err);
}

static enum frt_status write_pack(struct importing *im, struct frt_error *err)
{
    struct frt_manifest *manifest = NULL;
    enum frt_status status = begin_manifest(im, &manifest, err);
    for (size_t i = 0; status == FRT_OK && i < im->n; i++)
        status = place_model(im->run, manifest, &im->guesses[i].spec, err);
    if (status == FRT_OK)
        status = frt_model_folder_make(im->folder, err);
    for (size_t i = 0; status == FRT_OK && i < im->n; i++) {
        struct frt_model_spec *spec = &im->guesses[i].spec;
        status = copy_model(im, im->run->arguments[i], spec, err);
        for (uint32_t k = 0; status == FRT_OK && k < manifest->n_models; k++)
            if (strcmp(manifest->models[k].name, spec->name) == 0)
                memcpy(manifest->models[k].sha256, spec->sha256, sizeof spec->sha256);
    }
    if (status == FRT_OK)
        status = frt_manifest_save(manifest, im->folder, err);
    frt_manifest_free(manifest);
    return status;
}

/* ------------------------------------------------------------------ run */

static enum frt_status guess_all(struct importing *im, struct frt_error *err)
{
    struct frt_guess_said said;
    enum frt_status status = read_said(im->run, &said, err);
    if (status == FRT_OK && im->run->n_arguments > FRT_PACK_MAX_MODELS)
        status = frt_fail(err, FRT_EINVAL, "a pack has at most %d models", FRT_PACK_MAX_MODELS);
    const struct frt_context_options options = {0};
    if (status == FRT_OK)
        status = frt_context_new(&options, &im->at_hand.context, err);
    for (size_t i = 0; status == FRT_OK && i < im->run->n_arguments; i++) {
        status = frt_model_guess_look(im->at_hand.context, im->run->arguments[i], &said, &im->guesses[i], err);
        im->n += status == FRT_OK;
    }
    if (status == FRT_OK)
        status = find_faces(im, err);
    for (size_t i = 0; status == FRT_OK && im->faces != NULL && i < im->n; i++)
        status = frt_model_guess_try(&im->guesses[i], im->faces, err);
    return status;
}

int cli_models_import_onnx(struct cli_run *run)
{
    struct frt_error err = {0};
    struct frt_buf out;
    struct importing *im = frt_alloc_zero(1, sizeof *im);
    if (im == NULL) {
        enum frt_status status = frt_fail_nomem(&err, "models");
        (void)status;
        return cli_complain(run, &err);
    }
    im->run = run;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    cli_catch_interrupts();
    enum frt_status status = guess_all(im, &err);
    if (status == FRT_OK)
        status = choose_folder(im, &err);
    if (status == FRT_OK && !cli_has(run, "dry-run"))
        status = write_pack(im, &err);
    if (status == FRT_OK && cli_has(run, "json"))
        print_json(im, &out);
    else if (status == FRT_OK)
        print_text(im, &out);
    for (size_t i = 0; i < im->n; i++)
        frt_model_guess_deinit(&im->guesses[i]);
    frt_guess_faces_free(im->faces);
    cli_inputs_deinit(&im->photos);
    cli_models_close(&im->at_hand);
    frt_free(im);
    return status == FRT_OK ? cli_print_and_free(run, &out) : cli_complain(run, &err);
}
