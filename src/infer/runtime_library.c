#include "infer/runtime_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FRT_RUNTIME_DIRS
#define FRT_RUNTIME_DIRS "" /* colon-separated; src/infer/CMakeLists.txt */
#endif
#define PATH_TEXT_MAX 1024

static const char *const library_names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void *load(const char *path, struct frt_buf *looked)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *why = dlerror();
        frt_buf_printf(looked, "%s%s", looked->size > 0 ? "; " : "", why != NULL ? why : path);
    }
    return library;
}

/* The library in a folder; files that are not there are not worth a line each, the folder is. */
static void *load_from(const char *folder, size_t folder_size, const char *soname, struct frt_buf *looked)
{
    const char *const names[] = {library_names[0], library_names[1], soname};
    char path[PATH_TEXT_MAX];
    void *library = NULL;
    bool seen = false;
    if (folder_size == 0 || folder_size > INT32_MAX)
        return NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && library == NULL; i++) {
        int n = snprintf(path, sizeof path, "%.*s/%s", (int)folder_size, folder, names[i]);
        if (n < 0 || (size_t)n >= sizeof path || access(path, R_OK) != 0)
            continue;
        seen = true;
        library = load(path, looked);
    }
    if (!seen)
        frt_buf_printf(looked, "%snot in %.*s", looked->size > 0 ? "; " : "", (int)folder_size, folder);
    return library;
}

static void *load_beside(const char *file, const char *soname, struct frt_buf *looked)
{
    static const char *const relative[] = {"", "/../lib", "/../lib/frt"};
    char path[PATH_TEXT_MAX];
    void *library = NULL;
    const char *slash = strrchr(file, '/');
    if (slash == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof relative / sizeof relative[0] && library == NULL; i++) {
        int n = snprintf(path, sizeof path, "%.*s%s", (int)(slash - file), file, relative[i]);
        if (n > 0 && (size_t)n < sizeof path && is_folder(path))
            library = load_from(path, (size_t)n, soname, looked);
    }
    return library;
}

void *frt_runtime_library_open(const char *asked, const char *soname, struct frt_buf *looked)
{
    const char *const names[] = {library_names[0], library_names[1], soname};
    char self[PATH_TEXT_MAX];
    void *library = NULL;

    /* What was asked for by name is used or refused: a silent second choice would hide a mistake. */
    if (asked == NULL || asked[0] == '\0')
        asked = getenv("FRT_RUNTIME");
    if (asked != NULL && asked[0] != '\0')
        return is_folder(asked) ? load_from(asked, strlen(asked), soname, looked) : load(asked, looked);

    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        library = load_beside(self, soname, looked);
    }
    Dl_info where; /* of libfrt.so, when a program elsewhere uses the library */
    if (library == NULL && dladdr((const void *)library_names, &where) != 0 && where.dli_fname != NULL &&
        (n <= 0 || strcmp(where.dli_fname, self) != 0))
        library = load_beside(where.dli_fname, soname, looked);
    for (const char *dir = FRT_RUNTIME_DIRS; library == NULL && *dir != '\0';) {
        size_t size = strcspn(dir, ":");
        library = load_from(dir, size, soname, looked);
        dir += size + (dir[size] == ':');
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && library == NULL; i++)
        library = load(names[i], looked);
    return library;
}
