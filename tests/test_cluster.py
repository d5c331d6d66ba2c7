"""`ainext batch` on real Ray clusters of this computer: every result exactly once, whatever process is killed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as parquet
import pytest

from audioinceptionnext.cli import main
from audioinceptionnext.cluster import read_failed, read_results
from audioinceptionnext.cluster.listing import find_recordings, make_tasks
from audioinceptionnext.cluster.result_folder import ResultFolder
from audioinceptionnext.cluster.types import MissingRecording, Recording
from audioinceptionnext.cluster.worker import Job, Worker, pack
from audioinceptionnext.errors import FileError
from tests.audio_files import sine, write_wav

pytestmark = pytest.mark.needs("ray")

RATE = 24_000
GOOD, BAD = 28, ["004.wav", "017.wav"]
# In each step at least one of 20 classes has a twentieth: segments are found whatever the weights are.
SETTINGS = ("--threshold", "0.049", "--smoothing", "0", "--min-duration", "0", "--top-k", "3", "--model", "kitchen20")
SECONDS = 20  # long enough that no computer is done before a kill
CLUSTER = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
context = ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 different files of 20 s in two folders; two of them are not audio."""
    folder = tmp_path_factory.mktemp("archive")
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, SECONDS * RATE)
    for number in range(GOOD + len(BAD)):
        path = folder / ("day" if number % 2 else "night") / f"{number:03}.wav"
        path.parent.mkdir(exist_ok=True)
        write_wav(path, sine(150 + 40 * number, SECONDS, RATE) + noise, RATE)
        if path.name in BAD:
            path.write_bytes(b"no sound " * 100)
    return folder


class Cluster(NamedTuple):
    address: str
    pid: int  # of the process that started all of its processes


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that several tests connect to, with its own token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        process = subprocess.Popen([sys.executable, "-c", CLUSTER], stdin=-1, stdout=-1, stderr=-3, text=True)
        assert process.stdin is not None and process.stdout is not None
        yield Cluster(process.stdout.readline().strip(), process.pid)
        process.stdin.close()
        process.wait(60)


def start(*arguments: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "audioinceptionnext", "batch", *map(str, arguments), "--json"]
    return subprocess.Popen(call, stdout=-1, stderr=-1, encoding="utf-8")


def summary_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The summary of a run in which something failed, and which prints nothing else."""
    stdout, stderr = process.communicate(timeout=400)
    assert process.returncode == 1 and all(line.startswith("ainext: ") for line in stderr.splitlines()), stderr
    summary: dict[str, Any] = json.loads(stdout)
    return summary


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The line that explains why a call is wrong."""
    with pytest.raises(SystemExit) as exit:
        main(["batch", *map(str, arguments)])
    assert exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def check_complete(out: Path, archive: Path) -> None:
    """Each file has one line and one row of Parquet; the two that are not audio are among the failures."""
    expected = sorted(str(path) for path in archive.rglob("*.wav") if path.name not in BAD)
    rows = list(read_results(out))
    assert sorted(row["file"] for row in rows) == expected and len(expected) == GOOD
    table = parquet.read_table(out / "parquet").to_pylist()
    assert {row["file"]: row["segments"] for row in table} == {row["file"]: row["segments"] for row in rows}
    assert len(table) == len(rows) and any(row["segments"] for row in rows)
    assert sorted(Path(row["file"]).name for row in read_failed(out)) == BAD
    assert all(row["kind"] == "unreadable" and "not an audio or video file" in row["error"] for row in read_failed(out))
    assert not list(out.rglob("*.part"))


