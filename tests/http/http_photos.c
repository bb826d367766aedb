#include "http_photos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"
#include "image/jpeg_write.h"

static const char sample[] = "node_modules/@vladmandic/face-api/demo/sample1.jpg";
static const char manifest[] = "data/packs/default/manifest.json";

enum { WIDTH = 640, HEIGHT = 480, QUALITY = 92 };

bool photos_are_there(void)
{
    const char *const paths[] = {sample, manifest};
    for (size_t i = 0; i < 2; i++)
        if (access(paths[i], R_OK) != 0) {
            (void)printf("SKIP: %s is not there (make pack)\n", paths[i]);
            return false;
        }
    return true;
}

static struct photo encode(const uint8_t *pixels, size_t stride_bytes)
{
    uint8_t *bytes = NULL;
    struct photo photo = {.width = WIDTH, .height = HEIGHT};
    if (frt_jpeg_encode(pixels, WIDTH, HEIGHT, stride_bytes, QUALITY, &bytes, &photo.size, NULL) != FRT_OK)
        abort();
    photo.data = malloc(photo.size);
    if (photo.data == NULL)
        abort();
    memcpy(photo.data, bytes, photo.size);
    frt_jpeg_bytes_free(bytes);
    return photo;
}

struct photo photo_of(int person)
{
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    const struct frt_decode_request request = {.region = person == 1
                                                             ? (struct frt_box){1240, 60, WIDTH, HEIGHT}
                                                             : (struct frt_box){100, 230, WIDTH, HEIGHT}};
    if (frt_image_map(NULL, sample, &image, NULL) != FRT_OK ||
        frt_image_decode(image, &request, &frame, NULL) != FRT_OK || frame.width_px != WIDTH ||
        frame.height_px != HEIGHT)
        abort();
    struct photo photo = encode(frame.pixels, frame.stride_bytes);
    frt_frame_deinit(&frame);
    frt_image_free(image);
    return photo;
}

struct photo photo_blank(void)
{
    uint8_t *grey = malloc((size_t)WIDTH * HEIGHT * 3);
    if (grey == NULL)
        abort();
    memset(grey, 128, (size_t)WIDTH * HEIGHT * 3);
    struct photo photo = encode(grey, (size_t)WIDTH * 3);
    free(grey);
    return photo;
}
