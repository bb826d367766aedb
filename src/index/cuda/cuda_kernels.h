/*
 * Kernels of the search on a device, in the terms of cuda_layer.h.
 *
 *     for every round (first, end): a stretch of the corpus, each some eight times as long as all before it
 *         scan_one or scan_many   score every position; what reaches the query's floor joins its candidates
 *         select                  of the candidates keep the k best; their worst is the next round's floor
 *
 * In the first round there is no floor, and every position has a place of its own among the candidates
 * (`direct`, no counting). In a later one about k · 7 positions pass, whatever the size of the corpus, as long
 * as it is in no special order; candidates that find no room are counted, and the host takes shorter rounds
 * then.
 *
 * A candidate is a number whose order is the order wanted: score (fixed point: 2^30 · (score + 2), rounded as
 * float is) above the complement of the position. No two are equal, so what is selected does not depend on
 * timing. 0 = none.
 *
 * scan_one   one query: bound by memory. L lanes share a row, 16 bytes each; a warp has U rows a lane under
 * way. scan_many  up to NT queries, which lie in the block's memory all the time; tiles of 128 positions come
 * through a ring of STAGES slices of 64 bytes, and are multiplied by the tensor cores. 8 warps: WM × WN of
 * them.
 *
 * Rows are padded by 16 bytes in block memory: the 32 banks of 4 bytes are then hit once each by the 8 rows × 4
 * words that a warp reads of a fragment.
 */
#ifndef FRT_INDEX_CUDA_KERNELS_H
#define FRT_INDEX_CUDA_KERNELS_H

#include "cuda_view.h"

/** Where a round's candidates go; query q has [q * capacity]. */
struct sink {
    uint64_t *candidates;
    uint32_t *counts;
    uint64_t *floors; /* a candidate is greater than that */
    uint32_t capacity;
};

struct round_range {
    uint32_t first, end; /* first: a multiple of FRT_GPU_MIN_SLAB_ROWS */
    bool direct;
};

FRT_BOTH uint64_t candidate_of(float score, uint32_t position)
{
    const float shifted = (score < -1.99F ? -1.99F : score > 1.99F ? 1.99F : score) + 2.0F;
    return static_cast<uint64_t>(static_cast<uint32_t>(shifted * 1073741824.0F)) << 32 |
           (0xffffffffU - position);
}
/** What a score must at least be to be a candidate above `floor`; a little less, because of rounding. */
FRT_FUNCTION float score_of_floor(uint64_t floor)
{
    return static_cast<float>(static_cast<uint32_t>(floor >> 32)) * (1.0F / 1073741824.0F) - 2.0F - 1e-6F;
}

FRT_FUNCTION void offer(const sink &to, const round_range &range, uint32_t query, uint32_t position,
                        float score, uint64_t floor)
{
    const uint64_t candidate = score == score ? candidate_of(score, position) : 0; /* NaN: not to be found */
    uint64_t *list = to.candidates + static_cast<size_t>(query) * to.capacity;
    if (range.direct) {
        list[position - range.first] = candidate > floor ? candidate : 0;
    } else if (candidate > floor) {
        const uint32_t at = atomic_add(&to.counts[query], 1);
        if (at < to.capacity)
            list[at] = candidate;
    }
}

/* --------------------------------------------------------------- one query */

/* Sums of one row: whole numbers of two planes, or floats. */
template <bool HALF, int PLANES> struct row_sum;
template <int PLANES> struct row_sum<false, PLANES> {
    per_lane<int> plane[PLANES];
};
template <> struct row_sum<true, 1> {
    per_lane<float> plane[1];
};

FRT_FUNCTION void add16(int &sum, const bytes16 &row, const bytes16 &query)
{
    FRT_UNROLL
    for (int w = 0; w < 4; w++)
        sum = dot4(row.w[w], query.w[w], sum);
}
FRT_FUNCTION void add16(float &sum, const bytes16 &row, const bytes16 &query)
{
    FRT_UNROLL
    for (int w = 0; w < 4; w++)
        sum = half_dot2(row.w[w], query.w[w], sum);
}

enum { ONE_WARPS = 8, ONE_ROWS = 8 };

