#include "cli/cli_help.h"

#include <string.h>

#include "core/config.h"

enum { WIDTH = 80, OPTION_INDENT = 4, TEXT_INDENT = 8 };

/* ------------------------------------------------------------------ text */

/* Words of `text` filled to WIDTH behind `indent` spaces; blank lines stay. */
static void fill(struct frt_buf *out, const char *text, size_t indent)
{
    while (*text != '\0') {
        size_t column = 0;
        while (*text != '\0' && *text != '\n') {
            size_t n = strcspn(text, " \n"), shown = 0;
            for (size_t i = 0; i < n; i++)
                shown += ((unsigned char)text[i] & 0xC0) != 0x80; /* count characters, not bytes */
            if (column > 0 && indent + column + 1 + shown > WIDTH) {
                frt_buf_append_char(out, '\n');
                column = 0;
            }
            if (column == 0)
                frt_buf_printf(out, "%*s", (int)indent, "");
            else
                frt_buf_append_char(out, ' ');
            frt_buf_append(out, text, n);
            column += shown + (column > 0);
            text += n;
            if (*text == ' ')
                text++;
        }
        frt_buf_append_char(out, '\n');
        if (*text == '\n')
            text++;
    }
}

static void option_line(struct frt_buf *out, const struct cli_option *o)
{
    frt_buf_printf(out, "%*s", OPTION_INDENT, "");
    if (o->letter != 0)
        frt_buf_printf(out, "-%c, ", o->letter);
    frt_buf_printf(out, "--%s", o->name);
    if (o->value != NULL)
        frt_buf_printf(out, " %s", o->value);
    frt_buf_append_char(out, '\n');
    fill(out, o->help, TEXT_INDENT);
}

static void dashed(struct frt_buf *out, const char *key)
{
    for (; *key != '\0'; key++)
        frt_buf_append_char(out, *key == '_' ? '-' : *key);
}

static void config_lines(struct frt_buf *out)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        frt_buf_printf(out, "%*s--", OPTION_INDENT, "");
        dashed(out, keys[i].key);
        frt_buf_printf(out, " %s\n", keys[i].value);
        fill(out, keys[i].help, TEXT_INDENT);
        frt_buf_printf(out, "%*sDefault: %s. Environment: %s%s%s.\n", TEXT_INDENT, "",
                       keys[i].fallback[0] == '\0' ? "none" : keys[i].fallback, keys[i].env,
                       keys[i].env_old == NULL ? "" : " or ", keys[i].env_old == NULL ? "" : keys[i].env_old);
    }
}

/* "word<TAB>meaning" lines as two columns. */
static void tabbed(struct frt_buf *out, const char *const *lines, int width)
{
    for (; *lines != NULL; lines++) {
        size_t n = strcspn(*lines, "\t");
        frt_buf_printf(out, "%*s%-*.*s  ", OPTION_INDENT, "", width, (int)n, *lines);
        const char *meaning = *lines + n + 1;
        if (strlen(meaning) + (size_t)width + OPTION_INDENT + 2 <= WIDTH) {
            frt_buf_printf(out, "%s\n", meaning);
        } else {
            frt_buf_append_char(out, '\n');
            fill(out, meaning, TEXT_INDENT);
        }
    }
}

void cli_help_all(struct frt_buf *out)
{
    frt_buf_append_text(
        out, "frt: face recognition toolkit\n\nUsage: frt COMMAND [OPTION]… [ARGUMENT]…\n\nCommands:\n");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        frt_buf_printf(out, "    %-16s %s\n", c->name, c->summary);
    frt_buf_append_text(out, "\n'frt COMMAND --help' tells more. Exit status:\n");
    tabbed(out, cli_exit_codes, 3);
}

void cli_help_command(const struct cli_command *command, struct frt_buf *out)
{
    frt_buf_printf(out, "frt %s: %s\n\nUsage: frt %s [OPTION]…%s%s\n\n", command->name, command->summary,
                   command->name, command->arguments[0] == '\0' ? "" : " ", command->arguments);
    fill(out, command->description, 0);
    frt_buf_append_text(out, "\nOptions:\n");
    for (const struct cli_option *const *group = command->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL; o++)
            option_line(out, o);
    if (command->takes_config)
        config_lines(out);
    frt_buf_printf(out, "%*s-h, --help\n%*sShow this text.\n", OPTION_INDENT, "", TEXT_INDENT, "");
    frt_buf_append_text(out, "\nEnvironment:\n");
    tabbed(out, cli_environment, 12);
    frt_buf_append_text(out, "\nExit status:\n");
    tabbed(out, cli_exit_codes, 3);
    frt_buf_append_text(out, "\nExamples:\n");
    fill(out, command->examples, OPTION_INDENT);
}

