#include "model_test_util.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

int model_test_folder_make(void **state)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);
    if (path == NULL)
        return -1;
    (void)snprintf(path, 4096, "%s/frt-test-XXXXXX", base != NULL ? base : P_tmpdir);
    if (mkdtemp(path) == NULL) {
        free(path);
        return -1;
    }
    *state = path;
    return 0;
}

/* One level is all the tests make. */
static int each_file(const char *folder, int remove_them)
{
    int n = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[8192];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (remove_them)
            (void)unlink(path);
    }
    (void)closedir(dir);
    return n;
}

int model_test_folder_remove(void **state)
{
    (void)each_file(*state, 1);
    (void)rmdir(*state);
    free(*state);
    return 0;
}

void model_test_folder_empty(const char *folder)
{
    (void)each_file(folder, 1);
}

int model_test_count_files(const char *folder)
{
    return each_file(folder, 0);
}

void model_test_write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[8192];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void model_test_limit_file_size(size_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : (rlim_t)bytes;
    (void)signal(SIGXFSZ, bytes == 0 ? SIG_DFL : SIG_IGN); /* then write(2) says EFBIG */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
