/*
 * The background thread of a gallery: rebuilds that were asked for, upkeep of indexes, snapshots (also of
 * indexes that have left the cache), and the self-check.
 *
 * It starts with the gallery (background) or with the first job. The self-check looks at one search in
 * SAMPLE_EVERY again, at every vector, and counts which of the hits the search had found: an estimate of recall
 * with its interval. When the interval lies below RECALL_FLOOR, lists are given up for that collection and the
 * index is built anew without; the log says so.
 *
 * Lock: `lock` guards the queue of jobs and the samples; a leaf. It is not held while work is done.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/mem.h"
#include "engine/gallery_state.h"

enum {
    MAX_JOBS = 1000,
    MAX_SAMPLES = 8,
    MAX_LEFT = 4, /* indexes kept in memory past their time, to be saved */
    SAMPLE_EVERY = 1000,
    SAMPLE_K = 100,
    TICK_MS = 1000,
    MAX_ENTRIES = 1024,
    RECALL_MIN_SAMPLES = 500
};
static const double recall_floor = 0.995;

struct sample {
    struct gallery_entry *entry; /* a reference */
    float *query;
    uint32_t dim, k;
    float min_score;
};

struct job {
    struct frt_job job;
    uint64_t key; /* of the collection */
    uint32_t dim;
    int64_t start_ns;
};

struct gallery_keeper {
    struct frt_gallery *gallery;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool running, over;
    struct job jobs[MAX_JOBS]; /* a ring: job i at i % MAX_JOBS */
    uint64_t n_jobs, next_job;
    struct sample samples[MAX_SAMPLES];
    size_t n_samples;
    struct gallery_index *left[MAX_LEFT]; /* references */
    size_t n_left;
};

/* -------------------------------------------------------------- self-check */

