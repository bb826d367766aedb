# `make install`: program, library (shared and static), header, pkg-config file, man page, bash completion,
# manifest templates, and ONNX Runtime's library when it did not come from the system.
#
# Everything keeps its place relative to the program (bin/frt, lib/frt/libonnxruntime.so.1), so the tree may
# be moved. lib is "lib" and not Debian's lib/<triplet>, because the runtime is looked for at ../lib/frt.
set(CMAKE_INSTALL_LIBDIR lib CACHE PATH "Libraries, relative to the prefix")
include(GNUInstallDirs)

# Linking the static library needs what the rooms link. Plain -l flags and no Requires.private: pkg-config
# would want those packages' .pc files even from a program that links the shared library.
set(private_libs "")
foreach(link IN LISTS library_links)
  if(link MATCHES "^PkgConfig::(.+)$")
    foreach(name IN LISTS ${CMAKE_MATCH_1}_LIBRARIES)
      list(APPEND private_libs -l${name})
    endforeach()
  elseif(link STREQUAL "Threads::Threads")
    list(APPEND private_libs -pthread)
  elseif(link MATCHES "^-")
    list(APPEND private_libs ${link})
  elseif(link)
    list(APPEND private_libs -l${link})
  endif()
endforeach()
list(REMOVE_DUPLICATES private_libs)
list(JOIN private_libs " " FRT_PC_LIBS_PRIVATE)
configure_file(${CMAKE_SOURCE_DIR}/cmake/frt.pc.in ${CMAKE_BINARY_DIR}/frt.pc @ONLY)

install(TARGETS frt_lib_shared frt_lib_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/frt/frt.h include/frt/gallery.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/frt)
install(FILES ${CMAKE_BINARY_DIR}/frt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES examples/verify.c DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/frt/examples)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/frt)
if(IS_DIRECTORY ${CMAKE_SOURCE_DIR}/share)
  install(DIRECTORY share/ DESTINATION ${CMAKE_INSTALL_DATADIR}/frt)
endif()

if(TARGET frt)
  install(TARGETS frt RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # Both come from the table that the command line itself reads.
  add_custom_command(OUTPUT frt.1 frt.bash-completion
    COMMAND frt man > frt.1
    COMMAND frt completion bash > frt.bash-completion
    DEPENDS frt VERBATIM)
  add_custom_target(frt_manual ALL DEPENDS frt.1 frt.bash-completion)
  install(FILES ${CMAKE_BINARY_DIR}/frt.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/frt.bash-completion RENAME frt
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()

# FRT_RUNTIME_DIRS: where src/infer found a runtime that is not the system's; empty on Debian 13.
string(REPLACE ":" ";" runtime_dirs "${FRT_RUNTIME_DIRS}")
foreach(folder IN LISTS runtime_dirs)
  if(EXISTS ${folder}/libonnxruntime.so.1)
    install(PROGRAMS ${folder}/libonnxruntime.so.1 DESTINATION ${CMAKE_INSTALL_LIBDIR}/frt)
    break()
  endif()
endforeach()
