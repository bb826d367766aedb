/* The tables on a server, version by version. docs/formats/store-postgresql-v1.md explains every column. */
#ifndef FRT_STORE_POSTGRES_SCHEMA_H
#define FRT_STORE_POSTGRES_SCHEMA_H

#include "store/db.h"

enum { POSTGRES_SCHEMA_VERSION = 1 };

/**
 * Make the tables, or bring those of an older version up to date, in one transaction under an advisory lock, so
 * that of several instances that start at once one does. Needs no right to do so when there is nothing to do.
 * Errors: FRT_ESTORE_DAMAGED (a newer version, or a schema of another program), FRT_EUNAVAILABLE (no right).
 */
FRT_NODISCARD enum frt_status postgres_schema_prepare(struct db *db, const char *place, struct frt_error *err);
/** Are they there, of the present version? Errors: FRT_ENOTFOUND, FRT_EUNAVAILABLE (older), as above. */
FRT_NODISCARD enum frt_status postgres_schema_check(struct db *db, const char *place, struct frt_error *err);

#endif
