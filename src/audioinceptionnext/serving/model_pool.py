"""The models that a server has: each is loaded when it is first asked for."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

from audioinceptionnext.errors import suggest
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import DEFAULT_MODEL, model_entries
from audioinceptionnext.serving.errors import Refused


class Shelf:
    """Args: models: names and files; all of the zoo unless given. Raises `AinextError` for one that is not there."""

    def __init__(self, models: tuple[str, ...] | None, backend: str = "auto") -> None:
        self._backend = backend
        self._lock = Lock()
        known = {entry.name: entry for entry in model_entries()}
        given = models or (DEFAULT_MODEL, *(name for name in known if name != DEFAULT_MODEL))
        self._loaded: dict[str, Recogniser] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        for model in given:
            if model in known:
                facts = known[model].facts
                self._facts[model] = {key: facts[key] for key in _SHOWN if key in facts}
            else:  # a file, under its own name: which is known once it is loaded
                recogniser = load(model, threads=1, backend=backend)
                self._loaded[recogniser.name] = recogniser
                self._facts[recogniser.name] = _facts(recogniser, Path(model))
        self.default = next(iter(self._facts))
        self.get(self.default)  # a server that starts can hear

    def names(self) -> list[str]:
        return list(self._facts)

    def facts(self) -> list[dict[str, Any]]:
        """For ``/v1/models``, the default first."""
        return [facts | {"default": name == self.default} for name, facts in self._facts.items()]

    def get(self, name: str | None) -> Recogniser:
        """Raises `Refused` (404) for one that is not here; nothing from outside becomes a path."""
        name = name or self.default
        if name not in self._facts:
            raise Refused(404, f"no model is called {name[:100]!r} here; {suggest(name[:100], self._facts)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load(name, threads=1, backend=self._backend)
            return self._loaded[name]


_SHOWN = ("name", "labels", "sample_rate", "run", "parameters", "gmac", "bytes", "licence", "measured")


def _facts(recogniser: Recogniser, path: Path) -> dict[str, Any]:
    return {
        "name": recogniser.name,
        "labels": list(recogniser.labels),
        "sample_rate": recogniser.sample_rate,
        "run": recogniser.run,
        "parameters": int(recogniser.facts.get("parameters", 0)),
        "gmac": float(recogniser.facts.get("gmac", 0)),
        "bytes": path.stat().st_size if path.is_file() else 0,
        "licence": None,
        "measured": None,
    }
