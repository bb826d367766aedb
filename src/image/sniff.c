/* Format by magic number, before any decoder sees a byte. Pure functions. */
#include <string.h>

#include "image/image.h"

static bool starts(const uint8_t *data, size_t size, size_t at, const char *magic, size_t n)
{
    return size >= at + n && memcmp(data + at, magic, n) == 0;
}

/* ISO base media file: the brands after "ftyp" tell HEIC and AVIF from films. */
static enum frt_image_format sniff_ftyp(const uint8_t *data, size_t size)
{
    static const char heic[][5] = {"heic", "heix", "heim", "heis", "hevc", "hevx"};
    size_t box = (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 | (size_t)data[3];
    size_t end = box < size ? box : size;
    enum frt_image_format found = FRT_IMAGE_UNKNOWN;
    for (size_t at = 8; at + 4 <= end && at < 64; at += at == 8 ? 8 : 4) {
        if (starts(data, size, at, "avif", 4))
            return FRT_IMAGE_AVIF;
        for (size_t i = 0; i < sizeof heic / sizeof *heic; i++)
            if (starts(data, size, at, heic[i], 4))
                return FRT_IMAGE_HEIC;
        if (starts(data, size, at, "mif1", 4))
            found = FRT_IMAGE_HEIC;
    }
    return found;
}

enum frt_image_format frt_image_sniff(const void *data, size_t size)
{
    if (starts(data, size, 0, "\xFF\xD8\xFF", 3))
        return FRT_IMAGE_JPEG;
    if (starts(data, size, 0, "\x89PNG\r\n\x1A\n", 8))
        return FRT_IMAGE_PNG;
    if (starts(data, size, 0, "RIFF", 4) && starts(data, size, 8, "WEBP", 4))
        return FRT_IMAGE_WEBP;
    if (size >= 16 && starts(data, size, 4, "ftyp", 4))
        return sniff_ftyp(data, size);
    return FRT_IMAGE_UNKNOWN;
}

const char *frt_image_format_name(enum frt_image_format format)
{
    switch (format) {
    case FRT_IMAGE_JPEG:
        return "jpeg";
    case FRT_IMAGE_PNG:
        return "png";
    case FRT_IMAGE_WEBP:
        return "webp";
    case FRT_IMAGE_HEIC:
        return "heic";
    case FRT_IMAGE_AVIF:
        return "avif";
    case FRT_IMAGE_RAW:
        return "raw";
    case FRT_IMAGE_UNKNOWN:
        break;
    }
    return "unknown";
}
