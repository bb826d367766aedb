#include "engine/gallery_subjects.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/config.h"
#include "core/key_file.h"
#include "core/mem.h"
#include "core/worker_pool.h"
#include "engine/gallery_gpu.h"
#include "engine/threshold_table.h"

enum { DEFAULT_INDEXES = 50, DEFAULT_TTL_MS = 7200000 };

/* -------------------------------------------------------------------- life */

static enum frt_status parse_engine(const char *word, enum frt_index_engine *out, struct frt_error *err)
{
    if (word == NULL || word[0] == '\0')
        word = getenv("FRT_INDEX_ENGINE");
    if (word == NULL || word[0] == '\0' || strcmp(word, "native") == 0)
        *out = FRT_INDEX_NATIVE;
    else if (strcmp(word, "faiss") == 0)
        *out = FRT_INDEX_FAISS;
    else if (strcmp(word, "cuda") == 0)
        *out = FRT_INDEX_CUDA;
    else
        return frt_fail(err, FRT_EINVAL, "no index engine is called '%.32s'; native, faiss and cuda are right",
                        word);
    return FRT_OK;
}

/* An engine that cannot work is told of now, not at the first search; what cuda lacks, the processor does. */
static enum frt_status try_engine(const struct frt_gallery *gallery, struct frt_error *err)
{
    const struct frt_index_options options = {.engine = gallery->engine, .dim = 8, .threads = 1};
    struct frt_index *index = NULL;
    enum frt_status status = gallery->engine != FRT_INDEX_FAISS ? FRT_OK : frt_index_new(&options, &index, err);
    frt_index_free(index);
    return status;
}

static enum frt_status indexes_new(const struct frt_cache_limits *limits, struct frt_cache **out,
                                   struct frt_error *err)
{
    const struct frt_cache_options options = {.name = "index",
                                              .entries =
                                                  limits->entries == 0 ? DEFAULT_INDEXES : limits->entries,
                                              .bytes = limits->bytes,
                                              .ttl_ms = limits->ttl_ms == 0 ? DEFAULT_TTL_MS : limits->ttl_ms,
                                              .sliding = true,
                                              .keep_one = true,
                                              .free_value = gallery_index_leave};
    return frt_cache_new(&options, out, err);
}

/* The key that crops are sealed with; *has false: none. */
static enum frt_status load_key(const char *said, uint8_t key[FRT_SEAL_KEY_BYTES], bool *has,
                                struct frt_error *err)
{
    const char *path = said != NULL ? said : getenv("FRT_KEY_FILE");
    *has = path != NULL && path[0] != '\0';
    return *has ? frt_key_file_load(path, key, err) : FRT_OK;
}

static enum frt_status parse_keep(enum frt_keep_crops said, bool *out, struct frt_error *err)
{
    const char *word = said == FRT_KEEP_CROPS_AS_SAID ? getenv("FRT_KEEP_CROPS") : NULL;
    *out = said == FRT_KEEP_CROPS_YES;
    return word == NULL || word[0] == '\0' ? FRT_OK : frt_config_truth(word, "FRT_KEEP_CROPS", out, err);
}

static enum frt_status open_store(struct frt_gallery *gallery, const struct frt_gallery_options *o,
                                  struct frt_error *err)
{
    uint8_t key[FRT_SEAL_KEY_BYTES];
    bool has_key = false;
    enum frt_status status = load_key(o->key_file, key, &has_key, err);
    if (status == FRT_OK) {
        const struct frt_store_options store = {.path = gallery->path,
                                                .read_only = o->read_only,
                                                .readers = o->readers,
                                                .crop_key = has_key ? key : NULL};
        status = frt_store_open(&store, &gallery->store, err);
    }
    frt_wipe(key, sizeof key);
    return status;
}

