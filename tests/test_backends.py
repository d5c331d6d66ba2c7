"""Backends agree, and say why they were chosen; work done ahead arrives as it would without."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event
from time import sleep

import numpy as np
import onnxruntime
import pytest

from audioinceptionnext import AinextError
from audioinceptionnext.inference.backends import choose
from audioinceptionnext.inference.parallel import parallel_map
from audioinceptionnext.inference.prefetch import prefetch
from audioinceptionnext.models.load import load
from tests.test_recogniser import kitchen


@pytest.mark.parametrize("run", ["dense", "windows"])
def test_openvino_gives_the_same(files: dict[str, Path], run: str) -> None:
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    waveform = kitchen(9)
    reference = load(files[run], backend="onnxruntime").predict(waveform)
    same = load(files[run], backend="openvino", threads=1).predict(waveform)
    assert (same.labels, same.model) == (reference.labels, reference.model)
    np.testing.assert_allclose(same.probabilities, reference.probabilities, atol=1e-4)
    with pytest.raises(AinextError, match="leave --hop out"):
        load(files[run], backend="openvino").predict(waveform, hop=0.08)


def test_auto_gives_its_reason_and_others_are_checked(files: dict[str, Path]) -> None:
    assert choose("openvino").backend == "openvino"
    backend, reason = choose("auto")
    assert backend in ("onnxruntime", "cuda") and reason
    with pytest.raises(AinextError, match="--backend onnx: choose from auto, onnxruntime"):
        load(files["dense"], backend="onnx")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(AinextError, match="pip install onnxruntime-gpu"):
            load(files["dense"], backend="cuda")


def test_a_file_is_heard_as_it_was_made_or_by_clips(files: dict[str, Path]) -> None:
    with pytest.raises(AinextError, match=r"--run windows: .* is for dense, or for clips"):
        load(files["dense"], run="windows")


def test_what_is_made_ahead_comes_in_order_with_its_error_at_its_place() -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise ValueError("after the fifth")

    found = []
    with pytest.raises(ValueError, match="after the fifth"):
        for number in prefetch(numbers()):
            found.append(number)
    assert found == list(range(5))


@pytest.mark.parametrize("at_once", [1, 3])
def test_several_at_a_time_come_in_order_with_their_errors(at_once: int) -> None:
    def invert(number: int) -> float:
        sleep(0.01 * (number % 3))
        return 1 / number

    found = list(parallel_map(invert, range(-5, 5), at_once))
    assert [item for item, _ in found] == list(range(-5, 5))
    assert [made for item, made in found if item] == [1 / item for item, _ in found if item]
    assert isinstance(found[5][1], ZeroDivisionError)


def test_items_are_not_all_taken_at_once() -> None:
    taken: list[int] = []
    results = parallel_map(taken.append, count(), 2)
    next(results)
    results.close()
    assert len(taken) <= 4


def test_nothing_runs_on_when_the_caller_stops() -> None:
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
