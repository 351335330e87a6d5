"""Times whole commands on image files: heatlens and grad-cam.

Usage: folder.py [--heatlens PROGRAM] [--rounds 3] [--threads 2] [--images 1000] [--only PART[,PART]]

Needs an interpreter with torch, torchvision, onnx, pillow and grad-cam. The parts:
  folder   JPEGs of 224 x 224 in a folder, a ResNet-18 with random weights: Grad-CAM, and an overlay of each as PNG.
           grad-cam reads with a DataLoader with as many processes as threads, in batches of 32; heatlens also writes
           the original, the heat map, the signed map and the contact sheet.
  start    one 95 x 95 picture and the two-class network `gap-cnn`, from the command to the overlay.
  memory   heatlens only: the peak memory of `explain` on 1,000 and on 10,000 pictures of the two-class network.
The two programs alternate; a row gives the median, fastest and slowest round, and the maximum memory.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pictures(folder, count, side, kind):
    """Smooth random images, which compress like photographs and not like noise."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        small = Image.fromarray(random.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index:05}.{kind}")
    return folder


# Starts a command and prints its seconds and KiB. It runs in a separate, small process, because the system includes the
# memory that a process had before it executed the command.
LAUNCH = """
import os, resource, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
_, status = os.waitpid(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status != 0)
"""


def measured(command):
    """Seconds and MiB of a command; the memory is that of the largest of its processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": command[0]}
    launch = [sys.executable, "-S", "-c", LAUNCH, *command[1:]]
    done = subprocess.run(launch, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[1:])}\n{done.stderr[-2000:]}")
    seconds, memory = done.stdout.split()
    return float(seconds), int(memory) / 1024


def explain(options, model, inputs, out):
    return [str(word) for word in [
        options.threads, options.heatlens, "explain", model, inputs, "--method", "grad_cam", "--out", out, "--force",
        "--threads", options.threads]]


def peer(options, what, inputs, out):
    return [str(word) for word in [options.threads, sys.executable, __file__, "--peer", what, inputs, out,
                                   options.threads]]


def row(name, runs):
    seconds, memory = zip(*runs)
    print(f"{name:28} {statistics.median(seconds):9.3f} s ({min(seconds):.3f}-{max(seconds):.3f})"
          f" {max(memory):8.0f} MiB", flush=True)
    return statistics.median(seconds)


def beside(options, name, own, other):
    runs = [(measured(own), measured(other)) for _ in range(options.rounds)]
    ratio = row(f"{name}: grad-cam", [r[1] for r in runs]) / row(f"{name}: heatlens", [r[0] for r in runs])
    print(f"{name}: grad-cam / heatlens {ratio:.2f}", flush=True)


def export(folder):
    """The ResNet-18, as ONNX and in the format that grad-cam reads."""
    import torch
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None).eval()
    torch.save(model.state_dict(), folder / "resnet18.pt")
    torch.onnx.export(
        model, (torch.randn(1, 3, 224, 224),), str(folder / "resnet18.onnx"), dynamo=False, opset_version=18,
        input_names=["image"], output_names=["logits"], dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}})


def two_class(options, work):
    """The two-class network after one epoch on noise; its predictions do not matter here."""
    random = np.random.default_rng(0)
    np.savez(work / "case.npz", X=random.random((40, 95, 95, 1), dtype=np.float32), y=np.arange(40) % 2)
    command = [options.heatlens, "train", work / "case.npz", "--recipe", "keras-two-class", "--epochs", "1", "--out", work / "run"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return work / "run" / "model.onnx"


def peer_main(what, inputs, out, threads):
    import torch
    import torchvision
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    if what == "folder":
        model = torchvision.models.resnet18(weights=None).eval()
        model.load_state_dict(torch.load(inputs.parent / "resnet18.pt"))
        layer = model.layer4[-1]
    else:
        from torch import nn

        layers = [nn.Conv2d(1, 20, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 20, 3), nn.ReLU()]
        model = nn.Sequential(*layers, nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 1)).eval()
        layer = model[4]
    paths = sorted(inputs.iterdir())
    mode = "RGB" if what == "folder" else "L"

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            image = np.asarray(Image.open(paths[index]).convert(mode), dtype=np.float32) / 255
            return torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1), index

    workers = threads if what == "folder" else 0
    loader = torch.utils.data.DataLoader(Pictures(), batch_size=32, num_workers=workers)
    with GradCAM(model=model, target_layers=[layer]) as cam:
        for batch, places in loader:
            targets = None if what == "folder" else [ClassifierOutputTarget(0)] * len(batch)
            maps = cam(input_tensor=batch, targets=targets)
            for image, heat, place in zip(batch, maps, places):
                image = image.permute(1, 2, 0).numpy()
                image = image if image.shape[2] == 3 else np.repeat(image, 3, 2)
                Image.fromarray(show_cam_on_image(image, heat, use_rgb=True)).save(out / f"{paths[place].stem}.png")


def main():
    if sys.argv[1:2] == ["--peer"]:
        what, inputs, out, threads = sys.argv[2:]
        return peer_main(what, pathlib.Path(inputs), pathlib.Path(out), int(threads))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heatlens", type=pathlib.Path, default=ROOT / "target" / "release" / "heatlens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--only", default="start,folder,memory")
    options = parser.parse_args()
    parts = options.only.split(",")
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        model = two_class(options, work)
        if "start" in parts:
            one = pictures(work / "one", 1, 95, "png")
            beside(options, "start", explain(options, model, one, work / "own"), peer(options, "start", one, work / "peer"))
            print(f"the program: {options.heatlens.stat().st_size / 2**20:.1f} MiB")
        if "folder" in parts:
            export(work)
            jpegs = pictures(work / "jpegs", options.images, 224, "jpg")
            own = explain(options, work / "resnet18.onnx", jpegs, work / "own")
            beside(options, f"{options.images} pictures", own, peer(options, "folder", jpegs, work / "peer"))
        if "memory" in parts:
            for count in (1000, 10000):
                many = pictures(work / f"many{count}", count, 95, "png")
                row(f"{count} pictures, memory", [measured(explain(options, model, many, work / f"out{count}"))])


if __name__ == "__main__":
    main()
