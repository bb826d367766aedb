/*
 * Search among many faces, beside FAISS and hnswlib, on the same vectors in one run.
 *
 *     bench_search [CASE…]      KIND-SIZE-DIM, or SIZE-DIM for all kinds together:
 *         KIND  exhaustive, cores, batch16, five-best       SIZE  10k, 100k, 1m, 10m       DIM  128, 512
 *     ivf-200k-512, ivf-1m-512, even-1m-512, seeds-1m-512, open-1m, insert, enrolling-1m-512
 * default: those of `defaults` below
 *
 * Vectors: identities spread evenly, impostors near 0 ± 0.06, mates near 0.6 ± 0.08 of the identity's enrolled
 * face: components are Gaussian with variances exp(-j / tau), tau chosen for that spread. Probes are mates of
 * random identities. `seeds`: FRT_BENCH_SEEDS names a file of embeddings of real photos (`frt embed --json
 * --encoding base64 FOLDER`, one folder a person): first photos are enrolled, further ones are probes, and
 * distractors with the covariance of the real ones fill up the gallery. `ivf`: an archive of 250 photos of each
 * person, two photos of one near 0.6 as above; probes are further photos. `even`: the evenly spread identities
 * of the other cases, on which the index is right to take no lists.
 *
 * Lost: a probe whose mate (of an archive: any photo of the person) lies at or above the threshold of 0.35, and
 * the engine does not return it among its five best. For `ivf`, peers are also tuned (nprobe, ef) until they
 * lose no more than the index, and the faster they are, the better for them. Times are medians over probes, on
 * one thread unless the case says otherwise; FAISS and hnswlib are timed on one thread each.
 */
#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "index/index.h"
#include "peers/bench_peers.h"
#include "search/face_sets.h"
#include "store/store.h"

#include <pthread.h>

enum { TOP = 5, BATCH = 16 };
static const float threshold = 0.35f;

/* ------------------------------------------------------------------ measure */

struct result {
    double ms;   /* median a query */
    double loss; /* share of mates lost */
    double bytes_per_face;
};

/* Among those that exact search finds: at the threshold or above. (Whether another face is nearer still is the
 * model's affair; among the five best the mate then still is, or it is not counted.) */
static bool counts(const struct face_set *set, size_t p)
{
    return set->exact[p] >= threshold;
}

static void print_case(const char *name, const char *unit_name, double ours, const char *peer,
                       double peer_value, const struct result *mine, const struct result *theirs)
{
    struct frt_buf line;
    struct frt_json_writer w;
    char machine[256];
    bench_machine(machine, sizeof machine);
    frt_buf_init(&line, 4096);
    frt_json_writer_init(&w, &line, false);
    frt_json_object(&w);
    frt_json_key(&w, "bench");
    frt_json_string(&w, "search");
    frt_json_key(&w, "case");
    frt_json_string(&w, name);
    frt_json_key(&w, "unit");
    frt_json_string(&w, unit_name);
    frt_json_key(&w, "ours");
    frt_json_fixed(&w, ours, 4);
    frt_json_key(&w, "peer");
    frt_json_string(&w, peer);
    frt_json_key(&w, "peer_value");
    frt_json_fixed(&w, peer != NULL ? peer_value : NAN, 4);
    frt_json_key(&w, "ratio");
    frt_json_fixed(&w, peer != NULL && peer_value > 0 ? ours / peer_value : NAN, 4);
    frt_json_key(&w, "loss");
    frt_json_fixed(&w, mine->loss, 5);
    frt_json_key(&w, "bytes_per_face");
    frt_json_fixed(&w, mine->bytes_per_face, 1);
    if (theirs != NULL) {
        frt_json_key(&w, "peer_loss");
        frt_json_fixed(&w, theirs->loss, 5);
        frt_json_key(&w, "peer_bytes_per_face");
        frt_json_fixed(&w, theirs->bytes_per_face, 1);
    }
    frt_json_key(&w, "machine");
    frt_json_string(&w, machine);
    frt_json_key(&w, "flags");
    frt_json_string(&w, FRT_BENCH_FLAGS);
    frt_json_end(&w);
    if (frt_buf_status(&line) != FRT_OK || puts(line.data) < 0 || fflush(stdout) != 0)
        exit(1);
    frt_buf_deinit(&line);
}

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        fprintf(stderr, "bench_search: %s\n", err->text);
        exit(1);
    }
}

