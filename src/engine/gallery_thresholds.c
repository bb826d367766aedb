#include "engine/gallery_thresholds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The collection's table, if it has one that can be read and is of its model. */
static const struct frt_threshold_table *own_table(const struct frt_store_collection *row,
                                                   struct frt_threshold_table *out)
{
    struct frt_error why;
    char model[2 * FRT_TABLE_NAME + 1];
    if (row->calibration == NULL || row->calibration[0] == '\0' ||
        frt_threshold_table_parse(row->calibration, strlen(row->calibration), out, &why) != FRT_OK)
        return NULL;
    (void)snprintf(model, sizeof model, "%s %s", out->embedder, out->version);
    return out->dim == row->dim && strcmp(model, row->model) == 0 ? out : NULL;
}

void gallery_thresholds_make(const struct frt_store_collection *row, const struct frt_threshold_basis *basis,
                             bool every_face, struct gallery_thresholds *out)
{
    const bool fits = basis != NULL && (row->dim == 0 || strcmp(basis->model, row->model) == 0);
    const double people = (double)row->subjects, faces = (double)row->faces;
    const struct frt_gallery_size size = {.people = every_face ? faces : people,
                                          .enrolled = every_face || people < 1 ? 1 : faces / people};
    out->rule = frt_threshold_rule_make(fits ? basis : NULL, own_table(row, &out->own), row->threshold,
                                        row->target_fpir, &size);
}
