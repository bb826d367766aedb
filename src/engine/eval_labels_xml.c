/*
 * dlib's XML of labelled boxes, by a strict reader of as much XML as imglab writes: elements, attributes in
 * quotes, the five entities of XML itself and numeric ones, comments, processing instructions. What is not
 * well formed is refused with its line.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/eval_labels.h"

enum { MAX_DEPTH = 32, MAX_ATTRIBUTES = 32, MAX_VALUE = 2048 };

struct span {
    const char *at;
    size_t n;
};

struct tag {
    struct span name;
    bool closes, empty; /* </name>, <name/> */
    size_t n;
    struct {
        struct span name, value; /* the value as it stands, entities and all */
    } attributes[MAX_ATTRIBUTES];
};

struct reader {
    const char *at, *end;
    size_t line;
    struct span open[MAX_DEPTH];
    size_t depth;
    bool root_seen;
    struct frt_error *err;
};

static bool is(const struct span *span, const char *word)
{
    return span->n == strlen(word) && memcmp(span->at, word, span->n) == 0;
}

static enum frt_status refuse(const struct reader *r, const char *what)
{
    return frt_fail(r->err, FRT_EBAD_REQUEST, "line %zu: %s", r->line, what);
}

static void count_lines(struct reader *r, const char *to)
{
    for (; r->at < to; r->at++)
        r->line += *r->at == '\n';
}

static bool begins(const struct reader *r, const char *word)
{
    const size_t n = strlen(word);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, word, n) == 0;
}

/* Behind the next `word`; false when there is none. */
static bool skip_behind(struct reader *r, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = r->at; (size_t)(r->end - p) >= n; p++) {
        if (memcmp(p, word, n) == 0) {
            count_lines(r, p + n);
            return true;
        }
    }
    return false;
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && isspace((unsigned char)*r->at)) {
        r->line += *r->at == '\n';
        r->at++;
    }
}

static struct span read_name(struct reader *r)
{
    struct span name = {r->at, 0};
    while (r->at < r->end && (isalnum((unsigned char)*r->at) || strchr("_-.:", *r->at) != NULL) && *r->at != 0)
        r->at++;
    name.n = (size_t)(r->at - name.at);
    return name;
}

static enum frt_status read_attribute(struct reader *r, struct tag *tag)
{
    if (tag->n == MAX_ATTRIBUTES)
        return refuse(r, "an element with more than 32 attributes");
    struct span name = read_name(r);
    skip_blanks(r);
    if (name.n == 0 || r->at == r->end || *r->at != '=')
        return refuse(r, "in an element, name=\"value\" is right");
    r->at++;
    skip_blanks(r);
    if (r->at == r->end || (*r->at != '"' && *r->at != '\''))
        return refuse(r, "an attribute's value stands in quotes");
    const char quote = *r->at++;
    const char *close = memchr(r->at, quote, (size_t)(r->end - r->at));
    if (close == NULL || memchr(r->at, '<', (size_t)(close - r->at)) != NULL)
        return refuse(r, "an attribute's value is not closed");
    for (size_t i = 0; i < tag->n; i++)
        if (tag->attributes[i].name.n == name.n && memcmp(tag->attributes[i].name.at, name.at, name.n) == 0)
            return refuse(r, "an attribute stands there twice");
    tag->attributes[tag->n].name = name;
    tag->attributes[tag->n++].value = (struct span){r->at, (size_t)(close - r->at)};
    count_lines(r, close + 1);
    return FRT_OK;
}

/* r->at stands on '<' of an element. */
static enum frt_status read_tag(struct reader *r, struct tag *tag)
{
    *tag = (struct tag){0};
    r->at++;
    if (r->at < r->end && *r->at == '/') {
        tag->closes = true;
        r->at++;
    }
    tag->name = read_name(r);
    if (tag->name.n == 0)
        return refuse(r, "\"<\" without the name of an element");
    for (;;) {
        const char *before = r->at;
        skip_blanks(r);
        if (r->at == r->end)
            return refuse(r, "the file ends amid an element");
        if (*r->at == '>') {
            r->at++;
            return FRT_OK;
        }
        if (*r->at == '/' && !tag->closes && r->end - r->at > 1 && r->at[1] == '>') {
            tag->empty = true;
            r->at += 2;
            return FRT_OK;
        }
        if (tag->closes || before == r->at)
            return refuse(r, "an element is not written as <name attribute=\"value\">");
        enum frt_status status = read_attribute(r, tag);
        if (status != FRT_OK)
            return status;
    }
}

