/*
 * decode-12mp: a 4000 x 3000 JPEG to the frame a 640-pixel detector takes. Peers: a full decode with
 * libjpeg, then a naive 640-pixel resize; libjpeg's own scaled decode, which gives a frame as large as ours;
 * and the design's targets of 30 ms and 16 MB.
 *
 * The photo is made at start: a sample photo of the npm package, stretched, with noise, quality 90, 4:2:0.
 * Memory is the growth of the peak resident size (VmHWM) in a forked child that decodes once.
 * Single-threaded: one core.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include <jpeglib.h>

#include "bench.h"
#include "core/clock.h"
#include "image/image.h"

enum { WIDTH = 4000, HEIGHT = 3000, SIDE = 640, RUNS = 9, N_WAYS = 3 };

static void need(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "bench: %s\n", what);
        exit(1);
    }
}

static struct frt_frame sample(void)
{
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_error err = {0};
    const struct frt_decode_request request = {0};
    if (frt_image_map(NULL, "node_modules/@vladmandic/face-api/demo/sample1.jpg", &image, &err) != FRT_OK) {
        (void)fprintf(stderr, "bench: skipped: %s\n", err.text);
        exit(77);
    }
    need(frt_image_decode(image, &request, &frame, &err) == FRT_OK, err.text);
    frt_image_free(image);
    return frame;
}

/* Into shared memory, so that a forked child touches no page of its own by reading it. */
static const uint8_t *make_photo(size_t *size)
{
    struct frt_frame from = sample();
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long bytes = 0;
    static uint8_t row[WIDTH * 3];
    uint32_t seed = 1;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &bytes);
    jpeg.image_width = WIDTH;
    jpeg.image_height = HEIGHT;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 90, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (uint32_t y = 0; y < HEIGHT; y++) {
        JSAMPROW line = row;
        double v = (double)y * (from.height_px - 1) / HEIGHT;
        const uint8_t *a = from.pixels + (size_t)v * from.stride_bytes, *b = a + from.stride_bytes;
        for (uint32_t x = 0; x < WIDTH; x++) {
            double u = (double)x * (from.width_px - 1) / WIDTH, fx = u - floor(u), fy = v - floor(v);
            size_t i = (size_t)u * 3;
            seed = seed * 1664525U + 1013904223U;
            int grain = (int)(seed >> 24) % 21 - 10; /* of luma, as a sensor's */
            for (size_t c = 0; c < 3; c++) {
                int p = (int)((a[i + c] * (1 - fx) + a[i + 3 + c] * fx) * (1 - fy) +
                              (b[i + c] * (1 - fx) + b[i + 3 + c] * fx) * fy) +
                        grain;
                row[3 * x + c] = (uint8_t)(p < 0 ? 0 : p > 255 ? 255 : p);
            }
        }
        (void)jpeg_write_scanlines(&jpeg, &line, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    frt_frame_deinit(&from);
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(shared != MAP_FAILED, "no memory for the photo");
    memcpy(shared, data, bytes);
    free(data);
    *size = bytes;
    return shared;
}

static void decode_ours(const uint8_t *data, size_t size)
{
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_error err = {0};
    const struct frt_decode_request request = {.want_side_px = SIDE};
    need(frt_image_open(NULL, data, size, &image, &err) == FRT_OK, err.text);
    need(frt_image_decode(image, &request, &frame, &err) == FRT_OK, err.text);
    need(frame.width_px >= SIDE, "the frame is too small");
    frt_frame_deinit(&frame);
    frt_image_free(image);
}

static void decode_libjpeg(const uint8_t *data, size_t size, unsigned eighths)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, (unsigned long)size);
    (void)jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg.scale_num = eighths;
    jpeg.scale_denom = 8;
    (void)jpeg_start_decompress(&jpeg);
    uint32_t width = jpeg.output_width, height = jpeg.output_height;
    uint8_t *all = malloc((size_t)width * height * 3), *small = malloc((size_t)SIDE * SIDE * 3);
    need(all != NULL && small != NULL, "no memory for the peer");
    for (uint32_t y = 0; y < height; y++) {
        JSAMPROW line = all + (size_t)y * width * 3;
        (void)jpeg_read_scanlines(&jpeg, &line, 1);
    }
    for (uint32_t y = 0; y < SIDE * height / width; y++)
        for (uint32_t x = 0; x < SIDE; x++)
            memcpy(small + ((size_t)y * SIDE + x) * 3,
                   all + ((size_t)y * width / SIDE * width + (size_t)x * width / SIDE) * 3, 3);
    volatile uint8_t sink = small[SIDE];
    (void)sink;
    free(all);
    free(small);
    (void)jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
}

