#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config.h"
#include "core/cores.h"
#include "core/mem.h"
#include "core/utf8.h"

enum { MAX_PIPE_BYTES = 256 << 20, MAX_LINE_BYTES = 256 << 20 };

static atomic_bool output_failed, reader_gone, interrupted;

bool cli_output_failed(void)
{
    return atomic_load(&output_failed);
}

bool cli_reader_gone(void)
{
    return atomic_load(&reader_gone);
}

int cli_complain(const struct cli_run *run, const struct frt_error *err)
{
    char line[FRT_ERROR_TEXT_MAX + 64];
    if (cli_reader_gone() && err->status == FRT_EIO)
        return FRT_EXIT_FAILURE;
    int n = snprintf(line, sizeof line, "frt%s%s: %s\n", run->command == NULL ? "" : " ",
                     run->command == NULL ? "" : run->command->name, err->text);
    if (n > 0)
        (void)!write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    return (int)frt_status_exit(err->status);
}

enum frt_status cli_print(const struct frt_buf *text, struct frt_error *err)
{
    enum frt_status status = frt_buf_status(text);
    if (status != FRT_OK)
        return frt_fail(err, status, "the output does not fit in memory");
    for (size_t done = 0; done < text->size;) {
        ssize_t n = write(STDOUT_FILENO, text->data + done, text->size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            atomic_store(&output_failed, true);
            if (errno == EPIPE)
                atomic_store(&reader_gone, true);
            return frt_fail(err, FRT_EIO, "standard output: %s", strerror(errno));
        }
        done += (size_t)n;
    }
    return FRT_OK;
}

int cli_print_and_free(const struct cli_run *run, struct frt_buf *text)
{
    struct frt_error err;
    enum frt_status status = cli_print(text, &err);
    frt_buf_deinit(text);
    return status == FRT_OK ? FRT_EXIT_OK : cli_complain(run, &err);
}

void cli_line_begin(struct cli_line *line)
{
    frt_buf_init(&line->text, MAX_LINE_BYTES);
    frt_json_writer_init(&line->w, &line->text, false);
    frt_json_object(&line->w);
}

int cli_line_end(const struct cli_run *run, struct cli_line *line)
{
    frt_json_end(&line->w);
    frt_buf_append_char(&line->text, '\n');
    return cli_print_and_free(run, &line->text);
}

void cli_member_text(struct frt_json_writer *w, const char *key, const char *text)
{
    frt_json_key(w, key);
    frt_json_string(w, text);
}

