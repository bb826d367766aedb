/* rooms: model infer net simd core */
/* Model files: what their graphs begin with. */
#include <string.h>

#include "model/graph_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_graph_head head;
    struct frt_error err;
    if (frt_graph_head_look(data, size, &head, &err) == FRT_OK && strlen(head.ops) >= sizeof head.ops)
        __builtin_trap();
    return 0;
}
