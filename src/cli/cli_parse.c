#include "cli/cli_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/suggest.h"

enum { MAX_WORDS = 128 };

/* ------------------------------------------------------------- commands */

static bool is_subcommand_of(const char *name, const char *group)
{
    size_t n = strlen(group);
    return strncmp(name, group, n) == 0 && name[n] == ' ';
}

bool cli_is_group(const char *word)
{
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        if (is_subcommand_of(c->name, word))
            return true;
    return false;
}

const struct cli_command *cli_find_command(const char *first, const char *second)
{
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        if (strcmp(c->name, first) == 0)
            return c;
        if (second != NULL && is_subcommand_of(c->name, first) &&
            strcmp(c->name + strlen(first) + 1, second) == 0)
            return c;
    }
    return NULL;
}

static enum frt_status subcommand_needed(const char *group, struct frt_error *err)
{
    char list[256] = "";
    size_t used = 0;
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        if (!is_subcommand_of(c->name, group))
            continue;
        int n = snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ", ",
                         c->name + strlen(group) + 1);
        if (n > 0 && used + (size_t)n < sizeof list)
            used += (size_t)n;
    }
    return frt_fail(err, FRT_EINVAL, "'%s' needs a subcommand: %s; 'frt %s --help' tells more", group, list,
                    group);
}

enum frt_status cli_unknown_command(const char *first, const char *second, struct frt_error *err)
{
    const char *words[MAX_WORDS];
    size_t n = 0;
    bool group = cli_is_group(first);
    if (group && second == NULL)
        return subcommand_needed(first, err);
    if (first[0] == '-')
        return frt_fail(err, FRT_EINVAL,
                        "'%s' stands where the command belongs: frt COMMAND [OPTION]…; 'frt --help' "
                        "lists the commands",
                        first);
    for (const struct cli_command *c = cli_commands; c->name != NULL && n < MAX_WORDS; c++) {
        if (group && is_subcommand_of(c->name, first))
            words[n++] = c->name + strlen(first) + 1;
        else if (!group)
            words[n++] = c->name;
    }
    const char *word = group ? second : first;
    const char *near = frt_suggest(word, words, n);
    const char *before = group ? first : "", *blank = group ? " " : "";
    if (near != NULL)
        return frt_fail(err, FRT_EINVAL, "unknown command '%s%s%s'; did you mean '%s%s%s'?", before, blank,
                        word, before, blank, near);
    return frt_fail(err, FRT_EINVAL, "unknown command '%s%s%s'; 'frt %s%s--help' lists the commands", before,
                    blank, word, before, blank);
}

/* -------------------------------------------------------------- options */

static const struct cli_option *find_option(const struct cli_command *c, const char *name, size_t size,
                                            char letter)
{
    for (const struct cli_option *const *group = c->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL; o++)
            if ((name != NULL && strlen(o->name) == size && strncmp(o->name, name, size) == 0) ||
                (name == NULL && o->letter == letter))
                return o;
    return NULL;
}

/* "max-body-bytes" names the key "max_body_bytes". */
static const struct frt_config_key *find_key(const char *name, size_t size)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        bool same = strlen(keys[i].key) == size;
        for (size_t k = 0; same && k < size; k++)
            same = keys[i].key[k] == (name[k] == '-' ? '_' : name[k]);
        if (same)
            return &keys[i];
    }
    return NULL;
}

static enum frt_status unknown_option(const struct cli_command *c, const char *given, size_t size, bool is_long,
                                      struct frt_error *err)
{
    const char *words[MAX_WORDS];
    char dashed[MAX_WORDS][48];
    char word[64];
    size_t n = 0, n_keys = 0;
    for (const struct cli_option *const *group = c->groups; group != NULL && *group != NULL; group++)
        for (const struct cli_option *o = *group; o->name != NULL && n < MAX_WORDS; o++)
            words[n++] = o->name;
    const struct frt_config_key *keys = frt_config_keys(&n_keys);
    for (size_t i = 0; c->takes_config && i < n_keys && n < MAX_WORDS; i++) {
        size_t k = 0;
        for (; k < sizeof dashed[0] - 1 && keys[i].key[k] != '\0'; k++)
            dashed[n][k] = keys[i].key[k] == '_' ? '-' : keys[i].key[k];
        dashed[n][k] = '\0';
        words[n] = dashed[n];
        n++;
    }
    if (size >= sizeof word)
        size = sizeof word - 1;
    memcpy(word, given, size);
    word[size] = '\0';
    const char *near = is_long ? frt_suggest(word, words, n) : NULL;
    if (near != NULL)
        return frt_fail(err, FRT_EINVAL, "unknown option '--%s'; did you mean '--%s'?", word, near);
    return frt_fail(err, FRT_EINVAL, "unknown option '%s%s'; 'frt %s --help' lists the options",
                    is_long ? "--" : "-", word, c->name);
}

