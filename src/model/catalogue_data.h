/* share/catalogue.json compiled in; cmake/embed.cmake makes catalogue_data.c from it. */
#ifndef FRT_MODEL_CATALOGUE_DATA_H
#define FRT_MODEL_CATALOGUE_DATA_H

#include <stddef.h>

extern const unsigned char asset_catalogue_json[];
extern const size_t asset_catalogue_json_size;

#endif
