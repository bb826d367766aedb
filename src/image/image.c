/* Opening images and turning decode requests into what the decoders understand. Design: image.h. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "image/image_internal.h"
#include "image/orient.h"
#include "image/shrink.h"

enum {
    DEFAULT_MAX_PIXELS = 50000000,
    DEFAULT_MAX_SIDE_PX = 16384,
    MAX_SHRINK = 4096,         /* the sum over a block of 4096 x 4096 still fits 32 bits */
    MAX_FILE_BYTES = 256 << 20 /* a file of 50 megapixels, 16 bits, uncompressed, and then some */
};

static enum frt_status check_limits(const struct frt_image_limits *limits, uint64_t width, uint64_t height,
                                    struct frt_error *err)
{
    uint64_t pixels = limits != NULL && limits->max_pixels != 0 ? limits->max_pixels : DEFAULT_MAX_PIXELS;
    uint64_t side = limits != NULL && limits->max_side_px != 0 ? limits->max_side_px : DEFAULT_MAX_SIDE_PX;
    if (width == 0 || height == 0)
        return frt_fail(err, FRT_EBAD_IMAGE, "the image is %llu x %llu pixels", (unsigned long long)width,
                        (unsigned long long)height);
    if (width > side || height > side || width * height > pixels)
        return frt_fail(err, FRT_EIMAGE_TOO_LARGE,
                        "the image is %llu x %llu pixels; at most %llu a side and %llu in all fit",
                        (unsigned long long)width, (unsigned long long)height, (unsigned long long)side,
                        (unsigned long long)pixels);
    return FRT_OK;
}

/* Raw pixels: "decoding" is cutting out and averaging. */
static enum frt_status decode_raw(const struct frt_image *image, const struct stored_request *q,
                                  struct frt_frame *out, struct frt_error *err)
{
    struct frt_shrink shrink;
    if (q->shrink == 1) { /* nothing to compute: lend the caller's pixels */
        *out = (struct frt_frame){
            .pixels = (uint8_t *)(uintptr_t)(image->data + q->y * image->stride_bytes + (size_t)q->x * 3),
            .width_px = q->width,
            .height_px = q->height,
            .stride_bytes = image->stride_bytes,
            .origin_x = q->x,
            .origin_y = q->y,
            .scale_x = 1,
            .scale_y = 1,
            .borrowed = true};
        return FRT_OK;
    }
    enum frt_status status = frt_shrink_init(&shrink, q->x, q->y, q->width, q->height, q->shrink, err);
    if (status != FRT_OK)
        return status;
    for (uint32_t y = q->y; y < q->y + q->height; y++)
        frt_shrink_row(&shrink, y, image->data + y * image->stride_bytes);
    frt_shrink_take(&shrink, out);
    return FRT_OK;
}

static const struct image_decoder decoder_raw = {NULL, decode_raw};

static const struct image_decoder *decoder_of(enum frt_image_format format)
{
    switch (format) {
    case FRT_IMAGE_JPEG:
        return &image_decoder_jpeg;
    case FRT_IMAGE_PNG:
        return &image_decoder_png;
    case FRT_IMAGE_WEBP:
        return &image_decoder_webp;
    case FRT_IMAGE_HEIC:
    case FRT_IMAGE_AVIF:
        return &image_decoder_heif;
    case FRT_IMAGE_RAW:
        return &decoder_raw;
    case FRT_IMAGE_UNKNOWN:
        break;
    }
    return NULL;
}

/* Takes `owned`, the bytes to free with the image (NULL: the caller keeps them), only when it succeeds. */
static enum frt_status open_bytes(const struct frt_image_limits *limits, const void *data, size_t size,
                                  void *owned, struct frt_image **out, struct frt_error *err)
{
    struct image_header header = {0};
    enum frt_image_format format = frt_image_sniff(data, size);
    const struct image_decoder *decoder = decoder_of(format);
    if (size == 0)
        return frt_fail(err, FRT_EUNSUPPORTED_IMAGE, "the image is empty");
    if (decoder == NULL || decoder->read_header == NULL)
        return frt_fail(err, FRT_EUNSUPPORTED_IMAGE,
                        "the bytes are none of the formats read here: JPEG, PNG, WebP, HEIC, AVIF");
    enum frt_status status = decoder->read_header(data, size, &header, err);
    if (status == FRT_OK)
        status = check_limits(limits, header.width_px, header.height_px, err);
    if (status != FRT_OK)
        return status;
    struct frt_image *image = frt_alloc_zero(1, sizeof *image);
    if (image == NULL)
        return frt_fail_nomem(err, "an image");
    image->data = data;
    image->size = size;
    image->owned = owned;
    image->format = format;
    image->header = header;
    image->decoder = decoder;
    *out = image;
    return FRT_OK;
}

enum frt_status frt_image_open(const struct frt_image_limits *limits, const void *data, size_t size,
                               struct frt_image **out, struct frt_error *err)
{
    return open_bytes(limits, data, size, NULL, out, err);
}

