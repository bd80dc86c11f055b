#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the CPU core as one header that includes nothing but the standard library. See --help.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'EOF'
usage: bash cmake/single_header.sh [FILE]

Writes FILE (default build/single_header/hypersd_single.hpp): processes, solvers, samplers, exact teachers, objectives
and optimizers for the CPU, in one header, e.g. for Compiler Explorer. It needs a C++20 compiler and nothing else:

    g++ -std=c++20 -O2 program.cpp -pthread
EOF
}

case ${1:-} in -h | --help) usage; exit 0 ;; -*) usage >&2; exit 2 ;; esac
out=${1:-build/single_header/hypersd_single.hpp}
headers=(hypersd/diffusion.hpp hypersd/distill.hpp hypersd/optim.hpp)
version=$(sed -nE 's/.* version_(major|minor|patch) = ([0-9]+);/\2/p' include/hypersd/core/version.hpp | paste -sd.)
mkdir -p "$(dirname "$out")"

# Each header once, where it is included first. What is under `#if HYPERSD_HAS_CUDA` is left out.
awk -v list="${headers[*]}" -v version="$version" '
  function fail(message) { print "single_header.sh: " message > "/dev/stderr"; failed = 1; exit 1 }
  function inline_header(name, guarded,    path, line, target, depth, cuda, skip, status, at) {
    if (seen[name]++) return
    path = "include/" name
    depth = cuda = skip = 0
    while ((status = (getline line < path)) > 0) {
      if (line ~ /^\/\/ SPDX-License-Identifier|^#pragma once/) continue
      if (line ~ /^ *# *if/) {
        ++depth
        if (!cuda && line ~ /^ *# *if HYPERSD_HAS_CUDA *$/) { cuda = depth; skip = 1; continue }
      } else if (line ~ /^ *# *else/ && cuda == depth && cuda) {
        skip = !skip
        continue
      } else if (line ~ /^ *# *endif/) {
        at = depth--
        if (cuda == at) { cuda = skip = 0; continue }
      }
      if (skip) continue
      if (line ~ /^ *# *include <hypersd\//) {
        target = line
        sub(/^[^<]*</, "", target)
        sub(/>.*/, "", target)
        # Hidden by a condition, a header would be missing elsewhere.
        if (guarded && !seen[target]) fail(name " includes " target " and is itself under a condition")
        inline_header(target, guarded || depth > (cuda ? 1 : 0))
      } else {
        print line
      }
    }
    if (status < 0) fail(path " cannot be read")
    close(path)
    if (depth != 0) fail(path " has an #if without #endif")
  }
  BEGIN {
    print "// SPDX-License-Identifier: Apache-2.0"
    print "// hypersd " version ": processes, solvers, samplers, exact teachers, objectives and optimizers, for the CPU."
    print "// Written by cmake/single_header.sh; do not edit."
    print "#pragma once"
    print "#if defined(__CUDACC__)"
    print "#error \"hypersd_single.hpp is for the CPU; install the library for CUDA\""
    print "#endif"
    count = split(list, names, " ")
    for (i = 1; i <= count; ++i) inline_header(names[i], 0)
  }' >"$out.partial"
mv "$out.partial" "$out"
echo "$out: $(wc -l <"$out") lines"
