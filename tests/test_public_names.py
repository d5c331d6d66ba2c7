"""The names of the package: what ``help`` shows, what is lazily imported, which parameters are keywords only."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import audioinceptionnext as ain
from audioinceptionnext.models.names import DEFAULT_MODEL, model_entries


def test_help_fits_on_a_screen() -> None:
    text = pydoc.render_doc(ain, renderer=pydoc.plaintext)
    assert len(text.splitlines()) <= 60
    for name in dir(ain):
        assert name == "__version__" or name in text


def test_every_name_can_be_imported() -> None:
    for name in dir(ain):
        assert getattr(ain, name) is not None
    with pytest.raises(AttributeError, match="Recognizer"):
        ain.Recognizer  # noqa: B018 - the access itself fails


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, audioinceptionnext; print({'numpy', 'onnxruntime', 'av', 'rich', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_list_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AINEXT_MODELS", raising=False)
    names = ain.list_models()
    assert {DEFAULT_MODEL, "kitchen20", "kitchen20-small", "esc10", "digits"} <= set(names)
    assert names == [entry.name for entry in model_entries()] and len(names) == len(set(names))


@pytest.mark.parametrize(
    ("function", "positional"),
    [
        (ain.load, ["model"]),
        (ain.Recogniser.predict, ["self", "recording"]),
        (ain.Recogniser.embed, ["self", "recordings"]),
        (ain.Recogniser.embed_steps, ["self", "recording"]),
        (ain.Stream, ["recogniser"]),
        (ain.push_to_hub, ["model", "name"]),
        (ain.teach, ["recordings", "out"]),
    ],
)
def test_settings_are_keywords_only(function: Callable[..., Any], positional: list[str]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert [one.name for one in parameters if one.kind is not inspect.Parameter.KEYWORD_ONLY] == positional
