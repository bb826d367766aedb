#include "model/zip_maker.h"

#include <minizip/zip.h>

enum { DEFLATED = 8, LEVEL = 6 };

bool zip_make(const char *path, const struct zip_entry *entries, size_t n)
{
    zipFile zip = zipOpen64(path, APPEND_STATUS_CREATE);
    bool made = zip != NULL;
    for (size_t i = 0; made && i < n; i++) {
        zip_fileinfo info = {0};
        made = zipOpenNewFileInZip64(zip, entries[i].name, &info, NULL, 0, NULL, 0, NULL, DEFLATED, LEVEL, 0) ==
                   ZIP_OK &&
               zipWriteInFileInZip(zip, entries[i].bytes, (unsigned)entries[i].size) == ZIP_OK &&
               zipCloseFileInZip(zip) == ZIP_OK;
    }
    return zip != NULL && zipClose(zip, NULL) == ZIP_OK && made;
}
