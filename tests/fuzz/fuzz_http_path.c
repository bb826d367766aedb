/* rooms: http metrics cache engine store index model vision infer_remote infer net image simd core */
/*
 * The target of a request: whatever it holds, its segments lie inside their text, are as many as it says, hold
 * no NUL of the client's, and what matches a pattern is what the pattern asks for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/route_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const patterns[] = {"/", "/v1/detect", "/v1/collections/{c}",
                                           "/v1/collections/{c}/faces/{f}"};
    static struct http_path path;
    const char *params[HTTP_MAX_PATH_PARAMS] = {NULL};
    char *target = malloc(size + 1);
    if (target == NULL)
        return 0;
    if (size > 0)
        memcpy(target, data, size);
    target[size] = '\0';
    if (http_path_parse(target, &path, NULL) == FRT_OK) {
        size_t slashes = 0, length = 0;
        for (const char *p = target; *p != '\0' && *p != '?' && *p != '#'; p++)
            slashes += *p == '/';
        if (path.n != slashes || path.n == 0 || path.n > HTTP_MAX_SEGMENTS)
            abort();
        for (size_t i = 0; i < path.n; i++) {
            if (path.segments[i] != path.text + length) /* one after another: no byte between was cut off */
                abort();
            length += strlen(path.segments[i]) + 1;
            if (length > sizeof path.text)
                abort();
        }
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
            if (http_path_matches(&path, patterns[i], params)) {
                for (size_t k = 0; k < HTTP_MAX_PATH_PARAMS && params[k] != NULL; k++)
                    if (params[k][0] == '\0')
                        abort();
                (void)!http_path_check(params, NULL);
            }
    }
    free(target);
    return 0;
}
