/*
 * FRT: face recognition toolkit, public C API.
 *
 * A photo goes in; faces, embeddings or a verdict on two photos come out:
 *
 *     frt_context ── frt_pack (models) ─┐
 *     bytes ── frt_image ───────────────┴─ frt_detect / frt_embed ── frt_faces ── frt_compare
 *
 * Handles are opaque. Every fallible call returns an enum frt_status, writes its outputs last and
 * leaves them untouched on failure, and fills an optional caller-owned struct frt_error with text.
 * Option structs: zero-initialise them ({0}); the zero value of every field is the documented default.
 *
 * Threading: each type below says *immutable* (share freely once created), *one owner* (one thread at
 * a time) or *internally locked*.
 *
 * Coordinates are continuous pixels of the upright image (EXIF orientation applied), origin at the
 * top left corner: pixel i covers [i, i+1), its centre lies at i + 0.5.
 */
#ifndef FRT_FRT_H
#define FRT_FRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FRT_VERSION_MAJOR 0
#define FRT_VERSION_MINOR 1
#define FRT_VERSION_PATCH 0
#define FRT_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define FRT_API __attribute__((visibility("default")))
#define FRT_NODISCARD __attribute__((warn_unused_result))
#define FRT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FRT_API
#define FRT_NODISCARD
#define FRT_PRINTF(fmt, args)
#endif

/* ---------------------------------------------------------------- status */

/** What a call has to say. The numeric values are part of the ABI: append, never renumber. */
enum frt_status {
    FRT_OK = 0,
    FRT_EINVAL = 1,                 /* an argument breaks the function's contract */
    FRT_ENOMEM = 2,                 /* memory could not be had */
    FRT_EIO = 3,                    /* a file or socket could not be read or written */
    FRT_ENOTFOUND = 4,              /* a named thing does not exist */
    FRT_EUNSUPPORTED_IMAGE = 5,     /* not an image format this build reads */
    FRT_EBAD_IMAGE = 6,             /* the bytes claim to be an image and cannot be decoded */
    FRT_EIMAGE_TOO_LARGE = 7,       /* over the pixel or side limit */
    FRT_ENO_FACE = 8,               /* no face where one is needed */
    FRT_EBAD_MODEL = 9,             /* a model or its manifest is damaged, or fits no known family */
    FRT_EMODEL_MISMATCH = 10,       /* embeddings of different models or sizes meet */
    FRT_ERUNTIME = 11,              /* the inference runtime is missing or failed */
    FRT_EOVERLOADED = 12,           /* a queue is full; try again later */
    FRT_ETIMEOUT = 13,              /* the deadline passed before the work was done */
    FRT_ECANCELLED = 14,            /* the caller gave up */
    FRT_EBAD_REQUEST = 15,          /* a request, file or argument that a client sent is malformed */
    FRT_EBODY_TOO_LARGE = 16,       /* more bytes than the limit allows */
    FRT_EUNSUPPORTED_MEDIA = 17,    /* a content type the route does not take */
    FRT_EMETHOD = 18,               /* the route exists, not with this method */
    FRT_EUNAUTHORIZED = 19,         /* credentials missing or wrong */
    FRT_EFORBIDDEN = 20,            /* credentials valid, role too low */
    FRT_ECONFLICT = 21,             /* the thing exists already, or changed meanwhile */
    FRT_EUNAVAILABLE = 22,          /* a part the request needs is not there (yet) */
    FRT_EINTERNAL = 23,             /* a defect of this program */
    FRT_ECOLLECTION_NOT_FOUND = 24, /* no collection of this name */
    FRT_ESUBJECT_NOT_FOUND = 25,    /* no subject of this name in the collection */
    FRT_EFACE_NOT_FOUND = 26,       /* no face of this id in the collection */
    FRT_EMULTIPLE_FACES = 27,       /* several faces where one is wanted */
    FRT_EDUPLICATE = 28,            /* the person is in the collection already */
    FRT_ELOW_QUALITY = 29,          /* the face is below the quality asked for */
    FRT_ESPOOF = 30,                /* the face looks like a print, a screen or a mask */
    FRT_ESTORAGE_FULL = 31,         /* the disk is full; nothing was changed */
    FRT_ESTORE_DAMAGED = 32,        /* a database or snapshot is corrupt or not ours */
    FRT_EINDEX_NOT_READY = 33,      /* a large collection's index is being loaded; try again later */
    FRT_STATUS_COUNT
};

