#include "http/request_id.h"

#include <string.h>

#include "core/unique_bits.h"

enum { ID_DIGITS = 24 };

static bool harmless(const char *id)
{
    size_t n = strlen(id);
    return n >= 1 && n <= HTTP_REQUEST_ID_MAX &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

void http_request_id(const char *given, char out[HTTP_REQUEST_ID_MAX + 1])
{
    if (given != NULL && harmless(given))
        memcpy(out, given, strlen(given) + 1);
    else
        frt_unique_hex(out, ID_DIGITS);
}
