/*
 * What names a store: a file's path, "sqlite:PATH", or a server:
 *
 *     postgresql://user@host:5432/database?sslmode=verify-full      postgres://… likewise
 *     postgresql:host=… dbname=…                                    keywords and values, as libpq takes them
 *     host=… dbname=…                                               the same, when it begins with such a
 * keyword
 *
 * Threading: pure functions.
 */
#ifndef FRT_STORE_STORE_ADDRESS_H
#define FRT_STORE_STORE_ADDRESS_H

#include <stdbool.h>

/** Is it a server's? */
bool frt_store_is_server(const char *address);
/** The path of the file: what is behind "sqlite:". Borrowed. */
const char *frt_store_file(const char *address);
/** What libpq takes: without our "postgresql:" before keywords. Borrowed. */
const char *frt_store_server(const char *address);

#endif
