/* rooms: core */
/*
 * JSON reader: whatever the bytes, a document or an error. A document that is taken is walked whole and
 * written again; what was written must be taken, too, and must have the same number of values.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/json_read.h"
#include "core/json_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t copy(const struct frt_json_value *value, struct frt_json_writer *w)
{
    size_t n = 1;
    if (frt_json_is_object(value) || frt_json_is_array(value)) {
        bool is_object = frt_json_is_object(value);
        if (is_object)
            frt_json_object(w);
        else
            frt_json_array(w);
        for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v)) {
            if (is_object)
                frt_json_key(w, frt_json_key_of(v));
            n += copy(v, w);
        }
        frt_json_end(w);
    } else if (frt_json_is_string(value)) {
        frt_json_string(w, frt_json_text(value));
    } else if (frt_json_is_number(value)) {
        frt_json_number(w, frt_json_double(value, 0));
    } else if (frt_json_is_bool(value)) {
        frt_json_bool(w, frt_json_truth(value, false));
    } else {
        frt_json_null(w);
    }
    return n;
}

static size_t depth_of(const struct frt_json_value *value)
{
    size_t deepest = 0;
    for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v)) {
        size_t depth = depth_of(v);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_json *json = NULL, *again = NULL;
    struct frt_error err = {0};
    struct frt_buf out;
    struct frt_json_writer w;
    if (frt_json_parse((const char *)data, size, &json, &err) != FRT_OK)
        return 0;
    frt_buf_init(&out, 16 * size + 64);
    frt_json_writer_init(&w, &out, size % 2 == 0);
    if (depth_of(frt_json_root(json)) <= FRT_JSON_MAX_DEPTH) { /* the reader goes deeper than the writer */
        size_t n = copy(frt_json_root(json), &w);
        if (frt_buf_status(&out) == FRT_OK) {
            if (frt_json_parse(out.data, out.size, &again, &err) != FRT_OK)
                abort();
            frt_buf_clear(&out);
            frt_json_writer_init(&w, &out, false);
            if (copy(frt_json_root(again), &w) != n)
                abort();
        }
    }
    frt_buf_deinit(&out);
    frt_json_free(again);
    frt_json_free(json);
    return 0;
}
