/*
 * Settings: every key from file, environment, older environment name and flag; which of them wins; what is
 * refused and how; and that docs/config.md says what the table says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ctype.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/config.h"
#include "core/mem.h"

#define DOCUMENT "docs/config.md"

/* ----------------------------------------------------------------- helpers */

static enum frt_status load(struct frt_config *config, const char *text, struct frt_error *err)
{
    return frt_config_load_text(config, text, strlen(text), "frt.conf", err);
}

static void assert_says(const struct frt_error *err, const char *piece)
{
    if (strstr(err->text, piece) == NULL)
        fail_msg("'%s' does not say '%s'", err->text, piece);
}

/* A value that fits the key and is not its default. */
static const char *other_value(const struct frt_config_key *key)
{
    switch (key->kind) {
    case FRT_CONFIG_TEXT:
        return "other";
    case FRT_CONFIG_BYTES:
        return "3MiB";
    case FRT_CONFIG_WHOLE:
        return key->high > 5000 && key->low > 1000 ? "5000" : "77";
    case FRT_CONFIG_DURATION_MS:
        return "7s";
    case FRT_CONFIG_LEVEL:
        return "error";
    case FRT_CONFIG_TRUTH:
        return "true";
    }
    return NULL;
}

static const char *third_value(const struct frt_config_key *key)
{
    switch (key->kind) {
    case FRT_CONFIG_TEXT:
        return "third";
    case FRT_CONFIG_BYTES:
        return "4096";
    case FRT_CONFIG_WHOLE:
        return key->high > 5000 && key->low > 1000 ? "6000" : "88";
    case FRT_CONFIG_DURATION_MS:
        return "250";
    case FRT_CONFIG_LEVEL:
        return "warn";
    case FRT_CONFIG_TRUTH:
        return "false";
    }
    return NULL;
}

/* Is the field what frt_config_set makes of the text, and everything else the default? */
static void assert_only(const struct frt_config *config, const char *key, const char *value)
{
    struct frt_config wanted;
    frt_config_init(&wanted);
    assert_int_equal(frt_config_set(&wanted, key, value, "test", NULL), FRT_OK);
    assert_memory_equal(config, &wanted, sizeof wanted);
}

/* ------------------------------------------------------------------- table */

static void the_table_is_consistent(void **state)
{
    (void)state;
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    assert_true(n >= 15);
    for (size_t i = 0; i < n; i++) {
        char env[64] = "FRT_", range[64];
        for (size_t k = 0; keys[i].key[k] != '\0'; k++) {
            assert_true(islower((unsigned char)keys[i].key[k]) || keys[i].key[k] == '_');
            env[4 + k] = (char)toupper((unsigned char)keys[i].key[k]);
        }
        assert_string_equal(keys[i].env, env);
        assert_true(keys[i].help[0] != '\0' && keys[i].help[strlen(keys[i].help) - 1] == '.');
        assert_true(isupper((unsigned char)keys[i].value[0]));
        assert_true(keys[i].low <= keys[i].high);
        assert_true((keys[i].kind == FRT_CONFIG_TEXT) == (frt_config_range(&keys[i], range)[0] == '\0'));
        assert_true(keys[i].offset + keys[i].size <= sizeof(struct frt_config));
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(keys[i].key, keys[k].key);
            assert_true(keys[i].offset >= keys[k].offset + keys[k].size ||
                        keys[k].offset >= keys[i].offset + keys[i].size);
            if (keys[i].env_old != NULL && keys[k].env_old != NULL)
                assert_string_not_equal(keys[i].env_old, keys[k].env_old);
        }
    }
}

