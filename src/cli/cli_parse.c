#include "cli/cli_parse.h"

#include <errno.h>
#include <math.h>
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

static bool is_group(const char *word)
{
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        if (is_subcommand_of(c->name, word))
            return true;
    return false;
}

static const struct cli_command *find_command(const char *first, const char *second)
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

static enum frt_status unknown_command(const char *first, const char *second, struct frt_error *err)
{
    const char *words[MAX_WORDS];
    size_t n = 0;
    bool group = is_group(first);
    for (const struct cli_command *c = cli_commands; c->name != NULL && n < MAX_WORDS; c++) {
        if (group && is_subcommand_of(c->name, first))
            words[n++] = c->name + strlen(first) + 1;
        else if (!group)
            words[n++] = c->name;
    }
    if (group && second == NULL)
        return frt_fail(err, FRT_EINVAL, "'%s' needs a subcommand; see 'frt %s --help'", first, first);
    const char *word = group ? second : first;
    const char *near = frt_suggest(word, words, n);
    return frt_fail(err, FRT_EINVAL, "unknown command '%s%s%s'%s%s%s; 'frt --help' lists them",
                    group ? first : "", group ? " " : "", word, near == NULL ? "" : "; did you mean '",
                    near == NULL ? "" : near, near == NULL ? "" : "'?");
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

static enum frt_status unknown_option(const struct cli_command *c, const char *given, size_t size,
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
        for (; keys[i].key[k] != '\0' && k < sizeof dashed[0] - 1; k++)
            dashed[n][k] = keys[i].key[k] == '_' ? '-' : keys[i].key[k];
        dashed[n][k] = '\0';
        words[n] = dashed[n];
        n++;
    }
    if (size >= sizeof word)
        size = sizeof word - 1;
    memcpy(word, given, size);
    word[size] = '\0';
    const char *near = frt_suggest(word, words, n);
    return frt_fail(err, FRT_EINVAL, "unknown option '%s%s'%s%s%s; see 'frt %s --help'", size == 1 ? "-" : "--",
                    word, near == NULL ? "" : "; did you mean '--", near == NULL ? "" : near,
                    near == NULL ? "" : "'?", c->name);
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

/* One option word; *used tells whether the next word was its value. */
static enum frt_status parse_option(struct cli_run *run, const char *word, const char *next, bool *help,
                                    bool *used, struct frt_error *err)
{
    bool is_long = word[1] == '-';
    const char *name = is_long ? word + 2 : NULL;
    size_t size = is_long ? strcspn(name, "=") : 1;
    const char *value =
        is_long ? (name[size] == '=' ? name + size + 1 : NULL) : (word[2] != '\0' ? word + 2 : NULL);
    *used = false;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        *help = true;
        return FRT_OK;
    }
    const struct cli_option *option = find_option(run->command, name, size, word[1]);
    const struct frt_config_key *key =
        option == NULL && is_long && run->command->takes_config ? find_key(name, size) : NULL;
    if (option == NULL && key == NULL)
        return unknown_option(run->command, is_long ? name : word + 1, size, err);
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
    if (option != NULL)
        return add_option(run, option, value, err);
    return frt_config_set(&run->config, key->key, value, word, err);
}

/* Flags win over the environment, which wins over the file: so file and environment are read before
 * the words are walked, and the file's name must be found first. */
static enum frt_status load_config(struct cli_run *run, int argc, char **argv, struct frt_error *err)
{
    const char *file = getenv("FRT_CONFIG");
    frt_config_init(&run->config);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            file = argv[i] + 9;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            file = argv[i + 1];
    }
    enum frt_status status = FRT_OK;
    if (file != NULL && file[0] != '\0')
        status = frt_config_load_file(&run->config, file, err);
    if (status == FRT_OK)
        status = frt_config_load_env(&run->config, environ, err);
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

enum frt_status cli_parse(int argc, char **argv, struct cli_run *run, bool *help, struct frt_error *err)
{
    int at = 1;
    bool options_ended = false;
    *help = false;
    run->command = NULL;
    run->n_options = run->n_arguments = 0;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        *help = argc >= 2;
        return argc >= 2 ? FRT_OK : frt_fail(err, FRT_EINVAL, "no command given; 'frt --help' lists them");
    }
    if (strcmp(argv[1], "--version") == 0) {
        run->command = find_command("version", NULL);
        run->arguments = argv + argc;
        return FRT_OK;
    }
    run->command = find_command(argv[1], argc > 2 ? argv[2] : NULL);
    if (run->command == NULL) {
        if (is_group(argv[1]) && argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
            *help = true;
            return FRT_OK;
        }
        return unknown_command(argv[1], argc > 2 ? argv[2] : NULL, err);
    }
    at = strchr(run->command->name, ' ') != NULL ? 3 : 2;
    run->arguments = argv + at;
    enum frt_status status = run->command->takes_config ? load_config(run, argc, argv, err) : FRT_OK;
    for (; status == FRT_OK && at < argc; at++) {
        char *word = argv[at];
        bool used = false;
        if (!options_ended && strcmp(word, "--") == 0) {
            options_ended = true;
        } else if (!options_ended && word[0] == '-' && word[1] != '\0') {
            status = parse_option(run, word, at + 1 < argc ? argv[at + 1] : NULL, help, &used, err);
            at += used;
        } else {
            run->arguments[run->n_arguments++] = word;
        }
    }
    if (*help)
        return FRT_OK;
    return status == FRT_OK ? check_arguments(run, err) : status;
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
