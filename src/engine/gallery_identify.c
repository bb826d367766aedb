/*
 * Who is this?
 *
 *     embeddings ─ index: candidates, best first ─ subjects: their rows and exact embeddings ─ exact cosine
 *                ─ one per subject (unless every face is wanted) ─ thresholds ─ matches, or unknown
 *
 * The index says where to look; what is answered is computed from the store's own embeddings, remembered by
 * gallery_subjects.h as long as nothing in the collection has changed: a similarity is exact, a face that was
 * deleted is not named, and a renamed subject has its new name.
 *
 * The index is asked for more than top_k, as several faces may be of one subject; when they all were, it is
 * asked again for four times as many.
 *
 * A fused score, the default: of the subjects that lead by their best face, the normalised mean of their faces
 * is compared. It misses fewer people at the same rate of strangers named (docs/eval.md).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/trace.h"
#include "engine/at_hand.h"
#include "engine/faces.h"
#include "engine/gallery_subjects.h"
#include "engine/gallery_thresholds.h"
#include "engine/pack.h"
#include "simd/dot.h"

enum {
    DEFAULT_TOP_K = 5,
    MAX_TOP_K = 1000,
    FIRST_EXTRA = 8, /* candidates beyond twice top_k */
    MAX_FUSED_SUBJECTS = 32,
    MAX_BORROWED = 2 * MAX_FUSED_SUBJECTS, /* further hits are read by key: nobody asks for their other faces */
    AT_HAND_VECTORS = 16384,               /* × queries: the largest search that takes well under a ms */
    MAX_FACES = 1000
};

/* Faces with a threshold of their own may be accepted from here on (adaptive ones lie between 0.4 and 0.6). */
static const float lowest_own_threshold = 0.3f;
/* The mean m of a subject's faces is nearer to a probe than the best of them by at most 1 / |m|, which for
 * faces of one person (cosine 0.55 and more among themselves) is under 1.34. */
static const float fused_share = 0.75f;
/* No sample tells of less; and 0 stands for "not known". */
static const double least_probability = 1e-12;

/* ------------------------------------------------------------------ results */

static void forget_matches(struct frt_identified_face *face)
{
    for (size_t j = 0; j < face->n_matches; j++) {
        frt_free(face->matches[j].face_id);
        frt_free(face->matches[j].subject);
        frt_free(face->matches[j].metadata);
    }
    frt_free(face->matches);
    face->matches = NULL;
    face->n_matches = 0;
    face->known = false;
}

void frt_identified_deinit(struct frt_identified *identified)
{
    for (size_t i = 0; i < identified->n; i++)
        forget_matches(&identified->faces[i]);
    frt_free(identified->faces);
    *identified = (struct frt_identified){0};
}

/* A row of the store, whose it is, and how similar it is. */
struct candidate {
    const struct frt_store_face *row;
    const struct gallery_subject *subject; /* NULL: nothing to fuse */
    float similarity;
};

static int most_similar_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? 1 : -1;
    return (x->row->key > y->row->key) - (x->row->key < y->row->key);
}

/* ------------------------------------------------------------------- asking */

struct asking {
    struct frt_gallery *gallery;
    struct gallery_index *index;
    struct gallery_entry *entry;
    const struct frt_store_collection *collection;
    const struct frt_identify_options *options;
    float default_threshold;
    const struct frt_threshold_rule *rule;
    uint32_t top_k, dim;
    bool fused;
    bool at_hand; /* from memory alone, or FRT_EUNAVAILABLE */
    bool *lost;   /* set: a hit is in the store no more */
};

static float threshold_of(const struct asking *ask, const struct frt_store_face *row)
{
    if (ask->options->threshold_set)
        return ask->options->threshold;
    if (!isnan(row->threshold))
        return row->threshold;
    return !isnan(ask->collection->threshold) ? ask->collection->threshold : ask->default_threshold;
}