enum frt_status frt_gallery_open(const struct frt_gallery_options *options, struct frt_gallery **out,
                                 struct frt_error *err)
{
    static const struct frt_gallery_options defaults;
    const struct frt_gallery_options *o = options != NULL ? options : &defaults;
    struct frt_gallery *gallery = frt_alloc_zero(1, sizeof *gallery);
    if (gallery == NULL)
        return frt_fail_nomem(err, "a gallery");
    char located[FRT_LOCATE_PATH_MAX];
    (void)pthread_mutex_init(&gallery->enroll_lock, NULL);
    (void)pthread_mutex_init(&gallery->lock, NULL);
    gallery->threads = o->threads;
    gallery->read_only = o->read_only;
    gallery->load_apart_from = GALLERY_LOAD_APART_FROM;
    enum frt_status status = frt_database_locate(o->path, located, err);
    if (status == FRT_OK) {
        (void)snprintf(gallery->path, sizeof gallery->path, "%s", located);
        status = frt_database_beside(gallery->path, ".index", located, err);
    }
    if (status == FRT_OK) {
        (void)snprintf(gallery->index_folder, sizeof gallery->index_folder, "%s",
                       o->index_folder != NULL && o->index_folder[0] != '\0' ? o->index_folder : located);
        status = parse_engine(o->engine, &gallery->engine, err);
    }
    if (status == FRT_OK && gallery->engine != FRT_INDEX_NATIVE)
        frt_gallery_gpu_configure(&o->gpu_search);
    if (status == FRT_OK)
        status = try_engine(gallery, err);
    if (status == FRT_OK)
        status = parse_keep(o->keep_crops, &gallery->keep_crops, err);
    if (status == FRT_OK)
        status = open_store(gallery, o, err);
    if (status == FRT_OK)
        status = indexes_new(&o->index_cache, &gallery->indexes, err);
    if (status == FRT_OK)
        status = gallery_subjects_new(&o->subject_cache, &gallery->subjects, err);
    if (status == FRT_OK)
        status = gallery_loads_new(gallery, &gallery->loads, err);
    if (status == FRT_OK) {
        frt_store_id(gallery->store, gallery->store_id);
        status = gallery_keeper_new(gallery, o->background, &gallery->keeper, err);
    }
    if (status == FRT_OK)
        status = gallery_feed_new(gallery, o->background, &gallery->feed, err);
    if (status != FRT_OK) {
        frt_gallery_close(gallery);
        return status;
    }
    *out = gallery;
    return FRT_OK;
}

void frt_gallery_close(struct frt_gallery *gallery)
{
    if (gallery == NULL)
        return;
    gallery_feed_free(gallery->feed);
    gallery_loads_free(gallery->loads);
    gallery_keeper_free(gallery->keeper);
    gallery->keeper = NULL;
    gallery_entries_free(gallery);
    frt_cache_free(gallery->subjects);
    frt_store_close(gallery->store);
    (void)pthread_mutex_destroy(&gallery->enroll_lock);
    (void)pthread_mutex_destroy(&gallery->lock);
    frt_free(gallery);
}

enum frt_status frt_gallery_check(struct frt_gallery *gallery, struct frt_error *err)
{
    return frt_store_check(gallery->store, err);
}

enum frt_status gallery_take(pthread_mutex_t *turn, struct frt_error *err)
{
    struct timespec end;
#ifdef __SANITIZE_THREAD__ /* gcc 12's does not know clocklock, and takes the unlock for an error */
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += GALLERY_WAIT_MS / 1000;
    const int taken = pthread_mutex_timedlock(turn, &end);
#else
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += GALLERY_WAIT_MS / 1000;
    const int taken = pthread_mutex_clocklock(turn, CLOCK_MONOTONIC, &end);
#endif
    if (taken != 0)
        return frt_fail(err, FRT_EOVERLOADED, "the collection was busy for more than %d s; try again",
                        GALLERY_WAIT_MS / 1000);
    return FRT_OK;
}

/* ------------------------------------------------------------- collections */

enum frt_status gallery_collection(struct frt_gallery *gallery, const char *name, struct frt_store_page **page,
                                   struct frt_store_collection *out, struct frt_error *err)
{
    if (name == NULL)
        return frt_fail(err, FRT_EINVAL, "no collection is named");
    enum frt_status status = frt_store_collection_get(gallery->store, name, page, out, err);
    if (status == FRT_OK)
        gallery_note_seq(gallery, out->seq);
    return status;
}