#define FRT_ERROR_TEXT_MAX 512

/** Filled on failure when the caller passes one. One owner. */
struct frt_error {
    enum frt_status status;
    char text[FRT_ERROR_TEXT_MAX]; /* one sentence, NUL-terminated, no secrets, valid UTF-8 */
    uint32_t retry_after_s;        /* when to try again, where that is known; else 0 */
};

/** Stable machine-readable word for a status, e.g. "no_face". Static storage, never NULL. */
FRT_API const char *frt_status_code(enum frt_status status);

/** Short human title for a status, e.g. "No face found". Static storage, never NULL. */
FRT_API const char *frt_status_title(enum frt_status status);

/** Version of the library that runs, e.g. "0.1.0". Static storage. */
FRT_API const char *frt_version(void);

/* --------------------------------------------------------------- context */

/** The inference runtime, its threads and limits. Immutable after creation; share between threads. */
struct frt_context;

/* Bounds of a cache; zeros = no cache. */
struct frt_cache_limits {
    uint64_t entries;
    uint64_t bytes;  /* of all entries together; 0 = as many as there may be entries */
    uint32_t ttl_ms; /* an entry's life; 0 = 30 min */
};

/* How many threads may do what at once; all zeros = every caller's thread works at once. */
struct frt_stage_limits {
    uint32_t cores; /* computing at once; 0 = all the process may use */
    uint32_t image, detect,
        recognize;  /* decoding, detecting, recognising at once; 0 = 16, min(8, cores) twice */
    uint32_t store; /* reading or writing a gallery at once; 0 = 20 */
    uint32_t queue; /* waiting for each of these at most; more: FRT_EOVERLOADED; 0 = 256 */
};

/** A model server that computes in this machine's place as long as it answers, and answers as the models here
 * do (docs/accelerators.md). What it drops is computed here. */
struct frt_infer_server {
    const char
        *address; /* "kserve:http://host:8000", "tfserving:https://host:8501"; NULL, "" or "local" = none */
    const char *models;  /* how models are called there: "NAME=REMOTE[/VERSION]", by commas; NULL = as here */
    const char *ca_file; /* PEM; NULL = the system's */
    const char *token_file;      /* a token or a header; NULL = none */
    uint32_t timeout_ms;         /* of one inference; 0 = 2 s */
    uint32_t connect_timeout_ms; /* 0 = 500 ms */
    uint32_t connections;        /* at most; 0 = 16 */
    uint32_t retries;            /* of one inference; 0 = 2, UINT32_MAX = none */
};

struct frt_context_options {
    uint32_t threads;         /* cores one inference may use; 0 = all the process may use */
    const char *runtime_path; /* libonnxruntime.so to load; NULL = $FRT_RUNTIME, beside the program,
                                 then the system's */
    uint64_t max_pixels;      /* most pixels of an image; 0 = 50,000,000 */
    uint32_t max_side_px;     /* longest side of an image; 0 = 16384 */
    /* For programs that answer many callers. Encoded photos that come again, byte by byte, are answered from
     * memory: embeddings, or what stands before them (frames, detections, aligned faces). */
    struct frt_cache_limits embedding_cache, image_cache;
    const struct frt_stage_limits *stages; /* NULL = every caller's thread works at once */
    const struct frt_infer_server *infer;  /* NULL = models are computed here */
    /* What computes: "cpu", "auto", "cuda", "tensorrt" or "webgpu", with an index as in "cuda:1"; NULL = "cpu".
     * A device that is not there, or fails later, is no error: the CPU takes over, and gives back when it
     * returns. */
    const char *device;
    uint64_t gpu_memory_limit_bytes; /* of a device, over all models; 0 = 4 GiB */
    const char *device_precision;    /* "fp32" or "fp16": what a device computes in; NULL = "fp32" */
    const char *device_cache;        /* folder for what TensorRT builds; NULL = it is built anew each time */
};

/**
 * Create a context: finds and loads the inference runtime.
 *
 * options  borrowed for the call; NULL = all defaults.
 * out      receives ownership; free with frt_context_free after every pack and image made from it.
 *
 * Errors: FRT_ERUNTIME (runtime missing or too old; the text says where it looked), FRT_ENOMEM.
 */