/* Below this nothing can be in the answer. */
static float least_score(const struct asking *ask)
{
    if (ask->options->candidates)
        return -1;
    float least = ask->options->threshold_set          ? ask->options->threshold
                  : !isnan(ask->collection->threshold) ? ask->collection->threshold
                                                       : ask->default_threshold;
    if (ask->fused && least > 0)
        least *= fused_share;
    if (!ask->options->threshold_set && least > lowest_own_threshold)
        least = lowest_own_threshold;
    least -= frt_index_stats_get(ask->index->index).score_error;
    return least > -1 ? least : -1;
}

/* Who the hits of one query are: rows of borrowed subjects, and of faces beyond a subject's remembered ones. */
struct gathered {
    struct {
        uint32_t group;
        struct gallery_subject_loan borrowed;
    } * subjects;
    size_t n_subjects;
    struct frt_store_page *page;
    struct candidate *list;
    size_t n;
};

static void gathered_deinit(const struct asking *ask, struct gathered *g)
{
    for (size_t i = 0; i < g->n_subjects; i++)
        gallery_subject_return(ask->gallery, &g->subjects[i].borrowed);
    frt_free(g->subjects);
    frt_free(g->list);
    frt_store_page_free(g->page);
}

static enum frt_status borrow(const struct asking *ask, struct gathered *g, uint32_t group,
                              const struct gallery_subject **out, struct frt_error *err)
{
    size_t i = g->n_subjects;
    while (i > 0 && g->subjects[i - 1].group != group)
        i--;
    if (i == 0) {
        i = g->n_subjects + 1;
        g->subjects[i - 1].group = group;
        enum frt_status status = gallery_subject_get(ask->gallery, ask->collection, group, ask->at_hand,
                                                     &g->subjects[i - 1].borrowed, err);
        if (status != FRT_OK)
            return status;
        g->n_subjects = i;
    }
    *out = g->subjects[i - 1].borrowed.subject;
    return FRT_OK;
}

/* Hits that no subject has among its first faces, from the store. */
static enum frt_status gather_rest(const struct asking *ask, const uint64_t *keys, size_t n, struct gathered *g,
                                   struct frt_error *err)
{
    size_t rows = 0;
    if (n == 0)
        return FRT_OK;
    if (ask->at_hand)
        return frt_fail(err, FRT_EUNAVAILABLE, "a face is not at hand");
    enum frt_status status =
        frt_store_faces_by_key(ask->gallery->store, ask->collection->key, keys, n, true, &g->page, err);
    if (status != FRT_OK)
        return status;
    const struct frt_store_face *faces = frt_store_page_faces(g->page, &rows);
    *ask->lost = *ask->lost || rows < n;
    for (size_t i = 0; i < rows; i++) {
        struct candidate *candidate = &g->list[g->n++];
        *candidate = (struct candidate){.row = &faces[i]};
        for (size_t j = 0; j < g->n_subjects && candidate->subject == NULL; j++) {
            const struct gallery_subject *subject = g->subjects[j].borrowed.subject;
            if (subject->n > 0 && subject->faces[0].subject_key == faces[i].subject_key)
                candidate->subject = subject;
        }
    }
    return FRT_OK;
}

/* The hits' rows, in no order. */
static enum frt_status gather(const struct asking *ask, const struct frt_index_hit *hits, size_t n,
                              struct gathered *g, struct frt_error *err)
{
    uint64_t *keys = frt_alloc_array(n + 1, sizeof *keys);
    size_t missing = 0;
    enum frt_status status = FRT_OK;
    g->subjects = frt_alloc_array(n + 1, sizeof *g->subjects); /* one a hit at most, fused ones included */
    g->list = frt_alloc_array(n + 1, sizeof *g->list);
    if (keys == NULL || g->subjects == NULL || g->list == NULL) {
        frt_free(keys);
        return frt_fail_nomem(err, "candidates");
    }
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        const struct gallery_subject *subject = NULL;
        if (g->n_subjects < MAX_BORROWED)
            status = borrow(ask, g, hits[i].group, &subject, err);
        const struct frt_store_face *face = subject != NULL ? gallery_subject_face(subject, hits[i].key) : NULL;
        if (face != NULL)
            g->list[g->n++] = (struct candidate){.row = face, .subject = subject};
        else
            keys[missing++] = hits[i].key;
    }
    if (status == FRT_OK)
        status = gather_rest(ask, keys, missing, g, err);
    frt_free(keys);
    return status;
}

