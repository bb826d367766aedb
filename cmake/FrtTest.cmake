# frt_test(NAME SOURCES … [LIBS …] [LABELS …] [TIMEOUT s]): one cmocka executable, run by ctest.
# A test that exits with 77 is reported as skipped (a model, photo or device is absent).
# NAME starts with "test_". Working directory: the project root. FRT_TEST_ASSETS is passed through.
function(frt_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;LABELS;ARGS" ${ARGN})
  if(NOT CMOCKA_FOUND)
    return()
  endif()
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE frt_flags ${T_LIBS} PkgConfig::CMOCKA)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} ${T_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  if(CMAKE_CROSSCOMPILING)
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 8") # an emulated processor
  endif()
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()

# frt_fuzzer(NAME SOURCES … [LIBS …] CORPUS dir): a file with LLVMFuzzerTestOneInput.
# With FRT_FUZZERS: a libFuzzer executable NAME. Always: a test "replay_NAME" that feeds every file of
# tests/fuzz/corpus/<CORPUS> (seeds and past crashes) to the same function.
function(frt_fuzzer name)
  cmake_parse_arguments(F "" "CORPUS" "SOURCES;LIBS" ${ARGN})
  if(FRT_FUZZERS)
    add_executable(${name} ${F_SOURCES})
    target_link_libraries(${name} PRIVATE frt_flags ${F_LIBS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_property(GLOBAL APPEND PROPERTY FRT_FUZZER_LIST "${name}:${F_CORPUS}")
  endif()
  add_executable(replay_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c ${F_SOURCES})
  target_link_libraries(replay_${name} PRIVATE frt_flags ${F_LIBS})
  add_test(NAME replay_${name} COMMAND replay_${name} tests/fuzz/corpus/${F_CORPUS}
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(replay_${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
