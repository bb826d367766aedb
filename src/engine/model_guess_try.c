/*
 * Trials on real faces. Candidates are the colour orders times the ways in which nets of the field scale their
 * input; a graph that normalises by itself has only the colour orders.
 */
#include "engine/model_guess.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "vision/embedder.h"

enum {
    MAX_PHOTOS = 64,
    MAX_FACES = 48, /* of all photos */
    MIN_FACES = 4,
    ENOUGH_PAIRS = 20, /* of faces of one photo, to do without those of different photos */
    MIN_FACE_PX = 32,  /* smaller faces say little */
    VIEWS = 3,         /* a face, the same turned and moved, the same mirrored */
    FRAME_PX = 1280,
    MAX_CANDIDATES = 16,
    MAX_FOUND = 256
};
static const float SAME_BOX_IOU = 0.4f;
/* By so much a candidate must beat the published one. Right scales differ from each other by up to 6 %, wrong
 * ones from right ones by a multiple. Of an embedder's colour orders the right one was 5 to 10 % better with
 * every net seen, and both are in use for the same family; a detector hardly minds. */
static const double BETTER = 1.15, BETTER_ORDER = 1.03;

struct face {
    uint32_t photo; /* which */
    struct frt_box box;
    struct frt_point landmarks[FRT_LANDMARK_COUNT];
};

