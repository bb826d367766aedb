#include "metrics/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint32_t count_open_files(void)
{
    uint32_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += e->d_name[0] != '.';
    (void)closedir(dir);
    return n > 0 ? n - 1 : 0; /* not the one that reads */
}

struct frt_process_reading frt_process_read(void)
{
    struct frt_process_reading reading = {.open_files = count_open_files()};
    struct rusage usage;
    char line[256];
    unsigned long long value;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        reading.cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                              (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL)
        return reading;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmRSS: %llu kB", &value) == 1)
            reading.rss_bytes = value * 1024;
        else if (sscanf(line, "VmHWM: %llu kB", &value) == 1)
            reading.peak_rss_bytes = value * 1024;
        else if (sscanf(line, "Threads: %llu", &value) == 1)
            reading.threads = (uint32_t)value;
    }
    (void)fclose(file);
    return reading;
}
