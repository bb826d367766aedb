/*
 * manifest.json ⇄ struct frt_manifest. One table names every plain key of a model: its type, range, the
 * roles that have it and where it lies in struct frt_model_spec; reader, writer and the list of known
 * keys for error texts all go by it. Keys with a structure (input, map, centre, labels) have code.
 *
 * Source: docs/formats/manifest-v1.md.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_read.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "core/suggest.h"
#include "core/utf8.h"
#include "model/model_file.h"
#include "model/pack_files.h"

enum {
    MAX_MANIFEST_BYTES = 4 << 20,
    MAX_DIM = 4096,
    MAX_SIDE_PX = 16384,
    FORMAT_VERSION = 1,
    COMPILED_VERSION = 2
};
static const char format_name[] = "frt-pack";
static const char manifest_file[] = "manifest.json";

static const char *const role_names[FRT_ROLE_COUNT] = {"detector",   "landmarks",  "embedder", "liveness",
                                                       "age_gender", "expression", "quality"};
static const char *const color_names[] = {"rgb", "bgr"};
static const char *const map_names[] = {"l2", "center_l2", "cap"};

const char *frt_model_role_name(enum frt_model_role role)
{
    return (unsigned)role < FRT_ROLE_COUNT ? role_names[role] : "unknown";
}

/* ---------------------------------------------------------- the table */

enum key_kind { KEY_TEXT, KEY_COUNT, KEY_NUMBER, KEY_BOOL, KEY_STRUCTURED };

#define ROLE(r) (1U << (r))
#define ALL_ROLES (ROLE(FRT_ROLE_COUNT) - 1)
#define CROP_ROLES                                                                                             \
    (ROLE(FRT_ROLE_LANDMARKS) | ROLE(FRT_ROLE_LIVENESS) | ROLE(FRT_ROLE_AGE_GENDER) | ROLE(FRT_ROLE_EXPRESSION))
#define LABEL_ROLES (ROLE(FRT_ROLE_LIVENESS) | ROLE(FRT_ROLE_AGE_GENDER) | ROLE(FRT_ROLE_EXPRESSION))
#define FIELD(f) offsetof(struct frt_model_spec, f), sizeof((struct frt_model_spec *)0)->f

struct model_key {
    const char *key;
    enum key_kind kind;
    unsigned roles;
    bool required;
    size_t offset, size;
    double min, max; /* KEY_COUNT, KEY_NUMBER */
};

