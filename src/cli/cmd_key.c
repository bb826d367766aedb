/* frt key create|list|delete: keys that programs carry. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "engine/access.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 16 << 20, MAX_DAYS = 36500 };

static void key_members(struct frt_json_writer *w, const struct frt_key_info *key)
{
    char time[FRT_TIME_TEXT_SIZE];
    cli_member_text(w, "id", key->id);
    cli_member_text(w, "name", key->name);
    cli_member_text(w, "role", frt_role_name(key->role));
    frt_time_text(key->created_ms, time);
    cli_member_text(w, "created_at", time);
    if (key->expires_ms != 0) {
        frt_time_text(key->expires_ms, time);
        cli_member_text(w, "expires_at", time);
    }
}

/* The key stands alone on standard output, so that a script can keep it: KEY=$(frt key create …). */
static int tell_key(const struct cli_run *run, const struct frt_new_key *key)
{
    struct cli_line line;
    struct frt_buf out;
    struct frt_error err;
    int code;
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "key", key->text);
        key_members(&line.w, &key->info);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_printf(&out, "%s\n", key->text);
    code = cli_print_and_free(run, &out);
    if (code != FRT_EXIT_OK)
        return code;
    err.status = frt_fail(&err, FRT_OK, "%s key %s; it is shown this once, keep it as a password",
                          frt_role_name(key->info.role), key->info.id);
    return cli_complain(run, &err);
}

int cli_key_create(struct cli_run *run)
{
    const char *said = cli_text(run, "role");
    struct frt_access *access = NULL;
    struct frt_new_key key = {0};
    enum frt_role role = FRT_ROLE_READER;
    struct frt_error err = {0};
    long long days = 0;
    enum frt_status status = said == NULL ? FRT_OK : frt_role_parse(said, &role, &err);
    if (status == FRT_OK)
        status = cli_whole(run, "days", 1, MAX_DAYS, 0, &days, &err);
    if (status == FRT_OK)
        status = cli_access_open(run, false, &access, &err);
    if (status == FRT_OK) {
        const int64_t now_ms = frt_clock_system.wall_ns(&frt_clock_system) / 1000000;
        status = frt_access_key_add(access, run->arguments[0], role,
                                    days == 0 ? 0 : now_ms + days * INT64_C(86400000), &key, &err);
    }
    frt_access_close(access);
    int code = status == FRT_OK ? tell_key(run, &key) : cli_complain(run, &err);
    frt_wipe(&key, sizeof key);
    return code;
}

int cli_key_delete(struct cli_run *run)
{
    struct frt_access *access = NULL;
    struct frt_error err = {0};
    struct cli_line line;
    struct frt_buf out;
    enum frt_status status = cli_access_open(run, true, &access, &err);
    if (status == FRT_OK)
        status = frt_access_key_delete(access, run->arguments[0], &err);
    frt_access_close(access);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "deleted", run->arguments[0]);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_append_text(&out, "key ");
    cli_append_name(&out, run->arguments[0]);
    frt_buf_append_text(&out, " deleted\n");
    return cli_print_and_free(run, &out);
}

static void key_row(struct frt_buf *out, const struct frt_key_info *key)
{
    char created[FRT_TIME_TEXT_SIZE], expires[FRT_TIME_TEXT_SIZE] = "never";
    frt_time_text(key->created_ms, created);
    if (key->expires_ms != 0)
        frt_time_text(key->expires_ms, expires);
    frt_buf_printf(out, "%-14s  %-6s  %.10s  %-10.10s  ", key->id, frt_role_name(key->role), created, expires);
    cli_append_name(out, key->name);
}

int cli_key_list(struct cli_run *run)
{
    struct frt_access *access = NULL;
    struct frt_key_info *keys = NULL;
    struct frt_json_writer w;
    struct frt_error err = {0};
    struct frt_buf out;
    size_t n = 0;
    bool json = cli_has(run, "json");
    enum frt_status status = cli_access_open(run, true, &access, &err);
    if (status == FRT_OK)
        status = frt_access_keys(access, &keys, &n, &err);
    frt_access_close(access);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (!json)
        frt_buf_printf(&out, "%-14s  %-6s  %-10s  %-10s  %s\n", "id", "role", "since", "until", "name");
    for (size_t i = 0; i < n; i++) {
        if (json) {
            frt_json_writer_init(&w, &out, false);
            frt_json_object(&w);
            key_members(&w, &keys[i]);
            frt_json_end(&w);
        } else {
            key_row(&out, &keys[i]);
        }
        frt_buf_append_char(&out, '\n');
    }
    frt_free(keys);
    return cli_print_and_free(run, &out);
}
