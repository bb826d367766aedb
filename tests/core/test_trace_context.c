/* W3C trace context: what is taken, what counts as none, what is handed on. Cases after the standard's own
 * conformance suite (w3c/trace-context, test/test.py) and its grammar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/splitmix.h"
#include "core/trace_context.h"

#define TRACE "12345678901234567890123456789012"
#define PARENT "1234567890123456"

static void good_ones(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t flags;
    } cases[] = {
        {"00-" TRACE "-" PARENT "-00", 0},
        {"00-" TRACE "-" PARENT "-01", 1},
        {"00-" TRACE "-" PARENT "-03", 3},
        {"00-" TRACE "-" PARENT "-ff", 3}, /* bits that are not known are not handed on */
        {"00-" TRACE "-" PARENT "-fc", 0},
        {" \t00-" TRACE "-" PARENT "-01\t ", 1}, /* blanks around a value are not part of it */
        {"01-" TRACE "-" PARENT "-01", 1},       /* later versions may say more */
        {"cc-" TRACE "-" PARENT "-01-what-the-future-will-be-like", 1},
        {"fe-" TRACE "-" PARENT "-01-", 1},
        {"00-00000000000000000000000000000001-0000000000000001-01", 1},
        {"00-abcdefabcdefabcdefabcdefabcdefab-fedcbafedcbafedc-01", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frt_trace_context c;
        char sent[FRT_TRACEPARENT_SIZE], wanted[FRT_TRACEPARENT_SIZE];
        if (!frt_trace_context_parse(cases[i].text, &c))
            fail_msg("'%s' was refused", cases[i].text);
        assert_int_equal(c.flags, cases[i].flags);
        assert_memory_equal(strstr(cases[i].text, c.trace_id), c.trace_id, 32);
        assert_non_null(strstr(cases[i].text, c.parent_id));
        assert_int_equal(strspn(c.span_id, "0123456789abcdef"), 16);
        assert_string_not_equal(c.span_id, c.parent_id);
        assert_string_equal(c.state, "");
        frt_trace_context_write(&c, sent);
        (void)snprintf(wanted, sizeof wanted, "00-%s-%s-%02x", c.trace_id, c.span_id, cases[i].flags);
        assert_string_equal(sent, wanted);
    }
}

static void malformed_ones(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "-",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-01-",
        "00-" TRACE "-" PARENT "-01-what-the-future-will-be-like",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-01.",
        "cc-" TRACE "-" PARENT "-01.what-the-future-will-not-be-like",
        "ff-" TRACE "-" PARENT "-01",
        "FE-" TRACE "-" PARENT "-01",
        "0-" TRACE "-" PARENT "-01",
        "000-" TRACE "-" PARENT "-01",
        "..-" TRACE "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-ABCDEFABCDEFABCDEFABCDEFABCDEFAB-" PARENT "-01",
        "00-" TRACE "-ABCDEFABCDEFABCD-01",
        "00-" TRACE "-" PARENT "-0A",
        "00-1234567890123456789012345678901-" PARENT "-01",
        "00-" TRACE "3-" PARENT "-01",
        "00-" TRACE "-123456789012345-01",
        "00-" TRACE "-" PARENT "7-01",
        "00-1234567890123456789012345678901.-" PARENT "-01",
        "00-" TRACE "-" PARENT "-.0",
        "00-" TRACE "-" PARENT "-0\x01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-" TRACE " -" PARENT "-01",
        "00 -" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01,00-" TRACE "-" PARENT "-01",
        "\xC3\xA9-" TRACE "-" PARENT "-01",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frt_trace_context c;
        if (frt_trace_context_parse(cases[i], &c))
            fail_msg("'%s' was taken", cases[i]);
        assert_string_equal(c.trace_id, "");
        frt_trace_context_attach(&c);
        assert_null(frt_trace_context_attached());
    }
}

static const char *state_of(const char *tracestate)
{
    static struct frt_trace_context c;
    assert_true(frt_trace_context_parse("00-" TRACE "-" PARENT "-01", &c));
    frt_trace_context_take_state(&c, tracestate);
    return c.state;
}