static void defaults_are_those_of_the_table(void **state)
{
    (void)state;
    struct frt_config config;
    frt_config_init(&config);
    assert_string_equal(config.listen, "127.0.0.1:8080");
    assert_string_equal(config.pack, "");
    assert_true(config.max_body_bytes == 20U << 20);
    assert_true(config.max_image_pixels == 50000000);
    assert_int_equal(config.max_image_side_px, 16384);
    assert_int_equal(config.request_timeout_ms, 30000);
    assert_int_equal(config.workers, 0);
    assert_int_equal(config.queue, 64);
    assert_int_equal(config.connections, 5000);
    assert_int_equal(config.log_level, FRT_LOG_INFO);
    assert_false(config.log_json);
}

static void ranges_read_like_people_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *key, *range;
    } wanted[] = {{"max_body_bytes", "1 KiB to 4 GiB"},
                  {"request_timeout_ms", "100 ms to 60 min"},
                  {"queue", "1 to 100000"},
                  {"workers", "0 to 1024"},
                  {"log_json", "true, false"},
                  {"log_level", "debug, info, warn, error, off"},
                  {"listen", ""}};
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
        size_t i = 0;
        char range[64];
        while (i < n && strcmp(keys[i].key, wanted[w].key) != 0)
            i++;
        assert_true(i < n);
        assert_string_equal(frt_config_range(&keys[i], range), wanted[w].range);
    }
}

/* ------------------------------------------------------------------ sources */

static void every_key_can_be_set_from_everywhere(void **state)
{
    (void)state;
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        const char *value = other_value(&keys[i]);
        struct frt_config config, untouched;
        char text[256];
        char *environment[] = {text, NULL};
        frt_config_init(&untouched);

        frt_config_init(&config);
        (void)snprintf(text, sizeof text, "%s = %s\n", keys[i].key, value);
        assert_int_equal(load(&config, text, NULL), FRT_OK);
        assert_only(&config, keys[i].key, value);
        assert_memory_not_equal(&config, &untouched, sizeof config);

        frt_config_init(&config);
        (void)snprintf(text, sizeof text, "%s=%s", keys[i].env, value);
        assert_int_equal(frt_config_load_env(&config, environment, NULL), FRT_OK);
        assert_only(&config, keys[i].key, value);

        if (keys[i].env_old == NULL)
            continue;
        frt_config_init(&config);
        (void)snprintf(text, sizeof text, "%s=%s", keys[i].env_old, value);
        assert_int_equal(frt_config_load_env(&config, environment, NULL), FRT_OK);
        assert_only(&config, keys[i].key, value);
    }
}

static void the_nearer_source_wins(void **state)
{
    (void)state;
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        struct frt_config config;
        char line[256], ours[256], older[256];
        char *environment[] = {ours, NULL};
        frt_config_init(&config);
        (void)snprintf(line, sizeof line, "%s=%s", keys[i].key, other_value(&keys[i]));
        assert_int_equal(load(&config, line, NULL), FRT_OK);
        (void)snprintf(ours, sizeof ours, "%s=%s", keys[i].env, third_value(&keys[i]));
        assert_int_equal(frt_config_load_env(&config, environment, NULL), FRT_OK);
        assert_only(&config, keys[i].key, third_value(&keys[i])); /* environment over file */
        assert_int_equal(frt_config_set(&config, keys[i].key, other_value(&keys[i]), "--flag", NULL), FRT_OK);
        assert_only(&config, keys[i].key, other_value(&keys[i])); /* flag over environment */
        if (keys[i].env_old == NULL)
            continue;
        (void)snprintf(older, sizeof older, "%s=%s", keys[i].env_old, other_value(&keys[i]));
        char *both[] = {ours, older, NULL}, *turned[] = {older, ours, NULL};
        frt_config_init(&config);
        assert_int_equal(frt_config_load_env(&config, both, NULL), FRT_OK);
        assert_only(&config, keys[i].key, third_value(&keys[i])); /* our name over the older one, */
        frt_config_init(&config);
        assert_int_equal(frt_config_load_env(&config, turned, NULL), FRT_OK);
        assert_only(&config, keys[i].key, third_value(&keys[i])); /* wherever it stands */
    }
}

