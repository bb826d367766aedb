/* The tables of a file, version by version. docs/formats/store-v1.md and store-v3.md explain every column. */
#ifndef FRT_STORE_STORE_SCHEMA_H
#define FRT_STORE_STORE_SCHEMA_H

#include "store/db.h"

enum { STORE_APPLICATION_ID = 0x46525431 /* "FRT1" */, STORE_VERSION = 3 };

/**
 * Make the tables of a new file, or bring those of an older version up to date, in one transaction.
 * Errors: FRT_ESTORE_DAMAGED (another program's database; a newer version).
 */
FRT_NODISCARD enum frt_status store_schema_prepare(struct db *db, const char *path, struct frt_error *err);
/** Is this a store of the present version? For read-only ones. */
FRT_NODISCARD enum frt_status store_schema_check(struct db *db, const char *path, struct frt_error *err);

#endif
