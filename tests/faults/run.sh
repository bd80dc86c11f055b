#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Faults while a run writes its checkpoints: kills, a full disk, a read-only folder, bit flips, links. See --help.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

usage() {
  cat <<'EOT'
usage: bash tests/faults/run.sh [options]

Builds a small training run and a library that interposes its system calls in build/faults. Then the run is hit by
faults and continued; it must end with the bytes of an undisturbed one or refuse with a message that names the file.

  --kills N   kills at random system calls (default 40); the other faults are a quarter as many each
  --seed N    of the random choices (default 1)
  --help      this text

exit code: 0 all held, 1 something did not, 2 wrong option or something is missing

environment: CXX (default c++)
EOT
}

kills=40 seed=1
while [ $# -gt 0 ]; do
  case $1 in
    --kills | --seed)
      [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
      [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || { echo "$1: '$2' is not a whole number from 1 to 999999" >&2; exit 2; }
      case $1 in --kills) kills=$2 ;; --seed) seed=$2 ;; esac
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) echo "unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

out=build/faults
mkdir -p "$out"
compiler=${CXX:-c++}
# shellcheck disable=SC2046  # flags are words
"$compiler" -std=c++20 -O1 -Iinclude -Itests -isystem $(pkg-config --variable=includedir eigen3 2>/dev/null || echo /usr/include)/eigen3 \
  tests/faults/train.cpp -pthread -lz -o "$out/train" || exit 2
"$compiler" -std=c++20 -O1 -shared -fPIC tests/faults/interpose.cpp -ldl -o "$out/interpose.so" || exit 2
program=$PWD/$out/train interposer=$PWD/$out/interpose.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
RANDOM=$seed
failures=0
problem() { echo "FAILED: $1" >&2; failures=$((failures + 1)); }
below() { echo $(((RANDOM * 32768 + RANDOM) % $1)); }  # a random number from 0 to $1 - 1

# train FOLDER [NAME=VALUE...]: the program under the interposer; its message is in log, its exit code the result.
train() {
  local folder=$1
  shift
  { env "$@" LD_PRELOAD="$interposer" "$program" "$work/$folder" >log 2>&1; } 2>/dev/null  # bash would say "Killed"
}
# same FOLDER WHAT: checkpoints and loss curves are those of the whole run.
same() {
  local file
  for file in "${files[@]}"; do
    cmp -s "whole/$file" "$1/$file" || { problem "$2: $file differs from that of an undisturbed run"; return 1; }
  done
}
# ends FOLDER WHAT: without faults the run goes on to its end, with the same bytes.
ends() {
  train "$1" || { problem "$2: the run does not go on: $(tail -n 1 log)"; return 1; }
  same "$1" "$2"
}
row() { printf '| %s | %d | %s |\n' "$@"; }