void gallery_recall_estimate(const struct gallery_recall *recall, double *estimate, double *low)
{
    const double n = (double)atomic_load_explicit(&recall->wanted, memory_order_relaxed);
    const double p = n > 0 ? (double)atomic_load_explicit(&recall->found, memory_order_relaxed) / n : 0;
    const double z = 1.96;
    *estimate = n > 0 ? p : (double)NAN;
    *low = n > 0 ? (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
                 : (double)NAN;
}

void gallery_keeper_sample(struct gallery_keeper *keeper, struct gallery_entry *entry, const float *query,
                           uint32_t dim, uint32_t k, float min_score)
{
    /* relaxed: only counts */
    if (atomic_fetch_add_explicit(&entry->searches, 1, memory_order_relaxed) % SAMPLE_EVERY != 0)
        return;
    float *copy = frt_alloc_array(dim, sizeof *copy);
    if (copy == NULL)
        return;
    memcpy(copy, query, dim * sizeof *copy);
    (void)pthread_mutex_lock(&keeper->lock);
    if (keeper->running && keeper->n_samples < MAX_SAMPLES) {
        atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
        keeper->samples[keeper->n_samples++] =
            (struct sample){entry, copy, dim, k < SAMPLE_K ? k : SAMPLE_K, min_score};
        copy = NULL;
        (void)pthread_cond_signal(&keeper->wake);
    }
    (void)pthread_mutex_unlock(&keeper->lock);
    frt_free(copy);
}

/* Both searches see the same index; what is added or removed between them is nobody's loss, but rare enough. */
static void check_sample(struct frt_gallery *gallery, const struct sample *sample)
{
    struct frt_index_hit quick[SAMPLE_K], exact[SAMPLE_K];
    struct frt_index_query query = {
        .vectors = sample->query, .n = 1, .k = sample->k, .min_score = sample->min_score, .one_thread = true};
    size_t n_quick = 0, n_exact = 0;
    uint64_t found = 0;
    double estimate, low;
    struct gallery_index *index = gallery_index_peek(sample->entry);
    if (index == NULL)
        return;
    enum frt_status status = frt_index_search(index->index, &query, quick, &n_quick, NULL);
    query.exhaustive = true;
    if (status == FRT_OK)
        status = frt_index_search(index->index, &query, exact, &n_exact, NULL);
    const bool lists = frt_index_stats_get(index->index).lists > 0;
    gallery_index_release(index);
    if (status != FRT_OK)
        return;
    for (size_t i = 0; i < n_exact; i++) {
        for (size_t j = 0; j < n_quick; j++)
            found += exact[i].key == quick[j].key;
    }
    struct gallery_recall *recall = &sample->entry->recall;
    atomic_fetch_add_explicit(&recall->found, found, memory_order_relaxed);
    atomic_fetch_add_explicit(&recall->wanted, n_exact, memory_order_relaxed);
    gallery_recall_estimate(recall, &estimate, &low);
    if (lists && atomic_load(&recall->wanted) >= RECALL_MIN_SAMPLES && estimate < recall_floor &&
        !atomic_load(&sample->entry->exact_only)) {
        frt_log(FRT_LOG_WARN, "index loses too many hits; every vector is looked at from now on",
                FRT_LOG_NUM("recall", estimate), FRT_LOG_NUM("floor", recall_floor), FRT_LOG_END);
        atomic_store(&sample->entry->exact_only, true);
        atomic_store(&recall->found, 0);
        atomic_store(&recall->wanted, 0);
        struct frt_error why = {0};
        if (gallery_index_rebuild(gallery, sample->entry, NULL, NULL, &why) != FRT_OK)
            frt_log(FRT_LOG_ERROR, "index not rebuilt", FRT_LOG_STR("why", why.text), FRT_LOG_END);
    }
}

/* -------------------------------------------------------------------- jobs */

struct running {
    struct gallery_keeper *keeper;
    struct job *job;
};

static bool note_progress(void *arg, uint64_t done)
{
    struct running *running = arg;
    (void)pthread_mutex_lock(&running->keeper->lock);
    struct frt_job *job = &running->job->job;
    job->done = done;
    if (job->total < done)
        job->total = done;
    const double seconds = frt_elapsed_ms(running->job->start_ns) / 1000;
    job->eta_seconds = done > 0 ? seconds * (double)(job->total - done) / (double)done : (double)NAN;
    const bool go_on = !running->keeper->over;
    (void)pthread_mutex_unlock(&running->keeper->lock);
    return go_on;
}

static void run_job(struct gallery_keeper *keeper, struct job *job)
{
    struct running running = {keeper, job};
    struct gallery_entry *entry = NULL;
    struct frt_error why = {0};
    enum frt_status status = FRT_OK;
    if (job->dim != 0) /* else there has been no face yet, and nothing is to be built */
        status = gallery_entry_get(keeper->gallery, job->key, job->dim, &entry, &why);
    if (entry != NULL)
        status = gallery_index_rebuild(keeper->gallery, entry, note_progress, &running, &why);
    gallery_entry_release(entry);
    (void)pthread_mutex_lock(&keeper->lock);
    job->job.state = status == FRT_OK           ? FRT_JOB_DONE
                     : status == FRT_ECANCELLED ? FRT_JOB_CANCELLED
                                                : FRT_JOB_FAILED;
    job->job.error = why;
    if (status == FRT_OK)
        job->job.done = job->job.total;
    job->job.eta_seconds = 0;
    (void)pthread_mutex_unlock(&keeper->lock);
}

/* ------------------------------------------------------- what leaves the cache */

void gallery_keeper_take_leave(struct gallery_keeper *keeper, struct gallery_index *index)
{
    if (keeper != NULL) {
        (void)pthread_mutex_lock(&keeper->lock);
        if (keeper->running && !keeper->over && keeper->n_left < MAX_LEFT) {
            keeper->left[keeper->n_left++] = index;
            index = NULL;
            (void)pthread_cond_signal(&keeper->wake);
        }
        (void)pthread_mutex_unlock(&keeper->lock);
    }
    gallery_index_release(index); /* the store has all of it */
}

/* CONSUMES index. */
static void save_left(struct gallery_index *index)
{
    struct frt_error why = {0};
    if (gallery_index_save_left(index, &why) != FRT_OK)
        frt_log(FRT_LOG_WARN, "index not saved", FRT_LOG_STR("why", why.text), FRT_LOG_END);
    gallery_index_release(index);
}

/* --------------------------------------------------------------- the thread */

static bool stopping(void *arg)
{
    struct gallery_keeper *keeper = arg;
    (void)pthread_mutex_lock(&keeper->lock);
    const bool over = keeper->over;
    (void)pthread_mutex_unlock(&keeper->lock);
    return over;
}

static void look_after(struct gallery_keeper *keeper)
{
    struct gallery_entry **entries = frt_alloc_array(MAX_ENTRIES, sizeof *entries);
    const size_t n = entries == NULL ? 0 : gallery_entries(keeper->gallery, entries, MAX_ENTRIES);
    frt_cache_expire(keeper->gallery->indexes);
    frt_cache_expire(keeper->gallery->subjects);
    for (size_t i = 0; i < n; i++) {
        struct frt_error why = {0};
        struct gallery_index *index = gallery_index_peek(entries[i]);
        enum frt_status status = FRT_OK;
        if (index != NULL && frt_index_wants_maintenance(index->index))
            status = frt_index_maintain(index->index, stopping, keeper, &why);
        if (index != NULL)
            gallery_index_weigh(index);
        gallery_index_release(index);
        if (status == FRT_OK && !stopping(keeper))
            status = gallery_index_save_due(keeper->gallery, entries[i], false, &why);
        if (status != FRT_OK)
            frt_log(FRT_LOG_WARN, "index upkeep failed", FRT_LOG_STR("why", why.text), FRT_LOG_END);
        gallery_entry_release(entries[i]);
    }
    frt_free(entries);
}

static void wait_a_while(struct gallery_keeper *keeper)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += TICK_MS / 1000;
    (void)pthread_mutex_lock(&keeper->lock);
    if (!keeper->over && keeper->next_job == keeper->n_jobs && keeper->n_samples == 0 && keeper->n_left == 0)
        (void)pthread_cond_timedwait(&keeper->wake, &keeper->lock, &end);
    (void)pthread_mutex_unlock(&keeper->lock);
}

