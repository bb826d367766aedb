/*
 * The pack's batches: its embedder behind a batcher (where the context has stages), and the thread that
 * measures which batch is best.
 */
#include <string.h>

#include "core/log.h"
#include "engine/batch_tune.h"
#include "engine/pack.h"

enum { FIXED_WINDOW_US = 20000, QUEUE = 256 };

static enum frt_status run(void *arg, const uint8_t *const *items, size_t n, float *out, double *inference_ms,
                           struct frt_error *err)
{
    const struct frt_pack *pack = arg;
    frt_context_settle_width(pack->context);
    return frt_embedder_run_each(pack->embedder, items, n, out, inference_ms, err);
}

/* On one core, for its CPU time to be the measure. */
static enum frt_status run_narrow(void *arg, const uint8_t *const *items, size_t n, float *out,
                                  double *inference_ms, struct frt_error *err)
{
    const struct frt_pack *pack = arg;
    frt_infer_width_set(FRT_INFER_NARROW);
    return frt_embedder_run_each(pack->embedder, items, n, out, inference_ms, err);
}

static struct frt_batcher_options options_of(struct frt_pack *pack)
{
    return (struct frt_batcher_options){.stages = pack->context->stages,
                                        .queue = QUEUE,
                                        .dim = pack->info.dim,
                                        .item_bytes = frt_embedder_chip_bytes(pack->embedder),
                                        .run = run,
                                        .arg = pack};
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
        atomic_store(&pack->stop_measuring, true);
        (void)pthread_join(pack->measurer, NULL);
    }
    frt_batcher_free(pack->batcher);
}

static void *measure(void *arg)
{
    struct frt_pack *pack = arg;
    struct frt_batch_tune_options options = {
        .work = options_of(pack), .most = frt_embedder_batch(pack->embedder), .stop = &pack->stop_measuring};
    struct frt_batch_choice choice;
    struct frt_error err = {0};
    options.work.run = run_narrow;
    enum frt_status status = frt_batch_tune(&options, &choice, &err);
    if (status == FRT_OK) {
        frt_batcher_set(pack->batcher, choice.best, choice.window_us);
        frt_log(FRT_LOG_INFO, "batches", FRT_LOG_STR("model", pack->info.embedder_name),
                FRT_LOG_INT("faces", choice.best), FRT_LOG_NUM("alone_ms", choice.alone_ms),
                FRT_LOG_NUM("face_ms", choice.best_ms), FRT_LOG_NUM("window_ms", choice.window_us / 1000.0),
                FRT_LOG_END);
    } else if (status != FRT_ECANCELLED) {
        frt_log(FRT_LOG_INFO, "no batches", FRT_LOG_STR("model", pack->info.embedder_name),
                FRT_LOG_STR("why", err.text), FRT_LOG_END);
    }
    return NULL;
}

void frt_pack_batches_start(struct frt_pack *pack, uint32_t faces)
{
    if (pack->batcher == NULL || pack->measuring)
        return;
    if (faces != 0 || frt_embedder_batch(pack->embedder) == 1) {
        uint32_t most = frt_embedder_batch(pack->embedder), best = faces == 0 || faces > most ? most : faces;
        frt_batcher_set(pack->batcher, best, best == 1 ? 0 : FIXED_WINDOW_US);
        return;
    }
    /* without a thread there are no batches, and that is all */
    pack->measuring = pthread_create(&pack->measurer, NULL, measure, pack) == 0;
}
