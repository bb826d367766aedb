#include "engine/pack_swap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "simd/dot.h"

enum { TRIAL_SIDE = 256, TRIAL_DETECTIONS = 64 };

/* What a pack has beside itself while it is in a swap. */
struct holding {
    struct frt_pack *pack;
    uint32_t holders;
    struct holding *next; /* of the former ones */
    struct frt_pack_model_facts facts[FRT_PACK_MAX_MODELS];
    size_t n_facts;
};

struct frt_pack_swap {
    pthread_mutex_t lock;
    struct holding *now;    /* NULL before the first */
    struct holding *former; /* published no more, and not freed yet */
    bool loading;
    uint64_t loads, failures;
};

/* ------------------------------------------------------------------- trial */

/* The same from run to run; neither flat nor noise alone. */
static void draw(uint8_t *pixels, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)((i / 3 % TRIAL_SIDE + (seed >> 27)) & 0xff);
    }
}

static enum frt_status try_detector(const struct frt_pack *pack, struct frt_error *err)
{
    static const struct frt_detector_params params;
    const size_t stride = (size_t)TRIAL_SIDE * 3;
    struct frt_detection *found = frt_alloc_array(TRIAL_DETECTIONS, sizeof *found);
    uint8_t *pixels = frt_alloc_array(TRIAL_SIDE, stride);
    struct frt_frame frame = {.pixels = pixels,
                              .width_px = TRIAL_SIDE,
                              .height_px = TRIAL_SIDE,
                              .stride_bytes = stride,
                              .scale_x = 1,
                              .scale_y = 1,
                              .borrowed = true};
    struct frt_point dense[FRT_LANDMARKS_DENSE];
    const struct frt_box box = {64, 64, 128, 128};
    size_t n = 0;
    double ms = 0;
    enum frt_status status = FRT_OK;
    if (found == NULL || pixels == NULL) {
        status = frt_fail_nomem(err, "a trial");
        goto done;
    }
    draw(pixels, TRIAL_SIDE * stride, 1);
    status = frt_detector_run(pack->detector, &frame, &params, found, TRIAL_DETECTIONS, &n, &ms, err);
    for (size_t i = 0; i < n && status == FRT_OK; i++)
        if (!isfinite(found[i].score) || !isfinite(found[i].box.x) || !isfinite(found[i].box.width))
            status = frt_fail(err, FRT_EBAD_MODEL, "the detector '%s' answers a picture with no numbers",
                              pack->detector_name);
    if (status == FRT_OK && pack->landmarker != NULL)
        status = frt_landmarker_run(pack->landmarker, &frame, &box, dense, &ms, err);
    for (size_t i = 0; pack->landmarker != NULL && status == FRT_OK && i < FRT_LANDMARKS_DENSE; i++)
        if (!isfinite(dense[i].x) || !isfinite(dense[i].y))
            status = frt_fail(err, FRT_EBAD_MODEL, "the landmarks model answers a picture with no numbers");
done:
    frt_free(found);
    frt_free(pixels);
    return status;
}

/* Two pictures: the right count of finite numbers (frt_embedder_run sees to both), not the same ones. */
static enum frt_status try_embedder(const struct frt_pack *pack, struct frt_error *err)
{
    const size_t chip_bytes = frt_embedder_chip_bytes(pack->embedder), dim = pack->info.dim;
    uint8_t *chips = frt_alloc_array(2, chip_bytes);
    float *out = frt_alloc_zero(2 * dim, sizeof *out);
    double ms = 0;
    enum frt_status status = FRT_OK;
    if (chips == NULL || out == NULL) {
        status = frt_fail_nomem(err, "a trial");
        goto done;
    }
    draw(chips, chip_bytes, 7);
    memset(chips + chip_bytes, 90, chip_bytes);
    for (size_t i = 0; i < 2 && status == FRT_OK; i++) /* one by one: no batch is promised */
        status = frt_embedder_run(pack->embedder, chips + i * chip_bytes, 1, out + i * dim, &ms, err);
    if (status == FRT_OK && !(frt_dot_f32(out, out + dim, dim) < 0.99999f))
        status = frt_fail(err, FRT_EBAD_MODEL, "the embedder '%s' answers two different pictures alike",
                          pack->info.embedder_name);
done:
    frt_free(chips);
    frt_free(out);
    return status;
}

