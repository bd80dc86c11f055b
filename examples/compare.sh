#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds the comparison of methods and runs it; every option goes to the program (see --help).
# Process and backbone are types: another choice is another program.
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh
hypersd_example "$(hypersd_typed hypersd_compare_methods "$@")" "$here" "$@"
