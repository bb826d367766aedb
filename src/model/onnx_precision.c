/*
 * Walks an ONNX file's protobuf without unpacking it: ModelProto.graph (7) → GraphProto.initializer (5) →
 * TensorProto.dims (1) and data_type (2). Source: onnx.proto; protobuf's encoding guide.
 *
 * The file may be anything: lengths are held against the message they lie in, counts are checked, and what does
 * not fit ends the walk.
 */
#include "model/onnx_precision.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum { KINDS = 17 }; /* TensorProto.DataType up to BFLOAT16 */

static bool varint(FILE *file, int64_t end, uint64_t *out)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        int c = ftello(file) < end ? getc(file) : EOF;
        if (c == EOF)
            return false;
        value |= (uint64_t)(c & 0x7f) << shift;
        if ((c & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* The next field of the message that ends at `end`: a number in *value (VARINT), or where its bytes end
 * (BYTES). */
static bool field(FILE *file, int64_t end, uint64_t *number, unsigned *type, uint64_t *value)
{
    uint64_t tag = 0;
    if (!varint(file, end, &tag))
        return false;
    *number = tag >> 3;
    *type = (unsigned)(tag & 7);
    if (*type == VARINT)
        return varint(file, end, value);
    if (*type == FIXED64 || *type == FIXED32)
        return ftello(file) + 8 <= end && fseeko(file, *type == FIXED64 ? 8 : 4, SEEK_CUR) == 0;
    if (*type != BYTES || !varint(file, end, value) || *value > (uint64_t)(end - ftello(file)))
        return false;
    *value += (uint64_t)ftello(file);
    return true;
}

/* Adds the tensor's number of elements to those of its kind. */
static bool tensor(FILE *file, int64_t end, double elements[KINDS])
{
    uint64_t number = 0, value = 0, kind = 0, dim = 0;
    unsigned type = 0;
    double n = 1;
    while (ftello(file) < end) {
        if (!field(file, end, &number, &type, &value))
            return false;
        if (number == 1 && type == VARINT)
            n *= (double)value;
        else if (number == 2 && type == VARINT)
            kind = value;
        else if (number == 1 && type == BYTES)
            while (ftello(file) < (int64_t)value) {
                if (!varint(file, (int64_t)value, &dim))
                    return false;
                n *= (double)dim;
            }
        if (type == BYTES && fseeko(file, (off_t)value, SEEK_SET) != 0)
            return false;
    }
    if (kind < KINDS)
        elements[kind] += n;
    return true;
}

/* The fields `wanted` of a message; others are skipped. */
static bool each(FILE *file, int64_t end, uint64_t wanted, double elements[KINDS],
                 bool (*inside)(FILE *file, int64_t end, double elements[KINDS]))
{
    uint64_t number = 0, value = 0;
    unsigned type = 0;
    while (ftello(file) < end) {
        if (!field(file, end, &number, &type, &value))
            return false;
        if (type == BYTES && number == wanted && !inside(file, (int64_t)value, elements))
            return false;
        if (type == BYTES && fseeko(file, (off_t)value, SEEK_SET) != 0)
            return false;
    }
    return true;
}

static bool graph(FILE *file, int64_t end, double elements[KINDS])
{
    return each(file, end, 5, elements, tensor);
}

const char *frt_onnx_precision(const char *path)
{
    static const struct {
        const char *name;
        int kinds[2];
    } names[] = {
        {"fp32", {1, 1}}, {"fp16", {10, 10}}, {"bf16", {16, 16}}, {"int8", {2, 3}}, {"fp64", {11, 11}}};
    double elements[KINDS] = {0}, most = 0;
    const char *name = NULL;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return NULL;
    bool good = fseeko(file, 0, SEEK_END) == 0;
    int64_t size = good ? ftello(file) : -1;
    good = size > 0 && fseeko(file, 0, SEEK_SET) == 0 && each(file, size, 7, elements, graph);
    (void)fclose(file);
    for (size_t i = 0; good && i < sizeof names / sizeof *names; i++) {
        double n = elements[names[i].kinds[0]];
        if (names[i].kinds[1] != names[i].kinds[0])
            n += elements[names[i].kinds[1]];
        if (n > most) {
            most = n;
            name = names[i].name;
        }
    }
    return name;
}
