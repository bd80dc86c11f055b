#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# format.sh ROOT: the code is as clang-format 14 (Debian's) writes it; other versions break some lines elsewhere. Exit
# code 77: not had.
set -u
cd "$1" || exit 1
for name in clang-format-14 clang-format; do
  if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then
    find include tests examples bench -type f \( -name '*.hpp' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.cu' \) -print0 |
      xargs -0 "$name" --dry-run --Werror || { echo 'run clang-format 14 on the files above'; exit 1; }
    exit 0
  fi
done
echo 'no clang-format 14 here'
exit 77
