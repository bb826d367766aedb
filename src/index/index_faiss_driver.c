/*
 * Finds the plug-in frt_faiss.so, once for the process: in the folder that $FRT_PLUGIN_DIR names (and then only
 * there), else beside the program or libfrt, or in ../lib/frt or frt seen from there. It is never unloaded:
 * OpenMP's threads live in it.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "index/faiss_engine.h"

static const char file_name[] = "frt_faiss.so";
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct frt_faiss_module *_Atomic loaded;
static char trouble[600]; /* why not */

/* Sets `loaded` or `trouble`. false: no such file, look on. */
static bool try_file(const char *path)
{
    if (access(path, R_OK) != 0)
        return false;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL) {
        (void)snprintf(trouble, sizeof trouble, "the FAISS plug-in could not be loaded: %s", dlerror());
        return true;
    }
    const struct frt_faiss_module *module = dlsym(library, FRT_FAISS_SYMBOL);
    if (module == NULL || module->abi != FRT_FAISS_ABI)
        (void)snprintf(trouble, sizeof trouble,
                       "%s is of another version of FRT (interface %u; this is %u): build both together", path,
                       module == NULL ? 0 : module->abi, FRT_FAISS_ABI);
    else
        loaded = module;
    return true;
}

static bool try_beside(const char *file)
{
    static const char *const relative[] = {"", "../lib/frt/", "frt/"};
    char path[4096];
    const char *slash = strrchr(file, '/');
    for (size_t i = 0; slash != NULL && i < sizeof relative / sizeof *relative; i++) {
        const int n =
            snprintf(path, sizeof path, "%.*s/%s%s", (int)(slash - file), file, relative[i], file_name);
        if (n > 0 && (size_t)n < sizeof path && try_file(path))
            return true;
    }
    return false;
}

static void look(void)
{
    char path[4096];
    Dl_info where;
    const char *folder = getenv("FRT_PLUGIN_DIR");
    if (folder != NULL && folder[0] != '\0') {
        const int n = snprintf(path, sizeof path, "%s/%s", folder, file_name);
        if (n < 0 || (size_t)n >= sizeof path || !try_file(path))
            (void)snprintf(trouble, sizeof trouble, "no %s in %.300s, which FRT_PLUGIN_DIR names", file_name,
                           folder);
        return;
    }
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n > 0) {
        path[n] = '\0';
        if (try_beside(path))
            return;
    }
    if (dladdr((const void *)file_name, &where) != 0 && where.dli_fname != NULL && try_beside(where.dli_fname))
        return;
    (void)snprintf(trouble, sizeof trouble,
                   "the index engine 'faiss' is a plug-in (%s) that is neither beside the program nor in "
                   "../lib/frt: install libfaiss-dev and g++ and build FRT again, or use the engine 'native'",
                   file_name);
}

enum frt_status frt_faiss_load(const struct frt_faiss_module **out, struct frt_error *err)
{
    (void)pthread_once(&once, look);
    if (loaded == NULL)
        return frt_fail(err, FRT_EUNAVAILABLE, "%s", trouble);
    *out = loaded;
    return FRT_OK;
}

void frt_faiss_gpu_figures_get(struct frt_faiss_gpu_figures *out)
{
    const struct frt_faiss_module *module = loaded; /* may be loaded at this moment */
    *out = (struct frt_faiss_gpu_figures){0};
    if (module != NULL)
        module->gpu_figures(out);
}

static enum frt_status make(const struct frt_index_options *options, struct frt_index **out,
                            struct frt_error *err)
{
    struct frt_faiss_engine *engine = NULL;
    enum frt_status status = frt_faiss_make(options, &engine, err);
    if (status == FRT_OK)
        *out = &engine->index;
    return status;
}

const struct frt_index_driver frt_index_driver_faiss = {make, frt_faiss_open};
