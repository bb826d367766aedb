#include "image/exif.h"

#include <stdbool.h>
#include <string.h>

static uint32_t read_u16(const uint8_t *p, bool big)
{
    return big ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t read_u32(const uint8_t *p, bool big)
{
    return big ? read_u16(p, big) << 16 | read_u16(p + 2, big) : read_u16(p + 2, big) << 16 | read_u16(p, big);
}

uint8_t frt_exif_orientation(const uint8_t *data, size_t size)
{
    enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ENTRY_BYTES = 12 };
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    if (size < 8 || (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0))
        return 1;
    bool big = data[0] == 'M';
    size_t at = read_u32(data + 4, big);
    if (at > size || size - at < 2)
        return 1;
    size_t entries = read_u16(data + at, big);
    at += 2;
    for (size_t i = 0; i < entries && size - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        const uint8_t *entry = data + at;
        if (read_u16(entry, big) != TAG_ORIENTATION || read_u16(entry + 2, big) != TYPE_SHORT)
            continue;
        uint32_t value = read_u16(entry + 8, big);
        return value >= 1 && value <= 8 ? (uint8_t)value : 1;
    }
    return 1;
}
