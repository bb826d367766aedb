/*
 * The pack's batches: its embedder behind a batcher (where the context has stages), and the thread that
 * measures which batch is best: on the CPU, then, where there is one before it, on the device.
 */
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"
#include "engine/batch_tune.h"
#include "engine/pack.h"

enum { FIXED_WINDOW_US = 20000, QUEUE = 256 };

/* What one inference on a device may cost the CPU if the device falls in it: a core for so long. */
enum { FALL_MS = 1000 };
/* Memory of a device that a face is reckoned to take: its input in f32, so often. The widest nets hold three
 * tensors of 64 channels at the input's size, 64 times its three; and as much again for the runtime's own. Half
 * of the limit is for that: weights, and runs beside it, have the other. */
enum { FACE_TIMES = 128, MEMORY_SHARE = 2 };
enum { FIRST_LOOK_MS = 1000, MOST_LOOK_MS = 60000 };

static enum frt_status run(void *arg, const uint8_t *const *items, size_t n, float *out, double *inference_ms,
                           struct frt_error *err)
{
    const struct frt_pack *pack = arg;
    frt_context_settle_width(pack->context);
    return frt_embedder_run_each(pack->embedder, items, n, out, inference_ms, err);
}

/* The CPU's, on one core, for its CPU time to be the measure. */
static enum frt_status run_narrow(void *arg, const uint8_t *const *items, size_t n, float *out,
                                  double *inference_ms, struct frt_error *err)
{
    const struct frt_pack *pack = arg;
    frt_infer_width_set(FRT_INFER_NARROW);
    frt_infer_fallback_only_set(true);
    enum frt_status status = frt_embedder_run_each(pack->embedder, items, n, out, inference_ms, err);
    frt_infer_fallback_only_set(false);
    return status;
}

static bool on_device(void *arg)
{
    return strcmp(frt_embedder_device(((const struct frt_pack *)arg)->embedder), "cpu") != 0;
}

static struct frt_batcher_options options_of(struct frt_pack *pack)
{
    return (struct frt_batcher_options){.stages = pack->context->stages,
                                        .queue = QUEUE,
                                        .dim = pack->info.dim,
                                        .item_bytes = frt_embedder_chip_bytes(pack->embedder),
                                        .run = run,
                                        .on_device = on_device,
                                        .arg = pack};
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most_on_cpu(const struct frt_pack *pack)
{
    return least(frt_embedder_batch(pack->embedder), FRT_TUNE_CPU_MOST);
}

/* alone_ms: a face on the CPU; 0 = not known, and then for who knows what he asks for. */
static uint32_t most_on_device(const struct frt_pack *pack, double alone_ms)
{
    const uint64_t face = (uint64_t)frt_embedder_chip_bytes(pack->embedder) * sizeof(float) * FACE_TIMES;
    const uint64_t fit = pack->context->device_memory_bytes / MEMORY_SHARE / face;
    uint32_t most = least(frt_embedder_batch(pack->embedder), FRT_TUNE_MOST);
    if (fit < most)
        most = fit > 1 ? (uint32_t)fit : 1;
    if (alone_ms > 0 && FALL_MS / alone_ms < most)
        most = least(most, FALL_MS / alone_ms > FRT_TUNE_CPU_MOST ? (uint32_t)(FALL_MS / alone_ms)
                                                                  : FRT_TUNE_CPU_MOST);
    return most;
}

void frt_pack_batches_init(struct frt_pack *pack)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pack->measuring_ends, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&pack->measuring_lock, NULL);
}

enum frt_status frt_pack_batches_new(struct frt_pack *pack, struct frt_error *err)
{
    if (pack->context->stages == NULL || pack->embedder == NULL)
        return FRT_OK;
    struct frt_batcher_options options = options_of(pack);
    return frt_batcher_new(&options, &pack->batcher, err);
}

void frt_pack_batches_free(struct frt_pack *pack)
{
    if (pack->measuring) {
        (void)pthread_mutex_lock(&pack->measuring_lock);
        atomic_store(&pack->stop_measuring, true);
        (void)pthread_cond_signal(&pack->measuring_ends);
        (void)pthread_mutex_unlock(&pack->measuring_lock);
        (void)pthread_join(pack->measurer, NULL);
    }
    frt_batcher_free(pack->batcher);
}

