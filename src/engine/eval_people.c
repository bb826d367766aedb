#include "engine/eval_people.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

enum { MAX_PHOTOS = 1000000 };

void frt_eval_people_deinit(struct frt_eval_people *people)
{
    for (size_t i = 0; i < people->n; i++)
        frt_free(people->files[i]);
    frt_free(people->files);
    frt_free(people->person);
    *people = (struct frt_eval_people){0};
}

static bool named_like_photo(const struct dirent *entry)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp"};
    const char *dot = strrchr(entry->d_name, '.');
    for (size_t i = 0; dot != NULL && entry->d_name[0] != '.' && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static int photo_filter(const struct dirent *entry)
{
    return named_like_photo(entry);
}

static int person_filter(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Not alphasort: the order, and so the splits, must not depend on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum frt_status add_photo(struct frt_eval_people *photos, const char *person, const char *name,
                                 struct frt_error *err)
{
    char relative[600];
    if (photos->n == MAX_PHOTOS)
        return frt_fail(err, FRT_EBAD_REQUEST, "more than %d photos", MAX_PHOTOS);
    if (photos->n == photos->capacity) {
        const size_t capacity = photos->capacity == 0 ? 256 : photos->capacity * 2;
        char **files = frt_realloc(photos->files, capacity * sizeof *files);
        if (files != NULL)
            photos->files = files;
        uint32_t *people = files != NULL ? frt_realloc(photos->person, capacity * sizeof *people) : NULL;
        if (people == NULL)
            return frt_fail_nomem(err, "the list of photos");
        photos->person = people;
        photos->capacity = capacity;
    }
    (void)snprintf(relative, sizeof relative, "%s/%s", person, name);
    photos->files[photos->n] = frt_strdup(relative);
    if (photos->files[photos->n] == NULL)
        return frt_fail_nomem(err, "the list of photos");
    photos->person[photos->n++] = photos->n_people;
    return FRT_OK;
}

/* The names that scandir returned are its own malloc's. */
static void names_free(struct dirent **names, int n)
{
    for (int i = 0; i < n; i++)
        free(names[i]); /* not the project's heap */
    free(names);
}

enum frt_status frt_eval_people_list(const char *folder, struct frt_eval_people *out, struct frt_error *err)
{
    char path[4096];
    struct dirent **people = NULL;
    struct frt_eval_people found = {0};
    enum frt_status status = FRT_OK;
    const int n_people = scandir(folder, &people, person_filter, by_name);
    if (n_people < 0)
        return frt_fail(err, FRT_ENOTFOUND, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < n_people && status == FRT_OK; i++) {
        struct dirent **names = NULL;
        const size_t before = found.n;
        const int size = snprintf(path, sizeof path, "%s/%s", folder, people[i]->d_name);
        if (size < 0 || (size_t)size >= sizeof path) {
            status = frt_fail(err, FRT_EINVAL, "a path is longer than %zu bytes", sizeof path - 1);
            break;
        }
        const int n = scandir(path, &names, photo_filter, by_name);
        for (int k = 0; k < n && status == FRT_OK; k++)
            status = add_photo(&found, people[i]->d_name, names[k]->d_name, err);
        names_free(names, n > 0 ? n : 0); /* n < 0: a file beside the folders */
        found.n_people += found.n > before;
    }
    names_free(people, n_people);
    if (status == FRT_OK && found.n == 0)
        status = frt_fail(err, FRT_EBAD_REQUEST,
                          "%s holds no folder with photos; FOLDER/NAME/photo.jpg is right", folder);
    if (status != FRT_OK)
        frt_eval_people_deinit(&found);
    else
        *out = found;
    return status;
}
