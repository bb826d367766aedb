/*
 * A store copied whole into another, be they files or servers: everything but what belongs to a place alone.
 * Keys, numbers, ids and the store's own id stay, so that index snapshots, cursors, tokens and sealed crops go
 * on being good.
 *
 *     from ── one snapshot ── table by table, in order of key ── one transaction ── to
 *                                     │                               │
 *                                     └───────── compared again ──────┘── commit
 *
 * All or nothing: whatever ends it before the commit leaves `to` empty, and it can begin again.
 *
 * Threading: one owner.
 */
#ifndef FRT_STORE_STORE_COPY_H
#define FRT_STORE_STORE_COPY_H

#include "store/store.h"

enum { FRT_STORE_COPY_TABLES = 12 };

struct frt_store_copy_table {
    const char *name;
    uint64_t rows; /* copied, read again from both and found the same */
};

struct frt_store_copy {
    const char *from, *to; /* as frt_store_options.path */
    /* NULL, or called now and then; false ends it (FRT_ECANCELLED). total: rows to copy and to compare. */
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
    struct frt_store_copy_table tables[FRT_STORE_COPY_TABLES]; /* out */
    uint64_t rows, last_seq;                                   /* out: of all; number of the last change */
};

/**
 * Copy.
 * Errors: FRT_ECONFLICT (`to` holds something already; `from` was changed meanwhile), FRT_EINVAL (both are the
 * same), FRT_ENOTFOUND (no `from`), FRT_ESTORE_DAMAGED (a row came out otherwise than it went in, or cannot be
 * taken), FRT_ECANCELLED, those of store.h. The text names the side.
 */
FRT_NODISCARD enum frt_status frt_store_copy_all(struct frt_store_copy *copy, struct frt_error *err);

#endif
