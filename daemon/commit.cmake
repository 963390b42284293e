# Writes HEADER with the commit that SOURCE_DIR is at; leaves it alone when that is what it says.
execute_process(
  COMMAND git -C ${SOURCE_DIR} -c safe.directory=* describe --always --dirty --abbrev=7 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
if(failed)  # Not in a clone: whoever builds may know.
  set(commit "$ENV{LOCKSTEP_COMMIT}")
endif()
if(commit STREQUAL "")
  set(commit "unknown")
endif()
set(text "#define LOCKSTEP_COMMIT \"${commit}\"\n")
set(known "")
if(EXISTS ${HEADER})
  file(READ ${HEADER} known)
endif()
if(NOT known STREQUAL text)
  file(WRITE ${HEADER} "${text}")
endif()