struct frt_guess_faces {
    struct frt_frame frames[MAX_PHOTOS];
    uint32_t person[MAX_PHOTOS]; /* by folder */
    uint32_t n_photos, n_folders;
    bool labelled; /* folders are people */
    struct face faces[MAX_FACES];
    uint32_t n_faces;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

struct candidate {
    struct frt_model_input input;
    const char *name;
    double score;
};

/* ----------------------------------------------------------- the faces */

/* Folders are numbered in the order in which they are met. */
static uint32_t folder_number(const char *const *photos, size_t i)
{
    uint32_t number = 0;
    for (size_t k = 0; k <= i; k++) {
        const char *slash = strrchr(photos[k], '/');
        size_t length = slash != NULL ? (size_t)(slash - photos[k]) : 0;
        bool met = false;
        for (size_t j = 0; j < k && !met; j++) {
            const char *other = strrchr(photos[j], '/');
            size_t n = other != NULL ? (size_t)(other - photos[j]) : 0;
            met = n == length && memcmp(photos[j], photos[k], n) == 0;
            if (met && k == i)
                return folder_number(photos, j);
        }
        if (!met)
            number++;
    }
    return number;
}

static enum frt_status add_photo(struct frt_context *context, const struct frt_pack *pack, const char *path,
                                 uint32_t person, uint32_t most, struct frt_guess_faces *out,
                                 struct frt_error *err)
{
    struct frt_image *image = NULL;
    struct frt_faces *found = NULL;
    const struct frt_decode_request whole = {.want_side_px = FRAME_PX};
    const struct frt_detect_options options = {.max_faces = most, .min_size_px = MIN_FACE_PX};
    enum frt_status status = frt_image_open_file(context, path, &image, err);
    if (status == FRT_OK)
        status = frt_detect(pack, image, &options, &found, err);
    if (status == FRT_OK && frt_faces_count(found) > 0)
        status = frt_image_decode(image, &whole, &out->frames[out->n_photos], err);
    if (status == FRT_OK && frt_faces_count(found) > 0) {
        for (size_t i = 0; i < frt_faces_count(found) && out->n_faces < MAX_FACES; i++) {
            const struct frt_face *face = frt_faces_get(found, i);
            struct face *to = &out->faces[out->n_faces++];
            to->photo = out->n_photos;
            to->box = face->box;
            memcpy(to->landmarks, face->landmarks, sizeof to->landmarks);
        }
        out->person[out->n_photos++] = person;
    }
    frt_faces_free(found);
    frt_image_free(image);
    return status;
}

enum frt_status frt_guess_faces_find(struct frt_context *context, const struct frt_pack *pack,
                                     const char *const *photos, size_t n, bool (*cancelled)(void *arg),
                                     void *cancelled_arg, struct frt_guess_faces **out, struct frt_error *err)
{
    struct frt_guess_faces *faces = frt_alloc_zero(1, sizeof *faces);
    enum frt_status status = FRT_OK;
    if (faces == NULL)
        return frt_fail_nomem(err, "faces");
    faces->cancelled = cancelled;
    faces->cancelled_arg = cancelled_arg;
    if (n > MAX_PHOTOS)
        n = MAX_PHOTOS;
    for (size_t i = 0; i < n; i++) {
        uint32_t number = folder_number(photos, i);
        faces->n_folders = number > faces->n_folders ? number : faces->n_folders;
    }
    faces->labelled = faces->n_folders > 1;
    for (size_t i = 0; status == FRT_OK && i < n && faces->n_faces < MAX_FACES; i++) {
        struct frt_error why = {0};
        if (cancelled != NULL && cancelled(cancelled_arg)) {
            status = frt_fail(err, FRT_ECANCELLED, "cancelled");
            break;
        }
        status = add_photo(context, pack, photos[i], folder_number(photos, i), faces->labelled ? 1 : 12, faces,
                           &why);
        if (status == FRT_EUNSUPPORTED_IMAGE || status == FRT_EBAD_IMAGE || status == FRT_EIMAGE_TOO_LARGE)
            status = FRT_OK; /* the others do */
        else if (status != FRT_OK && err != NULL)
            *err = why;
    }
    if (status == FRT_OK && faces->n_faces < MIN_FACES)
        status = frt_fail(err, FRT_ENO_FACE, "%u faces in %zu photos: at least %d are needed to try a model",
                          faces->n_faces, n, MIN_FACES);
    if (status == FRT_OK)
        *out = faces;
    else
        frt_guess_faces_free(faces);
    return status;
}

void frt_guess_faces_free(struct frt_guess_faces *faces)
{
    if (faces == NULL)
        return;
    for (uint32_t i = 0; i < faces->n_photos; i++)
        frt_frame_deinit(&faces->frames[i]);
    frt_free(faces);
}

/* ----------------------------------------------------------- candidates */

static bool same_input(const struct frt_model_input *a, const struct frt_model_input *b)
{
    bool same = a->color == b->color;
    for (int c = 0; c < 3; c++)
        same = same && fabsf(a->mean[c] - b->mean[c]) < 1e-3f && fabsf(a->scale[c] / b->scale[c] - 1) < 1e-3f;
    return same;
}

/* Channels turned around, the same numbers otherwise. */
static bool only_order_differs(const struct frt_model_input *a, const struct frt_model_input *b)
{
    bool same = a->color != b->color;
    for (int c = 0; c < 3; c++)
        same = same && fabsf(a->mean[c] - b->mean[2 - c]) < 1e-3f &&
               fabsf(a->scale[c] / b->scale[2 - c] - 1) < 1e-3f;
    return same;
}

/* The published one first. */
static uint32_t list_candidates(const struct frt_model_guess *g, struct candidate out[MAX_CANDIDATES])
{
    static const struct {
        const char *name;
        float mean[3], scale[3]; /* RGB */
    } ways[] = {
        {"(x-127.5)/127.5", {127.5f, 127.5f, 127.5f}, {1 / 127.5f, 1 / 127.5f, 1 / 127.5f}},
        {"(x-127.5)/128", {127.5f, 127.5f, 127.5f}, {1 / 128.0f, 1 / 128.0f, 1 / 128.0f}},
        {"x/255", {0, 0, 0}, {1 / 255.0f, 1 / 255.0f, 1 / 255.0f}},
        {"x", {0, 0, 0}, {1, 1, 1}},
        {"x-(123,117,104)", {123, 117, 104}, {1, 1, 1}},
        {"ImageNet's mean and deviation", {123.675f, 116.28f, 103.53f}, {1 / 58.395f, 1 / 57.12f, 1 / 57.375f}},
    };
    uint32_t n = 1;
    out[0] = (struct candidate){.input = g->spec.input, .name = "as published"};
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        for (int bgr = 0; bgr < 2; bgr++) {
            struct candidate c = {.input = g->spec.input, .name = ways[w].name};
            if (g->said_color && bgr != (g->spec.input.color == FRT_COLOR_BGR))
                continue;
            c.input.color = bgr ? FRT_COLOR_BGR : FRT_COLOR_RGB;
            for (int i = 0; i < 3; i++) {
                c.input.mean[i] = ways[w].mean[bgr ? 2 - i : i];
                c.input.scale[i] = ways[w].scale[bgr ? 2 - i : i];
            }
            if (g->said_scale || g->normalises) { /* only the colour is open */
                for (int i = 0; i < 3; i++) {
                    bool turned = c.input.color != g->spec.input.color;
                    c.input.mean[i] = g->spec.input.mean[turned ? 2 - i : i];
                    c.input.scale[i] = g->spec.input.scale[turned ? 2 - i : i];
                }
                c.name = "as published";
            }
            bool known = false;
            for (uint32_t k = 0; k < n; k++)
                known = known || same_input(&out[k].input, &c.input);
            if (!known && n < MAX_CANDIDATES)
                out[n++] = c;
        }
    }
    return n;
}

