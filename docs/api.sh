#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# api.sh [FOLDER]: builds the API reference by doxygen, by default in build/docs/api. Exit code 1 if a comment is
# faulty or a public declaration has none, 77 without doxygen.
#
# Every class, function, enumeration and alias of a public namespace needs a comment. A member of a class does not:
# `visit`, `value_type` or `operator()` of a functor mean what they mean everywhere. Nor does a nested `Options`, which
# the comment of its class describes. Doxygen has no option for this, so the script reads its warnings.
set -u
out=$(realpath -m "${1:-$(dirname "$0")/../build/docs/api}")
cd "$(dirname "$0")/.." || exit 1
if ! command -v doxygen >/dev/null; then
  echo "api: doxygen is missing (Debian: apt-get install doxygen)"
  exit 77
fi
mkdir -p "$out" || exit 1
HYPERSD_API=$out HYPERSD_ROOT=$PWD doxygen docs/Doxyfile 2>"$out/warnings.txt" || {
  cat "$out/warnings.txt"
  exit 1
}
faults=$(grep -vE 'warning: (Member .* of (class|struct|union) .*|Member .* -> .* \(function\) .*|Compound .*::Options) is not documented' "$out/warnings.txt")
if [ -n "$faults" ]; then
  printf '%s\n' "${faults//$PWD\//}"
  exit 1
fi
echo "api: $out/index.html"
