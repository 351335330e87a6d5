#!/usr/bin/env python3
"""Runs two builds of heatlens and lists the result files that differ.

    python3 tools/same_outputs.py OLD/heatlens NEW/heatlens [WORK]

Runs the demo, and with its model: an array, class folders with all outputs enabled, an audit, three shards and their
merge, and a run that is killed and resumed. Files with times or settings of a run (run.json and its predecessors) are
not compared. Needs only Python and takes some minutes.
"""

import filecmp
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NOT_COMPARED = {"run.json", "unfinished.json", "shard.json", "audit-settings.json", "timing.json", "timing.csv"}
EVERYTHING = ["--report", "--save", "png,npz,heat,boxes,masks,tensors"]
SLOW = ["--method", "grad_cam,rise", "--set", "rise.masks=400", *EVERYTHING]


def run(program, folder, *words, expected=0):
    done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != expected:
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
    model, shown = "demo/run/model.onnx", "folders-of-classes"
    for of_class in sorted(pathlib.Path(folder / "demo/data/train").iterdir()):
        (folder / shown / of_class.name).mkdir(parents=True)
        for image in sorted(of_class.iterdir())[:12]:
            shutil.copy(image, folder / shown / of_class.name)
    run(program, folder, "explain", model, "demo/data/shown.npz", "--out", "array", *EVERYTHING)
    run(program, folder, "explain", model, shown, "--out", "folders", *EVERYTHING)
    run(program, folder, "audit", model, shown, "--out", "audit", "--images", "6", "--method", "grad_cam,gradient")
    for number in "123":
        run(program, folder, "explain", model, shown, "--out", f"shard{number}", "--shard", f"{number}/3", *EVERYTHING)
    run(program, folder, "merge", "shard1", "shard2", "shard3", "--out", "merged")
    kill_and_resume(program, folder, ["explain", model, shown, "--out", "killed", *SLOW])


def files(folder):
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if path.name not in NOT_COMPARED}


def main():
    programs = [pathlib.Path(word).resolve() for word in sys.argv[1:3]]
    work = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp())
    folders = [work / name for name in ("old", "new")]
    for program, folder in zip(programs, folders):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"{program}: demo", flush=True)
        run(program, folder, "demo", "--out", "demo")
    for program, folder in zip(programs, folders):
        print(f"{program}: explain, audit, merge, resume", flush=True)
        everything(program, folder)
    old, new = (files(folder) for folder in folders)
    differing = [name for name in sorted(old.keys() & new.keys()) if not filecmp.cmp(old[name], new[name], False)]
    for name in sorted(old.keys() - new.keys()):
        print(f"only in the old: {name}")
    for name in sorted(new.keys() - old.keys()):
        print(f"only in the new: {name}")
    for name in differing:
        print(f"differs: {name}")
    print(f"{len(old.keys() & new.keys()) - len(differing)} files are the same, {len(differing)} differ")
    sys.exit(bool(differing or old.keys() ^ new.keys()))


if __name__ == "__main__":
    main()
