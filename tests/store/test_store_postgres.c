/*
 * What can go wrong around a database server: restarts under load, connections cut at the worst moment, several
 * who begin at once, servers that are away, full, read-only or somebody else's. Nothing acknowledged is lost,
 * and nothing is told that is not so.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "store/store_place.h"

static const struct frt_store_collection people = {
    .name = "people", .threshold = NAN, .target_fpir = (double)NAN};

static void pause_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static enum frt_status try_open(const char *address, uint32_t answer_ms, bool read_only, struct frt_store **out,
                                struct frt_error *err)
{
    const struct frt_store_options options = {
        .path = address, .answer_ms = answer_ms, .busy_ms = 1000, .read_only = read_only};
    return frt_store_open(&options, out, err);
}

static uint64_t count_faces(struct frt_store *store)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {0};
    struct frt_error err = {0};
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    frt_store_page_free(page);
    return row.faces;
}

static bool has_face(struct frt_store *store, const char *id)
{
    struct frt_store_page *page = NULL;
    struct frt_error err = {0};
    enum frt_status status = frt_store_face_get(store, "people", id, false, &page, &err);
    if (status != FRT_EFACE_NOT_FOUND)
        store_must(status, &err);
    frt_store_page_free(page);
    return status == FRT_OK;
}

/* ------------------------------------------------------------- load, restarts */

enum { WRITERS = 4, MOST = 20000 };

struct writer {
    struct frt_store *store;
    unsigned number;
    _Atomic bool over;
    uint32_t n, failed, slow;
    bool acknowledged[MOST];
    struct frt_error why;
};

static void id_of(unsigned writer, uint32_t i, char out[32])
{
    (void)snprintf(out, 32, "w%u-%u", writer, i);
}

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (; !w->over && w->n < MOST; w->n++) {
        char id[32];
        id_of(w->number, w->n, id);
        const int64_t start = frt_now_ns();
        enum frt_status status = store_add_one(w->store, "people", id, id, w->n, NULL, &w->why);
        w->acknowledged[w->n] = status == FRT_OK;
        w->failed += status != FRT_OK;
        w->slow += frt_elapsed_ms(start) > 20000; /* twice the time that a call has */
    }
    return NULL;
}

static void under_load(const struct store_place *place, void (*trouble)(const struct store_place *place))
{
    struct frt_store *stores[2] = {NULL, NULL};
    struct writer *writers = test_calloc(WRITERS, sizeof *writers);
    pthread_t threads[WRITERS];
    struct frt_error err = {0};
    uint64_t sure = 0, failed = 0, there = 0;
    for (int i = 0; i < 2; i++)
        store_must(try_open(place->path, 10000, false, &stores[i], &err), &err);
    store_must(frt_store_collection_add(stores[0], &people, &err), &err);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].store = stores[i % 2];
        writers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
    }
    trouble(place);
    for (unsigned i = 0; i < WRITERS; i++)
        writers[i].over = true;
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned w = 0; w < WRITERS; w++) {
        assert_int_equal(writers[w].slow, 0);
        failed += writers[w].failed;
        if (writers[w].failed > 0)
            print_message("a call failed: %s\n", writers[w].why.text);
        for (uint32_t i = 0; i < writers[w].n; i++) {
            char id[32];
            id_of(w, i, id);
            sure += writers[w].acknowledged[i];
            if (writers[w].acknowledged[i])
                assert_true(has_face(stores[0], id));
        }
    }
    there = count_faces(stores[0]);
    print_message("%llu acknowledged, %llu failed, %llu there, %llu connections lost\n",
                  (unsigned long long)sure, (unsigned long long)failed, (unsigned long long)there,
                  (unsigned long long)(frt_store_stats_get(stores[0]).reconnects +
                                       frt_store_stats_get(stores[1]).reconnects));
    assert_true(sure > 20);
    assert_int_equal(failed, 0);   /* the server was back in time */
    assert_int_equal(there, sure); /* and no face was added that was not acknowledged, or twice */
    assert_true(frt_store_stats_get(stores[0]).reconnects > 0);
    for (int i = 0; i < 2; i++)
        frt_store_close(stores[i]);
    test_free(writers);
}

static void restart_thrice(const struct store_place *place)
{
    (void)place;
    for (int i = 0; i < 3; i++) {
        pause_ms(300);
        postgres_server_crash();
        pause_ms(200);
        postgres_server_again();
    }
    pause_ms(300);
}

