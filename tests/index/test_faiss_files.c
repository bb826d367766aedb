/*
 * FAISS index files without FAISS: what FAISS writes is read, what is written FAISS reads (where the plug-in is
 * there), and damaged files are refused without a crash.
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "index/faiss_engine.h"
#include "index/faiss_files.h"

enum { DIM = 12, N = 300 };

static char folder[] = "/tmp/frt-faiss-XXXXXX";
static char path[64];
static float vectors[N][DIM], back[N][DIM];
static const struct frt_faiss_module *module; /* NULL = no plug-in */

static int set_up(void **state)
{
    static uint64_t seed = 88172645463325252u;
    struct frt_error err = {0};
    (void)state;
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/x.index", folder);
    for (int i = 0; i < N * DIM; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        vectors[i / DIM][i % DIM] = (float)(int32_t)(seed >> 32) / 2147483648.0f;
    }
    if (frt_faiss_load(&module, &err) != FRT_OK)
        printf("SKIP what needs FAISS: %s\n", err.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void write_bytes(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void read_all(size_t n)
{
    struct frt_faiss_file *file = NULL;
    struct frt_error err = {0};
    uint32_t dim = 0;
    uint64_t count = 0;
    if (frt_faiss_file_open(path, &file, &dim, &count, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(dim, DIM);
    assert_int_equal(count, n);
    memset(back, 0, sizeof back);
    for (size_t i = 0; i < n; i += 7) /* in pieces */
        assert_int_equal(frt_faiss_file_read(file, i, n - i < 7 ? n - i : 7, back[i], &err), FRT_OK);
    assert_memory_equal(back, vectors, n * sizeof *vectors);
    assert_int_equal(frt_faiss_file_read(file, n, 1, back[0], &err), FRT_EINVAL);
    assert_int_equal(frt_faiss_file_read(file, UINT64_MAX, 2, back[0], &err), FRT_EINVAL);
    frt_faiss_file_close(file);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    for (size_t n = 0; n <= N; n += 100) {
        struct frt_faiss_writer *writer = NULL;
        assert_int_equal(frt_faiss_writer_open(path, DIM, &writer, NULL), FRT_OK);
        assert_int_not_equal(access(path, F_OK), n == 0 ? 0 : -1); /* nothing there before it is whole */
        for (size_t i = 0; i < n; i += 50)
            assert_int_equal(frt_faiss_writer_add(writer, 50, vectors[i], NULL), FRT_OK);
        assert_int_equal(frt_faiss_writer_finish(writer, NULL), FRT_OK);
        frt_faiss_writer_free(writer);
        read_all(n);
    }
    /* one that is not finished leaves the file as it was, and nothing else */
    struct frt_faiss_writer *writer = NULL;
    struct frt_error err = {0};
    assert_int_equal(frt_faiss_writer_open(path, DIM, &writer, NULL), FRT_OK);
    assert_int_equal(frt_faiss_writer_add(writer, 1, vectors[0], NULL), FRT_OK);
    frt_faiss_writer_free(writer);
    read_all(N);
    assert_int_equal(frt_faiss_writer_open("/no/such/folder/x", DIM, &writer, &err), FRT_EIO);
}

static void faiss_reads_what_is_written(void **state)
{
    (void)state;
    if (module == NULL)
        skip();
    struct frt_faiss_writer *writer = NULL;
    struct frt_faiss_failure why = {0};
    static int64_t ids[N];
    size_t n = 0;
    assert_int_equal(frt_faiss_writer_open(path, DIM, &writer, NULL), FRT_OK);
    assert_int_equal(frt_faiss_writer_add(writer, N, vectors[0], NULL), FRT_OK);
    assert_int_equal(frt_faiss_writer_finish(writer, NULL), FRT_OK);
    frt_faiss_writer_free(writer);
    if (!module->read_file(path, DIM, N, back[0], ids, &n, &why))
        fail_msg("%s", why.text);
    assert_int_equal(n, N);
    assert_memory_equal(back, vectors, sizeof vectors);
}

static void what_faiss_writes_is_read(void **state)
{
    static const char *const kinds[] = {"Flat",       "IVF9,Flat",   "IVF250,Flat",
                                        "IDMap,Flat", "IDMap2,Flat", "IDMap2,IVF9,Flat"};
    (void)state;
    if (module == NULL)
        skip();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (int l2 = 0; l2 < 2; l2++) {
            struct frt_faiss_failure why = {0};
            static int64_t ids[N];
            static float mixed[N][DIM];
            const bool mapped = strncmp(kinds[k], "IDMap", 5) == 0;
            for (size_t i = 0; i < N; i++)
                ids[i] = (int64_t)(5000 - i * 3); /* say nothing about the order */
            if (!module->write_file(path, kinds[k], l2, DIM, N, vectors[0], mapped ? ids : NULL, &why))
                fail_msg("%s: %s", kinds[k], why.text);
            read_all(N);
            if (!mapped)
                continue;
            for (size_t i = 0; i < N; i++) { /* the ids are places in the list */
                ids[i] = (int64_t)(i * 7 % N);
                memcpy(mixed[i], vectors[ids[i]], sizeof mixed[i]);
            }
            assert_true(module->write_file(path, kinds[k], l2, DIM, N, mixed[0], ids, &why));
            read_all(N);
        }
    }
    /* lists that are mostly empty are kept in another form */
    struct frt_faiss_failure why = {0};
    static float alike[N][DIM];
    for (size_t i = 0; i < N; i++)
        memcpy(alike[i], vectors[i % 20], sizeof alike[i]);
    assert_true(module->write_file(path, "IVF100,Flat", false, DIM, N, alike[0], NULL, &why));
    struct frt_faiss_file *file = NULL;
    uint32_t dim;
    uint64_t n;
    assert_int_equal(frt_faiss_file_open(path, &file, &dim, &n, NULL), FRT_OK);
    assert_int_equal(frt_faiss_file_read(file, 0, N, back[0], NULL), FRT_OK);
    assert_memory_equal(back, alike, sizeof alike);
    frt_faiss_file_close(file);
}

static void other_kinds_are_refused_by_name(void **state)
{
    static const struct {
        const char *kind, *name;
    } others[] = {{"HNSW8,Flat", "HNSW"},
                  {"PQ4x4", "PQ"},
                  {"IVF9,PQ4x4", "IVFPQ"},
                  {"SQ8", "scalar quantizer"},
                  {"PCA4,Flat", "PreTransform"},
                  {"IDMap,HNSW8,Flat", "HNSW"},
                  {"LSH", "LSH"}};
    (void)state;
    struct frt_faiss_file *file = NULL;
    uint32_t dim;
    uint64_t n;
    struct frt_error err = {0};
    for (size_t i = 0; module != NULL && i < sizeof others / sizeof *others; i++) {
        struct frt_faiss_failure why = {0};
        static int64_t ids[N];
        for (size_t j = 0; j < N; j++)
            ids[j] = (int64_t)j;
        if (!module->write_file(path, others[i].kind, true, DIM, N, vectors[0],
                                strncmp(others[i].kind, "IDMap", 5) == 0 ? ids : NULL, &why))
            fail_msg("%s: %s", others[i].kind, why.text);
        assert_int_equal(frt_faiss_file_open(path, &file, &dim, &n, &err), FRT_EBAD_REQUEST);
        if (strstr(err.text, others[i].name) == NULL)
            fail_msg("%s: %s", others[i].kind, err.text);
    }
    write_bytes("PK\3\4 something else entirely", 29);
    assert_int_equal(frt_faiss_file_open(path, &file, &dim, &n, &err), FRT_EBAD_REQUEST);
    write_bytes("", 0);
    assert_int_equal(frt_faiss_file_open(path, &file, &dim, &n, &err), FRT_EBAD_REQUEST);
    assert_int_equal(frt_faiss_file_open(folder, &file, &dim, &n, &err), FRT_EBAD_REQUEST);
    (void)unlink(path);
    assert_int_equal(frt_faiss_file_open(path, &file, &dim, &n, &err), FRT_ENOTFOUND);
    assert_null(file);
}

/* A small IVFFlat inside an IDMap, byte by byte, for machines without FAISS. */
static size_t make_ivf(unsigned char *out)
{
    size_t at = 0;
#define PUT(type, value)                                                                                       \
    do {                                                                                                       \
        const type x = (value);                                                                                \
        memcpy(out + at, &x, sizeof x);                                                                        \
        at += sizeof x;                                                                                        \
    } while (0)
#define PUT_TEXT(text)                                                                                         \
    do {                                                                                                       \
        memcpy(out + at, text, 4);                                                                             \
        at += 4;                                                                                               \
    } while (0)
#define PUT_HEADER(count)                                                                                      \
    do {                                                                                                       \
        PUT(int32_t, DIM);                                                                                     \
        PUT(int64_t, count);                                                                                   \
        PUT(int64_t, 1 << 20);                                                                                 \
        PUT(int64_t, 1 << 20);                                                                                 \
        PUT(uint8_t, 1);                                                                                       \
        PUT(int32_t, 0);                                                                                       \
    } while (0)
    PUT_TEXT("IxM2");
    PUT_HEADER(5);
    PUT_TEXT("IwFl");
    PUT_HEADER(5);
    PUT(uint64_t, 3); /* lists */
    PUT(uint64_t, 1); /* probes */
    PUT_TEXT("IxFI");
    PUT_HEADER(3);
    PUT(uint64_t, 3 * DIM);
    memcpy(out + at, vectors[100], 3 * sizeof *vectors);
    at += 3 * sizeof *vectors;
    PUT(uint8_t, 0); /* direct map: none */
    PUT(uint64_t, 0);
    PUT_TEXT("ilar");
    PUT(uint64_t, 3);
    PUT(uint64_t, DIM * 4);
    PUT_TEXT("full");
    PUT(uint64_t, 3);
    PUT(uint64_t, 2);
    PUT(uint64_t, 0);
    PUT(uint64_t, 3);
    static const int order[] = {4, 1, 0, 3, 2};
    for (int list = 0; list < 2; list++) {
        for (int i = list * 2; i < (list == 0 ? 2 : 5); i++) {
            memcpy(out + at, vectors[order[i]], sizeof *vectors);
            at += sizeof *vectors;
        }
        for (int i = list * 2; i < (list == 0 ? 2 : 5); i++)
            PUT(int64_t, order[i]);
    }
    PUT(uint64_t, 5);
    for (int i = 0; i < 5; i++)
        PUT(int64_t, 70 + i);
    return at;
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    unsigned char bytes[4096];
    const size_t size = make_ivf(bytes);
    write_bytes(bytes, size);
    read_all(5);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    size_t refused = 0;
    for (size_t i = 0; i < size * 4; i++) {
        static const unsigned char flips[] = {1, 64, 128, 255};
        struct frt_faiss_file *file = NULL;
        uint32_t dim;
        uint64_t n;
        const unsigned char wrong = bytes[i / 4] ^ flips[i % 4];
        assert_int_equal(pwrite(fd, &wrong, 1, (off_t)(i / 4)), 1);
        if (frt_faiss_file_open(path, &file, &dim, &n, NULL) == FRT_OK) {
            assert_true(dim == DIM && n == 5); /* other sizes do not fit the file */
            assert_int_equal(frt_faiss_file_read(file, 0, 5, back[0], NULL), FRT_OK);
            frt_faiss_file_close(file);
        } else {
            refused++;
        }
        assert_int_equal(pwrite(fd, &bytes[i / 4], 1, (off_t)(i / 4)), 1);
    }
    assert_true(refused > 200);
    read_all(5);
    for (size_t cut = size + 1; cut-- > 0;) {
        struct frt_faiss_file *file = NULL;
        uint32_t dim;
        uint64_t n;
        if (cut == size) {
            assert_int_equal(pwrite(fd, "", 1, (off_t)size), 1); /* one byte too many first */
        } else {
            assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        }
        assert_int_equal(frt_faiss_file_open(path, &file, &dim, &n, NULL), FRT_EBAD_REQUEST);
    }
    assert_int_equal(close(fd), 0);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    unsigned char bytes[4096];
    write_bytes(bytes, make_ivf(bytes));
    for (int64_t fail = 0;; fail++) {
        struct frt_faiss_file *file = NULL;
        uint32_t dim;
        uint64_t n;
        frt_mem_fail_after(fail);
        const enum frt_status status = frt_faiss_file_open(path, &file, &dim, &n, NULL);
        frt_mem_fail_after(-1);
        if (status == FRT_OK) {
            assert_true(fail > 3);
            frt_faiss_file_close(file);
            break;
        }
        assert_int_equal(status, FRT_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),   cmocka_unit_test(faiss_reads_what_is_written),
        cmocka_unit_test(what_faiss_writes_is_read), cmocka_unit_test(other_kinds_are_refused_by_name),
        cmocka_unit_test(damaged_files_are_refused), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
