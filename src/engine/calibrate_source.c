/* Where labelled embeddings come from: a folder's photos, a collection's subjects. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "engine/calibrate.h"
#include "engine/eval_people.h"
#include "engine/pack.h"
#include "model/model_file.h"

enum { PAGE = 1000 };

static void set_text(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%.*s", (int)size - 1, text != NULL ? text : "");
}

static void set_today(struct frt_threshold_table *table)
{
    const time_t now = time(NULL);
    struct tm day = {0};
    if (gmtime_r(&now, &day) == NULL || strftime(table->date, sizeof table->date, "%Y-%m-%d", &day) == 0)
        table->date[0] = '\0';
}

/* The last part of a path: what a folder is called. */
static void set_measured_on(struct frt_threshold_table *table, const char *folder)
{
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && folder[begin - 1] != '/')
        begin--;
    (void)snprintf(table->measured_on, sizeof table->measured_on, "%.*s", (int)(end - begin), folder + begin);
}

static enum frt_status set_pack(struct frt_threshold_table *table, const struct frt_pack *pack,
                                struct frt_error *err)
{
    char *path = NULL;
    const struct frt_model_spec *embedder = frt_manifest_find(pack->manifest, FRT_ROLE_EMBEDDER, NULL);
    set_text(table->pack, sizeof table->pack, pack->info.name);
    set_text(table->detector, sizeof table->detector, pack->detector_name);
    set_text(table->embedder, sizeof table->embedder, embedder != NULL ? embedder->name : "");
    set_text(table->version, sizeof table->version, embedder != NULL ? embedder->version : "");
    set_text(table->sha256, sizeof table->sha256, embedder != NULL ? embedder->sha256 : "");
    if (embedder == NULL || table->sha256[0] != '\0')
        return FRT_OK;
    enum frt_status status = frt_model_path_join(pack->folder, embedder->file, &path, err);
    if (status == FRT_OK)
        status = frt_sha256_file(path, table->sha256, err);
    frt_free(path);
    return status;
}

/* ------------------------------------------------------------------ folder */

/* Photos without a face leave: people keep their order, without gaps. */
static size_t close_gaps(struct frt_eval_embeddings *e, uint32_t *person)
{
    size_t n = 0;
    uint32_t who = 0, last = 0;
    for (size_t i = 0; i < e->n; i++) {
        if (!e->seen[i])
            continue;
        who += n > 0 && person[i] != last ? 1 : 0;
        last = person[i];
        if (n != i)
            memmove(e->vectors + n * e->dim, e->vectors + i * e->dim, e->dim * sizeof *e->vectors);
        person[n++] = who;
    }
    return n;
}

enum frt_status frt_calibrate_folder(const struct frt_context *context, const struct frt_pack *pack,
                                     const struct frt_eval_embed_options *embed,
                                     const struct frt_calibrate_options *options, struct frt_calibration *out,
                                     struct frt_error *err)
{
    struct frt_eval_people people = {0};
    struct frt_eval_embeddings embeddings = {0};
    struct frt_calibration made = {0};
    struct frt_eval_embed_options own = *embed;
    if (embed->folder == NULL)
        return frt_fail(err, FRT_EINVAL, "no folder of photos");
    enum frt_status status = frt_eval_people_list(embed->folder, &people, err);
    if (status != FRT_OK)
        return status;
    own.files = (const char *const *)people.files;
    own.n = people.n;
    status = frt_eval_embed(context, pack, &own, &embeddings, err);
    if (status == FRT_OK) {
        const struct frt_labelled labelled = {.vectors = embeddings.vectors,
                                              .person = people.person,
                                              .n = close_gaps(&embeddings, people.person),
                                              .dim = embeddings.dim,
                                              .cancelled = options->cancelled,
                                              .cancelled_arg = options->cancelled_arg};
        set_measured_on(&made.table, embed->folder);
        set_today(&made.table);
        status = set_pack(&made.table, pack, err);
        if (status == FRT_OK)
            status = frt_calibrate_embedded(&labelled, options, &made, err);
        if (status == FRT_OK && options->halves)
            status = frt_calibrate_halves(&labelled, options, &made, err);
    }
    if (status == FRT_OK) {
        made.failures = embeddings.failures;
        made.n_failures = embeddings.n_failures;
        embeddings.failures = NULL;
        embeddings.n_failures = 0;
        made.wall_ms += embeddings.wall_ms;
        *out = made;
    }
    frt_eval_embeddings_deinit(&embeddings);
    frt_eval_people_deinit(&people);
    return status;
}

