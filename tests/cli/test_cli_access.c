/* Users, keys and collections on the command line, and passwords that are typed. No model is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "core/json_read.h"
#include "engine/access.h"

#define ANNA "anna@example.org"
#define PASSWORD "correct horse"

static const char *program;
static char database[256], input[256];

static const struct cli_setting *typed(const char *text)
{
    static struct cli_setting setting;
    cli_put(input, text, strlen(text));
    setting = (struct cli_setting){.input = input};
    return &setting;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static bool can_log_in(const char *email, const char *password)
{
    const struct frt_access_options options = {.database = database};
    struct frt_access *access = NULL;
    static struct frt_login login;
    assert_int_equal(frt_access_open(&options, &access, NULL), FRT_OK);
    enum frt_status status = frt_access_login(access, email, password, &login, NULL);
    frt_access_close(access);
    return status == FRT_OK;
}

/* ------------------------------------------------------------- collections */

static void looking_makes_no_database(void **state)
{
    (void)state;
    static const char *const calls[][4] = {{"collections", "list"},
                                           {"collections", "show", "a"},
                                           {"collections", "delete", "a"},
                                           {"faces", "list", "a"},
                                           {"subjects", "list", "a"},
                                           {"rebuild", "a"},
                                           {"export", "ndjson", "a"},
                                           {"user", "list"},
                                           {"key", "list"},
                                           {"user", "role", "a@b", "admin"}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct cli_result r = CLI_RUN(NULL, calls[i][0], calls[i][1], calls[i][2], calls[i][3]);
        if (calls[i][2] != NULL && calls[i][3] == NULL)
            r = CLI_RUN(NULL, calls[i][0], calls[i][1], calls[i][2]);
        cli_expect(&r, 3, "No such file or directory; the database is made by");
        assert_int_not_equal(access(database, F_OK), 0);
    }
}

static void collections_come_change_and_go(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "collections", "create", "staff", "--threshold", "0.65", "--metadata",
                                  "{\"site\":\"north\"}");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "threshold    0.6500"));
    r = CLI_RUN(NULL, "collections", "create", "staff", "--threshold", "0.65");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "collections", "create", "staff", "--threshold", "0.7");
    cli_expect(&r, 1, "stands already with other settings");
    r = CLI_RUN(NULL, "collections", "create", "../staff");
    cli_expect(&r, 2, "collection");
    r = CLI_RUN(NULL, "collections", "create", "x", "--metadata", "[1]");
    cli_expect(&r, 2, "metadata");
    r = CLI_RUN(NULL, "collections", "set", "staff");
    cli_expect(&r, 2, "nothing is to be set");
    r = CLI_RUN(NULL, "collections", "set", "staff", "--threshold", "high");
    cli_expect(&r, 2, "--threshold is 'high'; a number from -1 to 1, or 'default', is right");
    r = CLI_RUN(NULL, "collections", "set", "staff", "--target-fpir", "0.001", "--json");
    cli_expect(&r, 0, NULL);
    assert_non_null(
        strstr(r.out, "\"threshold\":0.65,\"target_fpir\":0.001,\"metadata\":{\"site\":\"north\"}"));
    r = CLI_RUN(NULL, "collections", "set", "staff", "--target-fpir", "none", "--threshold", "default",
                "--json");
    cli_expect(&r, 0, NULL);
    assert_null(strstr(r.out, "\"threshold\""));
    assert_null(strstr(r.out, "target_fpir"));
    r = CLI_RUN(NULL, "collections", "create", "guests");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "collections", "list", "--json");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 2);
    assert_int_equal(strncmp(r.out, "{\"name\":\"guests\"", 16), 0);
    r = CLI_RUN(NULL, "collections", "delete", "guests", "--database", database);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "collections", "show", "guests");
    cli_expect(&r, 3, "guests");
    r = CLI_RUN(NULL, "collections", "delete", "guests");
    cli_expect(&r, 3, "guests");
    r = CLI_RUN(NULL, "collections", "list");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 2); /* the heading and one */
    cli_put(cli_work("no.db"), "this is no database, but long enough to be read as if it were one", 60);
    r = CLI_RUN(NULL, "collections", "list", "--database", cli_work("no.db"));
    assert_int_equal(r.code, 7);
    assert_non_null(strstr(r.err, "no.db"));
}

/* ------------------------------------------------------------- users and keys */