static const struct model_key model_keys[] = {
    {"role", KEY_STRUCTURED, ALL_ROLES, true, 0, 0, 0, 0},
    {"name", KEY_TEXT, ALL_ROLES, true, FIELD(name), 0, 0},
    {"version", KEY_TEXT, ALL_ROLES, false, FIELD(version), 0, 0},
    {"family", KEY_TEXT, ALL_ROLES, true, FIELD(family), 0, 0},
    {"file", KEY_TEXT, ALL_ROLES, true, FIELD(file), 0, 0},
    {"sha256", KEY_TEXT, ALL_ROLES, false, FIELD(sha256), 0, 0},
    {"licence", KEY_TEXT, ALL_ROLES, false, FIELD(licence), 0, 0},
    {"provenance", KEY_TEXT, ALL_ROLES, false, FIELD(provenance), 0, 0},
    {"compiled_from", KEY_TEXT, ALL_ROLES, false, FIELD(compiled_from), 0, 0}, /* from version 2 on */
    {"compiled_by", KEY_TEXT, ALL_ROLES, false, FIELD(compiled_by), 0, 0},
    {"default", KEY_BOOL, ALL_ROLES, false, FIELD(is_default), 0, 0},
    {"input", KEY_STRUCTURED, ALL_ROLES, true, 0, 0, 0, 0},
    {"max_input_px", KEY_COUNT, ROLE(FRT_ROLE_DETECTOR), false, FIELD(max_input_px), 0, MAX_SIDE_PX},
    {"min_confidence", KEY_NUMBER, ROLE(FRT_ROLE_DETECTOR), true, FIELD(min_confidence), 0, 1},
    {"nms_iou", KEY_NUMBER, ROLE(FRT_ROLE_DETECTOR), true, FIELD(nms_iou), 0, 1},
    {"template", KEY_TEXT, ROLE(FRT_ROLE_EMBEDDER), true, FIELD(template_name), 0, 0},
    {"dim", KEY_COUNT, ROLE(FRT_ROLE_EMBEDDER), true, FIELD(dim), 1, MAX_DIM},
    {"map", KEY_STRUCTURED, ROLE(FRT_ROLE_EMBEDDER), false, 0, 0, 0, 0},
    {"centre", KEY_STRUCTURED, ROLE(FRT_ROLE_EMBEDDER), false, 0, 0, 0, 0},
    {"flip_average", KEY_BOOL, ROLE(FRT_ROLE_EMBEDDER), false, FIELD(flip_average), 0, 0},
    {"threshold", KEY_NUMBER, ROLE(FRT_ROLE_EMBEDDER), true, FIELD(threshold), -1, 1},
    {"threshold_fmr", KEY_NUMBER, ROLE(FRT_ROLE_EMBEDDER), false, FIELD(threshold_fmr), 0, 1},
    {"threshold_decade", KEY_NUMBER, ROLE(FRT_ROLE_EMBEDDER), false, FIELD(threshold_decade), 0, 1},
    {"crop_scale", KEY_NUMBER, CROP_ROLES, false, FIELD(crop_scale), 0, 10},
    {"labels", KEY_STRUCTURED, LABEL_ROLES, false, 0, 0, 0, 0},
    {"spoof_threshold", KEY_NUMBER, ROLE(FRT_ROLE_LIVENESS), false, FIELD(spoof_threshold), 0, 1},
    {"real_index", KEY_COUNT, ROLE(FRT_ROLE_LIVENESS), false, FIELD(real_index), 0, FRT_SPEC_MAX_LABELS - 1},
};
enum { N_MODEL_KEYS = sizeof model_keys / sizeof *model_keys };

static const char *const manifest_keys[] = {"format", "format_version", "name", "version", "models"};
static const char *const input_keys[] = {"width", "height", "color", "mean", "scale"};

static void *field_of(struct frt_model_spec *spec, const struct model_key *key)
{
    return (char *)spec + key->offset;
}

static const void *field_view(const struct frt_model_spec *spec, const struct model_key *key)
{
    return (const char *)spec + key->offset;
}

/* ------------------------------------------------------------- reading */

/* Where in the manifest: "model 3 (name)", for texts. */
struct place {
    char text[FRT_SPEC_NAME_MAX + 32];
};

static enum frt_status unknown_key(const char *where, const char *key, const char *const *known, size_t n_known,
                                   struct frt_error *err)
{
    const char *meant = frt_suggest(key, known, n_known);
    if (meant != NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: unknown key \"%s\"; did you mean \"%s\"?", where,
                        key, meant);
    return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: unknown key \"%s\"", where, key);
}

/* Members of an object are those of the list, each once. */
static enum frt_status check_keys(const struct frt_json_value *object, const char *where,
                                  const char *const *keys, size_t n_keys, struct frt_error *err)
{
    if (!frt_json_is_object(object))
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: an object would be right", where);
    for (const struct frt_json_value *m = frt_json_first(object); m != NULL; m = frt_json_next(m)) {
        const char *key = frt_json_key_of(m);
        size_t i = 0;
        while (i < n_keys && strcmp(key, keys[i]) != 0)
            i++;
        if (i == n_keys)
            return unknown_key(where, key, keys, n_keys, err);
        if (frt_json_get(object, key) != m)
            return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: the key \"%s\" stands twice", where, key);
    }
    return FRT_OK;
}

