"""Images for the checks of this folder, and the expected results."""

import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from heatlens.merge import merge


def data(folder, shape, rows):
    """Encoded image files, the last of which is broken."""
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


def check(found, rows, program, model, folder):
    """Checks that every id appears once, every map is bit-identical to that of the command line, and the broken image gives
    an error in its row."""
    ids = [row["id"] for row in found]
    merged = merge([folder / "out", folder / "out"], folder / "merged.parquet", ids)
    assert (merged.rows, merged.dropped) == (rows + 1, rows + 1), merged
    assert pq.read_table(folder / "merged.parquet").to_pylist() == sorted(found, key=lambda row: row["id"])
    assert sorted(ids) == [f"{at:06}" for at in range(rows + 1)], f"{len(ids)} rows, {len(set(ids))} ids"
    assert [row["id"] for row in found if row["error"]] == [f"{rows:06}"]
    words = ["--quiet", "--method", "grad_cam", "--save", "npz"]
    subprocess.run([program, "explain", *words, model, folder / "images", "--out", folder / "cli"], check=True)
    maps = np.load(folder / "cli/maps.npz")["grad_cam"]
    for row in found:
        if not row["error"]:
            own = np.array(row["map_grad_cam"], np.float32).reshape(row["shape_grad_cam"])
            assert own.tobytes() == maps[int(row["id"])].tobytes(), row["id"]
    print("every id once, every map as the command line has it, the broken image an error in its row; merged with itself it is the same")