/* The next element's tag; more: false at the end of the file. Comments and instructions are passed over. */
static enum frt_status next_tag(struct reader *r, struct tag *tag, bool *more)
{
    for (;;) {
        const char *p = r->at;
        while (p < r->end && *p != '<') {
            if (r->depth == 0 && !isspace((unsigned char)*p)) {
                count_lines(r, p);
                return refuse(r, "text outside of all elements");
            }
            p++;
        }
        count_lines(r, p);
        *more = r->at < r->end;
        if (!*more)
            return FRT_OK;
        if (begins(r, "<!--")) {
            r->at += 4;
            if (!skip_behind(r, "-->"))
                return refuse(r, "a comment is not closed");
        } else if (begins(r, "<?")) {
            if (!skip_behind(r, "?>"))
                return refuse(r, "an instruction is not closed");
        } else if (begins(r, "<!")) {
            return refuse(r, "document types and CDATA are not read");
        } else {
            return read_tag(r, tag);
        }
    }
}

/* Bytes of an attribute's value. False: an entity that XML itself does not have, or too long. */
static bool unescape(const struct span *value, char out[MAX_VALUE])
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    size_t n = 0;
    for (size_t i = 0; i < value->n;) {
        size_t known = 0;
        if (n + 1 >= MAX_VALUE || value->at[i] == '\0')
            return false;
        if (value->at[i] != '&') {
            out[n++] = value->at[i++];
            continue;
        }
        for (size_t e = 0; e < sizeof entities / sizeof *entities && known == 0; e++) {
            const size_t size = strlen(entities[e].name);
            if (value->n - i >= size && memcmp(value->at + i, entities[e].name, size) == 0) {
                out[n++] = entities[e].c;
                known = size;
            }
        }
        if (known == 0 && value->n - i > 3 && value->at[i + 1] == '#') {
            /* &#N;, of ASCII: names in other scripts stand there as bytes */
            char digits[8] = "", *end = NULL;
            for (size_t d = 0; d + 1 < sizeof digits && i + 2 + d < value->n; d++)
                digits[d] = value->at[i + 2 + d];
            const unsigned long c = strtoul(digits, &end, 10);
            if (!isdigit((unsigned char)digits[0]) || *end != ';' || c < 0x20 || c > 0x7e)
                return false;
            out[n++] = (char)c;
            known = (size_t)(end - digits) + 3;
        }
        if (known == 0)
            return false;
        i += known;
    }
    out[n] = '\0';
    return true;
}

/* An attribute's text; found: false when the element has none of this name. */
static enum frt_status text_of(const struct reader *r, const struct tag *tag, const char *name,
                               char out[MAX_VALUE], bool *found)
{
    *found = false;
    for (size_t i = 0; i < tag->n; i++) {
        if (!is(&tag->attributes[i].name, name))
            continue;
        if (!unescape(&tag->attributes[i].value, out))
            return refuse(r, "an attribute's value is too long, or has an entity that is not read");
        *found = true;
    }
    return FRT_OK;
}

static enum frt_status number_of(const struct reader *r, const struct tag *tag, const char *name, double *out)
{
    char text[MAX_VALUE], *end = NULL;
    bool found = false;
    enum frt_status status = text_of(r, tag, name, text, &found);
    if (status != FRT_OK)
        return status;
    *out = found ? strtod(text, &end) : 0;
    if (!found || end == text || *end != '\0')
        return frt_fail(r->err, FRT_EBAD_REQUEST,
                        "line %zu: a box needs top, left, width and height, each a number; %s is %s", r->line,
                        name, found ? "none" : "missing");
    return FRT_OK;
}

