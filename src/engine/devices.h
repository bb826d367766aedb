/*
 * Which device computes: from the word of a setting to a backend.
 *
 *     cpu                  ONNX Runtime on the CPU
 *     cuda, tensorrt, webgpu   that device before the CPU, with infer/failover.h between them: what cannot be
 * had now is looked for again auto                 cuda where its provider library, driver and device are
 * there, else cpu, for good
 *
 * WebGPU is never chosen by itself: a software driver answers to it, too, and a laptop's GPU is slower than its
 * CPU at these nets as often as not (docs/accelerators.md has figures).
 *
 * Threading: as infer.h.
 */
#ifndef FRT_ENGINE_DEVICES_H
#define FRT_ENGINE_DEVICES_H

#include "infer/infer.h"

/** Memory of a device that is used when nothing is said: the older service's limit. */
#define FRT_DEVICE_MEMORY_BYTES ((uint64_t)4 << 30)

/**
 * The backend that the options ask for. Errors: FRT_EINVAL (a word that is no device), FRT_ERUNTIME (no
 * runtime), FRT_ENOMEM. A device that is not there is none: the CPU serves, and the log says why. `out` is
 * owned.
 */
FRT_NODISCARD enum frt_status frt_devices_open(const struct frt_context_options *options,
                                               const struct frt_onnxruntime_options *runtime,
                                               struct frt_backend **out, struct frt_error *err);

/** Tell of each kind of device but the CPU whether it could be used, and if not why not. */
void frt_devices_each(const char *runtime_path,
                      void (*tell)(void *arg, const char *name, bool usable, const char *why), void *arg);

#endif