static struct frt_index *build(const struct face_set *set, uint64_t ivf_from, double *per_second)
{
    const struct frt_index_options options = {.dim = set->dim, .ivf_from = ivf_from};
    struct frt_index *index = NULL;
    struct frt_error err = {0};
    uint64_t keys[1000];
    uint32_t groups[1000];
    must(frt_index_new(&options, &index, &err), &err);
    const int64_t start = frt_now_ns();
    for (size_t i = 0; i < set->n; i += 1000) {
        const size_t n = set->n - i < 1000 ? set->n - i : 1000;
        for (size_t j = 0; j < n; j++) {
            keys[j] = i + j + 1;
            groups[j] = (uint32_t)((i + j) / set->photos);
        }
        must(frt_index_add(index, n, keys, groups, set->gallery + i * set->dim, &err), &err);
    }
    *per_second = (double)set->n / frt_elapsed_ms(start) * 1000;
    return index;
}

/* All probes, `batch` at a time. */
static struct result run_ours_as(const struct face_set *set, struct frt_index *index, size_t batch,
                                 bool one_thread, float least, bool exhaustive)
{
    struct frt_index_hit hits[BATCH * TOP];
    size_t n_hits[BATCH], lost = 0, mates = 0, n_times = 0;
    double *times = bench_need(frt_alloc_array(set->n_probes, sizeof *times));
    struct frt_error err = {0};
    for (size_t p = 0; p + batch <= set->n_probes; p += batch) {
        const struct frt_index_query query = {.vectors = set->probes + p * set->dim,
                                              .n = batch,
                                              .k = TOP,
                                              .min_score = least,
                                              .exhaustive = exhaustive,
                                              .one_thread = one_thread};
        const int64_t start = frt_now_ns();
        must(frt_index_search(index, &query, hits, n_hits, &err), &err);
        times[n_times++] = frt_elapsed_ms(start) / (double)batch;
        for (size_t b = 0; b < batch; b++) {
            bool found = false;
            for (size_t i = 0; i < n_hits[b]; i++)
                found = found || face_set_is_mate(set, p + b, hits[b * TOP + i].key - 1);
            mates += counts(set, p + b);
            lost += counts(set, p + b) && !found;
        }
    }
    const struct frt_index_stats stats = frt_index_stats_get(index);
    const struct result result = {bench_median(times, n_times), (double)lost / (double)mates,
                                  (double)stats.bytes / (double)set->n};
    frt_free(times);
    return result;
}

static struct result run_ours(const struct face_set *set, struct frt_index *index, size_t batch,
                              bool one_thread, float least)
{
    return run_ours_as(set, index, batch, one_thread, least, false);
}

struct peer_run {
    const char *name, *knob; /* knob: NULL = as it is */
    uint32_t value;
    size_t batch;
};

/* Builds *kept when it is not there. Times are of a part of the probes, in `batch`es; losses of all. */
static bool run_peer(const struct face_set *set, const struct peer_run *run, struct bench_peer **kept,
                     struct result *out)
{
    const struct bench_peer_options options = {.dim = set->dim, .train_per_list = set->n <= 100000 ? 0 : 39};
    struct bench_peer *peer = *kept;
    char why[256] = "";
    float scores[BATCH * TOP];
    int64_t ids[BATCH * TOP];
    /* flat is exact: a few probes tell its time, and it loses nobody */
    const bool flat = strncmp(run->name, "faiss-flat", 10) == 0;
    const size_t most = flat ? 32 : 208, probes = set->n_probes < most ? set->n_probes : most;
    size_t lost = 0, mates = 0, n_times = 0;
    if (peer == NULL && (!bench_peer_open(run->name, &options, &peer, why) ||
                         !bench_peer_build(peer, set->n, set->gallery, why))) {
        fprintf(stderr, "bench_search: peer %s is left out: %s\n", run->name, why);
        bench_peer_close(peer);
        return false;
    }
    *kept = peer;
    if (run->knob != NULL)
        (void)bench_peer_set(peer, run->knob, run->value);
    double *times = bench_need(frt_alloc_array(set->n_probes, sizeof *times));
    for (size_t p = 0; p + run->batch <= (flat ? probes : set->n_probes); p += run->batch) {
        const int64_t start = frt_now_ns();
        if (!bench_peer_search(peer, run->batch, set->probes + p * set->dim, TOP, scores, ids, why)) {
            fprintf(stderr, "bench_search: %s: %s\n", run->name, why);
            exit(1);
        }
        if (p < probes)
            times[n_times++] = frt_elapsed_ms(start) / (double)run->batch;
        for (size_t b = 0; b < run->batch; b++) {
            bool found = false;
            for (size_t i = 0; i < TOP; i++)
                found = found ||
                        (ids[b * TOP + i] >= 0 && face_set_is_mate(set, p + b, (uint64_t)ids[b * TOP + i]));
            mates += counts(set, p + b);
            lost += counts(set, p + b) && !found;
        }
    }
    *out = (struct result){bench_median(times, n_times), (double)lost / (double)mates,
                           (double)bench_peer_bytes(peer) / (double)set->n};
    frt_free(times);
    return true;
}

