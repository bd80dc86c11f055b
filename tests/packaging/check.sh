#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh vcpkg|conan SOURCE WORK: packages the library from a local archive or the tree, without the network, and
# builds a program with the package. Exit code 77 without Conan 2.
set -eu
way=$1 source=$2 work=$3
rm -rf "$work"
mkdir -p "$work"

case $way in
  vcpkg)
    tar -C "$source" --transform 's,^,hypersd-0/,' -czf "$work/hypersd.tar.gz" CMakeLists.txt LICENSE cmake include
    for HYPERSD_ARCHIVE in "$work/hypersd.tar.gz" ''; do
      if [ -n "$HYPERSD_ARCHIVE" ]; then export HYPERSD_ARCHIVE; else unset HYPERSD_ARCHIVE; fi
      rm -rf "$work/packages" "$work/build"
      cmake -DPORT_DIR="$source/packaging/vcpkg/hypersd" -DWORK="$work" -P "$source/tests/packaging/vcpkg.cmake"
    done
    cmake -S "$source/tests/install/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/packages" -DWAY=find_package >/dev/null
    grep -q "hypersd_DIR:PATH=$work/packages/share/hypersd" "$work/consumer/CMakeCache.txt"
    cmake --build "$work/consumer" --target consumer
    "$work/consumer/consumer"
    ;;
  conan)
    command -v conan >/dev/null && conan --version | grep -q ' version 2' || { echo 'no Conan 2 (pip install conan)'; exit 77; }
    export CONAN_HOME=$work/home
    conan profile detect >/dev/null 2>&1
    conan remote disable '*' >/dev/null 2>&1
    # Eigen as the system has it: nothing is downloaded.
    mkdir "$work/eigen"
    cat >"$work/eigen/conanfile.py" <<'PYTHON'
from conan import ConanFile


class Eigen(ConanFile):
    name, version, package_type = "eigen", "3.4.0", "header-library"

    def package_info(self):
        self.cpp_info.includedirs = ["/usr/include/eigen3"]
        self.cpp_info.bindirs = self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "Eigen3")
        self.cpp_info.set_property("cmake_target_name", "Eigen3::Eigen")
PYTHON
    conan create "$work/eigen" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    mkdir "$work/tree"  # a copy: Conan builds the test package beside its recipe
    cp -r "$source/CMakeLists.txt" "$source/LICENSE" "$source/cmake" "$source/include" "$source/packaging" "$work/tree"
    conan create "$work/tree/packaging/conan" -s compiler.cppstd=20 -o '&:io=False' -o '&:png=False' >"$work/log" 2>&1 ||
      { cat "$work/log"; exit 1; }
    if [ -e "$source/packaging/conan/test_package/build" ]; then echo 'the tree was written to'; exit 1; fi
    version=$(sed -nE 's/.* version_(major|minor|patch) = ([0-9]+);/\2/p' "$source/include/hypersd/core/version.hpp" | paste -sd.)
    grep -x "hypersd $version" "$work/log" || { cat "$work/log"; echo "the program did not print its version"; exit 1; }
    ;;
esac
