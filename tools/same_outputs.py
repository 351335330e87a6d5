#!/usr/bin/env python3
"""Runs two builds of heatlens and lists the kinds of result files that differ.

    python3 tools/same_outputs.py OLD/heatlens NEW/heatlens [WORK]

Each build runs its demo. Then both explain with the model and the images of the old one: an array, class folders with
all outputs enabled, an audit, three shards and their merge, and a run that is killed and resumed. Files with times or
settings of a run (run.json and its predecessors) are not compared. Needs only Python and takes some minutes.
"""

import collections
import filecmp
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NOT_COMPARED = {"run.json", "unfinished.json", "shard.json", "audit-settings.json", "timing.json", "timing.csv"}
EVERYTHING = ["--report", "--save", "png,npz,heat,boxes,masks,tensors"]
SLOW = ["--method", "grad_cam,rise", "--set", "rise.masks=400", *EVERYTHING]


def run(program, folder, *words):
    done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program} {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")


def kill_and_resume(program, folder, words):
    manifest = folder / "killed" / "manifest.jsonl"
    child = subprocess.Popen([program, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not manifest.exists() or manifest.read_bytes().count(b"\n") < 5:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = manifest.read_bytes().count(b"\n")
    print(f"  killed after {done} images")
    run(program, folder, *words, "--resume")


def everything(program, folder):
    """Explains and audits with the model `model.onnx` and the images `shown.npz` and `classes` of the folder."""
    run(program, folder, "explain", "model.onnx", "shown.npz", "--out", "array", *EVERYTHING)
    run(program, folder, "explain", "model.onnx", "classes", "--out", "folders", *EVERYTHING)
    run(program, folder, "audit", "model.onnx", "classes", "--out", "audit", "--images", "6", "--method", "grad_cam,gradient")
    for number in "123":
        shard = ["--out", f"shard{number}", "--shard", f"{number}/3"]
        run(program, folder, "explain", "model.onnx", "classes", *shard, *EVERYTHING)
    run(program, folder, "merge", "shard1", "shard2", "shard3", "--out", "merged")
    kill_and_resume(program, folder, ["explain", "model.onnx", "classes", "--out", "killed", *SLOW])


def give_inputs(demo, folder):
    shutil.copy(demo / "run/model.onnx", folder)
    shutil.copy(demo / "data/shown.npz", folder)
    for of_class in sorted((demo / "data/train").iterdir()):
        (folder / "classes" / of_class.name).mkdir(parents=True)
        for image in sorted(of_class.iterdir())[:12]:
            shutil.copy(image, folder / "classes" / of_class.name)


def files(folder):
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if path.name not in NOT_COMPARED}


def kind(name):
    """Returns the name with one for all images: `array/*/heatmap_grad_cam.png`."""
    return re.sub(r"/(shown|ring|no_ring)_[0-9_]+", "/*", name)


def table(title, names):
    for name, count in sorted(collections.Counter(map(kind, names)).items()):
        print(f"{title}: {count:4} {name}")


def main():
    programs = [pathlib.Path(word).resolve() for word in sys.argv[1:3]]
    work = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp())
    folders = [work / name for name in ("old", "new")]
    for program, folder in zip(programs, folders):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"{program}: demo, explain, audit, merge, resume", flush=True)
        run(program, folder, "demo", "--out", "demo")
        give_inputs(folders[0] / "demo", folder)
        everything(program, folder)
    old, new = (files(folder) for folder in folders)
    both = sorted(old.keys() & new.keys())
    differing = [name for name in both if not filecmp.cmp(old[name], new[name], False)]
    table("only in the old", old.keys() - new.keys())
    table("only in the new", new.keys() - old.keys())
    table("differs", differing)
    print(f"{len(both) - len(differing)} files are the same, {len(differing)} differ")
    sys.exit(bool(differing or old.keys() ^ new.keys()))


if __name__ == "__main__":
    main()
