#!/usr/bin/env bash
# Writes docs/methods.md from the registry, and an example of each method on one image of the demo.
# HEATLENS names the program to use instead of building it.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "${HEATLENS:-}" ]; then cargo build --release --quiet; fi
heatlens=${HEATLENS:-$PWD/target/release/heatlens}

"$heatlens" demo --out "$work/demo" >/dev/null
image=$(find "$work/demo/data/train/ring" -name '*.png' | sort | sed -n 1p)
model=$work/demo/run/model.onnx
"$heatlens" explain "$model" "$image" --method all --out "$work/maps"
mkdir -p docs/images/methods
rm -f docs/images/methods/*.png
for id in $("$heatlens" methods --json | python3 -c 'import json, sys; print(*[m["id"] for m in json.load(sys.stdin)])'); do
    for name in "overlay_$id" "$id"; do
        found=$(find "$work/maps" -name "$name.png" | sed -n 1p)
        if [ -n "$found" ]; then cp "$found" "docs/images/methods/$id.png"; break; fi
    done
done
"$heatlens" methods --markdown --pictures docs/images/methods > docs/methods.md
