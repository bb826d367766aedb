/*
 * share/packs/manifest.schema.json and the reader of manifests say the same. Both are shown every manifest of
 * the project, and each of them changed in every place: a key taken away, another value, another kind, one key
 * more. What the schema refuses the reader must refuse; what the reader refuses the schema must refuse, but for
 * what a schema of this kind cannot say (names once, one default a role, sizes of one key by another's).
 *
 * The validator knows what this schema uses of JSON Schema draft 7, and fails on anything else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <regex.h>

#include "core/buf.h"
#include "core/json_read.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "model/model_file.h"
#include "model/pack_files.h"

enum { MAX_BYTES = 4 << 20 };

static struct frt_json *schema;

/* ------------------------------------------------------------ validator */

static bool valid(const struct frt_json_value *v, const struct frt_json_value *s);

static bool is_type(const struct frt_json_value *v, const char *type)
{
    const double d = frt_json_double(v, 0.5);
    if (strcmp(type, "object") == 0)
        return frt_json_is_object(v);
    if (strcmp(type, "array") == 0)
        return frt_json_is_array(v);
    if (strcmp(type, "string") == 0)
        return frt_json_is_string(v);
    if (strcmp(type, "boolean") == 0)
        return frt_json_is_bool(v);
    if (strcmp(type, "number") == 0)
        return frt_json_is_number(v);
    if (strcmp(type, "integer") != 0)
        fail_msg("schema: type %s", type);
    return frt_json_is_number(v) && d == (double)(long long)d;
}

static bool same(const struct frt_json_value *a, const struct frt_json_value *b)
{
    if (frt_json_is_string(a) && frt_json_is_string(b))
        return strcmp(frt_json_text(a), frt_json_text(b)) == 0;
    return frt_json_is_number(a) && frt_json_is_number(b) && frt_json_double(a, 0) == frt_json_double(b, 1);
}