static void users_come_change_and_go(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(typed(PASSWORD "\nrest\n"), "user", "add", ANNA, "--role", "admin");
    cli_expect(&r, 0, NULL);
    assert_string_equal(r.out, "user " ANNA " added as admin\n");
    assert_true(can_log_in(ANNA, PASSWORD));
    assert_false(can_log_in(ANNA, PASSWORD "\n"));
    r = CLI_RUN(typed(PASSWORD "\n"), "user", "add", ANNA);
    cli_expect(&r, 1, ANNA);
    r = CLI_RUN(typed("short\n"), "user", "add", "b@example.org");
    cli_expect(&r, 2, "5 bytes; 8 to");
    r = CLI_RUN(typed("\n"), "user", "add", "b@example.org");
    cli_expect(&r, 2, "the password is empty");
    r = CLI_RUN(typed(PASSWORD), "user", "add", "b@example.org", "--role", "king");
    cli_expect(&r, 2, "king");
    r = CLI_RUN(typed(PASSWORD "\r\n"), "user", "add", "b@example.org", "--json");
    cli_expect(&r, 0, NULL);
    assert_string_equal(r.out, "{\"email\":\"b@example.org\",\"role\":\"reader\"}\n");
    assert_true(can_log_in("b@example.org", PASSWORD)); /* a line end of Windows is none of the password */
    r = CLI_RUN(NULL, "user", "list");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 3);
    assert_null(strstr(r.out, "correct"));
    r = CLI_RUN(typed("battery staple\n"), "user", "password", ANNA);
    cli_expect(&r, 0, NULL);
    assert_true(can_log_in(ANNA, "battery staple"));
    assert_false(can_log_in(ANNA, PASSWORD));
    r = CLI_RUN(NULL, "user", "role", ANNA, "writer");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "user", "list", "--json");
    assert_non_null(strstr(r.out, "{\"email\":\"" ANNA "\",\"role\":\"writer\""));
    r = CLI_RUN(NULL, "user", "delete", ANNA);
    cli_expect(&r, 0, NULL);
    assert_false(can_log_in(ANNA, "battery staple"));
    r = CLI_RUN(NULL, "user", "delete", ANNA);
    cli_expect(&r, 3, ANNA);
    r = CLI_RUN(NULL, "user", "role", ANNA, "reader");
    cli_expect(&r, 3, ANNA);
}

static void keys_are_shown_once(void **state)
{
    (void)state;
    const struct frt_access_options options = {.database = database};
    struct frt_access *access = NULL;
    struct frt_caller caller;
    char key[FRT_KEY_TEXT_SIZE + 1], id[FRT_KEY_ID_SIZE];
    struct cli_result r = CLI_RUN(NULL, "key", "create", "door \033[2J", "--role", "writer", "--days", "90");
    cli_expect(&r, 0, "it is shown this once");
    assert_int_equal(count_lines(r.out), 1);
    (void)snprintf(key, sizeof key, "%.*s", (int)strcspn(r.out, "\n"), r.out);
    (void)snprintf(id, sizeof id, "%s", key + strlen("frt_"));
    assert_non_null(strstr(r.err, id));
    assert_null(strstr(r.err, key));
    assert_int_equal(frt_access_open(&options, &access, NULL), FRT_OK);
    assert_int_equal(frt_access_check_key(access, key, &caller, NULL), FRT_OK);
    assert_int_equal(caller.role, FRT_ROLE_WRITER);
    r = CLI_RUN(NULL, "key", "list");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, id));
    assert_null(strstr(r.out, key));
    assert_null(strchr(r.out, '\033'));
    r = CLI_RUN(NULL, "key", "create", "other", "--json");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "{\"key\":\"frt_k_"));
    assert_null(strstr(r.out, "expires_at"));
    r = CLI_RUN(NULL, "key", "list", "--json");
    assert_int_equal(count_lines(r.out), 2);
    r = CLI_RUN(NULL, "key", "delete", id);
    cli_expect(&r, 0, NULL);
    assert_int_equal(frt_access_check_key(access, key, &caller, NULL), FRT_EUNAUTHORIZED);
    frt_access_close(access);
    r = CLI_RUN(NULL, "key", "delete", id);
    cli_expect(&r, 3, id);
    r = CLI_RUN(NULL, "key", "create", "x", "--days", "0");
    cli_expect(&r, 2, "--days is '0'; a whole number from 1 to 36500 is right");
}

/* What is wrong with it is no more than a warning: everything works without. */
static void the_doctor_looks_at_redis(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "doctor", "--redis", "redis://127.0.0.1:1");
    assert_non_null(strstr(r.out, "warn  redis"));
    assert_non_null(strstr(r.out, "127.0.0.1:1: Connection refused"));
    const struct cli_setting wrong = {.env = {"FRT_REDIS=redus://u:open-sesame@h"}};
    r = CLI_RUN(&wrong, "doctor");
    assert_non_null(strstr(r.out, "warn  redis"));
    assert_null(strstr(r.out, "sesame"));
    assert_null(strstr(r.err, "sesame"));
}

/* Goes on with the key that the tests before have left. */
static void the_doctor_looks_at_the_database(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "doctor", "--listen", "0.0.0.0:18080");
    assert_non_null(strstr(r.out, "ok    database"));
    assert_non_null(strstr(r.out, "with users or keys"));
    assert_null(strstr(r.out, "not a loopback address")); /* which credentials make right */
    r = CLI_RUN(NULL, "doctor", "--database", cli_work("none-yet.db"));
    assert_null(strstr(r.out, "database"));
    cli_put(cli_work("no.db"), "this is no database, but long enough to be read as if it were one", 60);
    r = CLI_RUN(NULL, "doctor", "--database", cli_work("no.db"));
    assert_int_equal(r.code, 7);
    assert_non_null(strstr(r.out, "FAIL  database"));
    assert_non_null(strstr(r.out, "restore a backup"));
}

