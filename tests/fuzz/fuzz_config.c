/* rooms: core */
/*
 * Settings file: whatever the bytes, settings or an error with a place. What is refused changes nothing; what
 * is taken lies within the ranges of the table, and taking it twice gives the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static uint64_t number(const struct frt_config *config, const struct frt_config_key *key)
{
    const char *field = (const char *)config + key->offset;
    uint64_t wide = 0;
    uint32_t narrow = 0;
    if (key->size == sizeof wide) {
        memcpy(&wide, field, sizeof wide);
        return wide;
    }
    must(key->size == sizeof narrow);
    memcpy(&narrow, field, sizeof narrow);
    return narrow;
}

static void check(const struct frt_config *config)
{
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        const char *text = (const char *)config + keys[i].offset;
        switch (keys[i].kind) {
        case FRT_CONFIG_TEXT:
            must(memchr(text, '\0', keys[i].size) != NULL);
            for (; *text != '\0'; text++)
                must((unsigned char)*text >= ' ' && *text != 0x7F);
            break;
        case FRT_CONFIG_BYTES:
        case FRT_CONFIG_WHOLE:
        case FRT_CONFIG_DURATION_MS:
            must(number(config, &keys[i]) >= keys[i].low && number(config, &keys[i]) <= keys[i].high);
            break;
        case FRT_CONFIG_LEVEL:
            must(config->log_level <= FRT_LOG_OFF);
            break;
        case FRT_CONFIG_TRUTH:
            must(*text == 0 || *text == 1);
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_config config, before;
    struct frt_error err = {0};
    frt_config_init(&config);
    before = config;
    if (frt_config_load_text(&config, (const char *)data, size, "fuzz.conf", &err) != FRT_OK) {
        must(memcmp(&config, &before, sizeof config) == 0);
        /* "fuzz.conf:3: …" for what is wrong with a line */
        must(strncmp(err.text, "fuzz.conf:", 10) == 0 && err.text[10] >= '1' && err.text[10] <= '9');
        return 0;
    }
    check(&config);
    before = config;
    must(frt_config_load_text(&config, (const char *)data, size, "fuzz.conf", &err) == FRT_OK);
    /* field by field: a shorter text leaves what stood behind its end */
    must(config.queue == before.queue && strcmp(config.listen, before.listen) == 0 &&
         strcmp(config.pack, before.pack) == 0 && config.max_body_bytes == before.max_body_bytes);
    check(&config);
    return 0;
}
