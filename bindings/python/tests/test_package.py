import concurrent.futures
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time

import heatlens as hl
import numpy as np
import pytest
from conftest import SIDE, assert_ctrl_c_ends, heatlens, images
from PIL import Image

METHODS = ["grad_cam", "gradient", "rise"]


def by_command_line(model, x, folder, *words):
    np.save(folder / "x.npy", x)
    out = folder / "out"
    done = heatlens("explain", model, folder / "x.npy", "--out", out, *words)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "int64", "uint16", "bool"])
def test_maps_are_those_of_the_command_line(colour, tmp_path, kind):
    x = images(5, 3, seed=1)[0]
    x = x > 99 if kind == "bool" else x.astype(kind) * (200 if kind == "uint16" else 1)
    words = ("--method", ",".join(METHODS), "--set", "rise.masks=40", "--save", "npz")
    out = by_command_line(colour, x, tmp_path, *words)
    model = hl.open(colour)
    found = model.explain(x, method=METHODS, set={"rise.masks": 40})
    with np.load(out / "maps.npz") as expected:
        for name in METHODS:
            maps = np.stack([explanation.maps[name] for explanation in found])
            assert maps.dtype == np.float32 and maps.tobytes() == expected[name].tobytes(), name
        assert np.stack([e.logits for e in found]).tobytes() == expected["logits"].tobytes()
    found.save(tmp_path / "again", save=["npz", "png"])
    assert (tmp_path / "again" / "maps.npz").read_bytes() == (out / "maps.npz").read_bytes()


def test_pictures_are_those_of_the_command_line(grey, tmp_path):
    paths = []
    for number, image in enumerate(images(3, 3, seed=2)[0]):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image).resize((50, 40)).save(paths[-1])
    done = heatlens("explain", grey, *paths, "--out", tmp_path / "cli", "--save", "png,npz,heat")
    assert done.returncode == 0, done.stderr
    found = hl.open(grey).explain(paths)
    found.save(tmp_path / "python", save=["png", "npz", "heat"])
    files = [f.relative_to(tmp_path / "python") for f in (tmp_path / "python").rglob("*") if f.is_file()]
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "python" / file).read_bytes() == (tmp_path / "cli" / file).read_bytes(), file
    # The same pixels as PIL images and as arrays.
    pictures = [Image.open(path) for path in paths]
    for other in (hl.open(grey).explain(pictures), hl.open(grey).explain([np.asarray(p) for p in pictures])):
        for a, b in zip(found, other):
            assert a.maps["grad_cam"].tobytes() == b.maps["grad_cam"].tobytes()
            assert (a.overlay() == b.overlay()).all() and a.overlay().shape == (40, 50, 3)
    found[1].save(tmp_path / "one", save=["png"])
    assert {p.name for p in (tmp_path / "one").iterdir() if p.is_dir()} == {found[1].name}


def test_a_sigmoid_has_two_classes(grey):
    x, _ = images(6, 1, seed=3)
    model = hl.open(grey, labels=["left", "right"])
    assert model.class_names == ["left", "right"] and model.input_shape == (1, SIDE, SIDE)
    found = model.explain(x[..., 0], method="grad_cam", target="all")
    assert [len(e.probabilities) for e in found] == [2] * 6
    for explanation in found:
        left, right = explanation.maps.values()
        assert np.allclose(left, -right)
        assert explanation.predicted_name == model.class_names[explanation.predicted]
    one = model.explain(x[0], method="grad_cam", target="right")
    assert one.target() == 1 and (one.maps["grad_cam"] == found[0].maps[list(found[0].maps)[1]]).all()
    heat = one.heat("grad_cam")
    assert heat.shape == (SIDE, SIDE) and heat.dtype == np.float32
    other = model.explain(x[0], method="grad_cam", target="left", layer=model.layers[-1])
    for e in (one, other):
        assert (e.why_empty() is None) == (e.heat().max() > 0.5) and e.heat().max() <= 1.0
        assert e.overlay().dtype == np.uint8


