/* rooms: http metrics cache engine store index model vision infer_remote infer net image simd core */
/*
 * The Host header, the one text that decides whether a stranger's page may speak to the service: what is taken
 * must be localhost, a 127.x.x.x or ::1, with a port or without.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/listen_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *host = malloc(size + 1);
    if (host == NULL)
        return 0;
    if (size > 0)
        memcpy(host, data, size);
    host[size] = '\0';
    if (http_host_is_loopback(host)) {
        size_t n = strlen(host);
        bool name = n >= 9 && strncasecmp(host, "localhost", 9) == 0 && (host[9] == '\0' || host[9] == ':');
        bool v4 = strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.:") == n;
        bool v6 = strspn(host, "[]:.0123456789") == n && strchr(host, '1') != NULL && strchr(host, ':') != NULL;
        if (!name && !v4 && !v6)
            abort();
    }
    free(host);
    return 0;
}
