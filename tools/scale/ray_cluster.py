#!/usr/bin/env python3
"""Explains images on a Ray cluster of three nodes, one of which is removed, while an actor is killed, on this machine.

    python tools/scale/ray_cluster.py heatlens model.onnx [ROWS]

Needs ray[data], pyarrow, pillow and the heatlens package. Every id must come out once, every map must have the bits of one
run of the command line, and a broken image must be an error in its row.
"""

import glob
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from heatlens.ray import Explain


def data(folder, shape, rows):
    """Files of encoded images, of which the last is broken."""
    from io import BytesIO

    from PIL import Image

    random, images, c, (h, w) = np.random.default_rng(0), [], shape[0], shape[1:]
    for at in range(rows):
        pixels = random.integers(0, 255, (h, w) if c == 1 else (h, w, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        images.append(file.getvalue())
        (folder / "images").mkdir(exist_ok=True)
        (folder / f"images/{at:06}.png").write_bytes(images[-1])
    images.append(b"broken")
    (folder / "in").mkdir()
    ids = [f"{at:06}" for at in range(rows + 1)]
    for part in range(16):
        table = pa.table({"id": ids[part::16], "image": pa.array(images[part::16], pa.binary())})
        pq.write_table(table, folder / f"in/{part:02}.parquet")


def main():
    program, model = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    rows = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
    import heatlens as hl

    folder = pathlib.Path(tempfile.mkdtemp(prefix="ray-"))
    data(folder, hl.open(model).input_shape, rows)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 150 << 20})
    nodes = [cluster.add_node(num_cpus=2, object_store_memory=150 << 20) for _ in range(3)]
    ray.init(address=cluster.address, log_to_driver=False)
    words = {"model": model.read_bytes(), "method": ["grad_cam"], "image": "image", "id": "id", "threads": 1}

    def workers():
        processes = glob.glob("/proc/[0-9]*/cmdline")
        return [int(p.split("/")[2]) for p in processes if b"ray::MapWorker" in pathlib.Path(p).read_bytes()]

    def disturb():
        while not workers():
            time.sleep(0.1)
        time.sleep(2)
        print("one node is removed", flush=True)
        cluster.remove_node(nodes[2], allow_graceful=False)
        for process in workers()[:1]:
            print(f"the actor of process {process} is killed", flush=True)
            os.kill(process, signal.SIGKILL)

    threading.Thread(target=disturb, daemon=True).start()
    begun = time.monotonic()
    table = ray.data.read_parquet(str(folder / "in"))
    explained = table.map_batches(
        Explain, fn_constructor_kwargs=words, batch_size=50, num_cpus=1, concurrency=2, max_restarts=-1, max_task_retries=-1
    )
    explained.write_parquet(str(folder / "out"), min_rows_per_file=100)
    print(f"{rows + 1} rows in {time.monotonic() - begun:.1f} s", flush=True)
    found = pa.concat_tables(pq.read_table(f) for f in glob.glob(str(folder / "out/*.parquet"))).to_pylist()
    ids = [row["id"] for row in found]
    assert sorted(ids) == [f"{at:06}" for at in range(rows + 1)], f"{len(ids)} rows, {len(set(ids))} ids"
    broken = [row for row in found if row["error"]]
    assert [row["id"] for row in broken] == [f"{rows:06}"], broken
    ray.shutdown()
    cluster.shutdown()
    subprocess.run(
        [program, "explain", "--quiet", "--method", "grad_cam", "--save", "npz", model, folder / "images", "--out", folder / "cli"],
        check=True,
    )
    maps = np.load(folder / "cli/maps.npz")["grad_cam"]
    for row in found:
        if not row["error"]:
            own = np.array(row["map_grad_cam"], np.float32).reshape(row["shape_grad_cam"])
            assert own.tobytes() == maps[int(row["id"])].tobytes(), row["id"]
    print("every id once, every map as the command line has it, the broken image an error in its row")


if __name__ == "__main__":
    main()