train whole FAULTS_COUNT=count || { cat log; echo 'the undisturbed run fails' >&2; exit 1; }
calls=$(<count)
mapfile -t files < <(cd whole && find state logs recipe.json -type f | sort)
[ "$calls" -ge 100 ] && [ ${#files[@]} -ge 10 ] || { echo "only $calls calls and ${#files[@]} files" >&2; exit 1; }
echo "The run has $calls system calls that change files. It leaves ${#files[@]} files that are compared."
echo
echo '| fault | times | outcome |'
echo '|---|---:|---|'

# Kills: one to three in a row, then to the end.
done=0 runs=0
while [ $done -lt "$kills" ]; do
  rm -rf run
  most=$((1 + RANDOM % 3))
  for ((i = 0; i < most && done < kills; ++i)); do
    at=$((1 + $(below "$calls")))
    train run FAULTS_AT=$at
    code=$?
    [ $code -eq 0 ] && break  # a resumed run has fewer calls
    [ $code -eq 137 ] || problem "killed at call $at: exit code $code: $(tail -n 1 log)"
    done=$((done + 1))
  done
  runs=$((runs + 1))
  ends run "killed at call $at"
done
row 'SIGKILL at a random call, a write half done' "$done" "$runs runs resumed to the same bytes"

# A full disk or an I/O error from some call on: the message names a file of the run, and the run goes on afterwards.
for error in 28:'No space left on device' 5:'Input/output error'; do
  refused=0
  for ((i = 0; i < (kills + 3) / 4; ++i)); do
    rm -rf run
    at=$((1 + $(below "$calls")))
    train run FAULTS_AT=$at FAULTS_HOW=${error%%:*}
    code=$?
    if [ $code -eq 2 ] && grep -qF "$work/run" log && grep -qF "${error#*:}" log; then refused=$((refused + 1))
    elif [ $code -ne 0 ]; then problem "${error#*:} from call $at: exit code $code: $(tail -n 1 log)"; fi
    ends run "${error#*:} from call $at"
  done
  row "${error#*:} from a random call on" "$i" "$refused stop with the file's name, all go on to the same bytes"
done

# Read-only: nothing is written.
rm -rf run
train run FAULTS_AT=1 FAULTS_HOW=30
[ $? -eq 2 ] && grep -qF "$work/run" log && [ ! -e run ] || problem "read-only folder: $(tail -n 1 log)"
row 'read-only file system' 1 'refused with the name of the folder'

# Another process holds the folder.
mkdir run
flock run/.lock "$program" "$work/run" >log 2>&1
[ $? -eq 2 ] && grep -qF 'is in use by another process' log && [ ! -e run/run.json ] || problem "second process: $(tail -n 1 log)"
row 'second process in the folder' 1 'refused with the name of the folder'

# One bit of a checkpoint flips: the one before is taken, or the file is refused by name.
fell_back=0 refused=0
for ((i = 0; i < (kills + 3) / 4; ++i)); do
  rm -rf run
  train run FAULTS_AT=$((calls / 4 + $(below $((calls * 3 / 4)))))
  mapfile -t states < <(find run/state -name '*.safetensors' | sort)
  [ ${#states[@]} -gt 0 ] || { i=$((i - 1)); continue; }
  file=${states[$(below ${#states[@]})]}
  byte=$(below "$(stat -c %s "$file")")
  value=$(od -An -tu1 -j "$byte" -N 1 "$file")
  # shellcheck disable=SC2059  # the format is the byte
  printf "\\x$(printf %02x $((value ^ (1 << RANDOM % 8))))" | dd of="$file" bs=1 seek="$byte" conv=notrunc status=none
  train run
  code=$?
  if [ $code -eq 0 ]; then
    fell_back=$((fell_back + 1))
    find run -name '*.damaged' -delete
    same run "bit of byte $byte of $file flipped"
  elif [ $code -eq 2 ] && grep -qF "$work/$file" log; then refused=$((refused + 1))
  else problem "bit of byte $byte of $file flipped: exit code $code: $(tail -n 1 log)"; fi
done
row 'one bit of a checkpoint flipped' "$i" "$fell_back go on from the checkpoint before to the same bytes, $refused refused by name"

# Links in place of files that the run writes: what they point to stays.
echo precious >precious
links=0
for name in .lock run.json recipe.json state/teacher.safetensors state/.teacher.safetensors.partial logs/teacher.csv logs/teacher.jsonl; do
  for how in -s ''; do
    rm -rf run
    train run FAULTS_AT=$((calls / 2))
    rm -f "run/$name"
    # shellcheck disable=SC2086  # no option at all for a hard link
    ln $how "$work/precious" "run/$name"
    train run
    code=$?
    [ $code -eq 0 ] || [ $code -eq 2 ] || problem "link as $name: exit code $code: $(tail -n 1 log)"
    [ "$(cat precious)" = precious ] || { problem "link as $name: the file that it points to has changed"; echo precious >precious; }
    links=$((links + 1))
  done
done
row 'symbolic or hard link in place of a file of the run' $links 'what it points to is unchanged'
[ $failures -eq 0 ]
