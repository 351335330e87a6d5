"""Boxes, pixels, labels, embeddings and further inputs: each as the command line explains it."""

import json
import pickle
from pathlib import Path

import heatlens as hl
import numpy as np
import pytest
from conftest import heatlens, images
from heatlens._rows import Rows
from PIL import Image

DENSE = Path(__file__).resolve().parents[3] / "crates/heatlens/tests/golden/dense"
DETECTOR, UNET = DENSE / "detector.onnx", DENSE / "unet.onnx"
OUTLINE = (0, 200, 255)


def scenes():
    return np.load(DENSE / "input.npy")


def by_command_line(model, x, folder, *words):
    """The maps, and the lines of the manifest."""
    folder.mkdir()
    np.save(folder / "x.npy", x)
    done = heatlens("explain", model, folder / "x.npy", "--out", folder / "out", "--save", "npz,png", *words)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out" / "maps.npz") as file:
        maps = {name: file[name] for name in file.files}
    return maps, [json.loads(line) for line in (folder / "out" / "manifest.jsonl").read_text().splitlines()]


def test_every_detection_is_a_row(tmp_path):
    x = scenes()
    x[1] = 0.3  # nothing is in it
    maps, lines = by_command_line(DETECTOR, x, tmp_path / "all", "--detection", "all", "--method", "hires_cam,grad_cam")
    found = hl.open(DETECTOR).explain(x, method=["hires_cam", "grad_cam"], detection="all")
    assert found.image_index == [0, 0, 2, 2, 3, 3] and [e.rank for e in found] == [1, 2] * 3
    for e in found:
        assert list(e.maps) == ["hires_cam", "grad_cam"]
        line = {m["method"]: m for m in lines[e.image_index]["maps"][2 * e.rank - 2 : 2 * e.rank]}
        for name, values in e.maps.items():
            assert values.tobytes() == maps[f"{name}#{e.rank}"][e.image_index].tobytes()
            assert (e.heat(name) == e.heat(f"{name}#{e.rank}")).all()
            assert np.float32(line[name]["box"]).tolist() == list(e.focus(name).input_box)
        assert line["hires_cam"]["target"] == ["ring", "cross"][e.target()]
        assert f"box {e.rank}" in repr(e) and f"box {e.rank}" in e._repr_html_()
    hl.Explanations(found[:3]).save(tmp_path / "saved", save=["png", "npz"])
    saved = np.load(tmp_path / "saved" / "maps.npz")
    assert saved["hires_cam#2"].tobytes() == maps["hires_cam#2"][[0, 2]].tobytes(), "each image once"
    alone = hl.open(DETECTOR).explain(x[0], detection="all")
    assert isinstance(alone, hl.Explanations) and alone.image_index == [0, 0]
    assert hl.open(DETECTOR).explain(x[1:2], detection="all") == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--detection", "2"], {"detection": 2}),
        (["--detection", "best"], {"detection": "best"}),
        (["--detection", "cross"], {"detection": "cross"}),
        (["--detection", "cross", "--region", "top"], {"detection": "cross", "region": "top"}),
        (["--class", "ring", "--region", "left"], {"target": "ring", "region": "left"}),
        (["--class", "1"], {"target": 1}),
        ([], {}),
    ],
)
def test_a_detection_of_each_image(tmp_path, flags, words):
    maps, lines = by_command_line(DETECTOR, scenes(), tmp_path / "cli", "--method", "hires_cam", *flags)
    found = hl.open(DETECTOR).explain(scenes(), method="hires_cam", **words)
    assert np.stack([e.maps["hires_cam"] for e in found]).tobytes() == maps["hires_cam"].tobytes()
    assert [e.rank for e in found] == [None] * 4
    for e, line in zip(found, lines):
        assert np.float32(line["maps"][0]["box"]).tolist() == list(e.focus().input_box)
    found.save(tmp_path / "python", save=["png"])
    for picture in (tmp_path / "python").rglob("*.png"):
        assert picture.read_bytes() == (tmp_path / "cli/out" / picture.relative_to(tmp_path / "python")).read_bytes()