static enum frt_status add_option(struct cli_run *run, const struct cli_option *option, const char *value,
                                  struct frt_error *err)
{
    if (run->n_options == CLI_MAX_OPTIONS)
        return frt_fail(err, FRT_EINVAL, "more than %d options", CLI_MAX_OPTIONS);
    run->options[run->n_options].option = option;
    run->options[run->n_options].value = value;
    run->n_options++;
    return FRT_OK;
}

static enum frt_status add_setting(struct cli_run *run, const struct frt_config_key *key, const char *value,
                                   const char *word, struct frt_error *err)
{
    if (run->n_settings == CLI_MAX_OPTIONS)
        return frt_fail(err, FRT_EINVAL, "more than %d settings", CLI_MAX_OPTIONS);
    run->settings[run->n_settings].key = key;
    run->settings[run->n_settings].value = value;
    run->settings[run->n_settings].word = word;
    run->n_settings++;
    return FRT_OK;
}

/* --name, --name=value; *used tells whether the next word was its value. */
static enum frt_status parse_long(struct cli_run *run, const char *word, const char *next, bool *help,
                                  bool *used, struct frt_error *err)
{
    const char *name = word + 2;
    size_t size = strcspn(name, "=");
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    if (strcmp(word, "--help") == 0) {
        *help = true;
        return FRT_OK;
    }
    const struct cli_option *option = find_option(run->command, name, size, 0);
    const struct frt_config_key *key =
        option == NULL && run->command->takes_config ? find_key(name, size) : NULL;
    if (option == NULL && key == NULL)
        return unknown_option(run->command, name, size, true, err);
    if (option != NULL && option->value == NULL) {
        if (value != NULL)
            return frt_fail(err, FRT_EINVAL, "option '--%s' takes no value", option->name);
        return add_option(run, option, NULL, err);
    }
    if (value == NULL) {
        if (next == NULL)
            return frt_fail(err, FRT_EINVAL, "option '%s' needs a value: %s", word,
                            option != NULL ? option->value : key->value);
        value = next;
        *used = true;
    }
    return option != NULL ? add_option(run, option, value, err) : add_setting(run, key, value, word, err);
}

/* -q, -qf, -j4, -j 4. */
static enum frt_status parse_short(struct cli_run *run, const char *word, const char *next, bool *help,
                                   bool *used, struct frt_error *err)
{
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        if (*letter == 'h') {
            *help = true;
            continue;
        }
        const struct cli_option *option = find_option(run->command, NULL, 0, *letter);
        if (option == NULL)
            return unknown_option(run->command, letter, ((unsigned char)*letter < 0x80) ? 1 : strlen(letter),
                                  false, err);
        if (option->value != NULL) {
            if (letter[1] == '\0' && next == NULL)
                return frt_fail(err, FRT_EINVAL, "option '-%c' needs a value: %s", *letter, option->value);
            *used = letter[1] == '\0';
            return add_option(run, option, *used ? next : letter + 1, err);
        }
        enum frt_status status = add_option(run, option, NULL, err);
        if (status != FRT_OK)
            return status;
    }
    return FRT_OK;
}

/* Is there one in this address: SCHEME://USER:PASSWORD@…? */
static bool has_password(const char *address)
{
    const char *user = strstr(address, "://"), *end = strrchr(address, '@');
    return user != NULL && end != NULL && end >= user + 3 &&
           memchr(user + 3, ':', (size_t)(end - user) - 3) != NULL;
}

/* Flags win over the environment, which wins over the file. */
static enum frt_status load_config(struct cli_run *run, struct frt_error *err)
{
    const char *said = cli_text(run, "config"), *file = said != NULL ? said : getenv("FRT_CONFIG");
    char where[64];
    enum frt_status status = FRT_OK;
    frt_config_init(&run->config);
    if (said != NULL && said[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "option '--config' needs a value: FILE");
    if (file != NULL && file[0] != '\0')
        status = frt_config_load_file(&run->config, file, err);
    if (status == FRT_OK)
        status = frt_config_load_env(&run->config, environ, err);
    for (size_t i = 0; status == FRT_OK && i < run->n_settings; i++) {
        (void)snprintf(where, sizeof where, "%.*s", (int)strcspn(run->settings[i].word, "="),
                       run->settings[i].word);
        if (strcmp(run->settings[i].key->key, "redis") == 0 && has_password(run->settings[i].value))
            return frt_fail(
                err, FRT_EINVAL,
                "%s: a password on the command line can be read by everybody on the machine; put it into "
                "the environment (%s), the settings file, or a file of its own (redis_password_file)",
                where, run->settings[i].key->env);
        status = frt_config_set(&run->config, run->settings[i].key->key, run->settings[i].value, where, err);
    }
    return status;
}

static enum frt_status check_arguments(const struct cli_run *run, struct frt_error *err)
{
    const struct cli_command *c = run->command;
    if (run->n_arguments < c->min_arguments)
        return frt_fail(err, FRT_EINVAL, "'%s' needs %s; see 'frt %s --help'", c->name, c->arguments, c->name);
    if (run->n_arguments > c->max_arguments)
        return frt_fail(err, FRT_EINVAL, "'%s' takes %s; '%s' is one too many", c->name,
                        c->arguments[0] == '\0' ? "no arguments" : c->arguments,
                        run->arguments[c->max_arguments]);
    return FRT_OK;
}

/* The command of the line into run->command and the number of its words into *words; 0 when there is no
 * command to run: help was asked for. */
static enum frt_status parse_command(int argc, char **argv, struct cli_run *run, int *words, bool *help,
                                     struct frt_error *err)
{
    const char *first = argc > 1 ? argv[1] : NULL, *second = argc > 2 ? argv[2] : NULL;
    *words = 0;
    if (first == NULL)
        return frt_fail(err, FRT_EINVAL, "no command given; 'frt --help' lists them");
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        *help = true;
        return FRT_OK;
    }
    if (strcmp(first, "--version") == 0)
        first = "version";
    run->command = cli_find_command(first, second);
    if (run->command == NULL) {
        if (cli_is_group(first) && second != NULL &&
            (strcmp(second, "--help") == 0 || strcmp(second, "-h") == 0)) {
            run->group = first;
            *help = true;
            return FRT_OK;
        }
        return cli_unknown_command(first, second, err);
    }
    *words = strchr(run->command->name, ' ') != NULL ? 2 : 1;
    return FRT_OK;
}