struct ours {
    const char *name, *unit_name;
    struct result result;
    size_t batch;
};

/* Every line that is asked for against the first n_peers peers; each peer is built once. */
enum { FLAT_PEERS = 2, FAISS_PEERS = 4, ALL_PEERS = 5 };

static void with_peers(const struct face_set *set, const struct ours *ours, size_t n_ours, size_t n_peers)
{
    static const char *const peers[ALL_PEERS] = {"faiss-flat", "faiss-flat-avx2", "faiss-ivfflat",
                                                 "faiss-ivfflat-avx2", "hnswlib"};
    static const uint32_t efs[] = {64, 256, 1024};
    struct result theirs;
    for (size_t i = 0; i < n_peers; i++) {
        const bool is_hnsw = strcmp(peers[i], "hnswlib") == 0;
        struct bench_peer *peer = NULL;
        for (size_t o = 0; o < n_ours; o++) {
            for (size_t e = 0; e < (is_hnsw ? sizeof efs / sizeof *efs : 1); e++) {
                char label[64];
                const struct peer_run run = {peers[i], is_hnsw ? "ef" : NULL, efs[e], ours[o].batch};
                if (!run_peer(set, &run, &peer, &theirs))
                    break;
                (void)snprintf(label, sizeof label, is_hnsw ? "%s ef=%u" : "%s", peers[i], efs[e]);
                print_case(ours[o].name, ours[o].unit_name, ours[o].result.ms, label, theirs.ms,
                           &ours[o].result, &theirs);
            }
        }
        bench_peer_close(peer);
    }
}

/* ------------------------------------------------------- beside lists */

static void print_peer(const char *name, const struct result *ours, struct bench_peer *peer, const char *which,
                       const char *how, const struct result *theirs)
{
    char label[128];
    (void)snprintf(label, sizeof label, "%s%s (%s)", which, how, bench_peer_describe(peer));
    print_case(name, "ms", ours->ms, label, theirs->ms, ours, theirs);
}

/* At the fastest setting with which the peer loses no more. False, with a word on stderr: there is none. */
static bool tune_peer(const struct face_set *set, const char *name, const struct result *ours,
                      struct bench_peer *peer, const char *which)
{
    const bool graph = strcmp(which, "hnswlib") == 0;
    struct result theirs = {.loss = 1};
    for (uint32_t value = graph ? TOP : 1; value <= 4096; value += value < 4 ? 1 : value / 4) {
        const struct peer_run run = {which, graph ? "ef" : "nprobe", value, 1};
        if (!run_peer(set, &run, &peer, &theirs))
            return false;
        if (theirs.loss <= ours->loss) {
            print_peer(name, ours, peer, which, " at equal loss", &theirs);
            return true;
        }
    }
    fprintf(stderr, "bench_search: %s loses %.4f at %s, more than %.4f, whatever it is set to\n", which,
            theirs.loss, bench_peer_describe(peer), ours->loss);
    return false;
}

/* IVFFlat of both builds of FAISS with the same lists, trained once: the second build reads what the first
 * wrote. n_lists 0 = what the parameters of bench_peers.h say, and then also with the nprobe that they say. */
