#include "core/log.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json_write.h"

enum { MAX_LINE_BYTES = 8192 };

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

static void value(struct frt_json_writer *w, struct frt_buf *line, const struct frt_log_field *f)
{
    switch (f->kind) {
    case FRT_LOG_IS_STR:
        if (w->depth == 0 && f->text != NULL && !needs_quotes(f->text))
            frt_buf_append_text(line, f->text);
        else
            frt_json_string(w, f->text);
        break;
    case FRT_LOG_IS_INT:
        frt_json_int(w, f->integer);
        break;
    case FRT_LOG_IS_NUM:
        frt_json_fixed(w, f->number, 3);
        break;
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
    if (as_json) {
        frt_json_object(&w);
        frt_json_key(&w, "time");
        frt_json_string(&w, now);
        frt_json_key(&w, "level");
        frt_json_string(&w, level_names[level]);
        frt_json_key(&w, "event");
        frt_json_string(&w, event);
        for (const struct frt_log_field *f = fields; f->key != NULL; f++) {
            frt_json_key(&w, f->key);
            value(&w, &line, f);
        }
        frt_json_end(&w);
    } else {
        frt_buf_printf(&line, "time=%s level=%s event=%s", now, level_names[level], event);
        for (const struct frt_log_field *f = fields; f->key != NULL; f++) {
            frt_buf_printf(&line, " %s=", f->key);
            value(&w, &line, f);
        }
    }
    frt_buf_append_char(&line, '\n');
    if (line.data != NULL) {
        ssize_t written = write(out_fd, line.data, line.size);
        (void)written; /* nowhere left to report a log that cannot be written */
    }
    frt_buf_deinit(&line);
}
