/*
 * Progress on standard error for whatever takes longer than two seconds: a bar with rate and time left
 * on a terminal, a plain line every few seconds when piped, nothing with --quiet.
 * Threading: internally locked.
 */
#ifndef FRT_CLI_PROGRESS_H
#define FRT_CLI_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_progress {
    pthread_mutex_t lock;
    const char *what; /* "photos", borrowed */
    bool quiet, terminal, shown;
    int64_t start_ns, drawn_ns;
};

void cli_progress_init(struct cli_progress *progress, const char *what, bool quiet);
/** `done` of `total` (0 = unknown) are finished. */
void cli_progress_update(struct cli_progress *progress, size_t done, size_t total);
/** Remove the bar from the terminal, so that other output starts on a clean line. */
void cli_progress_clear(struct cli_progress *progress);
void cli_progress_deinit(struct cli_progress *progress);

#endif
