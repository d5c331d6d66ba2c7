"""`teaching/`: a linear layer on frozen features, and the model file that it becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from audioinceptionnext.errors import ModelError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load, read_model
from audioinceptionnext.teaching.head import NONE, Examples, Head, fit_head, fold_numbers, regression, softmax
from audioinceptionnext.teaching.onnx_file import PREFIX, metadata_of, with_new_head
from audioinceptionnext.teaching.protobuf import read_fields, write_fields

RATE = 24_000
BASE = "kitchen20-small"  # the smallest shipped model with a dense network
CHANNELS = 672  # of its features
LABELS = ["doorbell", "café"]


def head(channels: int, columns: int = 4, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((channels, columns)) / channels**0.5
    return Head(weight.astype(np.float32), np.arange(columns, dtype=np.float32), 0.7, np.eye(3, dtype=int))


def taught(base: str = BASE, labels: Sequence[str] = LABELS) -> tuple[bytes, Head]:
    file = read_model(base)
    layer = head(int(metadata_of(file.content)["features"]))
    return with_new_head(file.content, file.source, layer, labels, "mine", {"clips": 10}), layer


def sound() -> np.ndarray:
    """Noise, digital silence and noise again, 12 s."""
    waveform = (0.1 * np.random.default_rng(1).standard_normal(12 * RATE)).astype(np.float32)
    waveform[4 * RATE : 9 * RATE] = 0
    return waveform


@pytest.mark.parametrize("base", ["everyday", BASE])
def test_a_taught_file_computes_the_new_layer_on_the_same_features(base: str) -> None:
    content, layer = taught(base)
    new, old, waveform = Recogniser(content, "mine.onnx", threads=1), load(base, threads=1), sound()
    outputs = ["probabilities", "logits", "features"]
    probabilities, logits, features = (one[0] for one in new._session.run(outputs, {"waveform": waveform[None]}))
    before, of_old = (one[0] for one in old._session.run(["features", "probabilities"], {"waveform": waveform[None]}))
    np.testing.assert_array_equal(features, before)
    loud = of_old.any(axis=1, keepdims=True)
    shares = softmax(before.astype(np.float64) @ layer.weight + layer.bias)[:, :2]
    assert loud.any() and not loud.all()
    np.testing.assert_allclose(probabilities, shares * loud, atol=1e-6)
    powers = np.exp(logits)
    np.testing.assert_allclose(powers / (1 + powers.sum(axis=1, keepdims=True)) * loud, probabilities, atol=1e-6)


def test_a_taught_file_says_what_it_is_and_nothing_of_the_old_labels() -> None:
    content, _ = taught("everyday")
    new, old = Recogniser(content, "mine.onnx", threads=1), load("everyday", threads=1)
    assert (new.name, list(new.labels), new.multi_label) == ("mine", LABELS, False)
    assert new.thresholds == (0.7, 0.7) and new.window_seconds == old.window_seconds
    assert not new.groups and not new.identifiers and not new.tasks and new.step_seconds == pytest.approx(0.4)
    assert json.loads(new.metadata["info"]) == {"clips": 10, "name": "mine"}
    assert int(new.metadata["parameters"]) < int(old.metadata["parameters"])
    assert len(content) < len(read_model("everyday").content)  # the fine timeline is not in it


def test_a_taught_model_can_be_taught_again() -> None:
    content, _ = taught()
    again = with_new_head(content, "mine.onnx", head(CHANNELS, 3, seed=1), ["kettle"], "again", {})
    result = Recogniser(again, "again.onnx", threads=1).predict(sound())
    assert result.labels == ("kettle",) and result.probabilities.any()
    assert abs(len(again) - len(content)) < 10_000


@pytest.mark.workshop
def test_a_taught_file_is_valid_onnx_with_the_old_nodes_as_they_were() -> None:
    import onnx

    content, layer = taught("everyday")
    proto, old = onnx.load_from_string(content), onnx.load_from_string(read_model("everyday").content)
    onnx.checker.check_model(proto, full_check=True)
    new = [node for node in proto.graph.node if node.name.startswith(PREFIX)]
    kept = [node for node in proto.graph.node if not node.name.startswith(PREFIX)]
    assert [node.op_type for node in new] == [
        "MatMul", "Add", "Softmax", "Split", "Mul", "Split", "ReduceLogSumExp", "Sub",
    ]  # fmt: skip
    assert kept == [node for node in old.graph.node if node in kept] and len(kept) > 600
    assert [one.name for one in proto.graph.output] == ["probabilities", "logits", "features", "log_mel"]
    (weight,) = [one for one in proto.graph.initializer if one.name == f"{PREFIX}weight"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weight), layer.weight)


def test_a_message_is_written_as_it_was_read() -> None:
    content = read_model(BASE).content
    assert write_fields(read_fields(content)) == content


@pytest.mark.parametrize("damage", [lambda content: b"RIFF" + content, lambda content: content[:-100], lambda _: b""])
def test_a_file_that_is_no_model_is_refused_in_one_line(damage) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelError, match=r"mine\.onnx: cannot be taught") as caught:
        with_new_head(damage(read_model(BASE).content), "mine.onnx", head(CHANNELS), LABELS, "mine", {})
    assert "\n" not in str(caught.value)


def clusters(per_class: int, spread: float, seed: int = 0) -> tuple[Examples, np.ndarray]:
    """Examples around three points, the last of which is of no label, and other sounds elsewhere."""
    rng = np.random.default_rng(seed)
    classes = np.repeat([0, 1, NONE], per_class)
    centres = rng.standard_normal((4, 40)) * 3 + 5
    features = centres[classes] + spread * rng.standard_normal((len(classes), 40))
    others = centres[2] + rng.standard_normal((20, 40)) * 4
    return Examples(features, classes, np.arange(len(classes)) % 5), others


def test_the_layer_tells_its_classes_from_each_other_and_from_other_sounds() -> None:
    examples, others = clusters(10, 0.5)
    found = fit_head(examples, 2, others, 5)
    assert found.top1 == 1 and list(found.per_class) == [1, 1, 1] and 0.5 <= found.threshold <= 0.9
    assert found.weight.shape == (40, 5)  # two labels, nothing, noise, and other sounds
    shares = softmax(np.concatenate([examples.features, others]) @ found.weight + found.bias)[:, :2]
    assert (shares[:20].argmax(axis=1) == examples.classes[:20]).all() and shares[:20].max(axis=1).min() > 0.8
    assert shares[20:].max() < found.threshold


def test_accuracy_is_that_of_examples_left_out() -> None:
    examples, others = clusters(20, 0.5)
    shuffled = examples._replace(classes=np.random.default_rng(3).permutation(examples.classes))
    found = fit_head(shuffled, 2, others, 5)  # the layer can learn these by heart
    assert found.top1 < 0.6


def test_the_solution_is_that_of_the_whole_space_where_examples_are_few() -> None:
    """With fewer examples than channels, the layer is fitted in the space of the examples."""
    examples, others = clusters(4, 1.0)
    found = fit_head(examples, 2, others[:6], 3)
    features = np.concatenate([examples.features, others[:6]])
    columns = np.concatenate([np.where(examples.classes == NONE, 2, examples.classes), [3] * 3, [4] * 3])
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    weight, bias = regression((features - mean) / deviation, columns, 5)
    weight = weight / deviation[:, None]
    expected = softmax(features @ weight + bias - mean @ weight)
    np.testing.assert_allclose(softmax(features @ found.weight + found.bias), expected, atol=1e-4)


def test_the_layer_is_the_minimum_of_what_is_stated() -> None:
    """Of the cross-entropy plus half the squares of the weights: there, the gradient is 0."""
    examples, _ = clusters(20, 3.0)
    x = (examples.features - examples.features.mean(axis=0)) / examples.features.std(axis=0)
    weight, bias = regression(x, examples.classes % 3, 3)
    wrong = softmax(x @ weight + bias) - np.eye(3)[examples.classes % 3]
    np.testing.assert_allclose(x.T @ wrong + weight, 0, atol=1e-3)
    np.testing.assert_allclose(wrong.sum(axis=0), 0, atol=1e-3)


def test_folds_are_even_and_keep_sources_whole() -> None:
    classes = [0] * 10 + [1] * 10 + [NONE] * 6
    sources = [f"a{i // 2}" for i in range(10)] + [f"b{i}" for i in range(10)] + ["long"] * 6
    folds = fold_numbers(classes, sources)
    assert [sorted(np.bincount(folds[np.array(classes) == one], minlength=5)) for one in (0, 1)] == [[2] * 5] * 2
    assert all(len({*folds[2 * i : 2 * i + 2]}) == 1 for i in range(5))
    assert len({*folds[20:]}) == 5  # all of one recording, whose parts are all that can be left out
