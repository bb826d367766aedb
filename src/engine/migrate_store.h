/*
 * A whole store from one place to another: what `frt migrate-store` does. Threading: one owner.
 */
#ifndef FRT_ENGINE_MIGRATE_STORE_H
#define FRT_ENGINE_MIGRATE_STORE_H

#include "store/store_copy.h"

/** frt_store_copy_all, with addresses as FRT_STORE has them: each must say what it is ("sqlite:…",
 * "postgresql:…"). Errors: FRT_EINVAL, those of frt_store_copy_all. */
FRT_NODISCARD enum frt_status frt_migrate_store(struct frt_store_copy *copy, struct frt_error *err);
/** What texts may call such an address. */
void frt_migrate_store_describe(const char *address, char *out, size_t size);

#endif
