#include "index/faiss_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum { MAX_PATH = 4096 };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "FAISS writes numbers as they lie in memory");

/* ----------------------------------------------------------------- reading */

struct frt_faiss_file {
    int fd;
    uint32_t dim;
    uint64_t n;
    uint64_t flat_at; /* Flat: of vector 0 */
    uint64_t *places; /* [n]: offset of each vector; NULL = Flat in its own order */
};

/* The file as it is read from front to back. After a failure everything reads as 0. */
struct cursor {
    const char *path;
    int fd;
    uint64_t at, size;
    enum frt_status status;
    struct frt_error *err;
};

struct entry {
    int64_t id;
    uint64_t place;
};

/* What one index holds, its wrappers put aside. */
struct found {
    uint32_t dim;
    uint64_t n, flat_at;
    struct entry *entries; /* [n] of IVFFlat, in the order of the file; NULL = Flat */
};

static void fail(struct cursor *c, const char *what)
{
    if (c->status == FRT_OK)
        c->status =
            frt_fail(c->err, FRT_EBAD_REQUEST, "%s: %s (byte %llu)", c->path, what, (unsigned long long)c->at);
}

static void get_at(struct cursor *c, uint64_t at, void *out, size_t size)
{
    char *to = out;
    while (size > 0 && c->status == FRT_OK) {
        const ssize_t n = pread(c->fd, to, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c->status = frt_fail(c->err, FRT_EIO, "%s: %s", c->path, strerror(errno));
        } else if (n == 0) {
            fail(c, "the file is cut short");
        } else {
            to += n;
            size -= (size_t)n;
            at += (uint64_t)n;
        }
    }
    if (size > 0)
        memset(to, 0, size);
}

static void get(struct cursor *c, void *out, size_t size)
{
    if (c->status == FRT_OK && size > c->size - c->at)
        fail(c, "the file is cut short");
    get_at(c, c->at, out, size);
    if (c->status == FRT_OK)
        c->at += size;
}

/* `count` items of `size` bytes are there, and are passed over. Where they begin. */
static uint64_t pass(struct cursor *c, uint64_t count, uint64_t size)
{
    const uint64_t at = c->at;
    if (c->status == FRT_OK && count > (c->size - c->at) / size)
        fail(c, "the file is cut short");
    if (c->status == FRT_OK)
        c->at += count * size;
    return at;
}

