#include "store/store_schema.h"

/*
 * A face's key is its sequence number: keys grow with every addition of any collection and are never used
 * again, so rows, lists and changes all come in the order in which they are stored, and adding a million faces
 * appends to every index but that of the face ids.
 */
static const char version_1[] =
    "CREATE TABLE meta("
    " name TEXT NOT NULL PRIMARY KEY,"
    " value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE counters("
    " name TEXT NOT NULL PRIMARY KEY,"
    " value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta(name, value) VALUES('id', randomblob(16));"
    "INSERT INTO counters(name, value) VALUES('seq', 0);"
    "CREATE TABLE collections("
    " key INTEGER PRIMARY KEY AUTOINCREMENT,"
    " name TEXT UNIQUE," /* NULL: deleted, and its faces on their way out */
    " model TEXT NOT NULL,"
    " dim INTEGER NOT NULL CHECK(dim BETWEEN 0 AND 4096),"
    " threshold REAL CHECK(threshold BETWEEN -1 AND 1),"
    " target_fpir REAL CHECK(target_fpir BETWEEN 0 AND 1),"
    " metadata TEXT NOT NULL,"
    " faces INTEGER NOT NULL DEFAULT 0 CHECK(faces >= 0),"
    " subjects INTEGER NOT NULL DEFAULT 0 CHECK(subjects >= 0),"
    " seq INTEGER NOT NULL DEFAULT 0,"
    " forgotten INTEGER NOT NULL DEFAULT 0,"
    " created_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE subjects("
    " key INTEGER PRIMARY KEY AUTOINCREMENT,"
    " collection INTEGER NOT NULL REFERENCES collections(key),"
    " name TEXT NOT NULL,"
    " faces INTEGER NOT NULL DEFAULT 0 CHECK(faces >= 0),"
    " created_ms INTEGER NOT NULL,"
    " UNIQUE(collection, name)) STRICT;"
    "CREATE TABLE faces("
    " key INTEGER PRIMARY KEY,"
    " collection INTEGER NOT NULL REFERENCES collections(key),"
    " subject INTEGER NOT NULL REFERENCES subjects(key),"
    " face_id TEXT NOT NULL,"
    " embedding BLOB NOT NULL CHECK(length(embedding) % 4 = 0 AND length(embedding) BETWEEN 4 AND 16384),"
    " metadata TEXT NOT NULL,"
    " x REAL NOT NULL, y REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL,"
    " confidence REAL NOT NULL,"
    " quality REAL,"
    " threshold REAL CHECK(threshold BETWEEN -1 AND 1),"
    " created_ms INTEGER NOT NULL,"
    " UNIQUE(collection, face_id)) STRICT;"
    "CREATE INDEX faces_by_collection ON faces(collection);"
    "CREATE INDEX faces_by_subject ON faces(subject);"
    "CREATE TABLE deletions("
    " collection INTEGER NOT NULL REFERENCES collections(key),"
    " seq INTEGER NOT NULL,"
    " face INTEGER NOT NULL,"
    " PRIMARY KEY(collection, seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE users("
    " email TEXT NOT NULL PRIMARY KEY,"
    " password_hash TEXT NOT NULL,"
    " role INTEGER NOT NULL CHECK(role BETWEEN 1 AND 3),"
    " version INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE keys("
    " id TEXT NOT NULL PRIMARY KEY,"
    " name TEXT NOT NULL,"
    " hash BLOB NOT NULL CHECK(length(hash) = 32),"
    " role INTEGER NOT NULL CHECK(role BETWEEN 1 AND 3),"
    " created_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE secrets("
    " name TEXT NOT NULL PRIMARY KEY,"
    " value BLOB NOT NULL CHECK(length(value) = 32)) STRICT, WITHOUT ROWID;"
    "PRAGMA application_id = 1179800625;"
    "PRAGMA user_version = 1;";

/* What `frt calibrate --apply` measured on a collection's own people; '' = nothing. */
static const char version_2[] = "ALTER TABLE collections ADD COLUMN calibration TEXT NOT NULL DEFAULT '';"
                                "PRAGMA user_version = 2;";

/*
 * Crops of faces, and embeddings of another model beside the present ones. Tables of their own: rows that are
 * read by searches stay as small as they are. All of it goes with its face.
 */