static void settings_row(const char *name, const struct frt_collection_settings *settings,
                         struct frt_store_collection *out)
{
    static const struct frt_collection_settings none;
    const struct frt_collection_settings *s = settings != NULL ? settings : &none;
    *out = (struct frt_store_collection){.name = name};
    out->threshold = (s->which & FRT_COLLECTION_THRESHOLD) != 0 ? s->threshold : NAN;
    out->target_fpir = (s->which & FRT_COLLECTION_TARGET_FPIR) != 0 ? s->target_fpir : (double)NAN;
    out->metadata = (s->which & FRT_COLLECTION_METADATA) != 0 && s->metadata != NULL ? s->metadata : "";
    out->calibration =
        (s->which & FRT_COLLECTION_CALIBRATION) != 0 && s->calibration != NULL ? s->calibration : "";
}

static bool same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b;
}

/* Are the settings that are given those of the row? Metadata is compared as text, {} as none. */
static bool settings_match(const struct frt_collection_settings *settings,
                           const struct frt_store_collection *wanted, const struct frt_store_collection *row)
{
    const uint32_t which = settings != NULL ? settings->which : 0;
    const char *a = strcmp(wanted->metadata, "{}") == 0 ? "" : wanted->metadata;
    const char *b = strcmp(row->metadata, "{}") == 0 ? "" : row->metadata;
    return ((which & FRT_COLLECTION_THRESHOLD) == 0 ||
            same_number((double)wanted->threshold, (double)row->threshold)) &&
           ((which & FRT_COLLECTION_TARGET_FPIR) == 0 || same_number(wanted->target_fpir, row->target_fpir)) &&
           ((which & FRT_COLLECTION_METADATA) == 0 || strcmp(a, b) == 0) &&
           ((which & FRT_COLLECTION_CALIBRATION) == 0 || strcmp(wanted->calibration, row->calibration) == 0);
}

/* What is no table is refused when it comes, not passed over when it is needed. */
static enum frt_status check_calibration(const char *text, struct frt_error *err)
{
    struct frt_threshold_table table;
    if (text[0] == '\0')
        return FRT_OK;
    enum frt_status status = frt_threshold_table_parse(text, strlen(text), &table, err);
    return status == FRT_EBAD_REQUEST ? frt_fail_within(err, FRT_EINVAL, "calibration") : status;
}

enum frt_status frt_collection_put(struct frt_gallery *gallery, const char *name,
                                   const struct frt_collection_settings *settings, bool *created,
                                   struct frt_error *err)
{
    struct frt_store_collection wanted, row = {.metadata = "", .calibration = ""};
    struct frt_store_page *page = NULL;
    settings_row(name, settings, &wanted);
    enum frt_status status = check_calibration(wanted.calibration, err);
    if (status == FRT_OK)
        status = frt_store_collection_add(gallery->store, &wanted, err);
    if (status == FRT_ECONFLICT) {
        status = gallery_collection(gallery, name, &page, &row, err);
        if (status != FRT_OK)
            return status;
        const bool same = settings_match(settings, &wanted, &row);
        frt_store_page_free(page);
        if (!same)
            return frt_fail(err, FRT_ECONFLICT, "collection '%.128s' stands already with other settings", name);
        if (created != NULL)
            *created = false;
        return FRT_OK;
    }
    if (status == FRT_OK && created != NULL)
        *created = true;
    return status;
}

enum frt_status frt_collection_patch(struct frt_gallery *gallery, const char *name,
                                     const struct frt_collection_settings *settings, struct frt_error *err)
{
    struct frt_store_collection row = {.name = "", .model = "", .metadata = "", .calibration = ""};
    uint32_t which = 0;
    settings_row(name, settings, &row);
    if ((settings->which & FRT_COLLECTION_THRESHOLD) != 0)
        which |= FRT_STORE_SET_THRESHOLD;
    if ((settings->which & FRT_COLLECTION_TARGET_FPIR) != 0)
        which |= FRT_STORE_SET_TARGET_FPIR;
    if ((settings->which & FRT_COLLECTION_METADATA) != 0)
        which |= FRT_STORE_SET_METADATA;
    if ((settings->which & FRT_COLLECTION_CALIBRATION) != 0)
        which |= FRT_STORE_SET_CALIBRATION;
    enum frt_status status = check_calibration(row.calibration, err);
    return status == FRT_OK ? frt_store_collection_patch(gallery->store, which, &row, err) : status;
}

