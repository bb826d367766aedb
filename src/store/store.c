/* Life of the store, turns and transactions. Design: store_internal.h. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/json_read.h"
#include "core/mem.h"
#include "core/trace.h"
#include "core/utf8.h"
#include "store/store_internal.h"
#include "store/store_schema.h"

enum { DEFAULT_READERS = 8, DEFAULT_BUSY_MS = 5000 };

/* WAL: readers and the writer do not wait for each other. FULL: a commit is on disk when it returns.
 * secure_delete: what is deleted is overwritten. A page of 16 KiB holds seven 512-d faces where 4 KiB would
 * hold one. */
static const char writer_settings[] =
    "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA cache_size = -32768;"
    "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864;"
    "PRAGMA cell_size_check = ON";
static const char reader_settings[] =
    "PRAGMA query_only = ON; PRAGMA cache_size = -8192; PRAGMA cell_size_check = ON";

/* -------------------------------------------------------------------- life */

static enum frt_status make_folder(const char *path, struct frt_error *err)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return FRT_OK;
    if ((size_t)(slash - path) >= sizeof folder)
        return frt_fail(err, FRT_EINVAL, "the path of the database is too long");
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    for (char *at = folder + 1; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            (void)mkdir(folder, 0755); /* what is wrong shows at the last one */
            *at = '/';
        }
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EUNAVAILABLE, "%s: %s", folder,
                        strerror(errno));
    return FRT_OK;
}

static enum frt_status read_id(struct db *db, uint8_t out[16], struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    size_t size = 0;
    enum frt_status status = db_use(db, "SELECT value FROM meta WHERE name = 'id'", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK) {
        const void *bytes = row ? db_blob(stmt, 0, &size) : NULL;
        if (size == 16)
            memcpy(out, bytes, 16);
        else
            status = frt_fail(err, FRT_ESTORE_DAMAGED, "the database has no id");
    }
    db_done(stmt);
    return status;
}

/* Collections whose deletion was begun. */
static enum frt_status finish_deletions(struct frt_store *store, struct frt_error *err);

static enum frt_status open_writer(struct frt_store *store, struct frt_error *err)
{
    enum frt_status status = make_folder(store->path, err);
    if (status == FRT_OK)
        status = db_open(store->path, DB_CREATE, store->options.busy_ms, &store->writer, err);
    if (status == FRT_OK)
        status = db_exec(store->writer, writer_settings, err);
    if (status == FRT_OK)
        status = store_schema_prepare(store->writer, store->path, err);
    if (status == FRT_OK)
        status = read_id(store->writer, store->id, err);
    if (status == FRT_OK)
        status = store_crops_check_key(store, store->writer, NULL, err);
    if (status != FRT_OK)
        return status;
    status = finish_deletions(store, err);
    return status == FRT_EOVERLOADED ? FRT_OK : status; /* another program writes: the next opening goes on */
}

static enum frt_status open_read_only(struct frt_store *store, struct frt_error *err)
{
    struct stat st;
    struct db *db = NULL;
    if (stat(store->path, &st) != 0)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EUNAVAILABLE, "%s: %s", store->path,
                        strerror(errno));
    enum frt_status status = store_reader(store, &db, err);
    if (status == FRT_OK)
        status = store_schema_check(db, store->path, err);
    if (status == FRT_OK)
        status = read_id(db, store->id, err);
    if (status == FRT_OK)
        status = store_crops_check_key(store, NULL, db, err);
    if (db != NULL)
        store_reader_done(store, db);
    return status;
}

