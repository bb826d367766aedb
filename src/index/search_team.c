#include "index/search_team.h"

#include <pthread.h>

#include "core/mem.h"

enum { MAX_HELPERS = 63 };

struct frt_search_team {
    pthread_t threads[MAX_HELPERS];
    uint32_t n_threads;
    uint32_t refs; /* guarded by `making` */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wanted, finished;
    void (*work)(void *arg, uint32_t worker); /* NULL = no job */
    void *arg;
    uint32_t to_start, running, next_worker;
    bool busy, over;
};

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER; /* taken before a team's lock */
static struct frt_search_team *the_team;

static void *help(void *arg)
{
    struct frt_search_team *team = arg;
    (void)pthread_mutex_lock(&team->lock);
    for (;;) {
        while (team->to_start == 0 && !team->over)
            (void)pthread_cond_wait(&team->wanted, &team->lock);
        if (team->over)
            break;
        team->to_start--;
        team->running++;
        const uint32_t worker = team->next_worker++;
        void (*work)(void *, uint32_t) = team->work;
        void *work_arg = team->arg;
        (void)pthread_mutex_unlock(&team->lock);
        work(work_arg, worker);
        (void)pthread_mutex_lock(&team->lock);
        team->running--;
        if (team->running == 0)
            (void)pthread_cond_signal(&team->finished);
    }
    (void)pthread_mutex_unlock(&team->lock);
    return NULL;
}

static struct frt_search_team *team_new(uint32_t helpers)
{
    struct frt_search_team *team = frt_alloc_zero(1, sizeof *team);
    if (team == NULL)
        return NULL;
    (void)pthread_mutex_init(&team->lock, NULL);
    (void)pthread_cond_init(&team->wanted, NULL);
    (void)pthread_cond_init(&team->finished, NULL);
    while (team->n_threads < helpers && team->n_threads < MAX_HELPERS &&
           pthread_create(&team->threads[team->n_threads], NULL, help, team) == 0)
        team->n_threads++;
    return team;
}

struct frt_search_team *frt_search_team_retain(uint32_t helpers)
{
    (void)pthread_mutex_lock(&making);
    if (the_team == NULL && helpers > 0)
        the_team = team_new(helpers);
    struct frt_search_team *team = helpers > 0 ? the_team : NULL;
    if (team != NULL) {
        team->refs++;
        (void)pthread_mutex_lock(&team->lock);
        const uint32_t have = team->n_threads;
        (void)pthread_mutex_unlock(&team->lock);
        for (uint32_t n = have; n < helpers && n < MAX_HELPERS; n++) {
            if (pthread_create(&team->threads[n], NULL, help, team) != 0)
                break;
            (void)pthread_mutex_lock(&team->lock);
            team->n_threads = n + 1;
            (void)pthread_mutex_unlock(&team->lock);
        }
    }
    (void)pthread_mutex_unlock(&making);
    return team;
}

void frt_search_team_release(struct frt_search_team *team)
{
    if (team == NULL)
        return;
    (void)pthread_mutex_lock(&making);
    if (--team->refs == 0) {
        the_team = NULL;
        (void)pthread_mutex_lock(&team->lock);
        team->over = true;
        (void)pthread_cond_broadcast(&team->wanted);
        (void)pthread_mutex_unlock(&team->lock);
        for (uint32_t i = 0; i < team->n_threads; i++)
            (void)pthread_join(team->threads[i], NULL);
        (void)pthread_cond_destroy(&team->wanted);
        (void)pthread_cond_destroy(&team->finished);
        (void)pthread_mutex_destroy(&team->lock);
        frt_free(team);
    }
    (void)pthread_mutex_unlock(&making);
}

void frt_search_team_run(struct frt_search_team *team, uint32_t helpers,
                         void (*work)(void *arg, uint32_t worker), void *arg)
{
    bool mine = false;
    if (team != NULL && helpers > 0) {
        (void)pthread_mutex_lock(&team->lock);
        mine = !team->busy;
        if (mine) {
            team->busy = true;
            team->work = work;
            team->arg = arg;
            team->next_worker = 1;
            team->to_start = helpers < team->n_threads ? helpers : team->n_threads;
            (void)pthread_cond_broadcast(&team->wanted);
        }
        (void)pthread_mutex_unlock(&team->lock);
    }
    work(arg, 0);
    if (!mine)
        return;
    (void)pthread_mutex_lock(&team->lock);
    team->to_start = 0; /* who has not begun by now need not */
    while (team->running > 0)
        (void)pthread_cond_wait(&team->finished, &team->lock);
    team->busy = false;
    (void)pthread_mutex_unlock(&team->lock);
}
