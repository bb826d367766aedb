#include "core/cores.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, MAX_LEVELS = 64 };

/* One hierarchy that limits CPU time. */
struct group {
    bool v2;
    char path[1024];  /* of the process, as /proc/self/cgroup says */
    char mount[1024]; /* where it is seen; "" = not */
    char top[1024];   /* the group that the mount shows */
};

static FILE *open_below(const char *root, const char *path)
{
    char full[2 * PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    return n > 0 && (size_t)n < sizeof full ? fopen(full, "re") : NULL;
}

/* "cpu" among "cpu,cpuacct" */
static bool lists(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *p = list; p != NULL; p = strchr(p, ',')) {
        p += *p == ',';
        size_t n = strcspn(p, ",\n ");
        if (n == size && strncmp(p, word, n) == 0)
            return true;
    }
    return false;
}

/* /proc/self/cgroup: "0::/a/b" and "4:cpu,cpuacct:/a/b" */
static void read_paths(const char *root, struct group *v1, struct group *v2)
{
    char line[LINE_MAX_BYTES];
    FILE *file = open_below(root, "/proc/self/cgroup");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        controllers++;
        struct group *group = *controllers == '\0' ? v2 : lists(controllers, "cpu") ? v1 : NULL;
        if (group != NULL)
            (void)snprintf(group->path, sizeof group->path, "%s", path);
    }
    if (file != NULL)
        (void)fclose(file);
}

/* /proc/self/mountinfo: "36 35 0:30 /top /mount rw,… shared:1 - cgroup cgroup rw,cpu,cpuacct" */
static void read_mounts(const char *root, struct group *v1, struct group *v2)
{
    char line[LINE_MAX_BYTES], top[1024], mount[1024], type[64], options[1024];
    FILE *file = open_below(root, "/proc/self/mountinfo");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *rest = strstr(line, " - ");
        if (rest == NULL || sscanf(line, "%*s %*s %*s %1023s %1023s", top, mount) != 2 ||
            sscanf(rest + 3, "%63s %*s %1023s", type, options) != 2)
            continue;
        struct group *group = strcmp(type, "cgroup2") == 0                           ? v2
                              : strcmp(type, "cgroup") == 0 && lists(options, "cpu") ? v1
                                                                                     : NULL;
        if (group == NULL || group->mount[0] != '\0')
            continue;
        memcpy(group->top, top, sizeof top);
        memcpy(group->mount, mount, sizeof mount);
    }
    if (file != NULL)
        (void)fclose(file);
}

static bool read_number(const char *root, const char *folder, const char *name, long long *out)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = n > 0 && (size_t)n < sizeof path ? open_below(root, path) : NULL;
    bool read = file != NULL && fscanf(file, "%lld", out) == 1;
    if (file != NULL)
        (void)fclose(file);
    return read;
}

/* Cores' worth of time that one group may use; 0 = no limit of its own. */
static double quota_of(const char *root, const struct group *group, const char *folder)
{
    long long quota = 0, period = 0;
    char path[PATH_MAX];
    if (!group->v2) {
        if (!read_number(root, folder, "cpu.cfs_quota_us", &quota) ||
            !read_number(root, folder, "cpu.cfs_period_us", &period))
            return 0;
    } else {
        int n = snprintf(path, sizeof path, "%s/cpu.max", folder);
        FILE *file = n > 0 && (size_t)n < sizeof path ? open_below(root, path) : NULL;
        if (file == NULL)
            return 0;
        if (fscanf(file, "%lld %lld", &quota, &period) != 2) /* "max 100000" */
            quota = 0;
        (void)fclose(file);
    }
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* The least quota from the process's group up to what the mount shows. */
static double least_quota(const char *root, const struct group *group)
{
    char folder[PATH_MAX];
    double least = 0;
    size_t top = strlen(group->top), mount = strlen(group->mount);
    const char *below = group->path;
    if (group->mount[0] == '\0')
        return 0;
    /* the mount shows `top` and what lies below it; a group elsewhere ("/..", another container's view) is not
     * seen from here, and the mount itself is the nearest that is */
    if (strcmp(group->top, "/") != 0)
        below = strncmp(below, group->top, top) == 0 && (below[top] == '/' || below[top] == '\0') ? below + top
                                                                                                  : "";
    if (strncmp(below, "/..", 3) == 0)
        below = "";
    int n = snprintf(folder, sizeof folder, "%s%s", group->mount, below);
    if (n < 0 || (size_t)n >= sizeof folder)
        return 0;
    for (int level = 0; level < MAX_LEVELS; level++) {
        double quota = quota_of(root, group, folder);
        if (quota > 0 && (least <= 0 || quota < least))
            least = quota;
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < mount)
            break;
        *slash = '\0';
    }
    return least;
}

void frt_cores_find(const char *root, struct frt_cores *out)
{
    struct group groups[2] = {{.v2 = false}, {.v2 = true}};
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    *out = (struct frt_cores){.online = online > 0 ? (uint32_t)online : 1};
    CPU_ZERO(&set);
    /* fails where the machine has more cores than fit a cpu_set_t */
    out->mask = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : out->online;
    read_paths(root, &groups[0], &groups[1]);
    read_mounts(root, &groups[0], &groups[1]);
    for (int i = 0; i < 2; i++) {
        double quota = least_quota(root, &groups[i]);
        if (quota > 0 && (out->quota <= 0 || quota < out->quota))
            out->quota = quota;
    }
    out->usable = out->mask > 0 ? out->mask : 1;
    if (out->quota > 0 && out->quota + 0.5 < (double)out->usable + 1) {
        uint32_t whole = (uint32_t)(out->quota + 0.5);
        out->usable = whole < 1 ? 1 : whole < out->usable ? whole : out->usable;
    }
}

const char *frt_cores_text(const struct frt_cores *cores, char *out, size_t size)
{
    if (cores->quota > 0 && cores->quota < (double)cores->mask)
        (void)snprintf(out, size, "%u: a CPU quota of %.3g (control group)", cores->usable, cores->quota);
    else if (cores->mask < cores->online)
        (void)snprintf(out, size, "%u: affinity mask, of %u", cores->usable, cores->online);
    else
        (void)snprintf(out, size, "%u: all of the machine's", cores->usable);
    return out;
}

uint32_t frt_usable_cores(void)
{
    struct frt_cores cores;
    frt_cores_find("", &cores);
    return cores.usable;
}
