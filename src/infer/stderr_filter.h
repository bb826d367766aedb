/*
 * Keeps a library's chatter off standard error while one call runs, and loses nothing else.
 *
 * Between hold and release everything that the process writes to standard error goes to memory; release writes
 * it out, but for the lines that begin with the given words and the empty lines after them. A process that dies
 * in between takes what was held along.
 *
 * Threading: one hold at a time (the caller's lock); other threads may write meanwhile.
 */
#ifndef FRT_INFER_STDERR_FILTER_H
#define FRT_INFER_STDERR_FILTER_H

#include <stdbool.h>

struct frt_stderr_filter {
    int before, held; /* descriptors; -1: not holding */
};

/** Start holding. When that cannot be (standard error is closed, no descriptor left), nothing changes. */
void frt_stderr_hold(struct frt_stderr_filter *filter);
void frt_stderr_release(struct frt_stderr_filter *filter, const char *unwanted);

#endif
