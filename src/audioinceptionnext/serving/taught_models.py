"""The models that clients have taught: files in a folder, which the server offers like its other models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from audioinceptionnext.errors import ModelError, check_can_write, printable, replacing, writing
from audioinceptionnext.models.load import read_model
from audioinceptionnext.models.names import list_models
from audioinceptionnext.serving.errors import RequestError, storing
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.teaching.features import features_of
from audioinceptionnext.teaching.lesson import Described, Lesson, learn
from audioinceptionnext.teaching.onnx_file import metadata_of, with_new_head
from audioinceptionnext.teaching.others import other_sounds
from audioinceptionnext.teaching.teach import is_taught

#: At most, on one server. Each takes some 30 MB of memory once it is used.
MAX_TAUGHT = 20
log = logging.getLogger("audioinceptionnext.serving")


class TaughtModels:
    """The taught models of one server.

    Args:
        models: what the server offers. Those that lie in the folder are added.
        folder: of the files; created if it does not exist.

    Raises:
        FileError: it cannot be written to.
    """

    def __init__(self, models: ModelPool, folder: Path) -> None:
        self.models, self.folder = models, folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        check_can_write(folder / "model.onnx")
        self._lock = Lock()  # of what changes the names
        self._others: dict[str, np.ndarray] = {}
        self._paths: dict[str, Path] = {}
        for path in sorted(folder.glob("*.onnx")):
            name = metadata_of(path.read_bytes())["name"] if is_taught(path) else ""
            if not name or name in models.names():
                log.warning("%s: no model that was taught, or the name of another: left out", printable(path))
                continue
            try:
                self._offer(name, path)
            except ModelError as error:
                log.warning("%s: left out", error)

    def check(self, name: str) -> None:
        """Raise `RequestError` (409) if no model can be taught under this name."""
        if name not in self._paths:
            if name.casefold() in {one.casefold() for one in (*self.models.names(), *list_models())}:
                raise RequestError(409, f"a model is called {name} already: choose another name", parameter="name")
            if len(self._paths) >= MAX_TAUGHT:
                reason = f"this server keeps {MAX_TAUGHT} taught models: delete one, or use the name of one"
                raise RequestError(409, reason, parameter="name")

    def teach(self, name: str, base: str, examples: Sequence[Described]) -> Lesson:
        """Teach a model, and offer it.

        Args:
            name: of the new model, in place of one that was taught.
            base: the model that the features are of.
            examples: of the classes.

        Raises:
            AinextError: nothing can be learnt from the examples.
            RequestError: as `check`; as `storing` if the file cannot be written.
        """
        lesson, file = learn(examples, self._other_features(base)), read_model(self.models.source(base))
        content = with_new_head(file.content, base, lesson.head, lesson.labels, name, lesson.about(base, "page"))
        path = self.folder / f"{name}.onnx"
        with self._lock:
            self.check(name)
            with storing(), replacing(path) as new:
                new.write_bytes(content)
            self._offer(name, path)
        return lesson

    def path_of(self, name: str) -> Path:
        """The file of a model that was taught. Raises `RequestError` (404) for any other name."""
        if name not in self._paths:
            raise RequestError(404, f"no model that was taught here is called {name[:100]!r}", parameter="name")
        return self._paths[name]

    def delete(self, name: str) -> None:
        """Delete a model that was taught. Raises `RequestError` (404) for any other name."""
        with self._lock:
            path = self.path_of(name)
            self.models.remove(name)
            del self._paths[name]
            path.unlink(missing_ok=True)

    def _offer(self, name: str, path: Path) -> None:
        self.models.add(path)
        self._paths[name] = path

    def _other_features(self, base: str) -> np.ndarray:
        """What a model's last layer gets of sounds of no class, which takes seconds for the first time."""
        recogniser = self.models.get(base)
        known = f"{base} {recogniser.metadata.get('info', '')}"  # a model may be taught again under its name
        if known not in self._others:
            if len(self._others) >= MAX_TAUGHT:
                self._others.clear()
            sounds = other_sounds(recogniser.sample_rate)
            self._others[known] = np.concatenate([features_of(recogniser, sound) for sound in sounds])
        return self._others[known]
