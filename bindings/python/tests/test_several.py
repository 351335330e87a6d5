"""Explanations and predictions of several images have what each of them has, stacked."""

import heatlens as hl
import numpy as np
import pytest
from conftest import SIDE, images
from PIL import Image

METHODS = ["grad_cam", "guided_backprop"]


@pytest.fixture(scope="module")
def found(colour):
    return hl.open(colour).explain(images(5, 3, seed=6)[0], METHODS)


def test_what_each_has_is_stacked(found):
    assert isinstance(found, hl.Explanations) and list(found.maps) == METHODS and len(found.maps) == 2
    assert found.maps["grad_cam"].shape[0] == 5 and found.maps["grad_cam"].ndim == 3
    assert found.maps["guided_backprop"].shape == (5, 3, SIDE, SIDE)
    assert found.logits.shape == found.probabilities.shape == (5, 3)
    assert found.heat("grad_cam").shape == found.projected().shape == (5, SIDE, SIDE)
    for array in (found.overlay(), found.picture("guided_backprop"), found.signed(), found.image):
        assert array.shape == (5, SIDE, SIDE, 3) and array.dtype == np.uint8
    for item, one in enumerate(found):
        for id in METHODS:
            assert np.array_equal(found.maps[id][item], one.maps[id]) and found.maps[id].dtype == np.float32
            for name in ("heat", "overlay", "picture", "signed"):
                assert np.array_equal(getattr(found, name)(id)[item], getattr(one, name)(id)), name
            assert found.target(id)[item] == one.target(id) and found.why_empty(id)[item] == one.why_empty(id)
        for name in ("logits", "probabilities", "image", "predicted"):
            assert np.array_equal(getattr(found, name)[item], getattr(one, name)), name
        assert found.predicted_name[item] == one.predicted_name and found.name[item] == one.name
    assert found.notes == list(dict.fromkeys(note for one in found for note in one.notes))
    with pytest.raises(KeyError):
        found.maps["score_cam"]
    with pytest.raises(hl.Error, match="no map of score_cam"):
        found.heat("score_cam")


def test_a_batch_of_one_is_a_batch(colour):
    one = hl.open(colour).explain(images(1, 3)[0], "grad_cam")
    assert one.overlay().shape == (1, SIDE, SIDE, 3) and one.maps["grad_cam"].shape[0] == 1


def test_a_part_of_them_is_of_the_same_kind(found):
    part = found[1:4]
    assert isinstance(part, hl.Explanations) and np.array_equal(part.heat(), found.heat()[1:4])
    assert isinstance(found[-1], hl.Explanation)


def test_pictures_of_several_sizes_do_not_stack(colour):
    pictures = [Image.fromarray(x).resize(size) for x, size in zip(images(2, 3)[0], [(40, 50), (60, 30)])]
    found = hl.open(colour).explain(pictures, "grad_cam")
    assert found.maps["grad_cam"].shape[0] == 2 and found.logits.shape == (2, 3)
    with pytest.raises(hl.Error, match=r"differ in shape \(\(30, 60\), \(50, 40\)\).*found\[0\].heat"):
        found.heat()


def test_nothing_has_empty_arrays():
    none = hl.Explanations()
    assert list(none.maps) == [] and len(none.logits) == len(none.heat()) == len(none.predicted) == 0
    with pytest.raises(KeyError):
        none.maps["grad_cam"]
    assert len(hl.Predictions().probabilities) == 0


def test_predictions_are_stacked(colour):
    x, model = images(4, 3, seed=2)[0], hl.open(colour)
    answers = model.predict(x)
    assert isinstance(answers, hl.Predictions) and answers.logits.shape == answers.probabilities.shape == (4, 3)
    assert np.array_equal(answers.probabilities[2], answers[2].probabilities)
    assert answers.predicted.tolist() == [one.predicted for one in answers]
    assert answers.predicted_name == [one.predicted_name for one in answers]
    assert np.array_equal(answers.logits, model.explain(x, "grad_cam").logits)