void frt_collection_info_deinit(struct frt_collection_info *info)
{
    frt_free(info->metadata);
    frt_free(info->calibration);
    *info = (struct frt_collection_info){0};
}

static enum frt_status info_of(struct frt_gallery *gallery, const struct frt_store_collection *row,
                               struct frt_collection_info *out, struct frt_error *err)
{
    struct frt_collection_info info = {.dim = row->dim,
                                       .threshold = row->threshold,
                                       .target_fpir = row->target_fpir,
                                       .faces = row->faces,
                                       .subjects = row->subjects,
                                       .seq = row->seq,
                                       .created_ms = row->created_ms,
                                       .recall_estimate = (double)NAN,
                                       .recall_low = (double)NAN};
    (void)snprintf(info.name, sizeof info.name, "%s", row->name);
    (void)snprintf(info.model, sizeof info.model, "%s", row->model);
    info.metadata = frt_strdup(row->metadata[0] != '\0' ? row->metadata : "{}");
    info.calibration = frt_strdup(row->calibration);
    if (info.metadata == NULL || info.calibration == NULL) {
        frt_collection_info_deinit(&info);
        return frt_fail_nomem(err, "a collection");
    }
    struct gallery_entry *entry = gallery_entry_find(gallery, row->key);
    struct gallery_index *index = entry != NULL ? gallery_index_peek(entry) : NULL;
    if (index != NULL) {
        const struct frt_index_stats stats = frt_index_stats_get(index->index);
        (void)snprintf(info.index_engine, sizeof info.index_engine, "%s", stats.engine);
        (void)snprintf(info.index_kind, sizeof info.index_kind, "%s", stats.kind);
        info.index_bytes = stats.bytes;
        gallery_recall_estimate(&entry->recall, &info.recall_estimate, &info.recall_low);
        const uint64_t has = atomic_load_explicit(&index->seq, memory_order_relaxed);
        info.index_behind = row->seq > has ? row->seq - has : 0;
    }
    gallery_index_release(index);
    gallery_entry_release(entry);
    *out = info;
    return FRT_OK;
}

enum frt_status frt_collection_get(struct frt_gallery *gallery, const char *name,
                                   struct frt_collection_info *out, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {.name = "", .model = "", .metadata = "", .calibration = ""};
    enum frt_status status = gallery_collection(gallery, name, &page, &row, err);
    if (status == FRT_OK)
        status = info_of(gallery, &row, out, err);
    frt_store_page_free(page);
    return status;
}

enum frt_status frt_collection_list(struct frt_gallery *gallery, const char *after, size_t limit,
                                    struct frt_collection_info **out, size_t *n, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    const struct frt_store_collection *rows = NULL;
    struct frt_collection_info *list = NULL;
    size_t count = 0, done = 0;
    enum frt_status status =
        frt_store_collection_list(gallery->store, after != NULL ? after : "", limit, &page, &rows, &count, err);
    if (status == FRT_OK && count > 0) {
        list = frt_alloc_zero(count, sizeof *list);
        if (list == NULL)
            status = frt_fail_nomem(err, "collections");
    }
    while (status == FRT_OK && list != NULL && done < count) {
        status = info_of(gallery, &rows[done], &list[done], err);
        done += status == FRT_OK;
    }
    frt_store_page_free(page);
    if (status != FRT_OK) {
        frt_collection_list_free(list, done);
        return status;
    }
    *out = list;
    *n = count;
    return FRT_OK;
}

void frt_collection_list_free(struct frt_collection_info *list, size_t n)
{
    for (size_t i = 0; list != NULL && i < n; i++)
        frt_collection_info_deinit(&list[i]);
    frt_free(list);
}

enum frt_status frt_collection_delete(struct frt_gallery *gallery, const char *name,
                                      struct frt_collection_removed *removed, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {.name = "", .model = "", .metadata = "", .calibration = ""};
    uint64_t faces = 0;
    enum frt_status status = gallery_collection(gallery, name, &page, &row, err);
    if (status != FRT_OK)
        return status;
    status = frt_store_collection_delete(gallery->store, name, &faces, err);
    if (status == FRT_OK) {
        const bool snapshot = gallery_index_drop(gallery, row.key);
        if (removed != NULL)
            *removed = (struct frt_collection_removed){faces, snapshot};
    }
    frt_store_page_free(page);
    return status;
}
