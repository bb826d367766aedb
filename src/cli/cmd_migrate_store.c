/* frt migrate-store: a whole store from one place to another. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/migrate_store.h"

enum { MAX_OUTPUT_BYTES = 1 << 16, PLACE_BYTES = 1024 };

static bool tell(void *arg, uint64_t done, uint64_t total)
{
    cli_progress_update(arg, (size_t)done, (size_t)total);
    return !cli_interrupted(NULL);
}

static void say(struct frt_buf *out, const struct frt_store_copy *copy)
{
    char from[PLACE_BYTES], to[PLACE_BYTES];
    frt_migrate_store_describe(copy->from, from, sizeof from);
    frt_migrate_store_describe(copy->to, to, sizeof to);
    for (size_t i = 0; i < FRT_STORE_COPY_TABLES; i++) {
        if (copy->tables[i].rows > 0)
            frt_buf_printf(out, "%-12s %llu\n", copy->tables[i].name, (unsigned long long)copy->tables[i].rows);
    }
    frt_buf_printf(out, "%llu rows copied from %s to %s, each compared\n", (unsigned long long)copy->rows, from,
                   to);
}

static void write_json(struct frt_json_writer *w, const struct frt_store_copy *copy)
{
    char place[PLACE_BYTES];
    frt_json_object(w);
    frt_migrate_store_describe(copy->from, place, sizeof place);
    cli_member_text(w, "from", place);
    frt_migrate_store_describe(copy->to, place, sizeof place);
    cli_member_text(w, "to", place);
    cli_member_whole(w, "rows", copy->rows);
    cli_member_whole(w, "last_seq", copy->last_seq);
    frt_json_key(w, "tables");
    frt_json_object(w);
    for (size_t i = 0; i < FRT_STORE_COPY_TABLES; i++)
        cli_member_whole(w, copy->tables[i].name, copy->tables[i].rows);
    frt_json_end(w);
    frt_json_end(w);
}

int cli_migrate_store(struct cli_run *run)
{
    struct cli_progress progress;
    struct frt_json_writer w;
    struct frt_error err = {0};
    struct frt_buf out;
    struct frt_store_copy copy = {
        .from = run->arguments[0], .to = run->arguments[1], .progress = tell, .arg = &progress};
    cli_catch_interrupts();
    cli_progress_init(&progress, "rows", cli_has(run, "quiet") || cli_has(run, "json"));
    enum frt_status status = frt_migrate_store(&copy, &err);
    cli_progress_deinit(&progress);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (cli_has(run, "json")) {
        frt_json_writer_init(&w, &out, false);
        write_json(&w, &copy);
        frt_buf_append_char(&out, '\n');
    } else {
        say(&out, &copy);
    }
    return cli_print_and_free(run, &out);
}
