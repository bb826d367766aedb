/*
 * frt enroll: photos named outright, a folder tree or a CSV map, several at once.
 *
 *     photo ─ bytes ─ SHA-256 ─ there already? passed over ─ faces, quality, … ─ one transaction a photo
 *
 * A photo is known again by its bytes, so that an enrollment that was interrupted goes on where it stopped when
 * the same command is given again: its face's id is the first 20 hex digits of the SHA-256 (unless one is
 * given), and its metadata names the whole of it, with the file. With --on-multiple all a photo may give
 * several faces, whose ids are made; then the metadata of the subject's faces tell. A photo of a folder or a
 * map that was refused for what it shows is known again, too (enroll_memory.h).
 *
 * What is wrong with one photo is reported and the rest goes on; what would be wrong with every photo (store,
 * model, memory) ends the run.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/enroll_list.h"
#include "cli/enroll_memory.h"
#include "cli/files.h"
#include "cli/jobs.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/clock.h"
#include "core/json_read.h"
#include "core/mem.h"
#include "core/sha256.h"
#include "engine/answer_gallery.h"

enum {
    MAX_OUTPUT_BYTES = 64 << 20,
    MAX_REPORT_BYTES = 1 << 30,
    MAX_METADATA_BYTES = 1 << 20,
    FACE_ID_DIGITS = 20,
    FACES_PAGE = 1000
};

struct job {
    const struct cli_run *run;
    const char *collection, *metadata; /* metadata: --metadata, NULL = none */
    struct cli_enroll_list list;
    struct cli_models models;
    struct frt_gallery *gallery;
    struct cli_enroll_memory *memory; /* NULL: nothing is known again as refused */
    struct frt_enroll_options options;
    struct cli_progress progress;
    struct frt_buf report;
    bool json, line_a_photo, created, reporting;
    int64_t start_ns;
    atomic_size_t n_done, n_enrolled, n_faces, n_already, n_failed, n_remembered;
    pthread_mutex_t lock; /* guards fatal */
    struct frt_error fatal;
    atomic_bool over; /* fatal is set */
};

/* ---------------------------------------------------------------- one photo */

/* {"file":…,"sha256":…}, behind what --metadata says: of a key that comes twice the first counts. */
static enum frt_status photo_metadata(const struct job *job, const char *path, const char *digest,
                                      struct frt_buf *out, struct frt_error *err)
{
    struct frt_json_writer w;
    const char *own = job->metadata == NULL ? NULL : strchr(job->metadata, '{') + 1;
    size_t size = own == NULL ? 0 : (size_t)(strrchr(own, '}') - own);
    frt_json_writer_init(&w, out, false);
    if (own != NULL && strspn(own, " \t\r\n") < size) {
        frt_buf_append_char(out, '{');
        frt_buf_append(out, own, size);
        frt_buf_append_char(out, ',');
        size_t before = out->size;
        frt_json_object(&w);
        if (frt_buf_status(out) == FRT_OK)
            out->size = before; /* one brace is enough */
    } else {
        frt_json_object(&w);
    }
    if (strcmp(path, "-") != 0)
        cli_member_text(&w, "file", path);
    cli_member_text(&w, "sha256", digest);
    frt_json_end(&w);
    return frt_buf_status(out) == FRT_OK ? FRT_OK : frt_fail_nomem(err, "a photo's metadata");
}

/* Has the subject a face of these bytes? */
static enum frt_status find_by_digest(const struct job *job, const char *subject, const char *digest,
                                      bool *found, struct frt_error *err)
{
    struct frt_face_list_options options = {.subject = subject, .limit = FACES_PAGE};
    struct frt_gallery_faces faces = {0};
    enum frt_status status = FRT_OK;
    do {
        status = frt_face_list(job->gallery, job->collection, &options, &faces, err);
        for (size_t i = 0; status == FRT_OK && i < faces.n && !*found; i++) {
            *found = faces.faces[i].metadata != NULL && strstr(faces.faces[i].metadata, digest) != NULL;
            options.after = faces.faces[i].key;
        }
        if (status == FRT_OK && faces.n < FACES_PAGE)
            options.after = 0;
        frt_gallery_faces_deinit(&faces);
    } while (status == FRT_OK && !*found && options.after != 0);
    /* a subject without a face has not been enrolled */
    return status == FRT_ESUBJECT_NOT_FOUND ? FRT_OK : status;
}