/* query  [PLANES][row_bytes]; row_bytes is at least 16 · (what L lanes take) or L is 4. */
template <bool HALF, int PLANES, int L>
FRT_KERNEL(ONE_WARPS *WARP, 2)
scan_one(corpus_view corpus, round_range range, const unsigned char *query, const float *q_scale,
         uint32_t number, sink to)
{
    enum { U = ONE_ROWS, GROUPS = WARP / L, STEP = GROUPS * U };
    unsigned char *mine = block_memory();
    const uint32_t chunks = corpus.row_bytes / 16;
    FOR_LANES(l)
    {
        for (uint32_t c = warp_index() * WARP + static_cast<uint32_t>(l); c < chunks * PLANES;
             c += warp_count() * WARP)
            store16(mine + c * 16, load16(query + c * 16));
    }
    block_barrier();
    const uint64_t floor = to.floors[number];
    const float scale_q = *q_scale;
    const uint64_t stride = static_cast<uint64_t>(block_count()) * warp_count() * STEP;
    for (uint64_t at =
             range.first + (static_cast<uint64_t>(block_index()) * warp_count() + warp_index()) * STEP;
         at < range.end; at += stride) {
        const auto base = static_cast<uint32_t>(at);
        const unsigned char *rows = row_at(corpus, base);
        const float *scales = scale_at(corpus, base);
        row_sum<HALF, PLANES> sums[U];
        FOR_LANES(l)
        {
            const uint32_t part = static_cast<uint32_t>(l) % L, group = static_cast<uint32_t>(l) / L;
            FRT_UNROLL
            for (int u = 0; u < U; u++) {
                FRT_UNROLL
                for (int p = 0; p < PLANES; p++)
                    sums[u].plane[p][l] = 0;
            }
            for (uint32_t c = part; c < chunks; c += L) {
                bytes16 row[U];
                FRT_UNROLL
                for (int u = 0; u < U; u++)
                    row[u] = load16_once(rows +
                                         static_cast<size_t>(static_cast<uint32_t>(u) * GROUPS + group) *
                                             corpus.row_bytes +
                                         c * 16);
                FRT_UNROLL
                for (int p = 0; p < PLANES; p++) {
                    const bytes16 q = load16(mine + (static_cast<uint32_t>(p) * chunks + c) * 16);
                    FRT_UNROLL
                    for (int u = 0; u < U; u++)
                        add16(sums[u].plane[p][l], row[u], q);
                }
            }
        }
        FRT_UNROLL
        for (int u = 0; u < U; u++) {
            FRT_UNROLL
            for (int p = 0; p < PLANES; p++)
                lane_sum<L>(sums[u].plane[p]);
        }
        FOR_LANES(l)
        {
            const uint32_t part = static_cast<uint32_t>(l) % L, group = static_cast<uint32_t>(l) / L;
            FRT_UNROLL
            for (int u = 0; u < U; u++) {
                const uint32_t row = static_cast<uint32_t>(u) * GROUPS + group;
                if (part != static_cast<uint32_t>(u) % L || base + row >= range.end)
                    continue;
                float sum = static_cast<float>(sums[u].plane[PLANES - 1][l]);
                if (PLANES == 2)
                    sum += 256.0F * static_cast<float>(sums[u].plane[0][l]);
                offer(to, range, number, base + row, sum * scale_q * scales[row], floor);
            }
        }
    }
}

/* ------------------------------------------------------------ many queries */

enum { TILE = 128, SLICE = 64, SLICE_PITCH = SLICE + 16, STAGES = 5, MANY_WARPS = 8 };

FRT_BOTH uint32_t query_pitch(uint32_t row_bytes)
{
    return (row_bytes + SLICE - 1) / SLICE * SLICE + 16;
}
/* What scan_many<…, NT> wants of block memory; `pitch` as above. */
static inline size_t many_memory(uint32_t pitch, uint32_t nt)
{
    return static_cast<size_t>(nt) * pitch + STAGES * TILE * SLICE_PITCH +
           nt * (sizeof(uint64_t) + 2 * sizeof(float));
}

template <bool HALF> struct accumulator {
    typedef int32_t type;
};
template <> struct accumulator<true> {
    typedef float type;
};

FRT_FUNCTION uint32_t word_at(const unsigned char *at)
{
    return *static_cast<const uint32_t *>(static_cast<const void *>(at));
}

