/*
 * Bits: the stuffed zeros are taken out of the data first, a buffer at a time, so that the 64-bit window is
 * filled without looking at what goes in. The buffer always holds more than the longest MCU, or the rest
 * and zeros; that more bits were used than there are is noticed after each MCU.
 *
 * Symbols: WINDOW bits index a table whose entries hold a symbol's code, run and value at once. Behind the last
 * coefficient that is wanted, an entry is as many whole symbols as fit into the index: several coefficients
 * are stepped over by one look-up. Branches that depend on the photo cost more than arithmetic here: a
 * coefficient in between that is not wanted is multiplied by zero.
 *
 * Pixels: the mean of a half block needs, of the cosines, the constant and the odd ones; even ones cancel
 * over four samples. Of the odd ones the first is taken; the others weigh a third of it at most. So four
 * coefficients of 64 make the four sums: constant, left-right, top-bottom, diagonal.
 *
 *     entropy bytes → sums of a block → planes of one row of MCUs → RGB rows
 */
#include "image/jpeg_scan.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

enum {
    WINDOW = 12, /* bits that index a table: 16 KB each */
    BLOCK = 64,
    MAX_CODE = 16,
    FRACTION = 12,     /* bits of the weights' fraction */
    BUFFER = 64 << 10, /* unstuffed bytes at hand */
    RESERVE = 2048     /* > 6 blocks of 64 symbols of 31 bits */
};

/* A symbol with its value. bits 0: it is longer than WINDOW, or there is no such code. */
struct symbol {
    int16_t value;
    uint8_t bits;    /* of code and value */
    uint8_t advance; /* coefficients stepped over; BLOCK: the block ends */
};

/* An entry for several symbols, see fill_steps(). */
struct step {
    uint8_t bits, advance; /* all symbols of the entry; bits 0 = not one fits */
    uint8_t last_at;       /* advance before the last of them */
};

struct huffman {
    struct symbol quick[1 << WINDOW];
    uint32_t limit[MAX_CODE + 1]; /* by length: first code past those of that length, as 16 bits */
    int32_t offset[MAX_CODE + 1]; /* index of values = offset + code */
    const uint8_t *values;
    int32_t n_values;
};

struct bits {
    const uint8_t *at;
    uint64_t window; /* next bit on top */
    unsigned n_bits; /* valid ones */
};

struct feed {
    const uint8_t *from, *end; /* stuffed bytes yet to come */
    const uint8_t *clean_end;  /* of what the buffer holds; RESERVE zeros follow when dry */
    bool dry;                  /* a marker, or the end: nothing follows before a restart */
    uint8_t buffer[BUFFER + RESERVE];
};

/* What one component needs while the scan is read. */
struct channel {
    uint32_t h, v;               /* blocks in an MCU */
    uint32_t columns, rows;      /* samples a block becomes: 1 or 2 each */
    uint32_t stride, plane_rows; /* of `plane` */
    uint8_t *plane;              /* one row of MCUs */
    uint32_t repeat_x, repeat_y; /* output pixels a sample, as shifts */
    int32_t dc;                  /* prediction */
    const struct huffman *dc_codes, *ac_codes;
    const struct step *steps;
    uint32_t n_wanted; /* zigzag positions up to the last coefficient wanted */
    /* By zigzag position; twice as long, as a run may lead past the end. */
    int32_t weight[2 * BLOCK]; /* dequantisation included */
    uint8_t sum[2 * BLOCK];    /* which of the four sums */
};

/* Everything taken from the heap, in one piece. */
struct tables {
    struct feed feed;
    struct huffman dc[3], ac[3];
    struct step steps[3][1 << WINDOW];
    struct channel channels[3];
};

/* The natural position (8 v + u) of zigzag position k. T.81, figure A.6. */
static const uint8_t natural_of[BLOCK] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                          12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                          35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                          58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* ------------------------------------------------------------------ bits */

