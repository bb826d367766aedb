#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"

#define SECOND INT64_C(1000000000)
enum { BAR_WIDTH = 30, LINE_MAX_BYTES = 256 };

void cli_progress_init(struct cli_progress *progress, const char *what, bool quiet)
{
    *progress = (struct cli_progress){.what = what, .quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
    (void)pthread_mutex_init(&progress->lock, NULL);
    progress->start_ns = frt_now_ns();
}

static void eta_text(char out[32], double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        (void)snprintf(out, 32, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        (void)snprintf(out, 32, "%ld min %02ld s", s / 60, s % 60);
    else
        (void)snprintf(out, 32, "%ld s", s);
}

static void draw(struct cli_progress *p, size_t done, size_t total, double seconds)
{
    char line[LINE_MAX_BYTES], left[32] = "?", bar[BAR_WIDTH + 1];
    double rate = (double)done / seconds;
    if (total > 0 && done > 0)
        eta_text(left, (double)(total - done) / rate);
    int n;
    if (p->terminal) {
        size_t filled = total == 0 ? 0 : done * BAR_WIDTH / total;
        memset(bar, '.', BAR_WIDTH);
        memset(bar, '#', filled);
        bar[BAR_WIDTH] = '\0';
        n = snprintf(line, sizeof line, "\r\033[K[%s] %zu/%zu %s, %.1f/s, %s left", bar, done, total, p->what,
                     rate, left);
    } else {
        n = snprintf(line, sizeof line, "%zu of %zu %s, %.1f/s, %s left\n", done, total, p->what, rate, left);
    }
    if (n > 0)
        (void)!write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    p->shown = p->terminal;
}

void cli_progress_update(struct cli_progress *progress, size_t done, size_t total)
{
    if (progress->quiet)
        return;
    (void)pthread_mutex_lock(&progress->lock);
    int64_t now = frt_now_ns(), pause = progress->terminal ? SECOND / 10 : 5 * SECOND;
    int64_t running = now - progress->start_ns;
    if (running > 2 * SECOND && done < total && now - progress->drawn_ns > pause) {
        draw(progress, done, total, (double)running / 1e9);
        progress->drawn_ns = now;
    }
    (void)pthread_mutex_unlock(&progress->lock);
}

void cli_progress_clear(struct cli_progress *progress)
{
    (void)pthread_mutex_lock(&progress->lock);
    if (progress->shown)
        (void)!write(STDERR_FILENO, "\r\033[K", 4);
    progress->shown = false;
    (void)pthread_mutex_unlock(&progress->lock);
}

void cli_progress_deinit(struct cli_progress *progress)
{
    cli_progress_clear(progress);
    (void)pthread_mutex_destroy(&progress->lock);
}