/* ------------------------------------------------------------ detectors */

static float overlap(const struct frt_box *a, const struct frt_box *b)
{
    float w = fminf(a->x + a->width, b->x + b->width) - fmaxf(a->x, b->x);
    float h = fminf(a->y + a->height, b->y + b->height) - fmaxf(a->y, b->y);
    if (w <= 0 || h <= 0)
        return 0;
    return w * h / (a->width * a->height + b->width * b->height - w * h);
}

/* Confidence in the faces that are there, less half of that in what is none; of one face 1 at most. */
static enum frt_status score_detector(const struct frt_model_guess *g, const struct frt_guess_faces *faces,
                                      const struct frt_model_input *input, double *score, struct frt_error *err)
{
    struct frt_detector *detector = NULL;
    struct frt_model_spec spec = g->spec;
    double sum = 0, ms = 0;
    struct frt_detection *found = frt_alloc_zero(MAX_FOUND, sizeof *found);
    if (found == NULL)
        return frt_fail_nomem(err, "detections");
    spec.input = *input;
    enum frt_status status = frt_detector_new(&spec, g->session, &detector, err);
    for (uint32_t p = 0; status == FRT_OK && p < faces->n_photos; p++) {
        size_t n = 0;
        status = frt_detector_run(detector, &faces->frames[p], NULL, found, MAX_FOUND, &n, &ms, err);
        for (size_t i = 0; status == FRT_OK && i < n; i++) {
            float best = 0;
            for (uint32_t k = 0; k < faces->n_faces; k++)
                if (faces->faces[k].photo == p)
                    best = fmaxf(best, overlap(&faces->faces[k].box, &found[i].box));
            if (best >= SAME_BOX_IOU)
                sum += (double)found[i].score;
            else if (found[i].box.width >= MIN_FACE_PX) /* smaller ones were not asked for */
                sum -= 0.5 * (double)found[i].score;
        }
        if (status == FRT_OK && faces->cancelled != NULL && faces->cancelled(faces->cancelled_arg))
            status = frt_fail(err, FRT_ECANCELLED, "cancelled");
    }
    frt_free(found);
    frt_detector_free(detector);
    *score = sum / faces->n_faces;
    return status;
}

/* ------------------------------------------------------------ embedders */

/* The same face a little turned, smaller and moved, as another photo of it would lie. */
static void disturb(const struct frt_point in[FRT_LANDMARK_COUNT], struct frt_point out[FRT_LANDMARK_COUNT])
{
    const float cosine = 0.985f, sine = 0.174f, grow = 1.1f; /* ten degrees */
    float x = 0, y = 0;
    for (size_t i = 0; i < FRT_LANDMARK_COUNT; i++) {
        x += in[i].x / FRT_LANDMARK_COUNT;
        y += in[i].y / FRT_LANDMARK_COUNT;
    }
    const float shift = 0.08f * hypotf(in[1].x - in[0].x, in[1].y - in[0].y);
    for (size_t i = 0; i < FRT_LANDMARK_COUNT; i++) {
        const float dx = (in[i].x - x) * grow, dy = (in[i].y - y) * grow;
        out[i] = (struct frt_point){x + dx * cosine - dy * sine + shift, y + dx * sine + dy * cosine - shift};
    }
}

static void mirror(const uint8_t *from, uint8_t *to, uint32_t width, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        for (uint32_t x = 0; x < width; x++)
            memcpy(to + (r * width + x) * 3, from + (r * width + width - 1 - x) * 3, 3);
}

/* Chips of every face; with labels one view of each, else three. */
static enum frt_status align_all(const struct frt_embedder *embedder, uint32_t width,
                                 const struct frt_guess_faces *faces, uint8_t *chips, struct frt_error *err)
{
    const size_t bytes = frt_embedder_chip_bytes(embedder);
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < faces->n_faces; i++) {
        struct frt_point moved[FRT_LANDMARK_COUNT];
        uint8_t *chip = chips + (size_t)i * VIEWS * bytes;
        const struct frt_frame *frame = &faces->frames[faces->faces[i].photo];
        disturb(faces->faces[i].landmarks, moved);
        status = frt_embedder_align(embedder, frame, faces->faces[i].landmarks, chip, err);
        if (status == FRT_OK)
            status = frt_embedder_align(embedder, frame, moved, chip + bytes, err);
        if (status == FRT_OK)
            mirror(chip, chip + 2 * bytes, width, bytes / 3 / width);
    }
    return status;
}

struct spread {
    double n, sum, squares;
};

static void spread_add(struct spread *s, double x)
{
    s->n += 1;
    s->sum += x;
    s->squares += x * x;
}

