#include "engine/answer.h"

#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"

static const struct {
    const char *name;
    uint32_t bit;
} attributes[] = {
    {"quality", FRT_ATTRIBUTE_QUALITY}, {"liveness", FRT_ATTRIBUTE_LIVENESS},     {"age", FRT_ATTRIBUTE_AGE},
    {"gender", FRT_ATTRIBUTE_GENDER},   {"expression", FRT_ATTRIBUTE_EXPRESSION}, {"all", FRT_ATTRIBUTE_ALL},
};

static uint32_t attribute_bit(const char *word, size_t size)
{
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (strlen(attributes[i].name) == size && memcmp(attributes[i].name, word, size) == 0)
            return attributes[i].bit;
    return 0;
}

enum frt_status frt_attributes_parse(const char *text, uint32_t *out, struct frt_error *err)
{
    uint32_t bits = 0;
    for (const char *word = text; *text != '\0';) {
        size_t size = strcspn(word, ",");
        uint32_t bit = attribute_bit(word, size);
        if (bit == 0)
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "unknown attribute '%.*s'; known: quality, liveness, age, gender, expression, all",
                            (int)(size < 64 ? size : 64), word);
        bits |= bit;
        if (word[size] == '\0')
            break;
        word += size + 1;
    }
    *out = bits;
    return FRT_OK;
}

static const char *const landmark_names[FRT_LANDMARK_COUNT] = {"left_eye", "right_eye", "nose", "mouth_left",
                                                               "mouth_right"};

static void point(struct frt_json_writer *w, const char *key, const struct frt_point *p)
{
    frt_json_key(w, key);
    frt_json_array(w);
    frt_json_fixed(w, (double)p->x, 2);
    frt_json_fixed(w, (double)p->y, 2);
    frt_json_end(w);
}

static void member_fixed(struct frt_json_writer *w, const char *key, double value, int decimals)
{
    frt_json_key(w, key);
    frt_json_fixed(w, value, decimals);
}

void frt_answer_box(struct frt_json_writer *w, const struct frt_box *b)
{
    frt_json_key(w, "box");
    frt_json_object(w);
    member_fixed(w, "x", (double)b->x, 2);
    member_fixed(w, "y", (double)b->y, 2);
    member_fixed(w, "width", (double)b->width, 2);
    member_fixed(w, "height", (double)b->height, 2);
    frt_json_end(w);
}

void frt_answer_liveness(struct frt_json_writer *w, const struct frt_face *face)
{
    if ((face->attributes & FRT_ATTRIBUTE_LIVENESS) == 0)
        return;
    frt_json_key(w, "liveness");
    frt_json_object(w);
    frt_json_key(w, "type");
    frt_json_string(w, face->liveness.real ? "REAL" : "SPOOF");
    member_fixed(w, "spoof_confidence", (double)face->liveness.spoof_confidence, 4);
    frt_json_end(w);
}

static void face_attributes(struct frt_json_writer *w, const struct frt_face *face)
{
    if (face->attributes & FRT_ATTRIBUTE_QUALITY) {
        frt_json_key(w, "quality");
        frt_json_object(w);
        member_fixed(w, "score", (double)face->quality.score, 4);
        member_fixed(w, "sharpness", (double)face->quality.sharpness, 4);
        member_fixed(w, "brightness", (double)face->quality.brightness, 4);
        member_fixed(w, "yaw", (double)face->quality.yaw, 1);
        member_fixed(w, "pitch", (double)face->quality.pitch, 1);
        member_fixed(w, "roll", (double)face->quality.roll, 1);
        frt_json_end(w);
    }
    frt_answer_liveness(w, face);
    if (face->attributes & FRT_ATTRIBUTE_AGE)
        member_fixed(w, "age", (double)face->age, 1);
    if (face->attributes & FRT_ATTRIBUTE_GENDER) {
        frt_json_key(w, "gender");
        frt_json_string(w, face->gender == FRT_GENDER_FEMALE ? "female" : "male");
        member_fixed(w, "gender_probability", (double)face->gender_probability, 4);
    }
    if (face->attributes & FRT_ATTRIBUTE_EXPRESSION) {
        frt_json_key(w, "expression");
        frt_json_string(w, frt_expression_name(face->expression));
        member_fixed(w, "expression_probability", (double)face->expression_probability, 4);
    }
}