static bool matches(const char *text, const char *pattern)
{
    regex_t compiled;
    assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static bool valid_members(const struct frt_json_value *v, const struct frt_json_value *properties, bool others)
{
    for (const struct frt_json_value *m = frt_json_first(v); m != NULL; m = frt_json_next(m)) {
        const struct frt_json_value *s = frt_json_get(properties, frt_json_key_of(m));
        if (s == NULL ? !others : !valid(m, s))
            return false;
    }
    return true;
}

static bool valid_dependencies(const struct frt_json_value *v, const struct frt_json_value *dependencies)
{
    for (const struct frt_json_value *d = frt_json_first(dependencies); d != NULL; d = frt_json_next(d))
        for (const struct frt_json_value *k = frt_json_first(d); k != NULL; k = frt_json_next(k))
            if (frt_json_get(v, frt_json_key_of(d)) != NULL && frt_json_get(v, frt_json_text(k)) == NULL)
                return false;
    return true;
}

/* One keyword of a schema. */
static bool holds(const struct frt_json_value *v, const struct frt_json_value *s,
                  const struct frt_json_value *word)
{
    const char *key = frt_json_key_of(word);
    const double limit = frt_json_double(word, 0);
    const bool text = frt_json_is_string(v), number = frt_json_is_number(v), array = frt_json_is_array(v);
    const bool object = frt_json_is_object(v);
    uint32_t count = 0;
    if (strcmp(key, "type") == 0)
        return is_type(v, frt_json_text(word));
    if (strcmp(key, "const") == 0)
        return same(v, word);
    if (strcmp(key, "enum") == 0 || strcmp(key, "oneOf") == 0) {
        for (const struct frt_json_value *e = frt_json_first(word); e != NULL; e = frt_json_next(e))
            count += key[0] == 'e' ? same(v, e) : valid(v, e);
        return count == 1;
    }
    if (strcmp(key, "not") == 0)
        return !valid(v, word);
    if (strcmp(key, "minLength") == 0)
        return !text || (double)strlen(frt_json_text(v)) >= limit;
    if (strcmp(key, "maxLength") == 0)
        return !text || (double)strlen(frt_json_text(v)) <= limit;
    if (strcmp(key, "pattern") == 0)
        return !text || matches(frt_json_text(v), frt_json_text(word));
    if (strcmp(key, "minimum") == 0)
        return !number || frt_json_double(v, 0) >= limit;
    if (strcmp(key, "maximum") == 0)
        return !number || frt_json_double(v, 0) <= limit;
    if (strcmp(key, "minItems") == 0)
        return !array || (double)frt_json_count(v) >= limit;
    if (strcmp(key, "maxItems") == 0)
        return !array || (double)frt_json_count(v) <= limit;
    if (strcmp(key, "items") == 0) {
        for (const struct frt_json_value *i = array ? frt_json_first(v) : NULL; i != NULL; i = frt_json_next(i))
            if (!valid(i, word))
                return false;
        return true;
    }
    if (strcmp(key, "required") == 0) {
        for (const struct frt_json_value *r = frt_json_first(word); object && r != NULL; r = frt_json_next(r))
            if (frt_json_get(v, frt_json_text(r)) == NULL)
                return false;
        return true;
    }
    if (strcmp(key, "properties") == 0)
        return !object || valid_members(v, word, frt_json_truth(frt_json_get(s, "additionalProperties"), true));
    if (strcmp(key, "dependencies") == 0)
        return !object || valid_dependencies(v, word);
    static const char *const silent[] = {"$schema", "title", "description", "additionalProperties",
                                         "definitions"};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        if (strcmp(key, silent[i]) == 0)
            return true;
    fail_msg("schema: this test's validator does not know \"%s\"", key);
    return false;
}

static bool valid(const struct frt_json_value *v, const struct frt_json_value *s)
{
    static const char prefix[] = "#/definitions/";
    const char *ref = frt_json_text(frt_json_get(s, "$ref"));
    if (ref != NULL) {
        assert_int_equal(strncmp(ref, prefix, strlen(prefix)), 0);
        const struct frt_json_value *to =
            frt_json_get(frt_json_get(frt_json_root(schema), "definitions"), ref + strlen(prefix));
        assert_non_null(to);
        return valid(v, to);
    }
    for (const struct frt_json_value *word = frt_json_first(s); word != NULL; word = frt_json_next(word))
        if (!holds(v, s, word))
            return false;
    return true;
}

/* ------------------------------------------------------------- changing */

struct change {
    const struct frt_json_value *at;   /* NULL = none */
    const char *to;                    /* JSON; NULL = taken away */
    const struct frt_json_value *more; /* an object that gets one more key */
};

static void write_value(struct frt_json_writer *w, const struct frt_json_value *v, const struct change *c)
{
    if (v == c->at) {
        frt_json_raw(w, c->to, strlen(c->to));
        return;
    }
    if (frt_json_is_object(v) || frt_json_is_array(v)) {
        if (frt_json_is_object(v))
            frt_json_object(w);
        else
            frt_json_array(w);
        for (const struct frt_json_value *m = frt_json_first(v); m != NULL; m = frt_json_next(m)) {
            if (m == c->at && c->to == NULL)
                continue;
            if (frt_json_is_object(v))
                frt_json_key(w, frt_json_key_of(m));
            write_value(w, m, c);
        }
        if (v == c->more) {
            frt_json_key(w, "one_key_more");
            frt_json_int(w, 1);
        }
        frt_json_end(w);
    } else if (frt_json_is_string(v)) {
        frt_json_string(w, frt_json_text(v));
    } else if (frt_json_is_bool(v)) {
        frt_json_bool(w, frt_json_truth(v, false));
    } else {
        frt_json_number(w, frt_json_double(v, 0));
    }
}

/* Keys whose meaning depends on other keys or models. */
static bool beyond_a_schema(const char *key)
{
    static const char *const keys[] = {"name",        "default",        "centre", "map",    "dim",
                                       "labels",      "real_index",     "width",  "height", "compiled_from",
                                       "compiled_by", "format_version", "role"};
    for (size_t i = 0; key != NULL && i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static uint32_t compared, refused;

static void compare(const struct frt_json_value *root, const struct change *c, const char *key,
                    const char *what)
{
    struct frt_buf text;
    struct frt_json_writer w;
    struct frt_json *json = NULL;
    struct frt_manifest *manifest = NULL;
    struct frt_error err = {0};
    frt_buf_init(&text, MAX_BYTES);
    frt_json_writer_init(&w, &text, false);
    write_value(&w, root, c);
    assert_int_equal(frt_buf_status(&text), FRT_OK);
    assert_int_equal(frt_json_parse(text.data, text.size, &json, NULL), FRT_OK);
    const bool read = frt_manifest_parse(text.data, text.size, &manifest, &err) == FRT_OK;
    const bool fits = valid(frt_json_root(json), frt_json_root(schema));
    if (read && !fits)
        fail_msg("%s, \"%s\" → %s: read, and refused by share/packs/manifest.schema.json (a new key belongs "
                 "there, too)",
                 what, key, c->to != NULL ? c->to : "(taken away)");
    if (!read && fits && !beyond_a_schema(key))
        fail_msg("%s, \"%s\" → %s: fits the schema, and is not read: %s", what, key,
                 c->to != NULL ? c->to : "(taken away)", err.text);
    compared++;
    refused += !read;
    frt_manifest_free(manifest);
    frt_json_free(json);
    frt_buf_deinit(&text);
}

static void change_all(const struct frt_json_value *root, const struct frt_json_value *object, const char *what)
{
    static const char *const values[] = {
        NULL,      "null",       "true",   "-5",         "0",       "0.5",
        "3",       "1e9",        "\"\"",   "\"x\"",      "[]",      "{}",
        "[1,2,3]", "\"a/../b\"", "\"/a\"", "\"a\\\\b\"", "[0,0,0]", "\"manifest.json\"",
        "\"bgr\"", "[1,2]",      "16384.5"};
    const struct change more = {.more = object};
    compare(root, &more, "one_key_more", what);
    for (const struct frt_json_value *m = frt_json_first(object); m != NULL; m = frt_json_next(m)) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            const struct change c = {.at = m, .to = values[i]};
            compare(root, &c, frt_json_key_of(m), what);
        }
        if (frt_json_is_object(m))
            change_all(root, m, what);
    }
    const struct frt_json_value *models = frt_json_get(object, "models");
    for (const struct frt_json_value *m = frt_json_first(models); m != NULL; m = frt_json_next(m))
        change_all(root, m, what);
}

static void show_both(const struct frt_json_value *root, const char *what)
{
    const struct change none = {0};
    const uint32_t before = refused;
    compare(root, &none, "nothing", what);
    assert_int_equal(refused, before); /* as it is, it is fine */
    change_all(root, root, what);
}

static struct frt_json *read_json(const char *path)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct frt_json *json = NULL;
    struct frt_error err = {0};
    if (frt_model_file_read(path, MAX_BYTES, &bytes, &size, &err) != FRT_OK ||
        frt_json_parse((const char *)bytes, size, &json, &err) != FRT_OK)
        fail_msg("%s: %s", path, err.text);
    frt_free(bytes);
    return json;
}

static void manifests_of_the_project(void **state)
{
    static const char *const paths[] = {"tests/model/packs/manifest-v1.json",
                                        "share/packs/scrfd-mobilefacenet.json",
                                        "share/packs/yunet-insightface-y1-quality.json"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct frt_json *json = read_json(paths[i]);
        show_both(frt_json_root(json), paths[i]);
        frt_json_free(json);
    }
    assert_true(compared > 1000 && refused > compared / 3 && refused < compared);
}

static void manifests_of_the_catalogue(void **state)
{
    struct frt_json *json = read_json("share/catalogue.json");
    const struct frt_json_value *packs = frt_json_get(frt_json_root(json), "packs");
    const struct change none = {0};
    (void)state;
    assert_true(frt_json_count(packs) > 0);
    for (const struct frt_json_value *p = frt_json_first(packs); p != NULL; p = frt_json_next(p))
        compare(frt_json_get(p, "manifest"), &none, "nothing", frt_json_text(frt_json_get(p, "name")));
    frt_json_free(json);
}

int main(void)
{
    schema = read_json("share/packs/manifest.schema.json");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifests_of_the_project),
        cmocka_unit_test(manifests_of_the_catalogue),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_json_free(schema);
    return failed;
}