/* The same for a model, whose keys depend on its role. */
static enum frt_status check_model_keys(const struct frt_json_value *object, const char *where,
                                        enum frt_model_role role, struct frt_error *err)
{
    const char *known[N_MODEL_KEYS];
    size_t n_known = 0;
    for (size_t i = 0; i < N_MODEL_KEYS; i++) {
        if (model_keys[i].roles & ROLE(role))
            known[n_known++] = model_keys[i].key;
    }
    for (const struct frt_json_value *m = frt_json_first(object); m != NULL; m = frt_json_next(m)) {
        const char *key = frt_json_key_of(m);
        size_t i = 0;
        while (i < N_MODEL_KEYS && strcmp(key, model_keys[i].key) != 0)
            i++;
        if (i == N_MODEL_KEYS)
            return unknown_key(where, key, known, n_known, err);
        if (!(model_keys[i].roles & ROLE(role)))
            return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"%s\" is no key of the role %s", where, key,
                            role_names[role]);
        if (frt_json_get(object, key) != m)
            return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: the key \"%s\" stands twice", where, key);
    }
    return FRT_OK;
}

static enum frt_status read_text(const struct frt_json_value *value, const char *where, const char *key,
                                 bool required, size_t room, char *out, struct frt_error *err)
{
    const char *text = frt_json_text(value);
    if (value == NULL && !required)
        return FRT_OK;
    if (text == NULL || (required && text[0] == '\0'))
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"%s\" is %s; a text would be right", where, key,
                        value == NULL ? "missing" : (text != NULL ? "empty" : "no text"));
    if (strlen(text) >= room)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"%s\" has %zu bytes; at most %zu fit", where, key,
                        strlen(text), room - 1);
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"%s\" holds a control character", where, key);
    }
    memcpy(out, text, strlen(text) + 1);
    return FRT_OK;
}

static enum frt_status read_number(const struct frt_json_value *value, const char *where, const char *key,
                                   double min, double max, bool whole, double *out, struct frt_error *err)
{
    double number = frt_json_double(value, NAN);
    if (!(number >= min && number <= max) || (whole && number != floor(number)))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "manifest, %s: \"%s\" is %s; a %snumber from %g to %g would be right", where, key,
                        value == NULL ? "missing" : "another value", whole ? "whole " : "", min, max);
    *out = number;
    return FRT_OK;
}

/* A word of a list → its position. */
static enum frt_status read_word(const struct frt_json_value *value, const char *where, const char *key,
                                 const char *const *words, size_t n, unsigned *out, struct frt_error *err)
{
    const char *text = frt_json_text(value);
    char list[160] = "";
    for (size_t i = 0; i < n; i++) {
        if (text != NULL && strcmp(text, words[i]) == 0) {
            *out = (unsigned)i;
            return FRT_OK;
        }
        size_t at = strlen(list);
        (void)snprintf(list + at, sizeof list - at, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"%s\" is %s%s%s; one of %s would be right", where, key,
                    text != NULL ? "\"" : "", text != NULL ? text : (value == NULL ? "missing" : "no text"),
                    text != NULL ? "\"" : "", list);
}

/* Three numbers, one per channel. */
static enum frt_status read_channels(const struct frt_json_value *value, const char *where, const char *key,
                                     float out[3], struct frt_error *err)
{
    float numbers[3];
    unsigned n = 0;
    for (const struct frt_json_value *v = frt_json_first(value); v != NULL && n < 4; v = frt_json_next(v)) {
        double number = frt_json_double(v, NAN);
        if (n == 3 || !(fabs(number) <= 1e6)) {
            n = 4;
            break;
        }
        numbers[n++] = (float)number;
    }
    if (!frt_json_is_array(value) || n != 3)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "manifest, %s: \"%s\" is %s; three numbers, one per colour, would be right", where, key,
                        value == NULL ? "missing" : "another value");
    memcpy(out, numbers, sizeof numbers);
    return FRT_OK;
}