/* -------------------------------------------------------------- collection */

/* Subjects drawn from all: each that comes takes the place of one, as likely for every subject (reservoir). */
struct drawn {
    char **names; /* [n]; owned */
    size_t n, most;
    uint64_t seen, state;
};

static enum frt_status consider(struct drawn *d, const char *name, struct frt_error *err)
{
    size_t place = d->n;
    d->seen++;
    if (d->n == d->most) {
        place = frt_seeded_below(&d->state, (size_t)d->seen);
        if (place >= d->most)
            return FRT_OK;
    }
    char *copy = frt_strdup(name);
    if (copy == NULL)
        return frt_fail_nomem(err, "names");
    if (place < d->n)
        frt_free(d->names[place]);
    else
        d->n++;
    d->names[place] = copy;
    return FRT_OK;
}

static enum frt_status draw_subjects(struct frt_gallery *gallery, const char *collection,
                                     const struct frt_calibrate_options *o, struct drawn *d,
                                     struct frt_error *err)
{
    char after[FRT_TABLE_NAME * 5] = "";
    enum frt_status status = FRT_OK;
    size_t n = PAGE;
    d->names = frt_alloc_zero(d->most, sizeof *d->names);
    if (d->names == NULL)
        return frt_fail_nomem(err, "names");
    while (status == FRT_OK && n == PAGE) {
        struct frt_subjects list = {0};
        if (o->cancelled != NULL && o->cancelled(o->cancelled_arg))
            return frt_fail(err, FRT_ECANCELLED, "calibration cancelled");
        status = frt_subject_list(gallery, collection, after, PAGE, &list, err);
        n = status == FRT_OK ? list.n : 0;
        for (size_t i = 0; i < n && status == FRT_OK; i++)
            status = consider(d, list.subjects[i].name, err);
        if (n > 0)
            set_text(after, sizeof after, list.subjects[n - 1].name);
        frt_subjects_deinit(&list);
    }
    return status;
}

struct taken {
    float *vectors;
    uint32_t *person;
    size_t n, most;
    uint32_t people;
};

static enum frt_status take_subject(struct frt_gallery *gallery, const char *collection, const char *name,
                                    uint32_t dim, struct taken *to, struct frt_error *err)
{
    const size_t before = to->n;
    struct frt_gallery_faces faces = {0};
    const struct frt_face_list_options o = {.subject = name, .limit = FRT_CALIBRATE_PERSON, .embeddings = true};
    enum frt_status status = frt_face_list(gallery, collection, &o, &faces, err);
    for (size_t i = 0; status == FRT_OK && i < faces.n && to->n < to->most; i++) {
        if (faces.faces[i].embedding == NULL || faces.faces[i].dim != dim)
            continue;
        memcpy(to->vectors + to->n * dim, faces.faces[i].embedding, dim * sizeof *to->vectors);
        to->person[to->n++] = to->people;
    }
    to->people += to->n > before ? 1 : 0;
    frt_gallery_faces_deinit(&faces);
    return status == FRT_ESUBJECT_NOT_FOUND ? FRT_OK : status; /* deleted meanwhile */
}

