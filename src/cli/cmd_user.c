/* frt user add|list|delete|password|role: who may log in. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/password.h"
#include "core/mem.h"
#include "engine/access.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 16 << 20 };

/* "NAME: what became of it", or {"user","…"}. */
static int tell(const struct cli_run *run, const char *what, const char *json_key, const char *json_value)
{
    struct cli_line line;
    struct frt_buf out;
    if (cli_has(run, "json")) {
        cli_line_begin(&line);
        cli_member_text(&line.w, "email", run->arguments[0]);
        cli_member_text(&line.w, json_key, json_value);
        return cli_line_end(run, &line);
    }
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    frt_buf_append_text(&out, "user ");
    cli_append_name(&out, run->arguments[0]);
    frt_buf_printf(&out, " %s\n", what);
    return cli_print_and_free(run, &out);
}

int cli_user_add(struct cli_run *run)
{
    char password[CLI_PASSWORD_SIZE], what[64];
    const char *said = cli_text(run, "role");
    struct frt_access *access = NULL;
    enum frt_role role = FRT_ROLE_READER;
    struct frt_error err = {0};
    enum frt_status status = said == NULL ? FRT_OK : frt_role_parse(said, &role, &err);
    if (status == FRT_OK)
        status = cli_password_read(run->arguments[0], password, &err);
    if (status == FRT_OK) {
        status = cli_access_open(run, false, &access, &err);
        if (status == FRT_OK)
            status = frt_access_user_add(access, run->arguments[0], password, role, &err);
        frt_wipe(password, sizeof password);
    }
    frt_access_close(access);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    (void)snprintf(what, sizeof what, "added as %s", frt_role_name(role));
    return tell(run, what, "role", frt_role_name(role));
}

int cli_user_password(struct cli_run *run)
{
    char password[CLI_PASSWORD_SIZE];
    struct frt_access *access = NULL;
    struct frt_error err = {0};
    enum frt_status status = cli_access_open(run, true, &access, &err);
    if (status == FRT_OK)
        status = cli_password_read(run->arguments[0], password, &err);
    if (status == FRT_OK) {
        status = frt_access_user_change(access, run->arguments[0], password, FRT_ROLE_NONE, &err);
        frt_wipe(password, sizeof password);
    }
    frt_access_close(access);
    return status != FRT_OK
               ? cli_complain(run, &err)
               : tell(run, "has a new password; tokens given out before are void", "changed", "password");
}

int cli_user_role(struct cli_run *run)
{
    char what[64];
    struct frt_access *access = NULL;
    enum frt_role role = FRT_ROLE_NONE;
    struct frt_error err = {0};
    enum frt_status status = frt_role_parse(run->arguments[1], &role, &err);
    if (status == FRT_OK)
        status = cli_access_open(run, true, &access, &err);
    if (status == FRT_OK)
        status = frt_access_user_change(access, run->arguments[0], NULL, role, &err);
    frt_access_close(access);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    (void)snprintf(what, sizeof what, "is %s now", frt_role_name(role));
    return tell(run, what, "role", frt_role_name(role));
}

int cli_user_delete(struct cli_run *run)
{
    struct frt_access *access = NULL;
    struct frt_error err = {0};
    enum frt_status status = cli_access_open(run, true, &access, &err);
    if (status == FRT_OK)
        status = frt_access_user_delete(access, run->arguments[0], &err);
    frt_access_close(access);
    return status != FRT_OK ? cli_complain(run, &err) : tell(run, "deleted", "changed", "deleted");
}

int cli_user_list(struct cli_run *run)
{
    struct frt_access *access = NULL;
    struct frt_user_info *users = NULL;
    struct frt_json_writer w;
    struct frt_error err = {0};
    struct frt_buf out;
    size_t n = 0;
    bool json = cli_has(run, "json");
    enum frt_status status = cli_access_open(run, true, &access, &err);
    if (status == FRT_OK)
        status = frt_access_users(access, &users, &n, &err);
    frt_access_close(access);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (!json)
        frt_buf_printf(&out, "%-10s  %-6s  %s\n", "since", "role", "user");
    for (size_t i = 0; i < n; i++) {
        char created[FRT_TIME_TEXT_SIZE];
        frt_time_text(users[i].created_ms, created);
        if (json) {
            frt_json_writer_init(&w, &out, false);
            frt_json_object(&w);
            cli_member_text(&w, "email", users[i].email);
            cli_member_text(&w, "role", frt_role_name(users[i].role));
            cli_member_text(&w, "created_at", created);
            frt_json_end(&w);
        } else {
            frt_buf_printf(&out, "%.10s  %-6s  ", created, frt_role_name(users[i].role));
            cli_append_name(&out, users[i].email);
        }
        frt_buf_append_char(&out, '\n');
    }
    frt_free(users);
    return cli_print_and_free(run, &out);
}
