#include "http/route_path.h"

#include <string.h>

#include "core/utf8.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum frt_status http_path_parse(const char *target, struct http_path *out, struct frt_error *err)
{
    size_t size = strcspn(target, "?#");
    char *to = out->text;
    out->n = 0;
    if (target[0] != '/' || size >= sizeof out->text)
        return frt_fail(err, FRT_ENOTFOUND, "no such route; /openapi.json lists them");
    for (const char *p = target, *end = target + size; p < end; p++) {
        if (*p == '/') {
            if (out->n == HTTP_MAX_SEGMENTS)
                return frt_fail(err, FRT_ENOTFOUND, "no such route; /openapi.json lists them");
            if (p > target)
                *to++ = '\0';
            out->segments[out->n++] = to;
        } else if (*p == '%') {
            int high = p + 1 < end ? hex(p[1]) : -1, low = high >= 0 && p + 2 < end ? hex(p[2]) : -1;
            if (low < 0 || high + low == 0)
                return frt_fail(err, FRT_EBAD_REQUEST, "the path holds %s",
                                low < 0 ? "a '%' without two hex digits" : "an encoded NUL");
            *to++ = (char)(high << 4 | low);
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
    return FRT_OK;
}

bool http_path_matches(const struct http_path *path, const char *pattern,
                       const char *params[HTTP_MAX_PATH_PARAMS])
{
    const char *found[HTTP_MAX_PATH_PARAMS] = {NULL};
    size_t n = 0, n_params = 0;
    while (*pattern == '/') {
        size_t size = strcspn(++pattern, "/");
        if (n == path->n)
            return false;
        const char *segment = path->segments[n++];
        if (size > 0 && pattern[0] == '{') {
            if (segment[0] == '\0' || n_params == HTTP_MAX_PATH_PARAMS)
                return false;
            found[n_params++] = segment;
        } else if (strncmp(segment, pattern, size) != 0 || segment[size] != '\0') {
            return false;
        }
        pattern += size;
    }
    if (n != path->n)
        return false;
    memcpy(params, found, sizeof found);
    return true;
}

enum frt_status http_path_check(const char *const params[HTTP_MAX_PATH_PARAMS], struct frt_error *err)
{
    for (size_t i = 0; i < HTTP_MAX_PATH_PARAMS && params[i] != NULL; i++) {
        if (!frt_utf8_valid(params[i], strlen(params[i])))
            return frt_fail(err, FRT_EBAD_REQUEST, "a name in the path is not UTF-8");
        for (const char *p = params[i]; *p != '\0'; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                return frt_fail(err, FRT_EBAD_REQUEST, "a name in the path holds a control character");
    }
    return FRT_OK;
}