def test_every_form_of_an_image(colour, grey):
    model = hl.open(colour)
    x = images(2, 3, seed=4)[0]
    wanted = [e.maps["grad_cam"].tobytes() for e in model.explain(x, method="grad_cam")]
    nchw = x.transpose(0, 3, 1, 2)
    for form in (list(x), nchw, np.asfortranarray(x), x[:, :, :].astype("int64")):
        assert [e.maps["grad_cam"].tobytes() for e in model.explain(form, method="grad_cam")] == wanted
    found = model.explain(nchw, method="grad_cam", layout="nchw")
    assert [e.maps["grad_cam"].tobytes() for e in found] == wanted
    for form in (x[0], nchw[0], Image.fromarray(x[0])):
        assert model.explain(form, method="grad_cam").maps["grad_cam"].tobytes() == wanted[0]
    single = hl.open(grey)
    g = images(3, 1, seed=5)[0]
    assert isinstance(single.explain(g[0, ..., 0]), hl.Explanation)
    assert isinstance(single.explain(g[0]), hl.Explanation)
    assert len(single.explain(g[:1])) == len(single.explain(g[:1, ..., 0])) == 1
    clear = Image.fromarray(np.dstack([x[0], np.zeros((SIDE, SIDE), np.uint8)]))
    assert not model.explain(clear).image.any()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 5, 7, 3)), "images of 5 × 7, but the model takes 32 × 32"),
        (np.zeros((2, SIDE, SIDE, 2)), "neither the second nor the last axis has the model's 3 channels"),
        (np.zeros(7), "expected images as"),
        (np.zeros((SIDE, SIDE, 3), complex), "found ndarray of complex128"),
        (np.array([["a"]]), "expected an image of integers or floats, found ndarray of <U1"),
        (np.full((SIDE, SIDE, 3), np.nan), "NaN"),
        (object(), "or a list of one of these, found object"),
        (None, "or a list of one of these, found NoneType"),
        ([], "no image"),
        ("/no/such.png", "/no/such.png"),
    ],
)
def test_wrong_images(colour, x, words):
    with pytest.raises(hl.Error) as told:
        hl.open(colour).explain(x)
    assert words in str(told.value)


def test_errors_are_those_of_the_command_line(colour, tmp_path):
    x = images(1, 3)[0]
    np.save(tmp_path / "x.npy", x)
    model = hl.open(colour)
    for flag, value in [
        ("method", "grad_can"),
        ("layer", "nowhere"),
        ("target", "cow"),
        ("set", "rise.mask=3"),
    ]:
        name = "class" if flag == "target" else flag
        done = heatlens("explain", colour, tmp_path / "x.npy", "--out", tmp_path / "o", f"--{name}", value)
        with pytest.raises(hl.Error) as told:
            model.explain(x, **{flag: value})
        assert done.returncode and str(told.value) in done.stderr, (flag, str(told.value), done.stderr)
    with pytest.raises(hl.Error, match="expected logit or probability, found"):
        model.explain(x, score="loss")
    (tmp_path / "no.onnx").write_bytes(b"no model")
    done = heatlens("inspect", tmp_path / "no.onnx")
    with pytest.raises(hl.Error) as told:
        hl.open(tmp_path / "no.onnx")
    assert str(told.value) in done.stderr
    with pytest.raises(hl.Error) as told:
        hl.open(b"no model")
    assert str(told.value).startswith("model: ")
    for wrong in (3, None, object()):
        with pytest.raises(hl.Error):
            hl.open(wrong)
    with pytest.raises(hl.Error, match="preset"):
        hl.open(colour, preset="imagnet")


def test_a_model_travels(colour, tmp_path):
    x = images(2, 3)[0]
    model = hl.open(colour, labels=["a", "b", "c"], preset="tf")
    wanted = model.explain(x, method="grad_cam")[1].maps["grad_cam"]
    copy = pickle.loads(pickle.dumps(model))
    assert copy.class_names == ["a", "b", "c"] and copy.notes == model.notes
    assert copy.explain(x, method="grad_cam")[1].maps["grad_cam"].tobytes() == wanted.tobytes()
    moved = tmp_path / "model.onnx"
    moved.write_bytes(colour.read_bytes())
    model = hl.open(moved)
    os.utime(moved, (1, 1))
    with pytest.raises(hl.Error, match="has changed"):
        pickle.dumps(model)


def maps_of(model):
    return model.explain(images(8, 3)[0], method="grad_cam")[7].maps["grad_cam"].tobytes()


def test_threads(colour):
    model = hl.open(colour)
    wanted = maps_of(model)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: maps_of(model), range(40))) == {wanted}


def test_other_threads_go_on(colour):
    model = hl.open(colour)
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    model.explain(images(1, 3)[0], method="rise", set={"rise.masks": 8000})
    spent = time.monotonic() - start
    done.set()
    thread.join()
    assert max(np.diff(ticks), default=spent) < max(spent / 2, 0.05)