/* ------------------------------------------------------------------- man */

/* Text with roff's special characters taken literally; a leading dot or quote is guarded. */
static void roff(struct frt_buf *out, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            frt_buf_append_text(out, "\\&");
        if (*text == '\\')
            frt_buf_append_text(out, "\\e");
        else if (*text == '-')
            frt_buf_append_text(out, "\\-");
        else if (strncmp(text, "…", 3) == 0) {
            frt_buf_append_text(out, "...");
            text += 2;
        } else
            frt_buf_append_char(out, *text);
        line_start = *text == '\n';
    }
}

static void roff_paragraphs(struct frt_buf *out, const char *text)
{
    while (*text != '\0') {
        const char *end = strstr(text, "\n\n");
        size_t n = end == NULL ? strlen(text) : (size_t)(end - text);
        char piece[2048];
        size_t kept = n < sizeof piece - 1 ? n : sizeof piece - 1;
        memcpy(piece, text, kept);
        piece[kept] = '\0';
        roff(out, piece);
        frt_buf_append_text(out, "\n");
        text += n;
        if (end != NULL) {
            frt_buf_append_text(out, ".PP\n");
            text += 2;
        }
    }
}

static void roff_option(struct frt_buf *out, const struct cli_option *o)
{
    frt_buf_append_text(out, ".TP\n");
    if (o->letter != 0)
        frt_buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
    frt_buf_append_text(out, "\\fB\\-\\-");
    roff(out, o->name);
    frt_buf_append_text(out, "\\fR");
    if (o->value != NULL)
        frt_buf_printf(out, " \\fI%s\\fR", o->value);
    frt_buf_append_char(out, '\n');
    roff(out, o->help);
    frt_buf_append_char(out, '\n');
}

static void roff_tabbed(struct frt_buf *out, const char *const *lines)
{
    for (; *lines != NULL; lines++) {
        size_t n = strcspn(*lines, "\t");
        frt_buf_printf(out, ".TP\n\\fB%.*s\\fR\n", (int)n, *lines);
        roff(out, *lines + n + 1);
        frt_buf_append_char(out, '\n');
    }
}

static void roff_command(struct frt_buf *out, const struct cli_command *c)
{
    frt_buf_printf(out, ".SS frt %s [\\fIOPTION\\fR]... ", c->name);
    roff(out, c->arguments);
    frt_buf_append_char(out, '\n');
    roff_paragraphs(out, c->description);
    for (const struct cli_option *const *group = c->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL; o++)
            roff_option(out, o);
    if (c->takes_config)
        frt_buf_append_text(out, ".PP\nThe settings under SETTINGS are options, too.\n");
    frt_buf_append_text(out, ".PP\nExamples:\n.PP\n.nf\n.RS 4\n");
    roff(out, c->examples);
    frt_buf_append_text(out, ".RE\n.fi\n");
}

void cli_help_man(struct frt_buf *out)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    frt_buf_append_text(out,
                        ".TH FRT 1 \"\" \"frt " FRT_VERSION_STRING "\" \"User Commands\"\n"
                        ".SH NAME\nfrt \\- face recognition toolkit\n"
                        ".SH SYNOPSIS\n\\fBfrt\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n"
                        ".SH DESCRIPTION\nA photo goes in; faces, embeddings or a verdict on two photos come "
                        "out: on the command line, or over HTTP.\n.SH COMMANDS\n");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        roff_command(out, c);
    frt_buf_append_text(out,
                        ".SH SETTINGS\nOf \\fBserve\\fR and \\fBdoctor\\fR: as option, environment variable or "
                        "key of the settings file.\n");
    for (size_t i = 0; i < n; i++) {
        frt_buf_append_text(out, ".TP\n\\fB");
        roff(out, keys[i].key);
        frt_buf_printf(out, "\\fR \\fI%s\\fR\n", keys[i].value);
        roff(out, keys[i].help);
        frt_buf_append_text(out, "\nEnvironment: ");
        roff(out, keys[i].env);
        frt_buf_append_text(out, ". Default: ");
        roff(out, keys[i].fallback[0] == '\0' ? "none" : keys[i].fallback);
        frt_buf_append_text(out, ".\n");
    }
    frt_buf_append_text(out, ".SH ENVIRONMENT\n");
    roff_tabbed(out, cli_environment);
    frt_buf_append_text(out, ".SH EXIT STATUS\n");
    roff_tabbed(out, cli_exit_codes);
}

