/*
 * Photos of one person each, 640 × 480 JPEG, cut from a sample photo of the npm package at test time.
 * Threading: one owner.
 */
#ifndef FRT_TESTS_HTTP_PHOTOS_H
#define FRT_TESTS_HTTP_PHOTOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct photo {
    uint8_t *data; /* free() */
    size_t size;
    uint32_t width, height;
};

/** Whether the sample photo and the default pack are there; says on stdout what is not. */
bool photos_are_there(void);
/** Person 1 or 2: different people. */
struct photo photo_of(int person);
/** Nobody: grey. */
struct photo photo_blank(void);

#endif
