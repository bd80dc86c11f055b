# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/hypersd)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/hypersd DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
install(TARGETS hypersd EXPORT hypersd)
install(EXPORT hypersd NAMESPACE hypersd:: FILE hypersdTargets.cmake DESTINATION ${package_dir})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/hypersdConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/hypersdConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/hypersdConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/hypersdConfig.cmake ${PROJECT_BINARY_DIR}/hypersdConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/compiled.cpp
        DESTINATION ${package_dir})

# share/pkgconfig: the prefix is relative to the file, so that the installed tree can be moved.
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_DATADIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/hypersd.pc.in ${PROJECT_BINARY_DIR}/hypersd.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/hypersd.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
