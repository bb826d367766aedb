#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/suggest.h"

enum { MAX_FILE_LINE = 4096, MAX_FILE_LINES = 10000, MAX_WORDS = 64 };

enum kind { TEXT, BYTES, WHOLE, DURATION_MS, LEVEL, TRUTH };

struct setting {
    struct frt_config_key key;
    enum kind kind;
    size_t offset, size; /* of the field in struct frt_config */
    uint64_t low, high;
};

#define FIELD(name) offsetof(struct frt_config, name), sizeof(((struct frt_config *)0)->name)

static const struct setting settings[] = {
    {{"listen", "FRT_LISTEN", NULL, "ADDRESS:PORT", "127.0.0.1:8080",
      "Address and port of the service, e.g. 127.0.0.1:8080 or [::1]:8080. Without credentials only loopback "
      "addresses are served."},
     TEXT,
     FIELD(listen),
     0,
     0},
    {{"data_dir", "FRT_DATA_DIR", NULL, "FOLDER", "",
      "Folder of model packs. Default: ./data when it holds packs, else ~/.local/share/frt or /var/lib/frt "
      "when there."},
     TEXT,
     FIELD(data_dir),
     0,
     0},
    {{"pack", "FRT_PACK", NULL, "FOLDER", "", "Model pack. Default: packs/default in the data folder."},
     TEXT,
     FIELD(pack),
     0,
     0},
    {{"runtime", "FRT_RUNTIME", NULL, "FILE", "",
      "ONNX Runtime library to load. Default: found beside the program or "
      "in the system."},
     TEXT,
     FIELD(runtime),
     0,
     0},
    {{"detector", "FRT_DETECTOR", NULL, "NAME", "", "Detector of the pack by name. Default: the pack's."},
     TEXT,
     FIELD(detector),
     0,
     0},
    {{"max_body_bytes", "FRT_MAX_BODY_BYTES", NULL, "BYTES", "20MiB",
      "Largest request body; units KiB, MiB, GiB."},
     BYTES,
     FIELD(max_body_bytes),
     1024,
     1ULL << 32},
    {{"max_image_pixels", "FRT_MAX_IMAGE_PIXELS", NULL, "PIXELS", "50000000", "Most pixels of an image."},
     WHOLE,
     FIELD(max_image_pixels),
     4096,
     1000000000},
    {{"max_image_side_px", "FRT_MAX_IMAGE_SIDE_PX", NULL, "PIXELS", "16384", "Longest side of an image."},
     WHOLE,
     FIELD(max_image_side_px),
     64,
     65500},
    {{"request_timeout_ms", "FRT_REQUEST_TIMEOUT_MS", NULL, "TIME", "30s",
      "Time a request may take, from its first byte to its answer; units ms, s, min."},
     DURATION_MS,
     FIELD(request_timeout_ms),
     100,
     3600000},
    {{"workers", "FRT_WORKERS", "MAX_WORKERS", "N", "0", "Requests worked on at once; 0 = one per core, at most 32."},
     WHOLE,
     FIELD(workers),
     0,
     1024},
    {{"queue", "FRT_QUEUE", NULL, "N", "64", "Requests that may wait for a worker; more are answered 503."},
     WHOLE,
     FIELD(queue),
     1,
     100000},
    {{"threads", "FRT_THREADS", "OMP_NUM_THREADS", "N", "0", "Cores one inference may use; 0 = all."},
     WHOLE,
     FIELD(threads),
     0,
     1024},
    {{"connections", "FRT_CONNECTIONS", NULL, "N", "1000", "Connections open at once."},
     WHOLE,
     FIELD(connections),
     1,
     100000},
    {{"log_level", "FRT_LOG_LEVEL", NULL, "LEVEL", "info",
      "Least important log lines shown: debug, info, warn, error, "
      "off."},
     LEVEL,
     FIELD(log_level),
     0,
     0},
    {{"log_json", "FRT_LOG_JSON", NULL, "BOOL", "false", "Log lines as JSON instead of logfmt."},
     TRUTH,
     FIELD(log_json),
     0,
     0},
};
#define N_SETTINGS (sizeof settings / sizeof *settings)

/* Variables that other parts of the program, its scripts or its tests read. */
static const char *const other_variables[] = {"FRT_CONFIG", "FRT_SIMD", "FRT_TEST_ASSETS", "FRT_TEST_PACK",
                                              "FRT_DEBIAN_MIRROR"};

