#!/usr/bin/env bash
# Times explanation methods on one image of 224 x 224 and a ResNet-18 of random weights: heatlens, each method by a
# command of its own and then all of them in one command, and grad-cam, one call after the other; in turn, several
# rounds. A command's time is from its start to its end, reading the model and writing the maps included; of grad-cam
# the calls alone are timed.
#
# Usage: tools/bench/methods.sh
#   TORCH_PYTHON  interpreter with torch, torchvision, onnx and grad-cam
#   HEATLENS      program to time (default target/release/heatlens under the repository)
#   ROUNDS        rounds (default 3)
#   THREADS       threads of each (default 2)
#   CLOCK         wall, or cpu: the processor's seconds of all threads, for a machine that is not quiet (default wall)
#   METHODS       which methods, by commas (default all that both have)
#   ALL           1 to time `--method all`, every method of heatlens, once at the end (default 1)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
heatlens=${HEATLENS:-$here/../../target/release/heatlens}
python=${TORCH_PYTHON:?set TORCH_PYTHON to an interpreter with torch, torchvision, onnx and grad-cam}
rounds=${ROUNDS:-3} threads=${THREADS:-2} clock=${CLOCK:-wall}
[[ $clock == wall ]] && TIMEFORMAT=%R || TIMEFORMAT='%U %S'
export OMP_NUM_THREADS=$threads
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" "$here/methods.py" export "$work" 2>"$work/stderr"

# Seconds of a heatlens command for some methods.
explain() {
  rm -rf "$work/out"
  { time "$heatlens" explain "$work/resnet18.onnx" "$work/image.npy" --method "$1" --class 1 --save npz \
    --out "$work/out" --threads "$threads" >"$work/heatlens.log" 2>&1; } 2>"$work/time" ||
    { tail -n 5 "$work/heatlens.log" >&2; exit 1; }
  awk '{ printf "%.4f\n", $1 + $2 }' "$work/time"
}

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

for ((round = 1; round <= rounds; round++)); do
  "$python" "$here/methods.py" time "$work" "$threads" "$clock" "${METHODS:-all}" >"$work/peer" 2>"$work/stderr" || { tail -n 5 "$work/stderr" >&2; exit 1; }
  cut -d' ' -f1 "$work/peer" >"$work/methods"
  while read -r method seconds; do echo "$seconds" >>"$work/$method.peer"; done <"$work/peer"
  awk '{ sum += $2 } END { print sum }' "$work/peer" >>"$work/together.peer"
  while read -r method; do explain "$method" >>"$work/$method.own"; done <"$work/methods"
  explain "$(paste -sd, "$work/methods")" >>"$work/together.own"
  echo "round $round done" >&2
done

printf '%-28s %12s %12s %8s\n' method "heatlens, s" "grad-cam, s" ratio
while read -r method; do
  printf '%-28s %12.3f %12.3f %8.1f\n' "$method" "$(median "$work/$method.own")" "$(median "$work/$method.peer")" \
    "$(awk -v a="$(median "$work/$method.peer")" -v b="$(median "$work/$method.own")" 'BEGIN { print a / b }')"
done < <(cat "$work/methods"; echo together)
[[ ${ALL:-1} != 1 ]] || printf '%-28s %12.3f\n' "--method all" "$(explain all)"