static void beside_ivfflat(const struct face_set *set, const char *name, const struct result *ours,
                           uint32_t n_lists)
{
    static const char *const builds[] = {"faiss-ivfflat", "faiss-ivfflat-avx2"};
    static const char path[] = "build/bench-search.peer";
    const struct bench_peer_options options = {.dim = set->dim, .nlist = n_lists, .train_per_list = 39};
    for (size_t i = 0; i < 2; i++) {
        struct bench_peer *peer = NULL;
        struct result theirs;
        char why[256] = "";
        const struct peer_run as_set = {builds[i], NULL, 0, 1};
        if (!bench_peer_open(builds[i], &options, &peer, why) ||
            !(i == 0 ? bench_peer_build(peer, set->n, set->gallery, why) && bench_peer_save(peer, path, why)
                     : bench_peer_load(peer, path, why))) {
            fprintf(stderr, "bench_search: peer %s is left out: %s\n", builds[i], why);
        } else {
            if (n_lists == 0 && run_peer(set, &as_set, &peer, &theirs))
                print_peer(name, ours, peer, builds[i], "", &theirs);
            (void)tune_peer(set, name, ours, peer, builds[i]);
        }
        bench_peer_close(peer);
    }
    (void)unlink(path);
}

/* What can be tuned is, until it loses no more than the index: FAISS with its lists as their number is usual
 * and with as many as the index has, hnswlib (if `hnsw`: building it takes minutes to hours) with its ef. */
static void at_equal_loss(const struct face_set *set, const char *name, const struct result *ours,
                          uint32_t n_lists, bool hnsw)
{
    beside_ivfflat(set, name, ours, 0);
    if (n_lists > 0)
        beside_ivfflat(set, name, ours, n_lists);
    if (hnsw) {
        const struct peer_run first = {"hnswlib", NULL, 0, 1};
        struct bench_peer *peer = NULL;
        struct result theirs;
        if (run_peer(set, &first, &peer, &theirs))
            (void)tune_peer(set, name, ours, peer, "hnswlib");
        bench_peer_close(peer);
    }
}

enum { EXHAUSTIVE = 1, CORES = 2, BATCH16 = 4, FIVE_BEST = 8, ALL_KINDS = 15 };

static void case_size(unsigned kinds, const char *label, uint32_t dim, size_t n)
{
    struct face_set set;
    struct ours ours[2];
    size_t n_ours = 0;
    char exhaustive[64], name[64], batch16[64];
    double per_second = 0;
    face_set_even(&set, dim, n);
    struct frt_index *index = build(&set, UINT64_MAX, &per_second);
    const struct result one = run_ours(&set, index, 1, true, threshold);
    if (kinds & EXHAUSTIVE) {
        (void)snprintf(exhaustive, sizeof exhaustive, "exhaustive-%s", label);
        print_case(exhaustive, "ms", one.ms, NULL, 0, &one, NULL);
        ours[n_ours++] = (struct ours){exhaustive, "ms", one, 1};
    }
    if (kinds & CORES) {
        const struct result spread = run_ours(&set, index, 1, false, threshold);
        (void)snprintf(name, sizeof name, "cores-%s", label);
        print_case(name, "ms", spread.ms, "one core", one.ms, &spread, &one);
    }
    if (kinds & BATCH16) {
        const struct result batch = run_ours(&set, index, BATCH, true, threshold);
        (void)snprintf(batch16, sizeof batch16, "batch16-%s", label);
        print_case(batch16, "ms a query", batch.ms, "one by one", one.ms, &batch, &one);
        ours[n_ours++] = (struct ours){batch16, "ms a query", batch, BATCH};
    }
    if (kinds & FIVE_BEST) {
        const struct result all = run_ours(&set, index, 1, true, -1);
        (void)snprintf(name, sizeof name, "five-best-%s", label);
        print_case(name, "ms", all.ms, "with the threshold", one.ms, &all, &one);
    }
    if (n >
        1000000) { /* no peer has the room: what an exact search loses, others being nearer, from some probes */
        struct face_set some = set;
        some.n_probes = 200;
        const struct result quick = run_ours(&some, index, 1, true, threshold);
        const struct result rows = run_ours_as(&some, index, 1, true, threshold, true);
        (void)snprintf(name, sizeof name, "every-row-%s", label);
        print_case(name, "ms", quick.ms, "every row, 200 probes", rows.ms, &quick, &rows);
    }
    frt_index_free(index);
    if (n <= 1000000)
        with_peers(&set, ours, n_ours,
                   n <= 100000 || getenv("FRT_BENCH_HNSW") != NULL ? ALL_PEERS : FAISS_PEERS);
    face_set_deinit(&set);
}

