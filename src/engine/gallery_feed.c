/*
 * The thread that follows what others change: it waits for changes of the store, whoever made them, and brings
 * the indexes in memory up to them, so that the next search finds them followed already.
 *
 *     store ─ frt_store_wait_changes ─→ numbers and collections ─→ gallery_index_follow ─→ indexes
 *                                                └─→ gallery_note_seq ─→ who waits for a number
 *
 * It is there for time, not for truth: a search reads its collection's number from the store and follows up to
 * it by itself (gallery_state.h). A notification that is lost costs a moment: the wait ends after WAIT_MS
 * without one, too, and begins at the number that was reached, not at the one that was told of.
 *
 * Of what has no number in the store: settings, collections, users and keys are read from the store by whoever
 * needs them; the index of a collection that another process has deleted leaves with the keeper's next round.
 *
 * Lock: `lock` guards who is told of numbers; a leaf but for what the told one takes.
 */
#include <poll.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "engine/gallery_state.h"

enum { WAIT_MS = 1000, PAUSE_MS = 100, MAX_ENTRIES = 1024 };

struct gallery_feed {
    struct frt_gallery *gallery;
    pthread_t thread;
    bool running; /* the owner's */
    atomic_bool over;
    atomic_bool connected;    /* the last wait did not fail */
    _Atomic int64_t level_ns; /* when it last had followed all that it knew of */
    atomic_bool waiting;      /* all that it knows of is followed */
    pthread_mutex_t lock;
    void (*told)(void *arg);
    void *told_arg;
};

/* ----------------------------------------------------------------- numbers */

void gallery_note_seq(struct frt_gallery *gallery, uint64_t seq)
{
    /* relaxed: a number; what it stands for is read from the store */
    uint64_t known = atomic_load_explicit(&gallery->known_seq, memory_order_relaxed);
    while (known < seq && !atomic_compare_exchange_weak_explicit(&gallery->known_seq, &known, seq,
                                                                 memory_order_relaxed, memory_order_relaxed))
        ;
}

uint64_t frt_gallery_known_seq(struct frt_gallery *gallery)
{
    return atomic_load_explicit(&gallery->known_seq, memory_order_relaxed);
}

void frt_gallery_on_seq(struct frt_gallery *gallery, void (*told)(void *arg), void *arg)
{
    struct gallery_feed *feed = gallery->feed;
    (void)pthread_mutex_lock(&feed->lock);
    feed->told = told;
    feed->told_arg = arg;
    (void)pthread_mutex_unlock(&feed->lock);
}

static void tell(struct gallery_feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    if (feed->told != NULL)
        feed->told(feed->told_arg);
    (void)pthread_mutex_unlock(&feed->lock);
}

/* --------------------------------------------------------------- following */

static void follow_all(struct frt_gallery *gallery, uint64_t seq)
{
    struct gallery_entry **entries = frt_alloc_array(MAX_ENTRIES, sizeof *entries);
    const size_t n = entries == NULL ? 0 : gallery_entries(gallery, entries, MAX_ENTRIES);
    for (size_t i = 0; i < n; i++) {
        gallery_index_follow(gallery, entries[i]->key, seq);
        gallery_entry_release(entries[i]);
    }
    frt_free(entries);
}

/* A collection's index that has all of its changes up to the store's last number has all up to that number. */
static void follow(struct gallery_feed *feed, const struct frt_store_news *news)
{
    for (size_t i = 0; i < news->n && !atomic_load(&feed->over); i++)
        gallery_index_follow(feed->gallery, news->keys[i], news->last_seq);
    if (news->more && !atomic_load(&feed->over))
        follow_all(feed->gallery, news->last_seq);
}

static void note_state(struct gallery_feed *feed, enum frt_status status, const struct frt_error *why)
{
    const bool connected = status == FRT_OK, before = atomic_exchange(&feed->connected, connected);
    if (before && !connected)
        frt_log(FRT_LOG_WARN, "changes of the store are not heard", FRT_LOG_STR("why", why->text), FRT_LOG_END);
    else if (!before && connected)
        frt_log(FRT_LOG_INFO, "changes of the store are heard again",
                FRT_LOG_NUM("after_s", frt_elapsed_ms(atomic_load(&feed->level_ns)) / 1000), FRT_LOG_END);
}

static void *feed_on(void *arg)
{
    struct gallery_feed *feed = arg;
    uint64_t seen = 0;
    while (!atomic_load(&feed->over)) {
        struct frt_store_news news = {0};
        struct frt_error why = {0};
        const int64_t start = frt_now_ns();
        if (atomic_load(&feed->connected))
            atomic_store(&feed->waiting, true);
        enum frt_status status =
            frt_store_wait_changes(feed->gallery->store, seen, start / 1000000 + WAIT_MS, &news, &why);
        atomic_store(&feed->waiting, false);
        if (status == FRT_OK)
            atomic_store(&feed->level_ns, frt_now_ns());
        note_state(feed, status, &why);
        if (status == FRT_OK && news.last_seq > seen) {
            gallery_note_seq(feed->gallery, news.last_seq);
            tell(feed); /* first: who waits for it follows as well */
            follow(feed, &news);
            seen = news.last_seq;
        } else {
            tell(feed);
        }
        if (status != FRT_OK && frt_elapsed_ms(start) < PAUSE_MS && !atomic_load(&feed->over))
            (void)poll(NULL, 0, PAUSE_MS);
    }
    return NULL;
}

void gallery_feed_figures(struct frt_gallery *gallery, bool *connected, double *behind_s)
{
    struct gallery_feed *feed = gallery->feed;
    *connected = atomic_load(&feed->connected);
    *behind_s = atomic_load(&feed->waiting) ? 0 : frt_elapsed_ms(atomic_load(&feed->level_ns)) / 1000;
}

/* -------------------------------------------------------------------- life */

enum frt_status gallery_feed_new(struct frt_gallery *gallery, bool background, struct gallery_feed **out,
                                 struct frt_error *err)
{
    struct gallery_feed *feed = frt_alloc_zero(1, sizeof *feed);
    if (feed == NULL)
        return frt_fail_nomem(err, "a gallery");
    feed->gallery = gallery;
    (void)pthread_mutex_init(&feed->lock, NULL);
    atomic_init(&feed->connected, true);
    atomic_init(&feed->waiting, true);
    atomic_init(&feed->level_ns, frt_now_ns());
    *out = feed;
    if (!background)
        return FRT_OK;
    if (pthread_create(&feed->thread, NULL, feed_on, feed) != 0)
        return frt_fail_nomem(err, "a thread");
    feed->running = true;
    return FRT_OK;
}

void gallery_feed_free(struct gallery_feed *feed)
{
    if (feed == NULL)
        return;
    atomic_store(&feed->over, true);
    if (feed->running) {
        frt_store_wake(feed->gallery->store);
        (void)pthread_join(feed->thread, NULL);
    }
    (void)pthread_mutex_destroy(&feed->lock);
    frt_free(feed);
}