/* Exact similarities, most similar first. Several faces of a subject are one unless every face counts. */
static void rank(const struct asking *ask, const float *query, struct gathered *g)
{
    size_t kept = 0;
    for (size_t i = 0; i < g->n; i++)
        g->list[i].similarity = frt_dot_f32(query, g->list[i].row->embedding, ask->dim);
    qsort(g->list, g->n, sizeof *g->list, most_similar_first);
    for (size_t i = 0; i < g->n; i++) {
        bool again = false;
        for (size_t j = 0; !ask->options->every_face && j < kept && !again; j++)
            again = g->list[j].row->subject_key == g->list[i].row->subject_key;
        if (!again)
            g->list[kept++] = g->list[i];
    }
    g->n = kept;
}

/* Similarity to the normalised mean of a subject's faces. */
static enum frt_status fuse(const struct asking *ask, const float *query, struct gathered *g,
                            struct candidate *candidate, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (candidate->subject == NULL)
        status = borrow(ask, g, (uint32_t)candidate->row->subject_key, &candidate->subject, err);
    if (status == FRT_OK && candidate->subject->fused != NULL &&
        candidate->subject->faces[0].subject_key == candidate->row->subject_key)
        candidate->similarity = frt_dot_f32(query, candidate->subject->fused, ask->dim);
    return status;
}

static double false_match(const struct asking *ask, float similarity)
{
    const double share =
        ask->options->probability ? frt_false_match_probability(ask->rule, similarity) : (double)NAN;
    return isnan(share) ? 0 : fmax(share, least_probability);
}

static enum frt_status write_matches(const struct asking *ask, const struct candidate *list, size_t n,
                                     struct frt_identified_face *out, struct frt_error *err)
{
    if (n > 0) {
        out->matches = frt_alloc_zero(n < ask->top_k ? n : ask->top_k, sizeof *out->matches);
        if (out->matches == NULL)
            return frt_fail_nomem(err, "matches");
    }
    for (size_t i = 0; i < n && out->n_matches < ask->top_k; i++) {
        const struct frt_store_face *row = list[i].row;
        const float threshold = threshold_of(ask, row);
        const bool match = list[i].similarity >= threshold;
        if (!match && !ask->options->candidates)
            continue;
        struct frt_match *m = &out->matches[out->n_matches++];
        *m = (struct frt_match){.similarity = list[i].similarity,
                                .distance = frt_distance(list[i].similarity),
                                .threshold = threshold,
                                .match = match,
                                .false_match_probability = false_match(ask, list[i].similarity)};
        m->face_id = frt_strdup(row->face_id);
        m->subject = frt_strdup(row->subject);
        m->metadata = frt_strdup(row->metadata[0] != '\0' ? row->metadata : "{}");
        if (m->face_id == NULL || m->subject == NULL || m->metadata == NULL)
            return frt_fail_nomem(err, "matches");
        out->known = out->known || match;
    }
    return FRT_OK;
}