static void the_environment_of_others_is_left_alone(void **state)
{
    (void)state;
    struct frt_config config, before;
    frt_config_init(&config);
    before = config;
    char *environment[] = {(char[]){"PATH=/bin"},       (char[]){"FRT_SIMD=scalar"}, (char[]){"FRT_CONFIG=x"},
                           (char[]){"FRTX=1"},          (char[]){"FRT_QUEUE="},      (char[]){"MAX_WORKERS="},
                           (char[]){"FRT_TEST_PACK=x"}, (char[]){"NOEQUALS"},        NULL};
    assert_int_equal(frt_config_load_env(&config, environment, NULL), FRT_OK);
    assert_memory_equal(&config, &before, sizeof config);
    char *list[] = {(char[]){"OMP_NUM_THREADS=4,2,1"}, NULL}; /* as OpenMP allows it */
    assert_int_equal(frt_config_load_env(&config, list, NULL), FRT_OK);
    assert_int_equal(config.threads, 4);
}

/* ----------------------------------------------------------------- refusals */

static void unknown_keys_are_refused_with_a_suggestion(void **state)
{
    (void)state;
    struct frt_config config, before;
    struct frt_error err = {0};
    frt_config_init(&config);
    before = config;
    assert_int_equal(load(&config, "workers = 3\nqueu = 3\n", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "frt.conf:2: unknown setting 'queu'; did you mean 'queue'?");
    assert_int_equal(load(&config, "zzzzzzzz = 3\n", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "docs/config.md lists them");
    assert_int_equal(load(&config, "Max-Body-Bytes = 3\n", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "'max_body_bytes'?");
    char *misspelt[] = {(char[]){"FRT_WORKERS=3"}, (char[]){"FRT_LISTN=x"}, NULL};
    assert_int_equal(frt_config_load_env(&config, misspelt, &err), FRT_EBAD_REQUEST);
    assert_says(&err, "FRT_LISTN; did you mean FRT_LISTEN?");
    assert_memory_equal(&config, &before, sizeof config); /* nothing of a refused source is applied */
}

static void values_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } wrong[] = {
        {"queue", "0"},
        {"queue", "100001"},
        {"queue", "-1"},
        {"queue", "1.5"},
        {"queue", "ten"},
        {"queue", ""},
        {"queue", " 5"},
        {"queue", "5 KiB"},
        {"queue", "18446744073709551617"},
        {"workers", "0x10"},
        {"threads", "1025"},
        {"max_body_bytes", "1023"},
        {"max_body_bytes", "5GiB"},
        {"max_body_bytes", "20 MB!"},
        {"max_body_bytes", "17179869184GiB"}, /* 2^64 bytes: must not come out as 0 */
        {"max_image_pixels", "50MP"},
        {"request_timeout_ms", "99"},
        {"request_timeout_ms", "61min"},
        {"request_timeout_ms", "30 h"},
        {"log_level", "verbose"},
        {"log_level", ""},
        {"log_json", "ja"},
        {"log_json", "TRUE"},
        {"pack", "a\nb"},
        {"listen", "\x7f"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct frt_config config, before;
        struct frt_error err = {0};
        frt_config_init(&config);
        before = config;
        if (frt_config_set(&config, wrong[i].key, wrong[i].value, "here", &err) != FRT_EINVAL)
            fail_msg("%s = '%s' was taken", wrong[i].key, wrong[i].value);
        assert_says(&err, "here: ");
        assert_says(&err, wrong[i].key);
        assert_says(&err, "is right");
        assert_memory_equal(&config, &before, sizeof config);
    }
}

static void the_ends_of_every_range_are_taken_and_no_more(void **state)
{
    (void)state;
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        struct frt_config config;
        char text[32];
        frt_config_init(&config);
        if (keys[i].high == 0)
            continue;
        for (int end = 0; end < 2; end++) {
            uint64_t inside = end == 0 ? keys[i].low : keys[i].high;
            (void)snprintf(text, sizeof text, "%llu", (unsigned long long)inside);
            assert_int_equal(frt_config_set(&config, keys[i].key, text, "test", NULL), FRT_OK);
            if (end == 0 && inside == 0)
                continue;
            (void)snprintf(text, sizeof text, "%llu", (unsigned long long)(end == 0 ? inside - 1 : inside + 1));
            assert_int_equal(frt_config_set(&config, keys[i].key, text, "test", NULL), FRT_EINVAL);
        }
    }
}

static void text_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct frt_config config;
    struct frt_error err = {0};
    char text[FRT_CONFIG_TEXT_MAX + 1];
    memset(text, 'a', sizeof text);
    frt_config_init(&config);
    text[FRT_CONFIG_TEXT_MAX] = '\0';
    assert_int_equal(frt_config_set(&config, "pack", text, "test", &err), FRT_EINVAL);
    assert_says(&err, "512 bytes long; at most 511 fit");
    text[FRT_CONFIG_TEXT_MAX - 1] = '\0';
    assert_int_equal(frt_config_set(&config, "pack", text, "test", &err), FRT_OK);
    assert_string_equal(config.pack, text);
}

