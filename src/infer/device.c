#include "infer/device.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/suggest.h"

static const char *const words[] = {"cpu", "auto", "cuda", "tensorrt", "webgpu"};
enum { WORDS = sizeof words / sizeof *words };

enum frt_status frt_device_parse(const char *text, struct frt_device *out, struct frt_error *err)
{
    struct frt_device device = {FRT_DEVICE_CPU, 0};
    char word[FRT_DEVICE_NAME_MAX];
    size_t k = 0;
    if (text == NULL || text[0] == '\0') {
        *out = device;
        return FRT_OK;
    }
    const size_t size = strcspn(text, ":");
    (void)snprintf(word, sizeof word, "%.*s", (int)(size < sizeof word ? size : sizeof word - 1), text);
    for (size_t i = 0; i < size && i < sizeof word; i++)
        if (word[i] >= 'A' && word[i] <= 'Z')
            word[i] = (char)(word[i] - 'A' + 'a');
    while (k < WORDS && strcmp(word, words[k]) != 0)
        k++;
    if (k == WORDS) {
        const char *meant = frt_suggest(word, words, WORDS);
        return frt_fail(err, FRT_EINVAL,
                        "device \"%s\": auto, cpu, cuda, tensorrt or webgpu, with an index as in cuda:1%s%s%s",
                        text, meant != NULL ? "; did you mean " : "", meant != NULL ? meant : "",
                        meant != NULL ? "?" : "");
    }
    device.kind = (enum frt_device_kind)k;
    if (text[size] == ':') {
        const char *digits = text + size + 1;
        const size_t n = strspn(digits, "0123456789");
        if (n == 0 || n > 2 || digits[n] != '\0' || device.kind <= FRT_DEVICE_AUTO ||
            sscanf(digits, "%2u", &device.index) != 1 || device.index > FRT_DEVICE_MAX_INDEX)
            return frt_fail(err, FRT_EINVAL, "device \"%s\": %s", text,
                            device.kind <= FRT_DEVICE_AUTO ? "cpu and auto take no index"
                                                           : "the index is a number from 0 to 63");
    }
    *out = device;
    return FRT_OK;
}

const char *frt_device_name(const struct frt_device *device, char out[FRT_DEVICE_NAME_MAX])
{
    if (device->kind <= FRT_DEVICE_AUTO)
        (void)snprintf(out, FRT_DEVICE_NAME_MAX, "%s", words[device->kind]);
    else
        (void)snprintf(out, FRT_DEVICE_NAME_MAX, "%s:%u", words[device->kind], device->index);
    return out;
}
