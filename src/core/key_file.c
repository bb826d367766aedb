#include "core/key_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"

enum { MAX_BYTES = 256 };

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = c == '\0' ? NULL : strchr(digits, tolower((unsigned char)c));
    return at == NULL ? -1 : (int)(at - digits);
}

static bool from_hex(const char *text, size_t n, uint8_t out[FRT_SEAL_KEY_BYTES])
{
    if (n != 2 * (size_t)FRT_SEAL_KEY_BYTES)
        return false;
    for (size_t i = 0; i < FRT_SEAL_KEY_BYTES; i++) {
        const int high = hex(text[2 * i]), low = hex(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static bool from_text(char *text, size_t n, uint8_t out[FRT_SEAL_KEY_BYTES])
{
    uint8_t decoded[MAX_BYTES];
    size_t size = 0;
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    while (n > 0 && isspace((unsigned char)*text)) {
        text++;
        n--;
    }
    bool good = from_hex(text, n, out);
    if (!good && n > 40 && frt_base64_decode(text, n, decoded, sizeof decoded, &size, NULL) == FRT_OK &&
        size == FRT_SEAL_KEY_BYTES) {
        memcpy(out, decoded, FRT_SEAL_KEY_BYTES);
        good = true;
    }
    frt_wipe(decoded, sizeof decoded);
    return good;
}

enum frt_status frt_key_file_load(const char *path, uint8_t out[FRT_SEAL_KEY_BYTES], struct frt_error *err)
{
    char bytes[MAX_BYTES];
    struct stat st;
    enum frt_status status = FRT_OK;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "key file %s: %s", path,
                        strerror(errno));
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    if (fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        frt_log(FRT_LOG_WARN, "others than its owner may read the key file", FRT_LOG_STR("file", path),
                FRT_LOG_STR("do", "chmod 600"), FRT_LOG_END);
    if (ferror(file) != 0)
        status = frt_fail(err, FRT_EIO, "key file %s cannot be read", path);
    else if (n == FRT_SEAL_KEY_BYTES)
        memcpy(out, bytes, FRT_SEAL_KEY_BYTES);
    else if (n == sizeof bytes || !from_text(bytes, n, out))
        status = frt_fail(err, FRT_EINVAL,
                          "key file %s holds no key: 32 bytes, 64 hex digits or their base64 are right, as "
                          "'openssl rand -hex 32' makes them",
                          path);
    (void)fclose(file);
    frt_wipe(bytes, sizeof bytes);
    return status;
}