static enum frt_status flag_of(const struct reader *r, const struct tag *tag, const char *name, bool *flag)
{
    char text[MAX_VALUE];
    bool found = false;
    enum frt_status status = text_of(r, tag, name, text, &found);
    if (status == FRT_OK && found)
        *flag = *flag || (strcmp(text, "0") != 0 && strcmp(text, "") != 0 && strcmp(text, "false") != 0);
    return status;
}

static enum frt_status take_box(const struct reader *r, const struct tag *tag, struct frt_labels *labels)
{
    static const char *const names[4] = {"left", "top", "width", "height"};
    double box[4] = {0};
    bool ignored = false;
    enum frt_status status = FRT_OK;
    for (int i = 0; status == FRT_OK && i < 4; i++)
        status = number_of(r, tag, names[i], &box[i]);
    if (status == FRT_OK)
        status = flag_of(r, tag, "ignore", &ignored);
    if (status == FRT_OK)
        status = flag_of(r, tag, "difficult", &ignored);
    if (status == FRT_OK && !(box[2] > 0 && box[3] > 0))
        return refuse(r, "a box without an area");
    return status == FRT_OK ? frt_labels_add_box(labels, box, ignored, r->line, r->err) : status;
}

static enum frt_status take_photo(const struct reader *r, const struct tag *tag, struct frt_labels *labels)
{
    char file[MAX_VALUE];
    bool found = false;
    enum frt_status status = text_of(r, tag, "file", file, &found);
    if (status == FRT_OK && !found)
        return refuse(r, "an image without file=\"…\"");
    return status == FRT_OK ? frt_labels_add_photo(labels, file, r->line, r->err) : status;
}

static bool path_is(const struct reader *r, size_t n, const char *const *names)
{
    for (size_t i = 0; i < n; i++)
        if (!is(&r->open[i], names[i]))
            return false;
    return r->depth == n;
}

/* An element begins: what it means depends on where it stands. */
static enum frt_status take_tag(struct reader *r, const struct tag *tag, struct frt_labels *labels)
{
    static const char *const path[] = {"dataset", "images", "image"};
    enum frt_status status = FRT_OK;
    if (r->depth == 0) {
        if (r->root_seen || !is(&tag->name, "dataset"))
            return refuse(r, "one element <dataset> around all is right");
        r->root_seen = true;
    } else if (path_is(r, 2, path) && is(&tag->name, "image")) {
        status = take_photo(r, tag, labels);
    } else if (path_is(r, 3, path) && is(&tag->name, "box")) {
        status = take_box(r, tag, labels);
    }
    if (status != FRT_OK || tag->empty)
        return status;
    if (r->depth == MAX_DEPTH)
        return refuse(r, "elements lie more than 32 deep");
    r->open[r->depth++] = tag->name;
    return FRT_OK;
}

enum frt_status frt_labels_parse_xml(struct frt_labels *labels, const char *text, size_t size,
                                     struct frt_error *err)
{
    struct reader r = {.at = text, .end = text + size, .line = 1, .err = err};
    struct tag tag = {0};
    bool more = false;
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        r.at += 3;
    enum frt_status status = next_tag(&r, &tag, &more);
    while (status == FRT_OK && more) {
        if (tag.closes) {
            if (r.depth == 0 || tag.name.n != r.open[r.depth - 1].n ||
                memcmp(tag.name.at, r.open[r.depth - 1].at, tag.name.n) != 0)
                return refuse(&r, "an element is closed that is not open");
            r.depth--;
        } else {
            status = take_tag(&r, &tag, labels);
        }
        if (status == FRT_OK)
            status = next_tag(&r, &tag, &more);
    }
    if (status == FRT_OK && r.depth > 0)
        return refuse(&r, "the file ends before all elements are closed");
    if (status == FRT_OK && !r.root_seen)
        return refuse(&r, "there is no element <dataset>");
    return status;
}