static void restarts_lose_nothing(void **state)
{
    under_load(*state, restart_thrice);
}

static void cut_all(const struct store_place *place)
{
    for (int i = 0; i < 12; i++) {
        pause_ms(100);
        postgres_server_sql(place->path,
                            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> "
                            "pg_backend_pid() AND application_name = 'frt'",
                            NULL, 0);
    }
    pause_ms(200);
}

static void cut_connections_lose_nothing(void **state)
{
    under_load(*state, cut_all);
}

/* -------------------------------------------------------------- lost answers */

/* Between a store and its server: hands on what it is given, until it is told to cut a connection at its
 * COMMIT. */
enum cut { CUT_NOT = 0, CUT_BEFORE, CUT_BEHIND, CUT_AFTER_ANSWER };
struct proxy {
    char folder[560], address[POSTGRES_ADDRESS_MAX], server[560];
    int listener;
    pthread_t thread;
    _Atomic int cut;
    _Atomic unsigned cuts;
    _Atomic bool over;
};

static int socket_at(const char *folder, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.80s/.s.PGSQL.5432", folder);
    if (fd < 0 || (listening ? bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 20) != 0
                             : connect(fd, (struct sockaddr *)&address, sizeof address) != 0))
        fail_msg("socket: %s", strerror(errno));
    return fd;
}

struct link {
    struct proxy *proxy;
    int client, server;
};

static bool hand_on(int from, int to, char *buffer, size_t size, ssize_t *n)
{
    *n = read(from, buffer, size);
    return *n > 0 && (to < 0 || write(to, buffer, (size_t)*n) == *n);
}

static void *link_run(void *arg)
{
    struct link *link = arg;
    struct proxy *proxy = link->proxy;
    char *buffer = malloc(1 << 20);
    for (bool on = buffer != NULL; on && !proxy->over;) {
        struct pollfd fds[] = {{.fd = link->client, .events = POLLIN}, {.fd = link->server, .events = POLLIN}};
        ssize_t n = 0;
        if (poll(fds, 2, 100) <= 0)
            continue;
        if (fds[1].revents != 0)
            on = hand_on(link->server, link->client, buffer, 1 << 20, &n);
        if (!on || fds[0].revents == 0)
            continue;
        n = read(link->client, buffer, 1 << 20);
        const enum cut cut = n > 0 && memmem(buffer, (size_t)n, "COMMIT", 7) != NULL
                                 ? (enum cut)atomic_exchange(&proxy->cut, CUT_NOT)
                                 : CUT_NOT;
        if (n <= 0 || (cut != CUT_BEFORE && write(link->server, buffer, (size_t)n) != n))
            break;
        if (cut == CUT_AFTER_ANSWER) { /* the server has committed, and nobody hears of it */
            do
                n = read(link->server, buffer, 1 << 20);
            while (n > 0 && memmem(buffer, (size_t)n, "COMMIT", 7) == NULL);
        }
        proxy->cuts += cut != CUT_NOT;
        on = cut == CUT_NOT;
    }
    (void)close(link->client);
    (void)close(link->server);
    free(buffer);
    free(link);
    return NULL;
}

static void *proxy_run(void *arg)
{
    struct proxy *proxy = arg;
    while (!proxy->over) {
        struct pollfd fd = {.fd = proxy->listener, .events = POLLIN};
        pthread_t thread;
        if (poll(&fd, 1, 100) <= 0)
            continue;
        struct link *link = calloc(1, sizeof *link);
        *link = (struct link){proxy, accept(proxy->listener, NULL, NULL), socket_at(proxy->server, false)};
        if (pthread_create(&thread, NULL, link_run, link) == 0)
            (void)pthread_detach(thread);
    }
    return NULL;
}

static struct proxy *proxy_start(const struct store_place *place)
{
    struct proxy *proxy = test_calloc(1, sizeof *proxy);
    const char *host = strstr(place->path, "host=") + 5, *rest = strchr(host, ' ');
    (void)snprintf(proxy->server, sizeof proxy->server, "%.*s", (int)(rest - host), host);
    (void)snprintf(proxy->folder, sizeof proxy->folder, "%s", place->folder);
    (void)snprintf(proxy->address, sizeof proxy->address, "postgresql:host=%.200s%s", place->folder, rest);
    proxy->listener = socket_at(proxy->folder, true);
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_run, proxy), 0);
    return proxy;
}

