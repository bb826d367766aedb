/*
 * A Vulkan device without a GPU: the software driver inside Debian's chromium package, behind vulkan_shim.c, so
 * that a test can let it fail. Threading: for main, before threads start.
 */
#ifndef FRT_TESTS_SOFTWARE_VULKAN_H
#define FRT_TESTS_SOFTWARE_VULKAN_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOFTWARE_VULKAN_DRIVER "/usr/lib/chromium/vk_swiftshader_icd.json"
#define SOFTWARE_VULKAN_LOADER "/usr/lib/chromium/libvulkan.so.1"

static char software_vulkan_folder[64], software_vulkan_fault_file[96];

/* What the driver does from now on: "" (it works), "lost", "memory", "absent". */
static inline void software_vulkan_fault(const char *word)
{
    char beside[112];
    (void)snprintf(beside, sizeof beside, "%s.new", software_vulkan_fault_file);
    FILE *f = fopen(beside, "we"); /* put in place whole: it is read at each call */
    if (f == NULL || fputs(word, f) < 0 || fclose(f) != 0 || rename(beside, software_vulkan_fault_file) != 0)
        abort();
}

/* The environment of processes that are to find it; false: it is not here (said on stdout). `shim` is the
 * folder of our libvulkan.so.1. */
static inline bool software_vulkan_set_up(const char *shim)
{
    if (access(SOFTWARE_VULKAN_DRIVER, R_OK) != 0 || access(SOFTWARE_VULKAN_LOADER, R_OK) != 0) {
        (void)printf("SKIP: no software Vulkan driver: %s is not there (Debian's package chromium)\n",
                     SOFTWARE_VULKAN_DRIVER);
        return false;
    }
    (void)snprintf(software_vulkan_folder, sizeof software_vulkan_folder, "/tmp/frt_vulkan_XXXXXX");
    if (mkdtemp(software_vulkan_folder) == NULL)
        abort();
    (void)snprintf(software_vulkan_fault_file, sizeof software_vulkan_fault_file, "%s/fault",
                   software_vulkan_folder);
    software_vulkan_fault("");
    if (setenv("LD_LIBRARY_PATH", shim, 1) != 0 || setenv("VK_DRIVER_FILES", SOFTWARE_VULKAN_DRIVER, 1) != 0 ||
        setenv("VULKAN_SHIM_REAL", SOFTWARE_VULKAN_LOADER, 1) != 0 ||
        setenv("VULKAN_SHIM_FAULT", software_vulkan_fault_file, 1) != 0 ||
        setenv("XDG_RUNTIME_DIR", software_vulkan_folder, 1) != 0)
        abort();
    return true;
}

static inline void software_vulkan_tear_down(void)
{
    char path[112];
    static const char *const files[] = {"fault", "fault.new", ""};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", software_vulkan_folder, files[i]);
        (void)remove(path);
    }
}

#endif
