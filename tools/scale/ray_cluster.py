#!/usr/bin/env python3
"""Explains images on a local Ray cluster of three nodes while one node is removed and an actor is killed.

    python tools/scale/ray_cluster.py heatlens model.onnx [ROWS]

Needs ray[data], pyarrow, pillow and the heatlens package. Every id must appear once, every map must be bit-identical to
that of the command line, and a broken image must give an error in its row.
"""

import glob
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from case import check, data
from ray.cluster_utils import Cluster

from heatlens.ray import Explain


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
    ray.shutdown()
    cluster.shutdown()
    check(found, rows, program, model, folder)


if __name__ == "__main__":
    main()
