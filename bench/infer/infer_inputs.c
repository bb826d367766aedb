#include "infer/infer_inputs.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "engine/context.h"
#include "engine/input_recorder.h"
#include "engine/pack.h"
#include "model/model_file.h"

enum { PATH_SIZE = 2048, MAX_BYTES = 1 << 29 };

struct owner {
    struct frt_input_recorder *recorder;
    char folder[32]; /* made here; "" = none */
    const void *model;
    size_t model_size;
};

/* A pack's folder out of a manifest and the assets: links, removed again. */
static enum frt_status make_folder(const char *assets, const char *manifest, char folder[32],
                                   struct frt_error *err)
{
    struct frt_manifest *read = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    char path[PATH_SIZE], target[PATH_SIZE];
    (void)snprintf(folder, 32, "/tmp/frt-bench-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return frt_fail(err, FRT_EIO, "no folder below /tmp");
    enum frt_status status = frt_model_file_map(manifest, 1 << 22, &bytes, &size, err);
    if (status == FRT_OK)
        status = frt_manifest_parse(bytes, size, &read, err);
    if (status != FRT_OK)
        return status;
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    FILE *file = fopen(path, "wbe");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        status = frt_fail(err, FRT_EIO, "%s cannot be written", path);
    for (uint32_t i = 0; i < read->n_models && status == FRT_OK; i++) {
        static const char *const kinds[] = {"detect", "recognize", "liveness", "quality"};
        (void)snprintf(path, sizeof path, "%s/%s", folder, read->models[i].file);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            (void)snprintf(target, sizeof target, "%s/models/%s/%s", assets, kinds[k], read->models[i].file);
            char *whole = realpath(target, NULL);
            if (whole != NULL && symlink(whole, path) != 0)
                status = frt_fail(err, FRT_EIO, "%s cannot be linked", path);
            free(whole); /* the C library's */
        }
    }
    frt_manifest_free(read);
    frt_model_file_unmap(bytes, size);
    return status;
}

static void remove_folder(const char *folder)
{
    char pattern[64];
    glob_t found;
    if (folder[0] == '\0')
        return;
    (void)snprintf(pattern, sizeof pattern, "%s/*", folder);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            (void)unlink(found.gl_pathv[i]);
        globfree(&found);
    }
    (void)rmdir(folder);
}

/* Photos, spread over all there are, until there are inputs enough. */
static enum frt_status show_photos(struct frt_context *context, struct frt_pack *pack, const char *assets,
                                   enum frt_model_role role, uint32_t n, struct frt_error *err)
{
    char pattern[PATH_SIZE];
    glob_t found;
    enum frt_status status = FRT_OK;
    (void)snprintf(pattern, sizeof pattern, "%s/faces/groups/*/*.jpg", assets);
    int got = role == FRT_ROLE_DETECTOR ? glob(pattern, 0, NULL, &found) : GLOB_NOMATCH;
    (void)snprintf(pattern, sizeof pattern, "%s/faces/lfw-dev/*/*.jpg", assets);
    got = glob(pattern, got == 0 ? GLOB_APPEND : 0, NULL, &found);
    if (got != 0)
        return frt_fail(err, FRT_ENOTFOUND, "no photos in %s", pattern);
    const size_t step = found.gl_pathc > n ? found.gl_pathc / n : 1;
    for (size_t i = 0; i < found.gl_pathc && status == FRT_OK; i += step) {
        struct frt_image *image = NULL;
        struct frt_faces *faces = NULL;
        const struct frt_detect_options options = {0};
        status = frt_image_open_file(context, found.gl_pathv[i], &image, err);
        if (status == FRT_OK)
            status = role == FRT_ROLE_DETECTOR ? frt_detect(pack, image, &options, &faces, err)
                                               : frt_embed(pack, image, &options, &faces, err);
        frt_faces_free(faces);
        frt_image_free(image);
    }
    globfree(&found);
    return status;
}