static const char version_3[] =
    "CREATE TABLE crops("
    " face INTEGER PRIMARY KEY REFERENCES faces(key) ON DELETE CASCADE,"
    " sealed INTEGER NOT NULL CHECK(sealed IN (0, 1)),"
    " bytes BLOB NOT NULL) STRICT;"
    "CREATE TABLE coming("
    " face INTEGER PRIMARY KEY REFERENCES faces(key) ON DELETE CASCADE,"
    " embedding BLOB NOT NULL CHECK(length(embedding) % 4 = 0 AND length(embedding) BETWEEN 4 AND 16384),"
    " threshold REAL CHECK(threshold BETWEEN -1 AND 1)) STRICT;"
    "CREATE TABLE former("
    " face INTEGER PRIMARY KEY REFERENCES faces(key) ON DELETE CASCADE,"
    " embedding BLOB NOT NULL CHECK(length(embedding) % 4 = 0 AND length(embedding) BETWEEN 4 AND 16384),"
    " threshold REAL CHECK(threshold BETWEEN -1 AND 1)) STRICT;"
    "CREATE TABLE migrations("
    " collection INTEGER PRIMARY KEY REFERENCES collections(key) ON DELETE CASCADE,"
    " coming_model TEXT NOT NULL,"
    " coming_dim INTEGER NOT NULL CHECK(coming_dim BETWEEN 0 AND 4096),"
    " former_model TEXT NOT NULL,"
    " former_dim INTEGER NOT NULL CHECK(former_dim BETWEEN 0 AND 4096),"
    " former_threshold REAL CHECK(former_threshold BETWEEN -1 AND 1),"
    " former_calibration TEXT NOT NULL DEFAULT '') STRICT;"
    "PRAGMA user_version = 3;";

/* Script i brings a file from version i to i + 1; 0 is an empty file. */
static const char *const steps[STORE_VERSION] = {version_1, version_2, version_3};

static enum frt_status pragma(struct db *db, const char *sql, int64_t *out, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK)
        *out = row ? db_int(stmt, 0) : 0;
    db_done(stmt);
    return status;
}

static enum frt_status versions(struct db *db, int64_t *application, int64_t *version, int64_t *tables,
                                struct frt_error *err)
{
    enum frt_status status = pragma(db, "PRAGMA application_id", application, err);
    if (status == FRT_OK)
        status = pragma(db, "PRAGMA user_version", version, err);
    if (status == FRT_OK)
        status = pragma(db, "SELECT count(*) FROM sqlite_schema", tables, err);
    return status;
}

static enum frt_status check(int64_t application, int64_t version, const char *path, struct frt_error *err)
{
    if (application != STORE_APPLICATION_ID)
        return frt_fail(err, FRT_ESTORE_DAMAGED, "%s: a database of another program (application id %lld)",
                        path, (long long)application);
    if (version > STORE_VERSION || version < 1)
        return frt_fail(err, FRT_ESTORE_DAMAGED,
                        "%s: a store of version %lld; this program knows versions up to %d. Use a newer frt",
                        path, (long long)version, STORE_VERSION);
    return FRT_OK;
}

enum frt_status store_schema_check(struct db *db, const char *path, struct frt_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    enum frt_status status = versions(db, &application, &version, &tables, err);
    if (status == FRT_OK)
        status = check(application, version, path, err);
    if (status == FRT_OK && version < STORE_VERSION)
        status = frt_fail(err, FRT_EUNAVAILABLE, "%s: a store of version %lld; open it once for writing", path,
                          (long long)version);
    return status;
}

enum frt_status store_schema_prepare(struct db *db, const char *path, struct frt_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    enum frt_status status = versions(db, &application, &version, &tables, err);
    if (status != FRT_OK)
        return status;
    if (application == STORE_APPLICATION_ID && version == STORE_VERSION)
        return FRT_OK;
    status = db_begin(db, err);
    if (status == FRT_OK) /* another process may have been faster */
        status = versions(db, &application, &version, &tables, err);
    if (status == FRT_OK && !(application == 0 && version == 0 && tables == 0))
        status = check(application, version, path, err);
    for (int64_t v = version; status == FRT_OK && v < STORE_VERSION; v++)
        status = db_exec(db, steps[v], err);
    if (status == FRT_OK)
        status = db_commit(db, err);
    if (status != FRT_OK)
        db_rollback(db);
    return status;
}