static void decode_full(const uint8_t *data, size_t size)
{
    decode_libjpeg(data, size, 8);
}

static void decode_quarter(const uint8_t *data, size_t size)
{
    decode_libjpeg(data, size, 2);
}

typedef void decode_fn(const uint8_t *data, size_t size);

/* One way to decode; medians of wall time and of the processor's time, which neighbours on the machine do
 * not swell as much. */
struct way {
    decode_fn *decode;
    double ms, cpu_ms;
};

static double cpu_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* In turn, so that what else the machine does falls on all of them. */
static void time_ways(struct way *ways, const uint8_t *data, size_t size)
{
    static double ms[N_WAYS][RUNS], cpu[N_WAYS][RUNS];
    for (int run = -1; run < RUNS; run++) /* the first warms up */
        for (int w = 0; w < N_WAYS; w++) {
            double cpu_start = cpu_now_ms();
            int64_t start = frt_now_ns();
            ways[w].decode(data, size);
            if (run >= 0) {
                ms[w][run] = frt_elapsed_ms(start);
                cpu[w][run] = cpu_now_ms() - cpu_start;
            }
        }
    for (int w = 0; w < N_WAYS; w++) {
        ways[w].ms = bench_median(ms[w], RUNS);
        ways[w].cpu_ms = bench_median(cpu[w], RUNS);
    }
}

static double peak_kib(void)
{
    char line[128];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    need(file != NULL, "/proc is not there");
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    (void)fclose(file);
    return kib;
}

/* Growth of the peak in a child, in MB; the encoded photo is resident before (touched, and not counted). */
static double extra_mb(decode_fn *decode, const uint8_t *data, size_t size)
{
    int ends[2];
    double mb = 0;
    need(pipe(ends) == 0, "no pipe");
    pid_t child = fork();
    need(child >= 0, "no fork");
    if (child == 0) {
        volatile uint8_t sum = 0;
        for (size_t i = 0; i < size; i += 4096)
            sum = (uint8_t)(sum + data[i]);
        FILE *reset = fopen("/proc/self/clear_refs", "w"); /* 5: the peak starts from what is resident now */
        if (reset != NULL) {
            (void)fputs("5", reset);
            (void)fclose(reset);
        }
        double before = peak_kib();
        decode(data, size);
        mb = (peak_kib() - before) * 1024 / 1e6;
        _exit(write(ends[1], &mb, sizeof mb) == (ssize_t)sizeof mb ? 0 : 1);
    }
    int status = 0;
    need(read(ends[0], &mb, sizeof mb) == (ssize_t)sizeof mb, "the child said nothing");
    need(waitpid(child, &status, 0) == child && status == 0, "the child failed");
    (void)close(ends[0]);
    (void)close(ends[1]);
    return mb;
}

int main(void)
{
    size_t size = 0;
    const uint8_t *data = make_photo(&size);
    (void)fprintf(stderr, "decode-12mp: %d x %d, %.2f MB\n", WIDTH, HEIGHT, (double)size / 1e6);
    double our_mb = extra_mb(decode_ours, data, size), peer_mb = extra_mb(decode_full, data, size);
    struct way ways[N_WAYS] = {{.decode = decode_ours}, {.decode = decode_full}, {.decode = decode_quarter}};
    const struct way *ours = &ways[0], *full = &ways[1], *scaled = &ways[2];
    time_ways(ways, data, size);
    const struct bench_figure figures[] = {
        {"stages", "decode-12mp", "ms", ours->ms, "libjpeg-full", full->ms},
        {"stages", "decode-12mp", "ms", ours->ms, "libjpeg-scaled", scaled->ms},
        {"stages", "decode-12mp", "ms", ours->ms, "target", 30},
        {"stages", "decode-12mp", "cpu-ms", ours->cpu_ms, "libjpeg-full", full->cpu_ms},
        {"stages", "decode-12mp", "cpu-ms", ours->cpu_ms, "libjpeg-scaled", scaled->cpu_ms},
        {"stages", "decode-12mp", "MB", our_mb, "libjpeg-full", peer_mb},
        {"stages", "decode-12mp", "MB", our_mb, "target", 16},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        bench_print(&figures[i]);
    return 0;
}