def test_what_is_explained_is_outlined():
    image = Image.fromarray((scenes()[0, 0] * 255).clip(0, 255).astype(np.uint8)).resize((80, 60))
    e = hl.open(DETECTOR).explain(image, method="hires_cam", detection=1)
    left, top, right, bottom = e.focus().box
    sides = e.focus().input_box
    assert np.allclose([left / 2, top / 1.5, right / 2, bottom / 1.5], sides, atol=1e-3)
    mask = e.focus().mask
    assert mask.shape == (60, 80) and abs(mask.sum() - (right - left) * (bottom - top)) < 2 * (right - left + bottom - top)
    assert e.focus().pixels is None and repr(e.focus()).startswith("<Focus: box from")
    outline = (e.overlay() == OUTLINE).all(-1)
    inner = mask & np.roll(mask, 2, 0) & np.roll(mask, -2, 0) & np.roll(mask, 2, 1) & np.roll(mask, -2, 1)
    assert (outline & mask).sum() > right - left and not (outline & inner).any()
    pixels = hl.open(UNET).explain(scenes()[0, 0], method="hires_cam", target=2).focus()
    assert pixels.box is None and pixels.input_box is None and (pixels.pixels == pixels.mask).all()
    assert f"{pixels.mask.sum()} of 40 × 40 pixels" in repr(pixels)


def test_the_outline_lies_in_the_overlay_and_not_in_the_map():
    e = hl.open(UNET).explain(scenes()[0, 0], method="hires_cam", target=2)
    assert (e.overlay() == OUTLINE).all(-1).any() and not (e.picture() == OUTLINE).all(-1).any()


def test_classes_above_a_probability(colour, tmp_path):
    x = images(5, 3, seed=8)[0]
    model = hl.open(colour)
    p = model.explain(x, method="grad_cam")
    least = float(np.sort(np.concatenate([e.probabilities for e in p]))[-7])
    maps, _ = by_command_line(colour, x, tmp_path / "cli", "--class", f"above:{least}", "--method", "grad_cam,gradient")
    for target in ({"above": least}, f"above:{least}"):
        found = model.explain(x, method=["grad_cam", "gradient"], target=target)
        expected = [(i, k) for i, e in enumerate(p) for k in range(3) if e.probabilities[k] > least]
        assert [(e.image_index, e.target()) for e in found] == expected and len(expected) == 6
        for e in found:
            for name in ("grad_cam", "gradient"):
                assert e.maps[name].tobytes() == maps[f"{name}#{model.class_names[e.target()]}"][e.image_index].tobytes()
    labels = hl.open(network(tmp_path / "labels.onnx", 5), head="multi-label")
    one = labels.explain(images(1, 3)[0][0, :16, :16], target={"above": 0.3})
    assert isinstance(one, hl.Explanations) and set(one.image_index) <= {0}
    assert [e.target() for e in one] == [k for k in range(5) if one[0].probabilities[k] > 0.3]
    for wrong, words in [
        ({"above": 0.99999999}, "no class is above"),
        ({"below": 0.5}, "'above': 0.5"),
        ({"above": "x"}, "above: and a probability"),
        ([0, {"above": 0.5}, 1, 2, 0], "one class each"),
        (["all"] * 5, "one class each"),
    ]:
        with pytest.raises(hl.Error, match=words):
            model.explain(x, target=wrong)


def test_another_image_has_other_classes(colour):
    x, model = images(6, 3, seed=9)[0], hl.open(colour)
    alone = [model.explain(image, method="grad_cam", target={"above": 0.3}) for image in x]
    together = model.explain(x, method="grad_cam", target={"above": 0.3})
    rows = [(e.target(), e.maps["grad_cam"].tobytes()) for found in alone for e in found]
    assert rows == [(e.target(), e.maps["grad_cam"].tobytes()) for e in together]


