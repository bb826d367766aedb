/*
 * What FRT must know of a model beyond its graph: the manifest's entry, as a struct. src/model reads it
 * from manifest.json, src/vision acts on it; neither includes the other.
 *
 * Everything here is data: no code outside a family's decoder knows a model by name.
 * Source: docs/formats/manifest-v1.md. Threading: immutable.
 */
#ifndef FRT_INFER_MODEL_SPEC_H
#define FRT_INFER_MODEL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#define FRT_SPEC_NAME_MAX 64
#define FRT_SPEC_PATH_MAX 256
#define FRT_SPEC_MAX_LABELS 16

enum frt_model_role {
    FRT_ROLE_DETECTOR = 0, /* image → boxes, scores, perhaps 5 landmarks */
    FRT_ROLE_LANDMARKS,    /* face crop → 68 points */
    FRT_ROLE_EMBEDDER,     /* aligned crop → embedding */
    FRT_ROLE_LIVENESS,     /* face crop → real or spoof */
    FRT_ROLE_AGE_GENDER,
    FRT_ROLE_EXPRESSION,
    FRT_ROLE_QUALITY, /* aligned crop → one score of how much it is good for */
    FRT_ROLE_COUNT
};

enum frt_color_order { FRT_COLOR_RGB = 0, FRT_COLOR_BGR };

/** How a raw embedding becomes the L2-normalised one that the service compares by cosine. */
enum frt_embedding_map {
    FRT_MAP_L2 = 0,    /* x / |x| */
    FRT_MAP_CENTER_L2, /* (x - centre) / |x - centre| */
    /* For nets trained for Euclidean distance, whose embeddings lie in a narrow cap around `centre`: all
     * cosines are high, and centring would blow up what is near the middle. The cap is laid over a
     * smaller sphere, which spreads the angles and keeps the order of the distances. With the unit vector
     * u = centre / |centre| and the radius r = |centre|:
     *     z = x / sqrt(|x|),  t = z - (z.u) u, shortened to r where longer,  y = (t + sqrt(r² - |t|²) u) / r
     * docs/design/alignment.md compares it with the others. */
    FRT_MAP_CAP
};

/** Input tensor: NCHW float, value = (pixel - mean[c]) * scale[c], channels in `color` order. */
struct frt_model_input {
    uint32_t width_px, height_px; /* 0 = the graph's own, or dynamic */
    enum frt_color_order color;
    float mean[3];  /* in `color` order */
    float scale[3]; /* multiplied, e.g. 1/128 */
};

struct frt_model_spec {
    enum frt_model_role role;
    char name[FRT_SPEC_NAME_MAX];
    char version[FRT_SPEC_NAME_MAX];
    char family[FRT_SPEC_NAME_MAX]; /* "scrfd", "yunet", "ssd_mobilenetv1", "tiny_yolo2", "landmarks68",
                                       "arcface", "dlib_resnet", "age_gender", "expression",
                                       "minifasnet", "antispoof", "lightqnet", … */
    char file[FRT_SPEC_PATH_MAX];   /* relative to the pack's folder, no ".." */
    char sha256[65];                /* lower-case hex; "" = not pinned */
    char licence[FRT_SPEC_NAME_MAX];
    char provenance[FRT_SPEC_PATH_MAX];
    char compiled_from[65];              /* SHA-256 of the file it was compiled from; "" = as published */
    char compiled_by[FRT_SPEC_PATH_MAX]; /* program, precision and passes */
    bool is_default;                     /* among the models of one role */
    struct frt_model_input input;

    /* detector */
    uint32_t max_input_px; /* longer side the photo is scaled to when the input size is dynamic; 0 = 640 */
    float min_confidence;  /* default threshold */
    float nms_iou;

    /* embedder */
    char template_name[FRT_SPEC_NAME_MAX]; /* "arcface112", "dlib150", … (src/vision/align.h) */
    uint32_t dim;
    enum frt_embedding_map map;
    float *centre; /* f32[dim] for FRT_MAP_CENTER_L2 and FRT_MAP_CAP, else NULL; owned by the manifest */
    bool flip_average;
    float threshold; /* cosine: default verification threshold */
    /* Share of pairs of different people at or above `threshold`, and how far the threshold must rise for a
     * tenth of that; 0 = not known. Measured: docs/eval.md. */
    float threshold_fmr, threshold_decade;

    /* liveness, attributes: crop = box × crop_scale, kept inside the photo by shifting */
    float crop_scale;  /* 0 = the family's */
    uint32_t n_labels; /* meaning of each output, in order */
    char labels[FRT_SPEC_MAX_LABELS][24];
    uint32_t real_index;   /* liveness: index of "real" */
    float spoof_threshold; /* liveness: spoof confidence from which a face counts as a spoof; 0 = 0.5. Of
                              several nets, which are averaged, the default one's counts */
};

#endif