static enum frt_status read_input(const struct frt_json_value *value, const char *where,
                                  struct frt_model_input *out, struct frt_error *err)
{
    char place[sizeof(struct place) + 16];
    struct frt_model_input input = {0};
    double side = 0;
    unsigned color = 0;
    (void)snprintf(place, sizeof place, "%s, input", where);
    enum frt_status status = check_keys(value, place, input_keys, sizeof input_keys / sizeof *input_keys, err);
    if (status == FRT_OK && frt_json_get(value, "width") != NULL)
        status = read_number(frt_json_get(value, "width"), place, "width", 0, MAX_SIDE_PX, true, &side, err);
    input.width_px = (uint32_t)side;
    side = 0;
    if (status == FRT_OK && frt_json_get(value, "height") != NULL)
        status = read_number(frt_json_get(value, "height"), place, "height", 0, MAX_SIDE_PX, true, &side, err);
    input.height_px = (uint32_t)side;
    if (status == FRT_OK)
        status = read_word(frt_json_get(value, "color"), place, "color", color_names, 2, &color, err);
    input.color = color == 0 ? FRT_COLOR_RGB : FRT_COLOR_BGR;
    if (status == FRT_OK)
        status = read_channels(frt_json_get(value, "mean"), place, "mean", input.mean, err);
    if (status == FRT_OK)
        status = read_channels(frt_json_get(value, "scale"), place, "scale", input.scale, err);
    for (int c = 0; status == FRT_OK && c < 3; c++) {
        if (input.scale[c] == 0)
            status = frt_fail(err, FRT_EBAD_MODEL,
                              "manifest, %s: \"scale\" holds 0, which would erase a colour", place);
    }
    if (status == FRT_OK)
        *out = input;
    return status;
}

static enum frt_status read_labels(const struct frt_json_value *value, const char *where,
                                   struct frt_model_spec *spec, struct frt_error *err)
{
    if (value == NULL)
        return FRT_OK;
    size_t n = frt_json_count(value);
    if (!frt_json_is_array(value) || n < 1 || n > FRT_SPEC_MAX_LABELS)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"labels\" would be right with 1 to %d texts",
                        where, FRT_SPEC_MAX_LABELS);
    for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v)) {
        enum frt_status status =
            read_text(v, where, "labels", true, sizeof spec->labels[0], spec->labels[spec->n_labels], err);
        if (status != FRT_OK)
            return status;
        spec->n_labels++;
    }
    return FRT_OK;
}

/* The map and, where it needs one, the centre. */
static enum frt_status read_map(const struct frt_json_value *object, const char *where,
                                struct frt_model_spec *spec, struct frt_error *err)
{
    const struct frt_json_value *word = frt_json_get(object, "map"), *centre = frt_json_get(object, "centre");
    unsigned map = 0;
    enum frt_status status = FRT_OK;
    if (word != NULL)
        status = read_word(word, where, "map", map_names, 3, &map, err);
    if (status != FRT_OK)
        return status;
    spec->map = (enum frt_embedding_map)map;
    if (spec->map == FRT_MAP_L2)
        return centre == NULL
                   ? FRT_OK
                   : frt_fail(err, FRT_EBAD_MODEL,
                              "manifest, %s: \"centre\" stands without \"map\": \"center_l2\" or \"cap\"",
                              where);
    if (!frt_json_is_array(centre) || frt_json_count(centre) != spec->dim)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "manifest, %s: \"centre\" would be right with %u numbers, found %zu", where, spec->dim,
                        frt_json_count(centre));
    spec->centre = frt_alloc_array(spec->dim, sizeof *spec->centre);
    if (spec->centre == NULL)
        return frt_fail_nomem(err, "a manifest");
    size_t i = 0;
    for (const struct frt_json_value *v = frt_json_first(centre); v != NULL; v = frt_json_next(v)) {
        double number = frt_json_double(v, NAN);
        if (!(fabs(number) <= 1e6))
            return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: number %zu of \"centre\" is not finite", where,
                            i);
        spec->centre[i++] = (float)number;
    }
    return FRT_OK;
}

/* Relative, with plain components: "a/b.onnx" yes; "/a", "../a", "a//b", "a\b", "." no. */
static bool path_stays_inside(const char *path)
{
    for (const char *at = path;;) {
        size_t n = strcspn(at, "/");
        if (n == 0 || (n <= 2 && strncmp(at, "..", n) == 0) || memchr(at, '\\', n) != NULL)
            return false;
        if (at[n] == '\0')
            return true;
        at += n + 1;
    }
}

