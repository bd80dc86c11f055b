#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh SOURCE COMPILER FLAG...: SOURCE must fail to compile; the first error is that of its line `// EXPECT: regex`.
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
first=$(grep -m 1 -E -- '(^| )(fatal )?error: ' <<<"$message")
if ! grep -Eq -- "$expected" <<<"$first"; then
  printf '%s\nThe first error of the message above does not match: %s\n' "$message" "$expected"
  exit 1
fi
echo "refused as expected, in $(wc -l <<<"$message") lines: $first"
