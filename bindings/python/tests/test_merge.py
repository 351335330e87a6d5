"""Merging the Parquet files of a job."""

import subprocess
import sys

import heatlens as hl
import numpy as np
import pytest
from conftest import images

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from heatlens import merge  # noqa: E402
from heatlens._rows import Rows  # noqa: E402

COUNT = 12


@pytest.fixture(scope="module")
def table(grey):
    """Eleven explained images and a broken one."""
    rows = Rows(grey.read_bytes(), ["grad_cam"], threads=1)
    values = [*images(COUNT - 1, 1)[0], b"broken"]
    found = list(rows.rows(values, [f"{at:02}" for at in range(COUNT)]))
    hl.set_threads(None)
    return pa.Table.from_pylist(found, schema=rows.schema())


def write(folder, *tables):
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    for number, part in enumerate(tables):
        pq.write_table(part, folder / f"part-{number}.parquet", row_group_size=5)
    return folder


def changed(table, at, **columns):
    """A row of the table with other values."""
    row = {**table.slice(at, 1).to_pylist()[0], **columns}
    return pa.Table.from_pylist([row], schema=table.schema)


def test_equal_rows_are_dropped(table, tmp_path):
    twice = write(tmp_path / "twice", table.slice(5), table.take([7, 0, 11, 3]), table.slice(0, 8))
    ids = [f"{at:02}" for at in range(COUNT)]
    merged = merge.merge(twice, tmp_path / "merged.parquet", ids)
    assert (merged.rows, merged.dropped) == (COUNT, 7) and [id for id, _ in merged.errors] == ["11"]
    found = pq.read_table(tmp_path / "merged.parquet")
    assert found.equals(table), "sorted by id, each row as it was"
    once = write(tmp_path / "once", table.take(np.random.default_rng(0).permutation(COUNT)))
    merge.merge([once], tmp_path / "other.parquet")
    assert (tmp_path / "other.parquet").read_bytes() == (tmp_path / "merged.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged.parquet", "once", "other.parquet", "twice"]


def test_who_computed_a_row_does_not_count(table, tmp_path):
    other = changed(table, 3, computed_by="heatlens 0.0.1, portable")
    for number, order in enumerate([(table, other), (other, table)]):
        folder = write(tmp_path / f"{number}", *order)
        assert merge.merge(folder, tmp_path / f"{number}.parquet").dropped == 1
    first, second = ((tmp_path / f"{number}.parquet").read_bytes() for number in range(2))
    assert first == second


def test_rows_that_differ_stop_the_merge(table, tmp_path):
    values = np.float32(table.column("map_grad_cam")[4].as_py())
    values[3] = np.nextafter(values[3], np.float32(9))
    wrong = {
        "map_grad_cam": changed(table, 4, map_grad_cam=values.tolist()),
        "error": changed(table, 4, error="OSError: lost"),
        "input_sha256": changed(table, 4, input_sha256="0" * 64),
        "map_grad_cam, shape_grad_cam": changed(table, 4, map_grad_cam=None, shape_grad_cam=None),
    }
    for number, (columns, row) in enumerate(wrong.items()):
        folder = write(tmp_path / f"{number}", table, row)
        with pytest.raises(hl.Error, match=f"two rows of id '04' differ in {columns}.*nothing is written"):
            merge.merge(folder, tmp_path / "out.parquet")
    row = changed(table, 4, map_grad_cam=values.tolist(), computed_by="heatlens 0.1.0, portable")
    with pytest.raises(hl.Error, match="computed by heatlens .* and heatlens .*pin one instruction set"):
        merge.merge(write(tmp_path / "machines", table, row), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists() and not list(tmp_path.glob(".*"))


def test_not_a_number_is_equal_to_itself(table, tmp_path):
    row = changed(table, 2, map_grad_cam=[float("nan"), 1.0])
    folder = write(tmp_path / "in", table.slice(3), row, row)
    assert merge.merge(folder, tmp_path / "out.parquet").dropped == 1


def test_ids_that_are_missing(table, tmp_path):
    folder = write(tmp_path / "in", table.slice(2))
    with pytest.raises(hl.Error, match="2 of 12 ids are missing: 00, 01;"):
        merge.merge(folder, tmp_path / "out.parquet", [f"{at:02}" for at in range(COUNT)])
    with pytest.raises(hl.Error, match="1 ids were not expected: 02"):
        merge.merge(folder, tmp_path / "out.parquet", [f"{at:02}" for at in range(3, COUNT)])
    nameless = write(tmp_path / "nameless", table, changed(table, 11, id=None))
    with pytest.raises(hl.Error, match="1 rows have no id, the first one with 'UnidentifiedImageError.*name the column"):
        merge.merge(nameless, tmp_path / "out.parquet")


def test_rows_of_two_jobs(table, tmp_path):
    for column, what in [("model_sha256", "models"), ("options_sha256", "options")]:
        folder = write(tmp_path / what, table.slice(0, 6), changed(table, 8, **{column: "0" * 64}))
        with pytest.raises(hl.Error, match=f"the rows come from 2 {what}"):
            merge.merge(folder, tmp_path / "out.parquet")
    methods = write(tmp_path / "methods", table, table.drop_columns(["map_grad_cam"]))
    with pytest.raises(hl.Error, match="the rows come from different methods"):
        merge.merge(methods, tmp_path / "out.parquet")
    with pytest.raises(hl.Error, match="there is no column 'error'"):
        merge.merge(write(tmp_path / "ids", table.select(["id"])), tmp_path / "out.parquet")
    with pytest.raises(hl.Error, match="holds no Parquet files"):
        merge.merge(write(tmp_path / "empty"), tmp_path / "out.parquet")


def test_many_rows_pass_through_little_by_little(table, tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "TOGETHER", 2)
    folder = write(tmp_path / "in", table, table, table, table.slice(0, 7))
    assert merge.merge(folder, tmp_path / "out.parquet").dropped == 31
    assert pq.read_table(tmp_path / "out.parquet").equals(table)


def test_the_command(table, tmp_path):
    def run(*words):
        done = subprocess.run([sys.executable, "-m", "heatlens.merge", *map(str, words)], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    folder, out = write(tmp_path / "in", table, table.slice(0, 4)), tmp_path / "out.parquet"
    (tmp_path / "ids").write_text("".join(f"{at:02}\n" for at in range(COUNT)))
    code, said, errors = run(folder, "--out", out, "--ids", tmp_path / "ids")
    assert code == 1 and said == f"12 rows in {out}; 4 equal duplicates dropped; 1 rows with an error\n"
    assert errors.startswith("  11: UnidentifiedImageError")
    assert run(folder, "--out", out)[0] == 2, "it exists"
    assert run(folder, "--out", out, "--force", "--ids", folder)[0] == 1
    code, said, errors = run(folder, tmp_path / "none", "--out", out, "--force")
    assert (code, said) == (2, "") and errors == f"error: {tmp_path / 'none'}: there is no file or folder of this name\n"
    good = write(tmp_path / "good", table.slice(0, 11))
    assert run(good, "--out", tmp_path / "good.parquet")[0] == 0
