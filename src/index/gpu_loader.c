/*
 * Finds the plug-in libfrt_cuda.so, once for the process: the file that the settings name; else in the folder
 * that $FRT_PLUGIN_DIR names (and then only there); else beside the program or libfrt, or in ../lib/frt or frt
 * seen from there. It is never unloaded: the driver's threads live in it.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "index/gpu_mirror.h"

static const char file_name[] = "libfrt_cuda.so";

/* Sets *out or err. False: no such file, look on. */
static bool try_file(const char *path, const struct frt_gpu_module **out, enum frt_status *status,
                     struct frt_error *err)
{
    if (access(path, R_OK) != 0)
        return false;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL) {
        *status = frt_fail(err, FRT_EUNAVAILABLE, "the plug-in for searches on a GPU could not be loaded: %s",
                           dlerror());
        return true;
    }
    const struct frt_gpu_module *module = dlsym(library, FRT_GPU_SYMBOL);
    if (module == NULL || module->abi != FRT_GPU_ABI || module->bytes != sizeof *module) {
        *status = frt_fail(err, FRT_EUNAVAILABLE,
                           "%s is of another version of FRT (interface %u; this is %u): build both together",
                           path, module == NULL ? 0 : module->abi, FRT_GPU_ABI);
        return true;
    }
    *out = module;
    *status = FRT_OK;
    return true;
}

static bool try_beside(const char *file, const struct frt_gpu_module **out, enum frt_status *status,
                       struct frt_error *err)
{
    static const char *const relative[] = {"", "../lib/frt/", "frt/"};
    char path[4096];
    const char *slash = strrchr(file, '/');
    for (size_t i = 0; slash != NULL && i < sizeof relative / sizeof *relative; i++) {
        const int n =
            snprintf(path, sizeof path, "%.*s/%s%s", (int)(slash - file), file, relative[i], file_name);
        if (n > 0 && (size_t)n < sizeof path && try_file(path, out, status, err))
            return true;
    }
    return false;
}

static enum frt_status look(const struct frt_gpu_module **out, struct frt_error *err)
{
    char path[4096];
    Dl_info where;
    enum frt_status status = FRT_EUNAVAILABLE;
    const char *folder = getenv("FRT_PLUGIN_DIR");
    if (folder != NULL && folder[0] != '\0') {
        const int n = snprintf(path, sizeof path, "%s/%s", folder, file_name);
        if (n > 0 && (size_t)n < sizeof path && try_file(path, out, &status, err))
            return status;
        return frt_fail(err, FRT_EUNAVAILABLE, "no %s in %.300s, which FRT_PLUGIN_DIR names", file_name,
                        folder);
    }
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n > 0) {
        path[n] = '\0';
        if (try_beside(path, out, &status, err))
            return status;
    }
    if (dladdr((const void *)file_name, &where) != 0 && where.dli_fname != NULL &&
        try_beside(where.dli_fname, out, &status, err))
        return status;
    return frt_fail(
        err, FRT_EUNAVAILABLE,
        "searches on a GPU need a plug-in (%s) that is neither beside the program nor in ../lib/frt: "
        "build FRT where nvcc of the CUDA toolkit is",
        file_name);
}

enum frt_status frt_gpu_plugin_load(const char *path, const struct frt_gpu_module **out, struct frt_error *err)
{
    enum frt_status status = FRT_EUNAVAILABLE;
    if (path[0] == '\0')
        return look(out, err);
    if (!try_file(path, out, &status, err))
        return frt_fail(err, FRT_EUNAVAILABLE, "there is no plug-in %.300s", path);
    return status;
}
