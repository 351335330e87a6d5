#!/usr/bin/env bash
# Times explanation methods on one image of 224 x 224 with a ResNet-18 with random weights: heatlens and grad-cam
# alternate for several rounds. heatlens is timed in two ways: a call in a warm process, as for grad-cam (`heatlens bench`),
# and a whole command, including reading the model and writing the map. *together* is the sum of grad-cam's calls, and
# one call with all methods in heatlens.
#
# Usage: tools/bench/methods.sh
#   TORCH_PYTHON  interpreter with torch, torchvision, onnx and grad-cam
#   HEATLENS      program to time (default target/release/heatlens under the repository)
#   ROUNDS        rounds (default 3)
#   THREADS       threads of each (default 2)
#   METHODS       comma-separated methods (default: all that both have)
#   ALL           1 to time `--method all`, every method of heatlens, once at the end (default 1)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
heatlens=${HEATLENS:-$here/../../target/release/heatlens}
python=${TORCH_PYTHON:?set TORCH_PYTHON to an interpreter with torch, torchvision, onnx and grad-cam}
rounds=${ROUNDS:-3} threads=${THREADS:-2}
TIMEFORMAT=%R
export OMP_NUM_THREADS=$threads
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" "$here/methods.py" export "$work" 2>"$work/stderr"

# Seconds of a heatlens command for some methods.
command_of() {
  rm -rf "$work/out"
  { time "$heatlens" explain "$work/resnet18.onnx" "$work/image.npy" --method "$1" --class 1 --save npz \
    --out "$work/out" --threads "$threads" >"$work/heatlens.log" 2>&1; } 2>"$work/time" ||
    { tail -n 5 "$work/heatlens.log" >&2; exit 1; }
  cat "$work/time"
}

# Seconds of a call in a warm process: the row of `heatlens bench` with the name in the second argument.
call_of() {
  local repeat=5
  case $1 in *,* | score_cam | ablation_cam) repeat=1 ;; esac # seconds each
  "$heatlens" --threads "$threads" bench "$work/resnet18.onnx" --repeat "$repeat" --method "$1" --json |
    "$python" -c 'import json, sys
print(next(row["median_ms"] / 1e3 for row in json.load(sys.stdin)["rows"] if row["name"] == sys.argv[1]))' "$2"
}

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

for ((round = 1; round <= rounds; round++)); do
  "$python" "$here/methods.py" time "$work" "$threads" "${METHODS:-all}" >"$work/peer" 2>"$work/stderr" || { tail -n 5 "$work/stderr" >&2; exit 1; }
  cut -d' ' -f1 "$work/peer" >"$work/methods"
  while read -r method seconds; do echo "$seconds" >>"$work/$method.peer"; done <"$work/peer"
  awk '{ sum += $2 } END { print sum }' "$work/peer" >>"$work/together.peer"
  while read -r method; do
    call_of "$method" "$method" >>"$work/$method.call"
    command_of "$method" >>"$work/$method.command"
  done <"$work/methods"
  all=$(paste -sd, "$work/methods")
  call_of "$all" together >>"$work/together.call"
  command_of "$all" >>"$work/together.command"
  echo "round $round done" >&2
done

printf '%-28s %12s %12s %12s %8s\n' method "grad-cam, s" "heatlens, s" "command, s" ratio
while read -r method; do
  peer=$(median "$work/$method.peer") call=$(median "$work/$method.call")
  printf '%-28s %12.3f %12.3f %12.3f %8.2f\n' "$method" "$peer" "$call" "$(median "$work/$method.command")" \
    "$(awk -v a="$call" -v b="$peer" 'BEGIN { print a / b }')"
done < <(cat "$work/methods"; echo together)
[[ ${ALL:-1} != 1 ]] || printf '%-28s %12s %12s %12.3f\n' "--method all" "" "" "$(command_of all)"
