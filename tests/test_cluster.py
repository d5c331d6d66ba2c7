"""`ainext predict --on ray` on real Ray clusters of this machine: everything once, whoever is killed."""

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
from typing import Any, NamedTuple

import numpy as np
import pytest

from audioinceptionnext.cli import main
from audioinceptionnext.cluster import read_failed, read_results
from audioinceptionnext.cluster.listing import find_recordings, tasks
from audioinceptionnext.cluster.result_folder import Folder
from audioinceptionnext.cluster.types import Absent, Recording
from audioinceptionnext.errors import AinextError
from tests.audio_files import sine, write_wav

pytest.importorskip("ray", reason="needs the extra cluster")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra cluster")

RATE = 16_000
GOOD, BAD = 28, ["004.wav", "017.wav"]
# At each moment some class of 20 has a twentieth or more: segments are found whatever the weights are.
SETTINGS = ("--threshold", "0.049", "--smoothing", "0", "--shortest", "0", "--top-k", "3")
SECONDS = 20  # so long that no machine is through before a kill
CLUSTER = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
begun = ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
print(begun.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 files of 20 s in two folders, none of them alike; two are no sound."""
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
    pid: int  # of the process that all of its processes descend from


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One that several tests connect to, with a token of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        held = subprocess.Popen([sys.executable, "-c", CLUSTER], stdin=-1, stdout=-1, stderr=-3, text=True)
        assert held.stdin is not None and held.stdout is not None
        yield Cluster(held.stdout.readline().strip(), held.pid)
        held.stdin.close()
        held.wait(60)


def start(*arguments: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "audioinceptionnext", "predict", *map(str, arguments), "--on", "ray", "--json"]
    return subprocess.Popen(call, stdout=-1, stderr=-1, encoding="utf-8")


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The summary of a run in which something failed, and which prints nothing else."""
    printed, said = process.communicate(timeout=400)
    assert process.returncode == 1 and all(line.startswith("ainext: ") for line in said.splitlines()), said
    summary: dict[str, Any] = json.loads(printed)
    return summary


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as left:
        main(["predict", *map(str, arguments)])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def check_complete(out: Path, sounds: Path) -> None:
    """Each file is there once, as a line and as a row of Parquet; the two that are no sound are in the other list."""
    expected = sorted(str(path) for path in sounds.rglob("*.wav") if path.name not in BAD)
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


def wait(true: Callable[[], object], process: subprocess.Popen[str], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def workers(cluster: Cluster) -> list[int]:
    """Process ids of its actors that hear; nobody else's."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    ours, found = {str(cluster.pid)}, 0
    while found < len(ours):
        found = len(ours)
        ours |= {row[0] for row in rows if row[1] in ours}
    return [int(row[0]) for row in rows if row[0] in ours and "MapWorker" in row[-1]]


# --- Whole runs ---


def test_everything_is_there_once(
    sounds: Path, cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list, a folder and a pattern, which name the same files more than once; then nothing is left to do."""
    out = tmp_path / "out"
    (tmp_path / "list.txt").write_text(f"{sounds / 'day' / '001.wav'}\n\n{sounds / 'day'}\n", encoding="utf-8")
    given = (f"@{tmp_path / 'list.txt'}", sounds / "night", sounds / "*" / "*.wav")
    found = ended(start(*given, "--out", out, "--workers", 2, "--batch", 4, *SETTINGS, "--address", cluster.address))
    assert [found[name] for name in ("files", "done", "failed", "earlier", "left")] == [GOOD + 2, GOOD, 2, 0, 0]
    assert found["seconds"] == GOOD * SECONDS
    check_complete(out, sounds)

    # The same as without a cluster.
    some = [str(sounds / "day" / "001.wav"), str(sounds / "night" / "002.wav")]
    with pytest.raises(SystemExit):
        main(["predict", *some, "--json", *SETTINGS])
    rows = {row["file"]: row for row in read_results(out)}
    for alone in json.loads(capsys.readouterr().out):
        there = rows[alone["file"]]
        assert list(there) == list(alone) and there["duration"] == alone["duration"]
        assert [one["label"] for one in there["segments"]] == [one["label"] for one in alone["segments"]]
        scores = [[one["score"] for one in row["clip"]] for row in (there, alone)]
        assert scores[0] == pytest.approx(scores[1], abs=2e-4)  # threads sum in another order

    before = lines(out)
    again = ended(start(*given, "--out", out, *SETTINGS))  # without an address: nothing to do needs no cluster
    assert (again["done"], again["earlier"], again["failed"], again["seconds"]) == (GOOD, GOOD, 2, 0)
    assert lines(out) == before
    other = refused(capsys, sounds, "--on", "ray", "--out", out, *SETTINGS, "--threshold", 0.3)
    assert "has results with upper 0.049, not 0.3: give another --out" in other


@posix
def test_a_run_that_was_killed_goes_on(sounds: Path, tmp_path: Path) -> None:
    """On a cluster of its own, both times."""
    out = tmp_path / "out"
    given = (sounds, "--out", out, "--workers", 2, "--batch", 1, *SETTINGS)
    first = start(*given)
    wait(lambda: len(lines(out)) >= 5, first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before, failed = lines(out), list(read_failed(out))
    assert 5 <= len(before) < GOOD
    (part,) = (out / "parts").iterdir()
    with part.open("ab") as file:  # cut off in the middle of a line, as a kill in the middle of a write leaves it
        file.write(before[0][: len(before[0]) // 2])

    found = ended(start(*given))
    check_complete(out, sounds)
    assert set(before) < set(lines(out))
    assert found["earlier"] == len(before) and found["seconds"] == (GOOD - len(before)) * SECONDS
    assert len(failed) <= found["failed"] == 2


@posix
def test_a_worker_that_was_killed_costs_nothing(sounds: Path, cluster: Cluster, tmp_path: Path) -> None:
    """The sound comes from a store; no download stays behind."""
    out = tmp_path / "out"
    downloads = "ainext-????????????-*-*"
    before = set(Path(tempfile.gettempdir()).glob(downloads))
    given = (sounds.as_uri(), "--out", out, "--workers", 2, "--batch", 2, *SETTINGS, "--address", cluster.address)
    process = start(*given)
    wait(lambda: len(lines(out)) >= 4, process)
    os.kill(workers(cluster)[0], signal.SIGKILL)
    assert len(lines(out)) < GOOD - 4
    found = ended(process)
    assert (found["files"], found["done"], found["failed"], found["left"]) == (GOOD + 2, GOOD, 2, 0)
    rows = [row["file"] for row in read_results(out)]
    assert len(rows) == GOOD and set(rows) == {path.as_uri() for path in sounds.rglob("*.wav") if path.name not in BAD}
    assert sorted(Path(row["file"]).name for row in read_failed(out)) == BAD
    assert set(Path(tempfile.gettempdir()).glob(downloads)) <= before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="sees who has a file open in /proc")
def test_a_recording_that_kills_its_workers_is_given_up(sounds: Path, cluster: Cluster, tmp_path: Path) -> None:
    """Whoever opens it is killed, each time; the others are heard."""
    poison = write_wav(tmp_path / "poison.wav", sine(440, 300, RATE), RATE)
    given = (
        sounds / "day",
        poison,
        "--out",
        tmp_path / "out",
        "--workers",
        2,
        "--batch",
        3,
        "--address",
        cluster.address,
    )
    process = start(*given)
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

    wait(kill, process)
    found = ended(process)
    assert (found["done"], found["failed"], found["left"], len(killed)) == (GOOD // 2, 2, 0, 3)
    crashed = {row["file"]: row["error"] for row in read_failed(tmp_path / "out") if row["kind"] == "crashed"}
    assert crashed == {str(poison): "the worker that hears it died, 3 times"}


# --- The folder of results ---


def row(number: int, **others: Any) -> dict[str, Any]:
    clip = [{"label": "été", "score": 0.5}]
    return {"file": f"/{number}.wav", "duration": 1.5, "model": "m", "clip": clip, "segments": [], **others}


def failure(number: int, kind: str) -> dict[str, Any]:
    return {"file": f"/{number}.wav", "error": "why", "kind": kind}


def test_the_folder_keeps_each_recording_once(tmp_path: Path) -> None:
    with Folder(tmp_path / "out", {"model": "m", "by_class": (0.5,)}) as folder:
        assert folder.add([row(1), failure(2, "unreadable"), row(1)]) == [row(1), failure(2, "unreadable")]
        assert folder.add([row(1), row(2)]) == []
        assert [*read_results(tmp_path / "out")] == [row(1)]  # while it grows
        with pytest.raises(AinextError, match="another run is writing there"):
            Folder(tmp_path / "out", {"model": "m", "by_class": (0.5,)})
        assert folder.add([row(3, warnings=["ends early"]), failure(4, "download")])
    with Folder(tmp_path / "out", {"model": "m", "by_class": (0.5,)}) as folder:
        assert len(folder.done) == 2 and len(folder.failed) == 1  # of a download nobody knows what it would have been
        assert folder.add([row(2), row(4)]) == [row(4)]
    with Folder(tmp_path / "out", {"model": "m", "by_class": (0.5,)}, retry_failed=True) as folder:
        assert folder.add([row(2), row(3)]) == [row(2)]
    table = parquet.read_table(tmp_path / "out" / "parquet").to_pylist()
    assert sorted(one["file"] for one in table) == ["/1.wav", "/2.wav", "/3.wav", "/4.wav"]
    assert [one["warnings"] for one in table if one["warnings"]] == [["ends early"]]
    with pytest.raises(AinextError, match=r"model m, not n: give another --out"):
        Folder(tmp_path / "out", {"model": "n", "by_class": (0.5,)})


@posix
def test_a_full_disk_leaves_what_was_done(tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = []
    with Folder(tmp_path, {}) as folder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            with pytest.raises(AinextError, match="what was done stays: make room and run it again"):
                for number in range(100):
                    written += folder.add([row(number)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 5 < len(written) < 50 and [*read_results(tmp_path)] == written
    with Folder(tmp_path, {}) as folder:
        assert len(folder.done) == len(written)


# --- What there is to hear, and wrong calls ---


def test_sources(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20é"
    odd.mkdir()
    for name in ("x#1.wav", ".hidden.wav", "notes.txt", "@list.wav"):
        (odd / name).write_bytes(b"RIFF")
    (tmp_path / "list").write_text("a b%20é/x#1.wav\r\n\ngone.wav\ns3://bucket/key.wav\n", encoding="utf-8")
    given = ["@list", "@none", odd.as_uri(), str(odd / "@list.wav"), "foo://x/y.wav", (odd / "nowhere").as_uri()]
    found = list(find_recordings(given, str(tmp_path)))
    there = [item for item in found if isinstance(item, Recording)]
    assert [item.file for item in there] == [
        str(odd / "x#1.wav"),
        "s3://bucket/key.wav",  # not asked for: that it is named like a recording is enough in a list
        f"file://{odd}/@list.wav",
        f"file://{odd}/x#1.wav",
        str(odd / "@list.wav"),
    ]
    absent = {Path(item.file).name: item.reason for item in found if isinstance(item, Absent)}
    assert list(absent) == ["gone.wav", "none", "y.wav", "nowhere"]
    assert "Unrecognized filesystem type" in absent["y.wav"]
    some = [Recording(str(number), "", size=50 * 2**20 if number > 5 else 1) for number in range(8)]
    assert [[int(one.file) for one in task] for task in tasks(some, (), 4)] == [[0, 1, 2, 3], [4, 5, 6], [7]]


def test_wrong_calls(sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on, out = ("--on", "ray"), ("--out", tmp_path / "out")
    assert "give --out DIR" in refused(capsys, sounds, *on)
    assert "--format csv: --on ray writes JSON lines" in refused(capsys, sounds, *on, *out, "--format", "csv")
    assert "--batch: belongs to --on ray" in refused(capsys, sounds, "--batch", 2)
    assert "is Ray running there" in refused(capsys, sounds, *on, *out, "--address", "127.0.0.1:1")
    assert "give host:port" in refused(capsys, sounds, *on, *out, "--address", "here")
    (tmp_path / "file").write_text("")
    assert "--out" in refused(capsys, sounds, *on, "--out", tmp_path / "file")


def test_without_ray_the_extra_is_named(sounds: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'ray' else find(name, *rest)\n"
        "from audioinceptionnext.cli import main; main(sys.argv[1:])"
    )
    call = [sys.executable, "-c", code, "predict", str(sounds), "--on", "ray", "--out", str(tmp_path / "out")]
    done = subprocess.run(call, capture_output=True, encoding="utf-8", timeout=200)
    assert (done.returncode, done.stdout) == (2, "") and not (tmp_path / "out").exists()
    assert done.stderr == "ainext: --on ray needs Ray: pip install 'audioinceptionnext[cluster]'\n"