enum frt_status frt_store_open(const struct frt_store_options *options, struct frt_store **out,
                               struct frt_error *err)
{
    struct frt_store *store = frt_alloc_zero(1, sizeof *store);
    pthread_condattr_t monotonic;
    if (store == NULL)
        return frt_fail_nomem(err, "a store");
    store->options = *options;
    if (store->options.readers == 0)
        store->options.readers = DEFAULT_READERS;
    if (store->options.readers > STORE_MAX_READERS)
        store->options.readers = STORE_MAX_READERS;
    if (store->options.busy_ms == 0)
        store->options.busy_ms = DEFAULT_BUSY_MS;
    if (store->options.clock == NULL)
        store->options.clock = &frt_clock_system;
    (void)pthread_mutex_init(&store->turn_lock, NULL);
    (void)pthread_mutex_init(&store->pool_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->turn_free, &monotonic);
    (void)pthread_cond_init(&store->reader_free, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    store->path = frt_strdup(options->path);
    if (options->crop_key != NULL) {
        memcpy(store->crop_key, options->crop_key, sizeof store->crop_key);
        store->has_crop_key = true;
    }
    enum frt_status status = store->path == NULL  ? frt_fail_nomem(err, "a store")
                             : options->read_only ? open_read_only(store, err)
                                                  : open_writer(store, err);
    if (status != FRT_OK) {
        frt_store_close(store);
        return status;
    }
    *out = store;
    return FRT_OK;
}

void frt_store_close(struct frt_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < store->n_idle; i++)
        db_close(store->idle[i]);
    db_close(store->writer); /* last: it checkpoints and removes the write-ahead log */
    (void)pthread_mutex_destroy(&store->turn_lock);
    (void)pthread_mutex_destroy(&store->pool_lock);
    (void)pthread_cond_destroy(&store->turn_free);
    (void)pthread_cond_destroy(&store->reader_free);
    frt_wipe(store->crop_key, sizeof store->crop_key);
    frt_free(store->path);
    frt_free(store);
}

void frt_store_id(const struct frt_store *store, uint8_t out[16])
{
    memcpy(out, store->id, sizeof store->id);
}

int64_t store_now_ms(const struct frt_store *store)
{
    return store->options.clock->wall_ns(store->options.clock) / 1000000;
}

/* ----------------------------------------------------------------- readers */

static struct timespec busy_end(const struct frt_store *store)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += store->options.busy_ms / 1000;
    t.tv_nsec += (long)(store->options.busy_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static void began(struct db *db, const char *name)
{
    *db_owner(db) = (struct db_owner){.since_ns = frt_now_ns(), .span = frt_trace_begin(name)};
}

static void ended(const struct frt_store *store, struct db *db)
{
    const struct db_owner *owner = db_owner(db);
    frt_trace_end(owner->span, NULL);
    if (store->watch != NULL)
        store->watch(store->watch_arg, frt_elapsed_ms(owner->since_ns));
}

void frt_store_watch(struct frt_store *store, void (*done)(void *arg, double ms), void *arg)
{
    store->watch = done;
    store->watch_arg = arg;
}

struct frt_store_stats frt_store_stats_get(struct frt_store *store)
{
    struct frt_store_stats stats = {.limit = store->options.readers + (store->writer != NULL)};
    (void)pthread_mutex_lock(&store->pool_lock);
    stats.busy = store->n_readers - store->n_idle;
    stats.waiting = store->readers_waiting;
    stats.refused = store->readers_refused;
    (void)pthread_mutex_unlock(&store->pool_lock);
    (void)pthread_mutex_lock(&store->turn_lock);
    stats.busy += store->turn_taken;
    stats.waiting += store->writers_waiting;
    stats.refused += store->writers_refused;
    (void)pthread_mutex_unlock(&store->turn_lock);
    return stats;
}

enum frt_status store_reader(struct frt_store *store, struct db **out, struct frt_error *err)
{
    const struct timespec end = busy_end(store);
    struct db *db = NULL;
    bool make = false;
    int waited = 0, span = frt_trace_begin_wait("store-wait");
    (void)pthread_mutex_lock(&store->pool_lock);
    store->readers_waiting++;
    while (store->n_idle == 0 && store->n_readers == store->options.readers && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&store->reader_free, &store->pool_lock, &end);
    store->readers_waiting--;
    if (store->n_idle > 0) {
        db = store->idle[--store->n_idle];
    } else if (store->n_readers < store->options.readers) {
        store->n_readers++;
        make = true;
    } else {
        store->readers_refused++;
    }
    (void)pthread_mutex_unlock(&store->pool_lock);
    frt_trace_end(span, NULL);
    if (db == NULL && !make)
        return frt_fail(err, FRT_EOVERLOADED, "no reader of the database became free within %u ms",
                        store->options.busy_ms);
    enum frt_status status = FRT_OK;
    if (make) {
        status = db_open(store->path, DB_READ, store->options.busy_ms, &db, err);
        if (status == FRT_OK)
            status = db_exec(db, reader_settings, err);
        if (status != FRT_OK) {
            db_close(db);
            (void)pthread_mutex_lock(&store->pool_lock);
            store->n_readers--;
            (void)pthread_cond_signal(&store->reader_free);
            (void)pthread_mutex_unlock(&store->pool_lock);
            return status;
        }
    }
    began(db, "store-read");
    *out = db;
    return FRT_OK;
}

struct db *store_reader_at_once(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->pool_lock);
    struct db *db = store->n_idle > 0 ? store->idle[--store->n_idle] : NULL;
    (void)pthread_mutex_unlock(&store->pool_lock);
    if (db != NULL)
        began(db, "store-read");
    return db;
}

