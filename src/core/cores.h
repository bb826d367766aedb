/*
 * How many cores this process may use: its affinity mask (which a cpuset narrows) and the CPU quota of its
 * control group and of all groups above it, version 1 and 2.
 *
 *     /proc/self/cgroup ── the process's group ─┐
 *     /proc/self/mountinfo ── where it is seen ─┴─ cpu.max, or cpu.cfs_quota_us and cpu.cfs_period_us,
 *                                                  from the group up to the mount
 *
 * A quota that is no whole number is rounded to the nearest: one core too few loses the fraction, one too many
 * pays for it with a stall in every period (100 ms) for all threads, so 2.2 cores are used as 2, and 1.5 as 2.
 *
 * Threading: reads files; no state.
 */
#ifndef FRT_CORE_CORES_H
#define FRT_CORE_CORES_H

#include <stddef.h>
#include <stdint.h>

struct frt_cores {
    uint32_t usable; /* at least 1 */
    uint32_t online; /* of the machine */
    uint32_t mask;   /* in the affinity mask */
    double quota;    /* cores' worth of time; 0 = none */
};

/** root  "" for this machine; tests name a folder that holds proc/ and sys/. The affinity mask and `online` are
 *        this process's in any case. */
void frt_cores_find(const char *root, struct frt_cores *out);
/** "2: all of the machine's", "1: a CPU quota of 1.5 (control group)". Returns `out`. */
const char *frt_cores_text(const struct frt_cores *cores, char *out, size_t size);

/** frt_cores_find's `usable` for this machine. */
uint32_t frt_usable_cores(void);

#endif