/* Begin to bring slice `slice` of a tile's rows into a stage. */
FRT_FUNCTION void fetch_slice(const corpus_view &corpus, uint32_t position, uint32_t slice,
                              unsigned char *stage)
{
    enum { PARTS = SLICE / 16, EACH = TILE * PARTS / (MANY_WARPS * WARP) };
    const unsigned char *rows = row_at(corpus, position);
    FOR_LANES(l)
    {
        FRT_UNROLL
        for (uint32_t i = 0; i < EACH; i++) {
            const uint32_t n = i * MANY_WARPS * WARP + warp_index() * WARP + static_cast<uint32_t>(l);
            const uint32_t row = n / PARTS, byte = slice * SLICE + n % PARTS * 16;
            const bool there = byte < corpus.row_bytes;
            copy16_async(stage + row * SLICE_PITCH + n % PARTS * 16,
                         rows + static_cast<size_t>(row) * corpus.row_bytes + (there ? byte : 0), there);
        }
    }
}

/* queries  [n][row_bytes], n <= NT; the first has number `number`. */
template <bool HALF, int NT, int WM>
FRT_KERNEL(MANY_WARPS *WARP, (NT >= 128 ? 1 : 2))
scan_many(corpus_view corpus, round_range range, const unsigned char *queries, const float *q_scales,
          uint32_t n, uint32_t number, sink to)
{
    enum { WN = MANY_WARPS / WM, MT = TILE / WM / 16, NW = NT / WN / 8 };
    typedef typename accumulator<HALF>::type sum_type;
    const uint32_t pitch = query_pitch(corpus.row_bytes), slices = (corpus.row_bytes + SLICE - 1) / SLICE;
    unsigned char *mine = block_memory(), *stages = mine + NT * pitch;
    uint64_t *floors = static_cast<uint64_t *>(static_cast<void *>(stages + STAGES * TILE * SLICE_PITCH));
    float *least = static_cast<float *>(static_cast<void *>(floors + NT)), *q_scale = least + NT;
    const uint32_t wm = warp_index() / WN, wn = warp_index() % WN;

    /* the queries, with zeros behind their end and in the place of those that are not there */
    FOR_LANES(l)
    {
        const uint32_t thread = warp_index() * WARP + static_cast<uint32_t>(l), parts = pitch / 16;
        for (uint32_t i = thread; i < NT * parts; i += MANY_WARPS * WARP) {
            const uint32_t q = i / parts, byte = i % parts * 16;
            const bytes16 zeros = {{0, 0, 0, 0}};
            store16(mine + q * pitch + byte,
                    q < n && byte < corpus.row_bytes
                        ? load16(queries + static_cast<size_t>(q) * corpus.row_bytes + byte)
                        : zeros);
        }
        for (uint32_t q = thread; q < NT; q += MANY_WARPS * WARP) {
            floors[q] = q < n ? to.floors[number + q] : ~0ULL;
            least[q] = q < n ? score_of_floor(floors[q]) : 4.0F;
            q_scale[q] = q < n ? q_scales[q] : 0;
        }
    }

    const uint32_t tiles = (range.end - range.first + TILE - 1) / TILE;
    const uint32_t my_tiles = block_index() < tiles ? (tiles - block_index() - 1) / block_count() + 1 : 0;
    const uint64_t total = static_cast<uint64_t>(my_tiles) * slices;
    /* what is fetched next, and what is worked on */
    uint32_t f_tile = block_index(), f_slice = 0, f_stage = 0, tile = block_index(), slice = 0, stage = 0;
    for (uint64_t i = 0; i < STAGES - 1; i++) {
        if (i < total) {
            fetch_slice(corpus, range.first + f_tile * TILE, f_slice, stages + f_stage * TILE * SLICE_PITCH);
            f_tile += f_slice + 1 == slices ? block_count() : 0;
            f_slice = f_slice + 1 == slices ? 0 : f_slice + 1;
            f_stage++;
        }
        copy_commit();
    }

    per_lane<sum_type> sums[MT][NW][4];
    per_lane<float> scales[MT][2];
    for (uint64_t i = 0; i < total; i++) {
        copy_wait<STAGES - 2>();
        block_barrier(); /* this slice is there for all; and nobody reads the one before it any more */
        if (i + STAGES - 1 < total) {
            fetch_slice(corpus, range.first + f_tile * TILE, f_slice, stages + f_stage * TILE * SLICE_PITCH);
            f_tile += f_slice + 1 == slices ? block_count() : 0;
            f_slice = f_slice + 1 == slices ? 0 : f_slice + 1;
        }
        f_stage = f_stage + 1 == STAGES ? 0 : f_stage + 1;
        copy_commit();
        const uint32_t position = range.first + tile * TILE + wm * MT * 16; /* of this warp's first row */
        if (slice == 0) {
            const float *of_tile = scale_at(corpus, range.first + tile * TILE) + wm * MT * 16;
            FOR_LANES(l)
            {
                FRT_UNROLL
                for (int m = 0; m < MT; m++) {
                    scales[m][0][l] = of_tile[m * 16 + l / 4];
                    scales[m][1][l] = of_tile[m * 16 + l / 4 + 8];
                    FRT_UNROLL
                    for (int w = 0; w < NW; w++) {
                        FRT_UNROLL
                        for (int e = 0; e < 4; e++)
                            sums[m][w][e][l] = 0;
                    }
                }
            }
        }
        const unsigned char *rows = stages + stage * TILE * SLICE_PITCH + wm * MT * 16 * SLICE_PITCH;
        const unsigned char *columns = mine + wn * NW * 8 * pitch + slice * SLICE;
        FRT_UNROLL
        for (int k = 0; k < SLICE / 32; k++) {
            per_lane<uint32_t> a[MT][4];
            FOR_LANES(l)
            {
                FRT_UNROLL
                for (int m = 0; m < MT; m++) {
                    const unsigned char *at = rows + (m * 16 + l / 4) * SLICE_PITCH + k * 32 + l % 4 * 4;
                    a[m][0][l] = word_at(at);
                    a[m][1][l] = word_at(at + 8 * SLICE_PITCH);
                    a[m][2][l] = word_at(at + 16);
                    a[m][3][l] = word_at(at + 8 * SLICE_PITCH + 16);
                }
            }
            FRT_UNROLL
            for (int w = 0; w < NW; w++) {
                per_lane<uint32_t> b[2];
                FOR_LANES(l)
                {
                    const unsigned char *at =
                        columns + static_cast<uint32_t>(w * 8 + l / 4) * pitch + k * 32 + l % 4 * 4;
                    b[0][l] = word_at(at);
                    b[1][l] = word_at(at + 16);
                }
                FRT_UNROLL
                for (int m = 0; m < MT; m++)
                    mma(sums[m][w], a[m], b);
            }
        }
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        slice++;
        if (slice < slices)
            continue;
        slice = 0;
        tile += block_count();
        FOR_LANES(l)
        {
            FRT_UNROLL
            for (int w = 0; w < NW; w++) {
                FRT_UNROLL
                for (int e = 0; e < 2; e++) {
                    const uint32_t q = wn * NW * 8 + static_cast<uint32_t>(w * 8 + l % 4 * 2 + e);
                    const float scale_q = q_scale[q], reach = range.direct ? -4.0F : least[q];
                    FRT_UNROLL
                    for (int m = 0; m < MT; m++) {
                        FRT_UNROLL
                        for (int h = 0; h < 2; h++) {
                            const float score =
                                static_cast<float>(sums[m][w][2 * h + e][l]) * scale_q * scales[m][h][l];
                            const uint32_t at = position + static_cast<uint32_t>(m * 16 + l / 4 + h * 8);
                            /* NaN reaches nothing; of a direct round every place is written */
                            if ((score >= reach || range.direct) && q < n && at < range.end)
                                offer(to, range, number + q, at, score, floors[q]);
                        }
                    }
                }
            }
        }
    }
}

