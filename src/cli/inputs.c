#include "cli/inputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "image/image.h"

static enum frt_status add(struct cli_inputs *in, const char *path, struct frt_error *err)
{
    if (in->n == CLI_MAX_INPUTS)
        return frt_fail(err, FRT_EBAD_REQUEST, "more than %d photos", CLI_MAX_INPUTS);
    if (in->n == in->capacity) {
        size_t capacity = in->capacity == 0 ? 64 : in->capacity * 2;
        char **paths = frt_realloc(in->paths, capacity * sizeof *paths);
        if (paths == NULL)
            return frt_fail_nomem(err, "the list of photos");
        in->paths = paths;
        in->capacity = capacity;
    }
    in->paths[in->n] = frt_strdup(path);
    if (in->paths[in->n] == NULL)
        return frt_fail_nomem(err, "the list of photos");
    in->n++;
    return FRT_OK;
}

static bool looks_like_image(const char *path)
{
    uint8_t head[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, head, sizeof head);
    (void)close(fd);
    return n > 0 && frt_image_sniff(head, (size_t)n) != FRT_IMAGE_UNKNOWN;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum frt_status walk(struct cli_inputs *in, const char *folder, int depth, struct frt_error *err);

static enum frt_status visit(struct cli_inputs *in, const char *path, int depth, struct frt_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return FRT_OK; /* it went away meanwhile */
    if (S_ISDIR(st.st_mode))
        return walk(in, path, depth + 1, err);
    if (S_ISLNK(st.st_mode) && (stat(path, &st) != 0 || !S_ISREG(st.st_mode)))
        return FRT_OK;
    return S_ISREG(st.st_mode) && looks_like_image(path) ? add(in, path, err) : FRT_OK;
}

static enum frt_status walk(struct cli_inputs *in, const char *folder, int depth, struct frt_error *err)
{
    struct cli_inputs names = {0};
    enum frt_status status = FRT_OK;
    char path[4096];
    if (depth > CLI_MAX_DEPTH)
        return frt_fail(err, FRT_EBAD_REQUEST, "%s: folders are nested deeper than %d", folder, CLI_MAX_DEPTH);
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return depth > 0 ? add(in, folder, err) : frt_fail(err, FRT_EIO, "%s: %s", folder, strerror(errno));
    while (status == FRT_OK) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0)
                status = depth > 0 ? add(in, folder, err)
                                   : frt_fail(err, FRT_EIO, "%s: %s", folder, strerror(errno));
            break;
        }
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(path, sizeof path, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/",
                         entry->d_name);
        if (n < 0 || (size_t)n >= sizeof path)
            status = frt_fail(err, FRT_EBAD_REQUEST, "%.200s…: a path in it is longer than %zu bytes", folder,
                              sizeof path - 1);
        else
            status = add(&names, path, err);
    }
    (void)closedir(dir);
    if (names.n > 0)
        qsort(names.paths, names.n, sizeof *names.paths, by_name);
    for (size_t i = 0; status == FRT_OK && i < names.n; i++)
        status = visit(in, names.paths[i], depth, err);
    cli_inputs_deinit(&names);
    return status;
}

static enum frt_status collect_one(struct cli_inputs *in, const char *argument, struct frt_error *err)
{
    struct stat st;
    if (strcmp(argument, "-") == 0) {
        for (size_t i = 0; i < in->n; i++)
            if (strcmp(in->paths[i], "-") == 0)
                return frt_fail(err, FRT_EBAD_REQUEST, "'-' (standard input) is named twice");
        return add(in, argument, err);
    }
    if (argument[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "'' is no file name");
    if (stat(argument, &st) == 0 && S_ISDIR(st.st_mode)) {
        size_t before = in->n;
        in->several = true;
        enum frt_status status = walk(in, argument, 0, err);
        if (status == FRT_OK && in->n == before)
            status = frt_fail(err, FRT_EBAD_REQUEST, "%s: no photo in this folder", argument);
        return status;
    }
    return add(in, argument, err);
}

enum frt_status cli_inputs_collect(char **arguments, size_t n, struct cli_inputs *out, struct frt_error *err)
{
    struct cli_inputs in = {.several = n > 1};
    enum frt_status status = FRT_OK;
    for (size_t i = 0; status == FRT_OK && i < n; i++)
        status = collect_one(&in, arguments[i], err);
    if (status != FRT_OK) {
        cli_inputs_deinit(&in);
        return status;
    }
    *out = in;
    return FRT_OK;
}

void cli_inputs_deinit(struct cli_inputs *inputs)
{
    for (size_t i = 0; i < inputs->n; i++)
        frt_free(inputs->paths[i]);
    frt_free(inputs->paths);
    *inputs = (struct cli_inputs){0};
}
