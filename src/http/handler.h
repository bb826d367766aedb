/*
 * What handlers share: the values of a request wherever they stand, lists with cursors, the end of an answer.
 *
 * Threading: one owner.
 */
#ifndef FRT_HTTP_HANDLER_H
#define FRT_HTTP_HANDLER_H

#include "http/image_input.h"
#include "http/service.h"

/** Answer with a problem. What a client sent and cannot be used is the client's doing, whatever the engine
 * calls it: FRT_EINVAL becomes FRT_EBAD_REQUEST. */
void http_fail(struct http_response *response, const struct http_request *request, enum frt_status status,
               const struct frt_error *err);
/** The end of an answer: a problem when it did not fit in memory. */
void http_finish(struct http_response *response, const struct http_request *request);

/* ------------------------------------------------------------------- fields */

enum { HTTP_FIELDS_OWNED = 12 };

/* Named values of a request: members of its JSON body, parts of its form, parameters of its query. A name that
 * stands in two places is refused. */
struct http_fields {
    const struct http_request *request;
    struct http_input input; /* request NULL: there is no body */
    char *owned[HTTP_FIELDS_OWNED];
    size_t n_owned;
};

/**
 * Read the body's structure, if there is one.
 * names     all that are known, NULL-terminated; others are refused with a suggestion.
 * repeated  the one part that may come several times; NULL = none.
 * Errors: http_input_init's, FRT_EBAD_REQUEST.
 */
FRT_NODISCARD enum frt_status http_fields_init(struct http_fields *fields, const struct http_request *request,
                                               const char *const *names, const char *repeated,
                                               struct frt_error *err);
/** As http_fields_init, for a route whose body is JSON, whatever its Content-Type says, or is not there. */
FRT_NODISCARD enum frt_status http_fields_init_json(struct http_fields *fields,
                                                    const struct http_request *request,
                                                    const char *const *names, struct frt_error *err);
void http_fields_deinit(struct http_fields *fields);

/** Is it there, and not null? */
bool http_field_has(const struct http_fields *fields, const char *name);
/** Is it the JSON body's null? */
bool http_field_is_null(const struct http_fields *fields, const char *name);

/* Each leaves *out alone when the field is absent. Errors: FRT_EBAD_REQUEST, FRT_ENOMEM. */

/** Text of 1 to `max` bytes; lives as long as the fields. */
FRT_NODISCARD enum frt_status http_field_text(struct http_fields *fields, const char *name, size_t max,
                                              const char **out, struct frt_error *err);
/** As http_field_text, and it must be there. */
FRT_NODISCARD enum frt_status http_field_need_text(struct http_fields *fields, const char *name, size_t max,
                                                   const char **out, struct frt_error *err);
FRT_NODISCARD enum frt_status http_field_number(struct http_fields *fields, const char *name, double low,
                                                double high, double *out, struct frt_error *err);
FRT_NODISCARD enum frt_status http_field_whole(struct http_fields *fields, const char *name, uint32_t low,
                                               uint32_t high, uint32_t *out, struct frt_error *err);
FRT_NODISCARD enum frt_status http_field_truth(struct http_fields *fields, const char *name, bool *out,
                                               struct frt_error *err);
/** One of `words` (NULL-terminated): its number. */
FRT_NODISCARD enum frt_status http_field_word(struct http_fields *fields, const char *name,
                                              const char *const *words, int *out, struct frt_error *err);
/** A JSON object, as text of at most `max` bytes; lives as long as the fields. */
FRT_NODISCARD enum frt_status http_field_object(struct http_fields *fields, const char *name, size_t max,
                                                const char **out, struct frt_error *err);
/** {"name","version"}, or the text "name version": the text. Lives as long as the fields. */
FRT_NODISCARD enum frt_status http_field_model(struct http_fields *fields, const char **out,
                                               struct frt_error *err);
/** f32[*dim] of whatever size, owned: frt_free. */
FRT_NODISCARD enum frt_status http_field_embedding(struct http_fields *fields, float **out, uint32_t *dim,
                                                   struct frt_error *err);

/* -------------------------------------------------------------------- lists */

enum { HTTP_LIST_DEFAULT = 100, HTTP_LIST_MAX = 1000, HTTP_CURSOR_SIZE = 512 };

/** A cursor is opaque to clients: base64url of the last item's name or number.
 *  after  out: "" when there is no cursor. Errors: FRT_EBAD_REQUEST. */
FRT_NODISCARD enum frt_status http_cursor_read(struct http_fields *fields, char after[HTTP_CURSOR_SIZE],
                                               struct frt_error *err);
/** Member "next_cursor". */
void http_cursor_write(struct frt_json_writer *w, const char *last);

#endif
