/* rooms: http metrics cache engine store index model vision infer_remote infer net image simd core */
/*
 * What a request's body may hold: the first line of the input is the Content-Type, the rest is the body.
 * Every slice must lie inside the body and be readable, every decoded image be as long as it says, every number
 * in its range.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/image_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DIM = 4 };

static uint32_t sum_of(const char *bytes, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += (uint8_t)bytes[i];
    return sum;
}

static void look(const struct http_input *input, const struct http_request *request)
{
    static const char *const names[] = {"image", "embedding", "threshold", NULL};
    static volatile uint32_t sink; /* the bytes are read, whatever the optimiser thinks */
    struct frt_error err = {0};
    const char *bytes = NULL;
    char *owned = NULL;
    size_t size = 0;
    float embedding[DIM] = {0};
    double number = 0.5;
    for (size_t i = 0; i < input->n_parts; i++) {
        const struct http_part *p = &input->parts[i];
        if (p->data < request->body || p->data + p->size > request->body + request->body_size ||
            strlen(p->name) >= HTTP_MAX_PART_NAME || p->name[0] == '\0')
            abort();
        sink += sum_of(p->data, p->size);
    }
    (void)!http_input_only(input, names, &err);
    if (http_input_image(input, "image", &bytes, &size, &owned, &err) == FRT_OK) {
        if (owned == NULL && (bytes < request->body || bytes + size > request->body + request->body_size))
            abort();
        sink += sum_of(bytes, size);
    }
    frt_free(owned);
    if (http_input_embedding(input, "embedding", embedding, DIM, &err) == FRT_OK &&
        input->kind == HTTP_INPUT_RAW)
        abort();
    if (http_input_number(input, "threshold", -1, 1, &number, &err) == FRT_OK && !(number >= -1 && number <= 1))
        abort();
    (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request = {.method = HTTP_POST};
    struct http_input input;
    struct frt_error err = {0};
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    if (end == NULL)
        return 0;
    char *type = malloc((size_t)(end - data) + 1);
    request.body_size = size - (size_t)(end - data) - 1;
    request.body = malloc(request.body_size); /* exact, so that a sanitizer sees a read past the end */
    if (type != NULL && (request.body != NULL || request.body_size == 0)) {
        memcpy(type, data, (size_t)(end - data));
        type[end - data] = '\0';
        if (request.body_size > 0)
            memcpy(request.body, end + 1, request.body_size);
        request.content_type = type[0] == '\0' ? NULL : type;
        if (http_input_init(&input, &request, &err) == FRT_OK) {
            look(&input, &request);
            http_input_deinit(&input);
        } else if (err.text[0] == '\0') {
            abort();
        }
    }
    free(type);
    free(request.body);
    return 0;
}
