#include "engine/migrate_store.h"

#include <string.h>

#include "store/store_address.h"

static enum frt_status check(const char *address, const char *which, struct frt_error *err)
{
    if (frt_store_is_server(address) || (strncmp(address, "sqlite:", 7) == 0 && address[7] != '\0'))
        return FRT_OK;
    return frt_fail(err, FRT_EINVAL,
                    "%s is no address of a store; sqlite:FILE or postgresql://user@host/database is right",
                    which);
}

enum frt_status frt_migrate_store(struct frt_store_copy *copy, struct frt_error *err)
{
    enum frt_status status = check(copy->from, "FROM", err);
    if (status == FRT_OK)
        status = check(copy->to, "TO", err);
    return status == FRT_OK ? frt_store_copy_all(copy, err) : status;
}

void frt_migrate_store_describe(const char *address, char *out, size_t size)
{
    frt_store_describe(address, out, size);
}