static void units_mean_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t bytes;
    } sizes[] = {{"1024", 1024},       {"1024B", 1024},     {"2KiB", 2048},     {"2 KiB", 2048},
                 {"2K", 2048},         {"2kB", 2000},       {"3MiB", 3U << 20}, {"3MB", 3000000},
                 {"1GiB", 1ULL << 30}, {"1GB", 1000000000}, {"4G", 4ULL << 30}};
    struct frt_config config;
    frt_config_init(&config);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(frt_config_set(&config, "max_body_bytes", sizes[i].value, "test", NULL), FRT_OK);
        assert_true(config.max_body_bytes == sizes[i].bytes);
    }
    assert_int_equal(frt_config_set(&config, "request_timeout_ms", "1500ms", "test", NULL), FRT_OK);
    assert_int_equal(config.request_timeout_ms, 1500);
    assert_int_equal(frt_config_set(&config, "request_timeout_ms", "2 min", "test", NULL), FRT_OK);
    assert_int_equal(config.request_timeout_ms, 120000);
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(frt_config_set(&config, "log_json", yes[i], "test", NULL), FRT_OK);
        assert_true(config.log_json);
        assert_int_equal(frt_config_set(&config, "log_json", no[i], "test", NULL), FRT_OK);
        assert_false(config.log_json);
    }
}

/* -------------------------------------------------------------------- files */

static void files_as_editors_write_them(void **state)
{
    (void)state;
    struct frt_config config;
    frt_config_init(&config);
    assert_int_equal(load(&config,
                          "\xEF\xBB\xBF# by Windows\r\n"
                          "\r\n"
                          "  queue\t=  7   # a comment\r\n"
                          "   # another\r\n"
                          "pack = \"/srv/a # b\"  # quoted\r\n"
                          "detector='x'\r\n"
                          "runtime = /a#b/lib.so\r\n" /* no blank before '#': no comment */
                          "data_dir =\r\n"
                          "listen = [::1]:9000", /* the last line without its end */
                          NULL),
                     FRT_OK);
    assert_int_equal(config.queue, 7);
    assert_string_equal(config.pack, "/srv/a # b");
    assert_string_equal(config.detector, "x");
    assert_string_equal(config.runtime, "/a#b/lib.so");
    assert_string_equal(config.data_dir, "");
    assert_string_equal(config.listen, "[::1]:9000");
    assert_int_equal(load(&config, "queue = 8\nqueue = 9\n", NULL), FRT_OK);
    assert_int_equal(config.queue, 9); /* the later line wins */
    assert_int_equal(load(&config, "", NULL), FRT_OK);
    assert_int_equal(config.queue, 9);
}