static double spread_mean(const struct spread *s)
{
    return s->sum / s->n;
}

static double spread_variance(const struct spread *s)
{
    const double mean = spread_mean(s);
    return fmax(s->squares / s->n - mean * mean, 1e-9);
}

struct separation {
    struct spread same, different;
};

static double d_prime(const struct separation *s)
{
    if (s->same.n < 1 || s->different.n < 1)
        return 0;
    return (spread_mean(&s->same) - spread_mean(&s->different)) /
           sqrt((spread_variance(&s->same) + spread_variance(&s->different)) / 2);
}

/* Faces of one photo are of different people; of different photos nobody knows. */
static bool enough_within_photos(const struct frt_guess_faces *faces)
{
    uint32_t pairs = 0;
    for (uint32_t a = 0; a < faces->n_faces; a++)
        for (uint32_t b = a + 1; b < faces->n_faces; b++)
            pairs += faces->faces[a].photo == faces->faces[b].photo;
    return pairs >= ENOUGH_PAIRS;
}

static void compare_all(const struct frt_guess_faces *faces, const float *rows, uint32_t dim,
                        struct separation *out)
{
    const uint32_t n = faces->n_faces * VIEWS;
    const bool within = enough_within_photos(faces);
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = a + 1; b < n; b++) {
            const struct face *fa = &faces->faces[a / VIEWS], *fb = &faces->faces[b / VIEWS];
            const bool same_face = fa == fb;
            const uint32_t pa = faces->person[fa->photo], pb = faces->person[fb->photo];
            if (faces->labelled && (same_face || a % VIEWS != 0 || b % VIEWS != 0))
                continue; /* real pairs are better than made ones */
            if (!faces->labelled && !same_face && a % VIEWS != b % VIEWS)
                continue;
            if (!faces->labelled && within && fa->photo != fb->photo)
                continue;
            double dot = 0;
            for (uint32_t i = 0; i < dim; i++)
                dot += (double)rows[(size_t)a * dim + i] * (double)rows[(size_t)b * dim + i];
            spread_add(same_face || (faces->labelled && pa == pb) ? &out->same : &out->different, dot);
        }
    }
}

static enum frt_status separate(const struct frt_model_guess *g, const struct frt_guess_faces *faces,
                                const struct frt_model_input *input, struct separation *out,
                                struct frt_error *err)
{
    struct frt_embedder *embedder = NULL;
    struct frt_model_spec spec = g->spec;
    uint8_t *chips = NULL;
    float *rows = NULL;
    double ms = 0;
    spec.input.color = input->color;
    memcpy(spec.input.mean, input->mean, sizeof spec.input.mean);
    memcpy(spec.input.scale, input->scale, sizeof spec.input.scale);
    *out = (struct separation){0};
    enum frt_status status = frt_embedder_new(&spec, g->session, &embedder, err);
    if (status != FRT_OK)
        return status;
    const size_t n = (size_t)faces->n_faces * VIEWS, bytes = frt_embedder_chip_bytes(embedder);
    chips = frt_alloc_array(n, bytes);
    rows = frt_alloc_zero(n * spec.dim, sizeof *rows);
    if (chips == NULL || rows == NULL) {
        status = frt_fail_nomem(err, "embeddings");
        goto done;
    }
    status = align_all(embedder, spec.input.width_px, faces, chips, err);
    for (uint32_t i = 0; status == FRT_OK && i < n; i++) {
        if (faces->labelled && i % VIEWS != 0)
            continue;
        status = frt_embedder_run(embedder, chips + i * bytes, 1, rows + (size_t)i * spec.dim, &ms, err);
        if (status == FRT_OK && faces->cancelled != NULL && faces->cancelled(faces->cancelled_arg))
            status = frt_fail(err, FRT_ECANCELLED, "cancelled");
    }
    if (status == FRT_OK)
        compare_all(faces, rows, spec.dim, out);
done:
    frt_free(rows);
    frt_free(chips);
    frt_embedder_free(embedder);
    return status;
}

/* One in a thousand pairs of different people, were their similarities normal: mean + 3.09 deviations. */
static void suggest_threshold(struct frt_model_guess *g, const struct frt_guess_faces *faces,
                              const struct separation *s)
{
    char value[32];
    const double threshold = spread_mean(&s->different) + 3.09 * sqrt(spread_variance(&s->different));
    if (g->said_threshold || !(threshold > -1 && threshold < 1))
        return;
    g->spec.threshold = (float)(ceil(threshold * 100) / 100);
    (void)snprintf(value, sizeof value, "%.2f", (double)g->spec.threshold);
    frt_model_guess_note(
        g, "threshold", FRT_GUESS_UNSURE, value,
        "%.0f pairs of %u faces lie at %.3f ± %.3f: one in 1,000 would pass here if that is a normal "
        "distribution; run frt calibrate before you rely on it",
        s->different.n, faces->n_faces, spread_mean(&s->different), sqrt(spread_variance(&s->different)));
}

