"""Audits, training, and what other tools are given."""

import json
import os
import pickle
import subprocess
import sys

import heatlens as hl
import numpy as np
import pytest
from conftest import assert_ctrl_c_ends, heatlens, images
from heatlens._rows import Rows


def test_an_audit_is_that_of_the_command_line(grey, tmp_path):
    x, y = images(24, 1, seed=5)
    np.savez(tmp_path / "data.npz", X=x, y=y)
    words = ("--images", 6, "--method", "grad_cam,gradient,edges")
    done = heatlens("audit", grey, tmp_path / "data.npz", "--out", tmp_path / "cli", *words)
    assert done.returncode == 0, done.stderr
    expected = json.loads((tmp_path / "cli" / "audit.json").read_text())
    found = hl.open(grey).audit(x, y, method=["grad_cam", "gradient", "edges"], images=6, out=tmp_path / "out")
    assert found["methods"] == expected["methods"] and found.recommended == expected["recommended"]
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert found.title in repr(found) and "<table>" in found._repr_html_()
    named = hl.open(grey, labels=["no", "yes"]).audit(x, np.array(["no", "yes"])[y], method="grad_cam", images=4)
    assert named.title == found.title, "names stand for the same classes"
    for wrong, words in [((x, y[:5]), "one class for each"), ((x, ["maybe"] * 24), "no class 'maybe'")]:
        with pytest.raises(hl.Error, match=words):
            hl.open(grey).audit(*wrong)


def test_training_is_that_of_the_command_line(grey):
    x, y = images(60, 1)
    trained = hl.train(x, y, epochs=12)
    assert trained.model._bytes() == grey.read_bytes()
    assert trained.report["title"] in repr(trained)
    named = hl.train(x, y, class_names=["no", "yes"], epochs=1, recipe="keras-two-class", batch_size=16)
    assert named.model.class_names == ["no", "yes"]
    with pytest.raises(hl.Error, match='found "best"'):
        hl.train(x, y, recipe="best")
    with pytest.raises(hl.Error, match='no network "resnet"'):
        hl.train(x, y, arch="resnet")


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_ctrl_c_stops_training():
    x = "np.random.default_rng(0).random((400, 96, 96, 1), np.float32)"
    assert_ctrl_c_ends(f"hl.train({x}, np.arange(400) % 2, epochs=10000, patience=0)", seconds=60)


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_ctrl_c_ends_the_audit_of_one_image(grey, tmp_path):
    x, y = images(24, 1, seed=5)
    np.savez(tmp_path / "data.npz", X=x, y=y)
    audit = "hl.open(sys.argv[1]).audit(sys.argv[2], method='rise', images=2, set={'rise.masks': 5000000})"
    assert_ctrl_c_ends(audit, grey, tmp_path / "data.npz", seconds=10)


def test_a_file_that_explains_itself(grey, tmp_path):
    model = hl.open(grey)
    model.save_with_explanation(tmp_path / "python.onnx", "grad_cam", target=1)
    heatlens("convert", grey, tmp_path / "cli.onnx", "--with-explanation", "grad_cam", "--class", 1)
    assert (tmp_path / "python.onnx").read_bytes() == (tmp_path / "cli.onnx").read_bytes()
    with pytest.raises(hl.Error, match="no layer"):
        model.save_with_explanation(tmp_path / "x.onnx", layer="none")


def test_signed_maps_in_the_size_of_the_image(grey):
    explanation = hl.open(grey).explain(images(1, 1)[0][0], method="grad_cam")
    full = explanation.projected()
    assert full.shape == (32, 32)
    positive = np.maximum(full, 0)
    assert np.corrcoef(positive.ravel(), explanation.heat().ravel())[0, 1] > 0.99


def test_quantus_and_captum_shaped_calls(colour):
    from heatlens import interop

    x = (images(4, 3)[0].transpose(0, 3, 1, 2) / 255).astype(np.float32)
    model = hl.open(colour)
    function = pickle.loads(pickle.dumps(interop.quantus("grad_cam")))
    maps = function(model, x, np.array([0, 1, 2, 0]))
    assert maps.shape == (4, 1, 32, 32) and maps.min() < 0
    alone = model.explain(x[1:2], method="grad_cam", target=1, layout="nchw")[0]
    assert np.array_equal(maps[1, 0], alone.projected())
    assert function(model, x, 1).shape == (4, 1, 32, 32)
    assert interop.quantus("gradient")(model, x, None).shape == x.shape
    raw = interop.LayerGradCam(model).attribute(x, target=2)
    assert raw.ndim == 4 and raw.shape[:2] == (4, 1)
    assert (interop.LayerGradCam(model).attribute(x, target=2, relu_attributions=True) >= 0).all()
    assert (interop.Saliency(model).attribute(x, target=2) >= 0).all()
    with pytest.raises(hl.Error, match="3 targets for 4 images"):
        function(model, x, [0, 1, 2])


