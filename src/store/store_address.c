#include "store/store_address.h"

#include <stddef.h>
#include <string.h>

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

bool frt_store_is_server(const char *address)
{
    static const char *const beginnings[] = {
        "postgresql:", "postgres://", "host=", "hostaddr=", "dbname=", "user=", "service=", "port="};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        if (begins(address, beginnings[i]))
            return true;
    }
    return false;
}

const char *frt_store_file(const char *address)
{
    return begins(address, "sqlite:") ? address + strlen("sqlite:") : address;
}

const char *frt_store_server(const char *address)
{
    return begins(address, "postgresql:") && !begins(address, "postgresql://") ? address + strlen("postgresql:")
                                                                               : address;
}
