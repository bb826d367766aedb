#include "engine/pack.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "engine/pack_locate.h"
#include "frt/gallery.h"
#include "model/model_file.h"
#include "model/onnx_precision.h"
#include "model/pass_compute_half.h"
#include "model/rewrite.h"

/* Larger files are opened as they are. */
static const size_t MAX_MODEL_BYTES = (size_t)1 << 30;

/* Those of a file that was compiled for the CPU: the one in f16. */
static enum frt_status half_of(const char *path, enum frt_graph graph, uint8_t **out, size_t *out_size,
                               struct frt_error *err)
{
    const void *bytes = NULL;
    size_t size = 0;
    uint32_t halved = 0;
    *out = NULL;
    if (graph != FRT_GRAPH_HALF || frt_model_file_map(path, MAX_MODEL_BYTES, &bytes, &size, NULL) != FRT_OK)
        return FRT_OK;
    enum frt_status status = frt_rewrite_in_half(bytes, size, out, out_size, &halved, err);
    frt_model_file_unmap(bytes, size);
    return status == FRT_ENOMEM ? status : FRT_OK;
}

/* The forms of a model's file. One that the rewriter cannot read is left to the runtime. */
static enum frt_status graph_of(const char *path, enum frt_graph graph, uint8_t **out, size_t *out_size,
                                struct frt_error *err)
{
    const void *bytes = NULL;
    size_t size = 0;
    enum frt_status status = FRT_OK;
    *out = NULL;
    if (graph == FRT_GRAPH_HALF)
        return half_of(path, graph, out, out_size, err);
    if (graph != FRT_GRAPH_CPU || frt_model_file_map(path, MAX_MODEL_BYTES, &bytes, &size, NULL) != FRT_OK)
        return FRT_OK;
    if (frt_rewrite_pays(bytes, size))
        status = frt_rewrite_for_runtime(bytes, size, out, out_size, NULL, err);
    frt_model_file_unmap(bytes, size);
    return status == FRT_ENOMEM ? status : FRT_OK;
}

/* Of a device that moves: whether a file's operators are the CPU's alone. */
static bool is_for_cpu(const struct frt_backend *backend, const char *path)
{
    const char *precision = backend->ops->open_source != NULL ? frt_onnx_precision(path) : NULL;
    return precision != NULL && strcmp(precision, "int8") == 0;
}

enum frt_status frt_pack_file_open(const struct frt_context *context, const struct frt_model_spec *spec,
                                   const char *path, bool as_published, struct frt_session **out,
                                   struct frt_error *err)
{
    const struct frt_model_source source = {.path = path,
                                            .name = spec->name,
                                            .version = spec->version,
                                            .cpu_only = is_for_cpu(context->backend, path),
                                            .prepare = as_published                     ? NULL
                                                       : spec->compiled_from[0] != '\0' ? half_of
                                                                                        : graph_of};
    return frt_session_open_source(context->backend, &source, out, err);
}

static enum frt_status open_session(struct frt_pack *pack, uint32_t number, struct frt_error *err)
{
    const struct frt_model_spec *spec = &pack->manifest->models[number];
    char path[FRT_LOCATE_PATH_MAX + FRT_SPEC_PATH_MAX];
    char digest[FRT_SHA256_HEX_SIZE];
    enum frt_status status;

    int n = snprintf(path, sizeof path, "%s/%s", pack->folder, spec->file);
    if (n < 0 || (size_t)n >= sizeof path)
        return frt_fail(err, FRT_EINVAL, "%s: path too long", spec->file);
    if (!pack->skip_checksums && spec->sha256[0] != '\0') {
        status = frt_sha256_file(path, digest, err);
        if (status != FRT_OK)
            return status;
        if (strcmp(digest, spec->sha256) != 0)
            return frt_fail(err, FRT_EBAD_MODEL,
                            "%s: SHA-256 is %s, the manifest says %s; the file was changed or damaged: "
                            "import or fetch the pack again",
                            path, digest, spec->sha256);
    }
    return frt_pack_file_open(pack->context, spec, path, pack->as_published, &pack->sessions[number], err);
}

static uint32_t number_of(const struct frt_pack *pack, const struct frt_model_spec *spec)
{
    return (uint32_t)(spec - pack->manifest->models);
}

/* One model's way from file to session, on a thread of its own where there is one to be had. */
struct opening {
    struct frt_pack *pack;
    const struct frt_model_spec *spec; /* NULL: the pack has none */
    pthread_t thread;
    bool on_thread;
    enum frt_status status;
    struct frt_error err;
};