static const char *kind_name(const char fourcc[4])
{
    static const struct {
        char fourcc[5];
        const char *name;
    } kinds[] = {{"IxHE", "LSH"},
                 {"IxHe", "LSH"},
                 {"IxPQ", "PQ"},
                 {"IxPo", "PQ"},
                 {"IxPq", "PQ"},
                 {"IxSQ", "a scalar quantizer (SQ)"},
                 {"IxPT", "PreTransform"},
                 {"IxRF", "RefineFlat"},
                 {"IvFl", "IVFFlat of an old FAISS"},
                 {"IvFL", "IVFFlat of an old FAISS"},
                 {"IwFd", "IVFFlatDedup"},
                 {"IwSQ", "IVF with a scalar quantizer"},
                 {"IwSq", "IVF with a scalar quantizer"},
                 {"IvSQ", "IVF with a scalar quantizer"},
                 {"IvPQ", "IVFPQ"},
                 {"IwPQ", "IVFPQ"},
                 {"IwQR", "IVFPQR"},
                 {"IHNf", "HNSW"},
                 {"IHNp", "HNSW over PQ"},
                 {"IHNs", "HNSW over SQ"},
                 {"IHN2", "HNSW"},
                 {"INSf", "NSG"},
                 {"INNf", "NNDescent"},
                 {"IxFS", "PQ fast scan"},
                 {"IxPf", "PQ fast scan"},
                 {"IwPf", "IVFPQ fast scan"},
                 {"IBxF", "a binary index"},
                 {"Ix2L", "a two-level index"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (memcmp(kinds[i].fourcc, fourcc, 4) == 0)
            return kinds[i].name;
    }
    return NULL;
}

static void refuse_kind(struct cursor *c, const char fourcc[4])
{
    const char *name = kind_name(fourcc);
    if (c->status != FRT_OK)
        return;
    if (name != NULL)
        c->status = frt_fail(c->err, FRT_EBAD_REQUEST,
                             "%s: a FAISS index of the kind %s; Flat, IVFFlat and IDMap around them are read",
                             c->path, name);
    else
        fail(c, "no FAISS index that is known here; Flat, IVFFlat and IDMap around them are read");
}

static void get_header(struct cursor *c, uint32_t *dim, uint64_t *n)
{
    int32_t d = 0, metric = 0;
    int64_t count = 0, unused;
    uint8_t trained;
    float argument;
    get(c, &d, sizeof d);
    get(c, &count, sizeof count);
    get(c, &unused, sizeof unused);
    get(c, &unused, sizeof unused);
    get(c, &trained, sizeof trained);
    get(c, &metric, sizeof metric);
    if (c->status == FRT_OK && (d < 1 || d > FRT_MAX_DIM || count < 0 || count > UINT32_MAX))
        fail(c, "a dimension or number of vectors that cannot be");
    if (c->status == FRT_OK && metric > 1)
        get(c, &argument, sizeof argument);
    if (c->status == FRT_OK && (metric < 0 || metric > 1))
        fail(c, "a metric other than inner product and L2");
    *dim = (uint32_t)d;
    *n = (uint64_t)count;
}

static void get_flat(struct cursor *c, struct found *out)
{
    uint64_t floats = 0;
    get_header(c, &out->dim, &out->n);
    get(c, &floats, sizeof floats);
    if (c->status == FRT_OK && floats != out->n * out->dim)
        fail(c, "the number of vectors and the size of their block contradict each other");
    out->flat_at = pass(c, floats, sizeof(float));
}

static bool is_flat(const char fourcc[4])
{
    return memcmp(fourcc, "IxFI", 4) == 0 || memcmp(fourcc, "IxF2", 4) == 0 || memcmp(fourcc, "IxFl", 4) == 0;
}

/* The lists: u64 size of each. */
static void get_list_sizes(struct cursor *c, uint64_t n_lists, uint64_t *sizes)
{
    char kind[4];
    uint64_t count = 0;
    get(c, kind, sizeof kind);
    get(c, &count, sizeof count);
    if (c->status != FRT_OK)
        return;
    if (memcmp(kind, "full", 4) == 0 && count == n_lists) {
        get(c, sizes, n_lists * sizeof *sizes);
    } else if (memcmp(kind, "sprs", 4) == 0 && count % 2 == 0 && count / 2 <= n_lists) {
        for (uint64_t i = 0; i < count / 2 && c->status == FRT_OK; i++) {
            uint64_t pair[2];
            get(c, pair, sizeof pair);
            if (c->status == FRT_OK && pair[0] >= n_lists)
                fail(c, "a list that cannot be");
            else if (c->status == FRT_OK)
                sizes[pair[0]] = pair[1];
        }
    } else {
        fail(c, "lists of an unknown form");
    }
}

static void get_lists(struct cursor *c, struct found *out, uint64_t n_lists)
{
    char fourcc[4];
    uint64_t again = 0, code_bytes = 0, total = 0, *sizes = NULL;
    get(c, fourcc, sizeof fourcc);
    if (c->status == FRT_OK && memcmp(fourcc, "ilar", 4) != 0)
        fail(c, memcmp(fourcc, "il00", 4) == 0 ? "the file holds no lists" : "lists of an unknown form");
    get(c, &again, sizeof again);
    get(c, &code_bytes, sizeof code_bytes);
    if (c->status == FRT_OK && (again != n_lists || code_bytes != out->dim * sizeof(float)))
        fail(c, "lists that do not fit the index");
    if (c->status != FRT_OK)
        return;
    sizes = frt_alloc_zero((size_t)n_lists + 1, sizeof *sizes);
    if (sizes == NULL) {
        c->status = frt_fail_nomem(c->err, "a FAISS file");
        return;
    }
    get_list_sizes(c, n_lists, sizes);
    for (uint64_t i = 0; i < n_lists && c->status == FRT_OK; i++) {
        if (sizes[i] > out->n - total)
            fail(c, "the lists hold more vectors than the index has");
        else
            total += sizes[i];
    }
    if (c->status == FRT_OK && total != out->n)
        fail(c, "the lists hold fewer vectors than the index has");
    if (c->status == FRT_OK && out->n > (c->size - c->at) / (code_bytes + 8))
        fail(c, "the file is cut short");
    if (c->status == FRT_OK) {
        out->entries = frt_alloc_array((size_t)out->n + 1, sizeof *out->entries);
        if (out->entries == NULL)
            c->status = frt_fail_nomem(c->err, "a FAISS file");
    }
    uint64_t done = 0;
    for (uint64_t i = 0; i < n_lists && c->status == FRT_OK && out->entries != NULL; i++) {
        int64_t ids[512];
        const uint64_t vectors = pass(c, sizes[i], code_bytes);
        for (uint64_t at = 0; at < sizes[i] && c->status == FRT_OK;) {
            const uint64_t n = sizes[i] - at < 512 ? sizes[i] - at : 512;
            get(c, ids, (size_t)n * sizeof *ids);
            for (uint64_t j = 0; j < n && c->status == FRT_OK; j++, at++)
                out->entries[done++] = (struct entry){ids[j], vectors + at * code_bytes};
        }
    }
    frt_free(sizes);
}

static void get_ivf(struct cursor *c, struct found *out)
{
    char fourcc[4];
    struct found quantizer = {0};
    uint64_t n_lists = 0, probes, count = 0;
    char map = 0;
    get_header(c, &out->dim, &out->n);
    get(c, &n_lists, sizeof n_lists);
    get(c, &probes, sizeof probes);
    get(c, fourcc, sizeof fourcc);
    if (c->status == FRT_OK && !is_flat(fourcc))
        refuse_kind(c, fourcc);
    if (c->status == FRT_OK)
        get_flat(c, &quantizer);
    if (c->status == FRT_OK && (quantizer.dim != out->dim || quantizer.n != n_lists))
        fail(c, "centroids that do not fit the index");
    get(c, &map, sizeof map);
    get(c, &count, sizeof count);
    (void)pass(c, count, sizeof(int64_t));
    if (c->status == FRT_OK && map == 2) {
        get(c, &count, sizeof count);
        (void)pass(c, count, 2 * sizeof(int64_t));
    }
    get_lists(c, out, n_lists);
}

/* The whole file. ids: of IDMap, in the order of the inner index; NULL without one. */
static void get_index(struct cursor *c, struct found *out, int64_t **ids)
{
    char fourcc[4];
    uint32_t dim = 0;
    uint64_t n = 0, count = 0;
    bool mapped = false;
    get(c, fourcc, sizeof fourcc);
    if (c->status == FRT_OK && (memcmp(fourcc, "IxMp", 4) == 0 || memcmp(fourcc, "IxM2", 4) == 0)) {
        mapped = true;
        get_header(c, &dim, &n);
        get(c, fourcc, sizeof fourcc);
    }
    if (c->status != FRT_OK)
        return;
    if (is_flat(fourcc))
        get_flat(c, out);
    else if (memcmp(fourcc, "IwFl", 4) == 0)
        get_ivf(c, out);
    else
        refuse_kind(c, fourcc);
    if (mapped && c->status == FRT_OK) {
        get(c, &count, sizeof count);
        if (c->status == FRT_OK && (dim != out->dim || n != out->n || count != n || n > (c->size - c->at) / 8))
            fail(c, "ids that do not fit the index inside");
        if (c->status == FRT_OK) {
            *ids = frt_alloc_array((size_t)n + 1, sizeof **ids);
            if (*ids == NULL)
                c->status = frt_fail_nomem(c->err, "a FAISS file");
            else
                get(c, *ids, (size_t)n * sizeof **ids);
        }
    }
    if (c->status == FRT_OK && c->at != c->size)
        fail(c, "bytes behind the index's end");
}

static int by_id(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/*
 * The order in which vectors were added. IVFFlat keeps it in its ids, which count up. Ids of an IDMap replace
 * it only where they are the numbers 0..n-1: then they are places in the list beside the file.
 */
static enum frt_status put_in_order(struct found *found, const int64_t *ids, struct frt_faiss_file *file,
                                    struct frt_error *err)
{
    const uint64_t n = found->n, vector_bytes = found->dim * sizeof(float);
    uint64_t *places = NULL, *by_map = NULL;
    bool numbers = ids != NULL;
    if (found->entries == NULL && ids == NULL)
        return FRT_OK;
    places = frt_alloc_array((size_t)n + 1, sizeof *places);
    if (places == NULL)
        return frt_fail_nomem(err, "a FAISS file");
    if (found->entries != NULL)
        qsort(found->entries, (size_t)n, sizeof *found->entries, by_id);
    for (uint64_t i = 0; i < n; i++)
        places[i] = found->entries != NULL ? found->entries[i].place : found->flat_at + i * vector_bytes;
    if (ids != NULL) {
        by_map = frt_alloc_zero((size_t)n + 1, sizeof *by_map); /* no vector stands at byte 0 */
        if (by_map == NULL) {
            frt_free(places);
            return frt_fail_nomem(err, "a FAISS file");
        }
        for (uint64_t i = 0; i < n && numbers; i++) {
            numbers = ids[i] >= 0 && (uint64_t)ids[i] < n && by_map[ids[i]] == 0;
            if (numbers)
                by_map[ids[i]] = places[i];
        }
    }
    file->places = numbers ? by_map : places;
    frt_free(numbers ? places : by_map);
    return FRT_OK;
}

enum frt_status frt_faiss_file_open(const char *path, struct frt_faiss_file **out, uint32_t *dim, uint64_t *n,
                                    struct frt_error *err)
{
    struct cursor c = {.path = path, .err = err};
    struct found found = {0};
    int64_t *ids = NULL;
    struct stat st;
    struct frt_faiss_file *file = frt_alloc_zero(1, sizeof *file);
    if (file == NULL)
        return frt_fail_nomem(err, "a FAISS file");
    file->fd = c.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (c.fd < 0 || fstat(c.fd, &st) != 0) {
        c.status = errno == ENOENT ? frt_fail(err, FRT_ENOTFOUND, "%s: no such file", path)
                                   : frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        c.status = frt_fail(err, FRT_EBAD_REQUEST, "%s is no file", path);
    } else {
        c.size = (uint64_t)st.st_size;
        get_index(&c, &found, &ids);
    }
    if (c.status == FRT_OK)
        c.status = put_in_order(&found, ids, file, err);
    if (c.status == FRT_OK) {
        file->dim = *dim = found.dim;
        file->n = *n = found.n;
        file->flat_at = found.flat_at;
        *out = file;
    } else {
        frt_faiss_file_close(file);
    }
    frt_free(found.entries);
    frt_free(ids);
    return c.status;
}

void frt_faiss_file_close(struct frt_faiss_file *file)
{
    if (file == NULL)
        return;
    if (file->fd >= 0)
        (void)close(file->fd);
    frt_free(file->places);
    frt_free(file);
}

enum frt_status frt_faiss_file_read(struct frt_faiss_file *file, uint64_t first, size_t n, float *out,
                                    struct frt_error *err)
{
    struct cursor c = {.path = "a FAISS index file", .fd = file->fd, .err = err};
    const size_t vector_bytes = file->dim * sizeof *out;
    if (first > file->n || n > file->n - first)
        return frt_fail(err, FRT_EINVAL, "vectors beyond the %llu of the file", (unsigned long long)file->n);
    if (file->places == NULL)
        get_at(&c, file->flat_at + first * vector_bytes, out, n * vector_bytes);
    for (size_t i = 0; i < n && file->places != NULL; i++)
        get_at(&c, file->places[first + i], out + i * file->dim, vector_bytes);
    return c.status;
}

/* ----------------------------------------------------------------- writing */

struct frt_faiss_writer {
    FILE *file;
    uint32_t dim;
    uint64_t n;
    char path[MAX_PATH], temporary[MAX_PATH + 8];
};

static enum frt_status write_error(const struct frt_faiss_writer *writer, struct frt_error *err)
{
    return frt_fail(err, errno == ENOSPC || errno == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s",
                    writer->path, strerror(errno));
}

/* fourcc, header, size of the block: 45 bytes */
static bool put_head(struct frt_faiss_writer *writer)
{
    const int32_t d = (int32_t)writer->dim, inner_product = 0;
    const int64_t n = (int64_t)writer->n, unused = 1 << 20;
    const uint64_t floats = writer->n * writer->dim;
    const uint8_t trained = 1;
    return fwrite("IxFI", 4, 1, writer->file) == 1 && fwrite(&d, sizeof d, 1, writer->file) == 1 &&
           fwrite(&n, sizeof n, 1, writer->file) == 1 && fwrite(&unused, sizeof unused, 1, writer->file) == 1 &&
           fwrite(&unused, sizeof unused, 1, writer->file) == 1 &&
           fwrite(&trained, sizeof trained, 1, writer->file) == 1 &&
           fwrite(&inner_product, sizeof inner_product, 1, writer->file) == 1 &&
           fwrite(&floats, sizeof floats, 1, writer->file) == 1;
}

enum frt_status frt_faiss_writer_open(const char *path, uint32_t dim, struct frt_faiss_writer **out,
                                      struct frt_error *err)
{
    if (dim == 0 || dim > FRT_MAX_DIM || strlen(path) >= MAX_PATH)
        return frt_fail(err, FRT_EINVAL, "a path too long or a dimension that cannot be");
    struct frt_faiss_writer *writer = frt_alloc_zero(1, sizeof *writer);
    if (writer == NULL)
        return frt_fail_nomem(err, "a FAISS file");
    writer->dim = dim;
    (void)snprintf(writer->path, sizeof writer->path, "%s", path);
    (void)snprintf(writer->temporary, sizeof writer->temporary, "%s.XXXXXX", path);
    const int fd = mkstemp(writer->temporary); /* mode 0600: these are faces */
    if (fd < 0)
        writer->temporary[0] = '\0';
    else
        writer->file = fdopen(fd, "wb");
    if (writer->file == NULL && fd >= 0)
        (void)close(fd);
    if (writer->file == NULL || !put_head(writer)) {
        enum frt_status status = write_error(writer, err);
        frt_faiss_writer_free(writer);
        return status;
    }
    *out = writer;
    return FRT_OK;
}

enum frt_status frt_faiss_writer_add(struct frt_faiss_writer *writer, size_t n, const float *vectors,
                                     struct frt_error *err)
{
    if (n > 0 && fwrite(vectors, writer->dim * sizeof *vectors, n, writer->file) != n)
        return write_error(writer, err);
    writer->n += n;
    return FRT_OK;
}

enum frt_status frt_faiss_writer_finish(struct frt_faiss_writer *writer, struct frt_error *err)
{
    if (fseek(writer->file, 0, SEEK_SET) != 0 || !put_head(writer) || fflush(writer->file) != 0 ||
        fsync(fileno(writer->file)) != 0 || rename(writer->temporary, writer->path) != 0)
        return write_error(writer, err);
    writer->temporary[0] = '\0';
    return FRT_OK;
}

void frt_faiss_writer_free(struct frt_faiss_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->file != NULL)
        (void)fclose(writer->file);
    if (writer->temporary[0] != '\0')
        (void)unlink(writer->temporary);
    frt_free(writer);
}
