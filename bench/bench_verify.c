/*
 * verify-outside-inference: of the time that a verification of two 640 x 480 photos takes, decoding left
 * out, the share spent outside the inference runtime. Peer: the design's target of 10 %. Two further
 * lines: the time itself, and the part of it that is ours.
 *
 * The photos are two of the npm package's samples, cut to 4:3 and brought to size once, before the clock
 * starts; one face, the largest, is embedded of each, as `verify` does. One core.
 */
#include <stdint.h>
#include <stdio.h>

#include "bench.h"
#include "core/mem.h"
#include "image/image.h"
#include "simd/resample.h"

enum { WIDTH = 640, HEIGHT = 480, RUNS = 15, SKIPPED = 77 };

static void need(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        (void)fprintf(stderr, "bench: %s\n", err->text);
        exit(status == FRT_ENOTFOUND || status == FRT_ERUNTIME ? SKIPPED : 1);
    }
}

static uint8_t *make_photo(const char *path)
{
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_error err = {0};
    uint8_t *pixels = frt_alloc((size_t)WIDTH * HEIGHT * 3);
    need(frt_image_map(NULL, path, &image, &err), &err);
    need(frt_image_decode(image, &(struct frt_decode_request){.want_side_px = WIDTH}, &frame, &err), &err);
    if (pixels == NULL)
        need(FRT_ENOMEM, &err);
    /* the largest 4:3 part, centred */
    const double step = fmin((double)frame.width_px / WIDTH, (double)frame.height_px / HEIGHT);
    const double m[6] = {step, 0,    (frame.width_px - step * WIDTH) / 2,
                         0,    step, (frame.height_px - step * HEIGHT) / 2};
    const struct frt_pixels source = {frame.pixels, frame.width_px, frame.height_px, frame.stride_bytes};
    frt_warp_to_chip(&source, m, pixels, WIDTH, HEIGHT);
    frt_frame_deinit(&frame);
    frt_image_free(image);
    return pixels;
}

static struct frt_timing verify(const struct frt_pack *pack, struct frt_image *const images[2])
{
    struct frt_faces *faces[2] = {NULL, NULL};
    struct frt_error err = {0};
    struct frt_verdict verdict;
    struct frt_timing sum = {0};
    for (int i = 0; i < 2; i++) {
        need(frt_embed(pack, images[i], &(struct frt_detect_options){.max_faces = 1}, &faces[i], &err), &err);
        const struct frt_timing t = frt_faces_timing(faces[i]);
        sum.decode_ms += t.decode_ms;
        sum.inference_ms += t.inference_ms;
        sum.total_ms += t.total_ms;
    }
    if (frt_faces_count(faces[0]) == 0 || frt_faces_count(faces[1]) == 0) {
        (void)fputs("bench: no face in a sample photo\n", stderr);
        exit(1);
    }
    need(frt_verify(pack, frt_faces_embedding(faces[0], 0), frt_faces_embedding(faces[1], 0), NAN, &verdict,
                    &err),
         &err);
    frt_faces_free(faces[0]);
    frt_faces_free(faces[1]);
    return sum;
}

int main(void)
{
    static const char *const paths[2] = {"node_modules/@vladmandic/face-api/demo/sample1.jpg",
                                         "node_modules/@vladmandic/face-api/demo/sample5.jpg"};
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_image *images[2] = {NULL, NULL};
    uint8_t *photos[2];
    struct frt_error err = {0};
    double share[RUNS], total[RUNS], outside[RUNS];

    need(frt_context_new(&(struct frt_context_options){.threads = 1}, &context, &err), &err);
    need(frt_pack_open(context, NULL, NULL, &pack, &err), &err);
    for (int i = 0; i < 2; i++) {
        photos[i] = make_photo(paths[i]);
        need(frt_image_open_pixels(context, photos[i], WIDTH, HEIGHT, (size_t)WIDTH * 3, &images[i], &err),
             &err);
    }
    (void)verify(pack, images); /* warm up */
    for (int run = 0; run < RUNS; run++) {
        const struct frt_timing t = verify(pack, images);
        total[run] = t.total_ms - t.decode_ms;
        outside[run] = total[run] - t.inference_ms;
        share[run] = 100 * outside[run] / total[run];
    }
    bench_print(&(struct bench_figure){"stages", "verify-outside-inference", "%", bench_median(share, RUNS),
                                       "target", 10});
    bench_print(&(struct bench_figure){
        .bench = "stages", .name = "verify-640x480", .unit = "ms", .ours = bench_median(total, RUNS)});
    bench_print(&(struct bench_figure){.bench = "stages",
                                       .name = "verify-640x480-outside-inference",
                                       .unit = "ms",
                                       .ours = bench_median(outside, RUNS)});
    for (int i = 0; i < 2; i++) {
        frt_image_free(images[i]);
        frt_free(photos[i]);
    }
    frt_pack_free(pack);
    frt_context_free(context);
    return 0;
}
