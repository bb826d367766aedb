/* frt rebuild: a collection's index made anew from the store. */
#include <string.h>
#include <time.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 1 << 20 };

static enum frt_status wait_for(struct frt_gallery *gallery, struct frt_job *job, struct cli_progress *progress,
                                struct frt_error *err)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    enum frt_status status = FRT_OK;
    while (status == FRT_OK && (job->state == FRT_JOB_QUEUED || job->state == FRT_JOB_RUNNING)) {
        if (cli_interrupted(NULL))
            return frt_fail(err, FRT_ECANCELLED, "interrupted; the index is as it was");
        (void)nanosleep(&pause, NULL);
        char id[sizeof job->id];
        memcpy(id, job->id, sizeof id);
        status = frt_job_get(gallery, id, job, err);
        if (status == FRT_OK)
            cli_progress_update(progress, (size_t)job->done, (size_t)job->total);
    }
    if (status == FRT_OK && job->state == FRT_JOB_FAILED) {
        *err = job->error;
        status = err->status;
    } else if (status == FRT_OK && job->state == FRT_JOB_CANCELLED) {
        status = frt_fail(err, FRT_ECANCELLED, "cancelled; the index is as it was");
    }
    return status;
}

int cli_rebuild(struct cli_run *run)
{
    struct frt_gallery *gallery = NULL;
    struct cli_progress progress;
    struct frt_json_writer w;
    struct frt_job job = {0};
    struct frt_error err = {0};
    struct frt_buf out;
    cli_catch_interrupts();
    cli_progress_init(&progress, "faces", cli_has(run, "quiet") || cli_has(run, "json"));
    enum frt_status status = cli_gallery_open(run, CLI_GALLERY_CHANGE, &gallery, &err);
    if (status == FRT_OK)
        status = frt_rebuild(gallery, run->arguments[0], &job, &err);
    if (status == FRT_OK)
        status = wait_for(gallery, &job, &progress, &err);
    cli_progress_deinit(&progress);
    frt_gallery_close(gallery); /* writes the snapshot */
    if (status != FRT_OK)
        return cli_complain(run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (cli_has(run, "json")) {
        frt_json_writer_init(&w, &out, false);
        frt_answer_job(&w, &job);
        frt_buf_append_char(&out, '\n');
    } else {
        frt_buf_printf(&out, "index of collection '%s' rebuilt from %llu face%s\n", job.collection,
                       (unsigned long long)job.done, job.done == 1 ? "" : "s");
    }
    return cli_print_and_free(run, &out);
}
