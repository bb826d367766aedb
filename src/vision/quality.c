/*
 * Everything is measured on an aligned chip of the face (the 112 px template of the recognisers), so that
 * size and tilt of the face in the photo do not matter, and what counts is the detail that a recogniser
 * would get. Formulas, constants and how they were found: docs/design/quality.md.
 */
#include "vision/quality.h"

#include <math.h>

#include "vision/face_crop.h"

enum { CHIP_PX = 112, FIRST_ROW = 28, LAST_ROW = 104, FIRST_COLUMN = 24, LAST_COLUMN = 88 };

/* The part of a face's contrast that lies in its finest detail, at which sharpness is one half: between
 * the values of sharp portraits (0.01 and up) and of blurred ones (under 0.001). */
static const double half_sharp_detail = 0.003;
/* Depth of the nose's tip before the plane of eyes and mouth, in half eye distances and in eye-to-mouth
 * distances, and where between eyes and mouth it lies on a frontal face. */
static const double nose_depth_across = 0.90, nose_depth_down = 0.39, nose_height = 0.56;
/* Mean luma up to which a face is too dark, from which it is well lit, and the same for too bright. */
static const double dark = 0.04, lit = 0.25, bright = 0.75, burnt = 0.97;

static double degrees(double radians)
{
    return radians * (180 / 3.14159265358979323846);
}

static double unit(double value)
{
    return value > 0 ? fmin(value, 1) : 0; /* NaN counts as 0 */
}

/* Rec. 601 luma, 0..255 */
static double luma_at(const uint8_t *chip, int column, int row)
{
    const uint8_t *p = chip + 3 * (CHIP_PX * row + column);
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

/* Variance of the Laplacian over variance: does not change with brightness or contrast. */
static void measure_pixels(const uint8_t *chip, struct frt_quality *quality)
{
    double sum = 0, squares = 0, detail = 0, n = 0;
    for (int row = FIRST_ROW; row < LAST_ROW; row++) {
        for (int column = FIRST_COLUMN; column < LAST_COLUMN; column++) {
            const double v = luma_at(chip, column, row);
            const double laplacian = (luma_at(chip, column - 1, row) + luma_at(chip, column + 1, row) +
                                      luma_at(chip, column, row - 1) + luma_at(chip, column, row + 1)) /
                                         4 -
                                     v;
            sum += v;
            squares += v * v;
            detail += laplacian * laplacian;
            n++;
        }
    }
    const double mean = sum / n, variance = fmax(squares / n - mean * mean, 0);
    /* the 4 is about the variance of rounding and sensor noise: a flat patch is not sharp */
    const double share = detail / n / (variance + 4);
    quality->sharpness = (float)unit(share / (share + half_sharp_detail));
    quality->brightness = (float)unit(mean / 255);
}

static void measure_pose(const struct frt_point p[FRT_LANDMARK_COUNT], struct frt_quality *quality)
{
    const struct frt_point *l = &p[FRT_LANDMARK_LEFT_EYE], *r = &p[FRT_LANDMARK_RIGHT_EYE];
    const double across_x = (double)r->x - (double)l->x, across_y = (double)r->y - (double)l->y;
    const double eyes = hypot(across_x, across_y);
    if (!(eyes > 0))
        return;
    /* axes of the head in the picture: c along the eyes, s to the right of it */
    const double c = across_x / eyes, s = across_y / eyes;
    const double eye_x = ((double)l->x + (double)r->x) / 2, eye_y = ((double)l->y + (double)r->y) / 2;
    const double mouth_x =
        ((double)p[FRT_LANDMARK_MOUTH_LEFT].x + (double)p[FRT_LANDMARK_MOUTH_RIGHT].x) / 2 - eye_x;
    const double mouth_y =
        ((double)p[FRT_LANDMARK_MOUTH_LEFT].y + (double)p[FRT_LANDMARK_MOUTH_RIGHT].y) / 2 - eye_y;
    const double nose_x = (double)p[FRT_LANDMARK_NOSE].x - eye_x,
                 nose_y = (double)p[FRT_LANDMARK_NOSE].y - eye_y;
    const double mouth_across = mouth_x * c + mouth_y * s, mouth_down = mouth_y * c - mouth_x * s;
    const double nose_across = nose_x * c + nose_y * s, nose_down = nose_y * c - nose_x * s;
    quality->roll = (float)degrees(atan2(across_y, across_x));
    if (!(mouth_down > 0))
        return; /* eyes under the mouth: no pose can be told */
    /* the nose's tip against the line from the middle of the eyes to the middle of the mouth */
    const double sideways = nose_across - mouth_across * nose_down / mouth_down;
    quality->yaw = (float)degrees(atan(sideways / (eyes / 2) / nose_depth_across));
    quality->pitch = (float)degrees(atan((nose_height - nose_down / mouth_down) / nose_depth_down));
}

static double light_factor(double brightness)
{
    return fmin(unit((brightness - dark) / (lit - dark)), unit((burnt - brightness) / (burnt - bright)));
}

struct frt_quality frt_quality_measure(const struct frt_frame *frame, const struct frt_face *face)
{
    struct frt_quality quality = {0};
    uint8_t chip[3 * CHIP_PX * CHIP_PX];

    if (frt_face_crop_align(frame, face->landmarks, CHIP_PX, CHIP_PX, chip, NULL) != FRT_OK)
        return quality; /* landmarks that make no face: nothing of it is good */
    measure_pixels(chip, &quality);
    measure_pose(face->landmarks, &quality);
    const double turn = 3.14159265358979323846 / 180;
    const double pose = unit(cos(turn * (double)quality.yaw)) * unit(cos(turn * (double)quality.pitch));
    quality.score = (float)((double)quality.sharpness * light_factor((double)quality.brightness) * pose);
    return quality;
}
