"""Explanations on Spark.

    import heatlens.spark as hs
    explain = hs.explain(model_bytes, method=["grad_cam"], image="content", id="path")
    maps = df.select("path", "content").mapInArrow(explain, hs.schema(explain))

The function is given to ``DataFrame.mapInArrow``; it writes nothing, so tasks may be repeated. Set
``spark.sql.execution.arrow.maxRecordsPerBatch`` to some hundreds: it counts rows, not bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._rows import Rows


class explain:
    """A function for ``mapInArrow``: one row for each row. The options are those of ``heatlens.ray.Explain``."""

    def __init__(self, model: bytes | str, method: Any = "grad_cam", **options: Any) -> None:
        self.rows = Rows(model, method, **options)

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        rows = self.rows
        for batch in batches:
            ids = None if rows.id is None else batch.column(rows.id).to_pylist()
            found = list(rows.rows(batch.column(rows.image).to_pylist(), ids))
            yield pa.RecordBatch.from_pylist(found, schema=rows.schema())


def schema(function: explain) -> str:
    """Returns the schema of the function's rows in Spark's syntax."""
    types = {"string": "string", "int64": "bigint", "list<item: float>": "array<float>"}
    types |= {"list<item: double>": "array<double>", "list<item: int64>": "array<bigint>"}
    return ", ".join(f"`{field.name}` {types[str(field.type).replace('element', 'item')]}" for field in function.rows.schema())
