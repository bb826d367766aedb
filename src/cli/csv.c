#include "cli/csv.h"

#include <string.h>

void cli_csv_init(struct cli_csv *csv, const char *text, size_t size)
{
    *csv = (struct cli_csv){.at = text, .end = text + size, .next_line = 1};
    frt_buf_init(&csv->texts, CLI_CSV_MAX_RECORD_BYTES);
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        csv->at += 3;
}

void cli_csv_deinit(struct cli_csv *csv)
{
    frt_buf_deinit(&csv->texts);
}

static bool at_line_end(const struct cli_csv *csv)
{
    return csv->at == csv->end || *csv->at == '\n' ||
           (*csv->at == '\r' && (csv->at + 1 == csv->end || csv->at[1] == '\n'));
}

static void pass_line_end(struct cli_csv *csv)
{
    while (csv->at < csv->end && *csv->at++ != '\n')
        ;
    csv->next_line++;
}

/* What stands between quotes; the opening one has been passed. */
static enum frt_status quoted(struct cli_csv *csv, struct frt_error *err)
{
    for (; csv->at < csv->end; csv->at++) {
        if (*csv->at == '"') {
            if (csv->at + 1 == csv->end || csv->at[1] != '"')
                break;
            csv->at++;
        }
        csv->next_line += *csv->at == '\n';
        frt_buf_append_char(&csv->texts, *csv->at);
    }
    if (csv->at == csv->end)
        return frt_fail(err, FRT_EBAD_REQUEST, "line %zu: a quote is opened and not closed", csv->line);
    csv->at++;
    if (!at_line_end(csv) && *csv->at != ',')
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "line %zu: text behind a closing quote; a comma is right, and \"\" for a quote itself",
                        csv->next_line);
    return FRT_OK;
}

static enum frt_status field(struct cli_csv *csv, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (csv->at < csv->end && *csv->at == '"') {
        csv->at++;
        status = quoted(csv, err);
    } else {
        while (!at_line_end(csv) && *csv->at != ',') {
            if (*csv->at == '"')
                return frt_fail(err, FRT_EBAD_REQUEST,
                                "line %zu: a quote amid a field; the whole field in quotes, and \"\" for a "
                                "quote itself, is right",
                                csv->line);
            frt_buf_append_char(&csv->texts, *csv->at++);
        }
    }
    frt_buf_append_char(&csv->texts, '\0');
    return status;
}

enum frt_status cli_csv_next(struct cli_csv *csv, bool *more, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    csv->n_fields = 0;
    while (csv->at < csv->end && at_line_end(csv))
        pass_line_end(csv);
    *more = csv->at < csv->end;
    if (!*more)
        return FRT_OK;
    csv->line = csv->next_line;
    frt_buf_clear(&csv->texts);
    for (bool comma = true; status == FRT_OK && comma;) {
        if (csv->n_fields == CLI_CSV_MAX_FIELDS)
            return frt_fail(err, FRT_EBAD_REQUEST, "line %zu: more than %d fields", csv->line,
                            CLI_CSV_MAX_FIELDS);
        csv->n_fields++;
        status = field(csv, err);
        comma = status == FRT_OK && csv->at < csv->end && *csv->at == ',';
        csv->at += comma;
    }
    if (status != FRT_OK)
        return status;
    pass_line_end(csv);
    status = frt_buf_status(&csv->texts);
    if (status != FRT_OK)
        return status == FRT_EBODY_TOO_LARGE
                   ? frt_fail(err, FRT_EBAD_REQUEST, "line %zu: longer than %d bytes; is a quote missing?",
                              csv->line, CLI_CSV_MAX_RECORD_BYTES)
                   : frt_fail_nomem(err, "a line");
    const char *text = csv->texts.data;
    for (size_t i = 0; i < csv->n_fields; i++) {
        csv->fields[i] = text;
        text += strlen(text) + 1;
    }
    if (text != csv->texts.data + csv->texts.size)
        return frt_fail(err, FRT_EBAD_REQUEST, "line %zu: it holds a NUL byte", csv->line);
    return FRT_OK;
}
