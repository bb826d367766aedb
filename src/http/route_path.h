/*
 * The path of a request, split at '/' and only then percent-decoded, so that "%2F" stays inside its segment.
 * Source: RFC 3986 sections 2.1, 3.3. Threading: one owner.
 */
#ifndef FRT_HTTP_ROUTE_PATH_H
#define FRT_HTTP_ROUTE_PATH_H

#include "core/status.h"

enum { HTTP_PATH_SIZE = 2048, HTTP_MAX_SEGMENTS = 8, HTTP_MAX_PATH_PARAMS = 2 };

struct http_path {
    char text[HTTP_PATH_SIZE];         /* decoded segments, a NUL after each */
    char *segments[HTTP_MAX_SEGMENTS]; /* into `text` */
    size_t n;                          /* "/" is one empty segment; 0 = no path of ours */
};

/**
 * Split the path of a request target ("/v1/a%20b?x=1": what follows '?' is not looked at).
 * Errors: FRT_EBAD_REQUEST ('%' without two hex digits, an encoded NUL); FRT_ENOTFOUND (no leading '/', too
 * long, too deep: no route of ours).
 */
FRT_NODISCARD enum frt_status http_path_parse(const char *target, struct http_path *out, struct frt_error *err);

/** Does a pattern like "/v1/jobs/{id}" match? params: what the {…} stand for, borrowed from `path`; a parameter
 *  is never empty. */
bool http_path_matches(const struct http_path *path, const char *pattern,
                       const char *params[HTTP_MAX_PATH_PARAMS]);

/** A parameter is text: UTF-8 without control characters. Errors: FRT_EBAD_REQUEST. */
FRT_NODISCARD enum frt_status http_path_check(const char *const params[HTTP_MAX_PATH_PARAMS],
                                              struct frt_error *err);

#endif
