"""What runs on the workers: processes of one core each that hold the model and recognise one recording at a time."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from audioinceptionnext.cluster.downloads import UnavailableError, download_ahead, remove_leftovers
from audioinceptionnext.cluster.types import FailureKind, Recording
from audioinceptionnext.errors import AinextError, describe
from audioinceptionnext.results.settings import SegmentationSettings

if TYPE_CHECKING:
    from audioinceptionnext.inference.backends import Backend

MAX_CRASHES = 3  # a recording that has killed this many workers is given up


@dataclass(frozen=True, kw_only=True)
class Job:
    """How to recognise every recording of a run.

    Attributes:
        model: its name in the results.
        source: what errors call the model's file.
        sha256: of the model's file.
        settings: how probabilities become segments.
        labels: those that are looked for; all of the model if None.
        top_k: number of labels for a recording as a whole.
        step_seconds: from one step to the next; the model's own if None.
        backend: what computes the network.
    """

    model: str
    source: str
    sha256: str
    settings: SegmentationSettings
    labels: tuple[str, ...] | None = None
    top_k: int = 5
    step_seconds: float | None = None
    backend: Backend = "auto"

    def as_dict(self) -> dict[str, Any]:
        """Everything that the results depend on, for run.json."""
        job = {"model": self.model, "sha256": self.sha256, "top_k": self.top_k, "step_seconds": self.step_seconds}
        return {**job, "backend": self.backend, "labels": self.labels, **asdict(self.settings)}


def pack(task: list[Recording]) -> str:
    """A task as one string for a row of Ray Data. It is ASCII, since names may hold bytes that are not text."""
    return json.dumps([asdict(recording) for recording in task])


def unpack(text: str) -> list[Recording]:
    """The reverse of `pack`."""
    return [Recording(**recording) for recording in json.loads(text)]


class Attempts:
    """An actor that outlives the workers, and counts how often a recording was begun and never finished."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, file: str) -> int:
        """Count another attempt, and return the number of earlier ones that never finished."""
        before = self._begun.get(file, 0)
        self._begun[file] = before + 1
        return before

    def finish(self, file: str) -> None:
        """Forget the recording's attempts."""
        self._begun.pop(file, None)


class Worker:
    """Ray Data's callable: takes rows of ``task`` (see `pack`), and gives ``rows``: one JSON line per recording.

    Ray restarts a worker that died, and gives it its tasks again. A recording that kills every worker would keep it
    doing that for ever, so a restarted worker asks `Attempts` before each recording. A worker that never died saves
    itself that request.

    Args:
        job: how to recognise.
        run_id: names this run's temporary files.
        content: an ``ObjectRef`` of the bytes of the model's file; workers elsewhere need no copy of the file.
        attempts: a handle of the `Attempts` actor.
    """

    def __init__(self, job: Job, run_id: str, content: Any, attempts: Any) -> None:
        import ray

        from audioinceptionnext.inference.recogniser import Recogniser

        self.job, self.run_id, self._attempts = job, run_id, attempts
        model = Recogniser(ray.get(content), job.source, job.model, threads=1, backend=job.backend)
        self._recogniser = model.choose(job.labels)
        self._restarted = bool(ray.get_runtime_context().was_current_actor_reconstructed)
        remove_leftovers(run_id)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        texts = []
        for task in batch["task"]:
            pairs = download_ahead(unpack(task), self.run_id)
            texts.append("\n".join(json.dumps(self._recognise(recording, path)) for recording, path in pairs))
        return {"rows": texts}

    def _recognise(self, recording: Recording, local_path: Future[str]) -> dict[str, Any]:
        if not self._restarted:
            return self._row(recording, local_path)
        import ray

        # The first death came before anyone counted.
        if ray.get(self._attempts.begin.remote(recording.file)) >= MAX_CRASHES - 1:
            row = failure(recording, f"{MAX_CRASHES} workers died while they processed it", "crashed")
        else:
            row = self._row(recording, local_path)
        ray.get(self._attempts.finish.remote(recording.file))
        return row

    def _row(self, recording: Recording, local_path: Future[str]) -> dict[str, Any]:
        """The recording's result or failure. Whatever goes wrong must not cost the other recordings."""
        job = self.job
        try:
            path = local_path.result()
            result = self._recogniser.predict(
                path, top_k=job.top_k, settings=job.settings, step_seconds=job.step_seconds
            )
            row = result.as_dict() | {"file": recording.file}
            return row | ({"warnings": result.warnings} if result.warnings else {})
        except UnavailableError as error:
            return failure(recording, error.reason, error.kind)
        except Exception as error:
            return failure(recording, describe(error), "unreadable" if isinstance(error, AinextError) else "bug")


def failure(recording: Recording, reason: str, kind: FailureKind | Literal["stop"]) -> dict[str, Any]:
    """The row of a recording without a result."""
    return {"file": recording.file, "error": reason, "kind": kind}
