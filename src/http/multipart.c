#include "http/multipart.h"

#include <string.h>
#include <strings.h>

enum { MAX_BOUNDARY = 70 };

bool http_is_multipart(const char *content_type)
{
    static const char type[] = "multipart/form-data";
    if (content_type == NULL || strncasecmp(content_type, type, sizeof type - 1) != 0)
        return false;
    char next = content_type[sizeof type - 1];
    return next == '\0' || next == ';' || next == ' ' || next == '\t';
}

/* Value of parameter `name` in "type; a=b; c=\"d\""; false when absent, malformed or too long. */
static bool parameter(const char *text, size_t size, const char *name, char *out, size_t capacity)
{
    const char *end = text + size, *p = memchr(text, ';', size);
    size_t name_size = strlen(name);
    while (p != NULL && p < end) {
        p++;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        bool match =
            (size_t)(end - p) > name_size && strncasecmp(p, name, name_size) == 0 && p[name_size] == '=';
        size_t n = 0;
        while (p < end && *p != '=' && *p != ';')
            p++;
        if (p < end && *p == '=') {
            bool quoted = p + 1 < end && p[1] == '"';
            for (p += quoted ? 2 : 1; p < end && (quoted ? *p != '"' : *p != ';' && *p != ' ' && *p != '\t');
                 p++) {
                if (quoted && *p == '\\' && p + 1 < end)
                    p++;
                if (match && (n + 1 >= capacity || *p == '\0'))
                    return false;
                if (match)
                    out[n++] = *p;
            }
            if (quoted && p == end)
                return false;
            if (match) {
                out[n] = '\0';
                return n > 0;
            }
        }
        p = p < end ? memchr(p, ';', (size_t)(end - p)) : NULL;
    }
    return false;
}

/* Name of a part from its header lines [p, end). */
static bool part_name(const char *p, const char *end, char out[HTTP_MAX_PART_NAME])
{
    static const char header[] = "content-disposition:";
    while (p < end) {
        const char *line_end = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (line_end == NULL)
            line_end = end;
        if ((size_t)(line_end - p) >= sizeof header - 1 && strncasecmp(p, header, sizeof header - 1) == 0)
            return parameter(p, (size_t)(line_end - p), "name", out, HTTP_MAX_PART_NAME);
        p = line_end + 2;
    }
    return false;
}

enum frt_status http_multipart_parse(const char *content_type, const char *body, size_t size,
                                     struct http_part parts[HTTP_MAX_PARTS], size_t *n, struct frt_error *err)
{
    char delimiter[MAX_BOUNDARY + 5] = "\r\n--";
    struct http_part found[HTTP_MAX_PARTS];
    size_t count = 0;
    const char *p = body, *end = body + size;

    if (!parameter(content_type, strlen(content_type), "boundary", delimiter + 4, MAX_BOUNDARY + 1))
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "multipart: the Content-Type has no boundary of 1 to %d characters", MAX_BOUNDARY);
    size_t length = strlen(delimiter);
    /* the first boundary may stand at the very start, without a line break before it */
    if (size >= length - 2 && memcmp(p, delimiter + 2, length - 2) == 0)
        p += length - 2;
    else if ((p = memmem(body, size, delimiter, length)) != NULL)
        p += length;
    else
        return frt_fail(err, FRT_EBAD_REQUEST, "multipart: the body does not hold the boundary");
    for (;;) {
        if (end - p >= 2 && memcmp(p, "--", 2) == 0)
            break;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (end - p < 2 || memcmp(p, "\r\n", 2) != 0)
            return frt_fail(err, FRT_EBAD_REQUEST, "multipart: no line break after a boundary");
        if (count == HTTP_MAX_PARTS)
            return frt_fail(err, FRT_EBAD_REQUEST, "multipart: more than %d parts", HTTP_MAX_PARTS);
        const char *headers = p + 2;
        size_t window = (size_t)(end - p) < HTTP_MAX_PART_HEADERS ? (size_t)(end - p) : HTTP_MAX_PART_HEADERS;
        const char *data =
            memmem(p, window, "\r\n\r\n", 4); /* from the boundary's own line break: no headers */
        if (data == NULL)
            return frt_fail(err, FRT_EBAD_REQUEST, "multipart: part %zu has no end of headers within %d bytes",
                            count + 1, HTTP_MAX_PART_HEADERS);
        if (data < headers || !part_name(headers, data, found[count].name))
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "multipart: part %zu has no Content-Disposition with a name of 1 to %d bytes",
                            count + 1, HTTP_MAX_PART_NAME - 1);
        data += 4;
        /* an empty part's boundary begins with the line break that ends its headers */
        p = memmem(data - 2, (size_t)(end - data) + 2, delimiter, length);
        if (p == NULL)
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "multipart: part %zu ('%s') has no closing boundary; is the body "
                            "cut short?",
                            count + 1, found[count].name);
        found[count].data = data;
        found[count].size = p > data ? (size_t)(p - data) : 0;
        count++;
        p += length;
    }
    memcpy(parts, found, count * sizeof *parts);
    *n = count;
    return FRT_OK;
}