/* ------------------------------------------------------------------ select */

enum { DIGIT = 11, BINS = 1 << DIGIT, SELECT_MAX = 2048 };

/* Block memory of select. */
struct selection {
    uint64_t kept[SELECT_MAX];
    uint32_t bins[BINS];
    uint64_t prefix; /* a candidate that is kept is at least that */
    uint32_t wanted, n_kept;
    bool over;
};

/* Of the counts in `bins`, taken from the greatest on: the bin in which the wanted-th lies. Warp 0. */
FRT_FUNCTION void pick_bin(selection *s, uint32_t shift)
{
    enum { EACH = BINS / WARP };
    per_lane<uint32_t> own, running;
    FOR_LANES(l)
    {
        own[l] = 0;
        for (uint32_t b = 0; b < EACH; b++)
            own[l] += s->bins[BINS - 1 - (static_cast<uint32_t>(l) * EACH + b)];
        running[l] = own[l];
    }
    lane_running_sum(running);
    const uint32_t wanted = s->wanted;
    warp_barrier();
    FOR_LANES(l)
    {
        const uint32_t before = running[l] - own[l];
        if (l == WARP - 1 && running[l] < wanted) /* fewer than wanted in all: only in the first digit */
            s->over = true;
        if (before < wanted && running[l] >= wanted) {
            uint32_t left = wanted - before, bin = BINS - 1 - static_cast<uint32_t>(l) * EACH;
            while (s->bins[bin] < left)
                left -= s->bins[bin--];
            s->prefix |= static_cast<uint64_t>(bin) << shift;
            s->wanted = left;
            s->over = s->bins[bin] == left; /* all of this bin: further digits need not be looked at */
        }
    }
}

