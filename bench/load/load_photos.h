/*
 * Photos to put load on with. With the assets' lfw-dev folder: real faces, one photo a person to enroll and, of
 * some of them, another to search with, 16 to 21 KB each as they are. Without: two people cut from a sample
 * photo of the npm package. For the cache-hot cases photos of about 20 and 100 KB are encoded from the first
 * probes: enlarged where the size needs it, and at the JPEG quality that comes nearest.
 *
 * Threading: one owner.
 */
#ifndef FRT_BENCH_LOAD_PHOTOS_H
#define FRT_BENCH_LOAD_PHOTOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_PEOPLE_MAX = 250, LOAD_PROBES_MAX = 64, LOAD_HOT = 8 };

struct load_photo {
    uint8_t *data;
    size_t size;
    char person[96];
};

struct load_photos {
    struct load_photo people[LOAD_PEOPLE_MAX]; /* one a person */
    size_t n_people;
    struct load_photo probes[LOAD_PROBES_MAX]; /* other photos of some of them; without assets the same */
    size_t n_probes;
    struct load_photo hot_20k[LOAD_HOT], hot_100k[LOAD_HOT];
    bool are_real; /* from the assets */
};

/** `assets` is the folder of the test assets; exits with a message when there is nothing at all. */
void load_photos_open(struct load_photos *photos, const char *assets);
void load_photos_close(struct load_photos *photos);
double load_photos_mean_kb(const struct load_photo *photos, size_t n);

#endif
