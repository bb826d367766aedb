# FAISS and hnswlib, both optional, both C++: the plug-in of src/index and the peers of bench/ need them.
# Without them (or without a C++ compiler) those parts are not there, and C++ is never switched on.
#
# Debian's libfaiss-dev holds a static library that wants OpenMP, BLAS and LAPACK. Which BLAS that is, the system
# decides at run time (libblas.so.3); training wants a fast one (libopenblas0).
find_path(FAISS_INCLUDE_DIR faiss/IndexIVFFlat.h)
find_library(FAISS_LIBRARY faiss)
find_path(HNSWLIB_INCLUDE_DIR hnswlib/hnswlib.h)
set(FRT_HAVE_FAISS OFF)
set(FRT_HAVE_HNSWLIB OFF)
include(CheckLanguage)
# clang's sanitizers and g++'s do not live in one program.
set(FRT_CXX_FITS ON)
if(FRT_SANITIZE AND CMAKE_C_COMPILER_ID MATCHES "Clang")
  set(FRT_CXX_FITS OFF)
endif()
if(FRT_CXX_FITS AND ((FAISS_INCLUDE_DIR AND FAISS_LIBRARY) OR HNSWLIB_INCLUDE_DIR))
  check_language(CXX)
  if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
    set(CMAKE_CXX_STANDARD 17)
    set(CMAKE_CXX_STANDARD_REQUIRED ON)
    set(CMAKE_CXX_EXTENSIONS OFF)
    set(CMAKE_CXX_VISIBILITY_PRESET hidden)
    if(HNSWLIB_INCLUDE_DIR)
      set(FRT_HAVE_HNSWLIB ON)
    endif()
    if(FAISS_INCLUDE_DIR AND FAISS_LIBRARY)
      find_package(BLAS QUIET)
      find_package(LAPACK QUIET)
      find_package(OpenMP QUIET COMPONENTS CXX)
      if(BLAS_FOUND AND LAPACK_FOUND AND OpenMP_CXX_FOUND)
        set(FRT_HAVE_FAISS ON)
      endif()
    endif()
  endif()
endif()
if(FRT_HAVE_FAISS)
  message(STATUS "FAISS: ${FAISS_LIBRARY}; the plug-in frt_faiss.so is built")
else()
  message(STATUS "FAISS: not found; the index engine 'faiss' will not be there (it needs libfaiss-dev and g++)")
endif()

# FAISS that was built for GPUs (Debian's is not): the plug-in keeps copies of large lists on one
# (src/index/faiss_gpu.h). FAISS ends the process when a device is lost under it: -DFRT_FAISS_GPU=OFF leaves it out.
option(FRT_FAISS_GPU "Let the index engine 'faiss' use a GPU where FAISS was built for one" ON)
set(FRT_FAISS_HAS_GPU OFF)
if(FRT_HAVE_FAISS AND FRT_FAISS_GPU AND EXISTS ${FAISS_INCLUDE_DIR}/faiss/gpu/StandardGpuResources.h)
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND)
    include(CheckCXXSourceCompiles)
    set(CMAKE_REQUIRED_INCLUDES ${FAISS_INCLUDE_DIR})
    set(CMAKE_REQUIRED_LIBRARIES ${FAISS_LIBRARY} OpenMP::OpenMP_CXX ${LAPACK_LIBRARIES} ${BLAS_LIBRARIES}
                                 CUDA::cublas CUDA::cudart)
    check_cxx_source_compiles("#include <faiss/gpu/StandardGpuResources.h>
int main() { faiss::gpu::StandardGpuResources r; r.noTempMemory(); }" FRT_FAISS_GPU_LINKS)
    unset(CMAKE_REQUIRED_INCLUDES)
    unset(CMAKE_REQUIRED_LIBRARIES)
    set(FRT_FAISS_HAS_GPU ${FRT_FAISS_GPU_LINKS})
  endif()
endif()
if(FRT_FAISS_HAS_GPU)
  message(STATUS "FAISS: built for GPUs; the engine 'faiss' uses one")
endif()

# The C++ half of frt_flags.
add_library(frt_flags_cxx INTERFACE)
target_compile_options(frt_flags_cxx INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wformat=2 -Wundef
  -Wcast-qual -Wpointer-arith)
target_compile_definitions(frt_flags_cxx INTERFACE _GNU_SOURCE)
target_include_directories(frt_flags_cxx INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
if(FRT_WERROR)
  target_compile_options(frt_flags_cxx INTERFACE -Werror)
endif()
if(FRT_SANITIZE)
  target_compile_options(frt_flags_cxx INTERFACE -fsanitize=${FRT_SANITIZE} -fno-omit-frame-pointer
                                                 -fno-sanitize-recover=all)
  target_link_options(frt_flags_cxx INTERFACE -fsanitize=${FRT_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES "Release|RelWithDebInfo|MinSizeRel")
  target_compile_options(frt_flags_cxx INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
                                                 -fstack-protector-strong -fstack-clash-protection
                                                     -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
  target_link_options(frt_flags_cxx INTERFACE -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
endif()

# frt_faiss_module(NAME SOURCES … [FAISS library] [INCLUDE folder]): a shared module with FAISS inside; of its
# symbols only those that the sources export are seen, so that two of them can live in one program.
function(frt_faiss_module name)
  cmake_parse_arguments(M "" "FAISS;INCLUDE" "SOURCES" ${ARGN})
  if(NOT M_FAISS)
    set(M_FAISS ${FAISS_LIBRARY})
    set(M_INCLUDE ${FAISS_INCLUDE_DIR})
  endif()
  add_library(${name} MODULE ${M_SOURCES})
  set_target_properties(${name} PROPERTIES PREFIX "" LINKER_LANGUAGE CXX)
  target_include_directories(${name} SYSTEM PRIVATE ${M_INCLUDE})
  target_link_libraries(${name} PRIVATE frt_flags_cxx ${M_FAISS} OpenMP::OpenMP_CXX ${LAPACK_LIBRARIES}
                                        ${BLAS_LIBRARIES})
  target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL)
endfunction()
