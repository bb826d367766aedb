#include "core/checksum.h"

#include <xxhash.h>

uint64_t frt_checksum64(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size);
}
