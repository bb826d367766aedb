/* Pairs files: see eval_pairs.h for the format. Every field is checked before it names a file. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "engine/eval_pairs.h"

enum { MAX_FIELDS = 5, MAX_NAME = 200, MAX_NUMBER = 99999999 };

struct field {
    const char *text;
    size_t size;
};

struct photo_ref {
    struct field name;
    uint32_t number;
};

struct pair_ref {
    struct photo_ref photo[2];
    uint32_t fold;
    bool same;
};

struct reader {
    const char *at, *end;
    uint32_t line;
    struct pair_ref *pairs;
    size_t n, capacity;
    uint32_t folds, per_kind; /* 0: no first line */
};

static int compare_refs(const struct photo_ref *a, const struct photo_ref *b)
{
    const size_t shorter = a->name.size < b->name.size ? a->name.size : b->name.size;
    const int order = shorter == 0 ? 0 : memcmp(a->name.text, b->name.text, shorter);
    if (order != 0)
        return order;
    if (a->name.size != b->name.size)
        return a->name.size < b->name.size ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static int by_photo(const void *a, const void *b)
{
    return compare_refs(a, b);
}

/* Fields of the next line that has any; 0 at the end, MAX_FIELDS when there are that many or more. */
static size_t next_line(struct reader *r, struct field fields[MAX_FIELDS])
{
    size_t n = 0;
    while (n == 0 && r->at < r->end) {
        const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
        const char *p = r->at;
        if (stop == NULL)
            stop = r->end;
        r->line++;
        while (n < MAX_FIELDS) {
            while (p < stop && (*p == ' ' || *p == '\t' || *p == '\r'))
                p++;
            if (p == stop)
                break;
            const char *begin = p;
            while (p < stop && *p != ' ' && *p != '\t' && *p != '\r')
                p++;
            fields[n++] = (struct field){begin, (size_t)(p - begin)};
        }
        r->at = stop < r->end ? stop + 1 : r->end;
    }
    return n;
}

static bool read_number(struct field f, uint32_t *out)
{
    uint32_t value = 0;
    if (f.size == 0 || f.size > 8)
        return false;
    for (size_t i = 0; i < f.size; i++) {
        if (f.text[i] < '0' || f.text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(f.text[i] - '0');
    }
    *out = value;
    return true;
}

/* A name becomes a folder and part of a file's name: nothing that could lead elsewhere. */
static bool is_name(struct field f)
{
    if (f.size == 0 || f.size > MAX_NAME || f.text[0] == '.')
        return false;
    for (size_t i = 0; i < f.size; i++) {
        const unsigned char c = (unsigned char)f.text[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
            return false;
    }
    return true;
}

static enum frt_status read_photo(const struct reader *r, struct field name, struct field number,
                                  struct photo_ref *out, struct frt_error *err)
{
    if (!is_name(name))
        return frt_fail(
            err, FRT_EBAD_REQUEST,
            "pairs file, line %u: \"%.*s\" is no person's name (1 to %d bytes, no slash, no dot in front)",
            r->line, (int)(name.size < 60 ? name.size : 60), name.text, MAX_NAME);
    if (!read_number(number, &out->number) || out->number == 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "pairs file, line %u: \"%.*s\" is no photo number; 1 to %d fit",
                        r->line, (int)(number.size < 60 ? number.size : 60), number.text, MAX_NUMBER);
    out->name = name;
    return FRT_OK;
}

static enum frt_status add_pair(struct reader *r, const struct field *f, size_t n_fields, struct frt_error *err)
{
    if (n_fields != 3 && n_fields != 4)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "pairs file, line %u: %zu%s fields; \"name n n\" or \"name n name n\" would be right",
                        r->line, n_fields, n_fields == MAX_FIELDS ? " or more" : "");
    if (r->n == FRT_EVAL_MAX_PAIRS)
        return frt_fail(err, FRT_EBAD_REQUEST, "pairs file has more than %u pairs", FRT_EVAL_MAX_PAIRS);
    struct pair_ref pair = {.same = n_fields == 3};
    enum frt_status status = read_photo(r, f[0], f[1], &pair.photo[0], err);
    if (status == FRT_OK)
        status = read_photo(r, pair.same ? f[0] : f[2], pair.same ? f[2] : f[3], &pair.photo[1], err);
    if (status != FRT_OK)
        return status;
    if (compare_refs(&pair.photo[0], &pair.photo[1]) == 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "pairs file, line %u: a photo is paired with itself", r->line);
    if (!pair.same && pair.photo[0].name.size == pair.photo[1].name.size &&
        memcmp(pair.photo[0].name.text, pair.photo[1].name.text, pair.photo[0].name.size) == 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "pairs file, line %u: different people have the same name",
                        r->line);
    if (r->per_kind > 0) {
        const size_t in_fold = r->n % (2 * (size_t)r->per_kind);
        pair.fold = (uint32_t)(r->n / (2 * (size_t)r->per_kind));
        if (pair.fold >= r->folds)
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "pairs file, line %u: a pair too many; the first line says %u × 2 × %u pairs",
                            r->line, r->folds, r->per_kind);
        if (pair.same != (in_fold < r->per_kind))
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "pairs file, line %u: a pair of %s stands where the first line wants one of %s",
                            r->line, pair.same ? "one person" : "two people",
                            pair.same ? "two people" : "one person");
    }
    if (r->n == r->capacity) {
        const size_t capacity = r->capacity == 0 ? 1024 : 2 * r->capacity;
        struct pair_ref *grown = frt_realloc(r->pairs, capacity * sizeof *grown);
        if (grown == NULL)
            return frt_fail_nomem(err, "pairs");
        r->pairs = grown;
        r->capacity = capacity;
    }
    r->pairs[r->n++] = pair;
    return FRT_OK;
}