static void proxy_stop(struct proxy *proxy)
{
    proxy->over = true;
    assert_int_equal(pthread_join(proxy->thread, NULL), 0);
    pause_ms(250); /* links end by themselves */
    (void)close(proxy->listener);
    test_free(proxy);
}

static void lost_answers_are_looked_up(void **state)
{
    const struct store_place *place = *state;
    struct proxy *proxy = proxy_start(place);
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    uint64_t faces = 0, key = 0, last = 0;
    store_must(try_open(proxy->address, 20000, false, &store, &err), &err);
    store_must(frt_store_collection_add(store, &people, &err), &err);
    for (int round = 0; round < 4; round++) {
        for (int cut = CUT_BEFORE; cut <= CUT_AFTER_ANSWER; cut++) {
            char id[32];
            const unsigned cuts = proxy->cuts;
            (void)snprintf(id, sizeof id, "r%d-%d", round, cut);
            proxy->cut = cut;
            store_must(store_add_one(store, "people", "s", id, (uint64_t)cut, &key, &err), &err);
            assert_int_equal(proxy->cuts, cuts + 1); /* it was cut */
            assert_int_equal(count_faces(store), ++faces);
            assert_true(has_face(store, id));
            assert_true(key > last);
            last = key;
            proxy->cut = cut;
            store_must(frt_store_face_delete(store, "people", id, &key, &err), &err);
            assert_int_equal(proxy->cuts, cuts + 2);
            assert_int_equal(count_faces(store), --faces);
            assert_true(key > last);
            last = key;
            store_must(store_add_one(store, "people", "s", NULL, 9, &last, &err), &err);
            faces++;
        }
    }
    frt_store_close(store);
    proxy_stop(proxy);
}

/* The answer is lost and the server is gone for good: neither success nor failure is claimed. */
static void what_cannot_be_looked_up_is_said(void **state)
{
    const struct store_place *place = *state;
    struct proxy *proxy = proxy_start(place);
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    char socket_path[640], away[660];
    store_must(try_open(proxy->address, 1500, false, &store, &err), &err);
    store_must(frt_store_collection_add(store, &people, &err), &err);
    (void)snprintf(socket_path, sizeof socket_path, "%s/.s.PGSQL.5432", proxy->folder);
    (void)snprintf(away, sizeof away, "%s.away", socket_path);
    assert_int_equal(rename(socket_path, away), 0);
    proxy->cut = CUT_AFTER_ANSWER;
    assert_int_equal(store_add_one(store, "people", "s", "unsure", 1, NULL, &err), FRT_EUNAVAILABLE);
    assert_non_null(strstr(err.text, "could not be found out"));
    assert_int_equal(rename(away, socket_path), 0);
    assert_true(has_face(store, "unsure"));
    store_must(store_add_one(store, "people", "s", NULL, 1, NULL, &err), &err); /* and it goes on */
    frt_store_close(store);
    proxy_stop(proxy);
}

/* ------------------------------------------------------------------- order */

/* Who follows by number never misses one, whoever has written it. */
static void numbers_are_seen_in_order(void **state)
{
    const struct store_place *place = *state;
    enum { EACH = 60 };
    pid_t children[3];
    struct frt_error err = {0};
    struct frt_store *store = store_place_open(place);
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    uint64_t after = 0, seen = 0, complete = 0;
    store_must(frt_store_collection_add(store, &people, &err), &err);
    store_must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    frt_store_page_free(page);
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        assert_true(children[c] >= 0);
        if (children[c] == 0) {
            struct frt_store *own = NULL;
            if (try_open(place->path, 0, false, &own, &err) != FRT_OK)
                _exit(2);
            for (uint64_t i = 0; i < EACH; i++)
                if (store_add_one(own, "people", "s", NULL, i, NULL, &err) != FRT_OK)
                    _exit(3);
            frt_store_close(own);
            _exit(0);
        }
    }
    for (const int64_t end = frt_now_ns() / 1000000 + 60000; seen < 3 * EACH && frt_now_ns() / 1000000 < end;) {
        const struct frt_store_change *rows = NULL;
        struct frt_store_news news = {0};
        size_t n = 0;
        store_must(frt_store_wait_changes(store, after, end, &news, &err), &err);
        store_must(frt_store_changes(store, row.key, after, 1000, &page, &rows, &n, &complete, &err), &err);
        seen += n;
        after = n > 0 ? rows[n - 1].seq : after;
        frt_store_page_free(page);
    }
    for (int c = 0; c < 3; c++) {
        int status = 0;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(seen, 3 * EACH);
    frt_store_close(store);
}

