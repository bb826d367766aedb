/* SHA-256 against FIPS vectors, base64 both ways, against hostile text and in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "core/crypto.h"
#include "core/sha256.h"

static void sha256_vectors(void **state)
{
    (void)state;
    /* FIPS 180-4 examples: "", "abc", the 448-bit message, a million 'a' */
    char hex[FRT_SHA256_HEX_SIZE];
    frt_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    frt_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    frt_sha256_hex(two_blocks, sizeof two_blocks - 1, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    frt_sha256_hex(million, 1000000, hex);
    free(million);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Two texts are hashed as one that was put together. */
static void sha256_of_two(void **state)
{
    static const char text[] = "a photo's bytes and what was asked of it";
    uint8_t whole[FRT_SHA256_BYTES], parts[FRT_SHA256_BYTES];
    (void)state;
    frt_sha256(text, sizeof text, whole);
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        frt_sha256_two(text, cut, text + cut, sizeof text - cut, parts);
        assert_memory_equal(whole, parts, sizeof whole);
    }
}

static void sha256_of_a_file(void **state)
{
    (void)state;
    char path[] = P_tmpdir "/frt-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    char block[4096];
    memset(block, 'a', sizeof block);
    /* a million bytes: several reads, the last one short */
    for (size_t left = 1000000; left > 0;) {
        size_t n = left < sizeof block ? left : sizeof block;
        assert_int_equal(write(fd, block, n), (ssize_t)n);
        left -= n;
    }
    (void)close(fd);
    char hex[FRT_SHA256_HEX_SIZE];
    struct frt_error err = {0};
    assert_int_equal(frt_sha256_file(path, hex, &err), FRT_OK);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    (void)unlink(path);
    assert_int_equal(frt_sha256_file(path, hex, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(frt_sha256_file("/", hex, &err), FRT_EIO);
}

static enum frt_status decode(const char *text, char *out, size_t capacity, size_t *n, struct frt_error *err)
{
    size_t size = strlen(text);
    char *exact = malloc(size > 0 ? size : 1); /* reads beyond the text show under the sanitizer */
    assert_non_null(exact);
    memcpy(exact, text, size);
    enum frt_status status = frt_base64_decode(exact, size, out, capacity, n, err);
    free(exact);
    return status;
}

static void base64_vectors(void **state)
{
    (void)state;
    /* RFC 4648 section 10, then what we take beyond it */
    static const struct {
        const char *text;
        const char *bytes;
        size_t size;
    } cases[] = {
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYg==", "foob", 4},
        {"Zm9vYmE=", "fooba", 5},
        {"Zm9vYmFy", "foobar", 6},
        {"Zg", "f", 1},
        {"Zm8", "fo", 2},
        {"Zm9vYg", "foob", 4},
        {"-_-_", "\xFB\xFF\xBF", 3},
        {"+/-_", "\xFB\xFF\xBF", 3},
        {" Z m\r\n9\tv ", "foo", 3},
        {"Zm9v\nYmFy\n", "foobar", 6},
        {"Zg= =\n", "f", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[32];
        size_t n = 99;
        struct frt_error err = {0};
        if (decode(cases[i].text, out, sizeof out, &n, &err) != FRT_OK)
            fail_msg("'%s': %s", cases[i].text, err.text);
        assert_int_equal(n, cases[i].size);
        assert_memory_equal(out, cases[i].bytes, n);
    }
}

static void base64_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"Z", "cut short"},       {"Zm9vY", "cut short"},  {"Zg=", "cut short"},        {"Zm9v=", "cut short"},
        {"Zg===", "padding"},     {"====", "padding"},     {"Zg==Zg==", "offset 4"},    {"Z=g=", "offset 2"},
        {"Zm9v!mFy", "offset 4"}, {"Zm9\x80", "offset 3"}, {"Zm9vYm\xFFy", "offset 6"}, {"Zm8=v", "offset 4"},
        {"a.b.", "offset 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[32];
        size_t n = 99;
        struct frt_error err = {0};
        if (decode(cases[i].text, out, sizeof out, &n, &err) != FRT_EBAD_REQUEST)
            fail_msg("'%s' was taken", cases[i].text);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("'%s': %s", cases[i].text, err.text);
        assert_int_equal(n, 99);
    }
}

static void base64_keeps_to_its_capacity(void **state)
{
    (void)state;
    char text[64];
    for (size_t size = 0; size <= 24; size++) {
        frt_base64_encode("abcdefghijklmnopqrstuvwxyz", size, text);
        for (size_t capacity = 0; capacity <= 26; capacity++) {
            char *out = malloc(capacity > 0 ? capacity : 1);
            size_t n = 99;
            assert_non_null(out);
            enum frt_status status = decode(text, out, capacity, &n, NULL);
            assert_int_equal(status, capacity >= size ? FRT_OK : FRT_EINVAL);
            if (status == FRT_OK)
                assert_memory_equal(out, "abcdefghijklmnopqrstuvwxyz", size);
            free(out);
        }
    }
}

static void base64_round_trips(void **state)
{
    (void)state;
    uint32_t seed = 11;
    for (int round = 0; round < 3000; round++) {
        unsigned char bytes[96], back[99];
        char text[160], spaced[400];
        size_t size = (size_t)(seed % sizeof bytes), used = 0, n = 0;
        for (size_t i = 0; i < size; i++) {
            seed = seed * 1664525U + 1013904223U;
            bytes[i] = (unsigned char)(seed >> 24);
        }
        seed = seed * 1664525U + 1013904223U;
        assert_true(frt_base64_encoded_size(size) <= sizeof text);
        frt_base64_encode(bytes, size, text);
        assert_int_equal(strlen(text) + 1, frt_base64_encoded_size(size));
        /* the other alphabet, no padding or some, spaces strewn in */
        for (const char *p = text; *p != '\0'; p++) {
            char c = *p;
            seed = seed * 1664525U + 1013904223U;
            if (c == '=' && round % 2 == 0)
                continue;
            if (seed >> 31 == 1 && c == '+')
                c = '-';
            if (seed >> 31 == 1 && c == '/')
                c = '_';
            if (seed >> 24 < 20)
                spaced[used++] = '\n';
            spaced[used++] = c;
        }
        assert_int_equal(frt_base64_decode(spaced, used, back, sizeof back, &n, NULL), FRT_OK);
        assert_int_equal(n, size);
        assert_memory_equal(back, bytes, size);
        /* in place */
        assert_int_equal(frt_base64_decode(spaced, used, spaced, sizeof spaced, &n, NULL), FRT_OK);
        assert_memory_equal(spaced, bytes, size);
    }
}

/* Random text: never a crash, and what is taken is at most 3/4 of the text. */
static void base64_of_random_text(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDwxyz0189+/-_=== \n!";
    uint32_t seed = 13;
    unsigned taken = 0;
    for (int round = 0; round < 50000; round++) {
        char text[24], out[24];
        size_t size = (size_t)(seed >> 8) % sizeof text, n = 0;
        for (size_t i = 0; i < size; i++) {
            seed = seed * 1664525U + 1013904223U;
            text[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        seed = seed * 1664525U + 1013904223U;
        enum frt_status status = frt_base64_decode(text, size, out, sizeof out, &n, NULL);
        assert_true(status == FRT_OK || status == FRT_EBAD_REQUEST);
        if (status == FRT_OK) {
            assert_true(4 * n <= 3 * size);
            taken++;
        }
    }
    assert_true(taken > 100);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    unsigned char a[32] = {0}, b[32] = {0}, zero[32] = {0};
    frt_random_bytes(a, sizeof a);
    frt_random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors),      cmocka_unit_test(sha256_of_two),
        cmocka_unit_test(sha256_of_a_file),    cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_refusals),     cmocka_unit_test(base64_keeps_to_its_capacity),
        cmocka_unit_test(base64_round_trips),  cmocka_unit_test(base64_of_random_text),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
