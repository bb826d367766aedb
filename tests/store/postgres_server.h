/*
 * A PostgreSQL server of a test's own: in a temporary folder, on a Unix socket in it, by an unprivileged user
 * when the test is root's. It dies with the test, whatever kills that. Threading: one owner.
 */
#ifndef FRT_TESTS_POSTGRES_SERVER_H
#define FRT_TESTS_POSTGRES_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

enum { POSTGRES_ADDRESS_MAX = 400 };

/** Make one and start it; false, with the reason printed, when there is no server to start. */
bool postgres_server_start(void);
/** Stop it and remove the folder. */
void postgres_server_remove(void);
/** Stop as a crash does ("immediate"), or start again what was stopped. */
void postgres_server_crash(void);
void postgres_server_again(void);
/** A new, empty database: its address. */
void postgres_server_database(char address[POSTGRES_ADDRESS_MAX]);
/** Run SQL in a database, as the superuser; its output, one value. */
void postgres_server_sql(const char *address, const char *sql, char *out, unsigned size);

#endif
