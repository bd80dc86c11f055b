#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds the main example and runs it; every option goes to the program (see --help). Process
# and backbone are types: another choice is another program.
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh

program=hypersd_fashion
arguments=" $* "
for option in process backbone; do
  [[ $arguments =~ \ --$option[=\ ]([a-z-]+)\  ]] || continue
  case ${BASH_REMATCH[1]} in
    flow | ddpm-v | dit) program+=_${BASH_REMATCH[1]//-/_} ;;
  esac
done
hypersd_example $program "$here" "$@"
