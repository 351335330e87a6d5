#!/usr/bin/env python3
"""Explains images on a local Spark cluster of two executors, one of which is killed at a third of the tasks, with
speculation enabled.

    python tools/scale/spark_cluster.py heatlens model.onnx [ROWS]

Needs pyspark, Java, pyarrow, pillow and the heatlens package. The checks are in case.py.
"""

import contextlib
import glob
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time

import pyspark
from case import check, data
from pyspark.sql import SparkSession

import heatlens as hl
import heatlens.spark as hs

PARTS = 16


def stages(tracker):
    """The stages that are running."""
    found = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return [stage for stage in found if stage is not None]


def executors_of(driver):
    """The processes of the executors that belong to the driver at this port."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            command = pathlib.Path(path).read_bytes()
            if b"CoarseGrainedExecutorBackend" in command and driver in command and b"java" in command.split(b"\0")[0]:
                found.append(int(path.split("/")[2]))
    return sorted(found)


def main():
    program, model = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    rows = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    folder = pathlib.Path(tempfile.mkdtemp(prefix="spark-"))
    data(folder, hl.open(model).input_shape, rows)
    os.environ.setdefault("SPARK_HOME", os.path.dirname(pyspark.__file__))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.speculation", "true")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "64")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    explain = hs.explain(str(model), ["grad_cam"], image="image", id="id", threads=1)

    driver = f":{spark.sparkContext.getConf().get('spark.driver.port')}".encode()

    def disturb():
        tracker = spark.sparkContext.statusTracker()
        while sum(stage.numCompletedTasks for stage in stages(tracker) if stage.numTasks == PARTS) < PARTS / 3:
            time.sleep(0.05)
        executors = executors_of(driver)
        for process in executors[:1]:
            print(f"the executor of process {process} of {len(executors)} is killed", flush=True)
            os.kill(process, signal.SIGKILL)

    threading.Thread(target=disturb, daemon=True).start()
    begun = time.monotonic()
    table = spark.read.parquet(str(folder / "in")).repartition(PARTS)
    table.mapInArrow(explain, hs.schema(explain)).write.parquet(str(folder / "out"))
    print(f"{rows + 1} rows in {time.monotonic() - begun:.1f} s", flush=True)
    found = [row.asDict() for row in spark.read.parquet(str(folder / "out")).collect()]
    spark.stop()
    check(found, rows, program, model, folder)


if __name__ == "__main__":
    main()
