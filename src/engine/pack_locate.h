/*
 * Where the data folder and the default pack are when nobody says so.
 * Threading: reads the environment; call before threads that change it.
 */
#ifndef FRT_ENGINE_PACK_LOCATE_H
#define FRT_ENGINE_PACK_LOCATE_H

#include "core/status.h"

#define FRT_LOCATE_PATH_MAX 1024

/**
 * The data folder: $FRT_DATA_DIR, else ./data when it holds packs/, else $XDG_DATA_HOME/frt or
 * ~/.local/share/frt when that exists, else /var/lib/frt when that exists, else ./data.
 * Errors: FRT_EINVAL (path too long).
 */
FRT_NODISCARD enum frt_status frt_data_dir_locate(char out[FRT_LOCATE_PATH_MAX], struct frt_error *err);

/** The database: `path` when it is not NULL or "", else $FRT_STORE or $FRT_DATABASE, else frt.db in the data
 * folder. A file's path, or a server's address (store/store_address.h), which may hold a password:
 * frt_database_describe. Errors: FRT_EINVAL (path too long, both variables are set). */
FRT_NODISCARD enum frt_status frt_database_locate(const char *path, char out[FRT_LOCATE_PATH_MAX],
                                                  struct frt_error *err);

/** What stands beside a database: its file's path and `suffix`; of a server "postgresql" and `suffix` in the
 * data folder. Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_database_beside(const char *database, const char *suffix,
                                                  char out[FRT_LOCATE_PATH_MAX], struct frt_error *err);
/** What texts may call it: without a password. */
void frt_database_describe(const char *database, char out[FRT_LOCATE_PATH_MAX]);
/** Is it a server's address? */
bool frt_database_is_server(const char *database);
/** Is it a file, and is none there? A server is asked when it is opened. */
bool frt_database_is_absent(const char *database);

/**
 * The folder of the pack `name`: <data>/packs/<name>, or the installed one (/usr/local/share/frt/packs/<name>,
 * /usr/share/frt/packs/<name>) where only that holds a manifest.
 * Errors: FRT_EINVAL (path too long).
 */
FRT_NODISCARD enum frt_status frt_pack_locate_named(const char *data, const char *name,
                                                    char out[FRT_LOCATE_PATH_MAX], struct frt_error *err);

/**
 * The pack folder: $FRT_PACK, else <data folder>/packs/default, else the pack installed beside the
 * library's data (/usr/local/share/frt/packs/default, /usr/share/frt/packs/default).
 * Errors: FRT_ENOTFOUND: the text lists where it looked and the command that makes a pack.
 */
FRT_NODISCARD enum frt_status frt_pack_locate(char out[FRT_LOCATE_PATH_MAX], struct frt_error *err);

#endif
