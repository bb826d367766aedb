/*
 * Every heap call of the project goes through here, so that sizes are checked, and a test can fail
 * allocation N for each N ("torture").
 *
 * Threading: internally locked (the C library's allocator); the failure counter is atomic.
 */
#ifndef FRT_CORE_MEM_H
#define FRT_CORE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** `size` bytes, uninitialised; NULL when there are none or size is 0. */
void *frt_alloc(size_t size) __attribute__((malloc));
/** count × size zeroed bytes; NULL on overflow, exhaustion or zero. */
void *frt_alloc_zero(size_t count, size_t size) __attribute__((malloc));
/** count × size bytes, uninitialised; NULL on overflow, exhaustion or zero. */
void *frt_alloc_array(size_t count, size_t size) __attribute__((malloc));
/** As alloc_array, aligned to `alignment` (a power of two >= sizeof(void *)); free with frt_free. */
void *frt_alloc_aligned(size_t alignment, size_t size) __attribute__((malloc));
/** Resize; on failure NULL and the old block stays. `size` must not be 0. */
void *frt_realloc(void *block, size_t size);
/** NULL is fine. */
void frt_free(void *block);
/** Copy of a NUL-terminated text; NULL when text is NULL or memory is short. */
char *frt_strdup(const char *text) __attribute__((malloc));
/** Copy of `size` bytes plus a NUL. */
char *frt_strndup(const char *text, size_t size) __attribute__((malloc));

/** Let the next `count` allocations of the process succeed, fail the one after, and let those after that
 *  succeed again; -1 = never fail. For tests. */
void frt_mem_fail_after(int64_t count);
/** Allocations asked for since the last frt_mem_fail_after (INT64_MAX: count only); not counted while
 *  that was -1. For tests. */
int64_t frt_mem_asked(void);

/** a + b and a × b; false (out untouched) when it does not fit. */
static inline bool frt_add_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}
static inline bool frt_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

#endif
