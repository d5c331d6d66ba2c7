"""What runs on the workers. Each is a process that holds a model and hears one recording at a time on one core."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audioinceptionnext.cluster.downloads import UnavailableError, arrivals, sweep
from audioinceptionnext.cluster.types import Recording
from audioinceptionnext.errors import AinextError, printable, unexpected
from audioinceptionnext.results.segmentation import TimelineSettings

TRIES = 3  # workers that a recording may kill before it is given up


@dataclass(frozen=True)
class Job:
    """How to hear, the same for every recording.

    Attributes:
        source, sha256: of the model file; ``source`` is what errors call it.
        model: the name that results give it.
        run: names this run's temporary files.
        backend: as `audioinceptionnext.inference.recogniser.load` takes it; None for its default.
    """

    source: str
    model: str
    sha256: str
    settings: TimelineSettings
    top_k: int
    hop: float | None
    run: str
    backend: str | None = None

    def facts(self) -> dict[str, Any]:
        """What results depend on, for run.json."""
        facts = {"model": self.model, "sha256": self.sha256, "top_k": self.top_k, "hop": self.hop}
        return {**facts, "backend": self.backend, **asdict(self.settings)}


def pack(task: list[Recording]) -> str:
    return json.dumps([asdict(one) for one in task])  # ASCII: names may hold what is no text


def unpack(text: str) -> list[Recording]:
    return [Recording(**one) for one in json.loads(text)]


class Attempts:
    """An actor that remembers, beyond a worker's death, which recordings were begun and not ended."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, file: str) -> int:
        """How many times it was begun before without an end."""
        before = self._begun.get(file, 0)
        self._begun[file] = before + 1
        return before

    def end(self, file: str) -> None:
        self._begun.pop(file, None)


class Worker:
    """Ray Data's callable: rows of ``task`` (see `pack`) in, rows of ``rows`` (JSON lines, one a recording) out.

    Ray starts it anew when it died, and gives it its tasks again. A recording that kills whoever hears it would do so
    for ever: a worker that was started anew asks `Attempts` before each recording. Others need not, and pay nothing.

    Args:
        content: an ``ObjectRef`` of the model file's bytes; workers elsewhere need no copy of the file.
        attempts: a handle of the `Attempts` actor.
    """

    def __init__(self, job: Job, content: Any, attempts: Any) -> None:
        import ray

        from audioinceptionnext.inference.recogniser import Recogniser

        self.job, self._attempts = job, attempts
        chosen: dict[str, Any] = {"backend": job.backend} if job.backend else {}
        self._recogniser = Recogniser(ray.get(content), job.source, job.model, threads=1, **chosen)
        self._careful = bool(ray.get_runtime_context().was_current_actor_reconstructed)
        sweep(job.run)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        texts = []
        for task in batch["task"]:
            rows = [self._hear(recording, arrival) for recording, arrival in arrivals(unpack(task), self.job.run)]
            texts.append("\n".join(json.dumps(row) for row in rows))
        return {"rows": texts}

    def _hear(self, recording: Recording, arrival: Future[str]) -> dict[str, Any]:
        if not self._careful:
            return self._row(recording, arrival)
        import ray

        # One death came before anyone counted.
        if ray.get(self._attempts.begin.remote(recording.file)) >= TRIES - 1:
            row = _failure(recording, f"the worker that hears it died, {TRIES} times", "crashed")
        else:
            row = self._row(recording, arrival)
        ray.get(self._attempts.end.remote(recording.file))
        return row

    def _row(self, recording: Recording, arrival: Future[str]) -> dict[str, Any]:
        """The recording's result, or what is wrong with it; whatever that is must not cost the others."""
        path = recording.path
        try:
            path = arrival.result()
            heard = self._recogniser.predict(path, self.job.top_k, self.job.settings, self.job.hop)
            row = heard.as_dict() | {"file": recording.file}
            lines = [line.removeprefix(f"{printable(path)}: ") for line in heard.warnings]
            return row | ({"warnings": lines} if lines else {})
        except UnavailableError as error:
            return _failure(recording, str(error), error.kind)
        except AinextError as error:
            return _failure(recording, str(error).removeprefix(f"{printable(path)}: "), "unreadable")
        except Exception as error:
            return _failure(recording, unexpected(error), "bug")


def _failure(recording: Recording, error: str, kind: str) -> dict[str, Any]:
    return {"file": recording.file, "error": error, "kind": kind}