static inline uint64_t load_be64(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

/* At least 56 bits. The bits of the window below n_bits are already those of the bytes at `at`. */
static inline void fill(struct bits *b)
{
    b->window |= load_be64(b->at) >> b->n_bits;
    b->at += (63 - b->n_bits) >> 3;
    b->n_bits |= 56;
}

static inline void use(struct bits *b, unsigned n)
{
    b->window <<= n;
    b->n_bits -= n;
}

/* Makes the buffer hold RESERVE bytes from `at` on, or all that are left. Moves them to its start. */
static void feed(struct feed *f, struct bits *b)
{
    size_t have = b->at < f->clean_end ? (size_t)(f->clean_end - b->at) : 0;
    if (have >= RESERVE || f->dry)
        return;
    memmove(f->buffer, b->at, have);
    while (have < BUFFER && !f->dry) {
        size_t most = (size_t)(f->end - f->from) < BUFFER - have ? (size_t)(f->end - f->from) : BUFFER - have;
        const uint8_t *mark = memchr(f->from, 0xFF, most);
        size_t plain = mark == NULL ? most : (size_t)(mark - f->from);
        memcpy(f->buffer + have, f->from, plain);
        have += plain;
        f->from += plain;
        if (mark == NULL) {
            f->dry = f->from == f->end;
        } else if (f->end - mark >= 2 && mark[1] == 0) {
            f->buffer[have++] = 0xFF;
            f->from += 2;
        } else {
            f->dry = true;
        }
    }
    b->at = f->buffer;
    f->clean_end = f->buffer + have;
    memset(f->buffer + have, 0, RESERVE);
}

/* Bits that were not used yet; below zero when some were used that there are not. */
static long bits_left(const struct feed *f, const struct bits *b)
{
    return (f->clean_end - b->at) * 8 + (long)b->n_bits;
}

/* After the last MCU of an interval: RSTn, and everything starts afresh. */
static bool pass_restart(struct feed *f, struct bits *b, unsigned number)
{
    feed(f, b);
    if (!f->dry || bits_left(f, b) >= 8)
        return false;
    while (f->end - f->from >= 2 && f->from[1] == 0xFF)
        f->from++;
    if (f->end - f->from < 2 || f->from[1] != 0xD0 + number % 8)
        return false;
    f->from += 2;
    f->dry = false;
    f->clean_end = f->buffer;
    *b = (struct bits){.at = f->buffer};
    feed(f, b);
    return true;
}

/* --------------------------------------------------------------- Huffman */

/* The symbol `value` of the file, whose code of `length` bits lies on top of the window. */
static struct symbol symbol_of(uint32_t length, uint8_t value, uint64_t window)
{
    uint32_t run = value >> 4, size = value & 15;
    bool ends = size == 0 && run != 15;
    /* sign-extended as T.81 F.2.2.1 says; of no bits: 0 */
    int32_t raw = (int32_t)(window << length >> 1 >> (63 - size)), half = (1 << size) >> 1;
    return (struct symbol){.value = (int16_t)(raw < half ? raw + 1 - (1 << size) : raw),
                           .bits = (uint8_t)(length + size),
                           .advance = (uint8_t)(ends ? BLOCK : run + 1)};
}

/* Looks through the code lengths; bits 0 when the window shows no code. */
static struct symbol find(const struct huffman *huffman, uint64_t window)
{
    uint32_t peek = (uint32_t)(window >> 48);
    for (uint32_t length = 1; length <= MAX_CODE; length++) {
        if (peek >= huffman->limit[length])
            continue;
        int32_t at = huffman->offset[length] + (int32_t)(peek >> (MAX_CODE - length));
        if (at < 0 || at >= huffman->n_values)
            break;
        return symbol_of(length, huffman->values[at], window);
    }
    return (struct symbol){0};
}

static bool build(struct huffman *huffman, const uint8_t *bits, const uint8_t *values)
{
    uint32_t code = 0, n = 0;
    huffman->values = values;
    for (uint32_t length = 1; length <= MAX_CODE; length++) {
        huffman->offset[length] = (int32_t)n - (int32_t)code;
        if (n + bits[length] > 256 || code + bits[length] > (1U << length))
            return false;
        n += bits[length];
        code += bits[length];
        huffman->limit[length] = code << (MAX_CODE - length);
        code <<= 1;
    }
    huffman->n_values = (int32_t)n;
    for (uint32_t index = 0; index < 1U << WINDOW; index++) {
        struct symbol s = find(huffman, (uint64_t)index << (64 - WINDOW));
        huffman->quick[index] = s.bits <= WINDOW ? s : (struct symbol){0};
    }
    return true;
}

/* The symbol on top of the window, which is filled but not used. */
static inline struct symbol peek_symbol(const struct huffman *huffman, struct bits *b)
{
    fill(b);
    struct symbol s = huffman->quick[b->window >> (64 - WINDOW)];
    return __builtin_expect(s.bits == 0, 0) ? find(huffman, b->window) : s;
}

static void fill_steps(struct step *steps, const struct huffman *huffman)
{
    for (uint32_t index = 0; index < 1U << WINDOW; index++) {
        struct step step = {0};
        uint32_t used = 0;
        while (used < WINDOW && step.advance < BLOCK) {
            struct symbol s = huffman->quick[index << used & ((1U << WINDOW) - 1)];
            /* what was shifted in at the end is not known: no symbol may reach into it */
            if (s.bits == 0 || used + s.bits > WINDOW)
                break;
            step.last_at = step.advance;
            step.advance = (uint8_t)(step.advance + s.advance);
            used += s.bits;
            step.bits = (uint8_t)used;
        }
        steps[index] = step;
    }
}

/* ---------------------------------------------------------------- blocks */

/* Predicted DC coefficient, quantised. */
static inline bool read_dc(struct channel *c, struct bits *b)
{
    struct symbol s = peek_symbol(c->dc_codes, b);
    /* in a DC table the run is 0; an advance of BLOCK is a difference of 0 */
    if (s.bits == 0 || (s.advance != 1 && s.advance != BLOCK))
        return false;
    c->dc += s.value;
    use(b, s.bits);
    return c->dc >= -32768 && c->dc <= 32767;
}

/* 64 bits, as a hostile file may multiply 15 bits by 16. */
static inline uint8_t sample(int64_t value)
{
    value = ((value + (1 << (FRACTION - 1))) >> FRACTION) + 128;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* The four sums of a block. */
static inline bool read_sums(struct channel *c, struct bits *bits, int64_t sums[4])
{
    struct bits b = *bits; /* what no pointer leads to stays in registers */
    const struct step *steps = c->steps;
    uint32_t k = 1; /* coefficients behind us */
    if (!read_dc(c, &b))
        return false;
    sums[0] = (int64_t)c->dc * c->weight[0];
    while (k < c->n_wanted) {
        struct symbol s = peek_symbol(c->ac_codes, &b);
        if (s.bits == 0)
            return false;
        use(&b, s.bits);
        k += s.advance; /* a run past the end adds nothing: as in libjpeg, it just ends the block */
        sums[c->sum[k - 1]] += (int64_t)s.value * c->weight[k - 1];
    }
    while (k < BLOCK) {
        fill(&b);
        struct step step = steps[b.window >> (64 - WINDOW)];
        if (__builtin_expect(step.bits != 0 && k + step.last_at < BLOCK, 1)) {
            use(&b, step.bits);
            k += step.advance;
        } else { /* a long symbol, or the block ends among the entry's symbols */
            struct symbol s = peek_symbol(c->ac_codes, &b);
            if (s.bits == 0)
                return false;
            use(&b, s.bits);
            k += s.advance;
        }
    }
    *bits = b;
    return true;
}

/* The mean of a block, or of its halves or quarters. */
static bool read_block(struct channel *c, struct bits *b, uint8_t *to)
{
    int64_t sums[4] = {0};
    if (!read_sums(c, b, sums))
        return false;
    to[0] = sample(sums[0] + sums[1] + sums[2] + sums[3]);
    if (c->columns == 2)
        to[1] = sample(sums[0] - sums[1] + sums[2] - sums[3]);
    if (c->rows == 2)
        to[c->stride] = sample(sums[0] + sums[1] - sums[2] - sums[3]);
    if (c->columns == 2 && c->rows == 2)
        to[c->stride + 1] = sample(sums[0] - sums[1] - sums[2] + sums[3]);
    return true;
}

/* --------------------------------------------------------------- channel */

/* How much the cosine of frequency u has, on average, over the first half of eight samples. */
static double half_mean(uint32_t u)
{
    double sum = 0;
    for (uint32_t x = 0; x < 4; x++)
        sum += cos((2 * x + 1) * u * 3.14159265358979323846 / 16);
    return u == 0 ? sqrt(0.125) : 0.5 * sum / 4;
}

static void weigh(struct channel *c, const uint16_t *quant)
{
    for (uint32_t k = 0; k < BLOCK; k++) {
        uint32_t natural = natural_of[k], u = natural % 8, v = natural / 8;
        bool needed = u < c->columns && v < c->rows;
        if (needed)
            c->n_wanted = k + 1;
        c->sum[k] = (uint8_t)((u != 0) + 2 * (v != 0));
        c->weight[k] =
            needed ? (int32_t)lround(half_mean(u) * half_mean(v) * quant[natural] * (1 << FRACTION)) : 0;
    }
}

static uint32_t log2_of(uint32_t n)
{
    return n == 4 ? 2 : n == 2 ? 1 : 0;
}

/* The codes of component i, built unless an earlier component has the same. NULL when they are no codes. */
static const struct huffman *share(struct tables *t, size_t i, bool dc, const struct jpeg_scan *scan)
{
    const struct jpeg_component *c = scan->component;
    for (size_t k = 0; k < i; k++)
        if ((dc ? c[k].dc_bits : c[k].ac_bits) == (dc ? c[i].dc_bits : c[i].ac_bits))
            return dc ? t->channels[k].dc_codes : t->channels[k].ac_codes;
    struct huffman *huffman = dc ? &t->dc[i] : &t->ac[i];
    bool ok = dc ? build(huffman, c[i].dc_bits, c[i].dc_values) : build(huffman, c[i].ac_bits, c[i].ac_values);
    return ok ? huffman : NULL;
}

static bool set_up_channel(struct tables *t, const struct jpeg_scan *scan, size_t i, uint32_t per_block,
                           uint32_t mcus)
{
    const struct jpeg_component *from = &scan->component[i];
    struct channel *c = &t->channels[i];
    uint32_t h_max = scan->component[0].h, v_max = scan->component[0].v;
    c->dc_codes = share(t, i, true, scan);
    c->ac_codes = share(t, i, false, scan);
    if (c->dc_codes == NULL || c->ac_codes == NULL)
        return false;
    c->h = from->h;
    c->v = from->v;
    /* a block of a subsampled channel covers more pixels, and becomes more of them */
    c->columns = per_block * h_max / from->h < 2 ? 1 : 2;
    c->rows = per_block * v_max / from->v < 2 ? 1 : 2;
    c->repeat_x = log2_of(per_block * h_max / from->h / c->columns);
    c->repeat_y = log2_of(per_block * v_max / from->v / c->rows);
    c->stride = mcus * c->h * c->columns;
    c->plane_rows = c->v * c->rows;
    weigh(c, from->quant);
    for (size_t k = 0; k < i && c->steps == NULL; k++)
        if (t->channels[k].ac_codes == c->ac_codes)
            c->steps = t->channels[k].steps;
    if (c->steps == NULL) {
        fill_steps(t->steps[i], c->ac_codes);
        c->steps = t->steps[i];
    }
    c->plane = frt_alloc_array(c->plane_rows, c->stride);
    return c->plane != NULL;
}

/* ---------------------------------------------------------------- pixels */

static inline uint8_t clamp_u8(int32_t v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Row y of the MCU row → RGB; BT.601, 16 bits of fraction. */
static void write_row(const struct tables *t, uint32_t n_components, uint32_t y, const struct jpeg_part *part,
                      uint8_t *to)
{
    const struct channel *c = t->channels;
    const uint8_t *luma = c[0].plane + (size_t)y * c[0].stride;
    if (n_components == 1) {
        for (uint32_t x = part->x; x < part->x + part->width; x++, to += 3)
            to[0] = to[1] = to[2] = luma[x];
        return;
    }
    const uint8_t *blue = c[1].plane + (size_t)(y >> c[1].repeat_y) * c[1].stride;
    const uint8_t *red = c[2].plane + (size_t)(y >> c[2].repeat_y) * c[2].stride;
    for (uint32_t x = part->x; x < part->x + part->width; x++, to += 3) {
        int32_t l = luma[x] * 65536 + 32768;
        int32_t cb = blue[x >> c[1].repeat_x] - 128, cr = red[x >> c[2].repeat_x] - 128;
        to[0] = clamp_u8((l + 91881 * cr) >> 16);
        to[1] = clamp_u8((l - 22554 * cb - 46802 * cr) >> 16);
        to[2] = clamp_u8((l + 116130 * cb) >> 16);
    }
}

static bool read_mcu(struct tables *t, uint32_t n_components, uint32_t column, struct bits *b)
{
    for (uint32_t i = 0; i < n_components; i++) {
        struct channel *c = &t->channels[i];
        for (uint32_t y = 0; y < c->v; y++)
            for (uint32_t x = 0; x < c->h; x++) {
                uint8_t *to =
                    c->plane + (size_t)y * c->rows * c->stride + (size_t)(column * c->h + x) * c->columns;
                if (!read_block(c, b, to))
                    return false;
            }
    }
    return true;
}

static bool read_scan(struct tables *t, const struct jpeg_scan *scan, uint32_t per_block, uint32_t mcus,
                      const struct jpeg_part *part, uint8_t *pixels)
{
    struct feed *f = &t->feed;
    struct bits b = {.at = f->buffer};
    uint32_t rows_per_mcu = scan->component[0].v * per_block, intervals = 0, left = scan->restart_interval;
    f->from = scan->data;
    f->end = scan->data + scan->size;
    f->clean_end = f->buffer;
    for (uint32_t row = 0; row < part->y + part->height; row += rows_per_mcu) {
        for (uint32_t column = 0; column < mcus; column++) {
            if (scan->restart_interval != 0 && left-- == 0) {
                if (!pass_restart(f, &b, intervals++))
                    return false;
                for (uint32_t i = 0; i < scan->n_components; i++)
                    t->channels[i].dc = 0;
                left = scan->restart_interval - 1;
            }
            feed(f, &b);
            if (!read_mcu(t, scan->n_components, column, &b) || bits_left(f, &b) < 0)
                return false;
        }
        for (uint32_t y = 0; y < rows_per_mcu; y++)
            if (row + y >= part->y && row + y < part->y + part->height)
                write_row(t, scan->n_components, y, part,
                          pixels + (size_t)(row + y - part->y) * part->width * 3);
    }
    return true;
}

static bool is_understood(const struct jpeg_scan *scan)
{
    const struct jpeg_component *c = scan->component;
    if (scan->n_components == 1)
        return c[0].h == 1 && c[0].v == 1;
    return scan->n_components == 3 && (c[0].h == 1 || c[0].h == 2) && (c[0].v == 1 || c[0].v == 2) &&
           c[1].h == 1 && c[1].v == 1 && c[2].h == 1 && c[2].v == 1;
}

bool frt_jpeg_scan_decode(const struct jpeg_scan *scan, uint32_t per_block, const struct jpeg_part *part,
                          uint8_t *pixels)
{
    if (!is_understood(scan) || per_block < 1 || per_block > 2)
        return false;
    struct tables *t = frt_alloc_zero(1, sizeof *t);
    if (t == NULL)
        return false;
    uint32_t mcu_px = 8U * scan->component[0].h, mcus = (scan->width_px + mcu_px - 1) / mcu_px;
    bool ok = true;
    for (size_t i = 0; ok && i < scan->n_components; i++)
        ok = set_up_channel(t, scan, i, per_block, mcus);
    if (ok)
        ok = read_scan(t, scan, per_block, mcus, part, pixels);
    for (size_t i = 0; i < 3; i++)
        frt_free(t->channels[i].plane);
    frt_free(t);
    return ok;
}
