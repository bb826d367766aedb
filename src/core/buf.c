#include "core/buf.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

void frt_buf_init(struct frt_buf *buf, size_t max)
{
    *buf = (struct frt_buf){.max = max};
}

void frt_buf_deinit(struct frt_buf *buf)
{
    frt_free(buf->data);
    *buf = (struct frt_buf){.max = buf->max};
}

void frt_buf_clear(struct frt_buf *buf)
{
    buf->size = 0;
    buf->failed = FRT_OK;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

enum frt_status frt_buf_reserve(struct frt_buf *buf, size_t more)
{
    size_t need, with_nul;
    if (buf->failed != FRT_OK)
        return buf->failed;
    if (!frt_add_size(buf->size, more, &need) || need > buf->max || !frt_add_size(need, 1, &with_nul))
        return buf->failed = FRT_EBODY_TOO_LARGE;
    if (with_nul <= buf->capacity)
        return FRT_OK;
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < with_nul)
        capacity = capacity > SIZE_MAX / 2 ? with_nul : capacity * 2;
    if (capacity > buf->max && with_nul <= buf->max)
        capacity = buf->max;
    char *data = frt_realloc(buf->data, capacity);
    if (data == NULL)
        return buf->failed = FRT_ENOMEM;
    buf->data = data;
    buf->capacity = capacity;
    return FRT_OK;
}

void frt_buf_append(struct frt_buf *buf, const void *bytes, size_t size)
{
    if (size == 0 || frt_buf_reserve(buf, size) != FRT_OK)
        return;
    memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void frt_buf_append_text(struct frt_buf *buf, const char *text)
{
    frt_buf_append(buf, text, strlen(text));
}

void frt_buf_append_char(struct frt_buf *buf, char c)
{
    frt_buf_append(buf, &c, 1);
}

void frt_buf_printf(struct frt_buf *buf, const char *fmt, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, args);
    if (n < 0) {
        if (buf->failed == FRT_OK)
            buf->failed = FRT_EINTERNAL;
    } else if ((size_t)n < sizeof small) {
        frt_buf_append(buf, small, (size_t)n);
    } else if (frt_buf_reserve(buf, (size_t)n) == FRT_OK) {
        (void)vsnprintf(buf->data + buf->size, (size_t)n + 1, fmt, again);
        buf->size += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

enum frt_status frt_buf_status(const struct frt_buf *buf)
{
    return buf->failed;
}

char *frt_buf_take(struct frt_buf *buf, size_t *size)
{
    char *data = buf->data;
    *size = buf->size;
    *buf = (struct frt_buf){.max = buf->max};
    return data;
}
