#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds the main example and runs it; every option goes to the program (see --help).
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh

hypersd_install build io cli data || exit 2
directory=${HYPERSD_BUILD_DIR:-build/examples}
hypersd_configure "$directory/configure.log" --preset examples -B "$directory" || exit 1
if ! cmake --build "$directory" --target help | grep -q hypersd_fashion; then
  say "${red}a library of the example is missing${plain}; see $directory/configure.log"
  exit 2
fi
[ -x "$directory/examples/hypersd_fashion" ] || say "building the example in $directory (a minute or two)"
hypersd_build "$directory/build.log" "$directory" --target hypersd_fashion || exit 1

# Paths among the options are meant from where the user stands.
program=$(realpath "$directory")/examples/hypersd_fashion
cd "$here" || exit 1
exec "$program" "$@"
