"""``ainext`` as it is typed, in this process or in a new one, and what every answer has to hold."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from audioinceptionnext.cli import main

MODEL = "kitchen20"  # its probabilities sum to 1, and its sounds are easy to render
# At each moment some class of 20 has a twentieth or more: with these settings all of a recording is covered, whatever
# the weights are.
ALL = ("--model", MODEL, "--threshold", "0.049", "--smoothing", "0", "--min-duration", "0")
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}.split():
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
RUN = "from audioinceptionnext.cli import main; main(sys.argv[1:])"
EXTRAS = "torch lightning onnx onnxscript safetensors sklearn"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr, all of which have to be ours."""
        lines = self.err.splitlines()
        assert all(line.startswith("ainext: ") for line in lines), self.err
        return lines


def ainext(*arguments: object) -> Outcome:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return Outcome(left.value.code, out.getvalue(), err.getvalue())


def python(*arguments: object, folder: Path | None = None, **environment: str) -> Outcome:
    """A new Python, started in ``folder``."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def refused(*arguments: object) -> str:
    """The one line with which a wrong call ends."""
    found = ainext(*arguments)
    assert found.code == 2 and not found.out
    assert len(found.complaints) == 1 and "a bug" not in found.err, found.err
    return found.complaints[0]


def last_line(*arguments: object) -> str:
    """The last line of a call that is refused, after the lines about the clips to train on."""
    found = ainext(*arguments)
    assert found.code == 2 and not found.out and "a bug" not in found.err
    lines = found.err.splitlines()
    assert [line.startswith("ainext: ") for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines[-1]


def check(item: dict[str, Any], top_k: int = 5) -> None:
    """One recording's object is as the interface has it."""
    assert list(item) == ["file", "duration", "model", "clip", "segments"]
    assert item["duration"] > 0
    scores = [one["score"] for one in item["clip"]]
    assert all(list(one) == ["label", "score"] for one in item["clip"])
    assert len({one["label"] for one in item["clip"]}) == len(scores) == top_k
    assert scores == sorted(scores, reverse=True) and min(scores) >= 0
    assert max(scores) <= 1 and (sum(scores) <= 1 or item["model"] != MODEL)
    assert all(list(one) == ["start", "end", "label", "score"] for one in item["segments"])
    assert [one["start"] for one in item["segments"]] == sorted(one["start"] for one in item["segments"])
    assert all(0 <= one["start"] < one["end"] <= item["duration"] for one in item["segments"])
    assert all(0 < one["score"] <= 1 for one in item["segments"])


def plain(text: str) -> str:
    """Without colours, which Typer and Rich show on some build machines even to a pipe."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)
