# An installed eaq: the program, the library with its front doors, the embedded models and data, and a package for
# find_package(eaq). scripts/check_consumer builds a program against it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

function(eaq_install)
  if(EAQ_CUDA STREQUAL EMULATED)  # a tool for tests
    return()
  endif()
  install(TARGETS eaq EXPORT eaq ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  if(TARGET eaq_program)
    install(TARGETS eaq_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()

  install(CODE "set(SOURCE \"${CMAKE_CURRENT_SOURCE_DIR}\")\nset(INCLUDES \"${CMAKE_INSTALL_INCLUDEDIR}\")")
  install(SCRIPT cmake/InstallHeaders.cmake)
  foreach(folder models data)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder})
      install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_DATADIR}/eaq)
    endif()
  endforeach()
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/eaq)
  install(EXPORT eaq NAMESPACE eaq:: DESTINATION ${package})
  configure_package_config_file(cmake/eaqConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/eaqConfig.cmake INSTALL_DESTINATION ${package})
  # Below 1.0 any release may change an interface.
  write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/eaqConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/eaqConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/eaqConfigVersion.cmake
                cmake/Dependencies.cmake DESTINATION ${package})
endfunction()
