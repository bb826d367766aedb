/*
 * Compiling one model: its file in memory → a file that the runtime runs faster.
 *
 *     bytes ─ parse ─ plain passes ─┬─ blocked passes ──────────────────┬─ batch ─ pack ─> bytes     fp32
 *                                   ├─ blocked passes ─ weights in half ┤ fp16-storage └─ the quantiser
 * ───────────────────┘                            int8
 *
 * Where the inputs come from (photos, decoded, detected, aligned by the pack's own models), what becomes of the
 * result and whether it is close enough to the original is engine/pack_compile.h's.
 *
 * Identity: what is exact but for rounding (fp32, fp16-storage) keeps the model's name and version, and its
 * embeddings meet the original's in one gallery. INT8 moves embeddings: its version gets the suffix
 * FRT_INT8_SUFFIX, and the two never meet in one index.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_COMPILE_H
#define FRT_MODEL_COMPILE_H

#include "infer/infer.h"
#include "infer/model_spec.h"
#include "model/passes.h"

#define FRT_INT8_SUFFIX "+int8"

enum frt_precision { FRT_PRECISION_FP32 = 0, FRT_PRECISION_FP16_STORAGE, FRT_PRECISION_INT8 };
enum { FRT_PRECISION_COUNT = 3, FRT_BATCH_AS_IS = 0, FRT_BATCH_DYNAMIC = -1 };

/** "fp32", "fp16-storage", "int8". Static storage. */
const char *frt_precision_name(enum frt_precision precision);
/** False: no such name. */
bool frt_precision_parse(const char *name, enum frt_precision *out);

/** What a model is fed with in use, ready for frt_session_run: one input tensor each, a batch of one. All lie
 * in memory and may be walked any number of times. Borrowed. */
struct frt_compile_inputs {
    const struct frt_tensor *tensors;
    uint32_t n;
};

/** How far a compiled model may be from its original on those inputs. Zero = the precision's default
 *  (frt_compile_bounds_default). */
struct frt_compile_bounds {
    double max_relative;    /* largest difference of a raw output, relative to that output's largest value */
    double min_cosine;      /* embedders: of each face's embedding */
    double mean_cosine;     /* embedders: of all of them */
    double min_iou;         /* detectors: of the boxes that both find */
    double max_boxes_apart; /* detectors: share of boxes that only one of the two finds */
};
struct frt_compile_bounds frt_compile_bounds_default(enum frt_precision precision);

/** What the quantiser may use. Everything is borrowed. */
struct frt_quantise_task {
    struct frt_backend *backend; /* runs the model, or parts of it, by frt_session_open_bytes */
    const struct frt_model_spec *spec;
    const struct frt_compile_inputs *inputs; /* n >= 1 */
    struct frt_compile_bounds bounds;
    /* May be NULL. doing: "ranges", "sensitivity" */
    void (*progress)(void *arg, const char *doing, uint32_t done, uint32_t total);
    void *progress_arg;
    bool (*cancelled)(void *arg); /* may be NULL; true → FRT_ECANCELLED */
    void *cancelled_arg;
};

struct frt_quantise_report {
    uint32_t quantised, kept; /* layers */
    char text[160];           /* one line for the manifest and people: "52 of 54 layers, entropy" */
};

/**
 * Quantise in place. The model has been through the plain passes (constants folded, BatchNorm in the
 * convolutions, nothing dead); the blocked ones have not run, and the quantiser runs them itself where it wants
 * them (frt_passes_run). A model that gains nothing is left as it is, with `quantised` 0. Errors: FRT_ENOMEM,
 * FRT_EBAD_MODEL, FRT_ERUNTIME, FRT_ECANCELLED.
 */
typedef enum frt_status frt_quantise_fn(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                                        struct frt_quantise_report *report, struct frt_error *err);

struct frt_compile_options {
    enum frt_precision precision;
    int64_t batch;                        /* a number >= 1, FRT_BATCH_DYNAMIC, or FRT_BATCH_AS_IS */
    frt_quantise_fn *quantise;            /* needed for FRT_PRECISION_INT8 */
    const struct frt_quantise_task *task; /* the same */
};

struct frt_compile_report {
    struct frt_pass_counts passes;
    struct frt_quantise_report quantise;
    uint32_t halved; /* weights stored as f16 */
    bool batch_changed;
    size_t bytes_before, bytes_after;
};

/**
 * Errors: FRT_EBAD_MODEL (not readable, or a batch that the graph does not allow), FRT_EINVAL (int8 without a
 * quantiser), FRT_ENOMEM, and the quantiser's. `out` is owned (frt_free), also where nothing was to change.
 */
FRT_NODISCARD enum frt_status frt_compile_model(const void *bytes, size_t size,
                                                const struct frt_compile_options *options, uint8_t **out,
                                                size_t *out_size, struct frt_compile_report *report,
                                                struct frt_error *err);

/** "batchnorm 33, prelu 34; 52 of 54 layers, entropy" for the manifest. Cut to fit. */
void frt_compile_report_text(const struct frt_compile_report *report, char out[FRT_SPEC_PATH_MAX]);

#endif