/* What must hold between the keys of one model. */
static enum frt_status check_model(const struct frt_model_spec *spec, const char *where, struct frt_error *err)
{
    size_t digits = strspn(spec->sha256, "0123456789abcdef"),
           digits_from = strspn(spec->compiled_from, "0123456789abcdef");
    if (!path_stays_inside(spec->file))
        return frt_fail(
            err, FRT_EBAD_MODEL,
            "manifest, %s: the file \"%s\" leads out of the pack's folder; a plain relative path would be "
            "right",
            where, spec->file);
    if (strcmp(spec->file, manifest_file) == 0)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: the file is the manifest itself", where);
    if (spec->sha256[0] != '\0' && (digits != 64 || spec->sha256[64] != '\0'))
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"sha256\" would be right with 64 digits of 0-9a-f",
                        where);
    if (spec->compiled_from[0] != '\0' && (digits_from != 64 || spec->compiled_from[64] != '\0'))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "manifest, %s: \"compiled_from\" would be right with 64 digits of 0-9a-f", where);
    if ((spec->input.width_px == 0) != (spec->input.height_px == 0))
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: input width and height are given both or neither",
                        where);
    if (spec->role == FRT_ROLE_LIVENESS && spec->n_labels > 0 && spec->real_index >= spec->n_labels)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"real_index\" is %u, there are %u labels", where,
                        spec->real_index, spec->n_labels);
    return FRT_OK;
}

static enum frt_status read_plain_key(const struct frt_json_value *object, const struct model_key *key,
                                      const char *where, struct frt_model_spec *spec, struct frt_error *err)
{
    const struct frt_json_value *value = frt_json_get(object, key->key);
    enum frt_status status = FRT_OK;
    double number = 0;
    if (key->kind == KEY_TEXT)
        return read_text(value, where, key->key, key->required, key->size, field_of(spec, key), err);
    if (value == NULL && !key->required)
        return FRT_OK;
    if (key->kind == KEY_BOOL) {
        if (!frt_json_is_bool(value))
            return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: \"%s\" is neither true nor false", where,
                            key->key);
        *(bool *)field_of(spec, key) = frt_json_truth(value, false);
        return FRT_OK;
    }
    status = read_number(value, where, key->key, key->min, key->max, key->kind == KEY_COUNT, &number, err);
    if (status != FRT_OK)
        return status;
    if (key->kind == KEY_COUNT)
        *(uint32_t *)field_of(spec, key) = (uint32_t)number;
    else
        *(float *)field_of(spec, key) = (float)number;
    return FRT_OK;
}

static enum frt_status read_model(const struct frt_json_value *object, uint32_t index,
                                  struct frt_model_spec *spec, struct frt_error *err)
{
    struct place place;
    unsigned role = 0;
    const char *name = frt_json_text(frt_json_get(object, "name"));
    (void)snprintf(place.text, sizeof place.text, "model %u%s%.*s%s", index + 1, name != NULL ? " (" : "",
                   FRT_SPEC_NAME_MAX, name != NULL ? name : "", name != NULL ? ")" : "");
    if (!frt_json_is_object(object))
        return frt_fail(err, FRT_EBAD_MODEL, "manifest, %s: an object would be right", place.text);
    enum frt_status status =
        read_word(frt_json_get(object, "role"), place.text, "role", role_names, FRT_ROLE_COUNT, &role, err);
    if (status != FRT_OK)
        return status;
    spec->role = (enum frt_model_role)role;
    status = check_model_keys(object, place.text, spec->role, err);
    for (size_t i = 0; i < N_MODEL_KEYS && status == FRT_OK; i++) {
        if (model_keys[i].kind != KEY_STRUCTURED && (model_keys[i].roles & ROLE(role)))
            status = read_plain_key(object, &model_keys[i], place.text, spec, err);
    }
    if (status == FRT_OK)
        status = read_input(frt_json_get(object, "input"), place.text, &spec->input, err);
    if (status == FRT_OK && spec->role == FRT_ROLE_EMBEDDER)
        status = read_map(object, place.text, spec, err);
    if (status == FRT_OK)
        status = read_labels(frt_json_get(object, "labels"), place.text, spec, err);
    if (status == FRT_OK)
        status = check_model(spec, place.text, err);
    return status;
}

