/*
 * A pack → the same pack, compiled: faster graphs, checked against the original on real faces.
 *
 *     photos ─ the original pack, recording (input_recorder.h) ─> what each model is fed with, what is found
 *         each model: file ─ compile.h ─> file ─ both on those inputs (model_drift.h) ─ within bounds? ─┐
 *         the new pack, in a folder of its own beside the target: every detector again on the photos ──┤
 *                                                                     target's name <── rename ────────┘
 *
 * Nothing is left behind where anything fails or is past its bound. What nothing fed, a model that no photo of
 * faces reaches, is copied as it is.
 *
 * Identity: see compile.h.
 *
 * Threading: one owner. Single-threaded but for the runtime.
 */
#ifndef FRT_ENGINE_PACK_COMPILE_H
#define FRT_ENGINE_PACK_COMPILE_H

#include "engine/context.h"
#include "engine/model_drift.h"
#include "engine/pack_locate.h"
#include "model/compile.h"
#include "model/pack_files.h"

struct frt_pack_compile_options {
    const char *pack; /* folder; required */
    const char *out;  /* folder; NULL = the pack's, with "-compiled" behind it */
    enum frt_precision precision;
    int64_t batch;                    /* of the embedder: 1, FRT_BATCH_DYNAMIC, or FRT_BATCH_AS_IS */
    char *const *photos;              /* [n_photos] files; at least one with a face */
    size_t n_photos;                  /* more than enough are thinned out evenly */
    uint32_t max_inputs;              /* recorded a model; 0 = 96 */
    frt_quantise_fn *quantise;        /* for int8 */
    struct frt_compile_bounds bounds; /* zeros: the precision's */
    /* May be NULL. doing: "photos", "models", …; the quantiser's own words */
    void (*progress)(void *arg, const char *doing, uint32_t done, uint32_t total);
    void *progress_arg;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

/** One model's way. */
struct frt_compiled_model {
    const char *name, *role;      /* borrowed from the report's manifest */
    bool compiled;                /* false: copied as it is, as nothing fed it */
    char text[FRT_SPEC_PATH_MAX]; /* passes and what else was done; "" = nothing to do */
    size_t bytes_before, bytes_after;
    struct frt_model_drift drift;
    /* detectors: over all photos */
    uint32_t boxes, boxes_apart; /* that both find; that one finds alone */
    double min_iou, mean_iou;    /* of those that both find; 1 where there are none */
};

struct frt_pack_compile_report {
    char out[FRT_LOCATE_PATH_MAX];
    struct frt_manifest *manifest; /* the new one; owned */
    uint32_t n_models;
    struct frt_compiled_model models[FRT_PACK_MAX_MODELS];
    size_t photos, faces; /* looked at, found by the default detector */
};
void frt_pack_compile_report_deinit(struct frt_pack_compile_report *report);

/**
 * context  borrowed; its backend runs everything.
 * report   filled on success only; deinit it.
 * Errors: FRT_ENOTFOUND, FRT_EBAD_MODEL (a file that is not the manifest's; a drift past its bound: which
 * model, how far), FRT_EINVAL (no face in the photos; the target is there and no compiled pack),
 * FRT_ECANCELLED, FRT_EIO, FRT_ENOMEM, FRT_ERUNTIME. The target is then as it was.
 */
FRT_NODISCARD enum frt_status frt_pack_compile(const struct frt_context *context,
                                               const struct frt_pack_compile_options *options,
                                               struct frt_pack_compile_report *report, struct frt_error *err);

#endif