const struct frt_config_key *frt_config_keys(size_t *count)
{
    static struct frt_config_key keys[N_SETTINGS]; /* the same bytes whoever writes them */
    for (size_t i = 0; i < N_SETTINGS; i++)
        keys[i] = settings[i].key;
    *count = N_SETTINGS;
    return keys;
}

/* --------------------------------------------------------------- values */

static enum frt_status refuse(const struct setting *s, const char *value, const char *where, const char *right,
                              struct frt_error *err)
{
    return frt_fail(err, FRT_EINVAL, "%s: %s is '%.100s'; %s", where, s->key.key, value, right);
}

/* Digits and a unit; false when it is anything else or does not fit. */
static bool read_scaled(const char *text, const char *const *units, const uint64_t *factors, size_t n_units,
                        uint64_t *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    while (*end == ' ')
        end++;
    if (*end == '\0') {
        *out = number;
        return true;
    }
    for (size_t i = 0; i < n_units; i++)
        if (strcmp(end, units[i]) == 0)
            return !__builtin_mul_overflow((uint64_t)number, factors[i], out);
    return false;
}

static bool read_number(const struct setting *s, const char *text, uint64_t *out)
{
    static const char *const byte_units[] = {"B", "KiB", "MiB", "GiB", "K", "M", "G", "kB", "MB", "GB"};
    static const uint64_t byte_factors[] = {1,       1 << 10, 1 << 20, 1 << 30, 1 << 10,
                                            1 << 20, 1 << 30, 1000,    1000000, 1000000000};
    static const char *const time_units[] = {"ms", "s", "min"};
    static const uint64_t time_factors[] = {1, 1000, 60000};
    if (s->kind == BYTES)
        return read_scaled(text, byte_units, byte_factors, sizeof byte_units / sizeof *byte_units, out);
    if (s->kind == DURATION_MS)
        return read_scaled(text, time_units, time_factors, 3, out);
    return read_scaled(text, NULL, NULL, 0, out);
}

static enum frt_status set_number(const struct setting *s, void *field, const char *value, const char *where,
                                  struct frt_error *err)
{
    uint64_t number = 0;
    char right[128];
    if (!read_number(s, value, &number) || number < s->low || number > s->high) {
        (void)snprintf(right, sizeof right, "a whole number from %llu to %llu%s is right",
                       (unsigned long long)s->low, (unsigned long long)s->high,
                       s->kind == BYTES         ? " bytes (units KiB, MiB, GiB)"
                       : s->kind == DURATION_MS ? " ms (units ms, s, min)"
                                                : "");
        return refuse(s, value, where, right, err);
    }
    if (s->size == sizeof(uint64_t)) {
        memcpy(field, &number, sizeof number);
    } else {
        uint32_t narrow = (uint32_t)number;
        memcpy(field, &narrow, sizeof narrow);
    }
    return FRT_OK;
}

static enum frt_status set_truth(const struct setting *s, void *field, const char *value, const char *where,
                                 struct frt_error *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            bool truth = strcmp(value, yes[i]) == 0;
            memcpy(field, &truth, sizeof truth);
            return FRT_OK;
        }
    }
    return refuse(s, value, where, "true or false is right", err);
}

static enum frt_status set(struct frt_config *config, const struct setting *s, const char *value,
                           const char *where, struct frt_error *err)
{
    char *field = (char *)config + s->offset;
    enum frt_log_level level;
    switch (s->kind) {
    case TEXT:
        if (strlen(value) >= s->size)
            return refuse(s, value, where, "it is too long", err);
        memcpy(field, value, strlen(value) + 1);
        return FRT_OK;
    case BYTES:
    case WHOLE:
    case DURATION_MS:
        return set_number(s, field, value, where, err);
    case LEVEL:
        if (!frt_log_level_parse(value, &level))
            return refuse(s, value, where, "debug, info, warn, error or off is right", err);
        memcpy(field, &level, sizeof level);
        return FRT_OK;
    case TRUTH:
        return set_truth(s, field, value, where, err);
    }
    return FRT_EINTERNAL;
}

void frt_config_init(struct frt_config *config)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (set(config, &settings[i], settings[i].key.fallback, "default", NULL) != FRT_OK)
            abort(); /* a default of the table does not fit its own range */
}

static const struct setting *find(const char *key)
{
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (strcmp(settings[i].key.key, key) == 0)
            return &settings[i];
    return NULL;
}

