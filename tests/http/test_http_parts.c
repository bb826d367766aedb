/* Parts of the service that need no socket: paths, origins, the limit of logins, who is behind a proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/auth.h"
#include "http/login_limit.h"
#include "http/peer_address.h"
#include "http/route_path.h"

static void paths_are_split_then_decoded(void **state)
{
    static const struct {
        const char *target;
        size_t n;
        const char *last;
    } good[] = {{"/", 1, ""},
                {"/v1/detect", 2, "detect"},
                {"/v1/detect?x=/y", 2, "detect"},
                {"/v1/detect/", 3, ""},
                {"/a%2Fb", 1, "a/b"},
                {"/%64etect", 1, "detect"},
                {"/a%20b%c3%A9", 1, "a b\xc3\xa9"},
                {"/%2e%2e/x", 2, "x"},
                {"//", 2, ""},
                {"/+", 1, "+"}};
    static const char *const bad[] = {"/%", "/%2", "/%zz", "/a%00b", "/%0", "/x%2"};
    static const char *const none[] = {"", "x", "http://host/", "*", "/1/2/3/4/5/6/7/8/9"};
    static struct http_path path;
    char longest[HTTP_PATH_SIZE + 10];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(http_path_parse(good[i].target, &path, NULL), FRT_OK);
        assert_int_equal(path.n, good[i].n);
        assert_string_equal(path.segments[path.n - 1], good[i].last);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(http_path_parse(bad[i], &path, NULL), FRT_EBAD_REQUEST);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(http_path_parse(none[i], &path, NULL), FRT_ENOTFOUND);
    memset(longest, 'a', sizeof longest);
    longest[0] = '/';
    longest[HTTP_PATH_SIZE] = '\0';
    assert_int_equal(http_path_parse(longest, &path, NULL), FRT_ENOTFOUND);
    longest[HTTP_PATH_SIZE - 1] = '\0';
    assert_int_equal(http_path_parse(longest, &path, NULL), FRT_OK);
}

static bool matches(const char *target, const char *pattern, const char *params[HTTP_MAX_PATH_PARAMS])
{
    static struct http_path path;
    assert_int_equal(http_path_parse(target, &path, NULL), FRT_OK);
    return http_path_matches(&path, pattern, params);
}

static void patterns(void **state)
{
    static const char pattern[] = "/v1/collections/{c}/faces/{face_id}";
    const char *params[HTTP_MAX_PATH_PARAMS] = {NULL};
    (void)state;
    assert_true(matches("/", "/", params));
    assert_true(matches("/v1/detect", "/v1/detect", params));
    assert_false(matches("/v1/detect/", "/v1/detect", params));
    assert_false(matches("/v1/detec", "/v1/detect", params));
    assert_false(matches("/v1/detects", "/v1/detect", params));
    assert_true(matches("/v1/collections/a%2Fb/faces/%7Bc%7D", pattern, params));
    assert_string_equal(params[0], "a/b");
    assert_string_equal(params[1], "{c}");
    assert_false(matches("/v1/collections//faces/x", pattern, params));
    assert_false(matches("/v1/collections/a/faces/", pattern, params));
    assert_false(matches("/v1/collections/a/faces", pattern, params));
    assert_false(matches("/v1/collections/a%2Ffaces%2Fx", pattern, params));
    assert_false(matches("/v1/collections/a/b/faces/x", pattern, params));
    static const char *const control[] = {"/v1/jobs/a%0ab", "/v1/jobs/%1f", "/v1/jobs/%7f", "/v1/jobs/%ff",
                                          "/v1/jobs/%c3%28"};
    for (size_t i = 0; i < sizeof control / sizeof *control; i++) {
        assert_true(matches(control[i], "/v1/jobs/{id}", params));
        assert_int_equal(http_path_check(params, NULL), FRT_EBAD_REQUEST);
    }
    assert_true(matches("/v1/jobs/J%C3%BCrgen%20%2F", "/v1/jobs/{id}", params));
    assert_int_equal(http_path_check(params, NULL), FRT_OK);
}

static void origins(void **state)
{
    static const struct {
        const char *origin, *host;
        bool same;
    } pairs[] = {{"http://127.0.0.1:8080", "127.0.0.1:8080", true},
                 {"http://localhost:8080", "LocalHost:8080", true},
                 {"https://faces.example", "faces.example", true},
                 {"https://faces.example", "faces.example:443", true},
                 {"http://faces.example:80", "faces.example", true},
                 {"http://[::1]:9", "[::1]:9", true},
                 {"http://evil.example", "127.0.0.1:8080", false},
                 {"http://127.0.0.1:8081", "127.0.0.1:8080", false},
                 {"http://127.0.0.1", "127.0.0.1:8080", false},
                 {"http://localhost:8080", "127.0.0.1:8080", false},
                 {"https://faces.example:80", "faces.example", false},
                 {"https://faces.example.evil.example", "faces.example", false},
                 {"https://x@faces.example", "faces.example", false},
                 {"null", "null", false},
                 {"", "", false},
                 {"http://", "", false},
                 {"file://", "", false},
                 {"http://a", NULL, false}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (http_origin_is_host(pairs[i].origin, pairs[i].host) != pairs[i].same)
            fail_msg("%s and %s", pairs[i].origin, pairs[i].host);
}

static int64_t now_ns;

static int64_t test_now(const struct frt_clock *clock)
{
    (void)clock;
    return now_ns;
}

static void logins_are_limited(void **state)
{
    const struct frt_clock clock = {.monotonic_ns = test_now, .wall_ns = test_now};
    struct http_login_limit *limit = NULL;
    uint8_t mine[HTTP_PEER_BYTES] = {1}, other[HTTP_PEER_BYTES] = {2};
    (void)state;
    assert_int_equal(http_login_limit_new(&clock, &limit, NULL), FRT_OK);
    for (int i = 0; i < 100; i++) { /* what succeeds does not count */
        assert_int_equal(http_login_limit_begin(limit, mine), 0);
        http_login_limit_refund(limit, mine);
    }
    for (int i = 0; i < HTTP_LOGIN_FAILURES; i++)
        assert_int_equal(http_login_limit_begin(limit, mine), 0);
    assert_true(http_login_limit_begin(limit, mine) > 0);
    assert_true(http_login_limit_begin(limit, mine) <= HTTP_LOGIN_WINDOW_S);
    assert_int_equal(http_login_limit_begin(limit, other), 0);
    now_ns += (int64_t)(HTTP_LOGIN_WINDOW_S - 1) * 1000000000;
    assert_true(http_login_limit_begin(limit, mine) > 0);
    now_ns += 1000000000;
    assert_int_equal(http_login_limit_begin(limit, mine), 0);
    /* many addresses: no memory, no crash, and a new one is always let in */
    for (uint32_t i = 0; i < 100000; i++) {
        uint8_t peer[HTTP_PEER_BYTES] = {9};
        memcpy(peer + 4, &i, sizeof i);
        assert_int_equal(http_login_limit_begin(limit, peer), 0);
    }
    http_login_limit_free(limit);
}