void store_reader_done(struct frt_store *store, struct db *db)
{
    ended(store, db);
    (void)pthread_mutex_lock(&store->pool_lock);
    store->idle[store->n_idle++] = db;
    (void)pthread_cond_signal(&store->reader_free);
    (void)pthread_mutex_unlock(&store->pool_lock);
}

/* ------------------------------------------------------------------- turns */

static void give_turn(struct frt_store *store)
{
    (void)pthread_mutex_lock(&store->turn_lock);
    store->turn_taken = false;
    (void)pthread_cond_signal(&store->turn_free);
    (void)pthread_mutex_unlock(&store->turn_lock);
}

enum frt_status store_begin(struct frt_store *store, struct db **out, struct frt_error *err)
{
    const struct timespec end = busy_end(store);
    int waited = 0, span = FRT_TRACE_NOT_RECORDED;
    if (store->writer == NULL)
        return frt_fail(err, FRT_EUNAVAILABLE, "%s is open for reading only", store->path);
    span = frt_trace_begin_wait("store-wait");
    (void)pthread_mutex_lock(&store->turn_lock);
    store->writers_waiting++;
    while (store->turn_taken && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&store->turn_free, &store->turn_lock, &end);
    store->writers_waiting--;
    const bool mine = !store->turn_taken;
    store->turn_taken = true;
    store->writers_refused += !mine;
    (void)pthread_mutex_unlock(&store->turn_lock);
    frt_trace_end(span, NULL);
    if (!mine)
        return frt_fail(err, FRT_EOVERLOADED, "the database was busy writing for more than %u ms; try again",
                        store->options.busy_ms);
    enum frt_status status = db_exec(store->writer, "BEGIN IMMEDIATE", err);
    if (status != FRT_OK) {
        give_turn(store);
        return status;
    }
    began(store->writer, "store-write");
    *out = store->writer;
    return FRT_OK;
}

enum frt_status store_end(struct frt_store *store, enum frt_status status, struct frt_error *err)
{
    if (status == FRT_OK)
        status = db_exec(store->writer, "COMMIT", err);
    if (status != FRT_OK && db_in_transaction(store->writer)) {
        struct frt_error ignored;
        enum frt_status rolled_back = db_exec(store->writer, "ROLLBACK", &ignored);
        (void)rolled_back; /* the first failure is the one to tell */
    }
    ended(store, store->writer);
    give_turn(store);
    return status;
}

