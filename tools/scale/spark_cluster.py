#!/usr/bin/env python3
"""Explains images on a local Spark cluster of two executors, one of which is killed, with speculation enabled.

    python tools/scale/spark_cluster.py heatlens model.onnx [ROWS]

Needs pyspark, Java, pyarrow, pillow and the heatlens package. The checks are in case.py.
"""

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

    def disturb():
        time.sleep(8)
        executors = [
            p for p in glob.glob("/proc/[0-9]*/cmdline") if b"CoarseGrainedExecutorBackend" in pathlib.Path(p).read_bytes()
        ]
        for executor in executors[:1]:
            process = int(executor.split("/")[2])
            print(f"the executor of process {process} of {len(executors)} is killed", flush=True)
            os.kill(process, signal.SIGKILL)

    threading.Thread(target=disturb, daemon=True).start()
    begun = time.monotonic()
    table = spark.read.parquet(str(folder / "in")).repartition(16)
    table.mapInArrow(explain, hs.schema(explain)).write.parquet(str(folder / "out"))
    print(f"{rows + 1} rows in {time.monotonic() - begun:.1f} s", flush=True)
    found = [row.asDict() for row in spark.read.parquet(str(folder / "out")).collect()]
    spark.stop()
    check(found, rows, program, model, folder)


if __name__ == "__main__":
    main()
