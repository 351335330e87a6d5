#!/usr/bin/env bash
# Times one training epoch of the two-class case (1900 images of 95 x 95, batch 64, validation on 100) in heatlens,
# Keras and PyTorch, which alternate for several rounds; prints medians, ranges and ratios to heatlens.
#
# Usage: tools/bench/epoch.sh
#   KERAS_PYTHON, TORCH_PYTHON  interpreters with tensorflow / torch; a framework without one is skipped with a message
#   HEATLENS   program to time (default target/release/heatlens under the repository)
#   ROUNDS     runs of each program (default 3)
#   EPOCHS     epochs per run; the first is a warm-up and is not counted (default 4, at most 5)
#   THREADS    threads of each program (default 2)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
heatlens=${HEATLENS:-$here/../../target/release/heatlens}
rounds=${ROUNDS:-3} epochs=${EPOCHS:-4} threads=${THREADS:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Every program prints `epoch_seconds <float>` for each epoch except the first.

run_keras() { "$KERAS_PYTHON" "$here/train_keras.py" --threads "$threads" --epochs "$epochs" 2>>"$work/stderr"; }

run_torch() { "$TORCH_PYTHON" "$here/train_torch.py" --threads "$threads" --epochs "$epochs" "$@" 2>>"$work/stderr"; }

run_heatlens() {
  rm -rf "$work/run"
  "$heatlens" train "$work/case.npz" --rows 0:2000 --out "$work/run" --recipe keras-two-class --split last --keep last \
    --validation-split 0.05 --epochs "$epochs" --batch-size 64 --learning-rate 1e-4 --threads "$threads" \
    >"$work/heatlens.log" 2>>"$work/stderr"
  parse_heatlens_timing "$work/run/timing.csv"
}

# Reads the times of heatlens: RUN/timing.csv with the columns epoch,seconds, one row per epoch, validation included.
parse_heatlens_timing() {
  awk -F, 'NR == 1 { if ($1 != "epoch" || $2 != "seconds") { print "unexpected header: " $0 > "/dev/stderr"; exit 1 } next }
           NR > 2  { print "epoch_seconds", $2 }' "$1"
}

contestants=()
add() {
  local name=$1 program=$2 variable=$3
  if command -v "${program:-none given}" >/dev/null; then contestants+=("$name"); else echo "left out: $name ($variable)" >&2; fi
}
add heatlens "$heatlens" "build with --release, or set HEATLENS"
add keras "${KERAS_PYTHON:-}" "set KERAS_PYTHON"
add torch "${TORCH_PYTHON:-}" "set TORCH_PYTHON"
add torch-channels-last "${TORCH_PYTHON:-}" "set TORCH_PYTHON"
python=${TORCH_PYTHON:-${KERAS_PYTHON:-python3}}
[[ ${#contestants[@]} -gt 0 ]] || { echo "nothing to time" >&2; exit 2; }
[[ " ${contestants[*]} " != *" heatlens "* ]] || "$python" "$here/two_class_case.py" "$work/case.npz"

for ((round = 1; round <= rounds; round++)); do
  for name in "${contestants[@]}"; do
    case $name in
      torch-channels-last) run_torch --channels-last ;;
      *) "run_$name" ;;
    esac >"$work/out" || { echo "$name failed:" >&2; tail -n 5 "$work/stderr" >&2; exit 1; }
    awk '$1 == "epoch_seconds" { print $2 }' "$work/out" >>"$work/$name.seconds"
    [[ -s $work/$name.seconds ]] || { echo "$name reported no epoch" >&2; exit 1; }
    echo "round $round $name $(awk '$1 == "epoch_seconds" { printf "%s ", $2 }' "$work/out")" >&2
  done
done

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# Ratios are to heatlens, or to the first program if heatlens is skipped.
base=$(median "$work/${contestants[0]}.seconds")
printf '%-20s %8s %8s %8s %6s  %s\n' program median fastest slowest epochs "times ${contestants[0]}"
for name in "${contestants[@]}"; do
  file=$work/$name.seconds
  printf '%-20s %8.3f %8.3f %8.3f %6d  %.2f\n' "$name" "$(median "$file")" "$(sort -g "$file" | head -n 1)" \
    "$(sort -g "$file" | tail -n 1)" "$(wc -l <"$file")" "$(awk -v a="$(median "$file")" -v b="$base" 'BEGIN { print a / b }')"
done