enum frt_status store_take_seqs(struct db *db, uint64_t n, uint64_t *first, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status =
        db_use(db, "UPDATE counters SET value = value + ?1 WHERE name = 'seq' RETURNING value", &stmt, err);
    if (status != FRT_OK)
        return status;
    db_bind_int(stmt, 1, (int64_t)n);
    status = db_step(stmt, &row, err);
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ESTORE_DAMAGED, "the database has no counter");
    if (status == FRT_OK) {
        *first = (uint64_t)db_int(stmt, 0) - n + 1;
        status = db_step(stmt, &row, err); /* to the end: the update is complete */
    }
    db_done(stmt);
    return status;
}

enum frt_status frt_store_last_seq(struct frt_store *store, uint64_t *out, struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = store_reader(store, &db, err);
    if (status != FRT_OK)
        return status;
    status = db_use(db, "SELECT value FROM counters WHERE name = 'seq'", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ESTORE_DAMAGED, "the database has no counter");
    if (status == FRT_OK)
        *out = (uint64_t)db_int(stmt, 0);
    db_done(stmt);
    store_reader_done(store, db);
    return status;
}

enum frt_status frt_store_check(struct frt_store *store, struct frt_error *err)
{
    uint64_t seq;
    struct db *db = NULL;
    enum frt_status status = frt_store_last_seq(store, &seq, err);
    if (status != FRT_OK || store->writer == NULL)
        return status;
    status = store_begin(store, &db, err);
    return status == FRT_OK ? store_end(store, FRT_OK, err) : status;
}

/* ------------------------------------------------------------------ checks */

static bool plain_text(const char *text, size_t size)
{
    if (!frt_utf8_valid(text, size))
        return false;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return true;
}

enum frt_status store_check_name(const char *name, struct frt_error *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t n = name == NULL ? 0 : strlen(name);
    if (n == 0 || n > FRT_STORE_NAME_MAX || name[0] == '.' || strspn(name, allowed) != n)
        return frt_fail(err, FRT_EINVAL,
                        "'%.64s' is no name of a collection; 1 to %d of A-Z, a-z, 0-9, '.', '_' and '-', not "
                        "beginning with '.', are right",
                        name == NULL ? "" : name, FRT_STORE_NAME_MAX);
    return FRT_OK;
}

enum frt_status store_check_subject(const char *subject, struct frt_error *err)
{
    const size_t n = subject == NULL ? 0 : strlen(subject);
    if (n == 0 || n > FRT_STORE_SUBJECT_MAX || !plain_text(subject, n))
        return frt_fail(err, FRT_EINVAL,
                        "a subject's name has %zu bytes%s; 1 to %d bytes of UTF-8 without control "
                        "characters are right",
                        n, n > 0 && n <= FRT_STORE_SUBJECT_MAX ? " that are not plain text" : "",
                        FRT_STORE_SUBJECT_MAX);
    return FRT_OK;
}

enum frt_status store_check_face_id(const char *face_id, struct frt_error *err)
{
    const size_t n = strlen(face_id);
    if (n == 0 || n > FRT_STORE_FACE_ID_MAX || !plain_text(face_id, n) || strchr(face_id, '/') != NULL)
        return frt_fail(
            err, FRT_EINVAL,
            "a face id has %zu bytes%s; 1 to %d bytes of UTF-8 without control characters and '/' are "
            "right",
            n, n > 0 && n <= FRT_STORE_FACE_ID_MAX ? " that are not plain text, or a '/'" : "",
            FRT_STORE_FACE_ID_MAX);
    return FRT_OK;
}

enum frt_status store_check_metadata(const char *metadata, struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_error why = {0};
    const size_t n = metadata == NULL ? 0 : strlen(metadata);
    if (n == 0)
        return FRT_OK;
    if (n > FRT_STORE_METADATA_MAX)
        return frt_fail(err, FRT_EINVAL, "the metadata has %zu bytes; at most %d are right", n,
                        FRT_STORE_METADATA_MAX);
    enum frt_status status = frt_json_parse(metadata, n, &json, &why);
    if (status == FRT_ENOMEM)
        return frt_fail_nomem(err, "metadata");
    const bool object = status == FRT_OK && frt_json_is_object(frt_json_root(json));
    frt_json_free(json);
    if (!object)
        return frt_fail(err, FRT_EINVAL, "the metadata is no JSON object%s%.200s", status == FRT_OK ? "" : ": ",
                        status == FRT_OK ? "" : why.text);
    return FRT_OK;
}

