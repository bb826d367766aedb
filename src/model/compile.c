#include "model/compile.h"

#include <stdio.h>
#include <string.h>

#include "model/pass_batch.h"
#include "model/pass_half.h"

static const char *const precision_names[FRT_PRECISION_COUNT] = {"fp32", "fp16-storage", "int8"};

const char *frt_precision_name(enum frt_precision precision)
{
    return (unsigned)precision < FRT_PRECISION_COUNT ? precision_names[precision] : "unknown";
}

bool frt_precision_parse(const char *name, enum frt_precision *out)
{
    for (unsigned i = 0; i < FRT_PRECISION_COUNT; i++) {
        if (strcmp(precision_names[i], name) == 0) {
            *out = (enum frt_precision)i;
            return true;
        }
    }
    return false;
}

struct frt_compile_bounds frt_compile_bounds_default(enum frt_precision precision)
{
    static const struct frt_compile_bounds defaults[FRT_PRECISION_COUNT] = {
        [FRT_PRECISION_FP32] = {.max_relative = 1e-3,
                                .min_cosine = 0.9999,
                                .mean_cosine = 0.99999,
                                .min_iou = 0.99,
                                .max_boxes_apart = 0.005}, /* a score may lie on the threshold */
        [FRT_PRECISION_FP16_STORAGE] = {.max_relative = 2e-2,
                                        .min_cosine = 0.999,
                                        .mean_cosine = 0.9999,
                                        .min_iou = 0.95,
                                        .max_boxes_apart = 0.02},
        /* outputs one by one say little about int8: what counts is what is decided by them */
        [FRT_PRECISION_INT8] = {.max_relative = 1,
                                .min_cosine = 0.95,
                                .mean_cosine = 0.99,
                                .min_iou = 0.8,
                                .max_boxes_apart = 0.05},
    };
    return defaults[precision];
}

/* The passes of the precision. */
static enum frt_status rewrite(struct frt_onnx_model *model, const struct frt_compile_options *options,
                               struct frt_compile_report *report, struct frt_error *err)
{
    enum frt_status status = frt_passes_run(model, FRT_PASS_PLAIN, &report->passes, err);
    if (status == FRT_OK && options->precision == FRT_PRECISION_INT8) {
        status = options->quantise(model, options->task, &report->quantise, err);
        if (status != FRT_OK || report->quantise.quantised > 0)
            return status;
    }
    if (status == FRT_OK)
        status = frt_passes_run(model, FRT_PASS_BLOCKED, &report->passes, err);
    if (status == FRT_OK && options->precision == FRT_PRECISION_FP16_STORAGE)
        status = frt_halve_weights(model, &report->halved, err);
    return status;
}

enum frt_status frt_compile_model(const void *bytes, size_t size, const struct frt_compile_options *options,
                                  uint8_t **out, size_t *out_size, struct frt_compile_report *report,
                                  struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    struct frt_compile_report done = {.bytes_before = size};
    if (options->precision == FRT_PRECISION_INT8 && (options->quantise == NULL || options->task == NULL))
        return frt_fail(err, FRT_EINVAL, "int8 needs a quantiser, which this build does not have");
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status == FRT_OK)
        status = rewrite(model, options, &done, err);
    if (status == FRT_OK && options->batch != FRT_BATCH_AS_IS)
        status = frt_batch_set(model, options->batch, &done.batch_changed, err);
    if (status == FRT_OK)
        frt_onnx_model_forget_shapes(model);
    if (status == FRT_OK)
        status = frt_onnx_model_pack(model, out, out_size, err);
    frt_onnx_model_free(model);
    if (status != FRT_OK)
        return status;
    done.bytes_after = *out_size;
    *report = done;
    return FRT_OK;
}

void frt_compile_report_text(const struct frt_compile_report *report, char out[FRT_SPEC_PATH_MAX])
{
    char passes[FRT_PASS_SUMMARY_MAX], halved[40] = "";
    frt_pass_counts_text(&report->passes, passes);
    if (report->halved > 0)
        (void)snprintf(halved, sizeof halved, "%u weights in f16", report->halved);
    const char *parts[] = {passes, halved, report->quantise.text, report->batch_changed ? "batch" : ""};
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i][0] == '\0')
            continue;
        const int n = snprintf(out + at, FRT_SPEC_PATH_MAX - at, "%s%s", at > 0 ? "; " : "", parts[i]);
        if (n < 0 || (size_t)n >= FRT_SPEC_PATH_MAX - at)
            return;
        at += (size_t)n;
    }
}
