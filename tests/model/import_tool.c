/* Developer's import: frt_import_tool FACE_API_DIR HUMAN_DIR OUT_DIR, without the command line's rooms. */
#include <stdio.h>

#include "model/import.h"

static void progress(void *arg, const char *model, uint32_t done, uint32_t total)
{
    (void)arg;
    printf("[%u/%u] %s\n", done, total, model);
}

int main(int argc, char **argv)
{
    struct frt_error err;
    if (argc != 4) {
        (void)fprintf(stderr, "usage: %s FACE_API_DIR HUMAN_DIR OUT_DIR\n", argv[0]);
        return FRT_EXIT_USAGE;
    }
    struct frt_import_options options = {
        .face_api_dir = argv[1], .human_dir = argv[2], .out_dir = argv[3], .progress = progress};
    if (frt_model_import(&options, &err) != FRT_OK) {
        (void)fprintf(stderr, "%s: %s\n", frt_status_code(err.status), err.text);
        return (int)frt_status_exit(err.status);
    }
    return 0;
}