static void *open_one(void *arg)
{
    struct opening *o = arg;
    o->status = open_session(o->pack, number_of(o->pack, o->spec), &o->err);
    return NULL;
}

/* Hashing and graph optimisation take a core each: the models are opened at the same time. The first failure in
 * their order is the one that is told. */
static enum frt_status open_together(struct opening *openings, size_t n, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (size_t i = 1; i < n; i++)
        if (openings[i].spec != NULL)
            openings[i].on_thread = pthread_create(&openings[i].thread, NULL, open_one, &openings[i]) == 0;
    for (size_t i = 0; i < n; i++) {
        struct opening *o = &openings[i];
        if (o->on_thread)
            (void)pthread_join(o->thread, NULL);
        else if (o->spec != NULL)
            (void)open_one(o);
        if (status == FRT_OK && o->status != FRT_OK) {
            status = o->status;
            if (err != NULL)
                *err = o->err;
        }
    }
    return status;
}

static enum frt_status open_models(struct frt_pack *pack, const struct frt_pack_options *options,
                                   struct frt_error *err)
{
    const char *wanted =
        options == NULL || options->detector == NULL || options->detector[0] == '\0' ? NULL : options->detector;
    const struct frt_manifest *manifest = pack->manifest;
    struct opening openings[] = {
        {.pack = pack, .spec = frt_manifest_find(manifest, FRT_ROLE_DETECTOR, wanted)},
        {.pack = pack, .spec = frt_manifest_find(manifest, FRT_ROLE_EMBEDDER, NULL)},
        {.pack = pack, .spec = frt_manifest_find(manifest, FRT_ROLE_LANDMARKS, NULL)},
    };
    const struct frt_model_spec *detector = openings[0].spec, *embedder = openings[1].spec,
                                *landmarks = openings[2].spec;
    if (detector == NULL) {
        const struct frt_model_spec *fallback = frt_manifest_find(manifest, FRT_ROLE_DETECTOR, NULL);
        return frt_fail(err, FRT_EBAD_MODEL, "%s/manifest.json: no detector%s%s%s%s", pack->folder,
                        wanted == NULL ? "" : " named ", wanted == NULL ? "" : wanted,
                        fallback == NULL ? "" : "; the default one is ",
                        fallback == NULL ? "" : fallback->name);
    }
    pack->detector_name = detector->name;
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        static _Atomic uint64_t number;
        const bool checked =
            openings[i].spec == NULL || (!pack->skip_checksums && openings[i].spec->sha256[0] != '\0');
        if (!checked && pack->opening == 0)
            pack->opening = atomic_fetch_add(&number, 1) + 1;
    }
    enum frt_status status = open_together(openings, sizeof openings / sizeof *openings, err);
    if (status == FRT_OK)
        status = frt_detector_new(detector, pack->sessions[number_of(pack, detector)], &pack->detector, err);
    if (status == FRT_OK && landmarks != NULL)
        status =
            frt_landmarker_new(landmarks, pack->sessions[number_of(pack, landmarks)], &pack->landmarker, err);
    if (status == FRT_OK && embedder != NULL)
        status = frt_embedder_new(embedder, pack->sessions[number_of(pack, embedder)], &pack->embedder, err);
    if (status == FRT_OK && embedder != NULL) {
        pack->info.embedder_name = embedder->name;
        pack->info.embedder_version = embedder->version;
        (void)snprintf(pack->model, sizeof pack->model, "%s %s", embedder->name, embedder->version);
        pack->info.dim = frt_embedder_dim(pack->embedder);
        pack->info.default_threshold = embedder->threshold;
        pack->info.threshold_fmr = embedder->threshold_fmr;
        pack->info.threshold_decade = embedder->threshold_decade;
    }
    return status;
}

static enum frt_status preload(const struct frt_pack *pack, struct frt_error *err)
{
    static const enum frt_model_role roles[] = {FRT_ROLE_LIVENESS, FRT_ROLE_AGE_GENDER, FRT_ROLE_EXPRESSION,
                                                FRT_ROLE_QUALITY};
    const struct frt_face_net *nets[FRT_PACK_MAX_NETS];
    size_t n;
    enum frt_status status = FRT_OK;
    for (size_t i = 0; status == FRT_OK && i < sizeof roles / sizeof *roles; i++)
        if (frt_manifest_find(pack->manifest, roles[i], NULL) != NULL)
            status = frt_pack_face_nets(pack, roles[i], nets, &n, err);
    return status;
}

