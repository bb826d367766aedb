/*
 * Log lines on stderr: logfmt (default) or JSON, one line an event, values escaped.
 *
 *     frt_log(FRT_LOG_INFO, "request", FRT_LOG_STR("route", r), FRT_LOG_INT("status", 200), FRT_LOG_END);
 *
 * A text is cut to 2,048 bytes and a line to 8,192: fields that do not fit are left out and cut=1 says so.
 * A line stays valid whatever the values hold. On a thread that works in a trace (trace_context.h) a line has
 * trace_id and span_id. Events and fields are a format: docs/formats/log-v1.md lists them all.
 *
 * No embedding, image byte, password or token is ever passed in; URLs go without their query.
 *
 * Threading: internally locked; a line is one write(2).
 */
#ifndef FRT_CORE_LOG_H
#define FRT_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum frt_log_level { FRT_LOG_DEBUG = 0, FRT_LOG_INFO, FRT_LOG_WARN, FRT_LOG_ERROR, FRT_LOG_OFF };

struct frt_log_field {
    const char *key; /* NULL ends the list */
    enum { FRT_LOG_IS_STR, FRT_LOG_IS_INT, FRT_LOG_IS_NUM } kind;
    const char *text;
    int64_t integer;
    double number;
};

#define FRT_LOG_STR(k, v) ((struct frt_log_field){.key = (k), .kind = FRT_LOG_IS_STR, .text = (v)})
#define FRT_LOG_INT(k, v) ((struct frt_log_field){.key = (k), .kind = FRT_LOG_IS_INT, .integer = (int64_t)(v)})
#define FRT_LOG_NUM(k, v) ((struct frt_log_field){.key = (k), .kind = FRT_LOG_IS_NUM, .number = (v)})
#define FRT_LOG_END ((struct frt_log_field){.key = 0})

/** Process-wide settings; call before threads start. Default: INFO, logfmt, fd 2. */
void frt_log_configure(enum frt_log_level level, bool json, int fd);
bool frt_log_enabled(enum frt_log_level level);
/** "debug", "info", "warn", "error", "off" → level; false for another word. */
bool frt_log_level_parse(const char *word, enum frt_log_level *out);

void frt_log_fields(enum frt_log_level level, const char *event, const struct frt_log_field *fields);
#define frt_log(level, event, ...) frt_log_fields((level), (event), (const struct frt_log_field[]){__VA_ARGS__})

#endif
