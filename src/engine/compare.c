/* Comparing embeddings: cosine, distance, verdict. Pure functions. */
#include <math.h>

#include "core/status.h"
#include "engine/pack.h"
#include "engine/search_threshold.h"
#include "engine/threshold_basis.h"
#include "frt/gallery.h"

/* How far from 1 the norm of an embedding may be: f32 rounding over 4096 dimensions stays far below. */
#define NORM_TOLERANCE 1e-3

enum frt_status frt_compare(const float *a, const float *b, size_t dim, float *out, struct frt_error *err)
{
    double dot = 0, aa = 0, bb = 0;
    if (dim == 0 || dim > FRT_MAX_DIM)
        return frt_fail(err, FRT_EINVAL, "embedding size is %zu; 1 to %d fit", dim, FRT_MAX_DIM);
    for (size_t i = 0; i < dim; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    /* written so that NaN fails it, too */
    if (!(fabs(sqrt(aa) - 1.0) <= NORM_TOLERANCE) || !(fabs(sqrt(bb) - 1.0) <= NORM_TOLERANCE))
        return frt_fail(
            err, FRT_EINVAL,
            "embeddings must be finite and L2-normalised (norms are %.6g and %.6g; 1 +- %g is right)", sqrt(aa),
            sqrt(bb), NORM_TOLERANCE);
    *out = (float)fmax(-1.0, fmin(1.0, dot / sqrt(aa * bb)));
    return FRT_OK;
}

float frt_distance(float similarity)
{
    return (1.0F - similarity) / 2.0F;
}

enum frt_status frt_verify(const struct frt_pack *pack, const float *a, const float *b, float threshold,
                           struct frt_verdict *out, struct frt_error *err)
{
    float similarity = 0;
    if (isnan(threshold))
        threshold = pack->info.default_threshold;
    if (!(threshold >= -1.0F && threshold <= 1.0F))
        return frt_fail(err, FRT_EINVAL, "threshold is %g; a cosine from -1 to 1 is right", (double)threshold);
    enum frt_status status = frt_compare(a, b, pack->info.dim, &similarity, err);
    if (status != FRT_OK)
        return status;
    *out = (struct frt_verdict){.verified = similarity >= threshold,
                                .similarity = similarity,
                                .distance = frt_distance(similarity),
                                .threshold = threshold};
    return FRT_OK;
}

float frt_search_threshold(const struct frt_threshold_curve *curve, uint64_t people, double target_fpir)
{
    static const double highest = 0.99;
    const double wanted =
        (target_fpir > 0 && target_fpir <= 1 ? target_fpir : 0.01) / (double)(people > 0 ? people : 1);
    if (!(curve->fmr > 0) || !(curve->decade > 0) || wanted >= (double)curve->fmr)
        return curve->threshold;
    const double raised = (double)curve->threshold + (double)curve->decade * log10((double)curve->fmr / wanted);
    return (float)fmax(fmin(raised, highest), (double)curve->threshold);
}

float frt_pack_search_threshold(const struct frt_pack *pack, uint64_t people, double target_fpir)
{
    const struct frt_gallery_size size = {.people = (double)people, .enrolled = 1};
    return frt_threshold_rule_make(&pack->thresholds, NULL, NAN, target_fpir, &size).threshold;
}