enum frt_status frt_image_wrap(const struct frt_image_limits *limits, const uint8_t *pixels, uint32_t width_px,
                               uint32_t height_px, size_t stride_bytes, struct frt_image **out,
                               struct frt_error *err)
{
    enum frt_status status = check_limits(limits, width_px, height_px, err);
    if (status != FRT_OK)
        return status;
    if (pixels == NULL)
        return frt_fail(err, FRT_EINVAL, "pixels are NULL");
    if (stride_bytes < (size_t)width_px * 3)
        return frt_fail(err, FRT_EINVAL, "stride is %zu bytes; at least %zu fit %u RGB pixels", stride_bytes,
                        (size_t)width_px * 3, width_px);
    struct frt_image *image = frt_alloc_zero(1, sizeof *image);
    if (image == NULL)
        return frt_fail_nomem(err, "an image");
    image->data = pixels;
    image->stride_bytes = stride_bytes;
    image->format = FRT_IMAGE_RAW;
    image->header = (struct image_header){width_px, height_px, 3, 8, 1, .scales = true};
    image->decoder = &decoder_raw;
    *out = image;
    return FRT_OK;
}

/* Into memory, not mapped: a file that shrinks while mapped would kill the process with SIGBUS. */
static enum frt_status read_file(int fd, const char *path, uint8_t **data, size_t *size, struct frt_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return frt_fail(err, FRT_EUNSUPPORTED_IMAGE, "%s: not a regular file", path);
    if (st.st_size == 0)
        return frt_fail(err, FRT_EUNSUPPORTED_IMAGE, "%s: the file is empty", path);
    if (st.st_size > MAX_FILE_BYTES)
        return frt_fail(err, FRT_EBODY_TOO_LARGE, "%s: %lld bytes; at most %d fit", path, (long long)st.st_size,
                        MAX_FILE_BYTES);
    uint8_t *bytes = frt_alloc((size_t)st.st_size);
    if (bytes == NULL)
        return frt_fail_nomem(err, "an image file");
    size_t have = 0;
    while (have < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + have, (size_t)st.st_size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            frt_free(bytes);
            return frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
        }
        if (n == 0)
            break;
        have += (size_t)n;
    }
    *data = bytes;
    *size = have;
    return FRT_OK;
}

enum frt_status frt_image_map(const struct frt_image_limits *limits, const char *path, struct frt_image **out,
                              struct frt_error *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    /* non-blocking, so that a FIFO without a writer does not hang the open */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return frt_fail(err, errno == ENOENT || errno == ENOTDIR ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", path,
                        strerror(errno));
    enum frt_status status = read_file(fd, path, &data, &size, err);
    (void)close(fd);
    if (status != FRT_OK)
        return status;
    status = open_bytes(limits, data, size, data, out, err);
    if (status != FRT_OK) {
        frt_free(data);
        return frt_fail_within(err, status, "%s", path);
    }
    return FRT_OK;
}

void frt_image_free(struct frt_image *image)
{
    if (image == NULL)
        return;
    frt_free(image->owned);
    frt_free(image);
}

const void *frt_image_bytes(const struct frt_image *image, size_t *size)
{
    *size = image->size;
    return image->format == FRT_IMAGE_RAW ? NULL : image->data;
}

bool frt_image_scales(const struct frt_image *image)
{
    return image->header.scales;
}

struct frt_image_info frt_image_info_get(const struct frt_image *image)
{
    const struct image_header *h = &image->header;
    bool swap = frt_orient_swaps(h->orientation);
    return (struct frt_image_info){.format = image->format,
                                   .width_px = swap ? h->height_px : h->width_px,
                                   .height_px = swap ? h->width_px : h->height_px,
                                   .orientation = h->orientation,
                                   .channels = h->channels,
                                   .bit_depth = h->bit_depth};
}

/* Upright request → whole stored pixels that cover it, clipped to the image. */
static enum frt_status to_stored(const struct frt_image *image, const struct frt_decode_request *request,
                                 struct stored_request *out, struct frt_error *err)
{
    const struct image_header *h = &image->header;
    struct frt_box r = {0, 0, (float)h->width_px, (float)h->height_px};
    if (request->region.width > 0)
        r = frt_orient_to_stored(h->orientation, &request->region, h->width_px, h->height_px);
    double x0 = fmax(0, floor((double)r.x)), y0 = fmax(0, floor((double)r.y));
    double x1 = fmin(h->width_px, ceil((double)r.x + (double)r.width));
    double y1 = fmin(h->height_px, ceil((double)r.y + (double)r.height));
    if (!(x1 > x0 && y1 > y0))
        return frt_fail(err, FRT_EINVAL, "the region lies outside the image");
    out->x = (uint32_t)x0;
    out->y = (uint32_t)y0;
    out->width = (uint32_t)(x1 - x0);
    out->height = (uint32_t)(y1 - y0);
    uint32_t side = out->width > out->height ? out->width : out->height;
    out->shrink = request->want_side_px == 0 || side < request->want_side_px ? 1 : side / request->want_side_px;
    if (out->shrink > MAX_SHRINK)
        out->shrink = MAX_SHRINK;
    return FRT_OK;
}

enum frt_status frt_image_decode(const struct frt_image *image, const struct frt_decode_request *request,
                                 struct frt_frame *out, struct frt_error *err)
{
    struct stored_request stored;
    struct frt_frame frame = {0};
    const struct image_header *h = &image->header;
    enum frt_status status = to_stored(image, request, &stored, err);
    if (status == FRT_OK)
        status = image->decoder->decode(image, &stored, &frame, err);
    if (status == FRT_OK)
        status = frt_orient_frame(h->orientation, h->width_px, h->height_px, &frame, err);
    if (status != FRT_OK) {
        frt_frame_deinit(&frame);
        return status;
    }
    *out = frame;
    return FRT_OK;
}

void frt_frame_deinit(struct frt_frame *frame)
{
    if (!frame->borrowed)
        frt_free(frame->pixels);
    frame->pixels = NULL;
}
