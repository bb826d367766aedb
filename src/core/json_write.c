#include "core/json_write.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

void frt_json_writer_init(struct frt_json_writer *writer, struct frt_buf *out, bool pretty)
{
    *writer = (struct frt_json_writer){.out = out, .pretty = pretty};
}

static void newline(struct frt_json_writer *w)
{
    if (!w->pretty)
        return;
    frt_buf_append_char(w->out, '\n');
    for (unsigned i = 0; i < w->depth; i++)
        frt_buf_append(w->out, "  ", 2);
}

/* Comma and indent before a value or key. */
static void begin_item(struct frt_json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    if (w->level[w->depth - 1].has_items)
        frt_buf_append_char(w->out, ',');
    w->level[w->depth - 1].has_items = true;
    newline(w);
}

static void open_level(struct frt_json_writer *w, bool is_array)
{
    begin_item(w);
    assert(w->depth < FRT_JSON_MAX_DEPTH);
    w->level[w->depth].is_array = is_array;
    w->level[w->depth].has_items = false;
    w->depth++;
    frt_buf_append_char(w->out, is_array ? '[' : '{');
}

void frt_json_object(struct frt_json_writer *writer)
{
    open_level(writer, false);
}

void frt_json_array(struct frt_json_writer *writer)
{
    open_level(writer, true);
}

void frt_json_end(struct frt_json_writer *writer)
{
    assert(writer->depth > 0);
    writer->depth--;
    bool had_items = writer->level[writer->depth].has_items;
    if (had_items)
        newline(writer);
    frt_buf_append_char(writer->out, writer->level[writer->depth].is_array ? ']' : '}');
    if (writer->depth == 0 && writer->pretty)
        frt_buf_append_char(writer->out, '\n');
}

static void escaped(struct frt_buf *out, const char *text, size_t size)
{
    size_t plain = 0;
    frt_buf_append_char(out, '"');
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t n = 1;
        bool keep = false;
        if (c >= 0x80) {
            for (n = 2; n <= 4 && i + n <= size && !frt_utf8_valid(text + i, n); n++)
                ;
            keep = n <= 4 && i + n <= size;
            if (!keep)
                n = 1;
        }
        if (!keep) {
            frt_buf_append(out, text + plain, i - plain);
            plain = i + n;
            if (c == '"' || c == '\\') {
                char pair[2] = {'\\', (char)c};
                frt_buf_append(out, pair, 2);
            } else if (c == '\n') {
                frt_buf_append(out, "\\n", 2);
            } else if (c < 0x80) {
                frt_buf_printf(out, "\\u%04x", c);
            } else {
                frt_buf_append_text(out, "\xEF\xBF\xBD");
            }
        }
        i += n;
    }
    frt_buf_append(out, text + plain, size - plain);
    frt_buf_append_char(out, '"');
}

void frt_json_key(struct frt_json_writer *writer, const char *key)
{
    begin_item(writer);
    escaped(writer->out, key, strlen(key));
    frt_buf_append_text(writer->out, writer->pretty ? ": " : ":");
    writer->after_key = true;
}

void frt_json_string_n(struct frt_json_writer *writer, const char *text, size_t size)
{
    begin_item(writer);
    escaped(writer->out, text, size);
}

void frt_json_string(struct frt_json_writer *writer, const char *text)
{
    if (text == NULL)
        frt_json_null(writer);
    else
        frt_json_string_n(writer, text, strlen(text));
}

void frt_json_raw(struct frt_json_writer *writer, const char *json, size_t size)
{
    begin_item(writer);
    frt_buf_append(writer->out, json, size);
}

void frt_json_bool(struct frt_json_writer *writer, bool value)
{
    frt_json_raw(writer, value ? "true" : "false", value ? 4 : 5);
}

void frt_json_null(struct frt_json_writer *writer)
{
    frt_json_raw(writer, "null", 4);
}

void frt_json_int(struct frt_json_writer *writer, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    frt_json_raw(writer, text, (size_t)n);
}

void frt_json_number(struct frt_json_writer *writer, double value)
{
    char text[32];
    if (!isfinite(value)) {
        frt_json_null(writer);
        return;
    }
    int n = 0;
    for (int digits = 3; digits <= 17; digits += digits < 15 ? 6 : 1) {
        n = snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    frt_json_raw(writer, text, (size_t)n);
}

void frt_json_float(struct frt_json_writer *writer, float value)
{
    char text[32];
    if (!isfinite(value)) {
        frt_json_null(writer);
        return;
    }
    int n = 0;
    for (int digits = 8; digits <= 9; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    frt_json_raw(writer, text, (size_t)n);
}

void frt_json_fixed(struct frt_json_writer *writer, double value, int decimals)
{
    char text[64];
    if (!isfinite(value) || fabs(value) > 1e15) {
        frt_json_number(writer, value);
        return;
    }
    int n = snprintf(text, sizeof text, "%.*f", decimals, value);
    if (strchr(text, '.') != NULL) {
        while (text[n - 1] == '0')
            n--;
        if (text[n - 1] == '.')
            n--;
    }
    if (n == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        n = 1;
    }
    frt_json_raw(writer, text, (size_t)n);
}
