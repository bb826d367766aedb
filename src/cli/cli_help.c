#include "cli/cli_help.h"

#include <stdio.h>
#include <string.h>

#include "core/config.h"

enum { WIDTH = 80, OPTION_INDENT = 4, TEXT_INDENT = 8, MAX_PARAGRAPH_BYTES = 8192 };

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

/* Commands to be copied stay on one line, however long; what explains them (behind two blanks) is filled. */
static void fill_lines(struct frt_buf *out, const char *text, size_t indent)
{
    char line[512];
    for (size_t n; *text != '\0'; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        if (text[0] == ' ') {
            (void)snprintf(line, sizeof line, "%.*s", (int)(n - 2), text + 2);
            fill(out, line, indent + 4);
        } else {
            frt_buf_printf(out, "%*s%.*s\n", (int)indent, "", (int)n, text);
        }
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

void cli_help_setting(const struct frt_config_key *key, struct frt_buf *out)
{
    char range[64];
    frt_buf_printf(out, "Default: %s", key->fallback[0] == '\0' ? "not set" : key->fallback);
    if (frt_config_range(key, range)[0] != '\0')
        frt_buf_printf(out, "; %s", range);
    frt_buf_printf(out, ". Environment: %s", key->env);
    if (key->env_old != NULL)
        frt_buf_printf(out, " or %s", key->env_old);
    frt_buf_append_char(out, '.');
}

static void config_lines(struct frt_buf *out)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    struct frt_buf text;
    for (size_t i = 0; i < n; i++) {
        frt_buf_printf(out, "%*s--", OPTION_INDENT, "");
        dashed(out, keys[i].key);
        frt_buf_printf(out, " %s\n", keys[i].value);
        frt_buf_init(&text, MAX_PARAGRAPH_BYTES);
        frt_buf_printf(&text, "%s ", keys[i].help);
        cli_help_setting(&keys[i], &text);
        if (frt_buf_status(&text) == FRT_OK)
            fill(out, text.data, TEXT_INDENT);
        else
            out->failed = text.failed;
        frt_buf_deinit(&text);
    }
}

/* "word<TAB>meaning" lines as two columns. */
static void tabbed(struct frt_buf *out, const char *const *lines, int width)
{
    for (; *lines != NULL; lines++) {
        size_t n = strcspn(*lines, "\t");
        const char *meaning = *lines + n + 1;
        frt_buf_printf(out, "%*s%.*s", OPTION_INDENT, "", (int)n, *lines);
        if (n <= (size_t)width && strlen(meaning) + (size_t)width + OPTION_INDENT + 2 <= WIDTH) {
            frt_buf_printf(out, "%*s  %s\n", width - (int)n, "", meaning);
        } else {
            frt_buf_append_char(out, '\n');
            fill(out, meaning, TEXT_INDENT);
        }
    }
}

void cli_help_all(const char *group, struct frt_buf *out)
{
    size_t n = group == NULL ? 0 : strlen(group);
    if (group == NULL)
        frt_buf_append_text(out, "frt: face recognition toolkit\n\nUsage: frt COMMAND [OPTION]… [ARGUMENT]…\n");
    else
        frt_buf_printf(out, "Usage: frt %s COMMAND [OPTION]…\n", group);
    frt_buf_append_text(out, "\nCommands:\n");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        if (group == NULL || (strncmp(c->name, group, n) == 0 && c->name[n] == ' '))
            frt_buf_printf(out, "    %-18s %s\n", c->name, c->summary);
    if (group == NULL) {
        frt_buf_append_text(out, "\nThe first steps, from the source tree after 'make setup build pack':\n"
                                 "    frt doctor\n"
                                 "    frt detect --draw marked.jpg photo.jpg\n"
                                 "    frt enroll friends anna1.jpg anna2.jpg --subject Anna\n"
                                 "    frt search friends photo.jpg\n"
                                 "    frt serve\n\nExit status:\n");
        tabbed(out, cli_exit_codes, 3);
    }
    frt_buf_printf(out, "\n'frt help %s%sCOMMAND' explains a command, 'frt man' prints the manual.\n",
                   group == NULL ? "" : group, group == NULL ? "" : " ");
}

void cli_help_command(const struct cli_command *command, struct frt_buf *out)
{
    bool has_options = command->groups != NULL || command->takes_config;
    frt_buf_printf(out, "frt %s: %s\n\nUsage:\n    frt %s%s%s%s\n\nDescription:\n", command->name,
                   command->summary, command->name, has_options ? " [OPTION]…" : "",
                   command->arguments[0] == '\0' ? "" : " ", command->arguments);
    fill(out, command->description, OPTION_INDENT);
    frt_buf_append_text(out, "\nOptions:\n");
    for (const struct cli_option *const *group = command->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL; o++)
            option_line(out, o);
    frt_buf_printf(out, "%*s-h, --help\n%*sShow this text.\n", OPTION_INDENT, "", TEXT_INDENT, "");
    if (command->takes_config) {
        frt_buf_append_text(out, "\nSettings (options, variables or keys of the settings file):\n");
        config_lines(out);
    }
    frt_buf_append_text(out, "\nExamples:\n");
    fill_lines(out, command->examples, OPTION_INDENT);
    frt_buf_append_text(out, "\nExit status:\n");
    tabbed(out, cli_exit_codes, 3);
    frt_buf_append_text(out, "\nEnvironment:\n");
    tabbed(out, cli_environment, 12);
    frt_buf_append_text(out, "\nFiles:\n");
    tabbed(out, cli_files, 12);
    frt_buf_append_text(out, "\nSee also:\n");
    fill(out, command->see_also, OPTION_INDENT);
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
    char piece[MAX_PARAGRAPH_BYTES];
    for (;;) {
        const char *end = strstr(text, "\n\n");
        size_t n = end == NULL ? strlen(text) : (size_t)(end - text);
        (void)snprintf(piece, sizeof piece, "%.*s", (int)n, text);
        roff(out, piece);
        frt_buf_append_char(out, '\n');
        if (end == NULL)
            return;
        frt_buf_append_text(out, ".PP\n");
        text = end + 2;
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
        char word[256];
        (void)snprintf(word, sizeof word, "%.*s", (int)n, *lines);
        frt_buf_append_text(out, ".TP\n\\fB");
        roff(out, word);
        frt_buf_append_text(out, "\\fR\n");
        roff(out, *lines + n + 1);
        frt_buf_append_char(out, '\n');
    }
}

/* Commands as they are typed, explanations indented below them. */
static void roff_examples(struct frt_buf *out, const char *text)
{
    char line[512];
    bool in_command = false;
    for (size_t n; *text != '\0'; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        bool is_command = text[0] != ' ';
        if (is_command)
            frt_buf_append_text(out, in_command ? ".br\n" : ".TP\n");
        (void)snprintf(line, sizeof line, "%.*s", (int)(is_command ? n : n - 2), is_command ? text : text + 2);
        if (is_command)
            frt_buf_append_text(out, "\\fB");
        roff(out, line);
        frt_buf_append_text(out, is_command ? "\\fR\n" : "\n");
        in_command = is_command;
    }
}

static void roff_command(struct frt_buf *out, const struct cli_command *c)
{
    frt_buf_printf(out, ".SS \"frt %s\"\n%c%s.\n.PP\n\\fBfrt %s\\fR", c->name, c->summary[0] - 'a' + 'A',
                   c->summary + 1, c->name);
    if (c->groups != NULL || c->takes_config)
        frt_buf_append_text(out, " [\\fIOPTION\\fR]...");
    if (c->arguments[0] != '\0') {
        frt_buf_append_text(out, " \\fI");
        roff(out, c->arguments);
        frt_buf_append_text(out, "\\fR");
    }
    frt_buf_append_text(out, "\n.PP\n");
    roff_paragraphs(out, c->description);
    for (const struct cli_option *const *group = c->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL; o++)
            roff_option(out, o);
    if (c->takes_config)
        frt_buf_append_text(out, ".PP\nThe settings under SETTINGS are options, too.\n");
    frt_buf_append_text(out, ".PP\nExamples:\n");
    roff_examples(out, c->examples);
}

void cli_help_man(struct frt_buf *out)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    struct frt_buf text;
    frt_buf_append_text(out,
                        ".TH FRT 1 \"\" \"frt " FRT_VERSION_STRING "\" \"User Commands\"\n"
                        ".SH NAME\nfrt \\- face recognition toolkit\n"
                        ".SH SYNOPSIS\n\\fBfrt\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n"
                        ".br\n\\fBfrt\\fR \\fICOMMAND\\fR \\fB\\-\\-help\\fR\n"
                        ".SH DESCRIPTION\nA photo goes in; faces, embeddings or a verdict on two photos come "
                        "out: on the command line, or over HTTP. Everything is computed on this machine.\n"
                        ".PP\nOptions may stand before or after arguments; \\fB\\-\\-\\fR ends them. Text "
                        "goes to standard output, problems and progress to standard error.\n.SH COMMANDS\n");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        roff_command(out, c);
    frt_buf_append_text(out, ".SH SETTINGS\nOf \\fBserve\\fR and \\fBdoctor\\fR: as option (with dashes: "
                             "\\fB\\-\\-max\\-body\\-bytes\\fR), environment variable or "
                             "key of the settings file.\n");
    for (size_t i = 0; i < n; i++) {
        frt_buf_append_text(out, ".TP\n\\fB");
        roff(out, keys[i].key);
        frt_buf_printf(out, "\\fR \\fI%s\\fR\n", keys[i].value);
        roff(out, keys[i].help);
        frt_buf_append_char(out, '\n');
        frt_buf_init(&text, MAX_PARAGRAPH_BYTES);
        cli_help_setting(&keys[i], &text);
        if (frt_buf_status(&text) == FRT_OK)
            roff(out, text.data);
        else
            out->failed = text.failed;
        frt_buf_deinit(&text);
        frt_buf_append_char(out, '\n');
    }
    frt_buf_append_text(out, ".SH EXIT STATUS\n");
    roff_tabbed(out, cli_exit_codes);
    frt_buf_append_text(out, ".SH ENVIRONMENT\n");
    roff_tabbed(out, cli_environment);
    frt_buf_append_text(out, ".SH FILES\n");
    roff_tabbed(out, cli_files);
    frt_buf_append_text(out, ".SH SEE ALSO\ndocs/cli.md, docs/config.md and docs/api.md of the source tree\n");
}

