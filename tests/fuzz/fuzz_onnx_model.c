/* rooms: model infer net simd core */
/* Model files: read, rewritten, written. */
#include "core/mem.h"
#include "model/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *out = NULL;
    size_t out_size = 0;
    struct frt_error err;
    if (frt_rewrite_for_runtime(data, size, &out, &out_size, NULL, &err) == FRT_OK)
        frt_free(out);
    return 0;
}
