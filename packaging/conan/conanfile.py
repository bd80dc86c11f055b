# SPDX-License-Identifier: Apache-2.0
"""Conan 2 recipe: conan create packaging/conan. It packages the tree that it lies in."""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load


class Hypersd(ConanFile):
    name = "hypersd"
    description = "Few-step diffusion: trajectory segmented consistency distillation and relatives"
    license = "Apache-2.0"
    topics = ("diffusion", "distillation", "header-only", "cuda")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"io": [True, False], "png": [True, False], "text": [True, False], "mpi": [True, False]}
    default_options = {"io": True, "png": True, "text": False, "mpi": False}
    no_copy_source = True

    @property
    def _root(self):
        return os.path.join(self.recipe_folder, os.pardir, os.pardir)

    def set_version(self):
        text = load(self, os.path.join(self._root, "include", "hypersd", "core", "version.hpp"))
        self.version = ".".join(re.search(rf"version_{part} = (\d+)", text)[1] for part in ("major", "minor", "patch"))

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*"):
            copy(self, pattern, self._root, self.export_sources_folder)

    def requirements(self):
        self.requires("eigen/3.4.0", transitive_headers=True)
        if self.options.io or self.options.png or self.options.text:
            self.requires("zlib/[>=1.2.11 <2]", transitive_headers=True, transitive_libs=True)
        if self.options.png:
            self.requires("libpng/[>=1.6 <2]", transitive_headers=True, transitive_libs=True)
        if self.options.text:
            self.requires("utf8proc/[>=2.6 <3]", transitive_headers=True, transitive_libs=True)
        if self.options.mpi:
            self.requires("openmpi/[>=4.1 <5]", transitive_headers=True, transitive_libs=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))
        copy(self, "*.cuh", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "hypersd")
        parts = {
            "core": ["eigen::eigen"],
            "io": ["core", "zlib::zlib"],
            "png": ["core", "zlib::zlib", "libpng::libpng"],
            "text": ["core", "zlib::zlib", "utf8proc::utf8proc"],
            "mpi": ["core", "openmpi::openmpi"],
        }
        for name, requires in parts.items():
            if name != "core" and not self.options.get_safe(name):
                continue
            part = self.cpp_info.components[name]
            part.set_property("cmake_target_name", "hypersd::hypersd" if name == "core" else f"hypersd::{name}")
            part.requires = requires
            part.bindirs = part.libdirs = []
        self.cpp_info.components["core"].system_libs = ["pthread"]
