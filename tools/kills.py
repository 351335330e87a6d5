#!/usr/bin/env python3
"""Kills runs of heatlens at random moments, resumes them, and checks that the results equal those of an uninterrupted run.

    python3 tools/kills.py heatlens [KILLS] [SEED] [WORK]

Training, explaining, auditing, sharded runs and their merge are tested in turn. Each is first run without interruption to
record its duration and its bytes. Then each is killed (SIGKILL) at a random moment of that duration, some of them several
times, and resumed. A run that was killed before it wrote run.json, and a merge, are started again. Afterwards the folder
must hold exactly the same files with the same bytes. Files with times are not compared. Needs only Python.
"""

import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

TIMES = {"timing.json", "timing.csv"}


def array(path, count):
    """Dark and light stripes, horizontal and vertical."""
    pixels = bytearray()
    for n in range(count):
        for y in range(16):
            for x in range(16):
                pixels += bytes([(200 if (y if n % 2 else x) // 2 % 2 else 40) + (n * 7 + y * 3 + x) % 20])
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 16, 16), }\n" % count
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + pixels)


def labels(path, count):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n" % count
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(n % 2 for n in range(count)))


def result(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in TIMES)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Runs:
    def __init__(self, program, work):
        self.program, self.work, self.random = program, work, None
        for name, count in [("train", 120), ("few", 24)]:
            (work / name).mkdir()
            array(work / name / "X.npy", count)
            labels(work / name / "y.npy", count)

    def command(self, words, out):
        return [self.program, "--quiet", *words, "--out", str(out)]

    def whole(self, words, out):
        begun = time.monotonic()
        done = subprocess.run(self.command(words, out), capture_output=True, text=True, cwd=self.work)
        if done.returncode:
            sys.exit(f"{' '.join(done.args)}: exit code {done.returncode}\n{done.stderr}")
        return time.monotonic() - begun

    def killed(self, words, out, moment):
        """Starts a run and kills it; returns false if it ended before the kill."""
        child = subprocess.Popen(
            self.command(words, out), cwd=self.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            child.wait(moment)
            return False
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return True

    def disturbed(self, words, out, seconds, resumes):
        """Kills a run one to three times and lets it end; returns the number of kills, or an error message."""
        shutil.rmtree(out, ignore_errors=True)
        kills, further = 0, list(words)
        for _ in range(self.random.choice([1, 1, 2, 3])):
            if not self.killed(further, out, self.random.uniform(0, 1.05 * seconds)):
                return kills
            kills += 1
            if resumes and (out / "run.json").exists():
                further = [*words, "--resume"]
            elif not resumes:
                further = [*words, "--force"]
        done = subprocess.run(self.command(further, out), capture_output=True, text=True, cwd=self.work)
        if done.returncode and "finished" not in done.stderr:
            return f"exit code {done.returncode}: {done.stderr}"
        return kills


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    kills, seed = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 100), (3, 0)))
    work = pathlib.Path(sys.argv[4] if len(sys.argv) > 4 else tempfile.mkdtemp(prefix="kills-")).resolve()
    runs = Runs(program, work)
    runs.random = random.Random(seed)
    model = str(work / "model/model.onnx")
    runs.whole(["train", "train", "--epochs", "3"], work / "model")
    everything = ["--save", "png,npz,heat,boxes,masks,tensors", "--report"]
    kinds = {
        "train": (["train", "train", "--epochs", "6"], True),
        "explain": (["explain", model, "few", *everything], True),
        "audit": (["audit", model, "few", "--images", "6", "--method", "grad_cam,gradient"], True),
        "shard": (["explain", model, "few", "--shard", "1/2", *everything], True),
        "merge": (["merge", "shard-1", "shard-2"], False),
    }
    for number in "12":
        runs.whole(["explain", model, "few", "--shard", f"{number}/2", *everything], work / f"shard-{number}")
    expected = {}
    for name, (words, _) in kinds.items():
        seconds = runs.whole(words, work / f"{name}-whole")
        expected[name] = (seconds, result(work / f"{name}-whole"))
    counts, wrong, shards = dict.fromkeys(kinds, 0), 0, [result(work / f"shard-{number}") for number in "12"]
    while sum(counts.values()) < kills:
        for name, (words, resumes) in kinds.items():
            seconds, files = expected[name]
            out = work / f"{name}-killed"
            found = runs.disturbed(words, out, seconds, resumes)
            if isinstance(found, str):
                print(f"{name}: {found}")
                wrong += 1
                continue
            counts[name] += found
            got = result(out)
            different = sorted(file for file in files.keys() | got.keys() if files.get(file) != got.get(file))
            # A resumed run prints its command, which contains the same words.
            if different:
                print(f"{name}, after {found} kills: {', '.join(different[:5])} of {len(different)} differ")
                wrong += 1
    if [result(work / f"shard-{number}") for number in "12"] != shards:
        print("the shards were changed")
        wrong += 1
    print(f"{sum(counts.values())} kills ({', '.join(f'{name} {n}' for name, n in counts.items())}), {wrong} runs end otherwise")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
