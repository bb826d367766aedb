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
#include "infer/device.h"

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
    void *lease; /* of a backend before another one: what keeps the session that ran */
};

struct frt_session {
    const struct frt_session_ops *ops;
    struct frt_session_info info;
    const char *device; /* where it computes: "cpu", "cuda:0"; borrowed from the backend */
};

struct frt_session_ops {
    enum frt_status (*run)(const struct frt_session *session, const struct frt_tensor *inputs,
                           uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err);
    void (*release)(const struct frt_session *session, struct frt_outputs *out);
    void (*free)(struct frt_session *session);
    /* where it computes now, for sessions that move; NULL: frt_session.device */
    const char *(*device)(const struct frt_session *session);
};

/* Forms of a graph: what is fast on a CPU is slow or impossible elsewhere. */
enum frt_graph {
    FRT_GRAPH_CPU = 0, /* rewritten for the CPU's kernels */
    FRT_GRAPH_PLAIN,   /* as published */
    FRT_GRAPH_HALF     /* computes in f16 */
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
    bool exact;    /* no graph that computes in less than f32 */
    bool cpu_only; /* what is in the file runs on a CPU only: 8-bit operators, our own */
    /* The file of `path` in another form: *bytes owned (frt_free), NULL where the file itself is it. NULL:
     * there are no other forms. A pure function: backends that open again later keep it. */
    enum frt_status (*prepare)(const char *path, enum frt_graph graph, uint8_t **bytes, size_t *size,
                               struct frt_error *err);
};

/** How a backend that moves between devices is (failover.h). */
struct frt_backend_state {
    char device[64];                      /* the one that is wanted: "cuda:0" */
    char serving[64];                     /* the one that serves now */
    const char *state;                    /* "up", "down", "opening"; static */
    uint32_t models, on_device;           /* opened, and of those on the wanted one now */
    uint64_t falls, model_falls, returns; /* of the device; of one model alone; back to the device */
    uint64_t probes, spills; /* looks whether it is back; runs that it was too busy or too narrow for */
    uint64_t runs, fallback_runs;
    double next_probe_s;            /* from now; < 0: none is due */
    double down_s;                  /* since the fall; < 0: it is up */
    char cause[FRT_ERROR_TEXT_MAX]; /* of the last fall; "" = none yet */
};

struct frt_backend {
    const struct frt_backend_ops *ops;
};

struct frt_backend_ops {
    const char *name;     /* "onnxruntime", "fake" */
    const char *device;   /* where it computes: "cpu" */
    enum frt_graph graph; /* what frt_session_open_source gives to `open_bytes` */
    const char *(*version)(const struct frt_backend *backend);
    enum frt_status (*open)(struct frt_backend *backend, const char *path, struct frt_session **out,
                            struct frt_error *err);
    /* as open, from the bytes of a model file, which need not outlive the call; NULL: only files */
    enum frt_status (*open_bytes)(struct frt_backend *backend, const void *bytes, size_t size,
                                  struct frt_session **out, struct frt_error *err);
    /* as both, for a backend that wants to know more of the model. NULL: `open_bytes` with what `prepare` makes
     * for `graph`, or `open` where there is none */
    enum frt_status (*open_source)(struct frt_backend *backend, const struct frt_model_source *source,
                                   struct frt_session **out, struct frt_error *err);
    void (*free)(struct frt_backend *backend);
    /* NULL: it does not move. Fills out[0..max), the outermost first; returns how many */
    size_t (*states)(const struct frt_backend *backend, struct frt_backend_state *out, size_t max);
    const char *(*serving)(const struct frt_backend *backend); /* NULL: `device` */
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
/** Whether inputs have the shapes that a session takes. FRT_EINVAL says what is wrong. */
FRT_NODISCARD enum frt_status frt_session_takes(const struct frt_session *session,
                                                const struct frt_tensor *inputs, uint32_t n_inputs,
                                                struct frt_error *err);
/**
 * Run a model. Inputs in the order of info.inputs; shapes are checked against the graph's.
 * `out` is filled on success only; release it.
 *
 * Errors, which tell a backend in front of another one (failover.h) what to do: FRT_EINVAL (shapes),
 * FRT_ETIMEOUT (the caller's deadline passed: frt_infer_deadline_set), FRT_ECANCELLED, FRT_EOVERLOADED (the
 * device is well and too busy), FRT_ENOMEM and FRT_EBAD_MODEL (of this model), FRT_ERUNTIME (of the device).
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

/** The calling thread's runs from now on are the fallback's, where a backend has one (failover.h): for
 * measuring it. False: ends that. */
void frt_infer_fallback_only_set(bool only);
bool frt_infer_fallback_only_get(void);

/** Until when the calling thread's runs are of use: monotonic ms (core/stage.h), 0 = no end. Backends that wait
 *  for another machine heed it. */
void frt_infer_deadline_set(int64_t deadline_ms);
int64_t frt_infer_deadline_get(void);

/** Where a session computes now. Borrowed until its backend is freed. */
const char *frt_session_device(const struct frt_session *session);
/** Where a model that is opened now would compute. Borrowed until the backend is freed. */
const char *frt_backend_serving(const struct frt_backend *backend);
/** Fills out[0..max) with how the backend's devices are; returns how many: 0 for one that does not move. */
size_t frt_backend_states(const struct frt_backend *backend, struct frt_backend_state *out, size_t max);

struct frt_onnxruntime_options {
    uint32_t threads; /* of one wide run; 0 = all the process may use */
    bool narrow_too;  /* runs will be asked to be narrow (docs/design/inference.md says what it costs) */
    const char *library_path;    /* library or its folder; NULL: $FRT_RUNTIME, beside the program, the
                                    folders named at build time, the system's */
    struct frt_device device;    /* FRT_DEVICE_AUTO: CUDA where it is there, else the CPU */
    uint64_t memory_limit_bytes; /* of a device, over all models; 0 = none */
    bool half;                   /* a device computes in f16 what frt_model_source.prepare can give it so */
    const char *cache_dir;       /* of what TensorRT builds; NULL: it is built anew each time */
};
/**
 * The ONNX Runtime backend. The library stays loaded until the process ends; backends made while one
 * lives share its threads, so the first one's `threads` counts.
 * Errors: FRT_ERUNTIME (where it looked, what to install; a device that is not there or does not answer),
 * FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_backend_onnxruntime_new(const struct frt_onnxruntime_options *options,
                                                          struct frt_backend **out, struct frt_error *err);
/** Whether a device (not FRT_DEVICE_CPU, not FRT_DEVICE_AUTO) could be used, as far as can be told without
 * using it. Errors: as frt_backend_onnxruntime_new; the text says what is missing and what to install. */
FRT_NODISCARD enum frt_status frt_onnxruntime_device_check(const struct frt_onnxruntime_options *options,
                                                           const struct frt_device *device,
                                                           struct frt_error *err);

#endif
