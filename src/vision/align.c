#include "vision/align.h"

#include <math.h>
#include <string.h>

/* Points in continuous chip pixels. */
static const struct frt_align_template templates[] = {
    /* Insightface's reference points (arcface_dst), which ArcFace, AdaFace, MobileFaceNet and SFace share.
     * They are published as pixel indices and used so here: detectors trained with the same code give
     * landmarks in the same convention. docs/design/alignment.md has the half pixel measured. */
    {"arcface112",
     112,
     112,
     {{38.2946f, 51.6963f},
      {73.5318f, 51.5014f},
      {56.0252f, 71.7366f},
      {41.5493f, 92.3655f},
      {70.7299f, 92.2041f}}},
    /* dlib's aligned chips: mean shape (0.25 + v) / 1.5 × 150 for the eye centres, nose tip and mouth
     * corners of the mean face. */
    {"dlib150",
     150,
     150,
     {{47.55f, 46.60f}, {100.48f, 46.60f}, {74.01f, 76.56f}, {50.41f, 103.02f}, {97.61f, 103.02f}}},
    /* The same with padding 0.2: (0.2 + v) / 1.4 × 150. The eyes and mouth that face-api's landmark net
     * and detectors' five points mark sit a little otherwise than dlib's; this is the best crop for them
     * (docs/design/alignment.md). */
    {"dlib150_tight",
     150,
     150,
     {{45.59f, 44.57f}, {102.30f, 44.57f}, {73.94f, 76.67f}, {48.65f, 105.02f}, {99.22f, 105.02f}}},
    /* FaceNet was trained on MTCNN's boxes, stretched to squares with a tenth of margin on each side, not on
     * aligned faces. These are MTCNN's mean points (given for 96 × 112
     * boxes: 30.2946,51.6963 65.5318,51.5014 48.0252,71.7366 33.5493,92.3655 62.7299,92.2041) in such a crop: x
     * = 160 (0.1 + 0.8 u/96), y = 160 (0.1 + 0.8 v/112). The fit does not stretch, so it is the nearest upright
     * crop. */
    {"facenet160",
     160,
     160,
     {{56.39f, 75.08f}, {103.38f, 74.86f}, {80.03f, 97.98f}, {60.73f, 121.56f}, {99.64f, 121.38f}}},
};
#define N_TEMPLATES (sizeof templates / sizeof *templates)

const struct frt_align_template *frt_align_template_find(const char *name)
{
    for (size_t i = 0; name != NULL && i < N_TEMPLATES; i++) {
        if (strcmp(name, templates[i].name) == 0)
            return &templates[i];
    }
    return NULL;
}

const char *frt_align_template_names(void)
{
    return "arcface112, dlib150, dlib150_tight, facenet160";
}

enum frt_status frt_align_fit(const struct frt_point *from, const struct frt_point *to, size_t n, double m[6],
                              struct frt_error *err)
{
    if (n < 2)
        return frt_fail(err, FRT_EINVAL, "%zu points given; a similarity needs at least 2", n);
    double from_x = 0, from_y = 0, to_x = 0, to_y = 0;
    for (size_t i = 0; i < n; i++) {
        from_x += (double)from[i].x;
        from_y += (double)from[i].y;
        to_x += (double)to[i].x;
        to_y += (double)to[i].y;
    }
    const double count = (double)n;
    from_x /= count;
    from_y /= count;
    to_x /= count;
    to_y /= count;

    /* In two dimensions the SVD of the covariance has a closed form: the best rotation-and-scale
     * [a -b; b a] is a complex regression. It never reflects. */
    double a = 0, b = 0, spread = 0;
    for (size_t i = 0; i < n; i++) {
        const double px = (double)from[i].x - from_x, py = (double)from[i].y - from_y;
        const double qx = (double)to[i].x - to_x, qy = (double)to[i].y - to_y;
        a += px * qx + py * qy;
        b += px * qy - py * qx;
        spread += px * px + py * py;
    }
    const double reach = hypot(from_x, from_y) + 1;
    if (!isfinite(spread) || !isfinite(a) || !isfinite(b))
        return frt_fail(err, FRT_EINVAL, "points are not finite or too large to align");
    if (!(spread > 1e-12 * reach * reach) || !(hypot(a, b) > 0))
        return frt_fail(err, FRT_EINVAL, "points coincide; alignment needs distinct ones");
    a /= spread;
    b /= spread;
    m[0] = a;
    m[1] = -b;
    m[2] = to_x - (a * from_x - b * from_y);
    m[3] = b;
    m[4] = a;
    m[5] = to_y - (b * from_x + a * from_y);
    return FRT_OK;
}

enum frt_status frt_align_invert(const double m[6], double inverse[6], struct frt_error *err)
{
    const double det = m[0] * m[4] - m[1] * m[3];
    const double r[4] = {m[4] / det, -m[1] / det, -m[3] / det, m[0] / det};
    const double x = -(r[0] * m[2] + r[1] * m[5]), y = -(r[2] * m[2] + r[3] * m[5]);
    if (det == 0 || !isfinite(r[0]) || !isfinite(r[1]) || !isfinite(r[2]) || !isfinite(r[3]) || !isfinite(x) ||
        !isfinite(y))
        return frt_fail(err, FRT_EINVAL, "affine map cannot be inverted (determinant %g)", det);
    inverse[0] = r[0];
    inverse[1] = r[1];
    inverse[2] = x;
    inverse[3] = r[2];
    inverse[4] = r[3];
    inverse[5] = y;
    return FRT_OK;
}