void cli_member_whole(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void cli_append_name(struct frt_buf *out, const char *name)
{
    size_t before = out->size;
    frt_buf_append_text(out, name);
    if (frt_buf_status(out) == FRT_OK && out->data != NULL)
        frt_utf8_sanitise(out->data + before);
}

void cli_json_error(struct frt_json_writer *w, const struct frt_error *err)
{
    frt_json_object(w);
    frt_json_key(w, "code");
    frt_json_string(w, frt_status_code(err->status));
    frt_json_key(w, "detail");
    frt_json_string(w, err->text);
    frt_json_end(w);
}

static void on_interrupt(int signal_number)
{
    if (atomic_exchange(&interrupted, true)) /* the second one does not wait */
        _exit(FRT_EXIT_INTERRUPTED);
    (void)signal_number;
}

void cli_catch_interrupts(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    /* no SA_RESTART: a read that waits for a pipe must return */
    struct sigaction action = {.sa_handler = on_interrupt}, before;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
}

bool cli_interrupted(void *arg)
{
    (void)arg;
    return atomic_load(&interrupted);
}

bool cli_colours(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
           isatty(STDOUT_FILENO) == 1;
}

/* ------------------------------------------------------------------ photos */

static enum frt_status read_all(int fd, const char *name, char **data, size_t *size, struct frt_error *err)
{
    struct frt_buf buf;
    char piece[65536];
    ssize_t n = 0;
    frt_buf_init(&buf, MAX_PIPE_BYTES);
    do {
        n = read(fd, piece, sizeof piece);
        if (n > 0)
            frt_buf_append(&buf, piece, (size_t)n);
    } while (!cli_interrupted(NULL) && frt_buf_status(&buf) == FRT_OK && (n > 0 || (n < 0 && errno == EINTR)));
    enum frt_status status = frt_buf_status(&buf);
    if (cli_interrupted(NULL))
        status = frt_fail(err, FRT_ECANCELLED, "interrupted");
    else if (status == FRT_EBODY_TOO_LARGE)
        status = frt_fail(err, status, "%s: more than %d bytes", name, MAX_PIPE_BYTES);
    else if (status != FRT_OK)
        status = frt_fail_nomem(err, "a photo");
    else if (n < 0)
        status = frt_fail(err, FRT_EIO, "%s: %s", name, strerror(errno));
    else if (buf.size == 0)
        status = frt_fail(err, FRT_EUNSUPPORTED_IMAGE, "%s: it is empty", name);
    if (status == FRT_OK)
        *data = frt_buf_take(&buf, size);
    frt_buf_deinit(&buf);
    return status;
}

static enum frt_status open_stream(const struct frt_context *context, int fd, const char *name, char **bytes,
                                   struct frt_image **image, struct frt_error *err)
{
    size_t size = 0;
    if (isatty(fd) == 1)
        return frt_fail(err, FRT_EINVAL, "%s is a terminal; a photo from a pipe or file is right", name);
    enum frt_status status = read_all(fd, name, bytes, &size, err);
    if (status != FRT_OK)
        return status;
    status = frt_image_open_memory(context, *bytes, size, image, err);
    if (status != FRT_OK) {
        frt_free(*bytes);
        *bytes = NULL;
        return frt_fail_within(err, status, "%s", name);
    }
    return FRT_OK;
}

enum frt_status cli_photo_open(const struct frt_context *context, const char *path, char **bytes,
                               struct frt_image **image, struct frt_error *err)
{
    struct stat st;
    *bytes = NULL;
    if (strcmp(path, "-") == 0)
        return open_stream(context, STDIN_FILENO, "standard input", bytes, image, err);
    if (stat(path, &st) != 0 || !S_ISFIFO(st.st_mode))
        return frt_image_open_file(context, path, image, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return frt_fail(err, cli_interrupted(NULL) ? FRT_ECANCELLED : FRT_EIO, "%s: %s", path, strerror(errno));
    enum frt_status status = open_stream(context, fd, path, bytes, image, err);
    (void)close(fd);
    return status;
}

enum frt_status cli_photo_read(const char *path, char **bytes, size_t *size, struct frt_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return frt_fail(err,
                        cli_interrupted(NULL) ? FRT_ECANCELLED
                        : errno == ENOENT     ? FRT_ENOTFOUND
                                              : FRT_EIO,
                        "%s: %s", path, strerror(errno));
    enum frt_status status =
        isatty(fd) == 1
            ? frt_fail(err, FRT_EINVAL, "%s is a terminal; a photo from a pipe or file is right", name)
            : read_all(fd, name, bytes, size, err);
    if (!standard)
        (void)close(fd);
    return status;
}

/* ------------------------------------------------------------------ models */

enum frt_status cli_models_open(const struct cli_run *run, uint32_t threads, struct cli_models *out,
                                struct frt_error *err)
{
    struct cli_models models = {0};
    long long n = threads;
    enum frt_status status = cli_whole(run, "threads", 1, 1024, threads, &n, err);
    if (status != FRT_OK)
        return status;
    const char *device = cli_text(run, "device") != NULL ? cli_text(run, "device") : getenv("FRT_DEVICE");
    const char *limit = getenv("FRT_GPU_MEMORY_LIMIT");
    struct frt_config settings;
    frt_config_init(&settings);
    if (limit != NULL)
        status = frt_config_set(&settings, "gpu_memory_limit", limit, "FRT_GPU_MEMORY_LIMIT", err);
    if (status != FRT_OK)
        return status;
    struct frt_context_options context = {.threads = (uint32_t)n,
                                          .device = device != NULL && device[0] != '\0' ? device : "auto",
                                          .gpu_memory_limit_bytes = settings.gpu_memory_limit_bytes,
                                          .device_precision = getenv("FRT_DEVICE_PRECISION"),
                                          .device_cache = getenv("FRT_DEVICE_CACHE")};
    struct frt_pack_options pack = {.detector = cli_text(run, "detector")};
    status = frt_context_new(&context, &models.context, err);
    if (status == FRT_OK)
        status = frt_pack_open(models.context, cli_text(run, "pack"), &pack, &models.pack, err);
    if (status != FRT_OK) {
        cli_models_close(&models);
        /* what is missing here is the pack, not a photo */
        return err->status = status == FRT_ENOTFOUND ? FRT_EBAD_MODEL : status;
    }
    *out = models;
    return FRT_OK;
}

void cli_models_close(struct cli_models *models)
{
    frt_pack_free(models->pack);
    frt_context_free(models->context);
    *models = (struct cli_models){0};
}

enum frt_status cli_jobs(const struct cli_run *run, uint32_t *out, struct frt_error *err)
{
    uint32_t cores = frt_usable_cores();
    long long jobs = 1;
    enum frt_status status = cli_whole(run, "jobs", 1, 256, cores < 256 ? cores : 256, &jobs, err);
    if (status == FRT_OK)
        *out = (uint32_t)jobs;
    return status;
}

/* What the environment says of the terminal's characters, as setlocale would find it. */
bool cli_utf8(void)
{
    const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strstr(value, "UTF-8") != NULL || strstr(value, "utf8") != NULL ||
                   strstr(value, "UTF8") != NULL || strstr(value, "utf-8") != NULL;
    }
    return false;
}

/* The report's indented JSON on one line, as --json promises. */
void cli_one_line(struct frt_buf *json)
{
    bool in_string = false;
    size_t kept = 0;
    for (size_t i = 0; i < json->size; i++) {
        char c = json->data[i];
        bool escaped = in_string && c == '\\';
        if (c == '"')
            in_string = !in_string;
        if (in_string || (c != '\n' && c != ' '))
            json->data[kept++] = c;
        if (escaped)
            json->data[kept++] = json->data[++i];
    }
    json->size = kept;
    frt_buf_append_char(json, '\n');
}
