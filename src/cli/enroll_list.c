#include "cli/enroll_list.h"

#include <string.h>

#include "cli/csv.h"
#include "cli/inputs.h"
#include "cli/output.h"
#include "core/mem.h"

static enum frt_status add(struct cli_enroll_list *list, const char *folder, size_t folder_size,
                           const char *path, const char *subject, size_t subject_size, const char *face_id,
                           struct frt_error *err)
{
    if (list->n == CLI_MAX_INPUTS)
        return frt_fail(err, FRT_EBAD_REQUEST, "more than %d photos", CLI_MAX_INPUTS);
    if (list->n == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct cli_enroll_item *items = frt_realloc(list->items, capacity * sizeof *items);
        if (items == NULL)
            return frt_fail_nomem(err, "the list of photos");
        list->items = items;
        list->capacity = capacity;
    }
    struct cli_enroll_item *item = &list->items[list->n++];
    size_t path_size = strlen(path) + 1;
    *item = (struct cli_enroll_item){.path = frt_alloc(folder_size + path_size),
                                     .subject = frt_strndup(subject, subject_size),
                                     .face_id = frt_strdup(face_id)};
    if (item->path == NULL || item->subject == NULL || (face_id != NULL && item->face_id == NULL))
        return frt_fail_nomem(err, "the list of photos");
    if (folder_size > 0)
        memcpy(item->path, folder, folder_size);
    memcpy(item->path + folder_size, path, path_size);
    return FRT_OK;
}

void cli_enroll_list_deinit(struct cli_enroll_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        frt_free(list->items[i].path);
        frt_free(list->items[i].subject);
        frt_free(list->items[i].face_id);
    }
    frt_free(list->items);
    *list = (struct cli_enroll_list){0};
}

/* CONSUMES list when it failed. */
static enum frt_status hand_over(struct cli_enroll_list *list, enum frt_status status,
                                 struct cli_enroll_list *out)
{
    if (status == FRT_OK)
        *out = *list;
    else
        cli_enroll_list_deinit(list);
    return status;
}

enum frt_status cli_enroll_list_photos(char **arguments, size_t n, const char *subject,
                                       struct cli_enroll_list *out, struct frt_error *err)
{
    struct cli_enroll_list list = {0};
    struct cli_inputs inputs = {0};
    enum frt_status status = cli_inputs_collect(arguments, n, &inputs, err);
    for (size_t i = 0; status == FRT_OK && i < inputs.n; i++)
        status = add(&list, NULL, 0, inputs.paths[i], subject, strlen(subject), NULL, err);
    cli_inputs_deinit(&inputs);
    return hand_over(&list, status, out);
}

enum frt_status cli_enroll_list_folder(const char *folder, struct cli_enroll_list *out, struct frt_error *err)
{
    struct cli_enroll_list list = {0};
    struct cli_inputs inputs = {0};
    char *name = frt_strdup(folder);
    if (name == NULL)
        return frt_fail_nomem(err, "the list of photos");
    enum frt_status status = cli_inputs_collect(&name, 1, &inputs, err);
    size_t skip = strlen(folder);
    for (size_t i = 0; status == FRT_OK && i < inputs.n; i++) {
        const char *below = inputs.paths[i] + (strncmp(inputs.paths[i], folder, skip) == 0 ? skip : 0);
        below += strspn(below, "/");
        size_t size = strcspn(below, "/");
        if (below[size] == '\0')
            size = 0; /* it lies in the folder itself */
        status = add(&list, NULL, 0, inputs.paths[i], below, size, NULL, err);
    }
    cli_inputs_deinit(&inputs);
    frt_free(name);
    return hand_over(&list, status, out);
}

static bool is_heading(const struct cli_csv *csv)
{
    return csv->n_fields >= 2 && strcmp(csv->fields[0], "path") == 0 && strcmp(csv->fields[1], "subject") == 0;
}

enum frt_status cli_enroll_list_csv(const char *path, struct cli_enroll_list *out, struct frt_error *err)
{
    struct cli_enroll_list list = {0};
    struct cli_csv csv;
    char *text = NULL;
    size_t size = 0;
    bool more = true;
    const char *slash = strrchr(path, '/');
    size_t folder_size = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    enum frt_status status = cli_photo_read(path, &text, &size, err);
    if (status == FRT_EUNSUPPORTED_IMAGE)
        status = err->status = FRT_EBAD_REQUEST; /* empty: it is no photo that is */
    if (status != FRT_OK)
        return status;
    cli_csv_init(&csv, text, size);
    for (bool first = true; status == FRT_OK; first = false) {
        status = cli_csv_next(&csv, &more, err);
        if (status != FRT_OK || !more)
            break;
        if (first && is_heading(&csv))
            continue;
        if (csv.n_fields < 2 || csv.n_fields > 3)
            status = frt_fail(err, FRT_EBAD_REQUEST, "line %zu: %zu field%s; path,subject[,face_id] is right",
                              csv.line, csv.n_fields, csv.n_fields == 1 ? "" : "s");
        else if (csv.fields[0][0] == '\0' || csv.fields[1][0] == '\0')
            status = frt_fail(err, FRT_EBAD_REQUEST, "line %zu: the %s is empty", csv.line,
                              csv.fields[0][0] == '\0' ? "path" : "subject");
        else
            status = add(&list, path, csv.fields[0][0] == '/' ? 0 : folder_size, csv.fields[0], csv.fields[1],
                         strlen(csv.fields[1]),
                         csv.n_fields == 3 && csv.fields[2][0] != '\0' ? csv.fields[2] : NULL, err);
    }
    if (status == FRT_OK && list.n == 0)
        status =
            frt_fail(err, FRT_EBAD_REQUEST, "no photo is named; lines of path,subject[,face_id] are right");
    if (status == FRT_EBAD_REQUEST)
        status = frt_fail_within(err, status, "%s", path);
    cli_csv_deinit(&csv);
    frt_free(text);
    return hand_over(&list, status, out);
}
