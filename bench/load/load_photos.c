#include "load/load_photos.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/image.h"
#include "image/jpeg_write.h"

enum { PROBE_MIN = 16000, PROBE_MAX = 21000, CUT_WIDTH = 640, CUT_HEIGHT = 480 };

static const char sample[] = "node_modules/@vladmandic/face-api/demo/sample1.jpg";

static _Noreturn void give_up(const char *what)
{
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static bool read_photo(struct load_photo *photo, const char *path, const char *person)
{
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file == NULL)
        return false;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0) {
        photo->data = malloc((size_t)size);
        photo->size = (size_t)size;
        if (photo->data == NULL || fread(photo->data, 1, photo->size, file) != photo->size)
            give_up("a photo cannot be read");
        (void)snprintf(photo->person, sizeof photo->person, "%s", person);
    }
    (void)fclose(file);
    return size > 0;
}

/* ---------------------------------------------------------------- encoding */

struct pixels {
    uint8_t *rgb;
    uint32_t width, height;
};

static struct pixels decode(const void *data, size_t size, const struct frt_box *region)
{
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_decode_request request = {0};
    if (region != NULL)
        request.region = *region;
    if (frt_image_open(NULL, data, size, &image, NULL) != FRT_OK ||
        frt_image_decode(image, &request, &frame, NULL) != FRT_OK)
        give_up("a photo cannot be decoded");
    struct pixels out = {.width = frame.width_px, .height = frame.height_px};
    size_t row = (size_t)out.width * 3;
    out.rgb = malloc(row * out.height);
    if (out.rgb == NULL)
        give_up("out of memory");
    for (uint32_t y = 0; y < out.height; y++)
        memcpy(out.rgb + y * row, frame.pixels + y * frame.stride_bytes, row);
    frt_frame_deinit(&frame);
    frt_image_free(image);
    return out;
}

/* Bilinear, by a whole number, and a little noise as sensors have it, lest the file shrink again. */
static struct pixels enlarge(struct pixels in, uint32_t times)
{
    struct pixels out = {.width = in.width * times, .height = in.height * times};
    uint32_t noise = 1;
    out.rgb = malloc((size_t)out.width * out.height * 3);
    if (out.rgb == NULL)
        give_up("out of memory");
    for (uint32_t y = 0; y < out.height; y++)
        for (uint32_t x = 0; x < out.width; x++)
            for (uint32_t c = 0; c < 3; c++) {
                uint32_t x0 = x / times, y0 = y / times;
                uint32_t x1 = x0 + 1 < in.width ? x0 + 1 : x0, y1 = y0 + 1 < in.height ? y0 + 1 : y0;
                uint32_t fx = x % times, fy = y % times;
                const uint8_t *p = in.rgb + c;
                size_t row = (size_t)in.width * 3;
                uint32_t top = p[y0 * row + x0 * 3] * (times - fx) + p[y0 * row + x1 * 3] * fx;
                uint32_t low = p[y1 * row + x0 * 3] * (times - fx) + p[y1 * row + x1 * 3] * fx;
                noise = noise * 1664525u + 1013904223u;
                int value = (int)((top * (times - fy) + low * fy) / (times * times)) + (int)(noise >> 30) - 2;
                out.rgb[((size_t)y * out.width + x) * 3 + c] = (uint8_t)(value < 0     ? 0
                                                                         : value > 255 ? 255
                                                                                       : value);
            }
    return out;
}

/* At the quality whose file comes nearest to `wanted` bytes. */
static struct load_photo encode(struct pixels pixels, size_t wanted, const char *person)
{
    struct load_photo best = {0};
    (void)snprintf(best.person, sizeof best.person, "%s", person);
    for (int low = 20, high = 100; low <= high;) {
        int quality = (low + high) / 2;
        uint8_t *bytes = NULL;
        size_t size = 0;
        if (frt_jpeg_encode(pixels.rgb, pixels.width, pixels.height, (size_t)pixels.width * 3, quality, &bytes,
                            &size, NULL) != FRT_OK)
            give_up("a photo cannot be encoded");
        if (best.data == NULL || labs((long)size - (long)wanted) < labs((long)best.size - (long)wanted)) {
            free(best.data);
            best.data = malloc(size);
            best.size = size;
            if (best.data == NULL)
                give_up("out of memory");
            memcpy(best.data, bytes, size);
        }
        frt_jpeg_bytes_free(bytes);
        if (size > wanted)
            high = quality - 1;
        else
            low = quality + 1;
    }
    return best;
}

