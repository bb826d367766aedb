#include "model/passes.h"

#include <stdio.h>
#include <string.h>

static const struct frt_pass table[] = {
    {"constants", frt_pass_constants, FRT_PASS_PLAIN, "what does not depend on the input is computed once"},
    {"identity", frt_pass_identity, FRT_PASS_PLAIN, "Identity and Dropout, which do nothing, are taken out"},
    {"gemm", frt_pass_gemm, FRT_PASS_PLAIN, "MatMul and the sum behind it as one Gemm"},
    {"clip", frt_pass_clip, FRT_PASS_PLAIN,
     "Min and Max with constants as Clip or Relu, parts of the layer before"},
    {"batchnorm", frt_pass_batchnorm, FRT_PASS_PLAIN,
     "BatchNormalization into the weights of the layer beside it"},
    {"scale", frt_pass_scale, FRT_PASS_PLAIN,
     "products and sums with constants into the weights of the layer beside them"},
    {"dead", frt_pass_dead, FRT_PASS_PLAIN, "nodes and weights that nobody reads are taken out"},
    {"channels", frt_pass_channels, FRT_PASS_BLOCKED,
     "channels that are not whole blocks of the runtime's layout are filled up with zeros"},
    {"prelu", frt_pass_prelu, FRT_PASS_BLOCKED,
     "PReLU as relu and multiply-add: the runtime's blocked layout has none"},
    {"groups", frt_pass_groups, FRT_PASS_BLOCKED,
     "grouped convolutions of few channels a group as wide or depthwise ones, which have fast kernels"},
};
enum { N_PASSES = sizeof table / sizeof *table };
_Static_assert(sizeof table / sizeof *table <= FRT_PASS_MAX, "counts hold every pass");

const struct frt_pass *frt_pass_get(uint32_t i)
{
    return i < N_PASSES ? &table[i] : NULL;
}

uint32_t frt_pass_count_of(const struct frt_pass_counts *counts, const char *name)
{
    for (uint32_t i = 0; i < N_PASSES; i++)
        if (strcmp(table[i].name, name) == 0)
            return counts->changed[i];
    return 0;
}

uint32_t frt_pass_counts_sum(const struct frt_pass_counts *counts)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < N_PASSES; i++)
        sum += counts->changed[i];
    return sum;
}

void frt_pass_counts_text(const struct frt_pass_counts *counts, char out[FRT_PASS_SUMMARY_MAX])
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < N_PASSES; i++) {
        if (counts->changed[i] == 0)
            continue;
        const int n = snprintf(out + at, FRT_PASS_SUMMARY_MAX - at, "%s%s %u", at > 0 ? ", " : "",
                               table[i].name, counts->changed[i]);
        if (n < 0 || (size_t)n >= FRT_PASS_SUMMARY_MAX - at)
            return;
        at += (size_t)n;
    }
}

enum frt_status frt_passes_run(struct frt_onnx_model *model, unsigned kinds, struct frt_pass_counts *counts,
                               struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (frt_onnx_model_has_inner_graphs(model))
        return FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < N_PASSES; i++)
        if ((table[i].kind & kinds) != 0)
            status = table[i].run(model, &counts->changed[i], err);
    return status;
}