/* ------------------------------------------------------------ completion */

static void bash_case(struct frt_buf *out, const struct cli_command *c)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    frt_buf_printf(out, "    '%s')\n        options='--help", c->name);
    for (const struct cli_option *const *group = c->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL; o++)
            frt_buf_printf(out, " --%s", o->name);
    for (size_t i = 0; c->takes_config && i < n; i++) {
        frt_buf_append_text(out, " --");
        dashed(out, keys[i].key);
    }
    frt_buf_append_text(out, "'\n        case $previous in\n");
    for (const struct cli_option *const *group = c->groups; group != NULL && *group != NULL; group++) {
        for (const struct cli_option *o = *group; o->name != NULL; o++) {
            if (o->value == NULL)
                continue;
            frt_buf_printf(out, "        --%s", o->name);
            if (o->letter != 0)
                frt_buf_printf(out, " | -%c", o->letter);
            frt_buf_printf(out, ") kind=%s words='%s' ;;\n",
                           o->complete == CLI_COMPLETE_FILE     ? "file"
                           : o->complete == CLI_COMPLETE_FOLDER ? "folder"
                           : o->complete == CLI_COMPLETE_WORDS  ? "words"
                                                                : "none",
                           o->words == NULL ? "" : o->words);
        }
    }
    frt_buf_printf(out, "        *) kind=%s ;;\n        esac ;;\n",
                   c->complete == CLI_COMPLETE_FILE ? "file" : "none");
}

void cli_help_bash(struct frt_buf *out)
{
    frt_buf_append_text(
        out, "# bash completion for frt; made by 'frt completion bash'\n"
             "_frt()\n{\n"
             "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
             "    local first=${COMP_WORDS[1]} command options='' kind=none words='' groups commands\n"
             "    COMPREPLY=()\n    groups=' ");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        size_t n = strcspn(c->name, " ");
        if (c->name[n] == ' ' && (c == cli_commands || strncmp(c[-1].name, c->name, n + 1) != 0))
            frt_buf_printf(out, "%.*s ", (int)n, c->name);
    }
    frt_buf_append_text(out, "'\n    commands='");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        size_t n = strcspn(c->name, " ");
        if (c->name[n] == '\0' || c == cli_commands || strncmp(c[-1].name, c->name, n + 1) != 0)
            frt_buf_printf(out, "%.*s ", (int)n, c->name);
    }
    frt_buf_append_text(out, "--help --version'\n"
                             "    if ((COMP_CWORD == 1)); then\n"
                             "        mapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$current\")\n"
                             "        return\n    fi\n"
                             "    command=$first\n"
                             "    if [[ $groups == *\" $first \"* ]]; then\n"
                             "        if ((COMP_CWORD == 2)); then\n"
                             "            case $first in\n");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        size_t n = strcspn(c->name, " ");
        if (c->name[n] != ' ')
            continue;
        if (c == cli_commands || strncmp(c[-1].name, c->name, n + 1) != 0)
            frt_buf_printf(out, "            %.*s) words='", (int)n, c->name);
        frt_buf_printf(out, "%s ", c->name + n + 1);
        if (c[1].name == NULL || strncmp(c[1].name, c->name, n + 1) != 0)
            frt_buf_append_text(out, "' ;;\n");
    }
    frt_buf_append_text(out, "            esac\n"
                             "            mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
                             "            return\n        fi\n"
                             "        command=\"$first ${COMP_WORDS[2]}\"\n    fi\n"
                             "    case $command in\n");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        bash_case(out, c);
    frt_buf_append_text(
        out,
        "    esac\n"
        "    if [[ $current == -* ]]; then\n"
        "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
        "        return\n    fi\n"
        "    case $kind in\n"
        "    words) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;\n"
        "    folder) mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); compopt -o filenames 2>/dev/null "
        ";;\n"
        "    file) mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); compopt -o filenames 2>/dev/null ;;\n"
        "    esac\n}\ncomplete -F _frt frt\n");
}