/* The licence that binds most: one that forbids commercial use wins over one that does not. */
static const char *strictest_licence(const struct frt_manifest *manifest)
{
    const char *found = manifest->n_models > 0 ? manifest->models[0].licence : "";
    for (uint32_t i = 0; i < manifest->n_models; i++)
        if (strcasestr(manifest->models[i].licence, "non-commercial") != NULL)
            return manifest->models[i].licence;
    return found;
}

static float spoof_threshold(const struct frt_manifest *manifest, const struct frt_pack_options *options)
{
    const struct frt_model_spec *spec = frt_manifest_find(manifest, FRT_ROLE_LIVENESS, NULL);
    if (options != NULL && options->spoof_threshold > 0)
        return options->spoof_threshold;
    return spec != NULL && spec->spoof_threshold > 0 ? spec->spoof_threshold : 0.5F;
}

enum frt_status frt_pack_open(struct frt_context *context, const char *path,
                              const struct frt_pack_options *options, struct frt_pack **out,
                              struct frt_error *err)
{
    struct frt_pack *pack = NULL;
    char located[FRT_LOCATE_PATH_MAX];
    enum frt_status status;

    if (path == NULL || path[0] == '\0') {
        status = frt_pack_locate(located, err);
        if (status != FRT_OK)
            return status;
        path = located;
    }
    pack = frt_alloc_zero(1, sizeof *pack);
    if (pack == NULL)
        return frt_fail_nomem(err, "a pack");
    (void)pthread_mutex_init(&pack->lazy_lock, NULL);
    frt_pack_batches_init(pack);
    pack->context = context;
    pack->skip_checksums = options != NULL && options->skip_checksums;
    pack->as_published = options != NULL && options->as_published;
    pack->folder = frt_strdup(path);
    if (pack->folder == NULL) {
        status = frt_fail_nomem(err, "a pack");
        goto fail;
    }
    status = frt_manifest_load(path, &pack->manifest, err);
    if (status != FRT_OK)
        goto fail;
    pack->info.name = pack->manifest->name;
    pack->info.version = pack->manifest->version;
    pack->info.id = pack->manifest->id;
    pack->info.licence = strictest_licence(pack->manifest);
    pack->spoof_threshold = spoof_threshold(pack->manifest, options);
    status = frt_threshold_basis_load(path, pack->manifest, &pack->thresholds, err);
    if (status == FRT_OK)
        status = open_models(pack, options, err);
    if (status == FRT_OK)
        status = frt_pack_batches_new(pack, err);
    if (status == FRT_OK && options != NULL && options->preload)
        status = preload(pack, err);
    if (status != FRT_OK)
        goto fail;
    *out = pack;
    return FRT_OK;
fail:
    frt_pack_free(pack);
    return status;
}

void frt_pack_free(struct frt_pack *pack)
{
    if (pack == NULL)
        return;
    frt_pack_batches_free(pack);
    for (uint32_t i = 0; i < FRT_PACK_MAX_MODELS; i++)
        frt_face_net_free(pack->face_nets[i]);
    frt_embedder_free(pack->embedder);
    frt_landmarker_free(pack->landmarker);
    frt_detector_free(pack->detector);
    for (uint32_t i = 0; i < FRT_PACK_MAX_MODELS; i++)
        frt_session_free(pack->sessions[i]);
    frt_manifest_free(pack->manifest);
    (void)pthread_mutex_destroy(&pack->lazy_lock);
    (void)pthread_cond_destroy(&pack->measuring_ends);
    (void)pthread_mutex_destroy(&pack->measuring_lock);
    frt_free(pack->folder);
    frt_free(pack);
}

const struct frt_pack_info *frt_pack_info_get(const struct frt_pack *pack)
{
    return &pack->info;
}

static enum frt_status open_net_locked(struct frt_pack *pack, uint32_t number, struct frt_error *err)
{
    if (pack->face_nets[number] != NULL)
        return FRT_OK;
    enum frt_status status = FRT_OK;
    if (pack->sessions[number] == NULL)
        status = open_session(pack, number, err);
    if (status == FRT_OK)
        status = frt_face_net_new(&pack->manifest->models[number], pack->sessions[number],
                                  &pack->face_nets[number], err);
    return status;
}