/* What must hold between the models. */
static enum frt_status check_models(const struct frt_manifest *manifest, struct frt_error *err)
{
    for (uint32_t i = 0; i < manifest->n_models; i++) {
        const struct frt_model_spec *a = &manifest->models[i];
        for (uint32_t j = 0; j < i; j++) {
            const struct frt_model_spec *b = &manifest->models[j];
            if (strcmp(a->name, b->name) == 0)
                return frt_fail(err, FRT_EBAD_MODEL, "manifest: models %u and %u are both named \"%s\"", j + 1,
                                i + 1, a->name);
            if (a->role == b->role && a->is_default && b->is_default)
                return frt_fail(err, FRT_EBAD_MODEL, "manifest: \"%s\" and \"%s\" are both the default %s",
                                b->name, a->name, role_names[a->role]);
        }
    }
    return FRT_OK;
}

enum frt_status frt_manifest_from_json(const struct frt_json_value *root, struct frt_manifest **out,
                                       struct frt_error *err)
{
    struct frt_manifest *manifest = NULL;
    double version;
    const struct frt_json_value *models = frt_json_get(root, "models");
    const char *format = frt_json_text(frt_json_get(root, "format"));
    enum frt_status status =
        check_keys(root, "top level", manifest_keys, sizeof manifest_keys / sizeof *manifest_keys, err);
    if (status != FRT_OK)
        return status;
    if (format == NULL || strcmp(format, format_name) != 0)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest: \"format\" is not \"%s\"", format_name);
    status = read_number(frt_json_get(root, "format_version"), "top level", "format_version", FORMAT_VERSION,
                         COMPILED_VERSION, true, &version, err);
    if (status != FRT_OK)
        return status;
    if (!frt_json_is_array(models) || frt_json_count(models) < 1 ||
        frt_json_count(models) > FRT_PACK_MAX_MODELS)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest: \"models\" would be right with 1 to %d models",
                        FRT_PACK_MAX_MODELS);
    manifest = frt_alloc_zero(1, sizeof *manifest);
    if (manifest == NULL)
        return frt_fail_nomem(err, "a manifest");
    status = read_text(frt_json_get(root, "name"), "top level", "name", true, sizeof manifest->name,
                       manifest->name, err);
    if (status == FRT_OK)
        status = read_text(frt_json_get(root, "version"), "top level", "version", true,
                           sizeof manifest->version, manifest->version, err);
    for (const struct frt_json_value *m = frt_json_first(models); m != NULL && status == FRT_OK;
         m = frt_json_next(m)) {
        struct frt_model_spec *spec = &manifest->models[manifest->n_models];
        status = read_model(m, manifest->n_models++, spec, err); /* counted first: the free sees its centre */
    }
    if (status == FRT_OK)
        status = check_models(manifest, err);
    if (status == FRT_OK) {
        *out = manifest;
        manifest = NULL;
    }
    frt_manifest_free(manifest);
    return status;
}

enum frt_status frt_manifest_parse(const void *bytes, size_t size, struct frt_manifest **out,
                                   struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_manifest *manifest = NULL;
    if (size > MAX_MANIFEST_BYTES)
        return frt_fail(err, FRT_EBAD_MODEL, "manifest: %zu bytes; at most %d fit", size, MAX_MANIFEST_BYTES);
    enum frt_status status = frt_json_parse(bytes, size, &json, err);
    if (status != FRT_OK) /* what a file holds is the model's fault, not a request's */
        return frt_fail_within(err, status == FRT_EBAD_REQUEST ? FRT_EBAD_MODEL : status, "manifest");
    status = frt_manifest_from_json(frt_json_root(json), &manifest, err);
    if (status == FRT_OK) {
        frt_sha256_hex(bytes, size, manifest->id);
        *out = manifest;
    }
    frt_json_free(json);
    return status;
}

enum frt_status frt_manifest_load(const char *folder, struct frt_manifest **out, struct frt_error *err)
{
    char *path = NULL;
    uint8_t *bytes = NULL;
    size_t size;
    enum frt_status status = frt_model_path_join(folder, manifest_file, &path, err);
    if (status != FRT_OK)
        return status;
    status = frt_model_file_read(path, MAX_MANIFEST_BYTES, &bytes, &size, err);
    if (status != FRT_OK)
        goto done;
    status = frt_manifest_parse(bytes, size, out, err);
    if (status != FRT_OK)
        status = frt_fail_within(err, status, "%s", path);
done:
    frt_free(bytes);
    frt_free(path);
    return status;
}

