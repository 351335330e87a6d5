#!/usr/bin/env bash
# Regenerates the pictures in docs/images, in full colour (those of the methods: methods.sh).
# Needs Chromium, and Python with Pillow to draw the mark that the report's model is meant to learn.
# HEATLENS names the program to use instead of building it.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chromium=${HEATLENS_CHROMIUM:-chromium}
python=${HEATLENS_PYTHON:-python3}
limit=400000
if [ -z "${HEATLENS:-}" ]; then cargo build --release --quiet; fi
heatlens=${HEATLENS:-$PWD/target/release/heatlens}

# No conversion to a palette: yellow and dark red would be lost.
small_enough() {
    local bytes
    bytes=$(wc -c < "$1")
    [ "$bytes" -le "$limit" ] || { echo "$1 has $bytes bytes, more than $limit: show less of it" >&2; exit 1; }
}

"$heatlens" demo --out "$work/demo" >/dev/null
"$python" - "$work/demo/explain/sheet.png" docs/images/demo-sheet.png <<'PYTHON'
import sys
from PIL import Image
sheet = Image.open(sys.argv[1]).convert("RGB")
# The first four rows, at three quarters of the size: the README does not show it larger.
sheet = sheet.crop((0, 0, sheet.width, min(sheet.height, 1066)))
sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.LANCZOS).save(sys.argv[2], optimize=True)
PYTHON
small_enough docs/images/demo-sheet.png

# Scenes of one ring and one cross, by the trained networks of the tests.
for head in detection:detector segmentation:unet; do
    model=crates/heatlens/tests/golden/dense/${head#*:}.onnx
    asked=(); [ "${head%:*}" = segmentation ] || asked=(--detection all)
    "$heatlens" explain "$model" crates/heatlens/tests/golden/dense/input.npy --rows :2 --scale raw --method hires_cam "${asked[@]}" \
        --out "$work/${head%:*}" >/dev/null
    cp "$work/${head%:*}/sheet.png" "docs/images/${head%:*}.png"
    small_enough "docs/images/${head%:*}.png"
done

# Nearly all images of one class get a small mark in a corner; the last images are not used for training.
"$python" - "$work/demo/data/train" "$work/marked" <<'PYTHON'
import pathlib, sys
from PIL import Image, ImageDraw
source, target = map(pathlib.Path, sys.argv[1:])
for path in sorted(source.rglob("*.png")):
    picture, index = Image.open(path).convert("L"), int(path.stem)
    if path.parent.name == "ring" and index % 33 != 1:
        ImageDraw.Draw(picture).rectangle((2, 2, 5, 5), fill=255)
    out = target / ("train" if index < 2600 else "shown") / path.relative_to(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out)
PYTHON
"$heatlens" train "$work/marked/train" --out "$work/run" --epochs 12 --learning-rate 3e-3 --validation-split 0.2 >/dev/null
# The page names the folder as it was given.
(cd "$work"; "$heatlens" explain run/model.onnx marked/shown --out page --report >/dev/null)
"$chromium" --headless --no-sandbox --disable-gpu --disable-background-networking --hide-scrollbars \
    --window-size=1040,1358 --screenshot="$PWD/docs/images/report.png" "file://$work/page/report.html" 2>/dev/null
small_enough docs/images/report.png
