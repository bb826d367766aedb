# The CUDA toolkit, optional: the plug-in libfrt_cuda.so (src/index/cuda) is built where nvcc is found, and nothing
# else needs it. Looked for in PATH, $CUDA_HOME and /usr/local/cuda; -DFRT_CUDA=OFF leaves it out. Not under
# sanitizers: the plug-in's code is tested there with the stand-in of tests/index.
option(FRT_CUDA "Build the CUDA plug-in where nvcc is found" ON)
# Toolkit 13 knows 7.5 and later; the kernels need 8.0 (Ampere). Later devices than the last use its PTX.
set(FRT_CUDA_ARCHITECTURES "80;86;89;90" CACHE STRING "Compute capabilities that the CUDA plug-in has code for")
set(FRT_HAVE_CUDA OFF)
if(FRT_CUDA AND NOT FRT_SANITIZE)
  find_program(NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(NVCC)
    set(FRT_HAVE_CUDA ON)
  endif()
endif()
if(FRT_HAVE_CUDA)
  message(STATUS "CUDA: ${NVCC}; the plug-in libfrt_cuda.so is built for ${FRT_CUDA_ARCHITECTURES}")
else()
  message(STATUS "CUDA: no nvcc; searches will not use a GPU")
endif()

# frt_cuda_module(NAME SOURCES …): lib/NAME.so beside the program, with the runtime linked in. One call of nvcc, and no
# CUDA among CMake's languages, which would want a compiler check that fails on machines with half a toolkit.
function(frt_cuda_module name)
  cmake_parse_arguments(M "" "" "SOURCES;DEPENDS" ${ARGN})
  set(codes "")
  foreach(architecture IN LISTS FRT_CUDA_ARCHITECTURES)
    list(APPEND codes -gencode arch=compute_${architecture},code=sm_${architecture})
    set(last ${architecture})
  endforeach()
  list(APPEND codes -gencode arch=compute_${last},code=compute_${last})
  set(objects "")
  foreach(source IN LISTS M_SOURCES)
    get_filename_component(base ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${base}.cuda.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${NVCC} -x cu -c ${source} -o ${object} -std=c++17 -O3 --threads 2 ${codes} -I ${CMAKE_SOURCE_DIR}/src
              -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra
      DEPENDS ${source} ${M_DEPENDS} COMMENT "nvcc ${base}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(library ${CMAKE_BINARY_DIR}/${name}.so)
  add_custom_command(OUTPUT ${library}
    COMMAND ${NVCC} -shared --cudart static ${codes} -o ${library} ${objects}
            -Xlinker -z,relro,-z,now,-z,noexecstack,--exclude-libs,ALL
    DEPENDS ${objects} COMMENT "nvcc ${name}.so" VERBATIM)
  add_custom_target(${name} ALL DEPENDS ${library})
endfunction()
