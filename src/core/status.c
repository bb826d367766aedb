#include "core/status.h"

#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

static const struct {
    const char *code;
    const char *title;
    int http;
    enum frt_exit exit;
} table[FRT_STATUS_COUNT] = {
    [FRT_OK] = {"ok", "OK", 200, FRT_EXIT_OK},
    [FRT_EINVAL] = {"invalid_argument", "Invalid argument", 400, FRT_EXIT_USAGE},
    [FRT_ENOMEM] = {"out_of_memory", "Out of memory", 503, FRT_EXIT_FAILURE},
    [FRT_EIO] = {"io_error", "Input or output failed", 500, FRT_EXIT_FAILURE},
    [FRT_ENOTFOUND] = {"not_found", "Not found", 404, FRT_EXIT_BAD_INPUT},
    [FRT_EUNSUPPORTED_IMAGE] = {"unsupported_image", "Unsupported image format", 415, FRT_EXIT_BAD_INPUT},
    [FRT_EBAD_IMAGE] = {"bad_image", "Damaged image", 422, FRT_EXIT_BAD_INPUT},
    [FRT_EIMAGE_TOO_LARGE] = {"image_too_large", "Image too large", 413, FRT_EXIT_BAD_INPUT},
    [FRT_ENO_FACE] = {"no_face", "No face found", 422, FRT_EXIT_NO_FACE},
    [FRT_EBAD_MODEL] = {"bad_model", "Model unusable", 500, FRT_EXIT_MODEL},
    [FRT_EMODEL_MISMATCH] = {"model_mismatch", "Embeddings of different models", 409, FRT_EXIT_MODEL},
    [FRT_ERUNTIME] = {"runtime_error", "Inference runtime failed", 500, FRT_EXIT_ENVIRONMENT},
    [FRT_EOVERLOADED] = {"overloaded", "Overloaded", 503, FRT_EXIT_FAILURE},
    [FRT_ETIMEOUT] = {"deadline_exceeded", "Deadline exceeded", 504, FRT_EXIT_FAILURE},
    [FRT_ECANCELLED] = {"cancelled", "Cancelled", 499, FRT_EXIT_INTERRUPTED},
    [FRT_EBAD_REQUEST] = {"bad_request", "Bad request", 400, FRT_EXIT_BAD_INPUT},
    [FRT_EBODY_TOO_LARGE] = {"body_too_large", "Body too large", 413, FRT_EXIT_BAD_INPUT},
    [FRT_EUNSUPPORTED_MEDIA] = {"unsupported_media_type", "Unsupported media type", 415, FRT_EXIT_BAD_INPUT},
    [FRT_EMETHOD] = {"method_not_allowed", "Method not allowed", 405, FRT_EXIT_BAD_INPUT},
    [FRT_EUNAUTHORIZED] = {"unauthorized", "Unauthorized", 401, FRT_EXIT_FAILURE},
    [FRT_EFORBIDDEN] = {"forbidden", "Forbidden", 403, FRT_EXIT_FAILURE},
    [FRT_ECONFLICT] = {"conflict", "Conflict", 409, FRT_EXIT_FAILURE},
    [FRT_EUNAVAILABLE] = {"unavailable", "Not available", 503, FRT_EXIT_ENVIRONMENT},
    [FRT_EINTERNAL] = {"internal", "Internal error", 500, FRT_EXIT_FAILURE},
    [FRT_ECOLLECTION_NOT_FOUND] = {"collection_not_found", "No such collection", 404, FRT_EXIT_BAD_INPUT},
    [FRT_ESUBJECT_NOT_FOUND] = {"subject_not_found", "No such subject", 404, FRT_EXIT_BAD_INPUT},
    [FRT_EFACE_NOT_FOUND] = {"face_not_found", "No such face", 404, FRT_EXIT_BAD_INPUT},
    [FRT_EMULTIPLE_FACES] = {"multiple_faces", "Several faces", 422, FRT_EXIT_BAD_INPUT},
    [FRT_EDUPLICATE] = {"duplicate_of", "Enrolled already", 409, FRT_EXIT_BAD_INPUT},
    [FRT_ELOW_QUALITY] = {"low_quality", "Quality too low", 422, FRT_EXIT_BAD_INPUT},
    [FRT_ESPOOF] = {"spoof", "No live face", 422, FRT_EXIT_BAD_INPUT},
    [FRT_ESTORAGE_FULL] = {"storage_full", "Storage full", 507, FRT_EXIT_ENVIRONMENT},
    [FRT_EINDEX_NOT_READY] = {"index_not_ready", "Index not ready", 503, FRT_EXIT_FAILURE},
    [FRT_ESTORE_DAMAGED] = {"store_damaged", "Store damaged", 500, FRT_EXIT_ENVIRONMENT},
};

static enum frt_status known(enum frt_status status)
{
    return (unsigned)status < FRT_STATUS_COUNT ? status : FRT_EINTERNAL;
}

const char *frt_status_code(enum frt_status status)
{
    return table[known(status)].code;
}

const char *frt_status_title(enum frt_status status)
{
    return table[known(status)].title;
}

int frt_status_http(enum frt_status status)
{
    return table[known(status)].http;
}

enum frt_exit frt_status_exit(enum frt_status status)
{
    return table[known(status)].exit;
}

const char *frt_version(void)
{
    return FRT_VERSION_STRING;
}

static void set_text(struct frt_error *err, enum frt_status status, const char *prefix_of, const char *fmt,
                     va_list args) FRT_PRINTF(4, 0);

static void set_text(struct frt_error *err, enum frt_status status, const char *prefix_of, const char *fmt,
                     va_list args)
{
    char text[FRT_ERROR_TEXT_MAX];
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n < 0) {
        text[0] = '\0';
        n = 0;
    }
    size_t used = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    if (prefix_of != NULL && used < sizeof text - 1)
        (void)snprintf(text + used, sizeof text - used, ": %s", prefix_of);
    frt_utf8_sanitise(text);
    err->status = status;
    memcpy(err->text, text, sizeof text);
}

enum frt_status frt_fail(struct frt_error *err, enum frt_status status, const char *fmt, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        set_text(err, status, NULL, fmt, args);
        err->retry_after_s = 0;
        va_end(args);
    }
    return status;
}

enum frt_status frt_fail_within(struct frt_error *err, enum frt_status status, const char *fmt, ...)
{
    if (err != NULL) {
        char inner[FRT_ERROR_TEXT_MAX];
        memcpy(inner, err->text, sizeof inner);
        inner[sizeof inner - 1] = '\0';
        va_list args;
        va_start(args, fmt);
        set_text(err, status, inner, fmt, args);
        va_end(args);
    }
    return status;
}

enum frt_status frt_fail_nomem(struct frt_error *err, const char *what)
{
    return frt_fail(err, FRT_ENOMEM, "no memory for %s", what);
}
