#include "engine/threshold_basis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "engine/built_in_tables.h"
#include "engine/pack_locate.h"
#include "model/compile.h"
#include "model/model_file.h"

static const double default_fpir = 0.01;

/* ----------------------------------------------------------------- finding */

static bool of_original(const struct frt_threshold_table *table, const struct frt_model_spec *embedder)
{
    const size_t n = strlen(table->version);
    if (embedder->compiled_from[0] == '\0')
        return false;
    return strcmp(table->sha256, embedder->compiled_from) == 0 ||
           (strcmp(table->embedder, embedder->name) == 0 &&
            strncmp(table->version, embedder->version, n) == 0 &&
            strcmp(embedder->version + n, FRT_INT8_SUFFIX) == 0);
}

static enum frt_table_match matches(const struct frt_threshold_table *table,
                                    const struct frt_model_spec *embedder)
{
    if (table->dim != embedder->dim)
        return FRT_TABLE_NONE;
    if (table->sha256[0] != '\0' && strcmp(table->sha256, embedder->sha256) == 0)
        return FRT_TABLE_BY_FILE;
    if (strcmp(table->embedder, embedder->name) == 0 && strcmp(table->version, embedder->version) == 0)
        return FRT_TABLE_BY_NAME;
    return of_original(table, embedder) ? FRT_TABLE_BY_ORIGINAL : FRT_TABLE_NONE;
}

const char *frt_table_match_name(enum frt_table_match match)
{
    static const char *const names[] = {"", "original", "name", "file"};
    return (unsigned)match < sizeof names / sizeof *names ? names[(unsigned)match] : "";
}

static enum frt_status beside_manifest(const char *folder, const struct frt_model_spec *embedder,
                                       struct frt_threshold_basis *basis, struct frt_error *err)
{
    char *path = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum frt_status status = frt_model_path_join(folder, FRT_THRESHOLDS_FILE, &path, err);
    if (status != FRT_OK)
        return status;
    status = frt_model_file_read(path, FRT_TABLE_MAX_BYTES, &bytes, &size, err);
    if (status == FRT_ENOTFOUND) {
        frt_free(path);
        return FRT_OK;
    }
    if (status == FRT_OK)
        status = frt_threshold_table_parse((const char *)bytes, size, &basis->table, err);
    if (status == FRT_OK) {
        basis->match = matches(&basis->table, embedder);
        basis->beside = true;
        if (basis->match == FRT_TABLE_NONE)
            status = frt_fail(
                err, FRT_EBAD_MODEL,
                "the table is of the embedder %s %s, the pack's is %s %s; remove it, or make it anew with "
                "'frt calibrate --apply'",
                basis->table.embedder, basis->table.version, embedder->name, embedder->version);
    } else if (status == FRT_EBAD_REQUEST) {
        status = frt_fail_within(err, FRT_EBAD_MODEL, "a table that cannot be read");
    }
    if (status != FRT_OK)
        status = frt_fail_within(err, status == FRT_EBAD_REQUEST ? FRT_EBAD_MODEL : status, "%s", path);
    frt_free(bytes);
    frt_free(path);
    return status;
}

/* The file's own table wins over one of the same name, and of several that of the same detector. */
static enum frt_status compiled_in(const struct frt_model_spec *embedder, const struct frt_model_spec *detector,
                                   struct frt_threshold_basis *basis, struct frt_error *err)
{
    struct frt_threshold_table table;
    for (size_t i = 0; frt_built_in_tables[i].text != NULL; i++) {
        enum frt_status status = frt_threshold_table_parse((const char *)frt_built_in_tables[i].text,
                                                           *frt_built_in_tables[i].size, &table, err);
        if (status != FRT_OK)
            return status == FRT_ENOMEM ? status : frt_fail_within(err, FRT_EINTERNAL, "table %zu", i);
        const enum frt_table_match match = matches(&table, embedder);
        const bool same_detector = detector != NULL && strcmp(table.detector, detector->name) == 0;
        if (match > basis->match || (match == basis->match && match != FRT_TABLE_NONE && same_detector)) {
            basis->match = match;
            basis->table = table;
        }
    }
    return FRT_OK;
}