/* --------------------------------------------------- deletions under way */

/* A collection loses its name first, which is what deletes it; its faces go in batches, so that no transaction
 * is huge and other writers get their turn. What a crash left is finished at the next opening. */
enum { PURGE_FACES = 2000 };

static enum frt_status purge_some(struct frt_store *store, uint64_t key, bool *done, struct frt_error *err)
{
    static const char *const in_order[] = {
        "DELETE FROM faces WHERE key IN (SELECT key FROM faces WHERE collection = ?1 LIMIT ?2)",
        "DELETE FROM subjects WHERE key IN (SELECT s.key FROM subjects s WHERE s.collection = ?1 LIMIT ?2)",
        "DELETE FROM deletions WHERE collection = ?1 AND seq IN (SELECT seq FROM deletions WHERE collection = "
        "?1 "
        "LIMIT ?2)",
        "DELETE FROM collections WHERE key = ?1 AND ?2 > 0"};
    struct db *db = NULL;
    enum frt_status status = store_begin(store, &db, err);
    bool more = false;
    if (status != FRT_OK)
        return status;
    for (size_t i = 0; i < sizeof in_order / sizeof *in_order && status == FRT_OK && !more; i++) {
        struct db_stmt *stmt = NULL;
        status = db_use(db, in_order[i], &stmt, err);
        if (status == FRT_OK) {
            db_bind_int(stmt, 1, (int64_t)key);
            db_bind_int(stmt, 2, PURGE_FACES);
            status = db_run(stmt, err);
            more = i < 3 && db_changes(db) == PURGE_FACES;
        }
    }
    *done = !more;
    return store_end(store, status, err);
}

/* A look: it waits for no writer. */
static enum frt_status next_nameless(struct frt_store *store, uint64_t *key, struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = store_reader(store, &db, err);
    if (status != FRT_OK)
        return status;
    status = db_use(db, "SELECT key FROM collections WHERE name IS NULL LIMIT 1", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    *key = row ? (uint64_t)db_int(stmt, 0) : 0;
    db_done(stmt);
    store_reader_done(store, db);
    return status;
}

static enum frt_status finish_deletions(struct frt_store *store, struct frt_error *err)
{
    for (;;) {
        uint64_t key = 0;
        bool done = false;
        enum frt_status status = next_nameless(store, &key, err);
        while (status == FRT_OK && key != 0 && !done)
            status = purge_some(store, key, &done, err);
        if (status != FRT_OK || key == 0)
            return status;
    }
}

enum frt_status frt_store_collection_delete(struct frt_store *store, const char *name, uint64_t *faces,
                                            struct frt_error *err)
{
    struct db *db = NULL;
    struct db_stmt *stmt = NULL;
    struct frt_error later = {0};
    bool row = false;
    uint64_t count = 0;
    enum frt_status status = store_begin(store, &db, err);
    if (status != FRT_OK)
        return status;
    status = db_use(db, "UPDATE collections SET name = NULL WHERE name = ?1 RETURNING faces", &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, name);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && !row)
        status = frt_fail(err, FRT_ECOLLECTION_NOT_FOUND, "no collection is called '%.128s'", name);
    if (status == FRT_OK) {
        count = (uint64_t)db_int(stmt, 0);
        status = db_step(stmt, &row, err);
    }
    db_done(stmt);
    status = store_end(store, status, err);
    if (status != FRT_OK)
        return status;
    /* From here on it is gone, whatever happens; what remains of it is finished now or at the next opening. */
    enum frt_status purged = finish_deletions(store, &later);
    (void)purged;
    if (faces != NULL)
        *faces = count;
    return FRT_OK;
}
