/*
 * A GPU under ONNX Runtime: whether it is there, how sessions are made for it, what they share, and a run.
 *
 *     check ─ provider in the library? its file beside it? driver? device of this index?
 *     try   ─ a model of one node, opened and run: tells a device that is down from a model that it does not
 * take
 *
 * CUDA, TensorRT  one arena for all sessions of the process, registered with the environment, growing by what
 * is asked for up to the limit; inputs and outputs in pinned memory, so that a batch crosses the bus once each
 * way by DMA. Not run here yet: no such device was at hand (docs/accelerators.md). WebGPU  one run at a time:
 * the provider shares one device between all sessions and says that it is not to be entered twice. It knows no
 * limit of memory; what counts against the limit are the models' bytes.
 *
 * Threading: internally locked. The turn of a WebGPU device is waited for with a deadline, and holds no lock.
 */
#ifndef FRT_INFER_INFER_ONNXRUNTIME_DEVICE_H
#define FRT_INFER_INFER_ONNXRUNTIME_DEVICE_H

#include "infer/device.h"
#include "infer/infer.h"

/* the runtime's types, without the vendor's header */
struct OrtApi;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtValue;

struct frt_ort_device;

struct frt_ort_device_options {
    const struct OrtApi *api;
    struct OrtEnv *env; /* borrowed, outlives the device */
    const void *symbol; /* anything of the library: its folder is where providers are looked for */
    struct frt_device device;
    uint64_t memory_limit_bytes; /* 0 = none */
    const char *cache_dir;       /* of engines that TensorRT builds; NULL = none are kept */
};

/** Whether a device can be used, without touching it: FRT_ERUNTIME says what is missing and what to install. */
FRT_NODISCARD enum frt_status frt_ort_device_check(const struct frt_ort_device_options *options,
                                                   struct frt_error *err);
/** Checked and tried. Errors: FRT_ERUNTIME, FRT_EINVAL (an index that it has not), FRT_ENOMEM. `out` is owned.
 */
FRT_NODISCARD enum frt_status frt_ort_device_new(const struct frt_ort_device_options *options,
                                                 struct frt_ort_device **out, struct frt_error *err);
/** After all its sessions. NULL is fine. */
void frt_ort_device_free(struct frt_ort_device *device);
/** "cuda:0". Borrowed. */
const char *frt_ort_device_name(const struct frt_ort_device *device);

/** Options of a session for the device, over the environment's threads. half: of a graph in f16, for a provider
 *  that is to be told. `out` is owned (ReleaseSessionOptions).
 */
FRT_NODISCARD enum frt_status frt_ort_device_session_options(struct frt_ort_device *device, bool half,
                                                             struct OrtSessionOptions **out,
                                                             struct frt_error *err);
/** Count a model against the limit; FRT_ENOMEM: it does not fit. Give back what was counted. */
FRT_NODISCARD enum frt_status frt_ort_device_charge(struct frt_ort_device *device, uint64_t bytes,
                                                    struct frt_error *err);
void frt_ort_device_give_back(struct frt_ort_device *device, uint64_t bytes);

/** A turn on the device, where it can do one thing at a time: for making and running sessions. Errors:
 *  FRT_ETIMEOUT (the caller's deadline), FRT_EOVERLOADED. */
FRT_NODISCARD enum frt_status frt_ort_device_enter(struct frt_ort_device *device, struct frt_error *err);
void frt_ort_device_leave(struct frt_ort_device *device);

/**
 * Run, within a turn: inputs are copied to pinned memory, outputs come in memory that the CPU reads.
 * values  out: n_outputs, owned by the caller (ReleaseValue), also on failure (NULL: not filled).
 * Returns the runtime's status, NULL for success.
 */
struct OrtStatus *frt_ort_device_run(struct frt_ort_device *device, struct OrtSession *session,
                                     const char *const *input_names, const struct frt_tensor *inputs,
                                     uint32_t n_inputs, const char *const *output_names, uint32_t n_outputs,
                                     struct OrtValue **values);

/**
 * What a failure means (CONSUMES ort, not NULL): FRT_EBAD_MODEL, FRT_ENOMEM and the like for the model, while
 * the one-node model still runs; FRT_ERUNTIME when it does not either. Within a turn.
 */
FRT_NODISCARD enum frt_status frt_ort_device_judge(struct frt_ort_device *device, struct OrtStatus *ort,
                                                   const char *what, struct frt_error *err);

#endif