/* A process that has the database open twice, as a service has, next to one that comes and goes: were the locks
 * of the first lost, the second would take the write-ahead log with it, and all that is written to it from then
 * on. */
static void a_service_and_the_command_line_share_a_database(void **state)
{
    (void)state;
    char log_file[300];
    const struct frt_access_options options = {.database = database};
    struct frt_access *first = NULL, *second = NULL;
    static struct frt_login login;
    (void)snprintf(log_file, sizeof log_file, "%s-wal", database);
    assert_int_equal(frt_access_open(&options, &first, NULL), FRT_OK);
    assert_int_equal(frt_access_login(first, "s@example.org", PASSWORD, &login, NULL), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_open(&options, &second, NULL), FRT_OK);
    for (int i = 0; i < 2; i++) {
        struct cli_result r = i == 0 ? CLI_RUN(typed(PASSWORD "\n"), "user", "add", "s@example.org")
                                     : CLI_RUN(NULL, "user", "list");
        cli_expect(&r, 0, NULL);
        assert_int_equal(access(log_file, F_OK), 0);
    }
    assert_int_equal(frt_access_login(first, "s@example.org", PASSWORD, &login, NULL), FRT_OK);
    assert_int_equal(frt_access_user_add(first, "f@example.org", PASSWORD, FRT_ROLE_READER, NULL), FRT_OK);
    struct cli_result r = CLI_RUN(NULL, "user", "list");
    assert_non_null(strstr(r.out, "f@example.org"));
    frt_access_close(first);
    frt_access_close(second);
}

/* ------------------------------------------------------------------ terminal */

/* Run the program on a terminal of its own; what it shows goes to `shown`. Answers are typed one by one, each
 * when the prompt that belongs to it stands there. */
static int on_terminal(const char *const *words, const char *const *prompts, const char *const *answers,
                       char shown[4096])
{
    size_t used = 0, at = 0;
    int status = 0, master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    /* held open, so that the reader sees no end before the program has begun */
    const char *name = ptsname(master);
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *argv[16] = {program};
        for (size_t i = 0; words[i] != NULL && i < 14; i++)
            argv[i + 1] = words[i];
        union {
            const char *const *constant;
            char *const *plain; /* as execv wants it; it changes nothing */
        } args = {.constant = argv};
        if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) != 0 || dup2(slave, 0) < 0 || dup2(slave, 1) < 0 ||
            dup2(slave, 2) < 0)
            _exit(126);
        (void)execv(program, args.plain);
        _exit(127);
    }
    (void)close(slave);
    shown[0] = '\0';
    for (;;) {
        ssize_t n = read(master, shown + used, 4095 - used);
        if (n <= 0 || used == 4095) /* EIO: nobody has it open any more */
            break;
        used += (size_t)n;
        shown[used] = '\0';
        if (answers[at] != NULL && strstr(shown, prompts[at]) != NULL) {
            size_t size = strlen(answers[at]);
            assert_int_equal(write(master, answers[at++], size), size);
        }
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(master);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void a_typed_password_is_not_shown(void **state)
{
    (void)state;
    static const char *const words[] = {"user", "add", "t@example.org", NULL};
    static const char *const prompts[] = {"New password for t@example.org: ", "again: ", NULL};
    char shown[4096];
    int code = on_terminal(words, prompts, (const char *const[]){PASSWORD "\n", "another one\n", NULL}, shown);
    assert_int_equal(code, 2);
    assert_non_null(strstr(shown, "the two passwords differ"));
    code = on_terminal(words, prompts, (const char *const[]){PASSWORD "\n", PASSWORD "\n", NULL}, shown);
    assert_int_equal(code, 0);
    assert_null(strstr(shown, "correct"));
    assert_non_null(strstr(shown, "added as reader"));
    assert_true(can_log_in("t@example.org", PASSWORD));
    /* Control-C: nothing is added, and the terminal is as it was (ISIG stays on: the key works) */
    static const char *const other[] = {"user", "add", "u@example.org", NULL};
    static const char *const other_prompts[] = {"New password for u@example.org: ", NULL};
    code = on_terminal(other, other_prompts, (const char *const[]){"\003", NULL}, shown);
    assert_int_equal(code, 130);
    assert_false(can_log_in("u@example.org", PASSWORD));
}

int main(int argc, char **argv)
{
    cli_runner_init(argc, argv);
    program = argv[1];
    (void)snprintf(database, sizeof database, "%s", cli_work("access.db"));
    (void)snprintf(input, sizeof input, "%s", cli_work("typed"));
    (void)setenv("FRT_DATABASE", database, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looking_makes_no_database),
        cmocka_unit_test(collections_come_change_and_go),
        cmocka_unit_test(users_come_change_and_go),
        cmocka_unit_test(keys_are_shown_once),
        cmocka_unit_test(the_doctor_looks_at_redis),
        cmocka_unit_test(the_doctor_looks_at_the_database),
        cmocka_unit_test(a_service_and_the_command_line_share_a_database),
        cmocka_unit_test(a_typed_password_is_not_shown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}
