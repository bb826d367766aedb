#include "cli/enroll_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sha256.h"
#include "engine/pack_locate.h"

enum {
    KEY_DIGITS = 32,
    RULES_MAX = 1024,
    LINE_MAX_BYTES = KEY_DIGITS + 64 + FRT_ERROR_TEXT_MAX,
    FILE_MAX_BYTES = 64 << 20 /* some 500,000 photos; what comes then is looked at again */
};

struct cli_enroll_memory {
    char rules[RULES_MAX];
    int fd;       /* -1: nothing can be added */
    char *text;   /* the file, lines ended by NUL */
    char **lines; /* [n], by key */
    size_t n;
};

static int by_key(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return memcmp(*x, *y, KEY_DIGITS);
}

/* A whole line: key, code, text. */
static bool is_whole(const char *line, size_t size)
{
    return size > KEY_DIGITS + 2 && strspn(line, "0123456789abcdef") == KEY_DIGITS && line[KEY_DIGITS] == ' ' &&
           memchr(line + KEY_DIGITS + 1, ' ', size - KEY_DIGITS - 1) != NULL;
}

static bool read_all(int fd, char *to, size_t size)
{
    while (size > 0) {
        const ssize_t n = read(fd, to, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        size -= (size_t)n;
    }
    return true;
}

/* The lines of the file. What cannot be read is as if it were not there. */
static enum frt_status load(struct cli_enroll_memory *memory, const char *path, struct frt_error *err)
{
    struct stat st;
    size_t n = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FRT_OK;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX_BYTES) {
        const size_t size = (size_t)st.st_size;
        memory->text = frt_alloc(size + 1);
        if (memory->text == NULL) {
            (void)close(fd);
            return frt_fail_nomem(err, "refused photos");
        }
        if (read_all(fd, memory->text, size)) {
            memory->text[size] = '\0';
            for (size_t i = 0; i < size; i++)
                n += memory->text[i] == '\n';
        }
    }
    (void)close(fd);
    if (n == 0)
        return FRT_OK;
    memory->lines = frt_alloc_array(n, sizeof *memory->lines);
    if (memory->lines == NULL)
        return frt_fail_nomem(err, "refused photos");
    for (char *line = memory->text, *end = strchr(line, '\n'); end != NULL && memory->n < n;
         line = end + 1, end = strchr(line, '\n')) {
        *end = '\0';
        if (is_whole(line, (size_t)(end - line)))
            memory->lines[memory->n++] = line;
    }
    qsort(memory->lines, memory->n, sizeof *memory->lines, by_key);
    return FRT_OK;
}

enum frt_status cli_enroll_memory_open(const char *database, const char *rules, struct cli_enroll_memory **out,
                                       struct frt_error *err)
{
    char path[FRT_LOCATE_PATH_MAX];
    struct stat st;
    struct cli_enroll_memory *memory = frt_alloc_zero(1, sizeof *memory);
    if (memory == NULL)
        return frt_fail_nomem(err, "refused photos");
    memory->fd = -1;
    (void)snprintf(memory->rules, sizeof memory->rules, "%s", rules);
    enum frt_status status = frt_database_beside(database, ".refused", path, err);
    if (status == FRT_OK)
        status = load(memory, path, err);
    if (status != FRT_OK) {
        cli_enroll_memory_close(memory);
        return status;
    }
    memory->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (memory->fd >= 0 &&
        (fstat(memory->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES)) {
        (void)close(memory->fd);
        memory->fd = -1;
    }
    *out = memory;
    return FRT_OK;
}

void cli_enroll_memory_close(struct cli_enroll_memory *memory)
{
    if (memory == NULL)
        return;
    if (memory->fd >= 0)
        (void)close(memory->fd);
    frt_free(memory->lines);
    frt_free(memory->text);
    frt_free(memory);
}

static void key_of(const struct cli_enroll_memory *memory, const char *digest, char out[KEY_DIGITS + 1])
{
    char text[RULES_MAX + FRT_SHA256_HEX_SIZE + 1], hex[FRT_SHA256_HEX_SIZE];
    const int n = snprintf(text, sizeof text, "%s %s", digest, memory->rules);
    frt_sha256_hex(text, (size_t)n, hex);
    (void)snprintf(out, KEY_DIGITS + 1, "%.*s", KEY_DIGITS, hex);
}

enum frt_status cli_enroll_memory_find(const struct cli_enroll_memory *memory, const char *digest,
                                       struct frt_error *why)
{
    char key[KEY_DIGITS + 1], code[64];
    const char *wanted = key;
    if (memory->n == 0)
        return FRT_OK;
    key_of(memory, digest, key);
    char *const *line = bsearch(&wanted, memory->lines, memory->n, sizeof *memory->lines, by_key);
    if (line == NULL)
        return FRT_OK;
    const char *at = *line + KEY_DIGITS + 1, *text = strchr(at, ' ') + 1;
    (void)snprintf(code, sizeof code, "%.*s", (int)(text - 1 - at), at);
    for (int s = FRT_OK + 1; s < FRT_STATUS_COUNT; s++) {
        if (strcmp(frt_status_code((enum frt_status)s), code) == 0)
            return frt_fail(why, (enum frt_status)s, "%s", text);
    }
    return FRT_OK; /* of another version */
}

static bool lies_in_the_photo(enum frt_status status)
{
    return status == FRT_EUNSUPPORTED_IMAGE || status == FRT_EBAD_IMAGE || status == FRT_EIMAGE_TOO_LARGE ||
           status == FRT_ENO_FACE || status == FRT_EMULTIPLE_FACES || status == FRT_ELOW_QUALITY ||
           status == FRT_ESPOOF;
}

void cli_enroll_memory_add(struct cli_enroll_memory *memory, const char *digest, const struct frt_error *why)
{
    char line[LINE_MAX_BYTES], key[KEY_DIGITS + 1];
    if (memory->fd < 0 || !lies_in_the_photo(why->status))
        return;
    key_of(memory, digest, key);
    int n = snprintf(line, sizeof line, "%s %s %s", key, frt_status_code(why->status), why->text);
    n = n < (int)sizeof line - 1 ? n : (int)sizeof line - 2;
    for (int i = 0; i < n; i++)
        line[i] = line[i] == '\n' ? ' ' : line[i];
    line[n++] = '\n';
    const ssize_t written = write(memory->fd, line, (size_t)n);
    (void)written; /* cut off or not there: looked at again */
}
