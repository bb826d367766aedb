/* rooms: model infer net simd core */
/* catalogue.json: any bytes are read or refused; what is read can be looked through. */
#include "model/catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_catalogue *catalogue = NULL;
    const struct frt_catalogue_pack *pack = NULL;
    struct frt_error err;
    if (frt_catalogue_parse(data, size, &catalogue, &err) != FRT_OK)
        return 0;
    for (uint32_t i = 0; i < catalogue->n_packs; i++)
        if (frt_catalogue_find(catalogue, catalogue->packs[i].name, &pack, &err) != FRT_OK ||
            frt_catalogue_pack_bytes(pack) == 0)
            __builtin_trap();
    frt_catalogue_free(catalogue);
    return 0;
}
