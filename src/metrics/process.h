/* What the operating system says of this process. Source: proc(5). Threading: one owner per reading. */
#ifndef FRT_METRICS_PROCESS_H
#define FRT_METRICS_PROCESS_H

#include <stdint.h>

struct frt_process_reading {
    double cpu_seconds; /* user and system, since start */
    uint64_t rss_bytes, peak_rss_bytes;
    uint32_t threads, open_files;
};

/** Read now; what cannot be read is 0. */
struct frt_process_reading frt_process_read(void);

#endif