/* From the hits of one query to its answer. *more: all hits were used up before top_k was reached. */
static enum frt_status answer(const struct asking *ask, const float *query, const struct frt_index_hit *hits,
                              size_t n, bool complete, bool *more, struct frt_identified_face *out,
                              struct frt_error *err)
{
    struct gathered g = {0};
    enum frt_status status = gather(ask, hits, n, &g, err);
    if (status == FRT_OK)
        rank(ask, query, &g);
    *more = status == FRT_OK && !complete && g.n < ask->top_k;
    if (status == FRT_OK && !*more) {
        const size_t fused = ask->fused ? (g.n < MAX_FUSED_SUBJECTS ? g.n : MAX_FUSED_SUBJECTS) : 0;
        for (size_t i = 0; i < fused && status == FRT_OK; i++)
            status = fuse(ask, query, &g, &g.list[i], err);
        if (fused > 0)
            qsort(g.list, g.n, sizeof *g.list, most_similar_first);
        if (status == FRT_OK)
            status = write_matches(ask, g.list, g.n, out, err);
    }
    gathered_deinit(ask, &g);
    return status;
}

/* The index is asked for all queries in one pass; those whose hits were all of too few subjects are asked
 * again. */
static enum frt_status ask_all(struct asking *ask, const float *queries, size_t n,
                               struct frt_identified_face *out, struct frt_error *err)
{
    const float least = least_score(ask);
    uint32_t k = ask->options->every_face ? ask->top_k + FIRST_EXTRA : 2 * ask->top_k + FIRST_EXTRA;
    struct frt_index_hit *hits = NULL;
    size_t *n_hits = NULL;
    enum frt_status status = FRT_OK;
    hits = frt_alloc_array((size_t)FRT_INDEX_MAX_QUERIES * k, sizeof *hits);
    n_hits = frt_alloc_array(FRT_INDEX_MAX_QUERIES, sizeof *n_hits);
    if (hits == NULL || n_hits == NULL) {
        status = frt_fail_nomem(err, "hits");
        goto done;
    }
    for (size_t first = 0; first < n && status == FRT_OK; first += FRT_INDEX_MAX_QUERIES) {
        const size_t count = n - first < FRT_INDEX_MAX_QUERIES ? n - first : FRT_INDEX_MAX_QUERIES;
        const struct frt_index_query query = {.vectors = queries + first * ask->dim,
                                              .n = count,
                                              .k = k,
                                              .min_score = least,
                                              .one_thread = ask->at_hand};
        int span = frt_trace_begin("search");
        status = frt_index_search(ask->index->index, &query, hits, n_hits, err);
        frt_trace_end(span, NULL);
        for (size_t i = 0; i < count && status == FRT_OK; i++) {
            const float *one = query.vectors + i * ask->dim;
            bool more = false;
            status = answer(ask, one, hits + i * k, n_hits[i], n_hits[i] < k, &more, &out[first + i], err);
            if (more && ask->at_hand)
                status = frt_fail(err, FRT_EUNAVAILABLE, "a wider search is needed");
            for (uint32_t wider = 4 * k; more && status == FRT_OK; wider *= 4) {
                const uint32_t now = wider < FRT_INDEX_MAX_K ? wider : FRT_INDEX_MAX_K;
                const struct frt_index_query again = {.vectors = one, .n = 1, .k = now, .min_score = least};
                struct frt_index_hit *wide = frt_alloc_array(now, sizeof *wide);
                size_t found = 0;
                status = wide == NULL ? frt_fail_nomem(err, "hits")
                                      : frt_index_search(ask->index->index, &again, wide, &found, err);
                if (status == FRT_OK)
                    status = answer(ask, one, wide, found, found < now || now == FRT_INDEX_MAX_K, &more,
                                    &out[first + i], err);
                frt_free(wide);
            }
            gallery_keeper_sample(ask->gallery->keeper, ask->entry, one, ask->dim, ask->top_k, least);
        }
    }
done:
    frt_free(hits);
    frt_free(n_hits);
    return status;
}

/* ------------------------------------------------------------------- calls */

static enum frt_status check_options(const struct frt_identify_options *o, struct frt_error *err)
{
    if (o->top_k > MAX_TOP_K)
        return frt_fail(err, FRT_EINVAL, "top_k is %u; 1 to %d are right", o->top_k, MAX_TOP_K);
    if (o->threshold_set && !(o->threshold >= -1 && o->threshold <= 1))
        return frt_fail(err, FRT_EINVAL, "a threshold of %g; -1 to 1 are right", (double)o->threshold);
    if (o->max_faces > MAX_FACES)
        return frt_fail(err, FRT_EINVAL, "max_faces is %u; 1 to %d are right", o->max_faces, MAX_FACES);
    return FRT_OK;
}

