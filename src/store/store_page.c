#include <string.h>

#include "core/mem.h"
#include "store/store_internal.h"

enum { FIRST_BYTES = 4096 - 64, BLOCK_BYTES = 65536 }; /* most pages are a few rows */

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

struct frt_store_page {
    enum store_row_kind kind;
    struct block *blocks;
    void *rows;
    size_t n, capacity;
};

static const size_t row_sizes[] = {[STORE_COLLECTIONS] = sizeof(struct frt_store_collection),
                                   [STORE_FACES] = sizeof(struct frt_store_face),
                                   [STORE_SUBJECTS] = sizeof(struct frt_store_subject),
                                   [STORE_CHANGES] = sizeof(struct frt_store_change),
                                   [STORE_USERS] = sizeof(struct frt_store_user),
                                   [STORE_KEYS] = sizeof(struct frt_store_key)};

enum frt_status store_page_new(enum store_row_kind kind, struct frt_store_page **out, struct frt_error *err)
{
    struct frt_store_page *page = frt_alloc_zero(1, sizeof *page);
    if (page == NULL)
        return frt_fail_nomem(err, "rows of the store");
    page->kind = kind;
    *out = page;
    return FRT_OK;
}

void frt_store_page_free(struct frt_store_page *page)
{
    if (page == NULL)
        return;
    while (page->blocks != NULL) {
        struct block *next = page->blocks->next;
        frt_free(page->blocks);
        page->blocks = next;
    }
    frt_free(page->rows);
    frt_free(page);
}

enum frt_status store_page_out(struct frt_store_page *page, struct frt_store_page **out, enum frt_status status)
{
    if (status == FRT_OK)
        *out = page;
    else
        frt_store_page_free(page);
    return status;
}

void *store_page_row(struct frt_store_page *page)
{
    const size_t size = row_sizes[page->kind];
    if (page->n == page->capacity) {
        const size_t capacity = page->capacity == 0 ? 16 : page->capacity * 2;
        size_t bytes;
        void *rows = frt_mul_size(capacity, size, &bytes) ? frt_realloc(page->rows, bytes) : NULL;
        if (rows == NULL)
            return NULL;
        page->rows = rows;
        page->capacity = capacity;
    }
    void *row = (char *)page->rows + page->n++ * size;
    memset(row, 0, size);
    return row;
}

void store_page_reset(struct frt_store_page *page)
{
    page->n = 0;
}

void store_page_drop(struct frt_store_page *page)
{
    page->n--;
}

void *store_page_rows(const struct frt_store_page *page, size_t *n)
{
    *n = page->n;
    return page->rows;
}

const struct frt_store_face *frt_store_page_faces(const struct frt_store_page *page, size_t *n)
{
    return store_page_rows(page, n);
}

static void *take(struct frt_store_page *page, size_t size)
{
    const size_t rounded = (size + 15) / 16 * 16;
    struct block *block = page->blocks;
    if (block == NULL || block->size - block->used < rounded) {
        const size_t usual = block == NULL ? FIRST_BYTES : BLOCK_BYTES,
                     room = rounded > usual ? rounded : usual;
        block = frt_alloc(sizeof *block + room);
        if (block == NULL)
            return NULL;
        block->next = page->blocks;
        block->used = 0;
        block->size = room;
        page->blocks = block;
    }
    void *at = block->bytes + block->used;
    block->used += rounded;
    return at;
}

const char *store_page_text(struct frt_store_page *page, const char *text, size_t size)
{
    char *copy = take(page, size + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

const char *store_page_column(struct frt_store_page *page, struct db_stmt *stmt, int column)
{
    size_t size;
    const char *text = db_text(stmt, column, &size);
    return store_page_text(page, text, size);
}

enum frt_status store_page_embedding(struct frt_store_page *page, struct db_stmt *stmt, int column,
                                     uint32_t dim, const float **out, struct frt_error *err)
{
    size_t size;
    const void *bytes = db_blob(stmt, column, &size);
    if (dim == 0 || size != dim * sizeof(float))
        return frt_fail(err, FRT_ESTORE_DAMAGED, "an embedding in the database has %zu bytes; %zu are right",
                        size, dim * sizeof(float));
    float *copy = take(page, size);
    if (copy == NULL)
        return frt_fail_nomem(err, "an embedding");
    memcpy(copy, bytes, size);
    *out = copy;
    return FRT_OK;
}
