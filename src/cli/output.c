#include "cli/output.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_complain(const struct cli_run *run, const struct frt_error *err)
{
    char line[FRT_ERROR_TEXT_MAX + 64];
    int n = snprintf(line, sizeof line, "frt%s%s: %s\n", run->command == NULL ? "" : " ",
                     run->command == NULL ? "" : run->command->name, err->text);
    if (n > 0)
        (void)!write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    return (int)frt_status_exit(err->status);
}

enum frt_status cli_print(const struct frt_buf *text, struct frt_error *err)
{
    enum frt_status status = frt_buf_status(text);
    if (status != FRT_OK)
        return frt_fail(err, status, "the output does not fit in memory");
    for (size_t done = 0; done < text->size;) {
        ssize_t n = write(STDOUT_FILENO, text->data + done, text->size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return frt_fail(err, FRT_EIO, "standard output: %s", strerror(errno));
        done += (size_t)n;
    }
    return FRT_OK;
}

int cli_print_and_free(const struct cli_run *run, struct frt_buf *text)
{
    struct frt_error err;
    enum frt_status status = cli_print(text, &err);
    frt_buf_deinit(text);
    return status == FRT_OK ? FRT_EXIT_OK : cli_complain(run, &err);
}

static atomic_bool interrupted;

static void on_interrupt(int signal_number)
{
    if (atomic_exchange(&interrupted, true)) /* the second one does not wait */
        _exit(FRT_EXIT_INTERRUPTED);
    (void)signal_number;
}

void cli_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void *arg)
{
    (void)arg;
    return atomic_load(&interrupted);
}

bool cli_colours(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
           isatty(STDOUT_FILENO) == 1;
}

enum frt_status cli_models_open(const struct cli_run *run, uint32_t threads, struct cli_models *out,
                                struct frt_error *err)
{
    struct cli_models models = {0};
    long long n = threads;
    enum frt_status status = cli_whole(run, "threads", 1, 1024, threads, &n, err);
    if (status != FRT_OK)
        return status;
    struct frt_context_options context = {.threads = (uint32_t)n};
    struct frt_pack_options pack = {.detector = cli_text(run, "detector")};
    status = frt_context_new(&context, &models.context, err);
    if (status == FRT_OK)
        status = frt_pack_open(models.context, cli_text(run, "pack"), &pack, &models.pack, err);
    if (status != FRT_OK) {
        cli_models_close(&models);
        /* what is missing here is the pack, not a photo */
        return err->status = status == FRT_ENOTFOUND ? FRT_EBAD_MODEL : status;
    }
    *out = models;
    return FRT_OK;
}

void cli_models_close(struct cli_models *models)
{
    frt_pack_free(models->pack);
    frt_context_free(models->context);
    *models = (struct cli_models){0};
}

enum frt_status cli_jobs(const struct cli_run *run, uint32_t *out, struct frt_error *err)
{
    cpu_set_t set;
    long long jobs = 1;
    CPU_ZERO(&set);
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    enum frt_status status = cli_whole(run, "jobs", 1, 256, cores > 0 ? cores : 1, &jobs, err);
    if (status == FRT_OK)
        *out = (uint32_t)jobs;
    return status;
}