static void several_begin_at_once(void **state)
{
    const struct store_place *place = *state;
    enum { N = 5 };
    pid_t children[N];
    uint8_t first[16] = {0}, id[16];
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    for (int c = 0; c < N; c++) {
        children[c] = fork();
        assert_true(children[c] >= 0);
        if (children[c] == 0) {
            struct frt_store *own = NULL;
            struct frt_error err = {0};
            if (try_open(place->path, 30000, false, &own, &err) != FRT_OK) {
                (void)fprintf(stderr, "%s\n", err.text);
                _exit(2);
            }
            frt_store_id(own, id);
            frt_store_close(own);
            _exit(write(fds[1], id, sizeof id) == sizeof id ? 0 : 3);
        }
    }
    for (int c = 0; c < N; c++) {
        int status = 0;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
        assert_int_equal(read(fds[0], id, sizeof id), sizeof id);
        if (c == 0)
            memcpy(first, id, sizeof first);
        assert_memory_equal(id, first, sizeof id);
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* ------------------------------------------------------------------ refusals */

static void refusals_are_clear_and_show_no_password(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    char text[300];
    static const char *const wrong[] = {"postgresql://frt:s3cr3t@/nowhere?host=%s",
                                        "postgresql://frt:s3cr3t@[::1/db?host=%s",
                                        "postgresql://frt:s3cr3t@127.0.0.1:1/db",
                                        "postgresql:host=%s user=frt password=s3cr3t nonsense=1",
                                        "postgresql:host=/nowhere/at/all password='s3cr3t",
                                        "postgresql://frt:pa/s3cr3t@h:s3cr3t/db"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *host = strstr(place->path, "host=") + 5;
        char folder[300], address[700];
        (void)snprintf(folder, sizeof folder, "%.*s", (int)strcspn(host, " "), host);
        /* the text has at most one %s */
        const char *at = strstr(wrong[i], "%s");
        if (at != NULL)
            (void)snprintf(address, sizeof address, "%.*s%s%s", (int)(at - wrong[i]), wrong[i], folder, at + 2);
        else
            (void)snprintf(address, sizeof address, "%s", wrong[i]);
        enum frt_status status = try_open(address, 300, false, &store, &err);
        assert_true(status == FRT_EUNAVAILABLE || status == FRT_EINVAL);
        if (strstr(err.text, "s3cr3t") != NULL)
            fail_msg("a password is shown: %s", err.text);
        frt_store_describe(address, text, sizeof text);
        assert_null(strstr(text, "s3cr3t"));
    }
    assert_int_equal(try_open(place->path, 3000, true, &store, &err),
                     FRT_ENOTFOUND); /* looking makes nothing */
    postgres_server_sql(place->path, "CREATE SCHEMA frt; CREATE TABLE frt.faces(a int)", NULL, 0);
    assert_int_equal(try_open(place->path, 3000, false, &store, &err), FRT_ESTORE_DAMAGED);
    assert_non_null(strstr(err.text, "another program"));
    postgres_server_sql(place->path, "DROP SCHEMA frt CASCADE", NULL, 0);
    store_must(try_open(place->path, 3000, false, &store, &err), &err);
    store_must(frt_store_collection_add(store, &people, &err), &err);
    frt_store_close(store);
    postgres_server_sql(place->path, "UPDATE frt.counters SET value = 99 WHERE name = 'version'", NULL, 0);
    assert_int_equal(try_open(place->path, 3000, false, &store, &err), FRT_ESTORE_DAMAGED);
    assert_non_null(strstr(err.text, "version 99"));
    postgres_server_sql(place->path, "UPDATE frt.counters SET value = 1 WHERE name = 'version'", NULL, 0);
    store_must(try_open(place->path, 3000, true, &store, &err), &err);
    assert_int_equal(count_faces(store), 0);
    assert_int_equal(store_add_one(store, "people", "s", NULL, 1, NULL, &err), FRT_EUNAVAILABLE);
    frt_store_close(store);
}

/* Whatever a database or a role says elsewhere, and whatever else is in it. */
static void settings_of_others_change_nothing(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    char sql[700];
    const char *name = strstr(place->path, "dbname=") + 7;
    const int n = (int)strcspn(name, " ");
    (void)snprintf(
        sql, sizeof sql,
        "ALTER DATABASE %.*s SET default_transaction_isolation = 'serializable'; ALTER DATABASE %.*s SET "
        "search_path = public; ALTER DATABASE %.*s SET synchronous_commit = off; ALTER DATABASE %.*s SET "
        "bytea_output = escape; CREATE TABLE public.counters(name text, value bigint); "
        "CREATE TABLE public.collections(a int); CREATE FUNCTION public.length(bytea) RETURNS int "
        "LANGUAGE sql AS 'SELECT 7'",
        n, name, n, name, n, name, n, name);
    postgres_server_sql(place->path, sql, NULL, 0);
    store_must(try_open(place->path, 5000, false, &store, &err), &err);
    store_must(frt_store_collection_add(store, &people, &err), &err);
    store_must(store_add_one(store, "people", "s", NULL, 1, NULL, &err), &err);
    assert_int_equal(count_faces(store), 1);
    frt_store_close(store);
}

static void another_writer_is_waited_for_not_forever(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    char command[700], held[640];
    store_must(try_open(place->path, 5000, false, &store, &err), &err); /* busy_ms 1000 */
    store_must(frt_store_collection_add(store, &people, &err), &err);
    (void)snprintf(command, sizeof command, "psql -X -q -d '%s' >/dev/null",
                   place->path + strlen("postgresql:"));
    (void)snprintf(held, sizeof held, "%s/held", place->folder);
    FILE *other = popen(command, "w");
    assert_non_null(other);
    (void)fprintf(other, "BEGIN; SELECT 1 FROM frt.counters WHERE name = 'seq' FOR UPDATE;\n\\! touch %s\n",
                  held);
    (void)fflush(other);
    for (int i = 0; i < 1000 && access(held, F_OK) != 0; i++)
        pause_ms(10);
    assert_int_equal(store_add_one(store, "people", "s", NULL, 1, NULL, &err), FRT_EOVERLOADED);
    assert_int_equal(count_faces(store), 0); /* readers do not wait */
    (void)fprintf(other, "COMMIT;\n\\q\n");
    assert_int_equal(pclose(other), 0);
    store_must(store_add_one(store, "people", "s", NULL, 1, NULL, &err), &err);
    frt_store_close(store);
}

static void a_server_that_is_away_holds_nobody_up(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    struct frt_store_news news;
    store_must(try_open(place->path, 500, false, &store, &err), &err);
    store_must(frt_store_collection_add(store, &people, &err), &err);
    assert_int_equal(count_faces(store), 0);
    postgres_server_crash();
    for (int i = 0; i < 4; i++) {
        struct frt_store_page *page = NULL;
        const int64_t start = frt_now_ns();
        assert_int_equal(frt_store_faces_list(store, "people", NULL, 0, 10, true, &page, &err),
                         FRT_EUNAVAILABLE);
        assert_int_equal(store_add_one(store, "people", "s", NULL, 1, NULL, &err), FRT_EUNAVAILABLE);
        assert_int_equal(frt_store_check(store, &err), FRT_EUNAVAILABLE);
        assert_true(frt_elapsed_ms(start) < 15000); /* three calls of half a second each, on a busy machine */
    }
    enum frt_status status = frt_store_wait_changes(store, 0, frt_now_ns() / 1000000 + 300, &news, &err);
    assert_int_equal(status, FRT_EUNAVAILABLE);
    postgres_server_again();
    store_must(store_add_one(store, "people", "s", NULL, 1, NULL, &err), &err);
    store_must(frt_store_wait_changes(store, 0, frt_now_ns() / 1000000 + 60000, &news, &err), &err);
    assert_true(news.last_seq > 0);
    frt_store_close(store);
}

static void a_standby_is_told_of(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    store_must(try_open(place->path, 3000, false, &store, &err), &err);
    store_must(frt_store_collection_add(store, &people, &err), &err);
    postgres_server_sql(place->path,
                        "REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA frt FROM frt; "
                        "CREATE ROLE looker LOGIN; GRANT USAGE ON SCHEMA frt TO looker; GRANT SELECT ON "
                        "ALL TABLES IN SCHEMA frt TO looker",
                        NULL, 0);
    frt_store_close(store);
    char address[POSTGRES_ADDRESS_MAX];
    (void)snprintf(address, sizeof address, "%.300s", place->path);
    char *user = strstr(address, "user=frt");
    (void)snprintf(user, sizeof address - (size_t)(user - address), "user=looker");
    enum frt_status status = try_open(address, 3000, false, &store, &err);
    assert_int_equal(status, FRT_EUNAVAILABLE);
    assert_non_null(strstr(err.text, "not permitted"));
    store_must(try_open(address, 3000, true, &store, &err), &err); /* who may only look can look */
    assert_int_equal(count_faces(store), 0);
    frt_store_close(store);
    postgres_server_sql(place->path, "DROP OWNED BY looker; DROP ROLE looker", NULL, 0);
}

static void a_full_disk_changes_nothing(void **state)
{
    const struct store_place *place = *state;
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    char folder[600], sql[900];
    const char *name = strstr(place->path, "dbname=") + 7;
    uint64_t n = 0;
    struct stat server;
    const char *host = strstr(place->path, "host=") + 5;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)strcspn(host, " "), host);
    assert_int_equal(stat(folder, &server), 0); /* the server's own, for its user */
    (void)snprintf(folder, sizeof folder, "%s/small", place->folder);
    (void)snprintf(sql, sizeof sql, "size=24m,mode=0700,uid=%u,gid=%u", server.st_uid, server.st_gid);
    if (geteuid() != 0 || mkdir(folder, 0777) != 0 || mount("tmpfs", folder, "tmpfs", 0, sql) != 0) {
        print_message("SKIP: a small disk cannot be mounted here\n");
        skip();
    }
    assert_int_equal(chmod(place->folder, 0711), 0);
    (void)snprintf(sql, sizeof sql, "CREATE TABLESPACE small LOCATION '%s'", folder);
    postgres_server_sql(place->path, sql, NULL, 0);
    char other[POSTGRES_ADDRESS_MAX];
    (void)snprintf(other, sizeof other, "%.*sdbname=postgres user=frt", (int)(name - 7 - place->path),
                   place->path);
    (void)snprintf(sql, sizeof sql, "ALTER DATABASE %.*s SET TABLESPACE small", (int)strcspn(name, " "), name);
    postgres_server_sql(other, sql, NULL, 0);
    store_must(try_open(place->path, 20000, false, &store, &err), &err);
    store_must(frt_store_collection_add(store, &people, &err), &err);
    enum frt_status status = FRT_OK;
    while (n < 2000 && status == FRT_OK) {
        static uint8_t crop[200000];
        float vector[PLACE_DIM];
        store_vector(n, vector);
        const struct frt_store_face face = {.subject = "s",
                                            .embedding = vector,
                                            .quality = NAN,
                                            .threshold = NAN,
                                            .crop = crop,
                                            .crop_size = sizeof crop};
        const struct frt_store_add add = {
            .collection = "people", .model = place_model, .dim = PLACE_DIM, .faces = &face, .n = 1};
        status = frt_store_faces_add(store, &add, NULL, NULL, NULL, &err);
        n += status == FRT_OK;
    }
    const enum frt_status when_full = status;
    const uint64_t there = count_faces(store); /* reads go on */
    frt_store_close(store);
    (void)snprintf(sql, sizeof sql, "ALTER DATABASE %.*s SET TABLESPACE pg_default", (int)strcspn(name, " "),
                   name);
    postgres_server_sql(other, sql, NULL, 0);
    postgres_server_sql(other, "DROP TABLESPACE small", NULL, 0);
    (void)umount2(folder, MNT_DETACH);
    assert_int_equal(when_full, FRT_ESTORAGE_FULL);
    assert_int_equal(there, n);
    store_must(try_open(place->path, 20000, false, &store, &err), &err); /* with room again it goes on */
    store_must(store_add_one(store, "people", "s", NULL, 1, NULL, &err), &err);
    assert_int_equal(count_faces(store), n + 1);
    frt_store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_place_make, store_place_drop)

int main(void)
{
    char name[] = "postgresql", *arguments[] = {name, name};
    const struct CMUnitTest tests[] = {TEST(restarts_lose_nothing),
                                       TEST(cut_connections_lose_nothing),
                                       TEST(lost_answers_are_looked_up),
                                       TEST(what_cannot_be_looked_up_is_said),
                                       TEST(numbers_are_seen_in_order),
                                       TEST(several_begin_at_once),
                                       TEST(refusals_are_clear_and_show_no_password),
                                       TEST(settings_of_others_change_nothing),
                                       TEST(another_writer_is_waited_for_not_forever),
                                       TEST(a_server_that_is_away_holds_nobody_up),
                                       TEST(a_standby_is_told_of),
                                       TEST(a_full_disk_changes_nothing)};
    if (!store_places_choose(2, arguments))
        return 77;
    return store_places_end(cmocka_run_group_tests(tests, NULL, NULL));
}