enum frt_status frt_pack_try(const struct frt_pack *pack, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (pack->embedder == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "the pack has no embedder model; the service needs one");
    frt_infer_width_set(FRT_INFER_NARROW); /* requests go on meanwhile */
    status = try_detector(pack, err);
    if (status == FRT_OK)
        status = try_embedder(pack, err);
    if (status != FRT_OK && status != FRT_ENOMEM)
        return frt_fail_within(err, FRT_EBAD_MODEL, "the pack '%s' failed its trial", pack->info.name);
    return status;
}

/* ----------------------------------------------------------------- holding */

enum frt_status frt_pack_swap_new(struct frt_pack_swap **out, struct frt_error *err)
{
    struct frt_pack_swap *swap = frt_alloc_zero(1, sizeof *swap);
    if (swap == NULL)
        return frt_fail_nomem(err, "a pack");
    (void)pthread_mutex_init(&swap->lock, NULL);
    *out = swap;
    return FRT_OK;
}

static void holding_free(struct holding *h)
{
    if (h == NULL)
        return;
    frt_pack_free(h->pack);
    frt_free(h);
}

void frt_pack_swap_free(struct frt_pack_swap *swap)
{
    if (swap == NULL)
        return;
    for (struct holding *h = swap->former; h != NULL;) {
        struct holding *next = h->next;
        holding_free(h);
        h = next;
    }
    holding_free(swap->now);
    (void)pthread_mutex_destroy(&swap->lock);
    frt_free(swap);
}

const struct frt_pack *frt_pack_acquire(struct frt_pack_swap *swap)
{
    const struct frt_pack *pack = NULL;
    (void)pthread_mutex_lock(&swap->lock);
    if (swap->now != NULL) {
        swap->now->holders++;
        pack = swap->now->pack;
    }
    (void)pthread_mutex_unlock(&swap->lock);
    return pack;
}

/* Of a pack that is held: it is there. */
static struct holding *holding_locked(struct frt_pack_swap *swap, const struct frt_pack *pack)
{
    struct holding *h = swap->now;
    if (h->pack != pack)
        for (h = swap->former; h->pack != pack;)
            h = h->next;
    return h;
}

void frt_pack_release(struct frt_pack_swap *swap, const struct frt_pack *pack)
{
    if (pack == NULL)
        return;
    (void)pthread_mutex_lock(&swap->lock);
    holding_locked(swap, pack)->holders--;
    (void)pthread_mutex_unlock(&swap->lock);
}

size_t frt_pack_swap_models(struct frt_pack_swap *swap, const struct frt_pack *pack,
                            const struct frt_pack_model_facts **out)
{
    (void)pthread_mutex_lock(&swap->lock);
    const struct holding *h = holding_locked(swap, pack);
    (void)pthread_mutex_unlock(&swap->lock);
    *out = h->facts; /* does not change, and goes with the pack */
    return h->n_facts;
}

uint32_t frt_pack_swap_sweep(struct frt_pack_swap *swap)
{
    struct holding *going = NULL;
    uint32_t held = 0;
    (void)pthread_mutex_lock(&swap->lock);
    for (struct holding **at = &swap->former; *at != NULL;) {
        struct holding *h = *at;
        if (h->holders > 0) {
            held++;
            at = &h->next;
        } else {
            *at = h->next;
            h->next = going;
            going = h;
        }
    }
    (void)pthread_mutex_unlock(&swap->lock);
    while (going != NULL) {
        struct holding *next = going->next;
        holding_free(going);
        going = next;
    }
    return held;
}

struct frt_pack_swap_stats frt_pack_swap_stats_get(struct frt_pack_swap *swap)
{
    struct frt_pack_swap_stats stats = {0};
    (void)pthread_mutex_lock(&swap->lock);
    stats.reloads = swap->loads > 0 ? swap->loads - 1 : 0;
    stats.failures = swap->failures;
    for (const struct holding *h = swap->former; h != NULL; h = h->next)
        stats.waiting++;
    (void)pthread_mutex_unlock(&swap->lock);
    return stats;
}

void frt_pack_names_of(const struct frt_pack *pack, struct frt_pack_names *out)
{
    (void)snprintf(out->name, sizeof out->name, "%s", pack->info.name);
    (void)snprintf(out->version, sizeof out->version, "%s", pack->info.version);
    (void)snprintf(out->id, sizeof out->id, "%s", pack->info.id);
    (void)snprintf(out->model, sizeof out->model, "%s", pack->model);
    out->threshold = pack->info.default_threshold;
}

/* ----------------------------------------------------------------- loading */