static enum frt_status check_model(const struct frt_store_collection *row, const char *model, uint32_t dim,
                                   struct frt_error *err)
{
    if (row->dim == 0 || (row->dim == dim && (model == NULL || strcmp(row->model, model) == 0)))
        return FRT_OK;
    return gallery_mismatch(row, model, dim, err);
}

static enum frt_status check_embeddings(const float *embeddings, size_t n, uint32_t dim, struct frt_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const float norm = sqrtf(frt_dot_f32(embeddings + i * dim, embeddings + i * dim, dim));
        if (!(fabsf(norm - 1) <= 1e-3f))
            return frt_fail(err, FRT_EINVAL, "embedding %zu has length %g; length 1 is right", i, (double)norm);
    }
    return FRT_OK;
}

/* Where nothing else is set: what the pack takes for a gallery of this size, or what the options ask at least.
 */
static float default_threshold_of(float fallback, const struct frt_threshold_rule *rule,
                                  const struct frt_identify_options *options)
{
    const bool from_table = rule->source == FRT_THRESHOLD_COLLECTION || rule->source == FRT_THRESHOLD_PACK;
    float own = options->pack != NULL || from_table ? rule->threshold : fallback;
    if (isnan(own)) /* embeddings whose model nobody named, in a collection of another one */
        own = frt_pack_search_threshold(options->pack, (uint64_t)rule->size.people, rule->target_fpir);
    return options->least_default != 0 ? fmaxf(own, options->least_default) : own;
}

/* The index, if it is in memory, has all that the row tells of, and is small. */
static enum frt_status index_at_hand(struct asking *ask, size_t n, struct frt_error *err)
{
    ask->entry = gallery_entry_find(ask->gallery, ask->collection->key);
    ask->index = ask->entry != NULL ? gallery_index_at_hand(ask->entry, ask->collection->seq) : NULL;
    if (ask->index != NULL && n * frt_index_stats_get(ask->index->index).vectors <= AT_HAND_VECTORS)
        return FRT_OK;
    return frt_fail(err, FRT_EUNAVAILABLE, "the index is not at hand");
}

/* Hits were lost: because they were deleted just now, or because the whole collection has a new key (it was
 * brought to another model, store/store_migrate.h) and nothing of it stands under the old one? Then nobody must
 * be told that he is unknown. */
static enum frt_status check_moved(struct frt_gallery *gallery, const struct frt_store_collection *row,
                                   struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection now;
    enum frt_status status = gallery_collection(gallery, row->name, &page, &now, err);
    if (status == FRT_OK && now.key != row->key)
        status = frt_fail(err, FRT_EOVERLOADED,
                          "collection '%.128s' was changed as a whole just now; try again", row->name);
    frt_store_page_free(page);
    return status;
}

