#include "infer/stderr_filter.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void frt_stderr_hold(struct frt_stderr_filter *filter)
{
    *filter = (struct frt_stderr_filter){-1, -1};
    int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int held = before < 0 ? -1 : memfd_create("frt-stderr", MFD_CLOEXEC);
    if (held >= 0 && dup2(held, STDERR_FILENO) == STDERR_FILENO) {
        *filter = (struct frt_stderr_filter){before, held};
        return;
    }
    if (held >= 0)
        (void)close(held);
    if (before >= 0)
        (void)close(before);
}

/* Standard error is as it was; what cannot be written there is lost, as it would have been. */
static void write_wanted(const char *text, size_t size, const char *unwanted)
{
    const char *end = text + size;
    bool skipping = false;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t n = stop == NULL ? (size_t)(end - text) : (size_t)(stop - text) + 1;
        bool empty = n == 1 && text[0] == '\n';
        skipping =
            (n >= strlen(unwanted) && memcmp(text, unwanted, strlen(unwanted)) == 0) || (skipping && empty);
        if (!skipping)
            (void)!write(STDERR_FILENO, text, n);
        text += n;
    }
}

void frt_stderr_release(struct frt_stderr_filter *filter, const char *unwanted)
{
    struct stat st;
    if (filter->held < 0)
        return;
    (void)dup2(filter->before, STDERR_FILENO);
    if (fstat(filter->held, &st) == 0 && st.st_size > 0) {
        void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, filter->held, 0);
        if (text != MAP_FAILED) {
            write_wanted(text, (size_t)st.st_size, unwanted);
            (void)munmap(text, (size_t)st.st_size);
        }
    }
    (void)close(filter->before);
    (void)close(filter->held);
    *filter = (struct frt_stderr_filter){-1, -1};
}
