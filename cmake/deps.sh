# SPDX-License-Identifier: Apache-2.0
# Sourced by tests/run.sh, examples/run.sh and bench/run.sh: finds missing packages and installs them from Debian.
# shellcheck shell=bash

if [ -t 1 ]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' red='' green='' plain=''
fi
say() { printf '%s\n' "${bold}hypersd:${plain} $*"; }

# Group, Debian package, a check that finds it without dpkg, and whether it is needed or optional.
hypersd_packages() {
  cat <<'TABLE'
build g++ cmd:${CXX:-g++} needed
build cmake cmd:cmake needed
build ninja-build cmd:ninja needed
build libeigen3-dev inc:Eigen/Core needed
io libpng-dev inc:png.h needed
io zlib1g-dev inc:zlib.h needed
io libutf8proc-dev inc:utf8proc.h optional
cli libcli11-dev inc:CLI/CLI.hpp needed
data dataset-fashion-mnist file:/usr/share/datasets/fashion-mnist optional
tests pkg-config cmd:pkg-config optional
tests doctest-dev inc:doctest/doctest.h needed
tests libxtensor-dev inc:xtensor/xarray.hpp optional
tests nlohmann-json3-dev inc:nlohmann/json.hpp optional
tests libopenmpi-dev cmd:mpicxx optional
tests openmpi-bin cmd:mpirun optional
tests python3-numpy py:numpy optional
tests doxygen cmd:doxygen optional
tests clang-format cmd:clang-format optional
tests libbenchmark-dev inc:benchmark/benchmark.h optional
slow clang-19 cmd:clang++-19 optional
slow clang-tidy cmd:clang-tidy optional
bench python3 cmd:python3 needed
bench libbenchmark-dev inc:benchmark/benchmark.h optional
peers python3-venv py:ensurepip needed
peers python3-dev py:sysconfig optional
TABLE
}

hypersd_there() {
  local what=${1#*:} flags=(-x c++ -std=c++20 -fsyntax-only -I/usr/include/eigen3)
  case $1 in
    cmd:*) command -v "${what//'${CXX:-g++}'/${CXX:-g++}}" >/dev/null ;;
    file:*) [ -e "$what" ] ;;
    py:sysconfig) python3 -c 'import os, sysconfig; os.stat(sysconfig.get_paths()["include"] + "/Python.h")' 2>/dev/null ;;
    py:*) python3 -c "import $what" 2>/dev/null ;;
    inc:*) printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$what" | "${CXX:-g++}" "${flags[@]}" - 2>/dev/null ;;
  esac
}

# hypersd_missing GROUP...: prints "package needed|optional" for each missing package of the groups.
hypersd_missing() {
  local group package probe need
  while read -r group package probe need; do
    [[ " $* " == *" $group "* ]] || continue
    if [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" != 'install ok installed' ] &&
      ! hypersd_there "$probe"; then
      echo "$package $need"
    fi
  done < <(hypersd_packages)
}

# hypersd_install GROUP...: installs missing packages, as root or with sudo; without either it prints the command. Returns
# 2 if a needed package is still missing.
hypersd_install() {
  local missing packages as_root=() line
  missing=$(hypersd_missing "$@")
  [ -n "$missing" ] || return 0
  packages=$(cut -d' ' -f1 <<<"$missing" | tr '\n' ' ')
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && ! [ -t 0 ]; }; then
      as_root=(none)
    fi
  fi
  if ! command -v apt-get >/dev/null || [ "${as_root[*]}" = none ]; then
    say "these Debian packages are missing, and only root can install them:"
    printf '    apt-get install %s\n' "$packages"
  else
    say "installing from Debian: $packages"
    "${as_root[@]}" apt-get update -qq </dev/null || say "apt-get update failed; trying with the lists that are here"
    # A package that a release lacks must not prevent the others.
    # shellcheck disable=SC2086
    if ! hypersd_apt $packages; then
      for line in $packages; do hypersd_apt "$line" || true; done
    fi
  fi
  missing=$(hypersd_missing "$@")
  while read -r line; do
    case $line in
      *' optional') say "going on without ${line% *}" ;;
      *' needed') say "${red}cannot go on without ${line% *}${plain}" ;;
    esac
  done <<<"$missing"
  ! grep -q ' needed$' <<<"$missing" || return 2
}

