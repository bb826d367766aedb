/*
 * The images (and embeddings) a request brings: raw body, multipart part or base64 in JSON. A URL or a
 * server path is never fetched.
 *
 *     body ─┬─ image/…, application/octet-stream ── the body itself
 *           ├─ multipart/form-data ── slices of the body, by part name
 *           └─ application/json ── base64 (or data URL) strings, decoded
 *
 * Threading: one owner; borrows the request's body until deinit.
 */
#ifndef FRT_HTTP_IMAGE_INPUT_H
#define FRT_HTTP_IMAGE_INPUT_H

#include "core/json_read.h"
#include "http/multipart.h"
#include "http/request.h"

struct http_input {
    const struct http_request *request; /* borrowed */
    enum { HTTP_INPUT_RAW, HTTP_INPUT_PARTS, HTTP_INPUT_JSON } kind;
    struct http_part parts[HTTP_MAX_PARTS];
    size_t n_parts;
    struct frt_json *json;
};

/** Read the body's structure by its Content-Type. Errors: FRT_EUNSUPPORTED_MEDIA, FRT_EBAD_REQUEST. */
FRT_NODISCARD enum frt_status http_input_init(struct http_input *input, const struct http_request *request,
                                              struct frt_error *err);
/** As http_input_init, for a body that is JSON whatever its Content-Type says. Errors: FRT_EBAD_REQUEST. */
FRT_NODISCARD enum frt_status http_input_init_json(struct http_input *input, const struct http_request *request,
                                                   struct frt_error *err);
void http_input_deinit(struct http_input *input);

/** Refuse parts or members that `names` (NULL-terminated) does not list, with a suggestion. A raw body
 *  has no names and passes. */
FRT_NODISCARD enum frt_status http_input_only(const struct http_input *input, const char *const *names,
                                              struct frt_error *err);
/** As http_input_only; the part `repeated` (NULL: none) may come several times. */
FRT_NODISCARD enum frt_status http_input_only_but(const struct http_input *input, const char *const *names,
                                                  const char *repeated, struct frt_error *err);
/** Part or member of a name; NULL when there is none. Borrowed. */
const struct http_part *http_input_part(const struct http_input *input, const char *name);
const struct frt_json_value *http_input_member(const struct http_input *input, const char *name);
bool http_input_has(const struct http_input *input, const char *name);

/**
 * The bytes of an image.
 * name   part or member; a raw body answers to any name.
 * owned  out: memory to frt_free, or NULL when the bytes are borrowed from the body.
 * Errors: FRT_EBAD_REQUEST (absent, not base64, a URL).
 */
FRT_NODISCARD enum frt_status http_input_image(const struct http_input *input, const char *name,
                                               const char **data, size_t *size, char **owned,
                                               struct frt_error *err);

/** Images of an enrollment: the raw body, parts `name`, or in JSON the string `name` or the array of strings
 *  `list`. */
size_t http_input_image_count(const struct http_input *input, const char *name, const char *list);
/** Number i of them; as http_input_image. */
FRT_NODISCARD enum frt_status http_input_image_at(const struct http_input *input, const char *name,
                                                  const char *list, size_t i, const char **data, size_t *size,
                                                  char **owned, struct frt_error *err);

/** Numbers of an embedding that comes as an array or in base64; 0 when it is neither. */
size_t http_input_embedding_size(const struct http_input *input, const char *name);
/** f32[dim] from an array of numbers or base64 of little-endian f32. Errors: FRT_EBAD_REQUEST (wrong
 *  count, not numbers). */
FRT_NODISCARD enum frt_status http_input_embedding(const struct http_input *input, const char *name, float *out,
                                                   size_t dim, struct frt_error *err);

/** A number in [low, high]; *out is left alone when absent. Errors: FRT_EBAD_REQUEST. */
FRT_NODISCARD enum frt_status http_input_number(const struct http_input *input, const char *name, double low,
                                                double high, double *out, struct frt_error *err);

/** Which of the words (NULL ends), from 0; *out is left alone when absent. Errors: FRT_EBAD_REQUEST. */
FRT_NODISCARD enum frt_status http_input_word(const struct http_input *input, const char *name,
                                              const char *const *words, int *out, struct frt_error *err);

#endif
