#include "core/unique_bits.h"

#include "core/crypto.h"

uint64_t frt_unique_bits(void)
{
    static _Thread_local uint64_t state[2];
    if (state[1] == 0) {
        frt_random_bytes(state, sizeof state);
        state[1] |= 1;
    }
    uint64_t z = state[0] += state[1]; /* any odd step goes through all states */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void frt_unique_hex(char *out, size_t digits)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        if (i % 16 == 0)
            bits = frt_unique_bits();
        out[i] = "0123456789abcdef"[bits & 15];
        bits >>= 4;
    }
    out[digits] = '\0';
}
