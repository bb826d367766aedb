#include <string.h>

#include "core/json_read.h"
#include "core/utf8.h"
#include "store/store_internal.h"

static bool plain_text(const char *text, size_t size)
{
    if (!frt_utf8_valid(text, size))
        return false;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return true;
}

enum frt_status store_check_name(const char *name, struct frt_error *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t n = name == NULL ? 0 : strlen(name);
    if (n == 0 || n > FRT_STORE_NAME_MAX || name[0] == '.' || strspn(name, allowed) != n)
        return frt_fail(err, FRT_EINVAL,
                        "'%.64s' is no name of a collection; 1 to %d of A-Z, a-z, 0-9, '.', '_' and '-', not "
                        "beginning with '.', are right",
                        name == NULL ? "" : name, FRT_STORE_NAME_MAX);
    return FRT_OK;
}

enum frt_status store_check_subject(const char *subject, struct frt_error *err)
{
    const size_t n = subject == NULL ? 0 : strlen(subject);
    if (n == 0 || n > FRT_STORE_SUBJECT_MAX || !plain_text(subject, n))
        return frt_fail(err, FRT_EINVAL,
                        "a subject's name has %zu bytes%s; 1 to %d bytes of UTF-8 without control "
                        "characters are right",
                        n, n > 0 && n <= FRT_STORE_SUBJECT_MAX ? " that are not plain text" : "",
                        FRT_STORE_SUBJECT_MAX);
    return FRT_OK;
}

enum frt_status store_check_face_id(const char *face_id, struct frt_error *err)
{
    const size_t n = strlen(face_id);
    if (n == 0 || n > FRT_STORE_FACE_ID_MAX || !plain_text(face_id, n) || strchr(face_id, '/') != NULL)
        return frt_fail(
            err, FRT_EINVAL,
            "a face id has %zu bytes%s; 1 to %d bytes of UTF-8 without control characters and '/' are "
            "right",
            n, n > 0 && n <= FRT_STORE_FACE_ID_MAX ? " that are not plain text, or a '/'" : "",
            FRT_STORE_FACE_ID_MAX);
    return FRT_OK;
}

enum frt_status store_check_metadata(const char *metadata, struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_error why = {0};
    const size_t n = metadata == NULL ? 0 : strlen(metadata);
    if (n == 0)
        return FRT_OK;
    if (n > FRT_STORE_METADATA_MAX)
        return frt_fail(err, FRT_EINVAL, "the metadata has %zu bytes; at most %d are right", n,
                        FRT_STORE_METADATA_MAX);
    enum frt_status status = frt_json_parse(metadata, n, &json, &why);
    if (status == FRT_ENOMEM)
        return frt_fail_nomem(err, "metadata");
    const bool object = status == FRT_OK && frt_json_is_object(frt_json_root(json));
    frt_json_free(json);
    if (!object)
        return frt_fail(err, FRT_EINVAL, "the metadata is no JSON object%s%.200s", status == FRT_OK ? "" : ": ",
                        status == FRT_OK ? "" : why.text);
    return FRT_OK;
}
