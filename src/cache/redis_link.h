/*
 * One connection to one Redis: the adapter over hiredis, which writes commands and reads replies. The socket is
 * ours, so that every wait has a deadline and no reply is larger than we said.
 *
 *     ask ─ ask ─ ask ─ next ─ next ─ next        commands are sent together, replies come in their order
 *
 * After an error other than FRT_ETIMEOUT of frt_redis_link_next a link is good for nothing but closing.
 *
 * Threading: one owner at a time.
 */
#ifndef FRT_CACHE_REDIS_LINK_H
#define FRT_CACHE_REDIS_LINK_H

#include "cache/redis_address.h"
#include "cache/redis_tls.h"

/* Of one reply; what is larger is no answer to anything we ask. */
enum { FRT_REDIS_MAX_REPLY_BYTES = 1 << 20, FRT_REDIS_MAX_ELEMENTS = 4096, FRT_REDIS_MAX_WORDS = 8 };

struct frt_redis_link;

/**
 * Connect, and agree on TLS.
 * tls          borrowed; NULL = none.
 * deadline_ns  monotonic. Names are looked up by the system, which keeps to no deadline of ours.
 * Errors: FRT_EUNAVAILABLE, FRT_ETIMEOUT, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_redis_link_open(const struct frt_redis_host *host, struct frt_redis_tls *tls,
                                                  int64_t deadline_ns, struct frt_redis_link **out,
                                                  struct frt_error *err);
void frt_redis_link_close(struct frt_redis_link *link);
/** Nothing has come that nobody asked for, nor the end. */
bool frt_redis_link_is_quiet(struct frt_redis_link *link);

struct frt_redis_command {
    size_t n;
    struct {
        const void *bytes;
        size_t size;
    } words[FRT_REDIS_MAX_WORDS];
};
/** A word of text. */
void frt_redis_word(struct frt_redis_command *command, const char *text);
void frt_redis_word_bytes(struct frt_redis_command *command, const void *bytes, size_t size);
void frt_redis_word_int(struct frt_redis_command *command, int64_t number, char text[24]);

/** Put a command to the others that are to be sent. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_redis_link_ask(struct frt_redis_link *link,
                                                 const struct frt_redis_command *command,
                                                 struct frt_error *err);

enum frt_redis_kind {
    FRT_REDIS_NIL = 0,
    FRT_REDIS_TEXT,  /* or bytes */
    FRT_REDIS_WHOLE, /* a number */
    FRT_REDIS_LIST,
    FRT_REDIS_ERROR /* what went wrong, as a text */
};
struct frt_redis_reply;
/**
 * Send what is to be sent; then the next reply, owned.
 * deadline_ns  monotonic; 0 = do not wait at all.
 * Errors: FRT_ETIMEOUT (the reply is still owed, and may be asked for again), FRT_EUNAVAILABLE (the connection
 *         broke, or what came is no reply).
 */
FRT_NODISCARD enum frt_status frt_redis_link_next(struct frt_redis_link *link, int64_t deadline_ns,
                                                  struct frt_redis_reply **out, struct frt_error *err);
/** Replies that were asked for and have not come. */
size_t frt_redis_link_owed(const struct frt_redis_link *link);

void frt_redis_reply_free(struct frt_redis_reply *reply);
enum frt_redis_kind frt_redis_reply_kind(const struct frt_redis_reply *reply);
/** Of a text or an error; NUL-terminated. "" of anything else. */
const char *frt_redis_reply_text(const struct frt_redis_reply *reply, size_t *size);
/** Of a whole number; 0 of anything else. */
int64_t frt_redis_reply_whole(const struct frt_redis_reply *reply);
/** Of a list; 0 of anything else. */
size_t frt_redis_reply_count(const struct frt_redis_reply *reply);
const struct frt_redis_reply *frt_redis_reply_at(const struct frt_redis_reply *reply, size_t i);
/** Is it an error that begins with this word ("MOVED")? */
bool frt_redis_reply_is_error(const struct frt_redis_reply *reply, const char *word);

#endif