def test_a_target_for_each_image(colour):
    x, model = images(4, 3)[0], hl.open(colour)
    found = model.explain(x, method="grad_cam", target=[2, 0, 2, 1])
    assert [explanation.target() for explanation in found] == [2, 0, 2, 1]
    for image, explanation, target in zip(x, found, [2, 0, 2, 1]):
        alone = model.explain(image, method="grad_cam", target=target)
        assert alone.maps["grad_cam"].tobytes() == explanation.maps["grad_cam"].tobytes()
    assert [e.target() for e in model.explain(x, method="grad_cam", target=np.array([1, 1, 0, 2]))] == [1, 1, 0, 2]
    with pytest.raises(hl.Error, match="2 targets for 4 images"):
        model.explain(x, method="grad_cam", target=[0, 1])


def test_figures(grey):
    pytest.importorskip("matplotlib")
    found = hl.open(grey).explain(images(3, 1)[0], method=["grad_cam", "gradient"])
    assert len(found[0].plot().axes) == 3 and len(found.plot().axes) == 9


def test_a_heatmap_of_fiftyone(colour, tmp_path, monkeypatch):
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    fiftyone = pytest.importorskip("fiftyone")
    explanation = hl.open(colour).explain(images(1, 3)[0][0], method=["grad_cam", "gradient"])
    sample = fiftyone.Sample(filepath="image.png", heat=explanation.to_fiftyone("gradient"))
    found = fiftyone.Sample.from_dict(sample.to_dict())["heat"]
    assert found.range == [0, 1] and np.array_equal(found.map, explanation.heat("gradient"))


def test_pictures_for_tensorboard(colour):
    added = []

    class Writer:
        def add_image(self, tag, picture, step, dataformats):
            assert (picture.dtype, picture.ndim, dataformats, step) == (np.uint8, 3, "HWC", 7)
            added.append(tag)

    found = hl.open(colour).explain(images(2, 3)[0], method=["grad_cam", "gradient"])
    found[0].to_tensorboard(Writer(), 7)
    assert added == [f"heatlens/{found[0].name}/{title}" for title in ("image", "grad_cam", "gradient")]
    found.to_tensorboard(Writer(), 7)
    assert len(added) == 9 and len(set(added)) == 6, "those of an image do not replace those of another"


def test_a_row_in_is_a_row_out(grey, tmp_path):
    from io import BytesIO

    from PIL import Image

    x = images(3, 1)[0]
    file = BytesIO()
    Image.fromarray(x[0, ..., 0]).save(file, "PNG")
    rows = pickle.loads(pickle.dumps(Rows(grey.read_bytes(), ["grad_cam", "gradient"], threads=1)))
    values = [x[0], file.getvalue(), b"broken", np.zeros((5, 5, 2), np.float32), {"bytes": file.getvalue()}]
    found = list(rows.rows(values, ids=None))
    assert len(found) == 5 and [row["error"] is None for row in found] == [True, True, False, False, True]
    assert found[0]["map_grad_cam"] == found[1]["map_grad_cam"] and found[1] == found[4]
    alone = hl.open(grey).explain(x[0], method="grad_cam")
    assert found[0]["map_grad_cam"] == alone.maps["grad_cam"].ravel().tolist()
    assert found[0]["shape_grad_cam"] == list(alone.maps["grad_cam"].shape)
    assert "heatlens" in found[2]["computed_by"] and found[2]["input_sha256"] is None
    with pytest.raises(Exception, match="cannot identify"):
        Rows(grey.read_bytes(), on_error="raise").row(b"broken")
    hl.set_threads(None)


def test_the_instruction_set_is_pinned():
    program = "import heatlens as hl; hl.pin_instruction_set('portable'); print(hl.instruction_set())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "portable\n", done.stderr
    hl.pin_instruction_set(hl.instruction_set())
    with pytest.raises(hl.Error, match='found "sse9"'):
        hl.pin_instruction_set("sse9")
