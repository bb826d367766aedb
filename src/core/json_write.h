/*
 * Streaming JSON writer onto a byte buffer: commas, escaping and number formats in one place.
 * A tree library would build, for an answer of a thousand embeddings, half a million nodes first.
 *
 *     frt_json_object(&w); frt_json_key(&w, "age"); frt_json_number(&w, 41); frt_json_end(&w);
 *
 * Failures stick to the buffer (see buf.h). Strings that are not UTF-8 have bad bytes replaced by
 * U+FFFD. Non-finite numbers are written as null.
 *
 * Threading: one owner.
 */
#ifndef FRT_CORE_JSON_WRITE_H
#define FRT_CORE_JSON_WRITE_H

#include "core/buf.h"

#define FRT_JSON_MAX_DEPTH 32

struct frt_json_writer {
    struct frt_buf *out; /* borrowed */
    bool pretty;         /* two-space indents and newlines */
    uint8_t depth;
    bool after_key;
    struct {
        bool is_array;
        bool has_items;
    } level[FRT_JSON_MAX_DEPTH];
};

void frt_json_writer_init(struct frt_json_writer *writer, struct frt_buf *out, bool pretty);
void frt_json_object(struct frt_json_writer *writer);
void frt_json_array(struct frt_json_writer *writer);
/** Close the innermost object or array. */
void frt_json_end(struct frt_json_writer *writer);
void frt_json_key(struct frt_json_writer *writer, const char *key);
void frt_json_string(struct frt_json_writer *writer, const char *text); /* NULL writes null */
void frt_json_string_n(struct frt_json_writer *writer, const char *text, size_t size);
void frt_json_bool(struct frt_json_writer *writer, bool value);
void frt_json_null(struct frt_json_writer *writer);
void frt_json_int(struct frt_json_writer *writer, int64_t value);
/** Shortest of 3..17 significant digits that reads back as the same double. */
void frt_json_number(struct frt_json_writer *writer, double value);
/** Shortest text that reads back as the same float. */
void frt_json_float(struct frt_json_writer *writer, float value);
/** `decimals` digits after the point, trailing zeros dropped: for times and coordinates. */
void frt_json_fixed(struct frt_json_writer *writer, double value, int decimals);
/** Text that is JSON already. */
void frt_json_raw(struct frt_json_writer *writer, const char *json, size_t size);

#endif
