/* The one adapter over SQLite. What it makes is used through db.h. Threading: a connection has one owner. */
#ifndef FRT_STORE_SQLITE_DB_H
#define FRT_STORE_SQLITE_DB_H

#include "store/db.h"

enum sqlite_mode { SQLITE_DB_READ = 0, SQLITE_DB_CREATE };

/** Open a file. path borrowed as long as the connection lives. Errors: those of store.h. */
FRT_NODISCARD enum frt_status sqlite_db_open(const char *path, enum sqlite_mode mode, uint32_t busy_ms,
                                             struct db **out, struct frt_error *err);

#endif
