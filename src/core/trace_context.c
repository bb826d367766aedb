#include "core/trace_context.h"

#include <stdio.h>
#include <string.h>

#include "core/unique_bits.h"

enum {
    PARENT_LENGTH = FRT_TRACEPARENT_SIZE - 1,
    MAX_MEMBERS = 32,
    MAX_KEY = 256,
    MAX_VALUE = 256,
    LONG_MEMBER = 128
};

static _Thread_local const struct frt_trace_context *attached;

/* ------------------------------------------------------------- traceparent */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool all_hex(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (hex_digit(text[i]) < 0)
            return false;
    return true;
}

static bool all_zero(const char *text, size_t n)
{
    return strspn(text, "0") >= n;
}

/* Blanks around a header's value are not part of it. */
static const char *trimmed(const char *text, size_t *n)
{
    text += strspn(text, " \t");
    *n = strlen(text);
    while (*n > 0 && (text[*n - 1] == ' ' || text[*n - 1] == '\t'))
        (*n)--;
    return text;
}

bool frt_trace_context_parse(const char *traceparent, struct frt_trace_context *out)
{
    size_t n = 0;
    const char *p = trimmed(traceparent, &n), *trace_id = p + 3, *parent_id = p + 36, *flags = p + 53;
    *out = (struct frt_trace_context){.flags = 0};
    if (n < PARENT_LENGTH || p[2] != '-' || p[35] != '-' || p[52] != '-')
        return false;
    if (!all_hex(p, 2) || !all_hex(trace_id, 32) || !all_hex(parent_id, 16) || !all_hex(flags, 2))
        return false;
    if (memcmp(p, "ff", 2) == 0 || all_zero(trace_id, 32) || all_zero(parent_id, 16))
        return false;
    /* a later version may have more behind these fields, version 00 has not */
    if (n > PARENT_LENGTH && (memcmp(p, "00", 2) == 0 || p[PARENT_LENGTH] != '-'))
        return false;
    memcpy(out->trace_id, trace_id, 32);
    memcpy(out->parent_id, parent_id, 16);
    /* flags that are not known are not handed on */
    out->flags = (uint8_t)(((unsigned)hex_digit(flags[0]) << 4 | (unsigned)hex_digit(flags[1])) &
                           (FRT_TRACE_SAMPLED | FRT_TRACE_RANDOM));
    do {
        frt_unique_hex(out->span_id, FRT_SPAN_ID_SIZE - 1);
    } while (all_zero(out->span_id, FRT_SPAN_ID_SIZE - 1));
    return true;
}

void frt_trace_context_write(const struct frt_trace_context *context, char out[FRT_TRACEPARENT_SIZE])
{
    (void)snprintf(out, FRT_TRACEPARENT_SIZE, "00-%s-%s-%02x", context->trace_id, context->span_id,
                   context->flags);
}

/* -------------------------------------------------------------- tracestate */

struct member {
    const char *text;
    size_t size, key;
};

static bool key_character(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (!first && c != '\0' && strchr("_-*/@", c) != NULL);
}

/* key=value: 1..256 bytes each, of printable ASCII; a value holds no '=' and ends with no blank. */
static bool read_member(const char *text, size_t size, struct member *out)
{
    size_t key = 0;
    while (key < size && key_character(text[key], key == 0))
        key++;
    if (key == 0 || key > MAX_KEY || key == size || text[key] != '=' || size - key - 1 == 0 ||
        size - key - 1 > MAX_VALUE)
        return false;
    for (size_t i = key + 1; i < size; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '=')
            return false;
    *out = (struct member){text, size, key};
    return true;
}

/* False: malformed. */
static bool read_members(const char *text, struct member members[MAX_MEMBERS], size_t *n)
{
    *n = 0;
    for (const char *next = text; next != NULL;) {
        const char *comma = strchr(next, ',');
        size_t size = comma == NULL ? strlen(next) : (size_t)(comma - next);
        size_t blank = strspn(next, " \t");
        const char *at = next + (blank < size ? blank : size);
        size -= (size_t)(at - next);
        while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t'))
            size--;
        next = comma == NULL ? NULL : comma + 1;
        if (size == 0)
            continue; /* an empty member is allowed and says nothing */
        if (*n == MAX_MEMBERS || !read_member(at, size, &members[*n]))
            return false;
        for (size_t i = 0; i < *n; i++)
            if (members[i].key == members[*n].key && memcmp(members[i].text, at, members[i].key) == 0)
                return false;
        (*n)++;
    }
    return true;
}

void frt_trace_context_take_state(struct frt_trace_context *context, const char *tracestate)
{
    struct member members[MAX_MEMBERS];
    size_t n = 0, all = 0, used = 0;
    context->state[0] = '\0';
    if (!read_members(tracestate, members, &n))
        return;
    for (size_t i = 0; i < n; i++)
        all += members[i].size + (i > 0);
    for (size_t i = 0; i < n; i++) {
        if (all > FRT_TRACESTATE_MAX && members[i].size > LONG_MEMBER)
            continue;
        if (used + (used > 0) + members[i].size > FRT_TRACESTATE_MAX)
            break;
        if (used > 0)
            context->state[used++] = ',';
        memcpy(context->state + used, members[i].text, members[i].size);
        used += members[i].size;
    }
    context->state[used] = '\0';
}

/* ------------------------------------------------------------------ threads */

void frt_trace_context_attach(const struct frt_trace_context *context)
{
    attached = context != NULL && context->trace_id[0] != '\0' ? context : NULL;
}

const struct frt_trace_context *frt_trace_context_attached(void)
{
    return attached;
}