enum frt_status bench_inputs_of_pack(struct frt_backend *backend, const char *assets, const char *manifest,
                                     enum frt_model_role role, uint32_t inputs, struct bench_inputs *out,
                                     struct frt_error *err)
{
    const struct frt_input_limits limits = {.inputs = inputs, .bytes = MAX_BYTES};
    const struct frt_context_options of_context = {0};
    const struct frt_pack_options of_pack = {.as_published = true};
    struct owner *owner = frt_alloc_zero(1, sizeof *owner);
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    char path[PATH_SIZE];
    struct stat st;
    if (owner == NULL)
        return frt_fail_nomem(err, "inputs");
    const bool is_pack = stat(manifest, &st) == 0 && S_ISDIR(st.st_mode);
    const char *folder = is_pack ? manifest : owner->folder;
    enum frt_status status = is_pack ? FRT_OK : make_folder(assets, manifest, owner->folder, err);
    if (status == FRT_OK)
        status = frt_input_recorder_new(backend, &limits, &owner->recorder, err);
    if (status == FRT_OK)
        status = frt_context_new_over(frt_input_recorder_backend(owner->recorder), &of_context, &context, err);
    if (status == FRT_OK)
        status = frt_pack_open(context, folder, &of_pack, &pack, err);
    if (status == FRT_OK)
        status = show_photos(context, pack, assets, role, inputs, err);
    if (status == FRT_OK) {
        const struct frt_model_spec *spec = frt_manifest_find(pack->manifest, role, NULL);
        out->spec = *spec;
        out->spec.centre = NULL;
        (void)snprintf(path, sizeof path, "%s/%s", folder, spec->file);
        const struct frt_compile_inputs all = frt_input_recorder_get(owner->recorder, path);
        if (all.n < 2)
            status = frt_fail(err, FRT_ENOTFOUND, "%u inputs of %s were seen", all.n, path);
        out->calibrate = (struct frt_compile_inputs){all.tensors, all.n - all.n / 3};
        out->compare = (struct frt_compile_inputs){all.tensors + out->calibrate.n, all.n / 3};
    }
    if (status == FRT_OK)
        status = frt_model_file_map(path, 1U << 30, &owner->model, &owner->model_size, err);
    frt_pack_free(pack);
    frt_context_free(context);
    out->owner = owner;
    out->model = owner->model;
    out->model_size = owner->model_size;
    if (status != FRT_OK)
        bench_inputs_deinit(out);
    return status;
}

void bench_inputs_deinit(struct bench_inputs *inputs)
{
    struct owner *owner = inputs->owner;
    if (owner == NULL)
        return;
    if (owner->model != NULL)
        frt_model_file_unmap(owner->model, owner->model_size);
    frt_input_recorder_free(owner->recorder);
    remove_folder(owner->folder);
    frt_free(owner);
    inputs->owner = NULL;
}

enum frt_status bench_waves(uint32_t n, int64_t side, struct frt_tensor *tensors, struct frt_error *err)
{
    const size_t each = (size_t)(3 * side * side);
    float *all = frt_alloc_array(n * each, sizeof *all);
    if (all == NULL)
        return frt_fail_nomem(err, "waves");
    for (uint32_t i = 0; i < n; i++) {
        for (size_t k = 0; k < each; k++) {
            const double plane = (double)(k / (size_t)(side * side)),
                         y = (double)(k / (size_t)side % (size_t)side), x = (double)(k % (size_t)side);
            all[i * each + k] = (float)(0.6 * sin(x * (0.05 + 0.011 * i) + plane) +
                                        0.4 * cos(y * (0.21 - 0.007 * i) + 0.03 * x * plane));
        }
        tensors[i] = (struct frt_tensor){.data = all + i * each, .n_dims = 4, .dims = {1, 3, side, side}};
    }
    return FRT_OK;
}