enum frt_status frt_threshold_basis_load(const char *folder, const struct frt_manifest *manifest,
                                         struct frt_threshold_basis *out, struct frt_error *err)
{
    struct frt_threshold_basis basis = {0};
    const struct frt_model_spec *embedder = frt_manifest_find(manifest, FRT_ROLE_EMBEDDER, NULL);
    enum frt_status status = FRT_OK;
    if (embedder != NULL) {
        basis.manifest = (struct frt_threshold_curve){embedder->threshold, embedder->threshold_fmr,
                                                      embedder->threshold_decade};
        (void)snprintf(basis.model, sizeof basis.model, "%s %s", embedder->name, embedder->version);
        status = beside_manifest(folder, embedder, &basis, err);
        if (status == FRT_OK && basis.match == FRT_TABLE_NONE)
            status = compiled_in(embedder, frt_manifest_find(manifest, FRT_ROLE_DETECTOR, NULL), &basis, err);
    }
    if (status == FRT_OK)
        *out = basis;
    return status;
}

enum frt_status frt_threshold_basis_of_pack(const char *path, struct frt_threshold_basis *out,
                                            struct frt_error *err)
{
    char located[FRT_LOCATE_PATH_MAX];
    struct frt_manifest *manifest = NULL;
    enum frt_status status = FRT_OK;
    if (path == NULL || path[0] == '\0') {
        status = frt_pack_locate(located, err);
        path = located;
    }
    if (status == FRT_OK)
        status = frt_manifest_load(path, &manifest, err);
    if (status == FRT_OK)
        status = frt_threshold_basis_load(path, manifest, out, err);
    frt_manifest_free(manifest);
    return status;
}

/* ------------------------------------------------------------------- rules */

const char *frt_threshold_source_name(enum frt_threshold_source source)
{
    static const char *const names[] = {"set", "collection", "pack", "manifest", "pairs"};
    return (unsigned)source < sizeof names / sizeof *names ? names[(unsigned)source] : "pairs";
}

struct frt_threshold_rule frt_threshold_rule_make(const struct frt_threshold_basis *basis,
                                                  const struct frt_threshold_table *own, float set,
                                                  double target_fpir, const struct frt_gallery_size *size)
{
    struct frt_threshold_rule rule = {
        .target_fpir = target_fpir > 0 && target_fpir <= 1 ? target_fpir : default_fpir, .size = *size};
    if (own != NULL) {
        rule.table = own;
        rule.match = FRT_TABLE_BY_FILE;
    } else if (basis != NULL && basis->match != FRT_TABLE_NONE) {
        rule.table = &basis->table;
        rule.match = basis->match;
    }
    if (!isnan(set)) {
        rule.threshold = set;
        rule.source = FRT_THRESHOLD_SET;
        return rule;
    }
    if (rule.table == NULL) {
        const bool line = basis != NULL && basis->manifest.fmr > 0 && basis->manifest.decade > 0;
        rule.source = line ? FRT_THRESHOLD_MANIFEST : FRT_THRESHOLD_PAIRS;
        rule.threshold = basis != NULL ? frt_search_threshold(&basis->manifest, (uint64_t)fmax(size->people, 0),
                                                              rule.target_fpir)
                                       : NAN;
        return rule;
    }
    rule.source = own != NULL ? FRT_THRESHOLD_COLLECTION : FRT_THRESHOLD_PACK;
    rule.threshold = frt_table_threshold(
        rule.table, size->enrolled, frt_rate_for_gallery(size->people, rule.target_fpir), &rule.extrapolated);
    if (basis != NULL && rule.threshold < basis->manifest.threshold) {
        rule.threshold = basis->manifest.threshold;
        rule.raised = true;
        rule.extrapolated = false;
    }
    return rule;
}

double frt_false_match_probability(const struct frt_threshold_rule *rule, float similarity)
{
    if (rule->table == NULL)
        return (double)NAN;
    return frt_gallery_rate(rule->size.people, frt_table_rate(rule->table, rule->size.enrolled, similarity));
}
