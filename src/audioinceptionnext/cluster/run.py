"""A batch run from end to end: list, recognise on workers, write, with progress."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.cluster.listing import find_recordings, make_tasks
from audioinceptionnext.cluster.progress import Progress, RecordingCounter, Summary
from audioinceptionnext.cluster.ray_cluster import first_line, ray_session, redirect_output
from audioinceptionnext.cluster.result_folder import ResultFolder
from audioinceptionnext.cluster.worker import Attempts, Job, Worker, pack
from audioinceptionnext.errors import AinextError

# Recordings per task. Ray takes milliseconds per task, and after a kill as many recordings are recognised again.
TASK_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where a batch runs, and how.

    Attributes:
        address: of a Ray cluster, see `ray_cluster.ray_session`; None starts one on this computer.
        workers: recordings recognised at a time; one per core if None.
        task_size: maximum number of recordings that are handed to a worker at once.
        verbose: print what Ray logs, instead of writing it to the result folder.
    """

    address: str | None = None
    workers: int | None = None
    task_size: int = TASK_SIZE
    verbose: bool = False


def run_batch(
    paths: Sequence[str],
    job: Job,
    content: bytes,
    out: Path,
    *,
    cluster: ClusterOptions | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Recognise all recordings that ``paths`` name, and write the results to a folder.

    Recordings that the folder already holds are not recognised again.

    Args:
        paths: files, folders, patterns, URIs and ``@list.txt``, see `listing.find_recordings`.
        job: how to recognise.
        content: of the model's file.
        out: the result folder, see `result_folder`.
        cluster: where to run; on all cores of this computer unless given.
        retry_failed: try all recordings again that failed in an earlier run, not only those whose failure may have
            been temporary.

    Raises:
        FileError: ``out`` cannot be written, or holds results of another job.
        ParameterError: there is no cluster at ``cluster.address``, or it refuses the connection.
        AinextError: the cluster stopped working. The results so far are kept.
    """
    start = time.monotonic()
    cluster = cluster or ClusterOptions()
    base = str(Path.cwd())
    with (
        ResultFolder(out, job.as_dict(), retry_failed) as folder,
        redirect_output(None if cluster.verbose else out / "ray.log") as stderr,
    ):
        counter = RecordingCounter(paths, base, folder)
        progress = Progress(counter, stderr, start)
        try:
            if next(make_tasks(find_recordings(paths, base), folder.done | folder.failed, 1), None):
                with ray_session(cluster.address, cluster.workers, cluster.verbose) as workers:
                    for rows in _recognise(paths, base, folder, job, content, workers, cluster):
                        progress.count(folder.add(rows))
        except AinextError:
            raise
        except Exception as error:  # whatever Ray raises
            log = "" if cluster.verbose else f"; {out / 'ray.log'} has more"
            raise AinextError(f"{_cause(error)}; the results so far are kept{log}") from error
        finally:
            progress.stop()
        counter.join()
        missing = ({"file": item.file, "error": item.reason, "kind": "missing"} for item in counter.missing)
        progress.count(folder.add(missing))
    return progress.summary(out)


def _recognise(
    paths: Sequence[str],
    base: str,
    folder: ResultFolder,
    job: Job,
    content: bytes,
    workers: int,
    cluster: ClusterOptions,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of one task after another, in the order in which the workers finish them."""
    import ray
    import ray.data

    run_id = hashlib.sha256(str(folder.path.absolute()).encode("utf-8", "replace")).hexdigest()[:12]
    known = ray.put(np.fromiter(folder.done | folder.failed, np.uint64))
    model = ray.put(content)
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars, context.target_max_block_size
    # A row is a task. In larger blocks, Ray Data would collect the whole listing in one block, for one worker.
    context.enable_progress_bars, context.target_max_block_size = cluster.verbose, 1

    def list_tasks(_: Any) -> Iterator[dict[str, list[str]]]:
        done = set(ray.get(known).tolist())
        for task in make_tasks(find_recordings(paths, base), done, cluster.task_size):
            yield {"task": [pack(task)]}

    try:
        # One task lists; Ray Data limits how far it runs ahead of the workers. It has to run on this computer, whose
        # files these are.
        here = {f"node:{ray.util.get_node_ip_address()}": 0.001}
        tasks = ray.data.from_items([0]).map_batches(list_tasks, batch_size=1, num_cpus=0, resources=here)
        # By Ray's defaults, dead actors are restarted without limit and get their tasks again. See `Worker`.
        pool = ray.data.ActorPoolStrategy(size=workers)
        results = tasks.map_batches(
            Worker, fn_constructor_args=(job, run_id, model, attempts), batch_size=1, num_cpus=1, compute=pool
        )
        for batch in results.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for text in batch.get("rows", ()):
                rows = [json.loads(line) for line in text.split("\n")]
                if reasons := [row["error"] for row in rows if row.get("kind") == "stop"]:
                    raise AinextError(reasons[0])
                yield rows
    finally:
        context.enable_progress_bars, context.target_max_block_size = before


def _cause(error: BaseException) -> str:
    """The most telling line of a chain of Ray's errors: that of an error of ours, or else of the innermost one."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        if isinstance(error, AinextError):
            return str(error)
        cause = getattr(error, "cause", None) or error.__cause__
        inner = cause if isinstance(cause, BaseException) else None
    return f"the cluster stopped working: {type(error).__name__}: {first_line(error)}"
