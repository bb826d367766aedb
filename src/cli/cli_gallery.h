/*
 * What the commands over galleries share: the database that --database names, and opening it so that looking
 * changes nothing and a mistyped name makes no new one.
 * Threading: one owner.
 */
#ifndef FRT_CLI_CLI_GALLERY_H
#define FRT_CLI_CLI_GALLERY_H

#include "cli/cli_parse.h"
#include "engine/access.h"
#include "engine/pack_locate.h"
#include "frt/gallery.h"

enum cli_gallery_use {
    CLI_GALLERY_LOOK = 0, /* read-only */
    CLI_GALLERY_SEARCH,   /* index snapshots may be written, where the folder allows it */
    CLI_GALLERY_CHANGE,   /* the database must be there */
    CLI_GALLERY_MAKE      /* it is made if absent */
};

/** The database file: --database, else where it is found. must_exist: FRT_ENOTFOUND when it is not there. */
FRT_NODISCARD enum frt_status cli_database(const struct cli_run *run, bool must_exist,
                                           char out[FRT_LOCATE_PATH_MAX], struct frt_error *err);
/** Open the gallery of the command line. out: owned, frt_gallery_close. Errors: frt_gallery_open's. */
FRT_NODISCARD enum frt_status cli_gallery_open(const struct cli_run *run, enum cli_gallery_use use,
                                               struct frt_gallery **out, struct frt_error *err);
/** The collection, made with default settings when it is not there. created: said when it was. */
FRT_NODISCARD enum frt_status cli_collection_make(struct frt_gallery *gallery, const char *name, bool *created,
                                                  struct frt_error *err);
enum { CLI_MODEL_SIZE = 256 };
/**
 * The model of embeddings that come from elsewhere: --model (with --dim where the command has it), else that of
 * the collection, else the pack's embedder. gallery, collection  NULL = no collection is asked. model, dim out:
 * "name version"; dim is 0 where only --model says it. Errors: FRT_EINVAL, frt_collection_get's,
 * cli_models_open's.
 */
FRT_NODISCARD enum frt_status cli_model_find(const struct cli_run *run, struct frt_gallery *gallery,
                                             const char *collection, char model[CLI_MODEL_SIZE], uint32_t *dim,
                                             struct frt_error *err);
/** Users and keys of the same database. must_exist: as cli_database. out: owned, frt_access_close. */
FRT_NODISCARD enum frt_status cli_access_open(const struct cli_run *run, bool must_exist,
                                              struct frt_access **out, struct frt_error *err);

#endif
