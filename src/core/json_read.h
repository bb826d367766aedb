/*
 * JSON reader: the one adapter over cJSON. Values are borrowed from the document and live as long.
 *
 * Limits, checked in one pass before the tree is built: at most 64 deep, at most 262,144 values (a
 * value costs 64 bytes of memory, so a hostile 20 MiB "[1,1,1,…" would cost 640 MiB); text must be
 * UTF-8; a string may not hold U+0000 (C code downstream would cut it); a number must be finite as a
 * double. Otherwise the grammar is RFC 8259's, no more. Of duplicate keys the first counts.
 *
 * Threading: a document is immutable after parsing; share freely.
 */
#ifndef FRT_CORE_JSON_READ_H
#define FRT_CORE_JSON_READ_H

#include "core/status.h"

struct frt_json;       /* a document; frees with frt_json_free */
struct frt_json_value; /* a value inside one; borrowed */

/**
 * Parse `size` bytes (no NUL needed; trailing white space allowed, anything else refused).
 * Errors: FRT_EBAD_REQUEST (with the byte offset), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_json_parse(const char *text, size_t size, struct frt_json **out,
                                             struct frt_error *err);
void frt_json_free(struct frt_json *json);
const struct frt_json_value *frt_json_root(const struct frt_json *json);

/* Every getter takes NULL for "no such value" and then answers as for a value of another type, so
 * that look-ups chain. */
bool frt_json_is_object(const struct frt_json_value *value);
bool frt_json_is_array(const struct frt_json_value *value);
bool frt_json_is_string(const struct frt_json_value *value);
bool frt_json_is_number(const struct frt_json_value *value);
bool frt_json_is_bool(const struct frt_json_value *value);
bool frt_json_is_null(const struct frt_json_value *value);

/** Member of an object, exact case; NULL when absent or not an object. */
const struct frt_json_value *frt_json_get(const struct frt_json_value *value, const char *key);
/** Items of an array or members of an object; 0 for other types. Linear in the count. */
size_t frt_json_count(const struct frt_json_value *value);
/** First item or member, and the next one: for loops. */
const struct frt_json_value *frt_json_first(const struct frt_json_value *value);
const struct frt_json_value *frt_json_next(const struct frt_json_value *item);
/** Key of a member of an object, NULL for other values. */
const char *frt_json_key_of(const struct frt_json_value *member);
/** Text of a string; NULL for other types. */
const char *frt_json_text(const struct frt_json_value *value);
/** Number; `fallback` for other types. */
double frt_json_double(const struct frt_json_value *value, double fallback);
bool frt_json_truth(const struct frt_json_value *value, bool fallback);

#endif
