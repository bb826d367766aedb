/*
 * Inference behind one small vtable: a backend opens model files and runs them on float tensors.
 *
 *     frt_backend ──open──> frt_session ──run──> frt_outputs (released by the caller)
 *
 * Adapters: infer_onnxruntime.c (the field's runtime, loaded at run time), infer_fake.c (tests: a
 * function instead of a model; infer_fake.h). Nothing above this room knows which one runs.
 *
 * Threading: a backend and a session are internally locked or immutable: frt_session_run may be called
 * from any number of threads at once. An frt_outputs has one owner.
 */
#ifndef FRT_INFER_INFER_H
#define FRT_INFER_INFER_H

#include "core/status.h"

#define FRT_TENSOR_MAX_DIMS 6
#define FRT_SESSION_MAX_INPUTS 4
#define FRT_SESSION_MAX_OUTPUTS 16
#define FRT_TENSOR_NAME_MAX 96

/** Dense row-major f32 tensor; borrows its data. */
struct frt_tensor {
    const float *data;
    int64_t dims[FRT_TENSOR_MAX_DIMS];
    uint32_t n_dims;
};

/** What a graph says of an input or output. A dynamic dimension is -1. */
struct frt_tensor_info {
    char name[FRT_TENSOR_NAME_MAX];
    int64_t dims[FRT_TENSOR_MAX_DIMS];
    uint32_t n_dims;
    bool is_float; /* f32; only such tensors can be fed and read */
};

struct frt_session_info {
    uint32_t n_inputs, n_outputs;
    struct frt_tensor_info inputs[FRT_SESSION_MAX_INPUTS];
    struct frt_tensor_info outputs[FRT_SESSION_MAX_OUTPUTS];
};

/** Results of one run: tensors in the order of the session's outputs, borrowed until release. */
struct frt_outputs {
    uint32_t n;
    struct frt_tensor tensors[FRT_SESSION_MAX_OUTPUTS];
    void *owner[FRT_SESSION_MAX_OUTPUTS]; /* the backend's handles */
    double run_ms;                        /* wall time inside the backend */
    const struct frt_session *session;
};

struct frt_session {
    const struct frt_session_ops *ops;
    struct frt_session_info info;
};

struct frt_session_ops {
    enum frt_status (*run)(const struct frt_session *session, const struct frt_tensor *inputs,
                           uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err);
    void (*release)(const struct frt_session *session, struct frt_outputs *out);
    void (*free)(struct frt_session *session);
};

struct frt_backend {
    const struct frt_backend_ops *ops;
};

/** Which model is opened, and where its graph is. */
struct frt_model_source {
    const char *path;  /* of a file; NULL: bytes */
    const void *bytes; /* of a model file; need not outlive the call */
    size_t size;
    const char *name, *version; /* the manifest's; NULL = not known */
    /* The same model on a backend that is trusted: what a backend on another device or machine compares itself
     * with. Borrowed until the session that is opened is freed; NULL = none. */
    const struct frt_session *reference;
};

struct frt_backend_ops {
    const char *name;   /* "onnxruntime", "fake" */
    const char *device; /* where it computes: "cpu" */
    const char *(*version)(const struct frt_backend *backend);
    enum frt_status (*open)(struct frt_backend *backend, const char *path, struct frt_session **out,
                            struct frt_error *err);
    /* as open, from the bytes of a model file, which need not outlive the call; NULL: only files */
    enum frt_status (*open_bytes)(struct frt_backend *backend, const void *bytes, size_t size,
                                  struct frt_session **out, struct frt_error *err);
    /* as both, for a backend that wants to know more of the model; NULL: it does not */
    enum frt_status (*open_source)(struct frt_backend *backend, const struct frt_model_source *source,
                                   struct frt_session **out, struct frt_error *err);
    void (*free)(struct frt_backend *backend);
};

/** Open a model file. Errors: FRT_ENOTFOUND, FRT_EBAD_MODEL, FRT_ERUNTIME, FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_session_open(struct frt_backend *backend, const char *path,
                                               struct frt_session **out, struct frt_error *err);
/** As frt_session_open, from the bytes of a model file; they need not outlive the call. Errors: FRT_EINVAL (the
 *  backend takes files only), FRT_EBAD_MODEL, FRT_ERUNTIME, FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_session_open_bytes(struct frt_backend *backend, const void *bytes,
                                                     size_t size, struct frt_session **out,
                                                     struct frt_error *err);
/** As both, and tells the backend what else is known of the model. Errors: as theirs. `out` is owned. */
FRT_NODISCARD enum frt_status frt_session_open_source(struct frt_backend *backend,
                                                      const struct frt_model_source *source,
                                                      struct frt_session **out, struct frt_error *err);
/**
 * Run a model. Inputs in the order of info.inputs; shapes are checked against the graph's.
 * `out` is filled on success only; release it. Errors: FRT_EINVAL (shapes), FRT_ERUNTIME.
 */
FRT_NODISCARD enum frt_status frt_session_run(const struct frt_session *session,
                                              const struct frt_tensor *inputs, uint32_t n_inputs,
                                              struct frt_outputs *out, struct frt_error *err);
void frt_outputs_release(struct frt_outputs *out);
void frt_session_free(struct frt_session *session);
void frt_backend_free(struct frt_backend *backend);

/** Number of elements of a tensor; 0 when a dimension is 0, negative or its bytes overflow. */
size_t frt_tensor_size(const struct frt_tensor *tensor);

/** "[1,3,?,?]" for texts; cut to fit. n_dims <= FRT_TENSOR_MAX_DIMS. */
void frt_tensor_shape_text(const int64_t *dims, uint32_t n_dims, char *out, size_t capacity);

/*
 * How far a run spreads. Wide runs share the backend's threads, all of them: the shortest way for one that is
 * alone. A narrow run computes on the calling thread only: the most answers a second when every core has a
 * caller of its own, as nothing is handed from core to core. Whoever knows how busy the cores are says so
 * before it runs (engine/context.h); said of the calling thread, because runs lie deep below it.
 */
enum frt_infer_width { FRT_INFER_WIDE = 0, FRT_INFER_NARROW };
/** For the calling thread's runs from now on. A backend that cannot do it runs as it can. */
void frt_infer_width_set(enum frt_infer_width width);
enum frt_infer_width frt_infer_width_get(void);

struct frt_onnxruntime_options {
    uint32_t threads; /* of one wide run; 0 = all the process may use */
    bool narrow_too;  /* runs will be asked to be narrow (docs/design/inference.md says what it costs) */
    const char *library_path; /* library or its folder; NULL: $FRT_RUNTIME, beside the program, the
                                 folders named at build time, the system's */
};
/**
 * The ONNX Runtime backend. The library stays loaded until the process ends; backends made while one
 * lives share its threads, so the first one's `threads` counts.
 * Errors: FRT_ERUNTIME (where it looked, what to install), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_backend_onnxruntime_new(const struct frt_onnxruntime_options *options,
                                                          struct frt_backend **out, struct frt_error *err);

#endif