FRT_API FRT_NODISCARD enum frt_status frt_context_new(const struct frt_context_options *options,
                                                      struct frt_context **out, struct frt_error *err);
/** Free a context. NULL is fine. */
FRT_API void frt_context_free(struct frt_context *context);

/* ------------------------------------------------------------------ pack */

/** A loaded model pack. Share between threads: immutable, but for models that are opened at first use under an
 *  internal lock. */
struct frt_pack;

struct frt_pack_options {
    const char *detector;  /* name of the detector model in the manifest; NULL = the manifest's default */
    bool preload;          /* load attribute and liveness models now rather than at first use */
    bool skip_checksums;   /* do not compare files with the manifest's SHA-256 (start-up in ms) */
    bool as_published;     /* run graphs as they stand in their files, not rewritten for speed */
    float spoof_threshold; /* spoof confidence from which a face counts as a spoof; 0 = the manifest's, else 0.5
                            */
};

struct frt_pack_info {
    const char *name;    /* e.g. "default" */
    const char *version; /* the pack's version text */
    const char *id;      /* hex SHA-256 over the manifest: changes whenever any model does */
    const char *embedder_name;
    const char *embedder_version;
    uint32_t dim;            /* floats in an embedding */
    float default_threshold; /* cosine at which two faces count as the same person */
    const char *licence;     /* strictest licence among the models */
    float threshold_fmr; /* share of pairs of different people at or above default_threshold; 0 = not known */
    float threshold_decade; /* how far the threshold rises for a tenth of that; 0 = not known */
};

/**
 * Open the pack in folder `path` (it holds manifest.json).
 *
 * context  borrowed; must outlive the pack.
 * path     folder; NULL = $FRT_PACK, else the default pack in the data folder.
 * Errors:  FRT_ENOTFOUND, FRT_EBAD_MODEL (the text names the model, what was found and what would
 *          fit), FRT_ERUNTIME, FRT_ENOMEM, FRT_EIO.
 */
FRT_API FRT_NODISCARD enum frt_status frt_pack_open(struct frt_context *context, const char *path,
                                                    const struct frt_pack_options *options,
                                                    struct frt_pack **out, struct frt_error *err);
FRT_API void frt_pack_free(struct frt_pack *pack);

/** Facts about the pack. Borrowed: valid until the pack is freed. */
FRT_API const struct frt_pack_info *frt_pack_info_get(const struct frt_pack *pack);

/* ----------------------------------------------------------------- image */

enum frt_image_format {
    FRT_IMAGE_UNKNOWN = 0,
    FRT_IMAGE_JPEG,
    FRT_IMAGE_PNG,
    FRT_IMAGE_WEBP,
    FRT_IMAGE_HEIC,
    FRT_IMAGE_AVIF,
    FRT_IMAGE_RAW /* pixels handed over by the caller */
};

/**
 * An image whose header has been read and checked; pixels are decoded when they are needed, at the
 * size and for the region that is needed. Immutable; share between threads.
 */
struct frt_image;

struct frt_image_info {
    enum frt_image_format format;
    uint32_t width_px; /* upright, after EXIF orientation */
    uint32_t height_px;
    uint8_t orientation; /* EXIF 1..8 as stored; 1 = upright */
    uint8_t channels;    /* of the file: 1 grey, 2 grey+alpha, 3 colour, 4 colour+alpha or CMYK */
    uint8_t bit_depth;   /* bits a channel in the file */
};

/**
 * Open an encoded image that lies in memory: sniffs the magic number, reads the header, checks the
 * context's limits. No pixel is decoded and nothing is copied.
 *
 * data, size  borrowed until frt_image_free; must not change meanwhile.
 * Errors: FRT_EUNSUPPORTED_IMAGE, FRT_EBAD_IMAGE, FRT_EIMAGE_TOO_LARGE, FRT_ENOMEM.
 */
FRT_API FRT_NODISCARD enum frt_status frt_image_open_memory(const struct frt_context *context, const void *data,
                                                            size_t size, struct frt_image **out,
                                                            struct frt_error *err);
/** Open an image file: its bytes (at most 256 MiB) are read into memory, as a mapping would kill the process
 *  if the file shrank. Further errors: FRT_ENOTFOUND, FRT_EIO, FRT_EBODY_TOO_LARGE. */