def test_pixels_of_a_segmentation(tmp_path):
    x, model = scenes(), hl.open(UNET)
    inside = np.zeros((80, 80), bool)
    inside[20:50, 30:60] = True
    Image.fromarray(inside).save(tmp_path / "mask.png")
    grey = inside * np.uint8(200)
    cases = [
        (["--region", "at:20,12"], [(20, 12), "at:20,12", np.array([20, 12])]),
        (["--region", "predicted"], ["predicted", None]),
        (["--region", tmp_path / "mask.png"], [tmp_path / "mask.png", inside, grey, inside.astype(float), inside[None].astype(int)]),
    ]
    seen = set()
    for number, (flags, forms) in enumerate(cases):
        words = ["--method", "grad_cam", "--class", "1", *flags]
        maps, _ = by_command_line(UNET, x, tmp_path / f"{number}", *words)
        for form in forms:
            found = model.explain(x, method="grad_cam", target=1, region=form)
            assert np.stack([e.maps["grad_cam"] for e in found]).tobytes() == maps["grad_cam"].tobytes()
        seen.add(maps["grad_cam"].tobytes())
    assert len(seen) == 3
    own = hl.open(UNET, region=tmp_path / "mask.png")
    (tmp_path / "mask.png").unlink()
    own = pickle.loads(pickle.dumps(own))
    assert own.explain(x, "grad_cam", target=1)[0].maps["grad_cam"].tobytes() == maps["grad_cam"][0].tobytes()
    back = own.explain(x, "grad_cam", target=1, region="predicted")[0].maps["grad_cam"]
    assert back.tobytes() == model.explain(x, "grad_cam", target=1)[0].maps["grad_cam"].tobytes()


def test_a_mask_that_changes_is_read_again(tmp_path):
    model, x, file = hl.open(UNET), scenes()[:1], tmp_path / "mask.png"
    found = []
    for rows in (slice(0, 10), slice(20, 31)):
        inside = np.zeros((40, 40), bool)
        inside[rows] = True
        Image.fromarray(inside).save(file)
        found.append(model.explain(x, "grad_cam", target=1, region=file)[0].focus().pixels)
        assert (found[-1] == inside).all()
    assert (found[0] != found[1]).any()


def network(path, outputs, second=False):
    """Images of 16×16 in colour, and with `second` two further numbers that are added to the scores."""
    onnx = pytest.importorskip("onnx")
    random = np.random.default_rng(0)

    def array(name, *shape):
        return onnx.numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    arrays = [array("kernels", 8, 3, 3, 3), array("weights", 8, outputs)]
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["image", "kernels"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("MatMul", ["f", "weights"], ["scores"]),
    ]
    value = onnx.helper.make_tensor_value_info
    inputs, last = [value("image", 1, ["n", 3, 16, 16])], "scores"
    if second:
        inputs.append(value("age", 1, ["n", 2]))
        arrays.append(array("table", 2, outputs))
        nodes += [node("MatMul", ["age", "table"], ["t"]), node("Mul", ["scores", "t"], ["both"])]
        last = "both"
    graph = onnx.helper.make_graph(nodes, "net", inputs, [value(last, 1, ["n", outputs])], arrays)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_embeddings_are_compared(tmp_path):
    net = network(tmp_path / "net.onnx", 80)
    x = np.random.default_rng(1).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    Image.fromarray(x[0]).save(tmp_path / "reference.png")
    np.save(tmp_path / "reference.npy", np.arange(80, dtype=np.float32))
    by_image, _ = by_command_line(net, x, tmp_path / "i", "--method", "grad_cam", "--reference", tmp_path / "reference.png")
    by_array, _ = by_command_line(net, x, tmp_path / "a", "--method", "grad_cam", "--reference", tmp_path / "reference.npy")
    assert (by_image["grad_cam"] != by_array["grad_cam"]).any()
    model = hl.open(net, head="similarity")
    assert model.head == "similarity"
    image = [tmp_path / "reference.png", x[0], x[:1], Image.open(tmp_path / "reference.png")]
    embedding = [tmp_path / "reference.npy", np.arange(80), list(range(80))]
    for forms, expected in [(image, by_image), (embedding, by_array)]:
        for form in forms:
            for opened, words in [(model, {"reference": form}), (hl.open(net, reference=form), {})]:
                found = opened.explain(x, "grad_cam", **words)
                assert np.stack([e.maps["grad_cam"] for e in found]).tobytes() == expected["grad_cam"].tobytes()
                assert np.stack([e.logits for e in found]).tobytes() == expected["logits"].tobytes()
    own = hl.open(net, reference=tmp_path / "reference.png")
    (tmp_path / "reference.png").unlink()
    copy = pickle.loads(pickle.dumps(own))
    assert copy.explain(x, "grad_cam")[1].maps["grad_cam"].tobytes() == by_image["grad_cam"][1].tobytes()
    other = own.explain(x, "grad_cam", reference=tmp_path / "reference.npy")[1].maps["grad_cam"]
    assert other.tobytes() == by_array["grad_cam"][1].tobytes(), "the one of the call counts"
    for words, said in [
        ({}, "needs a reference"),
        ({"reference": np.arange(7)}, "expected a reference of 80 numbers, found 7"),
        ({"reference": x}, "one image or one embedding, found 3"),
        ({"reference": tmp_path / "none.png"}, "there is no file"),
    ]:
        with pytest.raises(hl.Error, match=said):
            model.explain(x, **words)
    with pytest.raises(hl.Error, match="only --head similarity"):
        hl.open(UNET).explain(scenes(), reference=np.arange(3))