/* hnsw: it is built, which takes minutes to hours. */
static void case_lists(const char *name, struct face_set *set, bool hnsw)
{
    double per_second = 0;
    struct frt_error err = {0};
    struct frt_index *index = build(set, UINT64_MAX, &per_second);
    const struct result flat = run_ours(set, index, 1, true, threshold);
    frt_index_free(index);
    index = build(set, set->n / 2, &per_second);
    const int64_t start = frt_now_ns();
    must(frt_index_maintain(index, NULL, NULL, &err), &err);
    const struct frt_index_stats stats = frt_index_stats_get(index);
    fprintf(stderr, "%s: upkeep took %.1f s: %s, %u of %u lists, loss of its own check %.4f\n", name,
            frt_elapsed_ms(start) / 1000, stats.kind, stats.probes, stats.lists, stats.built_loss);
    const struct result lists = run_ours(set, index, 1, true, threshold);
    frt_index_free(index);
    char label[64];
    (void)snprintf(label, sizeof label, "exhaustive (index decided for %s)", stats.kind);
    print_case(name, "ms", lists.ms, label, flat.ms, &lists, &flat);
    const struct ours ours = {name, "ms", lists, 1};
    with_peers(set, &ours, 1, FLAT_PEERS);
    at_equal_loss(set, name, &lists, stats.lists, hnsw);
}

static void case_open(void)
{
    static const char *const peers[] = {"faiss-flat", "faiss-ivfflat"};
    static const char path[] = "build/bench-search.frtx", peer_path[] = "build/bench-search.peer";
    struct face_set set;
    struct frt_error err = {0};
    double per_second = 0, times[7];
    struct frt_index_tag tag = {.collection_key = 1, .seq = 1};
    face_set_even(&set, 512, 1000000);
    struct frt_index *index = build(&set, UINT64_MAX, &per_second);
    must(frt_index_save(index, path, &tag, &err), &err);
    frt_index_free(index);
    for (size_t i = 0; i < 7; i++) {
        const struct frt_index_options options = {.dim = 512};
        const int64_t start = frt_now_ns();
        must(frt_index_load(&options, path, &tag, &index, &err), &err);
        times[i] = frt_elapsed_ms(start);
        if (i < 6)
            frt_index_free(index);
    }
    const double ours = bench_median(times, 7);
    const struct result result = run_ours(&set, index, 1, true, threshold);
    print_case("open-1m", "ms", ours, "target", 100, &result, NULL);
    (void)unlink(path);
    frt_index_free(index);
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        struct bench_peer *peer = NULL;
        struct result theirs;
        char why[256] = "";
        const struct peer_run run = {peers[i], NULL, 0, 1};
        const struct bench_peer_options options = {.dim = 512};
        if (!run_peer(&set, &run, &peer, &theirs))
            continue;
        bool kept = bench_peer_save(peer, peer_path, why);
        bench_peer_close(peer);
        peer = NULL;
        const int64_t start = frt_now_ns();
        kept = kept && bench_peer_open(peers[i], &options, &peer, why) && bench_peer_load(peer, peer_path, why);
        theirs.ms = frt_elapsed_ms(start);
        if (kept)
            print_case("open-1m", "ms", ours, peers[i], theirs.ms, &result, &theirs);
        else
            fprintf(stderr, "bench_search: peer %s is left out: %s\n", peers[i], why);
        bench_peer_close(peer);
        (void)unlink(peer_path);
    }
    face_set_deinit(&set);
}

