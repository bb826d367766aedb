/*
 * What a detector family has to offer, and what detector.c does for all of them.
 *
 *     frame ─ place (scale, pad) ─> canvas f32[3][H][W] ─ run ─> outputs ─ decode ─> candidates ─ NMS
 *
 * The photo lies at the canvas's top left corner, keeping its aspect; the rest holds `pad`. Decoders
 * speak canvas pixels (continuous, see frt.h); detector.c maps them back to the full-size image.
 */
#ifndef FRT_VISION_DETECTOR_FAMILY_H
#define FRT_VISION_DETECTOR_FAMILY_H

#include "vision/detector.h"
#include "vision/nms.h"

/* what an output holds; each family gives the numbers a meaning */
#define FRT_OUTPUT_NONE 0xff

struct frt_detector_family;

struct frt_detector {
    const struct frt_detector_family *family;
    const struct frt_model_spec *spec;
    const struct frt_session *session;
    struct frt_model_input input; /* the spec's, completed by the family's */
    uint32_t canvas_width_px;     /* 0 = dynamic */
    uint32_t canvas_height_px;
    uint32_t max_input_px;                        /* dynamic: longer side of the scaled photo */
    float min_confidence, nms_iou;                /* defaults */
    uint8_t output_kind[FRT_SESSION_MAX_OUTPUTS]; /* filled by match */
};

struct frt_detector_decode {
    const struct frt_detector *detector;
    const struct frt_outputs *outputs;
    uint32_t canvas_width_px, canvas_height_px;
    float min_confidence;
    struct frt_candidates *candidates;
};

struct frt_detector_family {
    const char *name;
    const char *fits;      /* which outputs fit, for refusals */
    uint32_t multiple_px;  /* sides of the canvas are multiples of this */
    uint32_t max_input_px; /* dynamic graphs, when the spec says nothing; 0 = fixed sizes only */
    float max_upscale;     /* a small photo is enlarged at most this much; 0 = to fill the canvas */
    float looks[2];        /* when nothing is found, look again at the photo shrunk by these; 0 = do not */
    uint8_t pad;           /* pixel value around the photo */
    float min_confidence, nms_iou;
    struct frt_model_input input; /* when the spec gives no scale */

    /* Fill output_kind; false when the graph's outputs do not fit. */
    bool (*match)(struct frt_detector *detector);
    /* Add candidates. Sizes of the outputs are checked here against the canvas: a graph may answer
     * otherwise than it said. */
    enum frt_status (*decode)(const struct frt_detector_decode *decode, struct frt_error *err);
};

extern const struct frt_detector_family frt_detector_scrfd;
extern const struct frt_detector_family frt_detector_yunet;
extern const struct frt_detector_family frt_detector_ssd_mobilenetv1;
extern const struct frt_detector_family frt_detector_tiny_yolo2;
extern const struct frt_detector_family frt_detector_ultralight_rfb;
extern const struct frt_detector_family frt_detector_retinaface;
extern const struct frt_detector_family frt_detector_centerface;

/** All families, in the order in which a graph's outputs are offered to them. Static storage. */
const struct frt_detector_family *const *frt_detector_families(size_t *n);

/* Anchor detectors with one output a stride: what an output holds, by its last dimension (1, 4, 10). */
enum { FRT_OUTPUT_SCORE, FRT_OUTPUT_BOX, FRT_OUTPUT_POINTS, FRT_OUTPUT_KINDS };

/** Fill output_kind by the last dimension and count each kind; false when an output is none of them. */
bool frt_outputs_sort(struct frt_detector *detector, uint32_t counts[FRT_OUTPUT_KINDS]);

/** Last dimension of a shape when it has 2 or 3 (batch 1 or dynamic in front), else 0. */
int64_t frt_output_channels(const int64_t *dims, uint32_t n_dims);

/** The output of this kind whose size is rows × channels; NULL when there is none. Run time only. */
const float *frt_output_find(const struct frt_detector_decode *decode, uint8_t kind, size_t rows,
                             size_t channels);

#endif
