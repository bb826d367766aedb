/* rooms: model infer net simd core */
/*
 * manifest.json: any bytes are read or refused. What is read can be written, and reads back as the
 * same text; that is checked, too.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "model/pack_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_error err;
    struct frt_manifest *manifest = NULL, *again = NULL;
    struct frt_buf first, second;
    if (frt_manifest_parse(data, size, &manifest, &err) != FRT_OK)
        return 0;
    frt_buf_init(&first, (size_t)8 << 20);
    frt_buf_init(&second, (size_t)8 << 20);
    if (frt_manifest_print(manifest, &first) != FRT_OK ||
        frt_manifest_parse(first.data, first.size, &again, &err) != FRT_OK ||
        frt_manifest_print(again, &second) != FRT_OK || first.size != second.size ||
        memcmp(first.data, second.data, first.size) != 0)
        abort();
    frt_buf_deinit(&first);
    frt_buf_deinit(&second);
    frt_manifest_free(manifest);
    frt_manifest_free(again);
    return 0;
}
