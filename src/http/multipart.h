/*
 * multipart/form-data over a body that lies in memory whole: parts are slices of it, nothing is
 * copied. Source: RFC 7578, RFC 2046 section 5.1. Threading: pure function.
 */
#ifndef FRT_HTTP_MULTIPART_H
#define FRT_HTTP_MULTIPART_H

#include "core/status.h"

enum { HTTP_MAX_PARTS = 80, HTTP_MAX_PART_NAME = 64, HTTP_MAX_PART_HEADERS = 4096 };

struct http_part {
    char name[HTTP_MAX_PART_NAME];
    const char *data; /* borrowed from the body */
    size_t size;
};

/** Is this Content-Type multipart/form-data? NULL is not. */
bool http_is_multipart(const char *content_type);

/**
 * Split a body.
 *
 * content_type  with its boundary parameter.
 * parts  array[HTTP_MAX_PARTS]; *n filled.
 * Errors: FRT_EBAD_REQUEST: no or bad boundary, a part without name, missing closing boundary, too many
 *         parts, headers too long. Outputs are untouched on error.
 */
FRT_NODISCARD enum frt_status http_multipart_parse(const char *content_type, const char *body, size_t size,
                                                   struct http_part parts[HTTP_MAX_PARTS], size_t *n,
                                                   struct frt_error *err);

#endif
