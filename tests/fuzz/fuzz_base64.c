/* rooms: core */
/*
 * base64: the decoder never writes beyond its capacity; what it takes, encoded and decoded again, is the
 * same bytes; decoding in place gives what decoding elsewhere gives.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t most = (size - 1) / 4 * 3 + 3;
    size_t capacity = (data[0] & 1) != 0 ? most : data[0] % most; /* too small at times */
    const char *text = (const char *)data + 1;
    char *out = malloc(capacity + 1), *in_place = malloc(size),
         *encoded = malloc(frt_base64_encoded_size(most)), *back = malloc(most);
    size_t n = 0, m = 0;
    if (out == NULL || in_place == NULL || encoded == NULL || back == NULL)
        goto done;
    out[capacity] = 0x55;
    enum frt_status status = frt_base64_decode(text, size - 1, out, capacity, &n, NULL);
    if (out[capacity] != 0x55)
        abort();
    if (status != FRT_OK)
        goto done;
    frt_base64_encode(out, n, encoded);
    if (frt_base64_decode(encoded, strlen(encoded), back, most, &m, NULL) != FRT_OK || m != n ||
        memcmp(back, out, n) != 0)
        abort();
    memcpy(in_place, text, size - 1);
    if (frt_base64_decode(in_place, size - 1, in_place, size, &m, NULL) != FRT_OK || m != n ||
        memcmp(in_place, out, n) != 0)
        abort();
done:
    free(out);
    free(in_place);
    free(encoded);
    free(back);
    return 0;
}