FRT_API FRT_NODISCARD enum frt_status frt_image_open_file(const struct frt_context *context, const char *path,
                                                          struct frt_image **out, struct frt_error *err);
/**
 * Wrap pixels that the caller has already: interleaved 8-bit RGB, upright.
 *
 * pixels  u8[height_px][stride_bytes], borrowed until frt_image_free; stride_bytes >= 3 * width_px.
 */
FRT_API FRT_NODISCARD enum frt_status frt_image_open_pixels(const struct frt_context *context,
                                                            const uint8_t *pixels, uint32_t width_px,
                                                            uint32_t height_px, size_t stride_bytes,
                                                            struct frt_image **out, struct frt_error *err);
FRT_API void frt_image_free(struct frt_image *image);
FRT_API struct frt_image_info frt_image_info_get(const struct frt_image *image);

/** "jpeg", "png", "webp", "heic", "avif", "raw" or "unknown". Static storage. */
FRT_API const char *frt_image_format_name(enum frt_image_format format);

/* ----------------------------------------------------------------- faces */

struct frt_point {
    float x, y;
};

struct frt_box {
    float x, y, width, height; /* may reach beyond the image's edge */
};

enum frt_landmark { /* left and right as the viewer sees them */
                    FRT_LANDMARK_LEFT_EYE = 0,
                    FRT_LANDMARK_RIGHT_EYE,
                    FRT_LANDMARK_NOSE,
                    FRT_LANDMARK_MOUTH_LEFT,
                    FRT_LANDMARK_MOUTH_RIGHT,
                    FRT_LANDMARK_COUNT
};

/** Attributes to compute and, in struct frt_face, those that are there. Bit mask. */
enum frt_attribute {
    FRT_ATTRIBUTE_QUALITY = 1 << 0,
    FRT_ATTRIBUTE_LIVENESS = 1 << 1,
    FRT_ATTRIBUTE_AGE = 1 << 2,
    FRT_ATTRIBUTE_GENDER = 1 << 3,
    FRT_ATTRIBUTE_EXPRESSION = 1 << 4,
    FRT_ATTRIBUTE_ALL = (1 << 5) - 1
};

enum frt_gender { FRT_GENDER_FEMALE = 0, FRT_GENDER_MALE = 1 };

enum frt_expression {
    FRT_EXPRESSION_NEUTRAL = 0,
    FRT_EXPRESSION_HAPPY,
    FRT_EXPRESSION_SAD,
    FRT_EXPRESSION_ANGRY,
    FRT_EXPRESSION_FEARFUL,
    FRT_EXPRESSION_DISGUSTED,
    FRT_EXPRESSION_SURPRISED,
    FRT_EXPRESSION_COUNT
};

/** "happy", …; static storage. */
FRT_API const char *frt_expression_name(enum frt_expression expression);

struct frt_quality {
    float score;            /* 0 useless .. 1 good: by the pack's quality net, else the others combined */
    float sharpness;        /* 0..1 */
    float brightness;       /* mean luma of the face, 0..1 */
    float yaw, pitch, roll; /* degrees; yaw > 0: turned to the viewer's right, pitch > 0: looking up,
                               roll > 0: head tilted clockwise */
};

struct frt_liveness {
    bool real;
    float spoof_confidence; /* 0..1, high = likely a print, a screen or a mask */
};

struct frt_face {
    struct frt_box box;
    float confidence; /* 0..1 */
    struct frt_point landmarks[FRT_LANDMARK_COUNT];
    uint32_t attributes; /* bits of enum frt_attribute that are filled below */
    struct frt_quality quality;
    struct frt_liveness liveness;
    float age; /* years */
    enum frt_gender gender;
    float gender_probability; /* 0.5..1 */
    enum frt_expression expression;
    float expression_probability; /* of the expression named, 0..1 */
};

/* What a cache had of a photo. */
enum frt_cached {
    FRT_CACHED_NOT = 0,   /* no cache was asked */
    FRT_CACHED_MISS,      /* nothing */
    FRT_CACHED_IMAGE,     /* its detections, perhaps its aligned faces */
    FRT_CACHED_EMBEDDING, /* its embeddings */
    FRT_CACHED_SHARED,    /* nothing, but another caller was at it and his result served */
    FRT_CACHED_REDIS      /* nothing, but another instance had left it in Redis */
};
/** "", "miss", "image", "embedding", "shared", "redis". Static storage. */
FRT_API const char *frt_cached_name(enum frt_cached cached);