static bool has_open(const struct frt_pack *pack, enum frt_model_role role)
{
    struct frt_pack *own = (struct frt_pack *)(uintptr_t)pack; /* for its lock */
    bool open = false;
    (void)pthread_mutex_lock(&own->lazy_lock);
    for (uint32_t i = 0; i < pack->manifest->n_models; i++)
        open = open || (pack->manifest->models[i].role == role && pack->face_nets[i] != NULL);
    (void)pthread_mutex_unlock(&own->lazy_lock);
    return open;
}

/* The nets of attributes: those that `before` has open are opened; the files of the rest are compared. */
static enum frt_status prepare_rest(const struct frt_pack *pack, const struct frt_pack *before,
                                    struct frt_error *err)
{
    static const enum frt_model_role roles[] = {FRT_ROLE_LIVENESS, FRT_ROLE_AGE_GENDER, FRT_ROLE_EXPRESSION,
                                                FRT_ROLE_QUALITY};
    const struct frt_face_net *nets[FRT_PACK_MAX_NETS];
    enum frt_status status = FRT_OK;
    bool all_open = true;
    size_t n = 0;
    for (size_t i = 0; i < sizeof roles / sizeof *roles && status == FRT_OK; i++) {
        if (frt_manifest_find(pack->manifest, roles[i], NULL) == NULL)
            continue;
        if (before != NULL && has_open(before, roles[i]))
            status = frt_pack_face_nets(pack, roles[i], nets, &n, err);
        else
            all_open = false;
    }
    /* at start these are compared when they are opened: it is to be quick, and there is nothing to lose yet */
    if (status == FRT_OK && !all_open && before != NULL && !pack->skip_checksums)
        status = frt_manifest_verify(pack->manifest, pack->folder, err);
    return status;
}

/* CONSUMES fresh. */
static void publish(struct frt_pack_swap *swap, struct holding *fresh)
{
    (void)pthread_mutex_lock(&swap->lock);
    if (swap->now != NULL) {
        swap->now->next = swap->former;
        swap->former = swap->now;
    }
    swap->now = fresh;
    swap->loads++;
    (void)pthread_mutex_unlock(&swap->lock);
}

static enum frt_status load_beside(struct frt_pack_swap *swap, const struct frt_pack_load *load,
                                   const struct frt_pack *before, struct frt_pack_loaded *loaded,
                                   struct frt_error *err)
{
    struct frt_pack *pack = NULL;
    struct holding *fresh = frt_alloc_zero(1, sizeof *fresh);
    if (fresh == NULL)
        return frt_fail_nomem(err, "a pack");
    enum frt_status status = frt_pack_open(load->context, load->path, &load->options, &pack, err);
    if (status == FRT_OK && pack->embedder == NULL)
        status = frt_fail(err, FRT_EBAD_MODEL, "the pack has no embedder model; the service needs one");
    if (status == FRT_OK && before != NULL)
        status = frt_pack_try(pack, err);
    if (status == FRT_OK)
        status = prepare_rest(pack, before, err);
    if (status != FRT_OK) {
        frt_pack_free(pack);
        frt_free(fresh);
        return status;
    }
    if (before != NULL)
        frt_pack_names_of(before, &loaded->before);
    frt_pack_names_of(pack, &loaded->now);
    frt_pack_batches_start(pack, load->batch); /* before anybody has it: it is its owner's to call */
    fresh->pack = pack;
    for (uint32_t i = 0; i < FRT_PACK_MAX_MODELS; i++)
        if (frt_pack_model_used(pack, i, &fresh->facts[fresh->n_facts]))
            fresh->n_facts++;
    publish(swap, fresh);
    return FRT_OK;
}

enum frt_status frt_pack_swap_load(struct frt_pack_swap *swap, const struct frt_pack_load *load,
                                   struct frt_pack_loaded *loaded, struct frt_error *err)
{
    struct frt_pack_loaded done = {0};
    const int64_t start = frt_now_ns();
    (void)pthread_mutex_lock(&swap->lock);
    const bool busy = swap->loading;
    swap->loading = true;
    (void)pthread_mutex_unlock(&swap->lock);
    if (busy)
        return frt_fail(err, FRT_ECONFLICT, "a pack is being loaded already");
    const struct frt_pack *before = frt_pack_acquire(swap);
    enum frt_status status = load_beside(swap, load, before, &done, err);
    frt_pack_release(swap, before);
    (void)pthread_mutex_lock(&swap->lock);
    swap->loading = false;
    swap->failures += status != FRT_OK;
    (void)pthread_mutex_unlock(&swap->lock);
    (void)frt_pack_swap_sweep(swap);
    done.ms = frt_elapsed_ms(start);
    if (status == FRT_OK && loaded != NULL)
        *loaded = done;
    return status;
}