def lines(out: Path) -> list[bytes]:
    parts = [path.read_bytes() for path in (out / "parts").glob("*")] if (out / "parts").is_dir() else []
    return [line for part in parts for line in part.splitlines(keepends=True) if line.endswith(b"\n")]


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def workers(cluster: Cluster) -> list[int]:
    """Process ids of its actors that recognise; nobody else's."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    ours, found = {str(cluster.pid)}, 0
    while found < len(ours):
        found = len(ours)
        ours |= {row[0] for row in rows if row[1] in ours}
    return [int(row[0]) for row in rows if row[0] in ours and "MapWorker" in row[-1]]


# --- Whole runs ---


def test_every_recording_has_one_result(
    archive: Path, cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list, a folder and a pattern that name the same files more than once; a second run finds nothing to do."""
    out = tmp_path / "out"
    (tmp_path / "list.txt").write_text(f"{archive / 'day' / '001.wav'}\n\n{archive / 'day'}\n", encoding="utf-8")
    paths = (f"@{tmp_path / 'list.txt'}", archive / "night", archive / "*" / "*.wav")
    options = ("--workers", 2, "--task-size", 4, *SETTINGS, "--address", cluster.address)
    summary = summary_of(start(*paths, "--out", out, *options))
    names = ("recordings", "done", "failed", "earlier", "unprocessed")
    assert [summary[name] for name in names] == [GOOD + 2, GOOD, 2, 0, 0]
    assert summary["audio_seconds"] == GOOD * SECONDS
    check_complete(out, archive)

    # The results are those of `ainext predict`.
    some = [str(archive / "day" / "001.wav"), str(archive / "night" / "002.wav")]
    with pytest.raises(SystemExit):
        main(["predict", *some, "--json", *SETTINGS])
    rows = {row["file"]: row for row in read_results(out)}
    for expected in json.loads(capsys.readouterr().out):
        row = rows[expected["file"]]
        assert list(row) == list(expected) and row["duration"] == expected["duration"]
        assert [one["label"] for one in row["segments"]] == [one["label"] for one in expected["segments"]]
        scores = [[one["score"] for one in result["clip"]] for result in (row, expected)]
        assert scores[0] == pytest.approx(scores[1], abs=2e-4)  # threads sum in another order

    before = lines(out)
    again = summary_of(start(*paths, "--out", out, *SETTINGS))  # nothing is left to do, so no cluster is needed
    assert (again["done"], again["earlier"], again["failed"], again["audio_seconds"]) == (GOOD, GOOD, 2, 0)
    assert lines(out) == before
    line = refused(capsys, archive, "--out", out, "--threshold", 0.3, *SETTINGS[2:])
    assert "has results with onset_threshold 0.049, not 0.3; give another folder" in line


