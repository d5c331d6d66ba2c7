"""The models that a server offers. Each is loaded when it is first used."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any

from audioinceptionnext.errors import FileError, ParameterError, suggest
from audioinceptionnext.inference.backends import Backend
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import DEFAULT_MODEL, model_entries
from audioinceptionnext.results.labels import LabelSet
from audioinceptionnext.results.languages import names_of
from audioinceptionnext.serving.errors import RequestError

# From model.json. Descriptions of older models lack some of these.
_COPIED = (
    *("name", "labels", "sample_rate", "mode", "parameters", "gmac", "bytes", "licence", "measured"),
    *("kind", "identifiers", "groups"),
)
_UNSTATED: dict[str, Any] = {"kind": "single-label", "identifiers": [], "groups": {}, "taught": False}


class ModelPool:
    """Models by name, each loaded once and shared by all requests.

    Args:
        models: names and files; all shipped models unless given. The first is the default.
        backend: what computes the networks.

    Raises:
        ModelError: one of them does not exist or cannot be loaded.
        ParameterError, MissingDependencyError: the backend is not available.
    """

    def __init__(self, models: tuple[str, ...] | None, backend: Backend = "auto") -> None:
        self._backend = backend
        self._lock = Lock()
        entries = {entry.name: entry for entry in model_entries()}
        names = models or (DEFAULT_MODEL, *(name for name in entries if name != DEFAULT_MODEL))
        self._loaded: dict[str, Recogniser] = {}
        self._descriptions: dict[str, dict[str, Any]] = {}
        self._files: dict[str, Path] = {}  # of models that were not loaded by name
        self._shipped = {name: entry.path for name, entry in entries.items()}
        for name in names:
            if name in entries:
                description = entries[name].description
                self._descriptions[name] = _UNSTATED | {key: description[key] for key in _COPIED if key in description}
            else:  # a file, which is offered under the name that it states
                recogniser = load(name, threads=1, backend=backend)
                self._loaded[recogniser.name] = recogniser
                self._files[recogniser.name] = Path(name)
                self._descriptions[recogniser.name] = _describe(recogniser, Path(name))
        self.default = next(iter(self._descriptions))
        self.get(self.default)  # a model that cannot be loaded is found out before the first request

    def add(self, path: Path) -> None:
        """Offer a model that was taught, in place of one of its name.

        Raises:
            ModelError: the file is damaged.
        """
        recogniser = load(path, threads=1, backend=self._backend)
        with self._lock:
            self._loaded[recogniser.name], self._files[recogniser.name] = recogniser, path
            self._descriptions = self._descriptions | {recogniser.name: _describe(recogniser, path) | {"taught": True}}

    def remove(self, name: str) -> None:
        """Offer a model no longer."""
        with self._lock:
            self._descriptions = {one: about for one, about in self._descriptions.items() if one != name}
            self._loaded.pop(name, None)
            self._files.pop(name, None)

    def source(self, name: str) -> str | Path:
        """The name or the file that a model was loaded from. Raises `RequestError` (404) if there is no such model."""
        self.check(name)
        return self._files.get(name, name)

    def names(self) -> list[str]:
        """The names of all models, the default first."""
        return list(self._descriptions)

    def descriptions(self, language: str = "") -> list[dict[str, Any]]:
        """All models as ``/v1/models`` lists them, the default first.

        Args:
            language: in which they have ``names``, too. A model without any has its labels in their place.

        Raises:
            RequestError: 422, no model here has names in this language.
        """
        found = [one | {"default": name == self.default} for name, one in self._descriptions.items()]
        if not language:
            return found
        files, refused = self._shipped | self._files, []
        for one in found:
            known = [*one["labels"], *one["groups"]]
            one["names"] = {label: label for label in known}
            try:
                one["names"] |= names_of(known, language, files.get(one["name"], ""))
            except ParameterError as error:
                refused.append(error)
            except FileError as error:
                raise RequestError.of_names(error) from None
        if len(refused) == len(found):
            raise RequestError.of_library(refused[0])
        return found

    def get(self, name: str | None) -> Recogniser:
        """The model of this name, or the default. The name never becomes a path.

        Raises:
            RequestError: 404, there is no such model here.
        """
        name = name or self.default
        self.check(name)
        with self._lock:
            self.check(name)  # it may have been removed
            if name not in self._loaded:
                self._loaded[name] = load(name, threads=1, backend=self._backend)
            return self._loaded[name]

    def check(self, name: str) -> None:
        """Raise `RequestError` (404) if there is no model of this name here."""
        if name not in self._descriptions:
            detail = f"no model is called {name[:100]!r} here; {suggest(name[:100], self._descriptions)}"
            raise RequestError(404, detail, parameter="model")

    def label_set(self, more: Iterable[str] = ()) -> LabelSet:
        """The labels and the groups of all models together, by which segments of any of them can be chosen.

        Args:
            more: further labels.
        """
        names = dict.fromkeys(more)
        groups: dict[str, dict[str, None]] = {}
        for model in list(self._descriptions.values()):  # a model may be taught meanwhile
            names.update(dict.fromkeys(model["labels"]))
            for name, members in model["groups"].items():
                groups.setdefault(name, {}).update(dict.fromkeys(members))
        return LabelSet(tuple(names), groups={name: tuple(members) for name, members in groups.items()})

    def spellings(self, name: str) -> dict[str, str]:
        """The labels of a model, by themselves in lower case; none of a model that is not here."""
        description = self._descriptions.get(name, {})
        return {label.casefold(): label for label in description.get("labels", ())}


def _describe(recogniser: Recogniser, path: Path) -> dict[str, Any]:
    return {
        "name": recogniser.name,
        "labels": list(recogniser.labels),
        "sample_rate": recogniser.sample_rate,
        "mode": recogniser.mode,
        "parameters": int(recogniser.metadata.get("parameters", 0)),
        "gmac": float(recogniser.metadata.get("gmac", 0)),
        "bytes": path.stat().st_size if path.is_file() else 0,
        "licence": None,
        "measured": json.loads(recogniser.metadata.get("info", "{}")).get("measured"),
        "kind": recogniser.metadata["kind"],
        "identifiers": list(recogniser.identifiers),
        "groups": {name: list(members) for name, members in recogniser.groups.items()},
        "taught": False,
    }
