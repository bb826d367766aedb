/* Does a threshold found on some people hold among others? */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "engine/calibrate.h"

/* Half of the people, as a study of its own. */
struct half {
    float *vectors;
    uint32_t *person;
    struct frt_labelled labelled;
    struct frt_calibration found;
};

static void half_deinit(struct half *h)
{
    frt_free(h->vectors);
    frt_free(h->person);
    frt_calibration_deinit(&h->found);
}

/* side: [people], 0 or 1. */
static enum frt_status half_init(const struct frt_labelled *all, const unsigned char *side, unsigned which,
                                 struct half *h, struct frt_error *err)
{
    size_t n = 0, total = 0;
    uint32_t who = 0, last = 0;
    for (size_t i = 0; i < all->n; i++)
        n += side[all->person[i]] == which ? 1 : 0;
    if (n > 0 && frt_mul_size(n, all->dim, &total))
        h->vectors = frt_alloc_array(total, sizeof *h->vectors);
    h->person = n > 0 ? frt_alloc_array(n, sizeof *h->person) : NULL;
    if (h->vectors == NULL || h->person == NULL)
        return frt_fail_nomem(err, "half of the people");
    n = 0;
    for (size_t i = 0; i < all->n; i++) {
        if (side[all->person[i]] != which)
            continue;
        who += n > 0 && all->person[i] != last ? 1 : 0;
        last = all->person[i];
        memcpy(h->vectors + n * all->dim, all->vectors + i * all->dim, all->dim * sizeof *h->vectors);
        h->person[n++] = who;
    }
    h->labelled = *all;
    h->labelled.vectors = h->vectors;
    h->labelled.person = h->person;
    h->labelled.n = n;
    return FRT_OK;
}

static void add(struct frt_calibration *out, const struct frt_half_row *row)
{
    struct frt_half_row r = *row;
    r.agree = r.low <= r.other_high && r.other_low <= r.high;
    if (out->n_halves < FRT_CALIBRATE_HALVES && !isnan(r.threshold) && !isnan(r.other))
        out->halves[out->n_halves++] = r;
}

/* Rows for two photos: thresholds of `a`, rates of the comparisons of `b`. */
static void compare_pairs(const struct half *a, const struct half *b, const struct frt_comparisons *pairs,
                          struct frt_calibration *out)
{
    static const double targets[] = {1e-2, 1e-3, 1e-4};
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++)
        for (size_t i = 0; i < a->found.table.n_rows && i < b->found.table.n_rows; i++) {
            const struct frt_table_row *mine = &a->found.table.rows[i], *theirs = &b->found.table.rows[i];
            if (mine->fmr != targets[t] || theirs->fmr != targets[t])
                continue;
            add(out, &(struct frt_half_row){.target = targets[t],
                                            .threshold = mine->threshold,
                                            .low = mine->low,
                                            .high = mine->high,
                                            .found = frt_false_match_rate(pairs, mine->threshold),
                                            .other = theirs->threshold,
                                            .other_low = theirs->low,
                                            .other_high = theirs->high});
        }
}

/* Rows for searches of one photo a person, in galleries that the other half can form. */
static enum frt_status compare_searches(const struct half *a, const struct half *b,
                                        const struct frt_comparisons *searches, struct frt_calibration *out,
                                        struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < a->found.n_gallery && i < b->found.n_gallery && status == FRT_OK; i++) {
        const struct frt_gallery_row *mine = &a->found.gallery[i], *theirs = &b->found.gallery[i];
        double rate = (double)NAN;
        if (mine->people != theirs->people || mine->people >= searches->n_people ||
            mine->fpir != theirs->fpir || isnan(mine->threshold))
            continue;
        status = frt_open_set_rates(searches, NULL, mine->people, &mine->threshold, 1, &rate, err);
        if (status == FRT_OK)
            add(out, &(struct frt_half_row){.people = mine->people,
                                            .target = mine->fpir,
                                            .threshold = mine->threshold,
                                            .low = mine->low,
                                            .high = mine->high,
                                            .found = rate,
                                            .other = theirs->threshold,
                                            .other_low = theirs->low,
                                            .other_high = theirs->high});
    }
    return status;
}

static enum frt_status see(const struct half *a, const struct half *b, uint64_t seed,
                           struct frt_calibration *out, struct frt_error *err)
{
    struct frt_comparisons different = {0};
    struct frt_mates same = {0};
    enum frt_status status = frt_compare_pairs(&b->labelled, &different, &same, err);
    if (status != FRT_OK)
        return status;
    compare_pairs(a, b, &different, out);
    frt_comparisons_deinit(&different);
    frt_mates_deinit(&same);
    status = frt_compare_searches(&b->labelled, 1, &seed, &different, &same, err);
    if (status == FRT_OK)
        status = compare_searches(a, b, &different, out, err);
    frt_comparisons_deinit(&different);
    frt_mates_deinit(&same);
    return status;
}

enum frt_status frt_calibrate_halves(const struct frt_labelled *labelled,
                                     const struct frt_calibrate_options *options, struct frt_calibration *out,
                                     struct frt_error *err)
{
    const size_t people = labelled->n > 0 ? (size_t)labelled->person[labelled->n - 1] + 1 : 0;
    const struct frt_calibrate_options own = {.seed = options->seed,
                                              .samples = options->samples,
                                              .max_photos = options->max_photos,
                                              .people = people / 2 - people / 10,
                                              .enrolled = 1,
                                              .cancelled = options->cancelled,
                                              .cancelled_arg = options->cancelled_arg};
    struct half halves[2] = {0};
    uint64_t state = options->seed;
    size_t *order = people > 0 ? frt_alloc_array(people, sizeof *order) : NULL;
    unsigned char *side = people > 0 ? frt_alloc_zero(people, 1) : NULL;
    enum frt_status status = FRT_OK;
    out->n_halves = 0;
    if (order == NULL || side == NULL) {
        status = people == 0 ? frt_fail(err, FRT_EBAD_REQUEST, "there are no photos")
                             : frt_fail_nomem(err, "halves");
        goto done;
    }
    for (size_t p = 0; p < people; p++)
        order[p] = p;
    frt_seeded_shuffle(order, people, &state);
    for (size_t p = 0; p < people / 2; p++)
        side[order[p]] = 1;
    for (unsigned h = 0; h < 2 && status == FRT_OK; h++) {
        status = half_init(labelled, side, h, &halves[h], err);
        if (status == FRT_OK)
            status = frt_calibrate_embedded(&halves[h].labelled, &own, &halves[h].found, err);
    }
    for (unsigned h = 0; h < 2 && status == FRT_OK; h++)
        status = see(&halves[h], &halves[1 - h], options->seed, out, err);
done:
    half_deinit(&halves[0]);
    half_deinit(&halves[1]);
    frt_free(order);
    frt_free(side);
    return status;
}
