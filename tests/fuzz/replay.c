/*
 * Feeds every file of a corpus folder to a fuzzer's function, as an ordinary test: seeds and past
 * crashes stay fixed without libFuzzer. Usage: replay_NAME FOLDER…
 *
 * Each file goes in as a heap block of exactly its size, so that a read beyond the end is seen by the
 * address sanitizer. A folder that is absent or empty is a failure: a replay of nothing proves nothing.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* False, with a message, when the file cannot be read. */
static bool replay_file(const char *path, size_t size)
{
    bool ok = false;
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1); /* not mem.h: a fuzzer may be set to fail allocations */
    if (file == NULL || data == NULL) {
        perror(path);
        goto done;
    }
    if (fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot be read whole\n", path);
        goto done;
    }
    (void)LLVMFuzzerTestOneInput(data, size);
    ok = true;
done:
    free(data);
    if (file != NULL)
        (void)fclose(file);
    return ok;
}

/* Number of files replayed; -1 on failure. */
static long replay_folder(const char *folder)
{
    struct dirent **entries = NULL;
    long count = 0;
    int n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0) {
        perror(folder);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        struct stat st;
        int length = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (count >= 0 && length > 0 && (size_t)length < sizeof path && stat(path, &st) == 0 &&
            S_ISREG(st.st_mode))
            count = replay_file(path, (size_t)st.st_size) ? count + 1 : -1;
        free(entries[i]);
    }
    free(entries);
    return count;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        long count = replay_folder(argv[i]);
        if (count < 0)
            return 1;
        if (count == 0) {
            fprintf(stderr, "%s: the corpus is empty\n", argv[i]);
            return 1;
        }
        printf("%s: %ld inputs replayed\n", argv[i], count);
    }
    return 0;
}
