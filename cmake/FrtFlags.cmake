# Warnings, hardening and sanitizers, applied to every target of ours.
# The baseline is the ABI floor; faster code is chosen at run time (src/simd).
add_library(frt_flags INTERFACE)
target_compile_options(frt_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wpointer-arith
  -fno-strict-overflow -fno-math-errno)
target_compile_definitions(frt_flags INTERFACE _GNU_SOURCE)
target_include_directories(frt_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
if(FRT_WERROR)
  target_compile_options(frt_flags INTERFACE -Werror)
endif()
if(FRT_SANITIZE)
  target_compile_options(frt_flags INTERFACE -fsanitize=${FRT_SANITIZE} -fno-omit-frame-pointer
                                             -fno-sanitize-recover=all)
  target_link_options(frt_flags INTERFACE -fsanitize=${FRT_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES "Release|RelWithDebInfo|MinSizeRel")
  target_compile_options(frt_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
                                             -fstack-protector-strong -fstack-clash-protection)
  target_link_options(frt_flags INTERFACE -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
  # The same bytes wherever the sources lie (scripts/check-reproducible).
  target_compile_options(frt_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
endif()
if(FRT_FUZZERS)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "FRT_FUZZERS needs clang; configure with -DCMAKE_C_COMPILER=clang (preset: fuzz)")
  endif()
  target_compile_options(frt_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
