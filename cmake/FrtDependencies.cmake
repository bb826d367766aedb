# Every outside library, found once. Each is included by exactly one adapter file
# (checked by scripts/check-includes).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(SQLITE3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(LIBPQ REQUIRED libpq) # headers only: the library is loaded at run time
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(SPNG REQUIRED IMPORTED_TARGET spng)
pkg_check_modules(WEBP REQUIRED IMPORTED_TARGET libwebp)
pkg_check_modules(HEIF IMPORTED_TARGET libheif)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(HIREDIS REQUIRED IMPORTED_TARGET hiredis)
pkg_check_modules(GNUTLS REQUIRED IMPORTED_TARGET gnutls) # libmicrohttpd brings it along
pkg_check_modules(LIBCURL REQUIRED libcurl) # headers only: the library is loaded at run time
pkg_check_modules(MINIZIP REQUIRED IMPORTED_TARGET minizip)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)

# ONNX Runtime: only its C header is needed to build; the library is loaded at run time.
# Debian 13 installs it; on Debian 12 scripts/setup unpacks it under .deps/ (docs/design/setup.md).
find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h
  HINTS ${CMAKE_SOURCE_DIR}/.deps/onnxruntime-dev/usr/include PATH_SUFFIXES onnxruntime onnxruntime/core/session)
if(NOT ONNXRUNTIME_INCLUDE_DIR)
  message(FATAL_ERROR "onnxruntime_c_api.h not found; run scripts/setup (or make setup) first")
endif()
# Where the system has the library, it is used, and the npm package's copy is not looked for (src/infer).
find_library(ONNXRUNTIME_SYSTEM_LIBRARY onnxruntime)
if(ONNXRUNTIME_SYSTEM_LIBRARY)
  set(FRT_RUNTIME_DIRS "" CACHE STRING "Colon-separated folders in which to look for libonnxruntime.so.1")
endif()
find_path(ONNX_PROTO_DIR onnx/onnx.proto PATHS /usr/include)
if(NOT ONNX_PROTO_DIR)
  message(FATAL_ERROR "onnx/onnx.proto not found; install libonnx-dev (or run make setup)")
endif()
find_program(PROTOC_C protoc-c REQUIRED)