/* As an enrollment does it: into the store, on disk when the call returns, then into the index. */
static double insert_durably(const struct face_set *set, struct frt_index *index)
{
    enum { ROWS = 1000 };
    static const char path[] = "build/bench-insert/frt.db";
    static struct frt_store_face faces[ROWS];
    static char names[ROWS][32];
    static uint64_t keys[ROWS];
    static uint32_t groups[ROWS];
    const struct frt_store_options options = {.path = path};
    const struct frt_store_collection people = {.name = "people", .threshold = NAN, .target_fpir = (double)NAN};
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    (void)unlink(path);
    must(frt_store_open(&options, &store, &err), &err);
    must(frt_store_collection_add(store, &people, &err), &err);
    const int64_t start = frt_now_ns();
    for (size_t first = 0; first < set->n; first += ROWS) {
        for (size_t i = 0; i < ROWS; i++) {
            (void)snprintf(names[i], sizeof names[i], "person-%zu", first + i);
            faces[i] = (struct frt_store_face){.subject = names[i],
                                               .embedding = set->gallery + (first + i) * set->dim,
                                               .quality = NAN,
                                               .threshold = NAN};
            groups[i] = (uint32_t)(first + i);
        }
        const struct frt_store_add add = {
            .collection = "people", .model = "bench 1", .dim = set->dim, .faces = faces, .n = ROWS};
        must(frt_store_faces_add(store, &add, keys, NULL, NULL, &err), &err);
        must(frt_index_add(index, ROWS, keys, groups, set->gallery + first * set->dim, &err), &err);
    }
    const double per_second = (double)set->n / frt_elapsed_ms(start) * 1000;
    frt_store_close(store);
    (void)unlink(path);
    return per_second;
}

static void case_insert(void)
{
    static const char *const peers[] = {"faiss-flat", "faiss-ivfflat", "hnswlib"};
    struct face_set set;
    struct frt_error err = {0};
    double memory_only = 0;
    face_set_even(&set, 512, 50000);
    frt_index_free(build(&set, UINT64_MAX, &memory_only));
    const struct frt_index_options options = {.dim = set.dim, .ivf_from = UINT64_MAX};
    struct frt_index *index = NULL;
    must(frt_index_new(&options, &index, &err), &err);
    const double durable = insert_durably(&set, index);
    const struct result ours = run_ours(&set, index, 1, true, threshold); /* keys are numbers from 1 on */
    frt_index_free(index);
    print_case("insert", "faces/s, durable and searchable", durable, "target", 20000, &ours, NULL);
    print_case("insert", "faces/s, durable and searchable", durable, "into the index alone", memory_only, &ours,
               &ours);
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        struct bench_peer *peer = NULL;
        struct result theirs;
        const struct peer_run run = {peers[i], NULL, 0, 1};
        char why[256] = "", label[64];
        const struct bench_peer_options peer_options = {.dim = set.dim, .train_per_list = 39};
        const int64_t start = frt_now_ns();
        if (!bench_peer_open(peers[i], &peer_options, &peer, why) ||
            !bench_peer_build(peer, set.n, set.gallery, why)) {
            fprintf(stderr, "bench_search: peer %s is left out: %s\n", peers[i], why);
        } else {
            const double rate = (double)set.n / frt_elapsed_ms(start) * 1000;
            (void)snprintf(label, sizeof label, "%s, in memory only, all cores", peers[i]);
            if (run_peer(&set, &run, &peer, &theirs))
                print_case("insert", "faces/s, durable and searchable", durable, label, rate, &ours, &theirs);
        }
        bench_peer_close(peer);
    }
    face_set_deinit(&set);
}

/* Searches while another thread enrolls, a hundred batches of ten a second, and deletes as many. */
struct enrolling {
    struct frt_index *index;
    const struct face_set *set;
    atomic_bool over;
};

static void *enroll_on(void *arg)
{
    struct enrolling *e = arg;
    for (uint64_t key = UINT64_C(1) << 32; !atomic_load(&e->over); key += 10) {
        uint64_t keys[10];
        uint32_t groups[10] = {0};
        struct frt_error err = {0};
        for (uint64_t i = 0; i < 10; i++)
            keys[i] = key + i;
        must(frt_index_add(e->index, 10, keys, groups, e->set->gallery + key % (e->set->n - 10) * e->set->dim,
                           &err),
             &err);
        (void)usleep(10000);
        must(frt_index_remove(e->index, 10, keys, NULL, &err), &err);
    }
    return NULL;
}

