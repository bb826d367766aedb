#include "engine/eval_interval.h"

#include <math.h>
#include <stdlib.h>

struct frt_interval frt_wilson(size_t hits, size_t n)
{
    const double z = 1.959963984540054, trials = (double)n;
    if (n == 0)
        return (struct frt_interval){0, 1};
    const double share = (double)hits / trials;
    const double scale = 1 + z * z / trials;
    const double middle = (share + z * z / (2 * trials)) / scale;
    const double half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials));
    /* the ends that are exact, exactly */
    return (struct frt_interval){hits == 0 ? 0 : fmax(0, middle - half),
                                 hits == n ? 1 : fmin(1, middle + half)};
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct frt_interval frt_percentiles(double *values, size_t n)
{
    if (n == 0)
        return (struct frt_interval){NAN, NAN};
    qsort(values, n, sizeof *values, ascending);
    const size_t low = (size_t)floor(0.025 * (double)(n - 1)), high = (size_t)ceil(0.975 * (double)(n - 1));
    return (struct frt_interval){values[low], values[high]};
}