static void states(void **state)
{
    (void)state;
    static const struct {
        const char *given, *wanted;
    } cases[] = {
        {"", ""},
        {"foo=1", "foo=1"},
        {"foo=1,bar=2", "foo=1,bar=2"},
        {"foo=1 , \t bar=2,baz=3", "foo=1,bar=2,baz=3"},
        {" , ,foo=1,,", "foo=1"}, /* empty members are allowed */
        {"foo=1 2", "foo=1 2"},
        {"foo= 1", "foo= 1"}, /* blanks at the front belong to a value */
        {"t61rcwkgmze@vendor=1", "t61rcwkgmze@vendor=1"},
        {"0a=1", "0a=1"}, /* Level 2 */
        {"f_-*/o=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~", "f_-*/o=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~"},
        {"foo=1,foo=2", ""}, /* a key twice */
        {"foo=1,bar", ""},
        {"foo", ""},
        {"=1", ""},
        {"foo=", ""},
        {"foo =1", ""},
        {"FOO=1", ""},
        {"foo.bar=1", ""},
        {"@foo=1", ""},
        {"foo=1=2", ""},
        {"foo=1\x7f", ""},
        {"foo=\xC3\xA9", ""},
        {"foo=1\n", ""},
        {"foo=1\r\nX-Evil: yes", ""},
        {"foo=1;bar", "foo=1;bar"},
        {"foo=1;bar=2", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(state_of(cases[i].given), cases[i].wanted);
}

static void bounds_of_states(void **state)
{
    (void)state;
    char text[2000], key[258], value[258];
    memset(key, 'k', sizeof key);
    memset(value, 'v', sizeof value);
    (void)snprintf(text, sizeof text, "%.256s=1", key);
    assert_string_equal(state_of(text), text);
    (void)snprintf(text, sizeof text, "%.257s=1", key);
    assert_string_equal(state_of(text), "");
    (void)snprintf(text, sizeof text, "a=%.256s", value);
    assert_string_equal(state_of(text), text);
    (void)snprintf(text, sizeof text, "a=%.257s", value);
    assert_string_equal(state_of(text), "");
    for (int n = 32; n <= 33; n++) { /* 32 members and no more */
        size_t used = 0;
        for (int i = 0; i < n; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%sbar%02d=%02d", i > 0 ? "," : "", i, i);
        assert_string_equal(state_of(text), n == 32 ? text : "");
    }
    /* 512 bytes are handed on whole, of more long members go first, then the last ones */
    (void)snprintf(text, sizeof text, "a=%.253s,b=%.254s", value, value);
    assert_int_equal(strlen(text), 512);
    assert_string_equal(state_of(text), text);
    (void)snprintf(text, sizeof text, "long=%.200s,x=1,b=%.200s,y=2,c=%.200s,z=3", value, value, value);
    assert_string_equal(state_of(text), "x=1,y=2,z=3");
    size_t used = 0;
    for (int i = 0; i < 10; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%sk%d=%.100s", i > 0 ? "," : "", i, value);
    const char *kept = state_of(text);
    assert_int_equal(strlen(kept), 4 * 103 + 3);
    assert_memory_equal(kept, text, strlen(kept));
}

/* Whatever single byte is put anywhere: taken or not, what comes out is well formed. */
static void hostile_bytes(void **state)
{
    (void)state;
    static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    char text[sizeof good + 40];
    uint64_t seed = 7;
    for (int round = 0; round < 200000; round++) {
        struct frt_trace_context c, again;
        char sent[FRT_TRACEPARENT_SIZE];
        memset(text, 0, sizeof text);
        memcpy(text, good, sizeof good);
        const int changes = (int)(frt_splitmix_next(&seed) % 4);
        for (int i = 0; i < changes; i++) {
            const uint64_t draw = frt_splitmix_next(&seed);
            text[draw % (sizeof text - 1)] =
                draw & 1 << 20 ? "0123456789abcdef-AFg"[(draw >> 32) % 20] : (char)(draw >> 40);
        }
        if (!frt_trace_context_parse(text, &c)) {
            assert_string_equal(c.trace_id, "");
            continue;
        }
        frt_trace_context_take_state(&c, text + frt_splitmix_next(&seed) % sizeof good);
        frt_trace_context_write(&c, sent);
        assert_int_equal(strlen(sent), FRT_TRACEPARENT_SIZE - 1);
        assert_true(frt_trace_context_parse(sent, &again));
        assert_string_equal(again.trace_id, c.trace_id);
        assert_string_equal(again.parent_id, c.span_id);
    }
}

static void spans_differ(void **state)
{
    (void)state;
    struct frt_trace_context a, b;
    assert_true(frt_trace_context_parse("00-" TRACE "-" PARENT "-01", &a));
    assert_true(frt_trace_context_parse("00-" TRACE "-" PARENT "-01", &b));
    assert_string_equal(a.trace_id, b.trace_id);
    assert_string_not_equal(a.span_id, b.span_id);
    frt_trace_context_attach(&a);
    assert_ptr_equal(frt_trace_context_attached(), &a);
    frt_trace_context_attach(NULL);
    assert_null(frt_trace_context_attached());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),        cmocka_unit_test(malformed_ones), cmocka_unit_test(states),
        cmocka_unit_test(bounds_of_states), cmocka_unit_test(hostile_bytes),  cmocka_unit_test(spans_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