static void make_hot(struct load_photos *photos)
{
    for (size_t i = 0; i < LOAD_HOT; i++) {
        const struct load_photo *from = &photos->probes[i % photos->n_probes];
        struct pixels small = decode(from->data, from->size, NULL);
        struct pixels large = enlarge(small, small.width < 400 ? 3 : 2);
        /* fewer probes than hot photos: another size makes another file */
        size_t less = i / photos->n_probes * 300;
        photos->hot_20k[i] = encode(small, 20000 - less, from->person);
        photos->hot_100k[i] = encode(large, 100000 - less, from->person);
        free(small.rgb);
        free(large.rgb);
    }
}

/* ------------------------------------------------------------------ finding */

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool open_real(struct load_photos *photos, const char *assets)
{
    char folder[600], path[1200];
    struct dirent **people = NULL;
    (void)snprintf(folder, sizeof folder, "%s/faces/lfw-dev", assets);
    int n = scandir(folder, &people, is_visible, alphasort);
    for (int i = 0; i < n; i++) {
        const char *person = people[i]->d_name;
        struct load_photo second = {0};
        (void)snprintf(path, sizeof path, "%s/%s/%s_0001.jpg", folder, person, person);
        if (photos->n_people < LOAD_PEOPLE_MAX && read_photo(&photos->people[photos->n_people], path, person))
            photos->n_people++;
        (void)snprintf(path, sizeof path, "%s/%s/%s_0002.jpg", folder, person, person);
        if (photos->n_probes < LOAD_PROBES_MAX && read_photo(&second, path, person)) {
            if (second.size >= PROBE_MIN && second.size <= PROBE_MAX)
                photos->probes[photos->n_probes++] = second;
            else
                free(second.data);
        }
        free(people[i]);
    }
    free(people);
    return photos->n_people > 0 && photos->n_probes > 0;
}

static void open_sample(struct load_photos *photos)
{
    static const struct frt_box cuts[] = {{1240, 60, CUT_WIDTH, CUT_HEIGHT}, {100, 230, CUT_WIDTH, CUT_HEIGHT}};
    struct load_photo whole = {0};
    if (!read_photo(&whole, sample, "sample"))
        give_up("neither lfw-dev in FRT_TEST_ASSETS nor node_modules/@vladmandic/face-api is there");
    for (size_t i = 0; i < 2; i++) {
        char person[16];
        struct pixels pixels = decode(whole.data, whole.size, &cuts[i]);
        (void)snprintf(person, sizeof person, "person-%zu", i + 1);
        photos->people[photos->n_people++] = encode(pixels, 40000, person);
        photos->probes[photos->n_probes++] = encode(pixels, 19000, person);
        free(pixels.rgb);
    }
    free(whole.data);
}

void load_photos_open(struct load_photos *photos, const char *assets)
{
    memset(photos, 0, sizeof *photos);
    photos->are_real = open_real(photos, assets);
    if (!photos->are_real) {
        load_photos_close(photos);
        open_sample(photos);
    }
    make_hot(photos);
}

static void forget(struct load_photo *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i].data);
}

void load_photos_close(struct load_photos *photos)
{
    forget(photos->people, photos->n_people);
    forget(photos->probes, photos->n_probes);
    forget(photos->hot_20k, LOAD_HOT);
    forget(photos->hot_100k, LOAD_HOT);
    memset(photos, 0, sizeof *photos);
}

double load_photos_mean_kb(const struct load_photo *photos, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)photos[i].size;
    return n > 0 ? sum / (double)n / 1000 : 0;
}