/** Wall time a call spent in each step, milliseconds. */
struct frt_timing {
    double decode_ms;    /* header to pixels, region decodes included */
    double detect_ms;    /* detector and landmarks, inference and all */
    double align_ms;     /* crop and warp */
    double embed_ms;     /* embedder */
    double attribute_ms; /* quality, liveness, age, gender, expression */
    double inference_ms; /* of all the above, spent inside the inference runtime */
    double wait_ms; /* for a place (struct frt_stage_limits), for another's work on the same photo, for Redis */
    double total_ms;
    enum frt_cached cached;
};

/** What a photo held. Immutable; owns its faces and embeddings. */
struct frt_faces;

FRT_API size_t frt_faces_count(const struct frt_faces *faces);
/** Face i, largest first. Borrowed until frt_faces_free. NULL when i is out of range. */
FRT_API const struct frt_face *frt_faces_get(const struct frt_faces *faces, size_t i);
/** Embedding of face i: f32[dim of the pack], L2-normalised; NULL after frt_detect. Borrowed. */
FRT_API const float *frt_faces_embedding(const struct frt_faces *faces, size_t i);
FRT_API struct frt_timing frt_faces_timing(const struct frt_faces *faces);
FRT_API void frt_faces_free(struct frt_faces *faces);

struct frt_detect_options {
    uint32_t max_faces;           /* most faces to return, largest first; 0 = 1000 */
    float min_confidence;         /* 0 = the pack's default */
    float min_size_px;            /* shorter side of the box in the upright image; 0 = no minimum */
    uint32_t attributes;          /* bits of enum frt_attribute to compute */
    int64_t deadline_ms;          /* on the monotonic clock (CLOCK_MONOTONIC); 0 = none */
    bool (*cancelled)(void *arg); /* asked between steps; NULL = never */
    void *cancelled_arg;
    bool bulk; /* lets others go first where work waits for a place */
};

/**
 * Find the faces of an image. No face is not an error: the count is 0.
 *
 * pack, image  borrowed; may be shared between threads.
 * options      borrowed; NULL = defaults.
 * out          receives ownership.
 * Errors: FRT_EBAD_IMAGE (damaged pixels), FRT_EINVAL (options), FRT_EBAD_MODEL (an attribute the pack
 *         has no model for), FRT_ERUNTIME, FRT_ENOMEM, FRT_ETIMEOUT, FRT_ECANCELLED.
 */
FRT_API FRT_NODISCARD enum frt_status frt_detect(const struct frt_pack *pack, const struct frt_image *image,
                                                 const struct frt_detect_options *options,
                                                 struct frt_faces **out, struct frt_error *err);

/** As frt_detect, and computes the embedding of every face it returns. */
FRT_API FRT_NODISCARD enum frt_status frt_embed(const struct frt_pack *pack, const struct frt_image *image,
                                                const struct frt_detect_options *options,
                                                struct frt_faces **out, struct frt_error *err);

/* --------------------------------------------------------------- compare */

/**
 * Cosine similarity of two embeddings.
 *
 * a, b  f32[dim], L2-normalised (|norm - 1| <= 1e-3), borrowed.
 * dim   1..FRT_MAX_DIM.
 * out   cosine in [-1, 1].
 * Errors: FRT_EINVAL (dim, a non-finite value, a vector that is not normalised).
 */
#define FRT_MAX_DIM 4096
FRT_API FRT_NODISCARD enum frt_status frt_compare(const float *a, const float *b, size_t dim, float *out,
                                                  struct frt_error *err);

/** distance = (1 - cosine) / 2, in [0, 1]. */
FRT_API float frt_distance(float similarity);

struct frt_verdict {
    bool verified; /* similarity >= threshold */
    float similarity;
    float distance;
    float threshold;
};

/**
 * Are these two embeddings the same person?
 *
 * threshold  cosine; NaN = the pack's default.
 */
FRT_API FRT_NODISCARD enum frt_status frt_verify(const struct frt_pack *pack, const float *a, const float *b,
                                                 float threshold, struct frt_verdict *out,
                                                 struct frt_error *err);

#ifdef __cplusplus
}
#endif
#endif