void frt_manifest_free(struct frt_manifest *manifest)
{
    if (manifest == NULL)
        return;
    for (uint32_t i = 0; i < manifest->n_models; i++)
        frt_free(manifest->models[i].centre);
    frt_free(manifest);
}

const struct frt_model_spec *frt_manifest_find(const struct frt_manifest *manifest, enum frt_model_role role,
                                               const char *name)
{
    const struct frt_model_spec *first = NULL;
    for (uint32_t i = 0; i < manifest->n_models; i++) {
        const struct frt_model_spec *spec = &manifest->models[i];
        if (spec->role != role)
            continue;
        if (name == NULL ? spec->is_default : strcmp(spec->name, name) == 0)
            return spec;
        if (first == NULL)
            first = spec;
    }
    return name == NULL ? first : NULL; /* none is marked: the first of its role */
}

enum frt_status frt_manifest_verify(const struct frt_manifest *manifest, const char *folder,
                                    struct frt_error *err)
{
    for (uint32_t i = 0; i < manifest->n_models; i++) {
        const struct frt_model_spec *spec = &manifest->models[i];
        char *path = NULL, digest[FRT_SHA256_HEX_SIZE];
        if (spec->sha256[0] == '\0')
            continue;
        enum frt_status status = frt_model_path_join(folder, spec->file, &path, err);
        if (status != FRT_OK)
            return status;
        status = frt_sha256_file(path, digest, err);
        if (status == FRT_OK && strcmp(digest, spec->sha256) != 0)
            status = frt_fail(err, FRT_EBAD_MODEL,
                              "%s: SHA-256 is %s, the manifest pins %s; import or fetch it again", path, digest,
                              spec->sha256);
        frt_free(path);
        if (status != FRT_OK)
            return status;
    }
    return FRT_OK;
}

/* ------------------------------------------------------------- writing */

/* Shortest text that reads back as the same float: people edit manifests, 0.66 shall stay 0.66. */
static void write_float(struct frt_json_writer *writer, float value)
{
    char text[32];
    int n = 0;
    for (int digits = 1; digits <= 9; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    frt_json_raw(writer, text, (size_t)n);
}

static void write_floats(struct frt_json_writer *writer, const char *key, const float *values, size_t n)
{
    frt_json_key(writer, key);
    frt_json_array(writer);
    for (size_t i = 0; i < n; i++)
        write_float(writer, values[i]);
    frt_json_end(writer);
}

static void write_input(struct frt_json_writer *writer, const struct frt_model_input *input)
{
    frt_json_key(writer, "input");
    frt_json_object(writer);
    if (input->width_px != 0) {
        frt_json_key(writer, "width");
        frt_json_int(writer, input->width_px);
        frt_json_key(writer, "height");
        frt_json_int(writer, input->height_px);
    }
    frt_json_key(writer, "color");
    frt_json_string(writer, color_names[input->color]);
    write_floats(writer, "mean", input->mean, 3);
    write_floats(writer, "scale", input->scale, 3);
    frt_json_end(writer);
}

/* Optional keys that hold their zero value are left out. */
static void write_plain_key(struct frt_json_writer *writer, const struct model_key *key,
                            const struct frt_model_spec *spec)
{
    const void *field = field_view(spec, key);
    switch (key->kind) {
    case KEY_TEXT:
        if (key->required || *(const char *)field != '\0') {
            frt_json_key(writer, key->key);
            frt_json_string(writer, field);
        }
        break;
    case KEY_BOOL:
        if (*(const bool *)field) {
            frt_json_key(writer, key->key);
            frt_json_bool(writer, true);
        }
        break;
    case KEY_COUNT:
        if (key->required || *(const uint32_t *)field != 0) {
            frt_json_key(writer, key->key);
            frt_json_int(writer, *(const uint32_t *)field);
        }
        break;
    case KEY_NUMBER:
        if (key->required || *(const float *)field != 0) {
            frt_json_key(writer, key->key);
            write_float(writer, *(const float *)field);
        }
        break;
    case KEY_STRUCTURED:
        break;
    }
}

static void write_structured_key(struct frt_json_writer *writer, const char *key,
                                 const struct frt_model_spec *spec)
{
    if (strcmp(key, "role") == 0) {
        frt_json_key(writer, key);
        frt_json_string(writer, frt_model_role_name(spec->role));
    } else if (strcmp(key, "input") == 0) {
        write_input(writer, &spec->input);
    } else if (strcmp(key, "map") == 0) {
        frt_json_key(writer, key);
        frt_json_string(writer, map_names[spec->map]);
    } else if (strcmp(key, "centre") == 0 && spec->map != FRT_MAP_L2 && spec->centre != NULL) {
        write_floats(writer, key, spec->centre, spec->dim);
    } else if (strcmp(key, "labels") == 0 && spec->n_labels > 0) {
        frt_json_key(writer, key);
        frt_json_array(writer);
        for (uint32_t i = 0; i < spec->n_labels; i++)
            frt_json_string(writer, spec->labels[i]);
        frt_json_end(writer);
    }
}

/* The oldest that has all keys: older programs read what they can. */
static int64_t version_needed(const struct frt_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->n_models; i++)
        if (manifest->models[i].compiled_from[0] != '\0' || manifest->models[i].compiled_by[0] != '\0' ||
            manifest->models[i].role == FRT_ROLE_QUALITY)
            return COMPILED_VERSION;
    return FORMAT_VERSION;
}