/* One block a query. direct_n  candidates of a direct round; 0 = those that were counted.
 * lost  set when candidates found no room. */
FRT_KERNEL(32 * WARP, 1) select_best(sink to, uint32_t k, uint32_t direct_n, uint32_t *lost)
{
    selection *s = static_cast<selection *>(static_cast<void *>(block_memory()));
    const uint32_t q = block_index(), counted = direct_n != 0 ? direct_n : to.counts[q];
    const uint32_t n = counted < to.capacity ? counted : to.capacity;
    uint64_t *list = to.candidates + static_cast<size_t>(q) * to.capacity;
    const uint32_t threads = warp_count() * WARP, first = warp_index() * WARP;
    FOR_LANES(l)
    {
        if (first + static_cast<uint32_t>(l) == 0) {
            s->prefix = 0;
            s->wanted = k;
            s->n_kept = 0;
            s->over = false;
            if (counted > to.capacity)
                (void)atomic_add(lost, 1);
        }
    }
    block_barrier();
    for (int digit = 0; digit < 6; digit++) {
        const uint32_t shift = digit < 5 ? 64 - DIGIT * (static_cast<uint32_t>(digit) + 1) : 0;
        const uint32_t above = digit == 0  ? 64
                               : digit < 5 ? shift + DIGIT
                                           : 9; /* bits from here on are decided */
        const uint32_t mask = digit < 5 ? BINS - 1 : (1U << 9) - 1;
        FOR_LANES(l)
        {
            for (uint32_t b = first + static_cast<uint32_t>(l); b < BINS; b += threads)
                s->bins[b] = 0;
        }
        block_barrier();
        const uint64_t prefix = s->prefix;
        FOR_LANES(l)
        {
            for (uint32_t i = first + static_cast<uint32_t>(l); i < n; i += threads) {
                const uint64_t c = list[i];
                if (c != 0 && (above == 64 || c >> above == prefix >> above))
                    (void)atomic_add(&s->bins[c >> shift & mask], 1);
            }
        }
        block_barrier();
        if (warp_index() == 0)
            pick_bin(s, shift);
        block_barrier();
        if (s->over)
            break;
    }
    const uint64_t least = s->prefix;
    FOR_LANES(l)
    {
        for (uint32_t i = first + static_cast<uint32_t>(l); i < n; i += threads) {
            const uint64_t c = list[i];
            if (c != 0 && c >= least) {
                const uint32_t at = atomic_add(&s->n_kept, 1);
                if (at < SELECT_MAX)
                    s->kept[at] = c;
            }
        }
    }
    block_barrier();
    const uint32_t n_kept = s->n_kept < k ? s->n_kept : k;
    FOR_LANES(l)
    {
        for (uint32_t i = first + static_cast<uint32_t>(l); i < n_kept; i += threads)
            list[i] = s->kept[i];
        if (first + static_cast<uint32_t>(l) == 0) {
            to.counts[q] = n_kept;
            if (n_kept == k && least > to.floors[q] + 1)
                to.floors[q] = least - 1;
        }
    }
}

#endif
