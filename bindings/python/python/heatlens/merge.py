"""Merging the Parquet files of a job on Ray or Spark: one row for each id.

    python -m heatlens.merge maps --out maps.parquet [--ids FILE]

A job that was disturbed or run twice may leave rows twice. A row is a pure function of its pixels, the model and the options,
so equal ones are dropped; rows of one id that differ stop the merge, as do rows of several models or options. The result is
sorted by id, so that it does not depend on who computed what. Needs pyarrow.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ._heatlens import Error

PathLike = str | os.PathLike[str]

TOGETHER = 1024
NAMED = 5
# Says who computed a row, not what; of equal rows the first in this order is kept.
PROVENANCE = "computed_by"
ORDER = [("id", "ascending"), (PROVENANCE, "ascending")]
SAME_RUN = ("model_sha256", "options_sha256")


@dataclass
class Merged:
    """The numbers of rows written and of equal rows dropped, and the rows with an error: id and message."""

    rows: int = 0
    dropped: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)


def merge(inputs: PathLike | Sequence[PathLike], out: PathLike, ids: Iterable[str] | None = None, force: bool = False) -> Merged:
    """Writes the rows of Parquet files and folders to the file ``out``, each id once.

    ``ids`` are those that are expected: one that is missing, and one that is not among them, is an error. Nothing is written if
    there is one.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise Error("merging Parquet files needs pyarrow: pip install pyarrow") from None
    out = Path(out)
    if out.is_dir() or out.exists() and not force:
        raise Error(f"{out} exists already: choose another file{'' if out.is_dir() else ', or replace it with --force'}")
    files = [file for path in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs) for file in _files(Path(path))]
    merged = Merged()
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as folder:
        runs = _Runs(files, Path(folder, "sorted.parquet"))
        _check(runs.ids, ids)
        finished = Path(folder, "merged.parquet")
        with pq.ParquetWriter(finished, runs.schema) as writer:
            for table in runs.merged():
                kept = _without_copies(table)
                merged.rows += len(kept)
                merged.dropped += len(table) - len(kept)
                merged.errors += _errors(kept)
                writer.write_table(kept)
        os.replace(finished, out)
    return merged


def _files(path: Path) -> list[Path]:
    """Returns the Parquet files of a folder, without an engine's temporary files."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise Error(f"{path}: there is no file or folder of this name")
    files = sorted(file for file in path.rglob("*.parquet") if not any(p.startswith((".", "_")) for p in file.relative_to(path).parts))
    if not files:
        raise Error(f"{path} holds no Parquet files; heatlens.ray and heatlens.spark write them, `heatlens merge` takes shards")
    return files


class _Runs:
    """Rows sorted by id: those of each row group of the files, one after the other, in a file of their own."""

    def __init__(self, files: list[Path], path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path, self.schema, self.ids = path, _schema(files), pa.chunked_array([], pa.string())
        chunks = []
        known: dict[str, set[str]] = {name: set() for name in SAME_RUN}
        with pq.ParquetWriter(path, self.schema) as writer:
            for file, group in _groups(files):
                table = _rows(file, group, self.schema).sort_by(ORDER)
                for name, values in known.items():
                    values.update(table.column(name).unique().to_pylist())
                    _one(name, values)
                chunks += table.column("id").chunks
                writer.write_table(table, row_group_size=max(len(table), 1))
        self.ids = pa.chunked_array(chunks, pa.string())

    def merged(self) -> Iterator[Any]:
        """All rows sorted by id, some at a time; those of one id together."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.path)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        run = np.repeat(np.arange(len(sizes)), sizes)
        order = pc.sort_indices(self.ids).to_numpy()
        readers = [_Reader(file, group) for group in range(len(sizes))]
        start = 0
        while start < len(order):
            end = min(start + TOGETHER, len(order))
            while end < len(order) and self.ids[order[end]] == self.ids[order[end - 1]]:
                end += 1
            counts = np.bincount(run[order[start:end]], minlength=len(sizes))
            parts = [readers[number].take(int(count)) for number, count in enumerate(counts) if count]
            yield pa.concat_tables(parts).sort_by(ORDER).combine_chunks()
            start = end


class _Reader:
    """Yields the rows of a row group in order."""

    def __init__(self, file: Any, group: int) -> None:
        self.batches = file.iter_batches(batch_size=64, row_groups=[group])
        self.rest: Any = None

    def take(self, count: int) -> Any:
        import pyarrow as pa

        parts = []
        while count:
            if self.rest is None or not self.rest.num_rows:
                self.rest = next(self.batches)
            part = self.rest.slice(0, count)
            self.rest = self.rest.slice(part.num_rows)
            parts.append(part)
            count -= part.num_rows
        return pa.Table.from_batches(parts)