@posix
def test_a_killed_run_continues(archive: Path, tmp_path: Path) -> None:
    """Both runs start a cluster of their own."""
    out = tmp_path / "out"
    arguments = (archive, "--out", out, "--workers", 2, "--task-size", 1, *SETTINGS)
    first = start(*arguments)
    wait_until(lambda: len(lines(out)) >= 5, first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before, failed = lines(out), list(read_failed(out))
    assert 5 <= len(before) < GOOD
    (part,) = (out / "parts").iterdir()
    with part.open("ab") as file:  # half a line, as a kill in the middle of a write leaves it
        file.write(before[0][: len(before[0]) // 2])

    summary = summary_of(start(*arguments))
    check_complete(out, archive)
    assert set(before) < set(lines(out))
    assert summary["earlier"] == len(before) and summary["audio_seconds"] == (GOOD - len(before)) * SECONDS
    assert len(failed) <= summary["failed"] == 2


@posix
def test_a_killed_worker_costs_no_result(archive: Path, cluster: Cluster, tmp_path: Path) -> None:
    """The recordings come from an object store; no download stays behind."""
    out = tmp_path / "out"
    downloads = "ainext-????????????-*-*"
    before = set(Path(tempfile.gettempdir()).glob(downloads))
    options = ("--workers", 2, "--task-size", 2, *SETTINGS, "--address", cluster.address)
    process = start(archive.as_uri(), "--out", out, *options)
    wait_until(lambda: len(lines(out)) >= 4, process)
    os.kill(workers(cluster)[0], signal.SIGKILL)
    assert len(lines(out)) < GOOD - 4
    summary = summary_of(process)
    assert (summary["recordings"], summary["done"], summary["failed"], summary["unprocessed"]) == (GOOD + 2, GOOD, 2, 0)
    rows = [row["file"] for row in read_results(out)]
    assert len(rows) == GOOD and set(rows) == {path.as_uri() for path in archive.rglob("*.wav") if path.name not in BAD}
    assert sorted(Path(row["file"]).name for row in read_failed(out)) == BAD
    assert set(Path(tempfile.gettempdir()).glob(downloads)) <= before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="sees who has a file open in /proc")
def test_a_recording_that_kills_its_workers_is_given_up(archive: Path, cluster: Cluster, tmp_path: Path) -> None:
    """Each process that opens it is killed; the other recordings are recognised."""
    poison = write_wav(tmp_path / "poison.wav", sine(440, 300, RATE), RATE)
    options = ("--workers", 2, "--task-size", 3, "--address", cluster.address)
    process = start(archive / "day", poison, "--out", tmp_path / "out", *options)
    killed = set()

    def kill() -> bool:
        for pid in workers(cluster):
            try:
                handles = list(Path(f"/proc/{pid}/fd").iterdir())
                if any(handle.samefile(poison) for handle in handles if handle.exists()):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            except OSError:  # it has ended
                continue
        return any(row["kind"] == "crashed" for row in read_failed(tmp_path / "out"))

    wait_until(kill, process)
    summary = summary_of(process)
    assert (summary["done"], summary["failed"], summary["unprocessed"], len(killed)) == (GOOD // 2, 2, 0, 3)
    crashed = {row["file"]: row["error"] for row in read_failed(tmp_path / "out") if row["kind"] == "crashed"}
    assert crashed == {str(poison): "3 workers died while they processed it"}


# --- The result folder ---


def row(number: int, **others: Any) -> dict[str, Any]:
    clip = [{"label": "été", "score": 0.5}]
    return {"file": f"/{number}.wav", "duration": 1.5, "model": "m", "clip": clip, "segments": [], **others}


def failure(number: int, kind: str) -> dict[str, Any]:
    return {"file": f"/{number}.wav", "error": "why", "kind": kind}


def test_the_folder_keeps_each_recording_once(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "out", {"model": "m", "class_thresholds": (0.5,)}) as folder:
        assert folder.add([row(1), failure(2, "unreadable"), row(1)]) == [row(1), failure(2, "unreadable")]
        assert folder.add([row(1), row(2)]) == []
        assert [*read_results(tmp_path / "out")] == [row(1)]  # while it grows
        with pytest.raises(FileError, match="another run is writing to this folder"):
            ResultFolder(tmp_path / "out", {"model": "m", "class_thresholds": (0.5,)})
        assert folder.add([row(3, warnings=["ends early"]), failure(4, "download")])
    with ResultFolder(tmp_path / "out", {"model": "m", "class_thresholds": (0.5,)}) as folder:
        assert len(folder.done) == 2 and len(folder.failed) == 1  # the download may succeed the next time
        assert folder.add([row(2), row(4)]) == [row(4)]
    with ResultFolder(tmp_path / "out", {"model": "m", "class_thresholds": (0.5,)}, retry_failed=True) as folder:
        assert folder.add([row(2), row(3)]) == [row(2)]
    table = parquet.read_table(tmp_path / "out" / "parquet").to_pylist()
    assert sorted(one["file"] for one in table) == ["/1.wav", "/2.wav", "/3.wav", "/4.wav"]
    assert [one["warnings"] for one in table if one["warnings"]] == [["ends early"]]
    with pytest.raises(FileError, match=r"model m, not n; give another folder"):
        ResultFolder(tmp_path / "out", {"model": "n", "class_thresholds": (0.5,)})


def test_a_run_of_some_labels(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command gives to its workers, without a cluster: they have the labels, and run.json says which."""
    import ray

    path, rows = archive / "day" / "001.wav", []

    def run_batch(paths: list[str], job: Job, content: bytes, out: Path, **_: object) -> None:
        recogniser = Worker(job, "x", content, None)
        with ResultFolder(out, job.as_dict()):
            task = pack([Recording(str(path), paths[0])])
            rows.extend(json.loads(row) for row in recogniser({"task": np.array([task])})["rows"])
        raise SystemExit(0)

    monkeypatch.setattr("audioinceptionnext.cluster.run.run_batch", run_batch)
    monkeypatch.setattr(ray, "get", lambda given: given)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(was_current_actor_reconstructed=False))
    call = ("batch", path, "--out", tmp_path / "out", *SETTINGS, "--labels", "water*,blender,eat", "--ignore", "EAT")
    with pytest.raises(SystemExit):
        main([*map(str, call), "--threshold", "sweep=0.9"])
    assert {one["label"] for one in rows[0]["clip"]} == {"blender", "water-flowing"}
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert run["labels"] == ["blender", "water-flowing"] and run["class_thresholds"] == [0.049, 0.049]
    with pytest.raises(FileError, match="labels"):
        ResultFolder(tmp_path / "out", run | {"labels": None})


@posix
def test_a_full_disk_keeps_earlier_results(tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = []
    with ResultFolder(tmp_path, {}) as folder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            with pytest.raises(FileError, match="the results so far are kept; free some space"):
                for number in range(100):
                    written += folder.add([row(number)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 5 < len(written) < 50 and [*read_results(tmp_path)] == written
    with ResultFolder(tmp_path, {}) as folder:
        assert len(folder.done) == len(written)


# --- Listing, and wrong calls ---


def test_listing(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20é"
    odd.mkdir()
    for name in ("x#1.wav", ".hidden.wav", "notes.txt", "@list.wav"):
        (odd / name).write_bytes(b"RIFF")
    (tmp_path / "list").write_text("a b%20é/x#1.wav\r\n\ngone.wav\ns3://bucket/key.wav\n", encoding="utf-8")
    paths = ["@list", "@none", odd.as_uri(), str(odd / "@list.wav"), "foo://x/y.wav", (odd / "nowhere").as_uri()]
    found = list(find_recordings(paths, str(tmp_path)))
    recordings = [item for item in found if isinstance(item, Recording)]
    assert [item.file for item in recordings] == [
        str(odd / "x#1.wav"),
        "s3://bucket/key.wav",  # in a list its name is enough; the store is not asked
        f"file://{odd}/@list.wav",
        f"file://{odd}/x#1.wav",
        str(odd / "@list.wav"),
    ]
    missing = {Path(item.file).name: item.reason for item in found if isinstance(item, MissingRecording)}
    assert list(missing) == ["gone.wav", "none", "y.wav", "nowhere"]
    assert "Unrecognized filesystem type" in missing["y.wav"]
    some = [Recording(str(number), "", size=50 * 2**20 if number > 5 else 1) for number in range(8)]
    assert [[int(one.file) for one in task] for task in make_tasks(some, (), 4)] == [[0, 1, 2, 3], [4, 5, 6], [7]]


def test_wrong_calls(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", tmp_path / "out")
    assert "--out" in refused(capsys, archive)
    assert "is a Ray cluster running there?" in refused(capsys, archive, *out, "--address", "127.0.0.1:1")
    assert "--address" in (line := refused(capsys, archive, *out, "--address", "here")) and "give host:port" in line
    assert "--hop" in refused(capsys, archive, *out, "--hop", 0.01)
    (tmp_path / "file").write_text("")
    line = refused(capsys, archive, "--out", tmp_path / "file")
    assert line == f"ainext: {tmp_path / 'file'}: cannot be used as the result folder: not a directory"


def test_without_ray_the_extra_is_named(archive: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'ray' else find(name, *rest)\n"
        "from audioinceptionnext.cli import main; main(sys.argv[1:])"
    )
    call = [sys.executable, "-c", code, "batch", str(archive), "--out", str(tmp_path / "out")]
    done = subprocess.run(call, capture_output=True, encoding="utf-8", timeout=200)
    assert (done.returncode, done.stdout) == (2, "") and not (tmp_path / "out").exists()
    expected = "batch recognition needs a package that is not installed: pip install 'audioinceptionnext[cluster]'"
    assert done.stderr == f"ainext: {expected}\n"
