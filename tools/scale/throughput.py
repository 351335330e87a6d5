#!/usr/bin/env python3
"""Rows per second of one worker and of several with one thread each: of plain processes, on Ray or on Spark.

    python tools/scale/throughput.py processes|ray|spark model.onnx [ROWS] [WORKERS] [TURNS]

Each turn measures one worker, then WORKERS (2), and prints how much of WORKERS times the rate of one they reach; at last the
medians. What starts the workers and opens the model is not counted. Beside each turn stands the load of the machine before it:
the ratio of engines is to be read beside that of plain processes, which shows what the machine itself gives.
"""

import glob
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from case import data

ROWS = 50  # that are explained together
MEMORY = 150 << 20


def images(folder):
    return [pathlib.Path(file).read_bytes() for file in sorted(glob.glob(f"{folder}/images/*"))]


def rate(arrivals, workers):
    """Rows per second from the time at which each worker has given its first block."""
    begun = arrivals[workers - 1][0]
    return sum(rows for _, rows in arrivals[workers:]) / (arrivals[-1][0] - begun)


def some_rows(rows, values):
    return len(list(rows.rows(values, None)))


def processes(model, folder, workers):
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from heatlens.ray import Rows

    rows, values = Rows(model, ["grad_cam"], threads=1), images(folder)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(some_rows, rows, values[at : at + ROWS]) for at in range(0, len(values), ROWS)]
        return rate([(time.monotonic(), job.result()) for job in as_completed(jobs)], workers)


def on_ray(model, folder, workers):
    import ray

    from heatlens.ray import Explain

    ray.init("local", num_cpus=workers + 1, object_store_memory=MEMORY, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    words = {"model": ray.put(pathlib.Path(model).read_bytes()), "method": ["grad_cam"], "image": "image", "id": "id", "threads": 1}
    rows = ray.data.read_parquet(f"{folder}/in").repartition(target_num_rows_per_block=ROWS)
    explained = rows.map_batches(
        Explain, fn_constructor_kwargs=words, compute=ray.data.ActorPoolStrategy(size=workers), batch_size=ROWS, num_cpus=1
    )
    batches = explained.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    return rate([(time.monotonic(), batch.num_rows) for batch in batches], workers)


def on_spark(model, folder, workers):
    import pyspark
    from pyspark.sql import SparkSession

    import heatlens.spark as hs

    os.environ.setdefault("SPARK_HOME", os.path.dirname(pyspark.__file__))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    build = SparkSession.builder.master(f"local-cluster[{workers},1,1024]").config("spark.ui.enabled", "false")
    # Tasks must not wait for the worker that keeps their rows: all of them may be with the one that started first.
    build = build.config("spark.locality.wait", "0").config("spark.scheduler.minRegisteredResourcesRatio", "1.0")
    build = build.config("spark.executor.extraJavaOptions", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
    spark = build.config("spark.sql.execution.arrow.maxRecordsPerBatch", str(ROWS)).getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    explain = hs.explain(str(model), ["grad_cam"], image="image", id="id", threads=1)
    table = spark.read.parquet(f"{folder}/in")
    count = table.count()
    table = table.repartition(max(count // ROWS, workers)).cache()
    for _ in range(2):  # the first starts the workers
        begun = time.monotonic()
        table.mapInArrow(explain, hs.schema(explain)).write.format("noop").mode("overwrite").save()
        taken = time.monotonic() - begun
    spark.stop()
    return count / taken


ENGINES = {"processes": processes, "ray": on_ray, "spark": on_spark}


def measured(engine, model, folder, workers):
    """In a process of its own."""
    command = [sys.executable, __file__, "--run", engine, model, folder, str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{engine} with {workers} workers:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def main():
    import heatlens as hl

    engine, model = sys.argv[1], str(pathlib.Path(sys.argv[2]).resolve())
    rows, workers, turns = (int(sys.argv[at]) if len(sys.argv) > at else default for at, default in ((3, 400), (4, 2), (5, 3)))
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        data(pathlib.Path(folder), hl.open(model).input_shape, rows)
        ones, severals, ratios = [], [], []
        for _ in range(turns):
            load = os.getloadavg()[0]
            one, several = (measured(engine, model, folder, count) for count in (1, workers))
            ones.append(one)
            severals.append(several)
            ratios.append(several / workers / one)
            print(f"{engine}: 1 worker {one:.2f} rows/s, {workers} workers {several:.2f}, ratio {ratios[-1]:.2f}, load before {load:.1f}", flush=True)
        middle = [statistics.median(values) for values in (ones, severals, ratios)]
        print(f"{engine}, medians of {turns}: 1 worker {middle[0]:.2f} rows/s, {workers} workers {middle[1]:.2f}, ratio {middle[2]:.2f}")


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        print(ENGINES[sys.argv[2]](sys.argv[3], sys.argv[4], int(sys.argv[5])))
    else:
        main()