def _schema(files: list[Path]) -> Any:
    """Returns the columns of all files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schemas = [pq.read_schema(file).remove_metadata() for file in files]
        schema = pa.unify_schemas(schemas)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Error(f"these rows are not those of one job: {error}") from None
    if missing := [name for name in ("id", "error", PROVENANCE, *SAME_RUN) if name not in schema.names]:
        raise Error(f"{files[0].parent}: expected the rows of heatlens.ray or heatlens.spark, there is no column {missing[0]!r}")
    for file, own in zip(files, schemas):
        if own.names != schema.names:
            raise Error(f"the rows come from different methods: {file} has the columns {', '.join(own.names)}")
    return schema


def _groups(files: list[Path]) -> Iterator[tuple[Any, int]]:
    import pyarrow.parquet as pq

    for path in files:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file, group


def _rows(file: Any, group: int, schema: Any) -> Any:
    """The rows of a row group, all of which have an id."""
    table = file.read_row_group(group).replace_schema_metadata(None).cast(schema)
    if nulls := table.column("id").null_count:
        reasons = [row["error"] for row in table.select(["id", "error"]).to_pylist() if row["id"] is None]
        raise Error(
            f"{nulls} rows have no id, the first one with {reasons[0]!r}: name the column that holds the ids (id=…), "
            "without it images that cannot be read are not told apart"
        )
    return table


def _check(found: Any, expected: Iterable[str] | None) -> None:
    """Raises an error for unexpected or missing ids."""
    if expected is None:
        return
    wanted, own = {str(id) for id in expected}, set(found.to_pylist())
    if missing := sorted(wanted - own):
        raise Error(f"{len(missing)} of {len(wanted)} ids are missing: {_some(missing)}; run the job again for them")
    if strange := sorted(own - wanted):
        raise Error(f"{len(strange)} ids were not expected: {_some(strange)}")


def _without_copies(table: Any) -> Any:
    """The first row of each id. The others have to be equal."""
    ids = table.column("id").to_pylist()
    first = [0] * bool(ids)
    for at in range(1, len(ids)):
        if ids[at] != ids[at - 1]:
            first.append(at)
        elif different := _differences(table, first[-1], at):
            raise Error(_unequal(table, first[-1], at, different))
    return table if len(first) == len(ids) else table.take(first)


def _one(name: str, values: set[str]) -> None:
    if len(values) > 1:
        what = "models" if name == "model_sha256" else "options"
        found = _some([str(value)[:12] for value in sorted(values)])
        raise Error(f"the rows come from {len(values)} {what} ({name}: {found}): merge one job at a time")


def _differences(table: Any, a: int, b: int) -> list[str]:
    """Returns the columns in which two rows differ in any bit."""
    compared = [name for name in table.column_names if name != PROVENANCE]
    return [name for name in compared if not _same(table.column(name)[a], table.column(name)[b])]


def _same(a: Any, b: Any) -> bool:
    if not (a.is_valid and b.is_valid and hasattr(a, "values")):
        return bool(a.is_valid == b.is_valid and (not a.is_valid or a.as_py() == b.as_py()))
    left, right = (np.asarray(one.values.to_numpy(zero_copy_only=False)) for one in (a, b))
    return left.dtype == right.dtype and left.tobytes() == right.tobytes()


def _unequal(table: Any, a: int, b: int, different: list[str]) -> str:
    by = [table.column(PROVENANCE)[at].as_py() for at in (a, b)]
    machines = f" (computed by {by[0]} and {by[1]}: pin one instruction set with isa=…)" if by[0] != by[1] else ""
    return f"two rows of id {table.column('id')[a].as_py()!r} differ in {', '.join(different)}{machines}: nothing is written"


def _errors(table: Any) -> list[tuple[str, str]]:
    rows = table.select(["id", "error"]).to_pylist()
    return [(row["id"], row["error"]) for row in rows if row["error"] is not None]


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _expected(path: str | None) -> list[str] | None:
    """Returns the ids of a text file with one per line, or of the column ``id`` of Parquet files."""
    if path is None:
        return None
    if os.path.isdir(path) or path.endswith(".parquet"):
        import pyarrow.parquet as pq

        tables = [pq.read_table(file, columns=["id"]) for file in _files(Path(path))]
        return [str(id) for table in tables for id in table.column("id").to_pylist()]
    return [line for line in Path(path).read_text("utf-8").splitlines() if line]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m heatlens.merge", description="Merges Parquet files of heatlens.ray and heatlens.spark.")
    parser.add_argument("inputs", nargs="+", help="Parquet files, or folders of them")
    parser.add_argument("--out", required=True, metavar="FILE", help="the Parquet file to write")
    parser.add_argument("--ids", metavar="FILE", help="the ids that are expected: one a line, or Parquet with a column id")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    given = parser.parse_args(arguments)
    try:
        merged = merge(given.inputs, given.out, _expected(given.ids), given.force)
    except (Error, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{merged.rows} rows in {given.out}; {merged.dropped} equal duplicates dropped; {len(merged.errors)} rows with an error")
    for id, reason in merged.errors[:NAMED]:
        print(f"  {id}: {reason}", file=sys.stderr)
    return 1 if merged.errors else 0


if __name__ == "__main__":
    sys.exit(main())
