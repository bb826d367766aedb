/*
 * Comma-separated values: records of fields, as RFC 4180 has them. Quotes around a field, "" inside for one
 * quote, line ends and commas inside quotes; LF or CRLF; a byte order mark is passed over.
 * Threading: one owner.
 */
#ifndef FRT_CLI_CSV_H
#define FRT_CLI_CSV_H

#include "core/buf.h"

enum { CLI_CSV_MAX_FIELDS = 16, CLI_CSV_MAX_RECORD_BYTES = 64 * 1024 };

struct cli_csv {
    const char *at, *end; /* borrowed */
    size_t next_line;
    struct frt_buf texts;
    /* the record that was read last; valid until the next call */
    size_t line; /* where it begins, from 1 */
    const char *fields[CLI_CSV_MAX_FIELDS];
    size_t n_fields;
};

void cli_csv_init(struct cli_csv *csv, const char *text, size_t size);
void cli_csv_deinit(struct cli_csv *csv);
/** The next record; blank lines are passed over. more: false at the end.
 *  Errors: FRT_EBAD_REQUEST with the line (a quote left open or amid a field, too many fields, NUL),
 * FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status cli_csv_next(struct cli_csv *csv, bool *more, struct frt_error *err);

#endif
