/*
 * A small web server with faults, for tests of downloads. It serves the files of a folder below a word that
 * says what goes wrong: http://127.0.0.1:PORT/WORD/FILE.
 *
 *     ok        as it should be: Range, If-Range, ETag
 *     norange   no Range, no ETag: always the whole file
 *     drop      the line is cut in the middle, once for each file; then as ok
 *     cut       the line is cut in the middle, always
 *     changing  as drop, but afterwards the file is another one (every byte one more) with another ETag
 *     stale     as drop, then serves a range of another file: same ETag, other bytes
 *     wrong     one byte in the middle is another
 *     longer    declares and sends one byte more
 *     shorter   declares and sends one byte less
 *     endless   no Content-Length, and more bytes than the file has
 *     stall     sends ten bytes, then nothing
 *     busy      503 for the first two requests, then as ok
 *     hop       302 to ok          loop  302 to itself          plain  302 to the plain server's ok
 *     away      404                empty 200 without a byte
 *
 * Threading: start and stop by one owner; the server has threads of its own.
 */
#ifndef TESTS_MODEL_MIRROR_SERVER_H
#define TESTS_MODEL_MIRROR_SERVER_H

#include <stdbool.h>
#include <stdint.h>

struct mirror_server;

/** tls: with a certificate for 127.0.0.1 that is written to `ca_file`. NULL when it cannot be started. */
struct mirror_server *mirror_start(const char *folder, bool tls, const char *ca_file);
void mirror_stop(struct mirror_server *server);
uint16_t mirror_port(const struct mirror_server *server);
/** Where `plain` leads. */
void mirror_set_plain_port(struct mirror_server *server, uint16_t port);
/** Requests so far, and bytes of bodies sent. */
uint32_t mirror_requests(const struct mirror_server *server);
uint64_t mirror_bytes(const struct mirror_server *server);
/** Forget what was counted and cut. */
void mirror_reset(struct mirror_server *server);

#endif
