/* Files of web/ compiled in; cmake/embed.cmake makes assets.c from them. */
#ifndef FRT_HTTP_ASSETS_H
#define FRT_HTTP_ASSETS_H

#include <stddef.h>

extern const unsigned char asset_index_html[], asset_console_js[], asset_console_css[], asset_openapi_json[];
extern const size_t asset_index_html_size, asset_console_js_size, asset_console_css_size,
    asset_openapi_json_size;

#endif