static enum frt_status take_subjects(struct frt_gallery *gallery, const char *collection, uint32_t dim,
                                     const struct frt_calibrate_options *o, struct drawn *d, struct taken *to,
                                     struct frt_error *err)
{
    size_t total = 0;
    enum frt_status status = FRT_OK;
    if (frt_mul_size(to->most, dim, &total))
        to->vectors = frt_alloc_array(total, sizeof *to->vectors);
    to->person = frt_alloc_array(to->most, sizeof *to->person);
    if (to->vectors == NULL || to->person == NULL)
        return frt_fail_nomem(err, "embeddings");
    for (size_t i = d->n; i > 1; i--) { /* the first of them may be all that fits */
        const size_t k = frt_seeded_below(&d->state, i);
        char *swapped = d->names[i - 1];
        d->names[i - 1] = d->names[k];
        d->names[k] = swapped;
    }
    for (size_t i = 0; i < d->n && to->n < to->most && status == FRT_OK; i++) {
        if (o->cancelled != NULL && o->cancelled(o->cancelled_arg))
            status = frt_fail(err, FRT_ECANCELLED, "calibration cancelled");
        else
            status = take_subject(gallery, collection, d->names[i], dim, to, err);
    }
    if (status == FRT_OK && to->n == 0)
        status = frt_fail(err, FRT_EBAD_REQUEST, "collection '%.128s' has no faces", collection);
    return status;
}

enum frt_status frt_calibrate_collection(struct frt_gallery *gallery, const char *collection,
                                         const struct frt_calibrate_options *options,
                                         struct frt_calibration *out, struct frt_error *err)
{
    struct frt_collection_info info;
    struct frt_calibrate_options own = *options;
    struct frt_calibration made = {0};
    const size_t most = options->max_photos > 0 ? (size_t)options->max_photos : FRT_CALIBRATE_PHOTOS;
    struct drawn drawn = {.most = most, .state = options->seed};
    struct taken taken = {.most = most};
    enum frt_status status = frt_collection_get(gallery, collection, &info, err);
    if (status != FRT_OK)
        return status;
    if (info.dim == 0)
        status = frt_fail(err, FRT_EBAD_REQUEST, "collection '%.128s' has no faces", collection);
    if (status == FRT_OK)
        status = draw_subjects(gallery, collection, options, &drawn, err);
    if (status == FRT_OK)
        status = take_subjects(gallery, collection, info.dim, options, &drawn, &taken, err);
    if (status == FRT_OK) {
        const struct frt_labelled labelled = {.vectors = taken.vectors,
                                              .person = taken.person,
                                              .n = taken.n,
                                              .dim = info.dim,
                                              .cancelled = options->cancelled,
                                              .cancelled_arg = options->cancelled_arg};
        const char *blank = strrchr(info.model, ' '); /* "name version"; a version holds no blank */
        own.people = options->people > 0 ? options->people : info.subjects;
        own.enrolled = options->enrolled > 0 || info.subjects == 0 ? options->enrolled
                                                                   : (double)info.faces / (double)info.subjects;
        (void)snprintf(made.table.embedder, sizeof made.table.embedder, "%.*s",
                       blank != NULL ? (int)(blank - info.model) : 63, info.model);
        set_text(made.table.version, sizeof made.table.version, blank != NULL ? blank + 1 : "");
        set_text(made.table.measured_on, sizeof made.table.measured_on, collection);
        set_text(made.collection, sizeof made.collection, collection);
        set_today(&made.table);
        status = frt_calibrate_embedded(&labelled, &own, &made, err);
        if (status == FRT_OK && options->halves)
            status = frt_calibrate_halves(&labelled, &own, &made, err);
        if (status == FRT_OK) {
            made.photos = info.faces;
            made.people = info.subjects;
            *out = made;
        }
    }
    for (size_t i = 0; i < drawn.n; i++)
        frt_free(drawn.names[i]);
    frt_free(drawn.names);
    frt_free(taken.vectors);
    frt_free(taken.person);
    frt_collection_info_deinit(&info);
    return status;
}