/* --------------------------------------------------------------- choice */

static enum frt_status score(const struct frt_model_guess *g, const struct frt_guess_faces *faces,
                             struct candidate *c, struct frt_error *err)
{
    struct separation s;
    if (g->spec.role == FRT_ROLE_DETECTOR)
        return score_detector(g, faces, &c->input, &c->score, err);
    struct frt_error why = {0};
    enum frt_status status = separate(g, faces, &c->input, &s, &why);
    if (status == FRT_ERUNTIME) { /* no finite vector: as bad as can be */
        c->score = 0;
        return FRT_OK;
    }
    if (status != FRT_OK && err != NULL)
        *err = why;
    c->score = d_prime(&s);
    return status;
}

static const char *order_of(const struct candidate *c)
{
    return c->input.color == FRT_COLOR_BGR ? "bgr" : "rgb";
}

/* How sure of one property: compare the chosen with the best candidate that differs in it. */
static enum frt_guess_sure how_sure(double chosen, double rival)
{
    return rival <= 0 || chosen > 1.15 * rival ? FRT_GUESS_CERTAIN : FRT_GUESS_LIKELY;
}

static void note_choice(struct frt_model_guess *g, const struct frt_guess_faces *faces,
                        const struct candidate *all, uint32_t n, uint32_t chosen)
{
    const struct candidate *c = &all[chosen], *other_order = NULL, *other_scale = NULL;
    const char *measure = g->spec.role == FRT_ROLE_DETECTOR ? "agreement" : "d'";
    char value[112];
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].input.color != c->input.color && (other_order == NULL || all[i].score > other_order->score))
            other_order = &all[i];
        if (all[i].input.color == c->input.color && i != chosen &&
            (other_scale == NULL || all[i].score > other_scale->score))
            other_scale = &all[i];
    }
    if (!g->said_color && other_order != NULL)
        frt_model_guess_note(g, "color", how_sure(c->score, other_order->score), order_of(c),
                             "tried on %u faces: %s %s has %s %.3f, %s %s %.3f%s", faces->n_faces, order_of(c),
                             c->name, measure, c->score, order_of(other_order), other_order->name,
                             other_order->score, chosen == 0 ? "; published so" : "; published otherwise");
    if (!g->said_scale && !g->normalises && other_scale != NULL) {
        frt_guess_scale_text(&c->input, value, sizeof value);
        frt_model_guess_note(g, "scale", how_sure(c->score, other_scale->score), value,
                             "tried on %u faces: %s has %s %.3f, the next, %s, %.3f%s", faces->n_faces, c->name,
                             measure, c->score, other_scale->name, other_scale->score,
                             chosen == 0 ? "; published so" : "; published otherwise");
    }
}

enum frt_status frt_model_guess_try(struct frt_model_guess *guess, const struct frt_guess_faces *faces,
                                    struct frt_error *err)
{
    struct candidate all[MAX_CANDIDATES];
    struct separation s;
    uint32_t chosen = 0;
    enum frt_status status = FRT_OK;
    if (guess->spec.role != FRT_ROLE_DETECTOR && guess->spec.role != FRT_ROLE_EMBEDDER)
        return FRT_OK;
    const uint32_t n = list_candidates(guess, all);
    for (uint32_t i = 0; status == FRT_OK && i < n; i++) {
        status = score(guess, faces, &all[i], err);
        const bool order =
            guess->spec.role == FRT_ROLE_EMBEDDER && only_order_differs(&all[i].input, &all[0].input);
        if (status == FRT_OK && all[i].score > all[chosen].score &&
            all[i].score > (order ? BETTER_ORDER : BETTER) * all[0].score)
            chosen = i;
    }
    if (status != FRT_OK)
        return status;
    guess->spec.input.color = all[chosen].input.color;
    memcpy(guess->spec.input.mean, all[chosen].input.mean, sizeof guess->spec.input.mean);
    memcpy(guess->spec.input.scale, all[chosen].input.scale, sizeof guess->spec.input.scale);
    note_choice(guess, faces, all, n, chosen);
    if (guess->spec.role == FRT_ROLE_EMBEDDER) {
        status = separate(guess, faces, &guess->spec.input, &s, err);
        if (status == FRT_OK)
            suggest_threshold(guess, faces, &s);
    }
    return status;
}