/* Has the photo been enrolled? Errors: FRT_ECONFLICT (as somebody else, or its face id is another photo's). */
static enum frt_status find_photo(const struct job *job, const struct cli_enroll_item *item,
                                  const char *face_id, const char *digest, bool *found, struct frt_error *err)
{
    struct frt_gallery_faces faces = {0};
    enum frt_status status = frt_face_get(job->gallery, job->collection, face_id, false, &faces, err);
    if (status == FRT_EFACE_NOT_FOUND)
        return job->options.on_multiple == FRT_MULTIPLE_ALL && item->face_id == NULL
                   ? find_by_digest(job, item->subject, digest, found, err)
                   : FRT_OK;
    if (status != FRT_OK)
        return status;
    const struct frt_gallery_face *face = &faces.faces[0];
    bool same_bytes =
        item->face_id == NULL || (face->metadata != NULL && strstr(face->metadata, digest) != NULL);
    bool same_subject = strcmp(face->subject, item->subject) == 0;
    if (!same_bytes)
        status = frt_fail(err, FRT_ECONFLICT, "face id '%s' stands already, for another photo, of '%s'",
                          face_id, face->subject);
    else if (!same_subject)
        status = frt_fail(err, FRT_ECONFLICT, "this very photo is enrolled as '%s' already (face %s)",
                          face->subject, face_id);
    *found = status == FRT_OK;
    frt_gallery_faces_deinit(&faces);
    return status;
}

struct outcome {
    struct frt_enrolled enrolled; /* filled when the photo was looked at */
    bool already;
    bool remembered; /* refused before, and not looked at */
    bool fatal;      /* the next photo would fail as well */
};

static bool is_fatal(enum frt_status status)
{
    switch (status) {
    case FRT_EINVAL:
    case FRT_EUNSUPPORTED_IMAGE:
    case FRT_EBAD_IMAGE:
    case FRT_EIMAGE_TOO_LARGE:
    case FRT_EBODY_TOO_LARGE:
    case FRT_EBAD_REQUEST:
    case FRT_ENO_FACE:
    case FRT_EMULTIPLE_FACES:
    case FRT_EDUPLICATE:
    case FRT_ECONFLICT:
    case FRT_ELOW_QUALITY:
    case FRT_ESPOOF:
    case FRT_EOVERLOADED:
    case FRT_ECANCELLED:
        return false;
    default:
        return true;
    }
}

static enum frt_status enroll_bytes(const struct job *job, const struct cli_enroll_item *item,
                                    const char *bytes, size_t size, struct outcome *outcome,
                                    struct frt_error *err)
{
    char digest[FRT_SHA256_HEX_SIZE], made[FACE_ID_DIGITS + 1];
    struct frt_image *image = NULL;
    struct frt_buf metadata;
    frt_buf_init(&metadata, MAX_METADATA_BYTES);
    frt_sha256_hex(bytes, size, digest);
    (void)snprintf(made, sizeof made, "%.*s", FACE_ID_DIGITS, digest);
    const char *face_id = item->face_id != NULL ? item->face_id : made;
    struct frt_enroll_options options = job->options;
    options.subject = item->subject;
    options.face_id = item->face_id == NULL && options.on_multiple == FRT_MULTIPLE_ALL ? NULL : face_id;
    enum frt_status status = find_photo(job, item, face_id, digest, &outcome->already, err);
    if (status != FRT_OK || outcome->already)
        goto done;
    status = job->memory != NULL ? cli_enroll_memory_find(job->memory, digest, err) : FRT_OK;
    outcome->remembered = status != FRT_OK;
    if (status != FRT_OK)
        goto done;
    status = photo_metadata(job, item->path, digest, &metadata, err);
    if (status != FRT_OK)
        goto done;
    options.metadata = metadata.data;
    status = frt_image_open_memory(job->models.context, bytes, size, &image, err);
    if (status == FRT_OK)
        status = frt_enroll(job->gallery, job->models.pack, job->collection,
                            (const struct frt_image *const[]){image}, 1, &options, &outcome->enrolled, err);
    if (status == FRT_ECONFLICT) { /* the same photo lies there twice, and its twin was faster */
        enum frt_status again = find_photo(job, item, face_id, digest, &outcome->already, err);
        status = again == FRT_OK && !outcome->already ? FRT_ECONFLICT : again;
    }
    if (status != FRT_OK && job->memory != NULL)
        cli_enroll_memory_add(job->memory, digest, err);
done:
    outcome->fatal = status != FRT_OK && is_fatal(status);
    frt_image_free(image);
    frt_buf_deinit(&metadata);
    return status;
}

