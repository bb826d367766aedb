/* What is sealed for a shared cache, and everything that must not be believed; and addresses of Redis. Needs
 * none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/redis_address.h"
#include "cache/redis_pool.h"
#include "cache/shared_value.h"

enum { SIZE = 100, SEALED = SIZE + FRT_SHARED_EXTRA_BYTES };
#define NOW INT64_C(1800000000000)

struct sealed {
    struct frt_shared_keys keys;
    char name[FRT_SHARED_NAME_SIZE];
    uint8_t plain[SIZE], bytes[SEALED];
};

static void seal(struct sealed *s)
{
    static const uint8_t secret[32] = {7};
    frt_shared_keys_derive(secret, &s->keys);
    frt_shared_name(&s->keys, 'e', "edition", "key", 3, s->name);
    for (size_t i = 0; i < SIZE; i++)
        s->plain[i] = (uint8_t)(i * 7);
    frt_shared_seal(&s->keys, s->name, NOW + 60000, s->plain, SIZE, s->bytes);
}

static enum frt_shared_verdict unseal(const struct sealed *s, int64_t now, size_t size)
{
    uint8_t out[SEALED];
    int64_t left = -1;
    const enum frt_shared_verdict verdict =
        frt_shared_unseal(&s->keys, s->name, now, 100000, s->bytes, size, out, &left);
    if (verdict == FRT_SHARED_GOOD) {
        assert_memory_equal(out, s->plain, SIZE);
        assert_int_equal(left, NOW + 60000 - now);
    }
    return verdict;
}

static void what_was_sealed_is_read(void **state)
{
    (void)state;
    struct sealed s;
    seal(&s);
    assert_int_equal(unseal(&s, NOW, SEALED), FRT_SHARED_GOOD);
    assert_int_equal(unseal(&s, NOW + 59999, SEALED), FRT_SHARED_GOOD);
    assert_int_equal(unseal(&s, NOW + 60000, SEALED), FRT_SHARED_OVER);
    assert_int_equal(unseal(&s, NOW - 1000000, SEALED), FRT_SHARED_OVER); /* no value of ours lives so long */
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct sealed s;
    seal(&s);
    for (size_t i = 0; i < SEALED * 8; i++) {
        s.bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        assert_int_not_equal(unseal(&s, NOW, SEALED), FRT_SHARED_GOOD);
        s.bytes[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    for (size_t size = 0; size < SEALED; size++)
        assert_int_not_equal(unseal(&s, NOW, size), FRT_SHARED_GOOD);
    assert_int_equal(unseal(&s, NOW, SEALED), FRT_SHARED_GOOD);
}

static void a_value_has_one_name_and_one_key(void **state)
{
    (void)state;
    struct sealed s;
    uint8_t other[32] = {8};
    seal(&s);
    s.name[10] ^= 1;
    assert_int_equal(unseal(&s, NOW, SEALED), FRT_SHARED_FORGED);
    seal(&s);
    s.name[strlen(s.name) - 1] = 'd'; /* of the same photo, of another kind */
    assert_int_equal(unseal(&s, NOW, SEALED), FRT_SHARED_FORGED);
    seal(&s);
    frt_shared_keys_derive(other, &s.keys);
    assert_int_equal(unseal(&s, NOW, SEALED), FRT_SHARED_ALIEN);
    seal(&s);
    s.bytes[4] = 2; /* a later version */
    assert_int_equal(unseal(&s, NOW, SEALED), FRT_SHARED_ALIEN);
}

static void names_say_nothing_and_differ(void **state)
{
    (void)state;
    static const uint8_t secret[32] = {7}, other_secret[32] = {9};
    struct frt_shared_keys keys, other;
    char a[FRT_SHARED_NAME_SIZE], b[FRT_SHARED_NAME_SIZE];
    frt_shared_keys_derive(secret, &keys);
    frt_shared_keys_derive(other_secret, &other);
    frt_shared_name(&keys, 'e', "edition", "key", 3, a);
    assert_int_equal(strlen(a), 6 + 45 + 2);
    assert_memory_equal(a, "frt:1:{", 7);
    frt_shared_name(&keys, 'd', "edition", "key", 3, b);
    assert_memory_equal(a, b, strlen(a) - 1);
    assert_int_equal(frt_redis_slot(a), frt_redis_slot(b)); /* so that both are asked together */
    frt_shared_name(&keys, 'e', "editionk", "ey", 2, b);
    assert_string_not_equal(a, b);
    frt_shared_name(&other, 'e', "edition", "key", 3, b);
    assert_string_not_equal(a, b);
}

static void slots_are_the_cluster_specification_s(void **state)
{
    (void)state;
    assert_int_equal(frt_redis_slot("123456789"), 0x31C3 % 16384);
    assert_int_equal(frt_redis_slot("foo"), 12182); /* CLUSTER KEYSLOT foo */
    assert_int_equal(frt_redis_slot("{user1000}.following"), frt_redis_slot("{user1000}.followers"));
    assert_int_equal(frt_redis_slot("foo{}{bar}"), frt_redis_slot("foo{}{bar}"));
    assert_int_not_equal(frt_redis_slot("foo{}{bar}"), frt_redis_slot("bar")); /* an empty tag is none */
}

static void addresses_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *user, *password, *master, *shown;
        uint16_t port;
        uint32_t db;
        size_t hosts;
        bool tls, sentinel;
    } good[] = {
        {"redis://h", "h", "", "", "", "redis://h:6379", 6379, 0, 1, false, false},
        {"redis://h/", "h", "", "", "", "redis://h:6379", 6379, 0, 1, false, false},
        {"redis://:pw@h:1/3", "h", "", "pw", "", "redis://h:1", 1, 3, 1, false, false},
        {"rediss://me:p%40w@[::1]:7", "::1", "me", "p@w", "", "rediss://[::1]:7", 7, 0, 1, true, false},
        {"redis://u:a@b@h", "h", "u", "a@b", "", "redis://h:6379", 6379, 0, 1, false, false},
        {"redis+unix:/a/b.sock", "/a/b.sock", "", "", "", "redis+unix:/a/b.sock", 0, 0, 1, false, false},
        {"redis+unix://u:p@/a?db=2", "/a", "u", "p", "", "redis+unix:/a", 0, 2, 1, false, false},
        {"redis-sentinel://:p@a,b:2,c/mine/4", "a", "", "p", "mine",
         "redis-sentinel://a:26379,b:2,c:26379/mine", 26379, 4, 3, false, true},
        {"rediss-sentinel://a/m", "a", "", "", "m", "rediss-sentinel://a:26379/m", 26379, 0, 1, true, true},
        {"redis://a:1,b:2/", "a", "", "", "", "redis://a:1,b:2", 1, 0, 2, false, false},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct frt_redis_address a;
        char text[FRT_REDIS_TEXT_SIZE];
        assert_int_equal(frt_redis_address_parse(good[i].text, &a, NULL), FRT_OK);
        assert_string_equal(a.hosts[0].name, good[i].host);
        assert_int_equal(a.hosts[0].port, good[i].port);
        assert_string_equal(a.user, good[i].user);
        assert_string_equal(a.password, good[i].password);
        assert_string_equal(a.master, good[i].master);
        assert_int_equal(a.db, good[i].db);
        assert_int_equal(a.n_hosts, good[i].hosts);
        assert_int_equal(a.tls, good[i].tls);
        assert_int_equal(a.sentinel, good[i].sentinel);
        assert_string_equal(frt_redis_address_text(&a, text), good[i].shown);
    }
}

static void other_addresses_are_refused_without_a_word_of_them(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "secret",
                                      "http://secret@h",
                                      "redis://",
                                      "redis://u:secret@",
                                      "redis://u:secret@h:0",
                                      "redis://u:secret@h:99999",
                                      "redis://u:secret@h:1x",
                                      "redis://u:secret@h/x",
                                      "redis://u:secret%zz@h",
                                      "redis://u:secret%00@h",
                                      "redis://u:secret@[::1",
                                      "redis://secret h",
                                      "redis+unix:secret",
                                      "redis+unix:/a?secret",
                                      "redis-sentinel://u:secret@h",
                                      "redis-sentinel://u:secret@h/",
                                      "redis://1,2,3,4,5,6,7,8,9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct frt_redis_address a;
        struct frt_error err = {0};
        assert_int_equal(frt_redis_address_parse(bad[i], &a, &err), FRT_EINVAL);
        assert_null(strstr(err.text, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_is_read),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_value_has_one_name_and_one_key),
        cmocka_unit_test(names_say_nothing_and_differ),
        cmocka_unit_test(slots_are_the_cluster_specification_s),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(other_addresses_are_refused_without_a_word_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