static void address_of(const char *text, uint8_t out[HTTP_PEER_BYTES])
{
    struct http_proxies one;
    assert_int_equal(http_proxies_parse(text, &one, NULL), FRT_OK);
    assert_int_equal(one.n, 1);
    memcpy(out, one.networks[0].address, HTTP_PEER_BYTES);
}

static void networks_are_parsed(void **state)
{
    static const char *const bad[] = {"x",           "10.0.0.0/33", "10.0.0.0/", "10.0.0/8",
                                      "::1/129",     "10.0.0.1/8x", "localhost", "1.2.3.4:80",
                                      "10.0.0.0/-1", "[::1]",       "/8"};
    struct http_proxies proxies;
    uint8_t address[HTTP_PEER_BYTES];
    char many[HTTP_MAX_PROXIES * 12 + 40] = "";
    (void)state;
    assert_int_equal(http_proxies_parse("", &proxies, NULL), FRT_OK);
    assert_int_equal(proxies.n, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(http_proxies_parse(bad[i], &proxies, NULL), FRT_EINVAL);
    for (int i = 0; i <= HTTP_MAX_PROXIES; i++)
        (void)snprintf(many + strlen(many), sizeof many - strlen(many), "10.0.0.%d ", i);
    assert_int_equal(http_proxies_parse(many, &proxies, NULL), FRT_EINVAL);
    assert_int_equal(http_proxies_parse("10.1.0.0/15, 192.0.2.7  fd00::/9,::1", &proxies, NULL), FRT_OK);
    assert_int_equal(proxies.n, 4);
    static const struct {
        const char *address;
        bool trusted;
    } cases[] = {{"10.0.0.1", true},   {"10.1.255.255", true}, {"10.2.0.0", false}, {"192.0.2.7", true},
                 {"192.0.2.6", false}, {"fd7f::1", true},      {"fd80::", false},   {"::1", true},
                 {"::2", false},       {"127.0.0.1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        address_of(cases[i].address, address);
        if (http_proxies_trust(&proxies, address) != cases[i].trusted)
            fail_msg("%s", cases[i].address);
    }
    assert_int_equal(http_proxies_parse("0.0.0.0/0", &proxies, NULL), FRT_OK);
    address_of("8.8.8.8", address);
    assert_true(http_proxies_trust(&proxies, address));
    address_of("2001:db8::1", address);
    assert_false(http_proxies_trust(&proxies, address)); /* all of IPv4 is not IPv6 */
}

/* The address is read from the end: what a client writes there is never reached. */
static void the_client_behind_proxies(void **state)
{
    static const struct {
        const char *peer, *forwarded, *client;
    } cases[] = {{"203.0.113.9", "1.2.3.4", "203.0.113.9"}, /* a stranger's word counts for nothing */
                 {"10.0.0.1", "", "10.0.0.1"},
                 {"10.0.0.1", "203.0.113.9", "203.0.113.9"},
                 {"10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"}, /* the left part is the client's own */
                 {"10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"},
                 {"10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"}, /* a client within */
                 {"10.0.0.1", " 203.0.113.9:4711 ", "203.0.113.9"},
                 {"10.0.0.1", "[2001:db8::9]:4711", "2001:db8::9"},
                 {"10.0.0.1", "2001:db8::9", "2001:db8::9"},
                 {"10.0.0.1", "1.2.3.4, unknown", "10.0.0.1"},
                 {"10.0.0.1", "1.2.3.4, unknown, 10.0.0.2", "10.0.0.2"},
                 {"10.0.0.1", "1.2.3.4,", "10.0.0.1"},
                 {"::1", "203.0.113.9", "203.0.113.9"},
                 {"10.0.0.1", "[::1", "10.0.0.1"}};
    struct http_proxies proxies;
    (void)state;
    assert_int_equal(http_proxies_parse("10.0.0.0/8,::1", &proxies, NULL), FRT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t peer[HTTP_PEER_BYTES], client[HTTP_PEER_BYTES];
        address_of(cases[i].peer, peer);
        address_of(cases[i].client, client);
        http_peer_behind(&proxies, cases[i].forwarded, peer);
        if (memcmp(peer, client, sizeof peer) != 0)
            fail_msg("%s, \"%s\": not %s", cases[i].peer, cases[i].forwarded, cases[i].client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_split_then_decoded),
        cmocka_unit_test(patterns),
        cmocka_unit_test(origins),
        cmocka_unit_test(logins_are_limited),
        cmocka_unit_test(networks_are_parsed),
        cmocka_unit_test(the_client_behind_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