static enum frt_status enroll_photo(const struct job *job, const struct cli_enroll_item *item,
                                    struct outcome *outcome, struct frt_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    enum frt_status status = cli_photo_read(item->path, &bytes, &size, err);
    if (status != FRT_OK)
        return status; /* the text names the file */
    status = item->subject[0] == '\0'
                 ? frt_fail(err, FRT_EBAD_REQUEST,
                            "it lies in nobody's folder; FOLDER/NAME/photo.jpg makes it one of NAME's")
                 : enroll_bytes(job, item, bytes, size, outcome, err);
    frt_free(bytes);
    return status == FRT_OK || status == FRT_ECANCELLED ? status
                                                        : frt_fail_within(err, status, "%s", item->path);
}

/* ------------------------------------------------------------------ telling */

static void begin_line(struct frt_json_writer *w, struct frt_buf *out, const struct cli_enroll_item *item)
{
    frt_json_writer_init(w, out, false);
    frt_json_object(w);
    cli_member_text(w, "file", item->path);
    cli_member_text(w, "subject", item->subject);
}

static void json_photo(const struct cli_enroll_item *item, const struct outcome *outcome, struct frt_buf *out)
{
    struct frt_json_writer w;
    begin_line(&w, out, item);
    if (outcome->already) {
        frt_json_key(&w, "already");
        frt_json_bool(&w, true);
    } else {
        frt_answer_enrolled(&w, &outcome->enrolled);
    }
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

static void json_failure(const struct cli_enroll_item *item, const struct frt_error *problem,
                         struct frt_buf *out)
{
    struct frt_json_writer w;
    begin_line(&w, out, item);
    frt_json_key(&w, "error");
    cli_json_error(&w, problem);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

static void text_photo(const struct cli_enroll_item *item, const struct outcome *outcome, struct frt_buf *out)
{
    const struct frt_enrolled *e = &outcome->enrolled;
    for (size_t i = 0; i < e->faces.n; i++) {
        cli_append_name(out, item->subject);
        frt_buf_append_text(out, "  enrolled");
        if (!isnan(e->faces.faces[i].quality))
            frt_buf_printf(out, ", quality %.2f", (double)e->faces.faces[i].quality);
        frt_buf_append_text(out, "  ");
        cli_append_name(out, item->path);
        frt_buf_append_char(out, '\n');
    }
    for (size_t i = 0; i < e->n_rejected; i++) {
        cli_append_name(out, item->subject);
        frt_buf_append_text(out, "  a face is not taken: ");
        cli_append_name(out, e->rejected[i].text);
        frt_buf_append_text(out, "  ");
        cli_append_name(out, item->path);
        frt_buf_append_char(out, '\n');
    }
    if (outcome->already) {
        cli_append_name(out, item->subject);
        frt_buf_append_text(out, "  enrolled already  ");
        cli_append_name(out, item->path);
        frt_buf_append_char(out, '\n');
    }
}

static void summary_members(struct frt_json_writer *w, const struct job *job)
{
    frt_json_key(w, "summary");
    frt_json_object(w);
    cli_member_text(w, "collection", job->collection);
    frt_json_key(w, "created");
    frt_json_bool(w, job->created);
    cli_member_whole(w, "photos", job->list.n);
    cli_member_whole(w, "enrolled", job->n_enrolled);
    cli_member_whole(w, "faces", job->n_faces);
    cli_member_whole(w, "already", job->n_already);
    cli_member_whole(w, "failed", job->n_failed);
    cli_member_whole(w, "remembered", job->n_remembered);
    frt_json_key(w, "seconds");
    frt_json_fixed(w, frt_elapsed_ms(job->start_ns) / 1000, 3);
    frt_json_key(w, "interrupted");
    frt_json_bool(w, cli_interrupted(NULL));
    if (job->over) {
        frt_json_key(w, "error");
        cli_json_error(w, &job->fatal);
    }
    frt_json_end(w);
}

static enum frt_status text_summary(const struct job *job, struct frt_buf *out, struct frt_error *err)
{
    struct frt_collection_info info;
    enum frt_status status = frt_collection_get(job->gallery, job->collection, &info, err);
    if (status != FRT_OK)
        return status;
    frt_buf_printf(out, "%zu photo%s enrolled", (size_t)job->n_enrolled, job->n_enrolled == 1 ? "" : "s");
    if (job->n_already > 0)
        frt_buf_printf(out, ", %zu enrolled already", (size_t)job->n_already);
    if (job->n_failed > 0)
        frt_buf_printf(out, ", %zu failed", (size_t)job->n_failed);
    if (job->n_remembered > 0)
        frt_buf_printf(out, " (%zu as before: --again looks at them again)", (size_t)job->n_remembered);
    frt_buf_printf(out, "; collection '%s' has %llu face%s of %llu %s\n", job->collection,
                   (unsigned long long)info.faces, info.faces == 1 ? "" : "s",
                   (unsigned long long)info.subjects, info.subjects == 1 ? "person" : "people");
    frt_collection_info_deinit(&info);
    return FRT_OK;
}

/* ----------------------------------------------------------- work and print */

static void end_all(struct job *job, const struct frt_error *err)
{
    (void)pthread_mutex_lock(&job->lock);
    if (!job->over)
        job->fatal = *err;
    job->over = true;
    (void)pthread_mutex_unlock(&job->lock);
}

static int photo(void *arg, size_t i, struct frt_buf *out, struct frt_error *problem)
{
    struct job *job = arg;
    const struct cli_enroll_item *item = &job->list.items[i];
    struct outcome outcome = {0};
    struct frt_error err = {0};
    enum frt_status status = enroll_photo(job, item, &outcome, &err);
    if (status == FRT_OK) {
        atomic_fetch_add(outcome.already ? &job->n_already : &job->n_enrolled, 1);
        atomic_fetch_add(&job->n_faces, outcome.enrolled.faces.n);
        if (job->json)
            json_photo(item, &outcome, out);
        else if (job->line_a_photo)
            text_photo(item, &outcome, out);
    } else if (status != FRT_ECANCELLED) {
        atomic_fetch_add(&job->n_failed, 1);
        atomic_fetch_add(&job->n_remembered, outcome.remembered);
        if (job->json)
            json_failure(item, &err, out);
        *problem = err;
        if (outcome.fatal)
            end_all(job, &err);
    }
    frt_enrolled_deinit(&outcome.enrolled);
    return (int)frt_status_exit(status);
}

static enum frt_status print_photo(void *arg, size_t i, const struct frt_buf *out,
                                   const struct frt_error *problem, struct frt_error *err)
{
    struct job *job = arg;
    bool failed = problem->text[0] != '\0';
    enum frt_status status = FRT_OK;
    if (failed || out->size > 0)
        cli_progress_clear(&job->progress);
    if (out->size > 0 || frt_buf_status(out) != FRT_OK)
        status = cli_print(out, err);
    if (status == FRT_OK && failed) {
        (void)cli_complain(job->run, problem);
        if (job->reporting)
            json_failure(&job->list.items[i], problem, &job->report);
    }
    /* what is passed over takes no time: rate and time left are those of the photos that are worked on */
    size_t done = atomic_fetch_add(&job->n_done, 1) + 1,
           passed = atomic_load(&job->n_already) + atomic_load(&job->n_remembered);
    if (done > passed)
        cli_progress_update(&job->progress, done - passed, job->list.n - passed);
    return status;
}

static bool stopped(void *arg)
{
    struct job *job = arg;
    return cli_interrupted(NULL) || atomic_load(&job->over);
}

/* -------------------------------------------------------------- the command */

static enum frt_status check_metadata(const char *text, struct frt_error *err)
{
    struct frt_json *json = NULL;
    if (text == NULL)
        return FRT_OK;
    enum frt_status status = frt_json_parse(text, strlen(text), &json, err);
    if (status == FRT_OK && !frt_json_is_object(frt_json_root(json)))
        status = frt_fail(err, FRT_EINVAL, "it is no JSON object");
    frt_json_free(json);
    return status == FRT_OK ? FRT_OK
                            : frt_fail_within(err, FRT_EINVAL, "--metadata: '{\"key\":\"value\"}' is right");
}

static enum frt_status read_options(struct job *job, struct frt_error *err)
{
    static const char *const multiple[] = {"clear", "reject", "largest", "all", NULL};
    static const char *const duplicate[] = {"allow", "reject", NULL};
    const struct cli_run *run = job->run;
    int on_multiple = 0, on_duplicate = 0;
    double min_quality = 0, min_confidence = 0;
    enum frt_status status = cli_choice(run, "on-multiple", multiple, 0, &on_multiple, err);
    if (status == FRT_OK)
        status = cli_choice(run, "on-duplicate", duplicate, 0, &on_duplicate, err);
    if (status == FRT_OK)
        status = cli_number(run, "min-quality", 0, 1, 0, &min_quality, err);
    if (status == FRT_OK)
        status = cli_number(run, "min-confidence", 0, 1, 0, &min_confidence, err);
    if (status == FRT_OK)
        status = check_metadata(job->metadata, err);
    if (status == FRT_OK && cli_text(run, "report") != NULL)
        status = cli_file_check(cli_text(run, "report"), cli_has(run, "force"), err);
    if (status != FRT_OK)
        return status;
    static const enum frt_on_multiple policies[] = {FRT_MULTIPLE_CLEAR, FRT_MULTIPLE_REJECT,
                                                    FRT_MULTIPLE_LARGEST, FRT_MULTIPLE_ALL};
    job->options = (struct frt_enroll_options){.on_multiple = policies[on_multiple],
                                               .on_duplicate = on_duplicate == 1 ? FRT_DUPLICATE_REJECT
                                                                                 : FRT_DUPLICATE_ALLOW,
                                               .min_quality = (float)min_quality,
                                               .min_confidence = (float)min_confidence,
                                               .require_live = cli_has(run, "require-live"),
                                               .cancelled = cli_interrupted};
    return FRT_OK;
}

static enum frt_status collect(struct job *job, struct frt_error *err)
{
    const struct cli_run *run = job->run;
    const char *subject = cli_text(run, "subject"), *from = cli_text(run, "from"), *map = cli_text(run, "csv");
    const char *face_id = cli_text(run, "face-id");
    size_t photos = run->n_arguments - 1;
    if ((photos > 0) + (from != NULL) + (map != NULL) != 1)
        return frt_fail(err, FRT_EINVAL, "%s; PHOTO… --subject NAME, --from FOLDER or --csv MAP is right",
                        photos == 0 && from == NULL && map == NULL ? "no photo is named"
                                                                   : "photos are named in two ways");
    if ((photos > 0) != (subject != NULL))
        return subject == NULL ? frt_fail(err, FRT_EINVAL, "whose photos are these? --subject NAME says it")
                               : frt_fail(err, FRT_EINVAL,
                                          "--subject is for photos named outright, not for --from or --csv");
    job->line_a_photo = photos > 0;
    enum frt_status status = from != NULL ? cli_enroll_list_folder(from, &job->list, err)
                             : map != NULL
                                 ? cli_enroll_list_csv(map, &job->list, err)
                                 : cli_enroll_list_photos(run->arguments + 1, photos, subject, &job->list, err);
    if (status != FRT_OK || face_id == NULL)
        return status;
    if (photos == 0 || job->list.n != 1)
        return frt_fail(err, FRT_EINVAL, "--face-id fits one photo");
    job->list.items[0].face_id = frt_strdup(face_id);
    return job->list.items[0].face_id == NULL ? frt_fail_nomem(err, "the list of photos") : FRT_OK;
}

/* What was refused before, unless photos are named outright or are to be looked at again. */
static enum frt_status remember(struct job *job, struct frt_error *err)
{
    char database[FRT_LOCATE_PATH_MAX], rules[512];
    const struct frt_enroll_options *o = &job->options;
    const char *detector = cli_text(job->run, "detector");
    if (job->line_a_photo || cli_has(job->run, "again"))
        return FRT_OK;
    (void)snprintf(rules, sizeof rules, "%s %s %.100s %d %.9g %.9g %d", frt_version(),
                   frt_pack_info_get(job->models.pack)->id, detector != NULL ? detector : "",
                   (int)o->on_multiple, (double)o->min_quality, (double)o->min_confidence,
                   (int)o->require_live);
    enum frt_status status = cli_database(job->run, false, database, err);
    return status == FRT_OK ? cli_enroll_memory_open(database, rules, &job->memory, err) : status;
}

static enum frt_status prepare(struct job *job, uint32_t *threads, struct frt_error *err)
{
    struct frt_buf text;
    enum frt_status status = read_options(job, err);
    if (status == FRT_OK)
        status = cli_jobs(job->run, threads, err);
    if (status == FRT_OK)
        status = collect(job, err);
    if (status == FRT_OK)
        status = cli_models_open(job->run, *threads > 1 && job->list.n > 1 ? 1 : 0, &job->models, err);
    /* the collection is made last: not for a command line that is refused */
    if (status == FRT_OK)
        status = cli_gallery_open(job->run, CLI_GALLERY_MAKE, &job->gallery, err);
    if (status == FRT_OK)
        status = cli_collection_make(job->gallery, job->collection, &job->created, err);
    if (status == FRT_OK)
        status = remember(job, err);
    if (status == FRT_OK && job->created && !job->json) {
        frt_buf_init(&text, MAX_OUTPUT_BYTES);
        frt_buf_printf(&text, "collection '%s' is new\n", job->collection);
        status = cli_print(&text, err);
        frt_buf_deinit(&text);
    }
    return status;
}

/* Summary and report, whatever became of the photos. */
static enum frt_status conclude(struct job *job, struct frt_error *err)
{
    struct frt_json_writer w;
    struct frt_buf out;
    enum frt_status status = FRT_OK;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (job->json) {
        frt_json_writer_init(&w, &out, false);
        frt_json_object(&w);
        summary_members(&w, job);
        frt_json_end(&w);
        frt_buf_append_char(&out, '\n');
    } else {
        status = text_summary(job, &out, err);
    }
    if (status == FRT_OK)
        status = cli_print(&out, err);
    frt_buf_deinit(&out);
    if (job->reporting) {
        frt_json_writer_init(&w, &job->report, false);
        frt_json_object(&w);
        summary_members(&w, job);
        frt_json_end(&w);
        frt_buf_append_char(&job->report, '\n');
        struct frt_error report_err = {0};
        enum frt_status written =
            frt_buf_status(&job->report) != FRT_OK
                ? frt_fail(&report_err, FRT_ENOMEM, "the report does not fit in memory")
                : cli_file_write(cli_text(job->run, "report"), job->report.data, job->report.size,
                                 cli_has(job->run, "force"), &report_err);
        if (written != FRT_OK && status == FRT_OK) {
            status = written;
            *err = report_err;
        }
    }
    return status;
}

static int worked(struct job *job, uint32_t threads)
{
    struct frt_error err = {0};
    int code = FRT_EXIT_OK;
    struct cli_jobs_plan plan = {.n = job->list.n,
                                 .threads = threads,
                                 .max_output_bytes = MAX_OUTPUT_BYTES,
                                 .arg = job,
                                 .work = photo,
                                 .print = print_photo,
                                 .stopped = stopped};
    cli_progress_init(&job->progress, "photos", cli_has(job->run, "quiet") || job->json || job->list.n < 2);
    enum frt_status status = cli_jobs_run(&plan, &code, &err);
    cli_progress_deinit(&job->progress);
    if (status != FRT_OK)
        code = cli_complain(job->run, &err);
    else if (job->over) /* the others could not be tried */
        code = cli_complain(job->run, &job->fatal);
    else if (cli_interrupted(NULL))
        code = FRT_EXIT_INTERRUPTED;
    if (cli_output_failed())
        return code;
    status = conclude(job, &err);
    if (status != FRT_OK) {
        int why = cli_complain(job->run, &err);
        code = code == FRT_EXIT_OK ? why : code;
    }
    if (code == FRT_EXIT_INTERRUPTED && !job->json) {
        err.status = frt_fail(&err, FRT_ECANCELLED, "interrupted; the same command goes on from here");
        (void)cli_complain(job->run, &err);
    }
    return code;
}

int cli_enroll(struct cli_run *run)
{
    struct job job = {.run = run,
                      .collection = run->arguments[0],
                      .metadata = cli_text(run, "metadata"),
                      .json = cli_has(run, "json"),
                      .reporting = cli_text(run, "report") != NULL,
                      .start_ns = frt_now_ns()};
    struct frt_error err = {0};
    uint32_t threads = 1;
    (void)pthread_mutex_init(&job.lock, NULL);
    frt_buf_init(&job.report, MAX_REPORT_BYTES);
    cli_catch_interrupts();
    int code = prepare(&job, &threads, &err) == FRT_OK ? worked(&job, threads) : cli_complain(run, &err);
    frt_gallery_close(job.gallery);
    cli_enroll_memory_close(job.memory);
    cli_models_close(&job.models);
    cli_enroll_list_deinit(&job.list);
    frt_buf_deinit(&job.report);
    (void)pthread_mutex_destroy(&job.lock);
    return code;
}
