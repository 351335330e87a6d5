"""Predictions without explanations, as the command line gives them."""

import json
import os

import heatlens as hl
import numpy as np
import pytest
from conftest import assert_ctrl_c_ends, heatlens, images
from PIL import Image
from test_targets import DETECTOR, UNET, scenes


def by_command_line(model, *words):
    done = heatlens("predict", model, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_classes_are_those_of_the_command_line(colour, grey, tmp_path):
    for file, channels in ((colour, 3), (grey, 1)):
        x, model = images(4, channels, seed=3)[0], hl.open(file)
        np.save(tmp_path / "x.npy", x)
        rows = by_command_line(file, tmp_path / "x.npy")["images"]
        found = model.predict(x)
        assert len(found) == len(rows) == 4
        for one, row, e in zip(found, rows, model.explain(x, "grad_cam")):
            assert isinstance(one, hl.Prediction)
            assert one.logits.tobytes() == e.logits.tobytes() == np.float32(row["logits"]).tobytes()
            assert one.probabilities.tolist() == e.probabilities.tolist() == row["probabilities"]
            assert repr(one) == f"<Prediction: {one.predicted_name} ({one.probabilities.max():.3f})>"
            assert (one.predicted, one.predicted_name) == (row["predicted_class"], row["predicted"]) == (e.predicted, e.predicted_name)
        assert isinstance(model.predict(x[0]), hl.Prediction)


def test_boxes_are_those_of_the_command_line(tmp_path):
    x = scenes()
    x[1] = 0.3  # nothing is in it
    pictures = [Image.fromarray((scene * 255).clip(0, 255).astype(np.uint8)).resize((80, 60)) for scene in x[:, 0]]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    coco = by_command_line(DETECTOR, *(tmp_path / f"{number}.png" for number in range(4)))
    model = hl.open(DETECTOR)
    found = model.predict(pictures)
    assert [len(one) for one in found] == [2, 0, 2, 2]
    for number, one in enumerate(found):
        rows = [row for row in coco["annotations"] if row["image_id"] == number + 1]
        x0, y0, x1, y1 = one.boxes.T
        assert isinstance(one, hl.Detections) and one.boxes.shape == (len(rows), 4)
        assert np.array([x0, y0, x1 - x0, y1 - y0]).T.tolist() == [row["bbox"] for row in rows]
        assert one.scores.tolist() == [row["score"] for row in rows]
        assert (one.labels + 1).tolist() == [row["category_id"] for row in rows]
        assert one.label_names == [["ring", "cross"][label] for label in one.labels]
        for e in model.explain(pictures[number], "hires_cam", detection="all"):
            assert np.allclose(one.boxes[e.rank - 1], e.focus().box, atol=1e-3) and one.labels[e.rank - 1] == e.target()
    assert repr(found[0]).startswith(f"<Detections: 2: {found[0].label_names[0]} (") and repr(found[1]) == "<Detections: 0>"
    assert len(model.predict(pictures[0])) == 2


def test_what_cannot_be_predicted(colour, tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(hl.Error, match="a.png"):
        hl.open(colour).predict(tmp_path / "a.png")
    for file in (DETECTOR, UNET):
        with pytest.raises(hl.Error, match="images of 5 × 7"):
            hl.open(file).predict(np.zeros((2, 5, 7), np.float32))
    assert hl.open(UNET).predict(scenes()[0, 0]).probabilities.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_ctrl_c_ends_predictions(colour, tmp_path):
    Image.fromarray(images(1, 3)[0][0]).resize((300, 300)).save(tmp_path / "one.png")
    assert_ctrl_c_ends("hl.open(sys.argv[1]).predict([sys.argv[2]] * 60000)", colour, tmp_path / "one.png", seconds=5)