static void files_that_are_none(void **state)
{
    (void)state;
    struct frt_config config, before;
    struct frt_error err = {0};
    frt_config_init(&config);
    before = config;
    assert_int_equal(load(&config, "queue 3\n", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "frt.conf:1: 'queue 3' is no setting; 'key = value' is right");
    assert_int_equal(load(&config, "\n\npack = \"abc\n", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "frt.conf:3: the quotes");
    assert_int_equal(load(&config, "pack = 'a' b\n", &err), FRT_EBAD_REQUEST);
    assert_int_equal(load(&config, "= 3\n", &err), FRT_EBAD_REQUEST);
    assert_int_equal(frt_config_load_text(&config, "queue = 1\0\n", 11, "nul", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "nul:1: a NUL byte");
    assert_memory_equal(&config, &before, sizeof config);
}

static void lines_and_files_have_limits(void **state)
{
    (void)state;
    struct frt_config config;
    struct frt_error err = {0};
    struct frt_buf text;
    frt_config_init(&config);
    frt_buf_init(&text, 1 << 22);
    frt_buf_append_text(&text, "queue = 5 #");
    while (text.size < 4096)
        frt_buf_append_char(&text, 'x');
    frt_buf_append_text(&text, "\nworkers = 2\n");
    assert_int_equal(frt_config_load_text(&config, text.data, text.size, "f", &err), FRT_OK);
    assert_int_equal(config.queue, 5);
    assert_int_equal(config.workers, 2);
    frt_buf_clear(&text);
    while (text.size < 4097)
        frt_buf_append_char(&text, '#');
    assert_int_equal(frt_config_load_text(&config, text.data, text.size, "f", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "f:1: the line is 4097 bytes long; at most 4096 fit");
    frt_buf_clear(&text);
    for (int i = 0; i < 10000; i++)
        frt_buf_append_char(&text, '\n');
    assert_int_equal(frt_config_load_text(&config, text.data, text.size, "f", &err), FRT_OK);
    frt_buf_append_char(&text, '#');
    assert_int_equal(frt_config_load_text(&config, text.data, text.size, "f", &err), FRT_EBAD_REQUEST);
    assert_says(&err, "more than 10000 lines");
    frt_buf_deinit(&text);
}

static void files_on_disk(void **state)
{
    (void)state;
    struct frt_config config;
    struct frt_error err = {0};
    char path[] = "/tmp/frt_test_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    frt_config_init(&config);
    assert_int_equal(frt_config_load_file(&config, path, &err), FRT_OK); /* empty */
    assert_int_equal(write(fd, "queue = 12\n", 11), 11);
    assert_int_equal(frt_config_load_file(&config, path, &err), FRT_OK);
    assert_int_equal(config.queue, 12);
    assert_int_equal(write(fd, "queue = x\n", 10), 10);
    assert_int_equal(frt_config_load_file(&config, path, &err), FRT_EINVAL);
    assert_says(&err, path);
    assert_says(&err, ":2: queue is 'x'");
    for (int64_t i = 0; i < 2; i++) { /* memory that is lost is said */
        frt_mem_fail_after(i);
        enum frt_status status = frt_config_load_file(&config, path, &err);
        frt_mem_fail_after(-1);
        assert_true(status == FRT_ENOMEM || status == FRT_EINVAL);
    }
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    assert_int_equal(frt_config_load_file(&config, path, &err), FRT_EBAD_REQUEST);
    assert_says(&err, "more than 1048576 bytes");
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(frt_config_load_file(&config, path, &err), FRT_ENOTFOUND);
    assert_int_equal(frt_config_load_file(&config, "/", &err), FRT_EIO);
    assert_says(&err, "directory");
}

/* ----------------------------------------------------------------- document */

static void append_row(struct frt_buf *out, const struct frt_config_key *key)
{
    char range[64];
    frt_buf_printf(out, "| `%s` | `--", key->key);
    for (const char *p = key->key; *p != '\0'; p++)
        frt_buf_append_char(out, *p == '_' ? '-' : *p);
    frt_buf_printf(out, "` | `%s` | %s%s%s | %s%s%s | %s | %s |\n", key->env, key->env_old == NULL ? "" : "`",
                   key->env_old == NULL ? "" : key->env_old, key->env_old == NULL ? "" : "`",
                   key->fallback[0] == '\0' ? "" : "`", key->fallback[0] == '\0' ? "not set" : key->fallback,
                   key->fallback[0] == '\0' ? "" : "`", frt_config_range(key, range), key->help);
}

/* The rows are made from the table; where the page differs, the rows that belong there are printed. */
static void the_page_has_the_rows_of_the_table(void **state)
{
    (void)state;
    static char page[1 << 16];
    size_t n = 0, on_page = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    struct frt_buf rows;
    FILE *file = fopen(DOCUMENT, "re");
    assert_non_null(file);
    size_t size = fread(page, 1, sizeof page - 1, file);
    (void)fclose(file);
    assert_true(size > 0 && size < sizeof page - 1);
    page[size] = '\0';
    frt_buf_init(&rows, sizeof page);
    for (size_t i = 0; i < n; i++)
        append_row(&rows, &keys[i]);
    assert_int_equal(frt_buf_status(&rows), FRT_OK);
    for (const char *p = page; (p = strstr(p, "\n| `")) != NULL; p++)
        on_page++;
    if (strstr(page, rows.data) == NULL || on_page != n) {
        (void)fprintf(stderr, "%s", rows.data);
        fail_msg("%s has %zu rows; it must hold exactly the %zu rows above, in this order", DOCUMENT, on_page,
                 n);
    }
    frt_buf_deinit(&rows);
}

/* database and store mean the same thing: the nearer source's counts, and no text shows an address. */
static void a_store_is_named_once(void **state)
{
    struct frt_config config;
    struct frt_error err = {0};
    char both[2][40] = {"FRT_STORE=postgresql://u:secret@h/d", "FRT_DATABASE=a.db"};
    char *environ_list[] = {both[0], both[1], NULL}, *one[] = {both[0], NULL};
    (void)state;
    frt_config_init(&config);
    assert_int_equal(frt_config_load_env(&config, environ_list, &err), FRT_EINVAL);
    assert_non_null(strstr(err.text, "FRT_DATABASE"));
    assert_null(strstr(err.text, "secret"));
    assert_int_equal(frt_config_set(&config, "database", "a.db", "a file", &err), FRT_OK);
    assert_int_equal(frt_config_load_env(&config, one, &err), FRT_OK);
    assert_string_equal(config.database, "");
    assert_string_equal(config.store, "postgresql://u:secret@h/d");
    assert_int_equal(frt_config_set(&config, "database", "b.db", "--database", &err), FRT_OK);
    assert_string_equal(config.store, "");
    assert_int_equal(frt_config_set(&config, "store", "postgresql://u:secret\x01@h/d", "--store", &err),
                     FRT_EINVAL);
    assert_null(strstr(err.text, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_consistent),
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(ranges_read_like_people_write_them),
        cmocka_unit_test(every_key_can_be_set_from_everywhere),
        cmocka_unit_test(the_nearer_source_wins),
        cmocka_unit_test(the_environment_of_others_is_left_alone),
        cmocka_unit_test(unknown_keys_are_refused_with_a_suggestion),
        cmocka_unit_test(values_that_do_not_fit_are_refused),
        cmocka_unit_test(the_ends_of_every_range_are_taken_and_no_more),
        cmocka_unit_test(text_that_is_too_long_is_refused),
        cmocka_unit_test(units_mean_what_they_say),
        cmocka_unit_test(files_as_editors_write_them),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(lines_and_files_have_limits),
        cmocka_unit_test(files_on_disk),
        cmocka_unit_test(a_store_is_named_once),
        cmocka_unit_test(the_page_has_the_rows_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
