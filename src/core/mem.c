#include "core/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t fail_after = -1;
static _Atomic int64_t asked;

/* relaxed: a test that counts allocations orders them itself; nothing else reads these */
static bool refused(void)
{
    int64_t left = atomic_load_explicit(&fail_after, memory_order_relaxed);
    if (__builtin_expect(left < 0, 1))
        return false;
    return atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) == left;
}

void frt_mem_fail_after(int64_t count)
{
    atomic_store(&asked, 0);
    atomic_store(&fail_after, count);
}

int64_t frt_mem_asked(void)
{
    return atomic_load(&asked);
}

void *frt_alloc(size_t size)
{
    if (size == 0 || refused())
        return NULL;
    return malloc(size);
}

void *frt_alloc_zero(size_t count, size_t size)
{
    size_t total;
    if (count == 0 || size == 0 || !frt_mul_size(count, size, &total) || refused())
        return NULL;
    return calloc(count, size);
}

void *frt_alloc_array(size_t count, size_t size)
{
    size_t total;
    if (!frt_mul_size(count, size, &total))
        return NULL;
    return frt_alloc(total);
}

void *frt_alloc_aligned(size_t alignment, size_t size)
{
    void *block = NULL;
    if (size == 0 || refused())
        return NULL;
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

void *frt_realloc(void *block, size_t size)
{
    if (size == 0 || refused())
        return NULL;
    return realloc(block, size);
}

void frt_free(void *block)
{
    free(block);
}

char *frt_strndup(const char *text, size_t size)
{
    size_t total;
    if (text == NULL || !frt_add_size(size, 1, &total))
        return NULL;
    char *copy = frt_alloc(total);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *frt_strdup(const char *text)
{
    return text == NULL ? NULL : frt_strndup(text, strlen(text));
}
