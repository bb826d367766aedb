/* What stands in a view, in order of key: for merging parts and for snapshots. See faiss_engine.h. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "index/faiss_engine.h"

struct place {
    uint64_t key;
    uint32_t part, row;
};

static int by_key(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

enum frt_status frt_faiss_gather_init(struct frt_faiss_gather *gather, const struct frt_faiss_view *view,
                                      uint32_t dim, enum frt_faiss_kinds kinds, struct frt_error *err)
{
    struct frt_faiss_gather g = {.view = view, .dim = dim};
    struct place *places = NULL;
    size_t total = 0, n = 0;
    enum frt_status status = FRT_OK;
    const size_t slots = (size_t)view->n + 1;
    g.rows = frt_alloc_zero(slots, sizeof *g.rows);
    g.counts = frt_alloc_zero(slots, sizeof *g.counts);
    g.n_before = frt_alloc_zero(slots, sizeof *g.n_before);
    if (g.rows == NULL || g.counts == NULL || g.n_before == NULL)
        goto no_memory;
    for (uint32_t p = 0; p < view->n; p++) {
        const struct frt_faiss_part *part = view->parts[p];
        if (kinds != FRT_FAISS_ALL && (part->ivf != NULL) != (kinds == FRT_FAISS_ONLY_IVF))
            continue;
        /* before the bits: a bit that is set meanwhile is counted later, and found then */
        g.n_before[p] = atomic_load_explicit(&part->n_removed, memory_order_acquire);
        g.counts[p] = atomic_load_explicit(&part->n, memory_order_acquire);
        g.rows[p] = frt_alloc_array((size_t)g.counts[p] + 1, sizeof **g.rows);
        if (g.rows[p] == NULL)
            goto no_memory;
        total += g.counts[p];
    }
    places = frt_alloc_array(total + 1, sizeof *places);
    g.keys = frt_alloc_array(total + 1, sizeof *g.keys);
    g.groups = frt_alloc_array(total + 1, sizeof *g.groups);
    if (places == NULL || g.keys == NULL || g.groups == NULL)
        goto no_memory;
    for (uint32_t p = 0; p < view->n; p++) {
        for (uint32_t row = 0; row < g.counts[p]; row++) {
            g.rows[p][row] = UINT32_MAX;
            if (!frt_faiss_part_removed(view->parts[p], row))
                places[n++] = (struct place){view->parts[p]->keys[row], p, row};
        }
    }
    qsort(places, n, sizeof *places, by_key);
    for (size_t i = 0; i < n; i++) {
        g.keys[i] = places[i].key;
        g.groups[i] = view->parts[places[i].part]->groups[places[i].row];
        g.rows[places[i].part][places[i].row] = (uint32_t)i;
    }
    g.n = (uint32_t)n;
    *gather = g;
    frt_free(places);
    return FRT_OK;
no_memory:
    status = frt_fail_nomem(err, "the parts of an index");
    frt_free(places);
    frt_faiss_gather_deinit(&g);
    return status;
}

void frt_faiss_gather_deinit(struct frt_faiss_gather *gather)
{
    for (uint32_t p = 0; gather->rows != NULL && gather->view != NULL && p < gather->view->n; p++)
        frt_free(gather->rows[p]);
    frt_free(gather->rows);
    frt_free(gather->counts);
    frt_free(gather->n_before);
    frt_free(gather->keys);
    frt_free(gather->groups);
    *gather = (struct frt_faiss_gather){0};
}

bool frt_faiss_gather_visit(const struct frt_faiss_gather *gather,
                            bool (*visit)(void *arg, uint32_t row, uint32_t list, const float *vector),
                            void *arg)
{
    for (uint32_t p = 0; p < gather->view->n; p++) {
        const struct frt_faiss_part *part = gather->view->parts[p];
        for (uint32_t row = 0; part->vectors != NULL && row < gather->counts[p]; row++) {
            if (gather->rows[p][row] != UINT32_MAX &&
                !visit(arg, gather->rows[p][row], UINT32_MAX, part->vectors + (size_t)row * gather->dim))
                return false;
        }
        for (uint32_t list = 0; part->ivf != NULL && gather->counts[p] > 0 && list < part->n_lists; list++) {
            const int64_t *rows;
            const float *vectors;
            const size_t n = part->module->ivf_list(part->ivf, list, &rows, &vectors);
            for (size_t i = 0; i < n; i++) {
                const uint32_t row = gather->rows[p][rows[i]];
                if (row != UINT32_MAX && !visit(arg, row, list, vectors + i * gather->dim))
                    return false;
            }
        }
    }
    return true;
}