/* Little-endian f32 in base64. */
static void embedding_base64(struct frt_json_writer *w, const float *embedding, size_t dim)
{
    size_t size = frt_base64_encoded_size(dim * sizeof(float));
    char *text = frt_alloc(size);
    uint8_t *all = frt_alloc_array(dim, sizeof(float));
    if (text == NULL || all == NULL) {
        w->out->failed = FRT_ENOMEM;
    } else {
        for (size_t i = 0; i < dim; i++) {
            uint32_t bits;
            memcpy(&bits, &embedding[i], sizeof bits);
            all[4 * i] = (uint8_t)bits;
            all[4 * i + 1] = (uint8_t)(bits >> 8);
            all[4 * i + 2] = (uint8_t)(bits >> 16);
            all[4 * i + 3] = (uint8_t)(bits >> 24);
        }
        frt_base64_encode(all, 4 * dim, text);
        frt_json_string(w, text);
    }
    frt_free(all);
    frt_free(text);
}

void frt_answer_embedding(struct frt_json_writer *w, const float *embedding, size_t dim,
                          enum frt_embedding_encoding encoding)
{
    frt_json_key(w, "embedding");
    if (encoding == FRT_ENCODING_BASE64) {
        embedding_base64(w, embedding, dim);
    } else {
        frt_json_array(w);
        for (size_t i = 0; i < dim; i++)
            frt_json_float(w, embedding[i]);
        frt_json_end(w);
    }
}

void frt_answer_face(struct frt_json_writer *w, const struct frt_face *face, const float *embedding, size_t dim,
                     enum frt_embedding_encoding encoding)
{
    frt_json_object(w);
    frt_answer_box(w, &face->box);
    member_fixed(w, "confidence", (double)face->confidence, 4);
    frt_json_key(w, "landmarks");
    frt_json_object(w);
    for (int i = 0; i < FRT_LANDMARK_COUNT; i++)
        point(w, landmark_names[i], &face->landmarks[i]);
    frt_json_end(w);
    face_attributes(w, face);
    if (embedding != NULL)
        frt_answer_embedding(w, embedding, dim, encoding);
    frt_json_end(w);
}

void frt_answer_timing(struct frt_json_writer *w, const struct frt_timing *timing)
{
    const struct {
        const char *name;
        double ms;
    } steps[] = {{"decode", timing->decode_ms},        {"detect", timing->detect_ms},
                 {"align", timing->align_ms},          {"embed", timing->embed_ms},
                 {"attributes", timing->attribute_ms}, {"wait", timing->wait_ms}};
    frt_json_key(w, "timing_ms");
    frt_json_object(w);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (i < 2 || steps[i].ms > 0) /* decode and detect always: 0 when they were remembered */
            member_fixed(w, steps[i].name, steps[i].ms, 3);
    member_fixed(w, "total", timing->total_ms, 3);
    frt_json_end(w);
}

void frt_answer_faces(struct frt_json_writer *w, const struct frt_faces *faces,
                      const struct frt_image_info *image, const struct frt_pack *pack,
                      enum frt_embedding_encoding encoding)
{
    const struct frt_pack_info *info = pack == NULL ? NULL : frt_pack_info_get(pack);
    frt_json_key(w, "faces");
    frt_json_array(w);
    for (size_t i = 0; i < frt_faces_count(faces); i++)
        frt_answer_face(w, frt_faces_get(faces, i), info == NULL ? NULL : frt_faces_embedding(faces, i),
                        info == NULL ? 0 : info->dim, encoding);
    frt_json_end(w);
    frt_json_key(w, "image");
    frt_json_object(w);
    frt_json_key(w, "width");
    frt_json_int(w, image->width_px);
    frt_json_key(w, "height");
    frt_json_int(w, image->height_px);
    frt_json_end(w);
    if (info != NULL) {
        frt_json_key(w, "model");
        frt_json_object(w);
        frt_json_key(w, "name");
        frt_json_string(w, info->embedder_name);
        frt_json_key(w, "version");
        frt_json_string(w, info->embedder_version);
        frt_json_key(w, "dim");
        frt_json_int(w, info->dim);
        frt_json_end(w);
    }
    struct frt_timing timing = frt_faces_timing(faces);
    frt_answer_timing(w, &timing);
}

void frt_answer_verdict(struct frt_json_writer *w, const struct frt_verdict *verdict)
{
    frt_json_key(w, "verified");
    frt_json_bool(w, verdict->verified);
    member_fixed(w, "similarity", (double)verdict->similarity, 6);
    member_fixed(w, "distance", (double)verdict->distance, 6);
    member_fixed(w, "threshold", (double)verdict->threshold, 6);
}