hypersd_apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    </dev/null >"${TMPDIR:-/tmp}/hypersd-apt.$$" 2>&1 || {
    tail -n 5 "${TMPDIR:-/tmp}/hypersd-apt.$$"
    return 1
  }
  rm -f "${TMPDIR:-/tmp}/hypersd-apt.$$"
}

# hypersd_build LOG CMAKE_BUILD_ARGUMENT...: builds; prints a line at each tenth, and compiler messages at once.
hypersd_build() {
  local log=$1
  shift
  NINJA_STATUS='[%f/%t] ' cmake --build "$@" 2>&1 </dev/null | tee "$log" | hypersd_progress
  return "${PIPESTATUS[0]}"
}

hypersd_progress() {
  local line shown=-1 open=0 tty=0
  [ ! -t 1 ] || tty=1
  while IFS= read -r line; do
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\  ]]; then
      if [ $tty -eq 1 ]; then
        printf '\r\e[K  building %d of %d' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
        open=1
      elif [ $((10 * BASH_REMATCH[1] / BASH_REMATCH[2])) -gt $shown ]; then
        printf '  building %d of %d\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
        shown=$((10 * BASH_REMATCH[1] / BASH_REMATCH[2]))
      fi
    elif [[ $line != 'ninja: no work'* && $line != 'ninja: Entering'* ]]; then
      [ $open -eq 0 ] || echo
      open=0
      printf '%s\n' "$line"
    fi
  done
  [ $open -eq 0 ] || echo
}

# hypersd_configure LOG CMAKE_ARGUMENT...: configures; prints the log only on failure.
hypersd_configure() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! cmake "$@" >"$log" 2>&1 </dev/null; then
    cat "$log"
    say "${red}cmake failed${plain}"
    return 1
  fi
  sed -n 's/^-- hypersd: /  /p' "$log"
}

# hypersd_typed PROGRAM OPTION...: prints the name of the program for the options --process and --backbone, which choose
# types: another choice is another program.
hypersd_typed() {
  local program=$1 option arguments
  shift
  arguments=" $* "
  for option in process backbone; do
    [[ $arguments =~ \ --$option[=\ ]([a-z-]+)\  ]] || continue
    case ${BASH_REMATCH[1]} in
      flow | ddpm-v | dit) program+=_${BASH_REMATCH[1]//-/_} ;;
    esac
  done
  echo "$program"
}

# hypersd_example PROGRAM FOLDER OPTION...: installs packages, builds PROGRAM of examples/ and executes it in FOLDER, to
# which paths among the options are relative. With `--device cuda` among the options it is built by nvcc, in another
# build folder.
hypersd_example() {
  local program=$1 here=$2 preset=examples directory
  shift 2
  case " $* " in *' --device cuda '* | *' --device=cuda '*) preset=examples-cuda ;; esac
  directory=${HYPERSD_BUILD_DIR:-build/$preset}
  if [ $preset = examples-cuda ]; then
    export PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin"
    if ! command -v "${CUDACXX:-nvcc}" >/dev/null; then
      say "${red}--device cuda needs nvcc 12 or newer with cuBLAS${plain}: install NVIDIA's CUDA toolkit, or set CUDA_HOME or CUDACXX"
      exit 2
    fi
  fi
  hypersd_install build io cli data || exit 2
  hypersd_configure "$directory/configure.log" --preset $preset -B "$directory" || exit 1
  if ! cmake --build "$directory" --target help | grep -q "$program"; then
    say "${red}a library of the example is missing${plain}; see $directory/configure.log"
    exit 2
  fi
  [ -x "$directory/examples/$program" ] || say "building the example in $directory (a minute or two)"
  hypersd_build "$directory/build.log" "$directory" --target "$program" || exit 1
  program=$(realpath "$directory")/examples/$program
  cd "$here" || exit 1
  exec "$program" "$@"
}
