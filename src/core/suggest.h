/* "did you mean": the nearest known word to a mistyped one. Pure function. */
#ifndef FRT_CORE_SUGGEST_H
#define FRT_CORE_SUGGEST_H

#include <stddef.h>

/**
 * The word of `words` nearest to `given` by edit distance (Damerau: insert, delete, change, swap
 * neighbours); NULL when none is near enough to be meant (more than a third of its letters differ).
 * '-' and '_' count as equal. Words of more than 63 bytes are never near.
 */
const char *frt_suggest(const char *given, const char *const *words, size_t n);

#endif
