/* rooms: image core */
/* The png reader: whatever the bytes, a frame or an error. */
#include "fuzz_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (frt_image_sniff(data, size) == FRT_IMAGE_PNG)
        fuzz_image(data, size);
    return 0;
}