enum frt_status cli_parse(int argc, char **argv, struct cli_run *run, bool *help, struct frt_error *err)
{
    int words = 0;
    bool options_ended = false;
    *help = false;
    run->command = NULL;
    run->group = NULL;
    run->n_options = run->n_settings = run->n_arguments = 0;
    enum frt_status status = parse_command(argc, argv, run, &words, help, err);
    if (status != FRT_OK || words == 0)
        return status;
    run->arguments = argv + 1 + words;
    for (int at = 1 + words; status == FRT_OK && at < argc; at++) {
        char *word = argv[at];
        const char *next = at + 1 < argc ? argv[at + 1] : NULL;
        bool used = false;
        if (options_ended || word[0] != '-' || word[1] == '\0')
            run->arguments[run->n_arguments++] = word;
        else if (strcmp(word, "--") == 0)
            options_ended = true;
        else if (word[1] == '-')
            status = parse_long(run, word, next, help, &used, err);
        else
            status = parse_short(run, word, next, help, &used, err);
        at += used;
    }
    /* who asks for help beside a mistake gets the help */
    if (*help)
        return FRT_OK;
    if (status == FRT_OK)
        status = check_arguments(run, err);
    if (status == FRT_OK && run->command->takes_config)
        status = load_config(run, err);
    return status;
}

/* --------------------------------------------------------------- values */

bool cli_has(const struct cli_run *run, const char *name)
{
    for (size_t i = 0; i < run->n_options; i++)
        if (strcmp(run->options[i].option->name, name) == 0)
            return true;
    return false;
}

const char *cli_text(const struct cli_run *run, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < run->n_options; i++)
        if (strcmp(run->options[i].option->name, name) == 0)
            found = run->options[i].value;
    return found;
}

enum frt_status cli_whole(const struct cli_run *run, const char *name, long long low, long long high,
                          long long fallback, long long *out, struct frt_error *err)
{
    const char *text = cli_text(run, name);
    char *end = NULL;
    if (text == NULL) {
        *out = fallback;
        return FRT_OK;
    }
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < low || value > high)
        return frt_fail(err, FRT_EINVAL, "--%s is '%s'; a whole number from %lld to %lld is right", name, text,
                        low, high);
    *out = value;
    return FRT_OK;
}

enum frt_status cli_number(const struct cli_run *run, const char *name, double low, double high,
                           double fallback, double *out, struct frt_error *err)
{
    const char *text = cli_text(run, name);
    char *end = NULL;
    if (text == NULL) {
        *out = fallback;
        return FRT_OK;
    }
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= low && value <= high))
        return frt_fail(err, FRT_EINVAL, "--%s is '%s'; a number from %g to %g is right", name, text, low,
                        high);
    *out = value;
    return FRT_OK;
}

enum frt_status cli_choice(const struct cli_run *run, const char *name, const char *const *words, int fallback,
                           int *out, struct frt_error *err)
{
    const char *text = cli_text(run, name);
    char list[128] = "";
    size_t used = 0;
    if (text == NULL) {
        *out = fallback;
        return FRT_OK;
    }
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *out = i;
            return FRT_OK;
        }
        int n = snprintf(list + used, sizeof list - used, "%s%s",
                         i == 0                 ? ""
                         : words[i + 1] != NULL ? ", "
                                                : " or ",
                         words[i]);
        if (n > 0 && used + (size_t)n < sizeof list)
            used += (size_t)n;
    }
    return frt_fail(err, FRT_EINVAL, "--%s is '%s'; %s is right", name, text, list);
}