/* With the collection's row, so that what follows sees one state of it. */
static enum frt_status identify(struct frt_gallery *gallery, const struct frt_store_collection *row,
                                const float *embeddings, size_t n, float default_threshold,
                                const struct frt_identify_options *options, bool at_hand,
                                struct frt_identified *out, struct frt_error *err)
{
    struct gallery_thresholds thresholds;
    const bool fused = options->score != FRT_SCORE_BEST && !options->every_face;
    gallery_thresholds_make(row, options->pack != NULL ? &options->pack->thresholds : NULL, !fused,
                            &thresholds);
    struct asking ask = {.gallery = gallery,
                         .collection = row,
                         .options = options,
                         .default_threshold =
                             default_threshold_of(default_threshold, &thresholds.rule, options),
                         .rule = &thresholds.rule,
                         .top_k = options->top_k == 0 ? DEFAULT_TOP_K : options->top_k,
                         .dim = row->dim,
                         .fused = fused,
                         .at_hand = at_hand};
    bool lost = false;
    const int64_t start = frt_now_ns();
    enum frt_status status = FRT_OK;
    ask.lost = &lost;
    if (row->faces == 0 || n == 0)
        return FRT_OK; /* nobody is known */
    if (at_hand)
        status = index_at_hand(&ask, n, err);
    else
        status = gallery_entry_get(gallery, row->key, row->dim, &ask.entry, err);
    if (status == FRT_OK && !at_hand) {
        const struct gallery_want want = {.seq = row->seq,
                                          .faces = row->faces,
                                          .deadline_ms = options->deadline_ms,
                                          .cancelled = options->cancelled,
                                          .cancelled_arg = options->cancelled_arg};
        status = gallery_index_get(gallery, ask.entry, &want, &ask.index, &out->load_ms, err);
    }
    if (status == FRT_OK && ask.index != NULL)
        status = ask_all(&ask, embeddings, n, out->faces, err);
    if (status == FRT_OK && lost)
        status = check_moved(gallery, row, err);
    out->search_ms = frt_elapsed_ms(start) - out->load_ms;
    gallery_index_release(ask.index);
    gallery_entry_release(ask.entry);
    return status;
}

static enum frt_status faces_new(size_t n, struct frt_identified *out, struct frt_error *err)
{
    if (n == 0)
        return FRT_OK;
    out->faces = frt_alloc_zero(n, sizeof *out->faces);
    if (out->faces == NULL)
        return frt_fail_nomem(err, "faces");
    out->n = n;
    return FRT_OK;
}

enum frt_status frt_identify_embeddings(struct frt_gallery *gallery, const char *collection, const char *model,
                                        const float *embeddings, size_t n, uint32_t dim,
                                        float default_threshold, const struct frt_identify_options *options,
                                        struct frt_identified *out, struct frt_error *err)
{
    static const struct frt_identify_options defaults;
    const struct frt_identify_options *o = options != NULL ? options : &defaults;
    struct frt_identified found = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    const int64_t start = frt_now_ns();
    enum frt_status status = check_options(o, err);
    if (status == FRT_OK && (dim == 0 || dim > FRT_MAX_DIM))
        status = frt_fail(err, FRT_EINVAL, "embeddings of %u dimensions; 1 to %d are right", dim, FRT_MAX_DIM);
    if (status == FRT_OK)
        status = check_embeddings(embeddings, n, dim, err);
    if (status == FRT_OK)
        status = gallery_collection(gallery, collection, &page, &row, err);
    if (status == FRT_OK)
        status = check_model(&row, model, dim, err);
    if (status == FRT_OK)
        status = faces_new(n, &found, err);
    if (status == FRT_OK)
        status = identify(gallery, &row, embeddings, n, default_threshold, o, false, &found, err);
    frt_store_page_free(page);
    if (status != FRT_OK) {
        frt_identified_deinit(&found);
        return status;
    }
    found.total_ms = frt_elapsed_ms(start);
    *out = found;
    return FRT_OK;
}

static struct frt_detect_options detect_options(const struct frt_identify_options *o)
{
    return (struct frt_detect_options){.max_faces = o->max_faces == 0 ? 1 : o->max_faces,
                                       .attributes = o->require_live ? (uint32_t)FRT_ATTRIBUTE_LIVENESS : 0u,
                                       .min_confidence = o->min_confidence,
                                       .deadline_ms = o->deadline_ms,
                                       .cancelled = o->cancelled,
                                       .cancelled_arg = o->cancelled_arg,
                                       .bulk = o->bulk};
}

/* At least one live face, or none at all. */
static enum frt_status check_live(const struct frt_faces *faces, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < faces->n; i++) {
        status = frt_face_check_live(&faces->faces[i], err);
        if (status == FRT_OK)
            return FRT_OK;
    }
    return status;
}