static enum frt_status read_lines(struct reader *r, struct frt_error *err)
{
    struct field f[MAX_FIELDS];
    enum frt_status status = FRT_OK;
    size_t n = next_line(r, f);
    uint32_t first = 0, second = 0;
    r->folds = 1;
    if ((n == 1 && read_number(f[0], &first)) ||
        (n == 2 && read_number(f[0], &first) && read_number(f[1], &second))) {
        r->folds = n == 1 ? 1 : first;
        r->per_kind = n == 1 ? first : second;
        if (r->folds == 0 || r->folds > FRT_EVAL_MAX_FOLDS || r->per_kind == 0 ||
            r->per_kind > FRT_EVAL_MAX_PAIRS / 2 / r->folds)
            return frt_fail(
                err, FRT_EBAD_REQUEST,
                "pairs file, line %u: %u folds of 2 × %u pairs; 1 to %d folds and %u pairs in all fit", r->line,
                r->folds, r->per_kind, FRT_EVAL_MAX_FOLDS, FRT_EVAL_MAX_PAIRS);
        n = next_line(r, f);
    }
    for (; n > 0 && status == FRT_OK; n = next_line(r, f))
        status = add_pair(r, f, n, err);
    if (status != FRT_OK)
        return status;
    if (r->n == 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "pairs file has no pairs");
    if (r->per_kind > 0 && r->n != (size_t)r->folds * 2 * r->per_kind)
        return frt_fail(err, FRT_EBAD_REQUEST, "pairs file has %zu pairs; its first line says %u × 2 × %u",
                        r->n, r->folds, r->per_kind);
    return FRT_OK;
}

enum frt_status frt_eval_protocol_parse(const char *text, size_t size, struct frt_eval_protocol *out,
                                        struct frt_error *err)
{
    enum frt_status status;
    struct reader r = {.at = text, .end = text + size};
    struct photo_ref *refs = NULL;
    struct frt_eval_protocol made = {0};
    size_t n_refs = 0;

    status = read_lines(&r, err);
    if (status != FRT_OK)
        goto done;
    refs = frt_alloc_array(2 * r.n, sizeof *refs);
    made.pairs = frt_alloc_array(r.n, sizeof *made.pairs);
    if (refs == NULL || made.pairs == NULL) {
        status = frt_fail_nomem(err, "pairs");
        goto done;
    }
    for (size_t i = 0; i < r.n; i++) {
        refs[2 * i] = r.pairs[i].photo[0];
        refs[2 * i + 1] = r.pairs[i].photo[1];
    }
    qsort(refs, 2 * r.n, sizeof *refs, by_photo);
    for (size_t i = 0; i < 2 * r.n; i++) {
        if (n_refs == 0 || compare_refs(&refs[n_refs - 1], &refs[i]) != 0)
            refs[n_refs++] = refs[i];
    }
    made.photos = frt_alloc_zero(n_refs, sizeof *made.photos);
    if (made.photos == NULL) {
        status = frt_fail_nomem(err, "photos");
        goto done;
    }
    for (made.n_photos = 0; made.n_photos < n_refs; made.n_photos++) {
        struct frt_eval_photo *photo = &made.photos[made.n_photos];
        photo->number = refs[made.n_photos].number;
        photo->name = frt_strndup(refs[made.n_photos].name.text, refs[made.n_photos].name.size);
        if (photo->name == NULL) {
            status = frt_fail_nomem(err, "photos");
            goto done;
        }
    }
    for (size_t i = 0; i < r.n; i++) {
        made.pairs[i] = (struct frt_eval_pair){.fold = r.pairs[i].fold, .same = r.pairs[i].same};
        for (int k = 0; k < 2; k++) {
            const struct photo_ref *found = bsearch(&r.pairs[i].photo[k], refs, n_refs, sizeof *refs, by_photo);
            made.pairs[i].photo[k] = (uint32_t)(found - refs);
        }
    }
    made.n_pairs = r.n;
    made.n_folds = r.folds;
    *out = made;
    made = (struct frt_eval_protocol){0};
done:
    frt_free(refs);
    frt_free(r.pairs);
    frt_eval_protocol_deinit(&made);
    return status;
}

void frt_eval_protocol_deinit(struct frt_eval_protocol *protocol)
{
    for (size_t i = 0; i < protocol->n_photos; i++)
        frt_free(protocol->photos[i].name);
    frt_free(protocol->photos);
    frt_free(protocol->pairs);
    *protocol = (struct frt_eval_protocol){0};
}
