"""Explanations on Ray Data.

    from heatlens.ray import Explain
    data = ray.data.read_parquet("images").repartition(target_num_rows_per_block=64).map_batches(
        Explain, fn_constructor_kwargs={"model": ray.put(model_bytes), "method": ["grad_cam"], "id": "path", "threads": 2},
        batch_size=64, compute=ray.data.ActorPoolStrategy(size=4), num_cpus=2)
    data.write_parquet("maps")

Many more blocks than workers are needed: ``repartition`` makes them.

Workers write nothing: the sink commits. A row is a pure function of its pixels, the model and the options, so one that is
computed twice is the same row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._rows import Rows


class Explain:
    """An actor for ``map_batches``: one row for each row of the batch. The options are those of ``heatlens.ray.Rows``."""

    def __init__(self, model: Any, method: Any = "grad_cam", **options: Any) -> None:
        if not isinstance(model, (bytes, str)):
            import ray

            model = ray.get(model)
        self.rows = Rows(model, method, **options)

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        import pyarrow as pa

        rows = self.rows
        ids = None if rows.id is None else list(batch[rows.id])
        found = list(rows.rows(list(batch[rows.image]), ids))
        return pa.Table.from_pylist(found, schema=rows.schema())


__all__ = ["Explain", "Rows"]
