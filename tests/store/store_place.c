#include "store/store_place.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char place_model[] = "made-up 1";

static bool on_server;

bool store_places_choose(int argc, char **argv)
{
    on_server = argc > 1 && strcmp(argv[1], "postgresql") == 0;
    return !on_server || postgres_server_start();
}

int store_places_end(int result)
{
    if (on_server)
        postgres_server_remove();
    return result;
}

int store_place_make(void **state)
{
    struct store_place *place = test_calloc(1, sizeof *place);
    const char *base = getenv("TMPDIR");
    (void)snprintf(place->folder, sizeof place->folder, "%s/frt-test-store-XXXXXX",
                   base != NULL ? base : "/tmp");
    if (mkdtemp(place->folder) == NULL)
        return -1;
    place->on_server = on_server;
    if (on_server)
        postgres_server_database(place->path);
    else
        (void)snprintf(place->path, sizeof place->path, "%s/frt.db", place->folder);
    *state = place;
    return 0;
}

int store_place_drop(void **state)
{
    struct store_place *place = *state;
    char command[1200];
    (void)snprintf(command, sizeof command, "chmod -R u+rwX '%s' && rm -rf '%s'", place->folder, place->folder);
    const int code = system(command);
    test_free(place);
    return code;
}

void store_must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK)
        fail_msg("%s: %s", frt_status_code(status), err->text);
}

void store_place_settle(const struct store_place *place)
{
    char left[16] = "";
    for (int i = 0; place->on_server && i < 500 && strcmp(left, "0") != 0; i++)
        postgres_server_sql(
            place->path,
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'frt' AND datname = "
            "current_database()",
            left, sizeof left);
}

struct frt_store *store_place_open(const struct store_place *place)
{
    const struct frt_store_options options = {.path = place->path};
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    store_must(frt_store_open(&options, &store, &err), &err);
    return store;
}

void store_vector(uint64_t number, float out[PLACE_DIM])
{
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    float norm = 0;
    for (int i = 0; i < PLACE_DIM; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out[i] = (float)(int32_t)(state >> 32) / 2147483648.0f;
        norm += out[i] * out[i];
    }
    for (int i = 0; i < PLACE_DIM; i++)
        out[i] /= sqrtf(norm);
}

enum frt_status store_add_one(struct frt_store *store, const char *collection, const char *subject,
                              const char *face_id, uint64_t number, uint64_t *key, struct frt_error *err)
{
    float vector[PLACE_DIM];
    store_vector(number, vector);
    const struct frt_store_face face = {
        .subject = subject, .face_id = face_id, .embedding = vector, .quality = NAN, .threshold = NAN};
    const struct frt_store_add add = {
        .collection = collection, .model = place_model, .dim = PLACE_DIM, .faces = &face, .n = 1};
    return frt_store_faces_add(store, &add, key, NULL, NULL, err);
}
