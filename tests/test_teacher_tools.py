"""Tools around teachers: front ends in their files, and sounds that are rendered for them."""

from __future__ import annotations

import copy
import csv
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime as ort
import pytest
import torch

from audioinceptionnext.audio import decode
from audioinceptionnext.data.unlabelled import read_recordings
from audioinceptionnext.network import create_model
from tests.networks import LABELS, SHORT, log_mels, with_statistics

TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module(name)


def test_blocks_that_lie_side_by_side_are_every_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wrap = tool("wrap_teachers", monkeypatch)
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, (1, round(4.8 * 44_100))).astype(np.float32)
    blocks = {}
    for stride in (50, 100):
        front = wrap.with_tables(wrap.AISFX_FRONT, wrap.aisfx_tables(stride))
        session = ort.InferenceSession(front.SerializeToString())
        blocks[stride], shape = session.run(None, {"waveform": waveform})
        assert shape.tolist() == [1, len(blocks[stride]), 512]
    assert blocks[50].shape == (3, 100, 96)
    np.testing.assert_array_equal(blocks[100], blocks[50][::2])


def test_kernels_that_stay_within_a_clip_give_the_same_for_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = with_statistics(create_model("tiny", 3, clip_frames=208, **SHORT)).double()
    kept = copy.deepcopy(net)
    tool("within_clip", monkeypatch).keep_within_clip(kept, 208)
    clip, longer = log_mels(frames=208).double(), log_mels(frames=1040).double()
    with torch.no_grad():
        assert (kept(clip) - net(clip)).abs().max() < 1e-12
        assert (kept.dense(longer) - net.dense(longer)).abs().max() > 1e-6
    weights = zip(net.parameters(), kept.parameters(), strict=True)
    changed = [after for before, after in weights if not torch.equal(before, after)]
    assert changed and all(weight[:, :, 4:-4].all() and not weight[:, :, :4].any() for weight in changed)


def test_rendered_sounds_are_recordings_and_a_later_run_adds_to_them(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = tool("render_missing_sounds", monkeypatch)
    monkeypatch.setattr(render, "ACCEPTED", 0.0)  # a teacher of nothing is soon content
    monkeypatch.setattr(render, "BATCH", 2)
    with (tmp_path / "coverage.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "at_least_0.2"), (LABELS[0], 0), (LABELS[1], 9)])
    out = tmp_path / "rendered"

    def run(goal: int) -> dict[str, bytes]:
        options = {"--teacher": files["dense"], "--coverage": tmp_path / "coverage.csv", "--out": out, "--goal": goal}
        words = [str(word) for pair in options.items() for word in pair]
        monkeypatch.setattr(sys, "argv", ["render", *words, "--labels", ";".join(LABELS[:2])])
        render.main()
        return {str(clip.path.relative_to(out)): clip.path.read_bytes() for clip in read_recordings(out).clips}

    first = run(2)
    assert {Path(name).parent.name for name in first} == {"tap"} and 2 <= len(first) <= 3
    assert decode.read(out / next(iter(first)), render.RATE).shape == (4 * render.RATE,)
    last = run(4)
    assert first.items() < last.items() and 4 <= len(last) <= 6
    remembered = json.loads((out / "best.json").read_text())[LABELS[0]]
    assert any(line < 0 for _, _, line, _ in remembered)
    run(5)
    lines = [line for _, _, line, _ in json.loads((out / "best.json").read_text())[LABELS[0]]]
    assert len(set(lines)) == len(lines)
