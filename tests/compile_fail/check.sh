#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh SOURCE COMPILER FLAG...: SOURCE must fail to compile with the message of its line `// EXPECT: regex`.
set -u
source=$1
shift
expected=$(sed -n '1,4s|^// EXPECT: ||p' "$source" | head -n 1)
if [ -z "$expected" ]; then
  echo "$source: no line '// EXPECT: regex' among the first four"
  exit 1
fi
if message=$(LC_ALL=C "$@" -fsyntax-only "$source" 2>&1); then
  echo "$source compiles, but must not"
  exit 1
fi
if ! grep -Eq -- "$expected" <<<"$message"; then
  printf '%s\nThe message above does not match: %s\n' "$message" "$expected"
  exit 1
fi
lines=$(wc -l <<<"$message")
echo "refused as expected, in $lines lines: $(grep -E -m 1 -- "$expected" <<<"$message")"
