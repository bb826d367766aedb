/* Adding faces: what the two ways share. One by one (store_add.c) suits a file, in sets (store_add_sets.c) a
 * server, where every question costs a way there and back. Threading: one owner. */
#ifndef FRT_STORE_STORE_ADD_H
#define FRT_STORE_STORE_ADD_H

#include "store/store_internal.h"

/* What adding carries from face to face. */
struct store_adding {
    struct frt_store *store;
    struct db *db;
    const struct frt_store_add *add;
    struct store_collection_facts facts;
    uint64_t *taken; /* [n] keys; 0 = rejected */
    uint64_t first_key, last_subject, added, subjects;
    const char *last_name; /* of last_subject; bulk enrollment comes subject by subject */
    bool last_is_new;
    struct frt_store_page *made;
};

/** Are a face's own values right? */
FRT_NODISCARD enum frt_status store_add_check_face(const struct store_adding *a,
                                                   const struct frt_store_face *face, struct frt_error *err);
/** The first face fixes the collection's model. */
FRT_NODISCARD enum frt_status store_add_check_model(struct db *db, const struct store_collection_facts *facts,
                                                    const struct frt_store_add *add, struct frt_error *err);
/** "f" and the key in base 32 (Crockford's digits): grows with the key, so that the index of ids is appended
 * to. attempt  0; more when that stands already. */
void store_add_make_id(uint64_t key, int attempt, char out[FRT_STORE_FACE_ID_MAX + 1]);
/** Face i cannot be taken: noted when the caller wants to know each, else what the call returns. */
FRT_NODISCARD enum frt_status store_add_reject(struct store_adding *a, size_t i, enum frt_status why,
                                               const struct frt_error *text, struct frt_error *err);
/** A row of the page of those made. */
FRT_NODISCARD enum frt_status store_add_note(struct store_adding *a, const struct frt_store_face *face,
                                             uint64_t key, uint64_t subject, const char *id,
                                             struct frt_error *err);
/** With the turn, which taking numbers has made ours alone: does the collection stand as it was seen? */
FRT_NODISCARD enum frt_status store_add_check_unmoved(struct store_adding *a, struct frt_error *err);
/** The collection's new counts and number as a statement, bound and ready to be run or posted. */
FRT_NODISCARD enum frt_status store_add_count(const struct store_adding *a, struct db_stmt **out,
                                              struct frt_error *err);
/** All of a->add but thresholds, in a->db's transaction. */
FRT_NODISCARD enum frt_status store_add_in_sets(struct store_adding *a, struct frt_error *err);

#endif
