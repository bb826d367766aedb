/* The backend over a file. Design: store_internal.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "store/sqlite_db.h"
#include "store/store_address.h"
#include "store/store_internal.h"
#include "store/store_schema.h"

enum { LOOK_EVERY_MS = 20 }; /* at what other processes have written; a look takes 2 us */

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

static enum frt_status connect_file(struct frt_store *store, bool writer, int64_t end_ms, struct db **out,
                                    struct frt_error *err)
{
    struct db *db = NULL;
    (void)end_ms; /* a file is there or it is not */
    enum frt_status status = sqlite_db_open(store->path, writer ? SQLITE_DB_CREATE : SQLITE_DB_READ,
                                            store->options.busy_ms, &db, err);
    if (status == FRT_OK)
        status = db_exec(db, writer ? writer_settings : reader_settings, err);
    if (status != FRT_OK) {
        db_close(db);
        return status;
    }
    *out = db;
    return FRT_OK;
}

static enum frt_status open_writer(struct frt_store *store, struct frt_error *err)
{
    enum frt_status status = make_folder(store->path, err);
    if (status == FRT_OK)
        status = connect_file(store, true, 0, &store->writer, err);
    if (status == FRT_OK)
        status = store_schema_prepare(store->writer, store->path, err);
    if (status == FRT_OK)
        status = store_read_id(store->writer, store->id, err);
    if (status == FRT_OK)
        status = store_crops_check_key(store, store->writer, err);
    return status;
}

static enum frt_status look_at(struct frt_store *store, struct db *db, struct frt_error *err)
{
    enum frt_status status = store_schema_check(db, store->path, err);
    if (status == FRT_OK)
        status = store_read_id(db, store->id, err);
    return status == FRT_OK ? store_crops_check_key(store, db, err) : status;
}

static enum frt_status open_file(struct frt_store *store, const char *address, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct stat st;
    enum frt_status status = FRT_OK;
    store->path = frt_strdup(frt_store_file(address));
    if (store->path == NULL)
        return frt_fail_nomem(err, "a store");
    if (!store->options.read_only)
        return open_writer(store, err);
    if (stat(store->path, &st) != 0)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EUNAVAILABLE, "%s: %s", store->path,
                        strerror(errno));
    while (store_read(&turn, &status, err))
        status = look_at(store, turn.db, err);
    return status;
}

/* -------------------------------------------------------------------- news */

struct watcher {
    struct db *db;
    int64_t version; /* of the file when it was last looked at */
};

static enum frt_status version_of(struct db *db, int64_t *out, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(db, "PRAGMA data_version", &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK && row)
        *out = db_int(stmt, 0);
    db_done(stmt);
    return status;
}

static enum frt_status make_watcher(struct frt_store *store, struct frt_error *err)
{
    struct watcher *w = frt_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return frt_fail_nomem(err, "a watcher of the database");
    enum frt_status status = connect_file(store, false, 0, &w->db, err);
    if (status == FRT_OK)
        store->own = w;
    else
        frt_free(w);
    return status;
}

/* The file's version changes with every commit of another connection, be it of this process. The first call
 * returns at once: it does not know what was before. */
static enum frt_status wait_file(struct frt_store *store, uint64_t after, int64_t end_ms, struct frt_error *err)
{
    int64_t version = 0;
    (void)after;
    enum frt_status status = store->own == NULL ? make_watcher(store, err) : FRT_OK;
    struct watcher *w = store->own;
    if (w == NULL)
        return status;
    while (status == FRT_OK) {
        status = version_of(w->db, &version, err);
        if (status != FRT_OK || version != w->version || !store_news_sleep(store, LOOK_EVERY_MS, end_ms))
            break;
    }
    if (status == FRT_OK)
        w->version = version;
    return status;
}

static void close_file(struct frt_store *store)
{
    struct watcher *w = store->own;
    if (w != NULL)
        db_close(w->db);
    frt_free(w);
}

const struct store_backend store_sqlite = {
    .kind = "sqlite", .open = open_file, .connect = connect_file, .wait = wait_file, .close = close_file};
