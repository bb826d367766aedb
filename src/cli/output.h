/*
 * What the commands share in talking to people: errors on standard error, output that notices a full
 * disk, an interrupt that is asked for between steps, the loaded pack. Threading: see each.
 */
#ifndef FRT_CLI_OUTPUT_H
#define FRT_CLI_OUTPUT_H

#include "cli/cli_parse.h"
#include "core/buf.h"
#include "core/json_write.h"

/** "frt COMMAND: TEXT" on standard error. Any thread. Returns the exit code of the status. */
int cli_complain(const struct cli_run *run, const struct frt_error *err);

/** Write to standard output now. Errors: FRT_EIO (disk full, reader gone). One owner. */
FRT_NODISCARD enum frt_status cli_print(const struct frt_buf *text, struct frt_error *err);
/** Print a finished buffer and free it; returns the exit code. */
int cli_print_and_free(const struct cli_run *run, struct frt_buf *text);
/** Has a write to standard output failed? Any thread. */
bool cli_output_failed(void);
/** Has the reader of standard output gone away (EPIPE)? Then nothing more is said. Any thread. */
bool cli_reader_gone(void);

/** A line of --json: one object, to be filled through `w`. One owner. */
struct cli_line {
    struct frt_buf text;
    struct frt_json_writer w;
};
void cli_line_begin(struct cli_line *line);
/** End the object, print it and free the line; returns the exit code. */
int cli_line_end(const struct cli_run *run, struct cli_line *line);
/** Key and text; key and whole number: members of an object. */
void cli_member_text(struct frt_json_writer *w, const char *key, const char *text);
void cli_member_whole(struct frt_json_writer *w, const char *key, uint64_t value);

/** A file name for people: control characters and bytes that are no UTF-8 as '?', so that a name cannot
 *  move the cursor or forge a line. One owner. */
void cli_append_name(struct frt_buf *out, const char *name);
/** {"code","detail"}, the value of the key "error" in JSON output. */
void cli_json_error(struct frt_json_writer *w, const struct frt_error *err);

/** Has SIGINT or SIGTERM come? For frt_detect_options.cancelled; `arg` is not used. Any thread. */
bool cli_interrupted(void *arg);
/** Catch both, unless whoever started us ignores them (nohup, a script's background job). */
void cli_catch_interrupts(void);

/**
 * A photo named on the command line: a file, "-" for standard input, or a pipe (bash's <(command)).
 * bytes  out: NULL, or owned (frt_free) and read by the image: free it after the image.
 * Errors: of frt_image_open_file; FRT_EINVAL (a terminal), FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status cli_photo_open(const struct frt_context *context, const char *path, char **bytes,
                                             struct frt_image **image, struct frt_error *err);

/**
 * The bytes of a photo named on the command line, for who needs more of them than the image.
 * bytes  out: owned (frt_free).
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_EBODY_TOO_LARGE, FRT_EUNSUPPORTED_IMAGE (empty), FRT_EINVAL (a terminal),
 *         FRT_ECANCELLED; the text names the file.
 */
FRT_NODISCARD enum frt_status cli_photo_read(const char *path, char **bytes, size_t *size,
                                             struct frt_error *err);

/** Colours allowed on standard output? */
bool cli_colours(void);
/** Does the environment say that the terminal shows UTF-8? */
bool cli_utf8(void);
/** A report's indented JSON on one line, as --json promises. */
void cli_one_line(struct frt_buf *json);

/** Context and pack as --pack, --detector and --threads say. Both NULL on failure. */
struct cli_models {
    struct frt_context *context;
    struct frt_pack *pack;
};
/** threads  what --threads defaults to; 0 = all cores. */
FRT_NODISCARD enum frt_status cli_models_open(const struct cli_run *run, uint32_t threads,
                                              struct cli_models *out, struct frt_error *err);
void cli_models_close(struct cli_models *models);

/** --jobs, or the cores this process may use. */
FRT_NODISCARD enum frt_status cli_jobs(const struct cli_run *run, uint32_t *out, struct frt_error *err);

#endif