@pytest.mark.parametrize("threads", [1, 2, None])
def test_one_image_is_explained_as_among_others(colour, threads):
    model, x = hl.open(colour), images(4, 3, seed=2)[0]
    hl.set_threads(threads)
    try:
        among, scores = model.explain(x, "grad_cam"), model.predict(x)
        for image, wanted, score in zip(x, among, scores):
            found = model.explain(image, "grad_cam")
            assert found.maps["grad_cam"].tobytes() == wanted.maps["grad_cam"].tobytes()
            assert found.logits.tobytes() == wanted.logits.tobytes() == model.predict(image).logits.tobytes()
            assert found.logits.tobytes() == score.logits.tobytes()
    finally:
        hl.set_threads(None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are read from /proc")
def test_only_the_package_s_own_threads_compute(colour):
    """A pool that is shared with the rest of the process would not survive a fork."""
    code = """
import os, sys, numpy as np, heatlens as hl
threads = lambda: {task: open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")}
hl.set_threads(3)
model, x = hl.open(sys.argv[1]), np.zeros((5, 32, 32, 3), np.uint8)
before = threads()
for given in (x[0], x):
    model.explain(given, "grad_cam"), model.explain(given, "smoothgrad"), model.predict(given)
print([name.strip() for task, name in threads().items() if task not in before])
"""
    done = subprocess.run([sys.executable, "-c", code, colour], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"  # those of the package are there since the model was opened


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_after_use(colour):
    model = hl.open(colour)
    wanted = maps_of(model)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(maps_of, [model] * 4).get(60) == [wanted] * 4
    assert maps_of(model) == wanted


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_stays_flat_over_ten_thousand_calls(grey):
    model, image = hl.open(grey), images(1, 1)[0][0]
    resident = {}
    for call in range(10_001):
        explanation = model.explain(image, "grad_cam", target=call % 2)
        explanation.maps["grad_cam"], explanation.heat(), explanation.overlay(), model.predict(image).logits
        if call in (1_000, 10_000):
            pages = int(open("/proc/self/statm").read().split()[1])
            resident[call] = pages * os.sysconf("SC_PAGE_SIZE")
    assert resident[10_000] - resident[1_000] < 4 << 20, resident


def test_nothing_is_printed(colour, capfd):
    model = hl.open(colour)
    explanation = model.explain(images(1, 3)[0], method=METHODS)[0]
    repr(model), repr(explanation), explanation._repr_html_(), explanation.notes
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
@pytest.mark.parametrize(("n", "masks"), [(20_000, 100), (1, 5_000_000)], ids=["between images", "within an image"])
def test_ctrl_c_ends_explanations(colour, n, masks):
    x = f"np.zeros(({n}, {SIDE}, {SIDE}, 3), 'uint8')"
    explain = f"hl.open(sys.argv[1]).explain({x}, method='rise', set={{'rise.masks': {masks}}})"
    assert_ctrl_c_ends(explain, colour, seconds=10)


def test_a_notebook_shows_it(colour):
    model = hl.open(colour, labels=["<b>", "b", "c"])
    explanation = model.explain(images(1, 3)[0], method=["grad_cam", "guided_backprop"], target="<b>")[0]
    html = explanation._repr_html_()
    assert html.count("data:image/png;base64,") == 4, "original, map, overlay, pixel map"
    assert html.count("<b>") == 1 and "&lt;b&gt;" in html, "only the one of the heading"
    assert "<script" not in html


def test_modules_are_imported_when_they_are_used():
    program = (
        "import heatlens as hl, sys\n"
        "own = {f'heatlens.{name}' for name in ('interop', 'merge', 'ray', 'spark')}\n"
        "assert not own & set(sys.modules)\n"
        "print(hl.interop.quantus.__name__, hl.spark.explain.__name__, hl.ray.Explain.__name__, hl.merge.merge.__name__)\n"
        "assert own <= set(sys.modules) and {'interop', 'open'} <= set(dir(hl)) and not hasattr(hl, 'nothing')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "quantus explain Explain merge\n", done.stderr


def test_methods_and_defaults(colour):
    assert len(hl.methods()) > 40 and "grad_cam" in hl.methods()
    explanation = hl.open(colour).explain(images(1, 3)[0])[0]
    assert len(explanation.maps) > 1
    with pytest.raises(hl.Error, match="there is no map of cam2, only of"):
        explanation.heat("cam2")
    a, b = (hl.open(colour).explain(images(1, 3)[0], method="rise", seed=s)[0].maps["rise"] for s in (0, 1))
    assert (a != b).any()
