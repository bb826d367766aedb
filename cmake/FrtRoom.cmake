# frt_room(NAME SOURCES … [LIBS …]): one object library per room, frt_NAME.
# LIBS are linked PUBLIC: rooms below (frt_core, …) and the vendor libraries of the room's adapters.
set_property(GLOBAL PROPERTY FRT_ROOMS "")
function(frt_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LIBS" ${ARGN})
  add_library(frt_${name} OBJECT ${ROOM_SOURCES})
  target_link_libraries(frt_${name} PUBLIC frt_flags ${ROOM_LIBS})
  set_property(GLOBAL APPEND PROPERTY FRT_ROOMS ${name})
endfunction()