def test_further_inputs_are_fed(tmp_path):
    net = network(tmp_path / "net.onnx", 3, second=True)
    x = np.random.default_rng(1).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    age = np.array([1.5, -2.0])
    np.save(tmp_path / "age.npy", age)
    maps, _ = by_command_line(net, x, tmp_path / "cli", "--method", "grad_cam", "--feed", f"age={tmp_path / 'age.npy'}")
    for value in (age, age.astype(np.float32)[None], tmp_path / "age.npy"):
        model = hl.open(net, feed={"age": value})
        found = model.explain(x, "grad_cam")
        assert np.stack([e.maps["grad_cam"] for e in found]).tobytes() == maps["grad_cam"].tobytes()
    (tmp_path / "age.npy").unlink()
    copy = pickle.loads(pickle.dumps(model))
    assert copy.explain(x, "grad_cam")[0].maps["grad_cam"].tobytes() == maps["grad_cam"][0].tobytes()
    for feed, said in [
        (None, "depend on more than the image"),
        ({"old": age}, 'no input "old"'),
        ({"age": np.arange(3)}, r"expected an array of shape \[1, 2\], found \[3\]"),
    ]:
        with pytest.raises(hl.Error, match=said) as told:
            hl.open(net, feed=feed)
        assert "/feed-" not in str(told.value)


def test_errors_are_those_of_the_command_line(tmp_path):
    np.save(tmp_path / "x.npy", scenes())
    for number, (model, words) in enumerate(
        [
            (DETECTOR, {"detection": 0}),
            (DETECTOR, {"detection": "dog"}),
            (DETECTOR, {"detection": "1", "target": "ring"}),
            (DETECTOR, {"region": "at:1,1"}),
            (UNET, {"detection": "all"}),
            (UNET, {"region": "at:40,1"}),
            (UNET, {"region": "at:x"}),
            (UNET, {"region": "nothing.png"}),
            (UNET, {"region": "left"}),
            (UNET, {"target": "above:2"}),
        ]
    ):
        flags = [flag for name, value in words.items() for flag in ("--class" if name == "target" else f"--{name}", value)]
        done = heatlens("explain", model, tmp_path / "x.npy", "--out", tmp_path / str(number), *flags)
        with pytest.raises(hl.Error) as told:
            hl.open(model).explain(scenes(), **words)
        assert done.returncode and str(told.value) in done.stderr, (words, str(told.value), done.stderr)
    model = hl.open(UNET)
    for region, said in [
        (np.zeros((5, 5), bool), "the mask covers no pixel"),
        (np.full((5, 5), 7), "expected a mask of true and false, found int64 up to 7"),
        (np.zeros(3), "found shape"),
    ]:
        with pytest.raises(hl.Error, match=said):
            model.explain(scenes(), region=region)
    with pytest.raises(hl.Error, match="give an array to explain"):
        hl.open(UNET, region=np.ones((4, 4), bool))
    with pytest.raises(hl.Error, match="expected best, all, a rank or a class"):
        hl.open(DETECTOR).explain(scenes(), detection=[1, 2])
    with pytest.raises(hl.Error, match="either --detection or --class"):
        hl.open(DETECTOR).explain(scenes(), detection=1, target=[0, 1, 0, 1])


def test_a_row_of_a_table_has_one_explanation():
    rows = Rows(str(DETECTOR), "hires_cam", detection=1)
    assert rows.row(scenes()[0, 0])["error"] is None
    for words in ({"detection": "all"}, {"target": "all"}, {"target": {"above": 0.5}}, {"target": [1, 2]}):
        with pytest.raises(hl.Error, match="one row in is one row out"):
            Rows(str(DETECTOR), "hires_cam", **words)
    masks = np.zeros((2, 300, 300), bool)
    masks[0, 150, 150] = True  # NumPy leaves it out of the text
    hashes = {Rows(str(UNET), "grad_cam", region=mask).options_sha256 for mask in masks}
    assert len(hashes) == 2
