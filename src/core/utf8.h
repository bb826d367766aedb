/* UTF-8 checks. Pure functions. Source: RFC 3629. */
#ifndef FRT_CORE_UTF8_H
#define FRT_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/** True when the `size` bytes are well-formed UTF-8 (no overlong forms, no surrogates). */
bool frt_utf8_valid(const char *text, size_t size);

/** Replace, in place, every control character and every byte that is not part of well-formed UTF-8
 *  by '?'. A sequence cut by the terminating NUL is replaced, too. */
void frt_utf8_sanitise(char *text);

#endif