enum frt_status frt_manifest_print(const struct frt_manifest *manifest, struct frt_buf *out)
{
    struct frt_json_writer writer;
    frt_json_writer_init(&writer, out, true);
    frt_json_object(&writer);
    frt_json_key(&writer, "format");
    frt_json_string(&writer, format_name);
    frt_json_key(&writer, "format_version");
    frt_json_int(&writer, version_needed(manifest));
    frt_json_key(&writer, "name");
    frt_json_string(&writer, manifest->name);
    frt_json_key(&writer, "version");
    frt_json_string(&writer, manifest->version);
    frt_json_key(&writer, "models");
    frt_json_array(&writer);
    for (uint32_t i = 0; i < manifest->n_models; i++) {
        const struct frt_model_spec *spec = &manifest->models[i];
        frt_json_object(&writer);
        for (size_t k = 0; k < N_MODEL_KEYS; k++) {
            if (!(model_keys[k].roles & ROLE(spec->role)))
                continue;
            if (model_keys[k].kind == KEY_STRUCTURED)
                write_structured_key(&writer, model_keys[k].key, spec);
            else
                write_plain_key(&writer, &model_keys[k], spec);
        }
        frt_json_end(&writer);
    }
    frt_json_end(&writer);
    frt_json_end(&writer);
    frt_buf_append_char(out, '\n');
    return frt_buf_status(out);
}

enum frt_status frt_manifest_save(const struct frt_manifest *manifest, const char *folder,
                                  struct frt_error *err)
{
    struct frt_buf text;
    struct frt_staged_file staged = {0};
    struct frt_manifest *again = NULL;
    frt_buf_init(&text, MAX_MANIFEST_BYTES);
    enum frt_status status = frt_manifest_print(manifest, &text);
    if (status != FRT_OK) {
        status = frt_fail(err, status, "manifest: cannot be written out");
        goto done;
    }
    /* what is written can be read: a spec filled wrongly is found here, not at the next start */
    status = frt_manifest_parse(text.data, text.size, &again, err);
    if (status == FRT_OK)
        status = frt_staged_file_write(folder, manifest_file, text.data, text.size, &staged, err);
    if (status == FRT_OK)
        status = frt_staged_file_commit(&staged, err);
    if (status == FRT_OK)
        status = frt_model_folder_sync(folder, err);
done:
    frt_manifest_free(again);
    frt_staged_file_deinit(&staged);
    frt_buf_deinit(&text);
    return status;
}