bool frt_pack_model_used(const struct frt_pack *pack, uint32_t i, struct frt_pack_model_facts *out)
{
    if (i >= pack->manifest->n_models)
        return false;
    const struct frt_model_spec *spec = &pack->manifest->models[i];
    bool opened_with_pack =
        spec->role == FRT_ROLE_DETECTOR || spec->role == FRT_ROLE_LANDMARKS || spec->role == FRT_ROLE_EMBEDDER;
    char path[FRT_LOCATE_PATH_MAX + FRT_SPEC_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", pack->folder, spec->file);
    *out = (struct frt_pack_model_facts){.name = spec->name,
                                         .role = frt_model_role_name(spec->role),
                                         .precision =
                                             n > 0 && (size_t)n < sizeof path ? frt_onnx_precision(path) : NULL,
                                         .number = i};
    return !opened_with_pack || pack->sessions[i] != NULL;
}

const char *frt_pack_model_device(const struct frt_pack *pack, uint32_t i)
{
    const enum frt_model_role role = pack->manifest->models[i].role;
    struct frt_pack *own = (struct frt_pack *)(uintptr_t)pack;
    const struct frt_backend *backend = pack->context->backend;
    const bool with_pack = role == FRT_ROLE_DETECTOR || role == FRT_ROLE_LANDMARKS || role == FRT_ROLE_EMBEDDER;
    const char *device = frt_backend_serving(backend);
    if (!with_pack && pthread_mutex_trylock(&own->lazy_lock) != 0)
        return device; /* being opened */
    if (pack->sessions[i] != NULL)
        device = frt_session_device(pack->sessions[i]);
    if (!with_pack)
        (void)pthread_mutex_unlock(&own->lazy_lock);
    return device;
}

enum frt_status frt_pack_face_nets(const struct frt_pack *pack, enum frt_model_role role,
                                   const struct frt_face_net *nets[FRT_PACK_MAX_NETS], size_t *n,
                                   struct frt_error *err)
{
    /* The one part that changes after opening, under its lock. */
    struct frt_pack *own = (struct frt_pack *)(uintptr_t)pack;
    const struct frt_model_spec *only =
        role == FRT_ROLE_LIVENESS ? NULL : frt_manifest_find(pack->manifest, role, NULL);
    enum frt_status status = FRT_OK;
    size_t found = 0;

    (void)pthread_mutex_lock(&own->lazy_lock);
    for (uint32_t i = 0; status == FRT_OK && i < pack->manifest->n_models && found < FRT_PACK_MAX_NETS; i++) {
        const struct frt_model_spec *spec = &pack->manifest->models[i];
        if (spec->role != role || (only != NULL && spec != only))
            continue;
        status = open_net_locked(own, i, err);
        if (status == FRT_OK)
            nets[found++] = own->face_nets[i];
    }
    (void)pthread_mutex_unlock(&own->lazy_lock);
    if (status != FRT_OK)
        return status;
    if (found == 0)
        return frt_fail(err, FRT_EBAD_MODEL, "the pack '%s' has no %s model", pack->info.name,
                        frt_model_role_name(role));
    *n = found;
    return FRT_OK;
}

enum frt_status frt_pack_session(const struct frt_pack *pack, const char *name,
                                 const struct frt_model_spec **spec, const struct frt_session **session,
                                 struct frt_error *err)
{
    struct frt_pack *own = (struct frt_pack *)(uintptr_t)pack;
    enum frt_status status = FRT_OK;
    uint32_t i = 0;
    while (i < pack->manifest->n_models && strcmp(pack->manifest->models[i].name, name) != 0)
        i++;
    if (i == pack->manifest->n_models)
        return frt_fail(err, FRT_ENOTFOUND, "no model '%.60s'", name);
    const enum frt_model_role role = pack->manifest->models[i].role;
    const bool with_pack = role == FRT_ROLE_DETECTOR || role == FRT_ROLE_LANDMARKS || role == FRT_ROLE_EMBEDDER;
    if (with_pack && pack->sessions[i] == NULL)
        return frt_fail(err, FRT_ENOTFOUND, "the model '%.60s' is not in use here", name);
    if (!with_pack) {
        (void)pthread_mutex_lock(&own->lazy_lock);
        status = open_net_locked(own, i, err);
        (void)pthread_mutex_unlock(&own->lazy_lock);
    }
    if (status == FRT_OK) {
        *spec = &pack->manifest->models[i];
        *session = pack->sessions[i];
    }
    return status;
}

const char *frt_pack_model(const struct frt_pack *pack)
{
    return pack->model;
}
