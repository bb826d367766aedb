#include "model/rewrite.h"

#include <string.h>

bool frt_rewrite_pays(const void *bytes, size_t size)
{
    /* an operator's name as a field of a node: field 4, a text, its length */
    static const char *const names[] = {"\x22\x05PRelu", "\x22\x03Max", "\x22\x03Min",
                                        ("\x22\x12"
                                         "BatchNormalization")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (memmem(bytes, size, names[i], strlen(names[i])) != NULL)
            return true;
    return false;
}

enum frt_status frt_rewrite_for_runtime(const void *bytes, size_t size, uint8_t **out, size_t *out_size,
                                        struct frt_pass_counts *counts, struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    struct frt_pass_counts changed = {0};
    uint8_t *packed = NULL;
    size_t packed_size = 0;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status == FRT_OK)
        status = frt_passes_run(model, FRT_PASS_PLAIN | FRT_PASS_BLOCKED, &changed, err);
    if (status == FRT_OK && frt_pass_counts_sum(&changed) > 0)
        status = frt_onnx_model_pack(model, &packed, &packed_size, err);
    frt_onnx_model_free(model);
    if (status != FRT_OK)
        return status;
    if (counts != NULL)
        *counts = changed;
    *out = packed;
    *out_size = packed_size;
    return FRT_OK;
}
