# SPDX-License-Identifier: Apache-2.0
# An overlay port: vcpkg install hypersd --overlay-ports=packaging/vcpkg
# It installs the tree that it lies in, or the archive that HYPERSD_ARCHIVE names (with VCPKG_KEEP_ENV_VARS=HYPERSD_ARCHIVE).
if(DEFINED ENV{HYPERSD_ARCHIVE})
  vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "$ENV{HYPERSD_ARCHIVE}")
else()
  get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
endif()

set(VCPKG_BUILD_TYPE release)  # headers only
vcpkg_cmake_configure(SOURCE_PATH "${SOURCE_PATH}"
                      OPTIONS -DHYPERSD_BUILD_TESTS=OFF -DHYPERSD_BUILD_EXAMPLES=OFF -DHYPERSD_INSTALL=ON)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/hypersd)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/lib")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