static void *keep(void *arg)
{
    struct gallery_keeper *keeper = arg;
    int64_t looked_ns = frt_now_ns();
    for (;;) {
        struct job *job = NULL;
        struct sample sample = {0};
        struct gallery_index *left = NULL;
        (void)pthread_mutex_lock(&keeper->lock);
        const bool over = keeper->over;
        if (!over && keeper->n_left > 0) {
            left = keeper->left[--keeper->n_left];
        } else if (!over && keeper->next_job < keeper->n_jobs) {
            job = &keeper->jobs[keeper->next_job++ % MAX_JOBS];
            job->job.state = FRT_JOB_RUNNING;
            job->start_ns = frt_now_ns();
        } else if (!over && keeper->n_samples > 0) {
            sample = keeper->samples[--keeper->n_samples];
        }
        (void)pthread_mutex_unlock(&keeper->lock);
        if (over)
            return NULL;
        if (left != NULL)
            save_left(left);
        if (job != NULL)
            run_job(keeper, job);
        if (sample.entry != NULL) {
            check_sample(keeper->gallery, &sample);
            gallery_entry_release(sample.entry);
            frt_free(sample.query);
        }
        if (frt_elapsed_ms(looked_ns) >= TICK_MS) {
            look_after(keeper);
            looked_ns = frt_now_ns();
        }
        wait_a_while(keeper);
    }
}

/* With the lock. */
static enum frt_status start_locked(struct gallery_keeper *keeper, struct frt_error *err)
{
    if (!keeper->running && pthread_create(&keeper->thread, NULL, keep, keeper) != 0)
        return frt_fail_nomem(err, "a thread");
    keeper->running = true;
    return FRT_OK;
}

