/*
 * A growable byte buffer that must declare its maximum. The first failure (limit or memory) sticks:
 * later appends do nothing, and the writer checks once, at the end, with frt_buf_status.
 *
 * Threading: one owner.
 */
#ifndef FRT_CORE_BUF_H
#define FRT_CORE_BUF_H

#include "core/status.h"

struct frt_buf {
    char *data; /* NUL after `size` bytes whenever data is not NULL */
    size_t size;
    size_t capacity;
    size_t max; /* most bytes, the NUL not counted */
    enum frt_status failed;
};

/** Empty buffer of at most `max` bytes; allocates nothing. */
void frt_buf_init(struct frt_buf *buf, size_t max);
void frt_buf_deinit(struct frt_buf *buf);
/** Forget the content, keep the memory, forget a failure. */
void frt_buf_clear(struct frt_buf *buf);
/** Room for `more` further bytes, so that appends of that much cannot fail. */
FRT_NODISCARD enum frt_status frt_buf_reserve(struct frt_buf *buf, size_t more);
/** Append a copy; `bytes` must not lie inside the buffer, which may move. */
void frt_buf_append(struct frt_buf *buf, const void *bytes, size_t size);
void frt_buf_append_text(struct frt_buf *buf, const char *text);
void frt_buf_append_char(struct frt_buf *buf, char c);
void frt_buf_printf(struct frt_buf *buf, const char *fmt, ...) FRT_PRINTF(2, 3);
/** FRT_OK, FRT_ENOMEM, FRT_EBODY_TOO_LARGE (limit) or FRT_EINTERNAL (a format that cannot be written). */
FRT_NODISCARD enum frt_status frt_buf_status(const struct frt_buf *buf);
/** Hand the bytes to the caller (frt_free); the buffer is empty afterwards. NULL when empty. */
char *frt_buf_take(struct frt_buf *buf, size_t *size);

#endif