/* From the faces of a photo and the collection's row, as it stands now, to the answer. */
static enum frt_status identify_faces(struct frt_gallery *gallery, const struct frt_pack *pack,
                                      const struct frt_store_collection *row, const struct frt_faces *faces,
                                      const struct frt_identify_options *o, bool at_hand,
                                      struct frt_identified *out, struct frt_error *err)
{
    struct frt_identified found = {0};
    enum frt_status status = faces_new(faces->n, &found, err);
    if (status == FRT_OK)
        status = identify(gallery, row, faces->embeddings, faces->n, pack->info.default_threshold, o, at_hand,
                          &found, err);
    if (status != FRT_OK) {
        frt_identified_deinit(&found);
        return status;
    }
    found.image_timing = faces->timing;
    for (size_t i = 0; i < faces->n; i++) {
        found.faces[i].face = faces->faces[i];
        if (o->require_live && frt_face_check_live(&faces->faces[i], NULL) != FRT_OK)
            forget_matches(&found.faces[i]);
    }
    *out = found;
    return FRT_OK;
}

enum frt_status frt_identify(struct frt_gallery *gallery, const struct frt_pack *pack, const char *collection,
                             const struct frt_image *image, const struct frt_identify_options *options,
                             struct frt_identified *out, struct frt_error *err)
{
    static const struct frt_identify_options defaults;
    struct frt_identify_options own = options != NULL ? *options : defaults;
    own.pack = pack;
    const struct frt_identify_options *o = &own;
    const struct frt_detect_options detect = detect_options(o);
    struct frt_identified found = {0};
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    struct frt_faces *faces = NULL;
    const int64_t start = frt_now_ns();
    enum frt_status status = check_options(o, err);
    if (status == FRT_OK) /* asked before anything costs much */
        status = gallery_collection(gallery, collection, &page, &row, err);
    if (status == FRT_OK)
        status = check_model(&row, frt_pack_model(pack), pack->info.dim, err);
    frt_store_page_free(page);
    page = NULL;
    if (status == FRT_OK)
        status = frt_embed(pack, image, &detect, &faces, err);
    if (status == FRT_OK && o->require_live)
        status = check_live(faces, err);
    if (status == FRT_OK) /* and again: the answer is that of now, not of before the photo was looked at */
        status = gallery_collection(gallery, collection, &page, &row, err);
    if (status == FRT_OK) /* it may be another model's by now */
        status = check_model(&row, frt_pack_model(pack), pack->info.dim, err);
    if (status == FRT_OK)
        status = identify_faces(gallery, pack, &row, faces, o, false, &found, err);
    frt_store_page_free(page);
    frt_faces_free(faces);
    if (status != FRT_OK)
        return status;
    found.total_ms = frt_elapsed_ms(start);
    *out = found;
    return FRT_OK;
}

bool frt_identify_at_hand(struct frt_gallery *gallery, const struct frt_pack *pack, const char *collection,
                          const void *photo, size_t size, const struct frt_identify_options *options,
                          struct frt_identified *out)
{
    struct frt_identify_options own = *options;
    own.pack = pack;
    const struct frt_detect_options detect = detect_options(&own);
    struct frt_error why; /* whoever is told of it asks again, with time, and is told what is wrong */
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    struct frt_faces *faces = NULL;
    const int64_t start = frt_now_ns();
    if (!frt_embed_at_hand(pack, photo, size, &detect, &faces))
        return false;
    enum frt_status status = check_options(&own, &why);
    if (status == FRT_OK)
        status = frt_store_collection_glance(gallery->store, collection, &page, &row, &why);
    if (status == FRT_OK)
        status = check_model(&row, frt_pack_model(pack), pack->info.dim, &why);
    if (status == FRT_OK)
        status = identify_faces(gallery, pack, &row, faces, &own, true, out, &why);
    if (status == FRT_OK)
        out->total_ms = frt_elapsed_ms(start);
    frt_store_page_free(page);
    frt_faces_free(faces);
    return status == FRT_OK;
}
