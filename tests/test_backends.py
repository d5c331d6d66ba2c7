"""Backends agree and say why they were chosen; prefetching and parallel work keep the order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event
from time import sleep

import numpy as np
import onnxruntime
import pytest

from audioinceptionnext.errors import MissingDependencyError, ParameterError
from audioinceptionnext.inference.backends import choose_backend
from audioinceptionnext.inference.parallel import parallel_map
from audioinceptionnext.inference.prefetch import prefetch
from audioinceptionnext.models.load import load
from tests.audio_files import kitchen


@pytest.mark.needs("openvino")
@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_openvino_gives_the_same(files: dict[str, Path], mode: str) -> None:
    waveform = kitchen(9)
    reference = load(files[mode], backend="onnxruntime").predict(waveform)
    same = load(files[mode], backend="openvino", threads=1).predict(waveform)
    assert (same.labels, same.model) == (reference.labels, reference.model)
    np.testing.assert_allclose(same.probabilities, reference.probabilities, atol=1e-4)
    closer = [
        load(files[mode], backend=name).predict(waveform, step_seconds=0.08) for name in ("openvino", "onnxruntime")
    ]
    np.testing.assert_allclose(closer[0].probabilities, closer[1].probabilities, atol=1e-4)


def test_auto_has_a_reason_and_other_backends_are_checked(files: dict[str, Path]) -> None:
    assert choose_backend("openvino").backend == "openvino"
    backend, reason = choose_backend("auto")
    assert backend in ("onnxruntime", "cuda") and reason
    with pytest.raises(ParameterError, match=r"^backend is onnx: choose from auto, onnxruntime"):
        load(files["dense"], backend="onnx")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(MissingDependencyError, match=r"^the backend cuda needs .*: pip install 'onnxruntime-gpu'$"):
            load(files["dense"], backend="cuda")


def test_a_file_has_its_own_mode_and_clips(files: dict[str, Path]) -> None:
    with pytest.raises(ParameterError, match=r"^mode is windows: .* can be used as dense or as clips$"):
        load(files["dense"], mode="windows")


def test_prefetched_items_keep_their_order_and_their_error() -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise ValueError("after the fifth")

    found = []
    with pytest.raises(ValueError, match="after the fifth"):
        for number in prefetch(numbers()):
            found.append(number)
    assert found == list(range(5))


@pytest.mark.parametrize("at_once", [1, 3])
def test_parallel_results_keep_their_order_and_their_errors(at_once: int) -> None:
    def invert(number: int) -> float:
        sleep(0.01 * (number % 3))
        return 1 / number

    found = list(parallel_map(invert, range(-5, 5), at_once))
    assert [item for item, _ in found] == list(range(-5, 5))
    assert [result for item, result in found if item] == [1 / item for item, _ in found if item]
    assert isinstance(found[5][1], ZeroDivisionError)


def test_items_are_not_all_taken_at_once() -> None:
    taken: list[int] = []
    results = parallel_map(taken.append, count(), 2)
    next(results)
    results.close()
    assert len(taken) <= 4


def test_only_the_next_item_is_made_ahead() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in count():
            made.append(number)
            yield number

    taken = prefetch(numbers())
    assert next(taken) == 0
    sleep(0.05)  # time enough for more
    assert made[1:] in ([], [1])
    assert next(taken) == 1
    taken.close()
    assert made == [0, 1, 2]


def test_prefetching_ends_when_the_caller_stops() -> None:
    closed = Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    taken = prefetch(endless())
    assert next(taken) == 1
    taken.close()  # type: ignore[attr-defined]
    assert closed.is_set()