enum frt_status gallery_keeper_new(struct frt_gallery *gallery, bool background, struct gallery_keeper **out,
                                   struct frt_error *err)
{
    pthread_condattr_t monotonic;
    struct gallery_keeper *keeper = frt_alloc_zero(1, sizeof *keeper);
    if (keeper == NULL)
        return frt_fail_nomem(err, "a gallery");
    keeper->gallery = gallery;
    (void)pthread_mutex_init(&keeper->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&keeper->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    enum frt_status status = background ? start_locked(keeper, err) : FRT_OK; /* nobody else knows it yet */
    if (status != FRT_OK) {
        gallery_keeper_free(keeper);
        return status;
    }
    *out = keeper;
    return FRT_OK;
}

void gallery_keeper_free(struct gallery_keeper *keeper)
{
    if (keeper == NULL)
        return;
    (void)pthread_mutex_lock(&keeper->lock);
    keeper->over = true;
    (void)pthread_cond_signal(&keeper->wake);
    const bool running = keeper->running;
    (void)pthread_mutex_unlock(&keeper->lock);
    if (running)
        (void)pthread_join(keeper->thread, NULL);
    for (size_t i = 0; i < keeper->n_left; i++)
        save_left(keeper->left[i]);
    for (size_t i = 0; i < keeper->n_samples; i++) {
        gallery_entry_release(keeper->samples[i].entry);
        frt_free(keeper->samples[i].query);
    }
    (void)pthread_mutex_destroy(&keeper->lock);
    (void)pthread_cond_destroy(&keeper->wake);
    frt_free(keeper);
}

/* ------------------------------------------------------------------- calls */

static uint64_t oldest_job(const struct gallery_keeper *keeper)
{
    return keeper->n_jobs > MAX_JOBS ? keeper->n_jobs - MAX_JOBS : 0;
}

static enum frt_status add_job_locked(struct gallery_keeper *keeper, const struct frt_store_collection *row,
                                      struct frt_job *out, struct frt_error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];
    for (uint64_t i = oldest_job(keeper); i < keeper->n_jobs; i++) {
        const struct job *job = &keeper->jobs[i % MAX_JOBS];
        if (job->key == row->key && (job->job.state == FRT_JOB_QUEUED || job->job.state == FRT_JOB_RUNNING)) {
            *out = job->job;
            return FRT_OK;
        }
    }
    if (keeper->n_jobs - keeper->next_job >= MAX_JOBS - 1)
        return frt_fail(err, FRT_EOVERLOADED, "%d jobs are waiting; try again later", MAX_JOBS - 1);
    struct job *job = &keeper->jobs[keeper->n_jobs % MAX_JOBS];
    *job = (struct job){.key = row->key, .dim = row->dim};
    frt_random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        job->job.id[2 * i] = digits[random[i] >> 4];
        job->job.id[2 * i + 1] = digits[random[i] & 15];
    }
    (void)snprintf(job->job.collection, sizeof job->job.collection, "%s", row->name);
    job->job.total = row->faces;
    job->job.eta_seconds = (double)NAN;
    enum frt_status status = start_locked(keeper, err);
    if (status != FRT_OK)
        return status;
    keeper->n_jobs++;
    *out = job->job;
    (void)pthread_cond_signal(&keeper->wake);
    return FRT_OK;
}

enum frt_status frt_rebuild(struct frt_gallery *gallery, const char *collection, struct frt_job *out,
                            struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    enum frt_status status = gallery_collection(gallery, collection, &page, &row, err);
    if (status != FRT_OK)
        return status;
    (void)pthread_mutex_lock(&gallery->keeper->lock);
    status = add_job_locked(gallery->keeper, &row, out, err);
    (void)pthread_mutex_unlock(&gallery->keeper->lock);
    frt_store_page_free(page);
    return status;
}

enum frt_status frt_job_get(struct frt_gallery *gallery, const char *id, struct frt_job *out,
                            struct frt_error *err)
{
    struct gallery_keeper *keeper = gallery->keeper;
    bool found = false;
    (void)pthread_mutex_lock(&keeper->lock);
    for (uint64_t i = keeper->n_jobs; i-- > oldest_job(keeper) && !found;) {
        const struct frt_job *job = &keeper->jobs[i % MAX_JOBS].job;
        found = strcmp(job->id, id) == 0;
        if (found)
            *out = *job;
    }
    (void)pthread_mutex_unlock(&keeper->lock);
    return found ? FRT_OK
                 : frt_fail(err, FRT_ENOTFOUND, "no job '%.40s'; the last %d are remembered", id, MAX_JOBS);
}
