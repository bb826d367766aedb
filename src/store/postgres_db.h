/*
 * The one adapter over libpq, which is loaded when the first server is asked for: a service with a file never
 * loads it and the libraries that come with it. What it makes is used through db.h.
 *
 * Connections are non-blocking and in pipeline mode: statements that nobody waits for (db_post, db_start,
 * BEGIN, the lock) go out with the next one that somebody does. Every wait ends at the owner's end_ms; a
 * connection on which one has ended so is closed, since nobody knows what is still under way on it.
 *
 * A transaction that writes locks the counter's row before anything else, so that writers of all processes take
 * turns and numbers become visible in their order (docs/design/postgresql.md). With its commit goes a token,
 * made here, into the row of its writer: whoever has lost the answer to a commit looks for the token
 * (postgres_db_look_up).
 *
 * Threading: a connection has one owner at a time.
 */
#ifndef FRT_STORE_POSTGRES_DB_H
#define FRT_STORE_POSTGRES_DB_H

#include <stdbool.h>

#include "store/db.h"

enum { POSTGRES_ID_BYTES = 16, POSTGRES_PLACE_MAX = 256 };

/** Who writes, over all its connections, one at a time. */
struct postgres_writer {
    uint8_t id[POSTGRES_ID_BYTES];
    uint8_t token[POSTGRES_ID_BYTES]; /* of the last commit that was begun */
};

enum postgres_use { POSTGRES_READ = 0, POSTGRES_WRITE, POSTGRES_LISTEN };

struct postgres_options {
    const char *server; /* libpq's connection string */
    const char *place;  /* what texts call it; borrowed as long as the connection lives */
    enum postgres_use use;
    uint32_t busy_ms, answer_ms;
    struct postgres_writer *writer; /* POSTGRES_WRITE; borrowed as long as the connection lives */
};

/** What texts may call the server: without a password. Errors: FRT_EINVAL (libpq does not understand it),
 *  FRT_EUNAVAILABLE (no libpq). */
FRT_NODISCARD enum frt_status postgres_describe(const char *server, char out[POSTGRES_PLACE_MAX],
                                                struct frt_error *err);
/** Errors: FRT_EUNAVAILABLE; *wait: trying again later may help. */
FRT_NODISCARD enum frt_status postgres_db_open(const struct postgres_options *options, int64_t end_ms,
                                               struct db **out, bool *wait, struct frt_error *err);
/** The writer's row, so that its transactions can be looked up. After the tables are there. */
FRT_NODISCARD enum frt_status postgres_db_enter_writer(struct db *db, struct frt_error *err);
/** Was the transaction with the writer's last token committed? Waits until it is over. */
FRT_NODISCARD enum frt_status postgres_db_look_up(struct db *db, bool *made, struct frt_error *err);
/** Until somebody has told of a change, or end_ms. *told: somebody has. Errors: the connection is lost. */
FRT_NODISCARD enum frt_status postgres_db_listen(struct db *db, int64_t end_ms, bool *told,
                                                 struct frt_error *err);

#endif
