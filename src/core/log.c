#include "core/log.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json_write.h"
#include "core/trace_context.h"

/* One line is one write(2); up to PIPE_BUF (4,096) the kernel does not mix it with another process's.
 * TAIL_BYTES: kept free for the mark of a cut line and its end. */
enum { MAX_LINE_BYTES = 8192, MAX_TEXT_BYTES = 2048, TAIL_BYTES = 32 };

/* Set once before threads start, read without a lock afterwards; the level may change later. */
static _Atomic int level_now = FRT_LOG_INFO;
static bool as_json;
static int out_fd = STDERR_FILENO;

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

void frt_log_configure(enum frt_log_level level, bool json, int fd)
{
    atomic_store(&level_now, (int)level);
    as_json = json;
    out_fd = fd;
}

bool frt_log_enabled(enum frt_log_level level)
{
    /* relaxed: a line more or less around a change of level is no harm */
    return (int)level >= atomic_load_explicit(&level_now, memory_order_relaxed);
}

bool frt_log_level_parse(const char *word, enum frt_log_level *out)
{
    for (int i = FRT_LOG_DEBUG; i <= FRT_LOG_OFF; i++) {
        if (strcmp(word, level_names[i]) == 0) {
            *out = (enum frt_log_level)i;
            return true;
        }
    }
    return false;
}

static void timestamp(char out[40])
{
    int64_t now = frt_clock_system.wall_ns(&frt_clock_system);
    time_t seconds = (time_t)(now / 1000000000);
    struct tm utc = {0};
    (void)gmtime_r(&seconds, &utc);
    size_t n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &utc);
    int ms = (int)(now / 1000000 % 1000);
    char tail[6] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    memcpy(out + n, tail, sizeof tail);
}

static bool needs_quotes(const char *text)
{
    if (*text == '\0')
        return true;
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || (unsigned char)*p >= 0x7F)
            return true;
    return false;
}

/* At most MAX_TEXT_BYTES of a text, whole characters. */
static size_t text_length(const char *text)
{
    size_t n = strnlen(text, MAX_TEXT_BYTES + 1);
    if (n <= MAX_TEXT_BYTES)
        return n;
    n = MAX_TEXT_BYTES;
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    return n;
}

static void string(struct frt_json_writer *w, struct frt_buf *line, const char *text)
{
    if (text == NULL)
        frt_json_null(w);
    else if (!as_json && !needs_quotes(text))
        frt_buf_append(line, text, text_length(text));
    else
        frt_json_string_n(w, text, text_length(text));
}

static void field(struct frt_json_writer *w, struct frt_buf *line, const struct frt_log_field *f)
{
    if (as_json)
        frt_json_key(w, f->key);
    else
        frt_buf_printf(line, "%s%s=", line->size > 0 ? " " : "", f->key);
    switch (f->kind) {
    case FRT_LOG_IS_STR:
        string(w, line, f->text);
        break;
    case FRT_LOG_IS_INT:
        frt_json_int(w, f->integer);
        break;
    case FRT_LOG_IS_NUM:
        frt_json_fixed(w, f->number, 3);
        break;
    }
}

/* A field whole or not at all: a line that is too long stays one valid line, and says so. */
static void fields_that_fit(struct frt_json_writer *w, struct frt_buf *line, const struct frt_log_field *fields)
{
    for (const struct frt_log_field *f = fields; f->key != NULL; f++) {
        struct frt_json_writer writer_before = *w;
        size_t size_before = line->size;
        field(w, line, f);
        if (line->failed == FRT_EBODY_TOO_LARGE ||
            (line->failed == FRT_OK && line->size > MAX_LINE_BYTES - TAIL_BYTES)) {
            *w = writer_before;
            line->size = size_before;
            line->failed = FRT_OK;
            field(w, line, &FRT_LOG_INT("cut", 1));
            return;
        }
    }
}

void frt_log_fields(enum frt_log_level level, const char *event, const struct frt_log_field *fields)
{
    if (!frt_log_enabled(level) || level >= FRT_LOG_OFF)
        return;
    struct frt_buf line;
    struct frt_json_writer w;
    char now[40];
    frt_buf_init(&line, MAX_LINE_BYTES);
    frt_json_writer_init(&w, &line, false);
    timestamp(now);
    const struct frt_log_field head[] = {FRT_LOG_STR("time", now), FRT_LOG_STR("level", level_names[level]),
                                         FRT_LOG_STR("event", event), FRT_LOG_END};
    if (as_json)
        frt_json_object(&w);
    fields_that_fit(&w, &line, head);
    const struct frt_trace_context *context = frt_trace_context_attached();
    if (context != NULL) {
        const struct frt_log_field trace[] = {FRT_LOG_STR("trace_id", context->trace_id),
                                              FRT_LOG_STR("span_id", context->span_id), FRT_LOG_END};
        fields_that_fit(&w, &line, trace);
    }
    fields_that_fit(&w, &line, fields);
    if (as_json)
        frt_json_end(&w);
    frt_buf_append_char(&line, '\n');
    ssize_t written; /* unused: nowhere is left to report a log that cannot be written */
    if (frt_buf_status(&line) == FRT_OK) {
        written = write(out_fd, line.data, line.size);
    } else {
        static const char no_memory[] = "level=error event=log_line_lost reason=memory\n";
        static const char no_memory_json[] =
            "{\"level\":\"error\",\"event\":\"log_line_lost\",\"reason\":\"memory\"}\n";
        written = as_json ? write(out_fd, no_memory_json, sizeof no_memory_json - 1)
                          : write(out_fd, no_memory, sizeof no_memory - 1);
    }
    (void)written;
    frt_buf_deinit(&line);
}
