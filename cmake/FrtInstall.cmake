# `make install`: program, library (shared and static), header, pkg-config file, man page, bash completion,
# systemd unit, sample settings, manifest templates, and ONNX Runtime's library when it did not come from the system.
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

# Two components: what runs the service (images, the Debian package), and what programs are built with.
install(TARGETS frt_lib_shared frt_lib_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES include/frt/frt.h include/frt/gallery.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/frt COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/frt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
install(FILES examples/verify.c DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/frt/examples COMPONENT development)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/frt COMPONENT service)
install(DIRECTORY share/ DESTINATION ${CMAKE_INSTALL_DATADIR}/frt COMPONENT service)

if(TARGET frt)
  install(TARGETS frt RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT service)
  # Both come from the table that the command line itself reads.
  add_custom_command(OUTPUT frt.1 frt.bash-completion
    COMMAND frt man > frt.1
    COMMAND frt completion bash > frt.bash-completion
    DEPENDS frt VERBATIM)
  add_custom_target(frt_manual ALL DEPENDS frt.1 frt.bash-completion)
  install(FILES ${CMAKE_BINARY_DIR}/frt.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT service)
  install(FILES ${CMAKE_BINARY_DIR}/frt.bash-completion RENAME frt
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT service)
  # The units name the program by its place, and stand where systemd looks for this prefix.
  set(FRT_BIN ${CMAKE_INSTALL_FULL_BINDIR}/frt)
  configure_file(${CMAKE_SOURCE_DIR}/deploy/frt.service.in ${CMAKE_BINARY_DIR}/frt.service @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/frt.service DESTINATION lib/systemd/system COMPONENT service)
  install(FILES deploy/frt.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/frt COMPONENT service)
endif()

# FRT_RUNTIME_DIRS: where src/infer found a runtime that is not the system's; empty on Debian 13.
# FRT_BUNDLED_RUNTIME: the same for packagers, whose program shall not name a folder of this machine.
set(FRT_BUNDLED_RUNTIME "" CACHE PATH "Folder of a libonnxruntime.so.1 to install beside the program")
string(REPLACE ":" ";" runtime_dirs "${FRT_BUNDLED_RUNTIME}:${FRT_RUNTIME_DIRS}")
foreach(folder IN LISTS runtime_dirs)
  if(EXISTS ${folder}/libonnxruntime.so.1)
    install(PROGRAMS ${folder}/libonnxruntime.so.1 DESTINATION ${CMAKE_INSTALL_LIBDIR}/frt COMPONENT service)
    break()
  endif()
endforeach()