static double p99(const struct face_set *set, struct frt_index *index)
{
    enum { SEARCHES = 2000 };
    struct frt_index_hit hits[TOP];
    struct frt_error err = {0};
    double *times = bench_need(frt_alloc_array(SEARCHES, sizeof *times));
    size_t n_hits;
    for (size_t i = 0; i < SEARCHES; i++) {
        const struct frt_index_query query = {.vectors = set->probes + i % set->n_probes * set->dim,
                                              .n = 1,
                                              .k = TOP,
                                              .min_score = threshold,
                                              .one_thread = true};
        const int64_t start = frt_now_ns();
        must(frt_index_search(index, &query, hits, &n_hits, &err), &err);
        times[i] = frt_elapsed_ms(start);
    }
    qsort(times, SEARCHES, sizeof *times, bench_ascending);
    const double value = times[SEARCHES * 99 / 100];
    frt_free(times);
    return value;
}

static void case_enrolling(void)
{
    struct face_set set;
    double per_second = 0;
    pthread_t thread;
    face_set_even(&set, 512, 1000000);
    struct enrolling e = {.index = build(&set, UINT64_MAX, &per_second), .set = &set};
    const double quiet = p99(&set, e.index);
    if (pthread_create(&thread, NULL, enroll_on, &e) != 0)
        exit(1);
    const double busy = p99(&set, e.index);
    atomic_store(&e.over, true);
    (void)pthread_join(thread, NULL);
    const struct result none = {.bytes_per_face = (double)frt_index_stats_get(e.index).bytes / (double)set.n};
    print_case("p99-while-enrolling-1m-512", "ms", busy, "quiet", quiet, &none, NULL);
    frt_index_free(e.index);
    face_set_deinit(&set);
}

/* "1m-512" → its numbers. */
static bool size_of(const char *label, size_t *n, uint32_t *dim)
{
    static const struct {
        const char *name;
        size_t n;
    } sizes[] = {{"10k-", 10000}, {"100k-", 100000}, {"1m-", 1000000}, {"10m-", 10000000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t length = strlen(sizes[i].name);
        if (strncmp(label, sizes[i].name, length) == 0) {
            *n = sizes[i].n;
            *dim = strcmp(label + length, "128") == 0 ? 128 : strcmp(label + length, "512") == 0 ? 512 : 0;
            return *dim != 0;
        }
    }
    return false;
}

static bool run_size(const char *name)
{
    static const struct {
        const char *prefix;
        unsigned kinds;
    } kinds[] = {{"exhaustive-", EXHAUSTIVE},
                 {"cores-", CORES},
                 {"batch16-", BATCH16},
                 {"five-best-", FIVE_BEST},
                 {"", ALL_KINDS}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t length = strlen(kinds[i].prefix);
        size_t n = 0;
        uint32_t dim = 0;
        if (strncmp(name, kinds[i].prefix, length) == 0 && size_of(name + length, &n, &dim)) {
            case_size(kinds[i].kinds, name + length, dim, n);
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    static const char *const defaults[] = {"insert",           "10k-512",    "100k-512",    "1m-512",
                                           "1m-128",           "ivf-1m-512", "even-1m-512", "seeds-1m-512",
                                           "enrolling-1m-512", "open-1m"};
    const size_t n = argc > 1 ? (size_t)argc - 1 : sizeof defaults / sizeof *defaults;
    for (size_t i = 0; i < n; i++) {
        const char *name = argc > 1 ? argv[i + 1] : defaults[i];
        struct face_set set = {0};
        if (strcmp(name, "ivf-1m-512") == 0 || strcmp(name, "ivf-200k-512") == 0) {
            const bool small = strcmp(name, "ivf-200k-512") == 0;
            face_set_archive(&set, 512, small ? 200000 : 1000000);
            case_lists(name, &set, small || getenv("FRT_BENCH_HNSW") != NULL);
        } else if (strcmp(name, "even-1m-512") == 0) {
            face_set_even(&set, 512, 1000000);
            case_lists(name, &set, false);
        } else if (strcmp(name, "seeds-1m-512") == 0) {
            if (face_set_seeds(&set, 1000000))
                case_lists(name, &set, false);
        } else if (strcmp(name, "enrolling-1m-512") == 0) {
            case_enrolling();
        } else if (strcmp(name, "open-1m") == 0) {
            case_open();
        } else if (strcmp(name, "insert") == 0) {
            case_insert();
        } else if (!run_size(name)) {
            fprintf(stderr, "bench_search: no case '%s'\n", name);
            return 2;
        }
        face_set_deinit(&set);
    }
    return 0;
}
