/* Well-formed UTF-8 by RFC 3629: every code point encoded, every class of malformed sequence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"

static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000 + 0x1000; c++) {
        char text[4];
        size_t n = encode(c, text);
        bool fine = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
        if (frt_utf8_valid(text, n) != fine)
            fail_msg("U+%04X: expected %d", (unsigned)c, fine);
        for (size_t cut = 1; cut < n; cut++)
            assert_false(frt_utf8_valid(text, cut));
    }
}

static void malformed_sequences(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xC0\x80",         /* overlong NUL */
        "\xC1\xBF",         /* overlong U+007F */
        "\xE0\x9F\xBF",     /* overlong U+07FF */
        "\xF0\x8F\xBF\xBF", /* overlong U+FFFF */
        "\xED\xA0\x80",     /* surrogate */
        "\xF4\x90\x80\x80", /* U+110000 */
        "\xF5\x80\x80\x80",
        "\xFE",
        "\xFF",
        "a\xC3(", /* bad continuation */
        "\xE2\x82(",
        "\xF0\x9F\x98(",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (frt_utf8_valid(bad[i], strlen(bad[i])))
            fail_msg("case %zu passed", i);
    assert_true(frt_utf8_valid("", 0));
    assert_true(frt_utf8_valid(NULL, 0));
}

static void sanitise_replaces_only_what_is_bad(void **state)
{
    (void)state;
    char text[] = "ok \xC3\xA9 \xFF\t\x7F\xE2\x82";
    frt_utf8_sanitise(text);
    assert_string_equal(text, "ok \xC3\xA9 \?\?\?\?\?");
    char empty[] = "";
    frt_utf8_sanitise(empty);
    assert_string_equal(empty, "");
}

static void sanitise_leaves_valid_text_whatever_comes_in(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char text[24];
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 1664525U + 1013904223U;
            /* lead and continuation bytes often, so that near-misses are common */
            text[i] = (char)((seed >> 24) % 3 == 0 ? 0x80 | (seed >> 16 & 0x3F) : seed >> 16);
        }
        text[sizeof text - 1] = '\0';
        frt_utf8_sanitise(text);
        assert_true(frt_utf8_valid(text, strlen(text)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(malformed_sequences),
        cmocka_unit_test(sanitise_replaces_only_what_is_bad),
        cmocka_unit_test(sanitise_leaves_valid_text_whatever_comes_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
