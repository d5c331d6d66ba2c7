"""How two files are compared that report labels, with networks that are only numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audioinceptionnext.export import agreement


def compared(monkeypatch: pytest.MonkeyPatch, a: Any, b: Any, **options: Any) -> agreement.Agreement:
    """The agreement on one clip of files that give (steps, classes) each."""
    rows = {Path("a"): np.array([a], np.float32), Path("b"): np.array([b], np.float32)}
    monkeypatch.setattr(agreement, "_predictor", lambda path: lambda _: rows[path])
    return agreement.compare("a", "b", [np.zeros(1)], **options)


def test_a_label_with_a_low_threshold_counts_if_only_the_second_file_reports_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = compared(monkeypatch, [[0.01] * 30], [[0.9] * 30], min_lead=0.1, thresholds=[0.08] * 30)
    assert (found.of_labels, found.counted, found.top1) == (True, 30, 0) and not found.enough


def test_a_label_is_reported_if_one_step_reaches_its_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = [[0.5] * 30, [0.01] * 30], [[0.5] * 15 + [0.2] * 15, [0.01] * 30]
    assert compared(monkeypatch, a, b, thresholds=[0.4] * 30).top1 == 0.5
    assert compared(monkeypatch, a, a, thresholds=[0.4] * 30).top1 == 1


def test_labels_near_their_thresholds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = [[0.9] * 20 + [0.55] * 10], [[0.9] * 20 + [0.45] * 10]
    options: dict[str, Any] = {"thresholds": [0.5] * 30}
    clear = compared(monkeypatch, a, b, min_lead=0.1, **options)
    assert (clear.counted, clear.top1) == (20, 1)
    assert compared(monkeypatch, a, b, **options).top1 == pytest.approx(2 / 3)
