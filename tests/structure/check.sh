#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh [ROOT]: checks the rules that a compiler does not. Prints one line per fault; exit code 1 if there is any.
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1
faults=0
fault() {
  printf '%s\n' "$*"
  faults=$((faults + 1))
}

# --- 1. A folder includes headers of itself and of the folders listed here only.
declare -A may=(
  [core]=""
  [ops]="core"
  [autograd]="core ops"
  [io]="core ops"
  [data]="core ops io"
  [text]="core io"
  [nn]="core ops autograd"
  [metrics]="core ops"
  [optim]="core ops autograd"
  [diffusion]="core ops autograd nn"
  [distill]="core ops autograd nn optim diffusion"
  [feedback]="core ops autograd nn optim diffusion data"
  [dist]="core ops autograd optim"
  [records]="core ops autograd optim io dist"
  [pipeline]="core ops autograd nn optim io data metrics diffusion distill feedback dist records"
  [report]="core ops io"
  [stable_diffusion]="core ops autograd io text nn diffusion"
  [interop]="core ops autograd io"
  [testing]="core ops autograd nn io"
)
while IFS=: read -r file include; do
  folder=${file#include/hypersd/}
  folder=${folder%%/*}
  target=${include#*<hypersd/}
  target=${target%%>*}
  [ -e "include/hypersd/$target" ] || fault "$file: <hypersd/$target> does not exist"
  case $folder in *.hpp) continue ;; esac  # umbrellas include downwards
  if [ -z "${may[$folder]+known}" ]; then
    fault "$file: folder $folder has no rule in tests/structure/check.sh"
    continue
  fi
  to=${target%%/*}
  case $to in
    *.hpp) fault "$file: includes the umbrella <hypersd/$target>; include what is used" ;;
    "$folder") ;;
    *) [[ " ${may[$folder]} " == *" $to "* ]] || fault "$file: $folder must not include $to (<hypersd/$target>)" ;;
  esac
done < <(grep -rEo '^ *# *include +<hypersd/[^>]+>' include/hypersd --include='*.hpp' --include='*.cuh')

# --- 2. Includes are <hypersd/...>, never relative.
while IFS= read -r line; do
  fault "${line%%:*}: relative include: ${line#*:}"
done < <(grep -rE '^ *# *include +"|^ *# *include +<\.' include/hypersd)

# --- 3. Every header but the implementations of operations (ops/cpu, ops/cuda, reached through ops/x.hpp) and the one
# that needs a library of its own (dist/mpi.hpp) stands in its folder's umbrella, and every umbrella of a library folder in hypersd.hpp.
for directory in include/hypersd/*/; do
  folder=$(basename "$directory")
  umbrella=include/hypersd/$folder.hpp
  headers=$(cd include && find "hypersd/$folder" -name '*.hpp' ! -name '*_cpu.hpp' ! -path 'hypersd/ops/c*/*' ! -path hypersd/dist/mpi.hpp | sort)
  [ -n "$headers" ] || continue
  if [ ! -e "$umbrella" ]; then
    fault "$umbrella is missing"
    continue
  fi
  listed=$(sed -n 's/^ *# *include <\(.*\)>.*/<\1>/p' "$umbrella")
  for header in $headers; do
    [[ $listed == *"<$header>"* ]] || fault "$umbrella: <$header> is not listed"
  done
  case $folder in interop | testing) continue ;; esac
  grep -q "^#include <hypersd/$folder.hpp>" include/hypersd/hypersd.hpp ||
    fault "include/hypersd/hypersd.hpp: <hypersd/$folder.hpp> is not listed"
done

# --- 4. First lines, lengths, macros, leftovers.
while IFS= read -r line; do
  fault "$line"
done < <(find include tests examples bench cmake .ci -name golden -prune -o -type f \( -name '*.hpp' -o -name '*.cuh' \
  -o -name '*.cpp' -o -name '*.cu' -o -name '*.sh' -o -name '*.cmake' -o -name 'CMakeLists.txt' -o -name '*.py' \) \
  -print 2>/dev/null | sort | xargs awk '
  function done_with(file) {
    if (!spdx) print file ": no SPDX line at the top"
    if (file ~ /^include\//) {
      if (!once) print file ": no #pragma once after the SPDX line"
      if (lines > 400) print file ": " lines " lines, at most 400"
    }
  }
  FNR == 1 { if (file != "") done_with(file); file = FILENAME; spdx = once = 0 }
  FNR <= 2 && /SPDX-License-Identifier: Apache-2.0/ { spdx = 1 }
  FNR <= 3 && /^#pragma once/ { once = 1 }
  { lines = FNR }
  END { if (file != "") done_with(file) }')

# No macro of a user may change a header: only macros of the compiler and these two are allowed. Those that compiled.hpp
# defines list instances.
while IFS= read -r line; do
  fault "macro other than HYPERSD_HD and HYPERSD_HAS_CUDA: $line"
done < <(grep -rnE '^ *# *(if|ifdef|ifndef|elif|define|undef)\b.*\bHYPERSD_' include/hypersd |
  grep -vE '\bHYPERSD_(HD|HAS_CUDA)\b|^include/hypersd/compiled.hpp:[0-9]+:#define ')

# Launches and synchronization are counted and checked, so they are in one place.
while IFS= read -r line; do
  fault "launch or wait outside core/context_cuda.cuh: $line"
done < <(grep -rnE '<<<|\bcuda[A-Za-z]*Synchronize\(|\bcudaMemcpy[0-9A-Za-z]*\(' include/hypersd |
  grep -vE '^include/hypersd/core/(context|storage)_cuda.cuh:.*(<<<size|cudaStreamSynchronize\(stream_|cudaMemcpyAsync\()')

# --- 5. Files named by the pages exist: `path` in backquotes (any tail of a path), and [links](path).
files=$(find . \( -name .git -o -name build -o -name runs \) -prune -o -print)
mapfile -t pages < <(find README.md CONTRIBUTING.md docs -name '*.md' 2>/dev/null | sort)
while IFS=: read -r page name; do
  grep -qE -- "/${name//./\\.}$" <<<"$files" || fault "$page: $name does not exist"
done < <(grep -oE '`[a-z_0-9/.-]+\.(hpp|cpp|cuh|cu|sh|py|json|md)`' "${pages[@]}" /dev/null | tr -d '`' |
  grep -vE '[:/]x(_cpu|_cuda)?\.' | sort -u)  # x.hpp stands for any
# Links outside of code: the file exists, and so does the heading of an anchor, by GitHub's rule (lower case, hyphens for
# spaces, without other punctuation).
while IFS= read -r line; do
  fault "$line"
done < <(awk '
  function slug(text) {
    gsub(/[^A-Za-z0-9 _-]/, "", text)
    gsub(/ /, "-", text)
    return tolower(text)
  }
  function headings(path,    line, code, name) {
    if (path in read) return read[path]
    read[path] = 0
    while ((getline line < path) > 0) {
      read[path] = 1
      if (line ~ /^ *```/) code = !code
      if (code || line !~ /^#+ /) continue
      sub(/^#+ */, "", line)
      name = slug(line)
      if ((path, name) in times) name = name "-" times[path, name]++
      else times[path, name] = 1
      anchors[path, name] = 1
    }
    close(path)
    return read[path]
  }
  FNR == 1 { code = 0 }
  /^ *```/ { code = !code }
  code { next }
  {
    gsub(/`[^`]*`/, "")
    while (match($0, /\]\([^)]*\)/)) {
      target = substr($0, RSTART + 2, RLENGTH - 3)
      $0 = substr($0, RSTART + RLENGTH)
      if (target ~ /^[a-z]+:/) continue
      folder = FILENAME
      if (!sub(/\/[^\/]*$/, "/", folder)) folder = ""
      anchor = target ~ /#/ ? substr(target, index(target, "#") + 1) : ""
      sub(/#.*/, "", target)
      path = target == "" ? FILENAME : folder target
      if (system("test -e \"" path "\"") != 0) print FILENAME ": link to " target ", which does not exist"
      else if (anchor != "" && !(headings(path) && (path, anchor) in anchors)) print FILENAME ": no heading #" anchor " in " path
    }
  }' "${pages[@]}" /dev/null)
# Names that the pages put in backquotes with a namespace, such as `nn::Unet`, occur in the headers.
while IFS=: read -r page name; do
  fault "$page: $name is in no header"
done < <(grep -oE '`(hypersd::)?(autograd|data|diffusion|dist|distill|feedback|interop|io|metrics|nn|ops|optim|pipeline|report|records|stable_diffusion|testing|text)::[A-Za-z_:0-9]+' \
  "${pages[@]}" /dev/null | sed -E 's/`(.*::)?([A-Za-z_0-9]+)$/\2/' | sort -u |
  awk -F: 'NR == FNR { there[$1] = 1; next } !there[$2]' <(grep -rohE '[A-Za-z_][A-Za-z_0-9]*' include/hypersd | sort -u) -)
# Every page is linked from README.md or docs/index.md.
for page in "${pages[@]}"; do
  case $page in docs/index.md | README.md | CONTRIBUTING.md) continue ;; esac
  grep -qF "](${page#docs/})" docs/index.md 2>/dev/null || grep -qF "]($page)" README.md 2>/dev/null ||
    fault "$page: no link from README.md or docs/index.md"
done

words='\b(TO''DO|FIX''ME|XX''X)\b'
places='(^|[^A-Za-z0-9_.~/])/(home|root|work)/'
while IFS= read -r line; do
  fault "left behind: $line"
done < <(grep -rnIE "$words|$places" include examples bench cmake tests docs packaging README.md CHANGELOG.md \
  CONTRIBUTING.md CMakeLists.txt --exclude-dir=data --exclude-dir=results --exclude-dir=build 2>/dev/null)
while IFS= read -r line; do
  fault "output of a build is under version control: $line"
done < <(git ls-files 2>/dev/null | grep -E '/build/|/CMakeFiles/|\.o$')

# --- 6. The scripts install every library whose headers are included from its own folder.
if [ -e cmake/deps.sh ]; then
  while IFS= read -r library; do
    grep -q " inc:$library/" cmake/deps.sh || fault "cmake/deps.sh: nothing installs <$library/...>"
  done < <(grep -rhoE '^ *# *include +<[A-Za-z0-9_]+/' include/hypersd | sed 's/.*<//; s,/,,' | sort -u |
    grep -vxE 'hypersd|sys|cub|thrust')
fi

# --- 7. CITATION.cff and the vcpkg port have the version of the library.
if [ -e CITATION.cff ]; then
  version=$(sed -nE 's/.* version_(major|minor|patch) = ([0-9]+);/\2/p' include/hypersd/core/version.hpp | paste -sd.)
  grep -qx "version: $version" CITATION.cff || fault "CITATION.cff: the version is not $version"
  port=packaging/vcpkg/hypersd/vcpkg.json
  [ ! -e $port ] || grep -q "^  \"version\": \"$version\"" $port || fault "$port: the version is not $version"
fi

# --- 8. A policy of one's own is one file of at most 60 lines: a solver and an objective, a reward, a process.
for file in examples/custom_policy.cpp examples/custom_reward.cpp; do
  lines=$(wc -l 2>/dev/null <"$file") && [ "$lines" -gt 60 ] && fault "$file: $lines lines, at most 60"
done
page=docs/how_to/own_process.md
if [ -e $page ]; then
  lines=$(awk '/compile: own_process/ { inside = 1; next } inside && /^```$/ { exit } inside && !/^```/ { n++ } END { print n + 0 }' $page)
  [ "$lines" -ge 1 ] && [ "$lines" -le 60 ] || fault "$page: the program own_process has $lines lines, between 1 and 60"
fi

if [ "$faults" -gt 0 ]; then
  echo "$faults faults"
  exit 1
fi
echo "structure: no fault"
