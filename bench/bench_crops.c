/*
 * crops: what keeping a face's crop instead of its photo costs. Photos are embedded by a pack; then crops, cut
 * by what the default pack's nets found, are embedded by the same pack. Agreement is the cosine between the
 * two; peer: none.
 *
 *     bench_crops PHOTO… [--pack FOLDER] (default: photos of FRT_TEST_ASSETS/faces/lfw-dev, every 9th)
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "core/mem.h"
#include "engine/kept_crop.h"
#include "simd/dot.h"

enum { MAX_PHOTOS = 200, STEP = 26, SKIPPED = 77 };

static const struct {
    const char *name;
    struct frt_kept_choice choice;
} cases[] = {{"pixels", {.quality = 0}},
             {"pixels-looked-again", {.quality = 0, .look_again = true}},
             {"pixels-landmarks-kept", {.quality = 0, .as_they_were = true}},
             {"jpeg95", {.quality = 95}},
             {"jpeg90", {.quality = 90}},
             {"jpeg80", {.quality = 80}},
             {"jpeg95-224px", {.quality = 95, .side_px = 224}}};
enum { N_CASES = sizeof cases / sizeof *cases };

struct sums {
    double cosine, least, bytes;
    size_t n, again;
};

static void need(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        (void)fprintf(stderr, "bench: %s\n", err->text);
        exit(status == FRT_ENOTFOUND || status == FRT_ERUNTIME ? SKIPPED : 1);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t list(const char *folder, char **out, size_t max)
{
    struct dirent **people = NULL;
    int n = scandir(folder, &people, NULL, alphasort);
    size_t count = 0, seen = 0;
    for (int i = 0; i < n; i++) {
        char path[2048];
        struct dirent **photos = NULL;
        (void)snprintf(path, sizeof path, "%s/%s", folder, people[i]->d_name);
        int m = people[i]->d_name[0] == '.' ? 0 : scandir(path, &photos, NULL, alphasort);
        for (int k = 0; k < m; k++) {
            const char *dot = strrchr(photos[k]->d_name, '.');
            if (dot != NULL && strcmp(dot, ".jpg") == 0 && seen++ % STEP == 0 && count < max) {
                char full[4096];
                (void)snprintf(full, sizeof full, "%s/%s", path, photos[k]->d_name);
                out[count++] = strdup(full);
            }
            free(photos[k]);
        }
        free(photos);
        free(people[i]);
    }
    free(people);
    qsort(out, count, sizeof *out, by_name);
    return count;
}

/* The pack's face whose centre lies in the finder's first one. */
static size_t same_face(const struct frt_faces *by_finder, const struct frt_faces *by_pack)
{
    const struct frt_box *a = &frt_faces_get(by_finder, 0)->box;
    for (size_t i = 0; i < frt_faces_count(by_pack); i++) {
        const struct frt_box *b = &frt_faces_get(by_pack, i)->box;
        const float x = b->x + b->width / 2, y = b->y + b->height / 2;
        if (x > a->x && x < a->x + a->width && y > a->y && y < a->y + a->height)
            return i;
    }
    return SIZE_MAX;
}

static void measure(const struct frt_context *context, const struct frt_pack *finder,
                    const struct frt_pack *pack, const char *path, struct sums *sums)
{
    const struct frt_detect_options one = {.max_faces = 1}, all = {.max_faces = 8};
    const struct frt_kept_wait wait = {0};
    const size_t dim = frt_pack_info_get(pack)->dim;
    struct frt_image *image = NULL;
    struct frt_faces *by_finder = NULL, *by_pack = NULL;
    struct frt_error err = {0};
    float *got = frt_alloc_array(dim, sizeof *got);
    need(frt_image_open_file(context, path, &image, &err), &err);
    need(frt_embed(finder, image, &one, &by_finder, &err), &err);
    need(frt_embed(pack, image, &all, &by_pack, &err), &err);
    const size_t same = frt_faces_count(by_finder) > 0 ? same_face(by_finder, by_pack) : SIZE_MAX;
    for (size_t i = 0; same != SIZE_MAX && i < N_CASES; i++) {
        uint8_t *crop = NULL;
        size_t size = 0;
        enum frt_kept_landmarks by;
        need(frt_kept_crop_cut_as(finder, image, frt_faces_get(by_finder, 0), &wait, &cases[i].choice, &crop,
                                  &size, &err),
             &err);
        need(frt_kept_crop_embed_as(pack, crop, size, &cases[i].choice, got, &by, &err), &err);
        const double cosine = (double)frt_dot_f32(got, frt_faces_embedding(by_pack, same), dim);
        sums[i].cosine += cosine;
        sums[i].least = sums[i].n == 0 || cosine < sums[i].least ? cosine : sums[i].least;
        sums[i].bytes += (double)size;
        sums[i].again += by == FRT_KEPT_FOUND_AGAIN;
        sums[i].n++;
        frt_free(crop);
    }
    frt_free(got);
    frt_faces_free(by_finder);
    frt_faces_free(by_pack);
    frt_image_free(image);
}

int main(int argc, char **argv)
{
    struct frt_context *context = NULL;
    struct frt_pack *finder = NULL, *pack = NULL;
    struct frt_error err = {0};
    struct sums sums[N_CASES] = {{0}};
    char folder[1024], *photos[MAX_PHOTOS];
    const char *assets = getenv("FRT_TEST_ASSETS"), *with = NULL;
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--pack") == 0 && i + 1 < argc)
            with = argv[++i];
        else if (n < MAX_PHOTOS)
            photos[n++] = strdup(argv[i]);
    }
    if (n == 0) {
        (void)snprintf(folder, sizeof folder, "%s/faces/lfw-dev", assets != NULL ? assets : "../shared/assets");
        n = list(folder, photos, MAX_PHOTOS);
    }
    if (n == 0) {
        (void)fputs("bench: no photos (FRT_TEST_ASSETS)\n", stderr);
        return SKIPPED;
    }
    need(frt_context_new(&(struct frt_context_options){.threads = 1}, &context, &err), &err);
    need(frt_pack_open(context, NULL, NULL, &finder, &err), &err);
    if (with != NULL)
        need(frt_pack_open(context, with, NULL, &pack, &err), &err);
    for (size_t i = 0; i < n; i++) {
        measure(context, finder, pack != NULL ? pack : finder, photos[i], sums);
        free(photos[i]);
    }
    for (size_t i = 0; i < N_CASES; i++)
        printf("{\"bench\":\"crops\",\"case\":\"%s\",\"pack\":\"%s\",\"faces\":%zu,\"mean_cosine\":%.5f,"
               "\"least_cosine\":%.5f,\"mean_bytes\":%.0f,\"found_again\":%zu}\n",
               cases[i].name, frt_pack_info_get(pack != NULL ? pack : finder)->name, sums[i].n,
               sums[i].cosine / (double)sums[i].n, sums[i].least, sums[i].bytes / (double)sums[i].n,
               sums[i].again);
    frt_pack_free(pack);
    frt_pack_free(finder);
    frt_context_free(context);
    return 0;
}
