#include "cli/cli_runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/config.h"

enum { MAX_WORDS = 64, SKIP = 77 };

static const char *program;
static char folder[64], out_path[96], err_path[96], database[96];
static char *last_out, *last_err;

void cli_runner_init(int argc, char **argv)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    if (argc < 2 || access(argv[1], X_OK) != 0) {
        (void)printf("SKIP: the program to test (first argument) is not there\n");
        exit(SKIP);
    }
    program = argv[1];
    /* the settings of whoever runs the tests are not what is tested; the runtime's place is needed */
    for (size_t i = 0; i < n; i++)
        if (strcmp(keys[i].key, "runtime") != 0)
            (void)unsetenv(keys[i].env);
    (void)unsetenv("FRT_CONFIG");
    (void)unsetenv("MAX_WORKERS");
    (void)unsetenv("OMP_NUM_THREADS");
    (void)strcpy(folder, "/tmp/frt_test_cli_XXXXXX");
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    (void)snprintf(out_path, sizeof out_path, "%s/stdout", folder);
    (void)snprintf(err_path, sizeof err_path, "%s/stderr", folder);
    (void)snprintf(database, sizeof database, "%s/frt.db", folder);
    (void)setenv("FRT_DATABASE", database, 1); /* not the tester's own */
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void cli_runner_deinit(void)
{
    free(last_out);
    free(last_err);
    last_out = last_err = NULL;
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *cli_work(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

char *cli_get(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    struct stat st;
    if (file == NULL)
        return NULL;
    assert_int_equal(fstat(fileno(file), &st), 0);
    char *bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    size_t n = fread(bytes, 1, (size_t)st.st_size, file);
    (void)fclose(file);
    bytes[n] = '\0';
    if (size != NULL)
        *size = n;
    return bytes;
}

void cli_put(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

size_t cli_count(const char *path, bool (*matches)(const char *name))
{
    DIR *dir = opendir(path);
    size_t n = 0;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            n += matches == NULL || matches(entry->d_name);
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

static void redirect(int fd, const char *path, int flags)
{
    int from = open(path, flags, 0600);
    if (from < 0 || dup2(from, fd) < 0)
        _exit(126);
    if (from != fd)
        (void)close(from);
}

static void child(const struct cli_setting *s, const char *const *words)
{
    const char *argv[MAX_WORDS + 2] = {program};
    for (size_t i = 0; words[i] != NULL && i < MAX_WORDS; i++)
        argv[i + 1] = words[i];
    for (size_t i = 0; s->env[i] != NULL; i++) {
        char name[64];
        size_t n = strcspn(s->env[i], "=");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, s->env[i]);
        (void)(s->env[i][n] == '=' ? setenv(name, s->env[i] + n + 1, 1) : unsetenv(name));
    }
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    redirect(0, s->input == NULL ? "/dev/null" : s->input, O_RDONLY);
    redirect(2, err_path, O_WRONLY | O_CREAT | O_TRUNC);
    if (s->output == NULL) {
        redirect(1, out_path, O_WRONLY | O_CREAT | O_TRUNC);
    } else if (strcmp(s->output, "|") == 0) {
        int ends[2];
        if (pipe(ends) != 0 || dup2(ends[1], 1) < 0)
            _exit(126);
        (void)close(ends[0]);
        (void)close(ends[1]);
    } else if (s->output[0] == '\0') {
        (void)close(1);
    } else {
        redirect(1, s->output, O_WRONLY);
    }
    union {
        const char *const *constant;
        char *const *plain; /* as execv wants it; it changes nothing */
    } args = {.constant = argv};
    (void)execv(program, args.plain);
    _exit(127);
}

static bool has_said(const char *piece)
{
    char *text = cli_get(err_path, NULL);
    bool said = text != NULL && strstr(text, piece) != NULL;
    free(text);
    return said;
}

/* Send the signal when it is time, unless the program ends before. */
static bool ended_before_signal(pid_t pid, const struct cli_setting *s, int *status)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (;;) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
        if ((s->when_exists != NULL && access(s->when_exists, F_OK) == 0) ||
            (s->when_said != NULL && has_said(s->when_said)))
            break;
        (void)nanosleep(&pause, NULL);
    }
    assert_int_equal(kill(pid, s->signal), 0);
    return false;
}

struct cli_result cli_run_words(const struct cli_setting *setting, const char *const *words)
{
    static const struct cli_setting nothing;
    const struct cli_setting *s = setting == NULL ? &nothing : setting;
    struct cli_result result = {0};
    int status = 0;
    free(last_out);
    free(last_err);
    (void)unlink(out_path);
    (void)unlink(err_path);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(s, words);
    if (s->signal == 0 || !ended_before_signal(pid, s, &status))
        assert_int_equal(waitpid(pid, &status, 0), pid);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.out = last_out = cli_get(out_path, &result.out_size);
    result.err = last_err = cli_get(err_path, NULL);
    if (result.out == NULL)
        result.out = last_out = calloc(1, 1);
    if (result.err == NULL)
        result.err = last_err = calloc(1, 1);
    assert_true(result.out != NULL && result.err != NULL);
    return result;
}

void cli_expect(const struct cli_result *result, int code, const char *piece)
{
    if (result->code != code)
        fail_msg("exit status %d instead of %d; standard error: %s", result->code, code, result->err);
    if (piece == NULL ? result->err[0] != '\0' : strstr(result->err, piece) == NULL)
        fail_msg("standard error is '%s' instead of '%s'", result->err, piece == NULL ? "" : piece);
}
