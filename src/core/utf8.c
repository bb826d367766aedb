#include "core/utf8.h"

#include <string.h>

/* Length of the well-formed sequence at p, 0 when there is none. */
static size_t sequence(const unsigned char *p, size_t left)
{
    if (left == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t n;
    unsigned char low = 0x80, high = 0xBF;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        n = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        n = 3;
        if (p[0] == 0xE0)
            low = 0xA0;
        if (p[0] == 0xED)
            high = 0x9F;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        n = 4;
        if (p[0] == 0xF0)
            low = 0x90;
        if (p[0] == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (left < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    return n;
}

bool frt_utf8_valid(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        size_t n = sequence(p + i, size - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void frt_utf8_sanitise(char *text)
{
    unsigned char *p = (unsigned char *)text;
    size_t size = strlen(text);
    for (size_t i = 0; i < size;) {
        size_t n = sequence(p + i, size - i);
        if (n == 0 || (n == 1 && (p[i] < 0x20 || p[i] == 0x7F))) {
            p[i] = '?';
            n = 1;
        }
        i += n;
    }
}
