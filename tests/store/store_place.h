/* A folder for a database, or one on a server, and faces to put into it. Threading: one owner. */
#ifndef FRT_TESTS_STORE_PLACE_H
#define FRT_TESTS_STORE_PLACE_H

#include "store/postgres_server.h"
#include "store/store.h"

enum { PLACE_DIM = 16 };
extern const char place_model[];

struct store_place {
    char folder[512], path[560]; /* path: what frt_store_options.path is to be */
    bool on_server;
};

/** Call first of all, with main's arguments: "postgresql" = places are on a server that is started now. False:
 *  there is none, and the program is to end with 77. */
bool store_places_choose(int argc, char **argv);
/** Ends the server. Returns result. */
int store_places_end(int result);

/** cmocka set-up and tear-down: *state is a struct store_place. */
int store_place_make(void **state);
int store_place_drop(void **state);

/** A server may finish what a killed client had begun: wait until it has. */
void store_place_settle(const struct store_place *place);
struct frt_store *store_place_open(const struct store_place *place);
/** Fails the test with the error's text. */
void store_must(enum frt_status status, const struct frt_error *err);
/** A unit vector that follows from a number. */
void store_vector(uint64_t number, float out[PLACE_DIM]);
/** Add one face; its key. face_id NULL = made. */
FRT_NODISCARD enum frt_status store_add_one(struct frt_store *store, const char *collection,
                                            const char *subject, const char *face_id, uint64_t number,
                                            uint64_t *key, struct frt_error *err);

#endif
