#include "engine/eval_labels.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "core/utf8.h"

enum { WIDER_NUMBERS = 10, WIDER_INVALID = 7, MAX_LINE = 4096 };

#define MAX_COORDINATE 1e6

/* --------------------------------------------------------------- adding */

/* Room for one more in a growing array of items. */
static void *grow(void *items, size_t n, size_t *capacity, size_t item_bytes)
{
    size_t bytes, more = *capacity == 0 ? 64 : *capacity * 2;
    if (n < *capacity)
        return items;
    if (!frt_mul_size(more, item_bytes, &bytes))
        return NULL;
    void *grown = frt_realloc(items, bytes);
    if (grown != NULL)
        *capacity = more;
    return grown;
}

static bool stays_below(const char *file)
{
    if (file[0] == '\0' || file[0] == '/' || strlen(file) > FRT_LABELS_MAX_NAME)
        return false;
    for (const char *part = file; part != NULL; part = strchr(part, '/')) {
        part += part[0] == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    for (const char *c = file; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

enum frt_status frt_labels_add_photo(struct frt_labels *labels, const char *file, size_t line,
                                     struct frt_error *err)
{
    char shown[160];
    if (!stays_below(file)) {
        (void)snprintf(shown, sizeof shown, "%s", file);
        frt_utf8_sanitise(shown);
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "line %zu: \"%s\" is no name of a photo below the folder (of at most %d bytes)", line,
                        shown, FRT_LABELS_MAX_NAME);
    }
    if (labels->n_photos >= FRT_LABELS_MAX_PHOTOS)
        return frt_fail(err, FRT_EBAD_REQUEST, "line %zu: more than %d photos", line, FRT_LABELS_MAX_PHOTOS);
    struct frt_labelled_photo *photos =
        grow(labels->photos, labels->n_photos, &labels->photo_capacity, sizeof *photos);
    if (photos == NULL)
        return frt_fail_nomem(err, "labels");
    labels->photos = photos;
    struct frt_labelled_photo photo = {.file = frt_strdup(file), .first = labels->n_boxes};
    if (photo.file == NULL)
        return frt_fail_nomem(err, "labels");
    photos[labels->n_photos++] = photo;
    return FRT_OK;
}

enum frt_status frt_labels_add_box(struct frt_labels *labels, const double box[4], bool ignored, size_t line,
                                   struct frt_error *err)
{
    for (int i = 0; i < 4; i++)
        if (!(fabs(box[i]) <= MAX_COORDINATE))
            return frt_fail(err, FRT_EBAD_REQUEST, "line %zu: a box with the number %g; up to %g fit", line,
                            box[i], MAX_COORDINATE);
    if (labels->n_boxes >= FRT_LABELS_MAX_BOXES)
        return frt_fail(err, FRT_EBAD_REQUEST, "line %zu: more than %d boxes", line, FRT_LABELS_MAX_BOXES);
    struct frt_labelled_box *boxes = grow(labels->boxes, labels->n_boxes, &labels->box_capacity, sizeof *boxes);
    if (boxes == NULL)
        return frt_fail_nomem(err, "labels");
    labels->boxes = boxes;
    boxes[labels->n_boxes++] = (struct frt_labelled_box){
        .box = {(float)box[0], (float)box[1], (float)box[2], (float)box[3]}, .ignored = ignored};
    labels->photos[labels->n_photos - 1].n++;
    return FRT_OK;
}

/* ----------------------------------------------------------- WIDER's list */

struct lines {
    const char *at, *end;
    size_t line; /* of what was read last */
    char text[MAX_LINE];
};

/* The next line that is not blank, without the blanks around it. False at the end. */
static bool next_line(struct lines *lines, enum frt_status *status, struct frt_error *err)
{
    while (*status == FRT_OK && lines->at < lines->end) {
        const char *stop = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
        const char *begin = lines->at, *end = stop == NULL ? lines->end : stop;
        lines->at = stop == NULL ? lines->end : stop + 1;
        lines->line++;
        while (begin < end && isspace((unsigned char)*begin))
            begin++;
        while (end > begin && isspace((unsigned char)end[-1]))
            end--;
        if (begin == end)
            continue;
        if ((size_t)(end - begin) >= sizeof lines->text || memchr(begin, '\0', (size_t)(end - begin)) != NULL) {
            *status = frt_fail(err, FRT_EBAD_REQUEST, "line %zu: longer than %zu bytes, or no text",
                               lines->line, sizeof lines->text - 1);
            return false;
        }
        memcpy(lines->text, begin, (size_t)(end - begin));
        lines->text[end - begin] = '\0';
        return true;
    }
    return false;
}

/* The numbers of a line; 0 when something else stands there or there are more than fit. */
static size_t numbers_of(const char *text, double out[WIDER_NUMBERS])
{
    size_t n = 0;
    char *end = NULL;
    for (const char *at = text; *at != '\0'; at = end) {
        double value = strtod(at, &end);
        if (end == at || n == WIDER_NUMBERS || (*end != '\0' && !isspace((unsigned char)*end)))
            return 0;
        out[n++] = value;
        while (isspace((unsigned char)*end))
            end++;
    }
    return n;
}

static bool all_zero(const double *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (numbers[i] != 0)
            return false;
    return n > 0;
}

static enum frt_status parse_boxes(struct frt_labels *labels, struct lines *lines, size_t count,
                                   struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    double v[WIDER_NUMBERS] = {0};
    for (size_t i = 0; status == FRT_OK && i < count; i++) {
        if (!next_line(lines, &status, err))
            return status != FRT_OK
                       ? status
                       : frt_fail(err, FRT_EBAD_REQUEST, "line %zu: the list ends amid the boxes of a photo",
                                  lines->line);
        const size_t n = numbers_of(lines->text, v);
        if (n != 4 && n != WIDER_NUMBERS)
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "line %zu: \"%.80s\" is no box; left, top, width, height, alone or with blur, "
                            "expression, illumination, invalid, occlusion, pose are right",
                            lines->line, lines->text);
        const bool invalid = n == WIDER_NUMBERS && v[WIDER_INVALID] != 0;
        status = frt_labels_add_box(labels, v, invalid || !(v[2] > 0 && v[3] > 0), lines->line, err);
    }
    return status;
}

static enum frt_status parse_list(struct frt_labels *labels, const char *text, size_t size,
                                  struct frt_error *err)
{
    struct lines lines = {.at = text, .end = text + size};
    enum frt_status status = FRT_OK;
    double v[WIDER_NUMBERS];
    while (next_line(&lines, &status, err)) {
        status = frt_labels_add_photo(labels, lines.text, lines.line, err);
        if (status != FRT_OK)
            break;
        if (!next_line(&lines, &status, err) || numbers_of(lines.text, v) != 1 || !(v[0] >= 0) ||
            v[0] > FRT_LABELS_MAX_BOXES || floor(v[0]) < v[0])
            return status != FRT_OK
                       ? status
                       : frt_fail(err, FRT_EBAD_REQUEST,
                                  "line %zu: after a photo's name its number of boxes is right", lines.line);
        status = parse_boxes(labels, &lines, (size_t)v[0], err);
        if (status != FRT_OK || v[0] > 0)
            continue;
        /* WIDER has a line of zeros where there is no box */
        struct lines ahead = lines;
        if (next_line(&ahead, &status, err) && all_zero(v, numbers_of(ahead.text, v) >= 4 ? 4 : 0))
            lines = ahead;
    }
    return status;
}

/* ------------------------------------------------------------------ both */

static int by_file(const void *a, const void *b)
{
    return strcmp((*(const struct frt_labelled_photo *const *)a)->file,
                  (*(const struct frt_labelled_photo *const *)b)->file);
}

static enum frt_status check_doubles(const struct frt_labels *labels, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    const struct frt_labelled_photo **sorted = frt_alloc_array(labels->n_photos + 1, sizeof *sorted);
    if (sorted == NULL)
        return frt_fail_nomem(err, "labels");
    for (size_t i = 0; i < labels->n_photos; i++)
        sorted[i] = &labels->photos[i];
    qsort(sorted, labels->n_photos, sizeof *sorted, by_file);
    for (size_t i = 1; status == FRT_OK && i < labels->n_photos; i++)
        if (by_file(&sorted[i - 1], &sorted[i]) == 0)
            status = frt_fail(err, FRT_EBAD_REQUEST, "the photo %.200s stands there twice", sorted[i]->file);
    frt_free(sorted);
    return status;
}

enum frt_status frt_labels_parse(struct frt_labels *labels, const char *text, size_t size,
                                 struct frt_error *err)
{
    enum frt_status status;
    size_t begin = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (begin < size && isspace((unsigned char)text[begin]))
        begin++;
    if (begin == size)
        return frt_fail(err, FRT_EBAD_REQUEST, "the file is empty");
    if (size > FRT_LABELS_MAX_BYTES)
        return frt_fail(err, FRT_EBAD_REQUEST, "the file is larger than %d MiB", FRT_LABELS_MAX_BYTES >> 20);
    if (text[begin] == '<')
        status = frt_labels_parse_xml(labels, text, size, err);
    else
        status = parse_list(labels, text + (begin == 3 ? 3 : 0), size - (begin == 3 ? 3 : 0), err);
    return status == FRT_OK ? check_doubles(labels, err) : status;
}

static enum frt_status read_whole(const char *path, char **out, size_t *size, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    struct stat info;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return frt_fail(err, FRT_ENOTFOUND, "the label file \"%s\" cannot be opened", path);
    char *text = NULL;
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > FRT_LABELS_MAX_BYTES)
        status = frt_fail(err, FRT_EBAD_REQUEST, "\"%s\" is no label file of at most %d MiB", path,
                          FRT_LABELS_MAX_BYTES >> 20);
    else if ((text = frt_alloc((size_t)info.st_size + 1)) == NULL)
        status = frt_fail_nomem(err, "labels");
    if (status == FRT_OK) {
        *size = fread(text, 1, (size_t)info.st_size, file);
        if (ferror(file))
            status = frt_fail(err, FRT_EIO, "the label file \"%s\" cannot be read", path);
    }
    (void)fclose(file);
    if (status != FRT_OK) {
        frt_free(text);
        return status;
    }
    *out = text;
    return FRT_OK;
}

enum frt_status frt_labels_read(struct frt_labels *labels, const char *path, struct frt_error *err)
{
    struct frt_error why = {0};
    char *text = NULL;
    size_t size = 0;
    enum frt_status status = read_whole(path, &text, &size, err);
    if (status != FRT_OK)
        return status;
    status = frt_labels_parse(labels, text, size, &why);
    frt_free(text);
    return status == FRT_OK ? FRT_OK : frt_fail(err, status, "%s: %s", path, why.text);
}

void frt_labels_deinit(struct frt_labels *labels)
{
    for (size_t i = 0; i < labels->n_photos; i++)
        frt_free(labels->photos[i].file);
    frt_free(labels->photos);
    frt_free(labels->boxes);
    *labels = (struct frt_labels){0};
}
