#!/usr/bin/env python3
"""Explains images on a Ray cluster of three nodes on this machine, and disturbs it at a third of the rows, when both workers run.

    python tools/scale/ray_cluster.py heatlens model.onnx [node|actor|both|driver] [ROWS]

`node` removes the node of a worker ungracefully, `actor` kills a worker, `both` does one after the other, `driver` kills the program that
drives the job and starts it again, writing over what the first one left. Needs ray[data], pyarrow, pillow and the heatlens
package. The checks are in case.py. Only processes of this cluster are killed.
"""

import contextlib
import glob
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from case import check, data

MEMORY = 150 << 20
WORKERS = 2


def drive(address, model, folder):
    """The job itself, in a process of its own."""
    import ray

    from heatlens.ray import Explain

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    words = {"model": ray.put(pathlib.Path(model).read_bytes()), "method": ["grad_cam"], "image": "image", "id": "id", "threads": 1}
    explained = ray.data.read_parquet(f"{folder}/in").repartition(target_num_rows_per_block=50).map_batches(
        Explain,
        fn_constructor_kwargs=words,
        compute=ray.data.ActorPoolStrategy(size=WORKERS),
        batch_size=50,
        num_cpus=1,
        max_restarts=-1,
        max_task_retries=-1,
    )
    explained.write_parquet(f"{folder}/out", mode=ray.data.SaveMode.OVERWRITE)


def field(process, name):
    return pathlib.Path(f"/proc/{process}/{name}").read_bytes()


def parent(process):
    return int(field(process, "stat").rsplit(b")", 1)[1].split()[1])


def workers(address):
    """The processes that explain, of the cluster at this address."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        process = int(path.split("/")[2])
        try:
            if b"ray::MapWorker" not in field(process, "cmdline"):
                continue
            if address.encode() in field(parent(process), "cmdline"):
                found.append(process)
        except OSError:
            continue  # it has ended
    return sorted(found)


def seconds(process):
    """Processor time of a process."""
    try:
        fields = field(process, "stat").rsplit(b")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_of_a_row(model, folder):
    from heatlens.ray import Rows

    rows = Rows(str(model), ["grad_cam"], threads=1)
    files = sorted(glob.glob(f"{folder}/images/*"))[:20]
    rows.row(files[0])
    begun = time.process_time()
    for file in files:
        rows.row(file)
    return (time.process_time() - begun) / len(files)


def main():
    import pyarrow as pa
    import pyarrow.parquet as pq
    from ray.cluster_utils import Cluster

    import heatlens as hl

    program, model = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    what = sys.argv[3] if len(sys.argv) > 3 else "node"
    rows = int(sys.argv[4]) if len(sys.argv) > 4 else 3000
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ray-"))
    data(folder, hl.open(model).input_shape, rows)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": MEMORY})
    nodes = [cluster.add_node(num_cpus=2, object_store_memory=MEMORY) for _ in range(3)]
    command = [sys.executable, __file__, "--drive", cluster.address, model, folder]
    begun = time.monotonic()

    def told(text):
        print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)

    def written():
        total = 0
        for file in glob.glob(f"{folder}/out/*.parquet"):
            with contextlib.suppress(pa.ArrowInvalid):  # one that is being written
                total += pq.read_metadata(file).num_rows
        return total

    third = seconds_of_a_row(model, folder) * rows / 3
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    begun_with = {}
    while driver.poll() is None:
        spent = {process: seconds(process) for process in workers(cluster.address)}
        begun_with = {process: begun_with.get(process, at) for process, at in spent.items()}
        if len(spent) == WORKERS and sum(spent.values()) - sum(begun_with.values()) > third:
            break
        time.sleep(0.1)
    told(f"a third of the rows or more is explained, {written()} of {rows + 1} are written; workers: {sorted(spent)}")
    if what in ("node", "both"):
        daemons = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
        process = workers(cluster.address)[0]
        cluster.remove_node(daemons[parent(process)], allow_graceful=False)
        told(f"the node with the worker of process {process} is removed")
    if what in ("actor", "both"):
        while not (left := workers(cluster.address)) and driver.poll() is None:
            time.sleep(0.1)
        for process in left[:1]:
            os.kill(process, signal.SIGKILL)
            told(f"the worker of process {process} is killed")
    if what == "driver":
        driver.kill()
        driver.wait()
        told("the driver is killed")
        while workers(cluster.address):
            time.sleep(0.2)
        told(f"its workers have ended; {written()} rows are left; it is started again")
        driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    if driver.wait() != 0:
        sys.exit(f"the driver ended with {driver.returncode}")
    told("all rows are written")
    found = pa.concat_tables(pq.read_table(f) for f in glob.glob(f"{folder}/out/*.parquet")).to_pylist()
    cluster.shutdown()
    check(found, rows, program, model, folder)


if __name__ == "__main__":
    drive(*sys.argv[2:]) if sys.argv[1] == "--drive" else main()