/* ------------------------------------------------------------ completion */

/* One line of the case over the option before the cursor. */
static void bash_value(struct frt_buf *out, const struct cli_option *o)
{
    static const char *const kinds[] = {"none", "file", "folder", "words", "none"};
    frt_buf_printf(out, "        --%s", o->name);
    if (o->letter != 0)
        frt_buf_printf(out, " | -%c", o->letter);
    frt_buf_printf(out, ") kind='%s' words='%s' ;;\n", o->list ? "list" : kinds[o->complete],
                   o->words == NULL ? "" : o->words);
}

static void bash_setting(struct frt_buf *out, const struct frt_config_key *key)
{
    frt_buf_append_text(out, "        --");
    dashed(out, key->key);
    if (key->kind == FRT_CONFIG_LEVEL)
        frt_buf_append_text(out, ") kind=words words='debug info warn error off' ;;\n");
    else if (key->kind == FRT_CONFIG_TRUTH)
        frt_buf_append_text(out, ") kind=words words='true false' ;;\n");
    else
        frt_buf_printf(out, ") kind='%s' ;;\n",
                       strcmp(key->value, "FOLDER") == 0 ? "folder"
                       : strcmp(key->value, "FILE") == 0 ? "file"
                                                         : "none");
}

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
    for (const struct cli_option *const *group = c->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL; o++)
            if (o->value != NULL)
                bash_value(out, o);
    for (size_t i = 0; c->takes_config && i < n; i++)
        bash_setting(out, &keys[i]);
    if (c->complete == CLI_COMPLETE_COMMANDS)
        frt_buf_append_text(out, "        *) kind=words words=$commands ;;\n        esac ;;\n");
    else
        frt_buf_printf(out, "        *) kind='%s' ;;\n        esac ;;\n",
                       c->complete == CLI_COMPLETE_FILE ? "file" : "none");
}