enum frt_status frt_config_set(struct frt_config *config, const char *key, const char *value, const char *where,
                               struct frt_error *err)
{
    const char *words[N_SETTINGS];
    const struct setting *s = find(key);
    if (s != NULL)
        return set(config, s, value, where, err);
    for (size_t i = 0; i < N_SETTINGS; i++)
        words[i] = settings[i].key.key;
    const char *near = frt_suggest(key, words, N_SETTINGS);
    return frt_fail(err, FRT_EBAD_REQUEST, "%s: unknown setting '%.100s'%s%s%s", where, key,
                    near == NULL ? "; docs/config.md lists them" : "; did you mean '", near == NULL ? "" : near,
                    near == NULL ? "" : "'?");
}

/* ----------------------------------------------------------------- file */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

static enum frt_status apply_line(struct frt_config *config, char *line, const char *where,
                                  struct frt_error *err)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return FRT_OK;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "%s: '%.60s' is no setting; 'key = value' is right", where,
                        line);
    *equals = '\0';
    return frt_config_set(config, trim(line), trim(equals + 1), where, err);
}

enum frt_status frt_config_load_file(struct frt_config *config, const char *path, struct frt_error *err)
{
    char line[MAX_FILE_LINE], where[FRT_CONFIG_TEXT_MAX + 32];
    struct frt_config loaded = *config;
    enum frt_status status = FRT_OK;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "settings file %s: %s", path,
                        strerror(errno));
    for (int number = 1; status == FRT_OK && fgets(line, sizeof line, file) != NULL; number++) {
        (void)snprintf(where, sizeof where, "%.500s:%d", path, number);
        if (number > MAX_FILE_LINES)
            status = frt_fail(err, FRT_EBAD_REQUEST, "%s: more than %d lines", where, MAX_FILE_LINES);
        else if (strchr(line, '\n') == NULL && strlen(line) == sizeof line - 1)
            status = frt_fail(err, FRT_EBAD_REQUEST, "%s: the line is longer than %d bytes", where,
                              MAX_FILE_LINE - 2);
        else
            status = apply_line(&loaded, line, where, err);
    }
    if (status == FRT_OK && ferror(file))
        status = frt_fail(err, FRT_EIO, "settings file %s: %s", path, strerror(errno));
    (void)fclose(file);
    if (status == FRT_OK)
        *config = loaded;
    return status;
}

/* ---------------------------------------------------------- environment */

static const struct setting *find_variable(const char *name, size_t size, bool old)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const char *variable = old ? settings[i].key.env_old : settings[i].key.env;
        if (variable != NULL && strlen(variable) == size && strncmp(variable, name, size) == 0)
            return &settings[i];
    }
    return NULL;
}

static enum frt_status unknown_variable(const char *name, size_t size, struct frt_error *err)
{
    const char *words[MAX_WORDS];
    char given[64];
    size_t n = 0;
    for (size_t i = 0; i < sizeof other_variables / sizeof *other_variables; i++) {
        if (strlen(other_variables[i]) == size && strncmp(other_variables[i], name, size) == 0)
            return FRT_OK;
        words[n++] = other_variables[i];
    }
    for (size_t i = 0; i < N_SETTINGS; i++)
        words[n++] = settings[i].key.env;
    (void)snprintf(given, sizeof given, "%.*s", (int)(size < 63 ? size : 63), name);
    const char *near = frt_suggest(given, words, n);
    return frt_fail(err, FRT_EBAD_REQUEST, "environment: unknown variable %s%s%s%s", given,
                    near == NULL ? "; docs/config.md lists them" : "; did you mean ", near == NULL ? "" : near,
                    near == NULL ? "" : "?");
}

enum frt_status frt_config_load_env(struct frt_config *config, char **environ_list, struct frt_error *err)
{
    struct frt_config loaded = *config;
    enum frt_status status = FRT_OK;
    /* the older names first, so that ours win wherever both stand */
    for (int old = 1; old >= 0 && status == FRT_OK; old--) {
        for (char **entry = environ_list; status == FRT_OK && *entry != NULL; entry++) {
            size_t size = strcspn(*entry, "=");
            const struct setting *s = find_variable(*entry, size, old != 0);
            if (s != NULL && (*entry)[size] == '=' && (*entry)[size + 1] != '\0')
                status = set(&loaded, s, *entry + size + 1, old ? s->key.env_old : s->key.env, err);
            else if (s == NULL && old == 0 && strncmp(*entry, "FRT_", 4) == 0)
                status = unknown_variable(*entry, size, err);
        }
    }
    if (status == FRT_OK)
        *config = loaded;
    return status;
}
