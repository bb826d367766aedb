/* Result files are written whole or not at all; nothing but a file is ever replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/files.h"

static char folder[] = "/tmp/frt_test_files_XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static size_t files(void)
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    (void)closedir(dir);
    return n;
}

static void assert_holds(const char *path, const char *text)
{
    char bytes[64] = "";
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    bytes[fread(bytes, 1, sizeof bytes - 1, file)] = '\0';
    (void)fclose(file);
    assert_string_equal(bytes, text);
}

static void new_files_follow_the_mask(void **state)
{
    (void)state;
    struct stat st;
    mode_t before = umask(027);
    assert_int_equal(cli_file_write(in_folder("a"), "one", 3, false, NULL), FRT_OK);
    (void)umask(before);
    assert_holds(in_folder("a"), "one");
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(files(), 1);
}

static void files_are_replaced_when_asked_only(void **state)
{
    (void)state;
    struct frt_error err = {0};
    assert_int_equal(cli_file_check(in_folder("a"), false, &err), FRT_ECONFLICT);
    assert_int_equal(cli_file_write(in_folder("a"), "two", 3, false, &err), FRT_ECONFLICT);
    assert_non_null(strstr(err.text, "--force"));
    assert_holds(in_folder("a"), "one");
    assert_int_equal(cli_file_check(in_folder("a"), true, &err), FRT_OK);
    assert_int_equal(cli_file_write(in_folder("a"), "two", 3, true, &err), FRT_OK);
    assert_holds(in_folder("a"), "two");
    assert_int_equal(files(), 1);
}

static void a_link_is_replaced_not_what_it_names(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(symlink("a", in_folder("link")), 0);
    assert_int_equal(cli_file_write(in_folder("link"), "new", 3, false, NULL), FRT_ECONFLICT);
    assert_int_equal(cli_file_write(in_folder("link"), "new", 3, true, NULL), FRT_OK);
    assert_holds(in_folder("a"), "two");
    assert_int_equal(lstat(in_folder("link"), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(symlink("nowhere", in_folder("dangling")), 0);
    assert_int_equal(cli_file_write(in_folder("dangling"), "new", 3, false, NULL), FRT_ECONFLICT);
    assert_int_equal(unlink(in_folder("dangling")), 0);
    assert_int_equal(unlink(in_folder("link")), 0);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    static const char *const no_files[] = {"/dev/null", "/tmp", "."};
    for (size_t i = 0; i < sizeof no_files / sizeof *no_files; i++) {
        assert_int_equal(cli_file_check(no_files[i], true, NULL), FRT_EINVAL);
        assert_int_equal(cli_file_write(no_files[i], "x", 1, true, NULL), FRT_EINVAL);
    }
    assert_int_equal(cli_file_check("", false, NULL), FRT_EINVAL);
    assert_int_equal(cli_file_check(in_folder("new/"), false, NULL), FRT_EINVAL);
    assert_int_equal(cli_file_check(in_folder("new"), false, NULL), FRT_OK);
    assert_int_equal(cli_file_check("a-new-file-beside", false, NULL), FRT_OK);
    assert_int_equal(cli_file_check(in_folder("none/x"), false, NULL), FRT_EIO);
    assert_int_equal(cli_file_write(in_folder("none/x"), "x", 1, false, NULL), FRT_EIO);
    char *longest = malloc(8192);
    assert_non_null(longest);
    memset(longest, 'a', 8191);
    longest[8191] = '\0';
    assert_int_equal(cli_file_write(longest, "x", 1, false, NULL), FRT_EINVAL);
    free(longest);
}

/* As a full disk would: the write fails half way. */
static void a_write_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct rlimit before, small;
    struct frt_error err = {0};
    static char bytes[1 << 16];
    size_t there = files();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum frt_status fresh = cli_file_write(in_folder("b"), bytes, sizeof bytes, false, &err);
    enum frt_status forced = cli_file_write(in_folder("a"), bytes, sizeof bytes, true, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(fresh, FRT_EIO);
    assert_int_equal(forced, FRT_EIO);
    assert_non_null(strstr(err.text, "File too large"));
    assert_int_equal(files(), there);
    assert_holds(in_folder("a"), "two");
}

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_files_follow_the_mask),
        cmocka_unit_test(files_are_replaced_when_asked_only),
        cmocka_unit_test(a_link_is_replaced_not_what_it_names),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_write_that_fails_leaves_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(in_folder("a"));
    (void)rmdir(folder);
    return failed;
}
