#include "core/json_read.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

enum { MAX_DEPTH = 64, MAX_VALUES = 262144 };

/* struct frt_json and struct frt_json_value are never defined: both are cJSON nodes under another
 * name, so that no other file can look inside. */
static const cJSON *node(const struct frt_json_value *value)
{
    return (const cJSON *)(const void *)value;
}

static const struct frt_json_value *value_of(const cJSON *item)
{
    return (const struct frt_json_value *)(const void *)item;
}

static void install_hooks(void)
{
    cJSON_Hooks hooks = {frt_alloc, frt_free};
    cJSON_InitHooks(&hooks);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Length of the number at `text` by RFC 8259 section 6; 0 when it is none. */
static size_t number_length(const char *text, size_t size)
{
    size_t i = 0, start;
    if (i < size && text[i] == '-')
        i++;
    start = i;
    while (i < size && is_digit(text[i]))
        i++;
    if (i == start || (text[start] == '0' && i - start > 1))
        return 0;
    if (i < size && text[i] == '.') {
        start = ++i;
        while (i < size && is_digit(text[i]))
            i++;
        if (i == start)
            return 0;
    }
    if (i < size && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        if (i < size && (text[i] == '+' || text[i] == '-'))
            i++;
        start = i;
        while (i < size && is_digit(text[i]))
            i++;
        if (i == start)
            return 0;
    }
    return i;
}

/* One pass before any memory is taken: depth, number of values, NUL escapes, and what the parser below
 * would let pass against RFC 8259: control characters in strings, numbers like 01, 1. and +1. */
static enum frt_status check_text(const char *text, size_t size, struct frt_error *err)
{
    bool in_string = false;
    unsigned depth = 0;
    size_t values = 1;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\0')
            return frt_fail(err, FRT_EBAD_REQUEST, "JSON: a NUL byte at offset %zu", i);
        if (in_string) {
            if (c == '"') {
                in_string = false;
            } else if (c == '\\') {
                if (size - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0)
                    return frt_fail(err, FRT_EBAD_REQUEST, "JSON: \\u0000 at offset %zu; text may not hold it",
                                    i);
                i++;
            } else if ((unsigned char)c < 0x20) {
                return frt_fail(err, FRT_EBAD_REQUEST, "JSON: a control character in the text at offset %zu",
                                i);
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > MAX_DEPTH)
                return frt_fail(err, FRT_EBAD_REQUEST, "JSON: nested deeper than %d at offset %zu", MAX_DEPTH,
                                i);
            values++;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        } else if (c == ',') {
            values++;
        } else if (c == '-' || c == '+' || c == '.' || is_digit(c)) {
            size_t n = number_length(text + i, size - i);
            if (n == 0)
                return frt_fail(err, FRT_EBAD_REQUEST, "JSON: not a number at offset %zu", i);
            i += n - 1;
        }
        if (values > MAX_VALUES)
            return frt_fail(err, FRT_EBAD_REQUEST, "JSON: more than %d values", MAX_VALUES);
    }
    return FRT_OK;
}

/* No number may have overflowed to infinity (1e999): code downstream compares and scales. Recursion:
 * at most MAX_DEPTH, checked above. */
static bool all_finite(const cJSON *item)
{
    for (; item != NULL; item = item->next) {
        if (cJSON_IsNumber(item) && !isfinite(item->valuedouble))
            return false;
        if (!all_finite(item->child))
            return false;
    }
    return true;
}

enum frt_status frt_json_parse(const char *text, size_t size, struct frt_json **out, struct frt_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install_hooks);

    if (!frt_utf8_valid(text, size))
        return frt_fail(err, FRT_EBAD_REQUEST, "JSON: the text is not UTF-8");
    enum frt_status status = check_text(text, size, err);
    if (status != FRT_OK)
        return status;
    const char *end = text;
    cJSON *root = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (root == NULL) {
        size_t at = end != NULL && end >= text ? (size_t)(end - text) : 0;
        return frt_fail(err, FRT_EBAD_REQUEST, "JSON: malformed at offset %zu", at < size ? at : size);
    }
    for (; end < text + size; end++) {
        if (*end != ' ' && *end != '\n' && *end != '\r' && *end != '\t') {
            cJSON_Delete(root);
            return frt_fail(err, FRT_EBAD_REQUEST, "JSON: text after the document at offset %zu",
                            (size_t)(end - text));
        }
    }
    if (!all_finite(root)) {
        cJSON_Delete(root);
        return frt_fail(err, FRT_EBAD_REQUEST, "JSON: a number is too large for a 64-bit float");
    }
    *out = (struct frt_json *)(void *)root;
    return FRT_OK;
}

void frt_json_free(struct frt_json *json)
{
    cJSON_Delete((cJSON *)(void *)json);
}

const struct frt_json_value *frt_json_root(const struct frt_json *json)
{
    return (const struct frt_json_value *)(const void *)json;
}

bool frt_json_is_object(const struct frt_json_value *value)
{
    return cJSON_IsObject(node(value));
}

bool frt_json_is_array(const struct frt_json_value *value)
{
    return cJSON_IsArray(node(value));
}

bool frt_json_is_string(const struct frt_json_value *value)
{
    return cJSON_IsString(node(value));
}

bool frt_json_is_number(const struct frt_json_value *value)
{
    return cJSON_IsNumber(node(value));
}

bool frt_json_is_bool(const struct frt_json_value *value)
{
    return cJSON_IsBool(node(value));
}

bool frt_json_is_null(const struct frt_json_value *value)
{
    return cJSON_IsNull(node(value));
}

const struct frt_json_value *frt_json_get(const struct frt_json_value *value, const char *key)
{
    if (!frt_json_is_object(value))
        return NULL;
    return value_of(cJSON_GetObjectItemCaseSensitive(node(value), key));
}

const struct frt_json_value *frt_json_first(const struct frt_json_value *value)
{
    if (!frt_json_is_object(value) && !frt_json_is_array(value))
        return NULL;
    return value_of(node(value)->child);
}

const struct frt_json_value *frt_json_next(const struct frt_json_value *item)
{
    return item == NULL ? NULL : value_of(node(item)->next);
}

size_t frt_json_count(const struct frt_json_value *value)
{
    size_t n = 0;
    for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v))
        n++;
    return n;
}

const char *frt_json_key_of(const struct frt_json_value *member)
{
    return member == NULL ? NULL : node(member)->string;
}

const char *frt_json_text(const struct frt_json_value *value)
{
    return frt_json_is_string(value) ? node(value)->valuestring : NULL;
}

double frt_json_double(const struct frt_json_value *value, double fallback)
{
    return frt_json_is_number(value) ? node(value)->valuedouble : fallback;
}

bool frt_json_truth(const struct frt_json_value *value, bool fallback)
{
    return frt_json_is_bool(value) ? cJSON_IsTrue(node(value)) != 0 : fallback;
}