static bool starts_group(const struct cli_command *c)
{
    size_t n = strcspn(c->name, " ");
    return c->name[n] == ' ' && (c == cli_commands || strncmp(c[-1].name, c->name, n + 1) != 0);
}

/* case of group → subcommands, the body of a function that sets `words` */
static void bash_subcommands(struct frt_buf *out)
{
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        size_t n = strcspn(c->name, " ");
        if (c->name[n] != ' ')
            continue;
        if (starts_group(c))
            frt_buf_printf(out, "    %.*s) words='", (int)n, c->name);
        bool last = c[1].name == NULL || strncmp(c[1].name, c->name, n + 1) != 0;
        frt_buf_printf(out, "%s%s", c->name + n + 1, last ? "' ;;\n" : " ");
    }
}

void cli_help_bash(struct frt_buf *out)
{
    frt_buf_append_text(out, "# bash completion for frt; made by 'frt completion bash'\n"
                             "_frt_subcommands()\n{\n"
                             "    case $1 in\n");
    bash_subcommands(out);
    frt_buf_append_text(out,
                        "    *) return 1 ;;\n    esac\n}\n"
                        "_frt()\n{\n"
                        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                        "    local first=${COMP_WORDS[1]} command options='' kind=none words='' before=''\n"
                        "    local commands='");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        if (strchr(c->name, ' ') == NULL || starts_group(c))
            frt_buf_printf(out, "%.*s ", (int)strcspn(c->name, " "), c->name);
    frt_buf_append_text(
        out, "'\n"
             "    COMPREPLY=()\n"
             "    if ((COMP_CWORD == 1)); then\n"
             "        mapfile -t COMPREPLY < <(compgen -W \"$commands --help --version\" -- \"$current\")\n"
             "        return\n    fi\n"
             "    command=$first\n"
             "    if _frt_subcommands \"$first\"; then\n"
             "        if ((COMP_CWORD == 2)); then\n"
             "            mapfile -t COMPREPLY < <(compgen -W \"$words --help\" -- \"$current\")\n"
             "            return\n        fi\n"
             "        command=\"$first ${COMP_WORDS[2]}\"\n"
             "        words=''\n"
             "    elif [[ $first == help ]] && ((COMP_CWORD > 2)); then\n"
             "        _frt_subcommands \"$previous\" && ((COMP_CWORD == 3)) &&\n"
             "            mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
             "        return\n    fi\n"
             "    # bash makes three words of --name=value\n"
             "    if [[ $current == '=' ]]; then\n"
             "        current=''\n"
             "    elif [[ $previous == '=' ]] && ((COMP_CWORD > 2)); then\n"
             "        previous=${COMP_WORDS[COMP_CWORD-2]}\n    fi\n"
             "    case $command in\n");
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        bash_case(out, c);
    frt_buf_append_text(
        out, "    esac\n"
             "    if [[ $current == -* ]]; then\n"
             "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
             "        return\n    fi\n"
             "    case $kind in\n"
             "    words) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;\n"
             "    list)\n"
             "        [[ $current == *,* ]] && before=${current%,*},\n"
             "        mapfile -t COMPREPLY < <(compgen -P \"$before\" -W \"$words\" -- \"${current##*,}\") ;;\n"
             "    folder)\n"
             "        mapfile -t COMPREPLY < <(compgen -d -- \"$current\")\n"
             "        compopt -o filenames 2>/dev/null ;;\n"
             "    file)\n"
             "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
             "        compopt -o filenames 2>/dev/null ;;\n"
             "    esac\n    return 0\n}\ncomplete -F _frt frt\n");
}