static void say(const struct frt_pack *pack, const char *device, enum frt_status status,
                const struct frt_batch_choice *choice, const struct frt_error *err)
{
    if (status == FRT_OK)
        frt_log(FRT_LOG_INFO, "batches", FRT_LOG_STR("model", pack->info.embedder_name),
                FRT_LOG_STR("device", device), FRT_LOG_INT("faces", choice->best),
                FRT_LOG_NUM("alone_ms", choice->alone_ms), FRT_LOG_NUM("face_ms", choice->best_ms),
                FRT_LOG_NUM("window_ms", choice->window_us / 1000.0), FRT_LOG_END);
    else if (status != FRT_ECANCELLED)
        frt_log(FRT_LOG_INFO, "no batches", FRT_LOG_STR("model", pack->info.embedder_name),
                FRT_LOG_STR("device", device), FRT_LOG_STR("why", err->text), FRT_LOG_END);
}

/* Until the device computes the embedder; false: the pack is being closed. Looked at rarely: a device that is
 * not there may never be, and one that comes waits for nothing but its larger batches. */
static bool wait_for_device(struct frt_pack *pack)
{
    int64_t look_ms = FIRST_LOOK_MS;
    (void)pthread_mutex_lock(&pack->measuring_lock);
    while (!atomic_load(&pack->stop_measuring)) {
        (void)pthread_mutex_unlock(&pack->measuring_lock);
        const bool on = on_device(pack);
        (void)pthread_mutex_lock(&pack->measuring_lock);
        if (on || atomic_load(&pack->stop_measuring))
            break;
        const int64_t until = frt_now_ns() + look_ms * 1000000;
        const struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = (long)(until % 1000000000)};
        (void)pthread_cond_timedwait(&pack->measuring_ends, &pack->measuring_lock, &t);
        look_ms = 2 * look_ms < MOST_LOOK_MS ? 2 * look_ms : MOST_LOOK_MS;
    }
    const bool stopped = atomic_load(&pack->stop_measuring);
    (void)pthread_mutex_unlock(&pack->measuring_lock);
    return !stopped;
}

/* Once; a device that falls meanwhile is measured when it is back. A server takes what the CPU takes: how large
 * a batch its configuration allows is not known. */
static void measure_device(struct frt_pack *pack, double cpu_alone_ms)
{
    enum frt_status status = FRT_EUNAVAILABLE;
    while (status == FRT_EUNAVAILABLE && wait_for_device(pack)) {
        const char *device = frt_embedder_device(pack->embedder);
        struct frt_device parsed;
        const bool ours = frt_device_parse(device, &parsed, NULL) == FRT_OK;
        const uint32_t most = most_on_device(pack, cpu_alone_ms);
        const struct frt_batch_tune_options options = {.work = options_of(pack),
                                                       .most = ours ? most : least(most, FRT_TUNE_CPU_MOST),
                                                       .device = true,
                                                       .largest_first =
                                                           ours && parsed.kind == FRT_DEVICE_TENSORRT,
                                                       .stop = &pack->stop_measuring};
        struct frt_batch_choice choice = {.best = 1};
        struct frt_error err = {0};
        status = frt_batch_tune(&options, &choice, &err);
        if (status == FRT_OK)
            frt_batcher_set_on_device(pack->batcher, choice.best, choice.window_us);
        say(pack, device, status, &choice, &err);
    }
}

static void *measure(void *arg)
{
    struct frt_pack *pack = arg;
    struct frt_batch_tune_options options = {
        .work = options_of(pack), .most = most_on_cpu(pack), .stop = &pack->stop_measuring};
    struct frt_batch_choice choice = {.best = 1};
    struct frt_error err = {0};
    options.work.run = run_narrow;
    enum frt_status status = frt_batch_tune(&options, &choice, &err);
    if (status == FRT_OK)
        frt_batcher_set(pack->batcher, choice.best, choice.window_us);
    say(pack, "cpu", status, &choice, &err);
    /* a net too slow to be measured is too slow for more than the CPU's batch, too */
    if (pack->context->backend->ops->states != NULL && status != FRT_ECANCELLED)
        measure_device(pack, status == FRT_OK ? choice.alone_ms : FALL_MS);
    return NULL;
}

void frt_pack_batches_start(struct frt_pack *pack, uint32_t faces)
{
    if (pack->batcher == NULL || pack->measuring)
        return;
    if (faces != 0 || frt_embedder_batch(pack->embedder) == 1) {
        const uint32_t asked = faces == 0 ? 1 : faces, best = least(asked, most_on_cpu(pack)),
                       device_best = least(asked, most_on_device(pack, 0));
        frt_batcher_set(pack->batcher, best, best == 1 ? 0 : FIXED_WINDOW_US);
        frt_batcher_set_on_device(pack->batcher, device_best, device_best == 1 ? 0 : FIXED_WINDOW_US);
        return;
    }
    /* without a thread there are no batches, and that is all */
    pack->measuring = pthread_create(&pack->measurer, NULL, measure, pack) == 0;
}
