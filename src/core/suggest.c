#include "core/suggest.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 63 };

static int fold(char c)
{
    return c == '_' ? '-' : tolower((unsigned char)c);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, three rows at a time. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][LONGEST + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = before[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            now[j] = least(change, least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
                now[j] = least(now[j], earlier[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *frt_suggest(const char *given, const char *const *words, size_t n)
{
    const char *best = NULL;
    size_t size = strlen(given), nearest = 0;
    if (size == 0 || size > LONGEST)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(words[i]);
        if (length > LONGEST)
            continue;
        size_t d = distance(given, size, words[i], length);
        if (d <= (length > size ? length : size) / 3 && (best == NULL || d < nearest)) {
            best = words[i];
            nearest = d;
        }
    }
    return best;
}
