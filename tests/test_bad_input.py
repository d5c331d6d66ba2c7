"""Files that are not recordings, unusual ones, and wrong calls: a result or one clear line, never a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from audioinceptionnext.models.names import find_model
from tests.audio_files import chirp, encode, sine, write_video, write_wav
from tests.command import EXTRAS, MODEL, WITHOUT, Outcome, ainext, check, python, refused

RATE = 24_000


def wav_bytes(data: bytes, rate: int = 24_000, size: int | None = None, bits: int = 16) -> bytes:
    """A mono WAV file; ``rate`` and ``size`` (of the data) are what its header says."""
    size = len(data) if size is None else size
    header = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * bits // 8, bits // 8, bits)
    riff = struct.pack("<I", (36 + size) & 0xFFFFFFFF)
    return b"RIFF" + riff + b"WAVEfmt " + header + b"data" + struct.pack("<I", size) + data


TWO_SECONDS = (sine(440, 2, 24_000) * 32767).astype("<i2").tobytes()


def noise(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def cut(path: Path) -> None:
    """Leave the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# --- Recordings of every kind, all in one call ---

BAD: dict[str, bytes] = {
    "empty.wav": b"",
    "text.wav": b"These are words and no sound at all.\n" * 100,
    "page.mp3": b"<!DOCTYPE html><html><body>404</body></html>" * 50,
    "header only.wav": wav_bytes(b""),
    "rate 0.wav": wav_bytes(TWO_SECONDS, rate=0),
    "stub.flac": b"fLaC",
    **{f"random{suffix}": noise(20_000, seed) for seed, suffix in enumerate((".wav", ".mp3", ".ogg", ".mp4", ".bin"))},
}
# Name -> seconds.
WHOLE: dict[str, float] = {
    "size 0.wav": 2,
    "size FFFFFFFF.wav": 2,
    "10 ms.wav": 0.01,
    "silence.wav": 3,
    "8 kHz.wav": 2,
    "96 kHz.flac": 2,
    "5.1.wav": 2,
    "film.mp4": 2,
    "dîner à Zürich 夕食.wav": 1,
    "-dash.wav": 1,
    "--json": 1,
    "100%d [x].wav": 1,
    "[bold]loud.wav": 1,
}
if os.name != "nt":
    WHOLE |= {'quoted "a", b.wav': 1, "two\nlines.wav": 1, "concat:x.wav": 1, "*.wav": 1}
CUT = ("cut.wav", "cut.flac", "cut.ogg", "cut.mp3")  # of 4 s


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("found")
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    write_video(folder / "mute.mp4", with_audio=False)
    cut(write_video(folder / "no index.mp4", seconds=3))
    (folder / "no sound here").mkdir()
    (folder / "no sound here" / "notes.txt").write_text("nothing")
    for name in CUT:
        cut(encode(folder / name, np.stack([chirp(4, 48000)] * 2, axis=1), 48000))
    (folder / "size 0.wav").write_bytes(wav_bytes(TWO_SECONDS, size=0))
    (folder / "size FFFFFFFF.wav").write_bytes(wav_bytes(TWO_SECONDS, size=0xFFFFFFFF))
    write_wav(folder / "10 ms.wav", sine(440, 0.01, RATE), RATE)
    write_wav(folder / "silence.wav", np.zeros(3 * RATE), RATE)
    write_wav(folder / "8 kHz.wav", chirp(2, 8000), 8000)
    encode(folder / "96 kHz.flac", np.stack([chirp(2, 96000)] * 2, axis=1), 96000)
    write_wav(folder / "5.1.wav", np.stack([chirp(2, 48000)] * 6, axis=1), 48000)
    write_video(folder / "film.mp4", seconds=2)
    for name in WHOLE:
        if not (folder / name).exists():
            write_wav(folder / name, chirp(1, RATE), RATE)
    return folder


FAILING = [*BAD, "mute.mp4", "no index.mp4", "no sound here", "gone.wav", "gone-*.wav"]
# Good ones between the bad ones.
GIVEN = [name for pair in zip(FAILING, [*WHOLE, *CUT], strict=False) for name in pair]
GIVEN += [name for name in [*FAILING, *WHOLE, *CUT] if name not in GIVEN]


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    call = ("-m", "audioinceptionnext", "predict", "--json", "--", *GIVEN)
    return python(*call, folder=folder)


def test_a_failure_stops_nothing_else(outcome: Outcome) -> None:
    assert outcome.code == 1
    assert [item["file"] for item in outcome.json] == GIVEN
    assert [item["file"] for item in outcome.json if "error" in item] == [name for name in GIVEN if name in FAILING]
    assert len(outcome.complaints) == len(FAILING) + len(CUT) + 1  # and FFmpeg said nothing


@pytest.mark.parametrize("name", FAILING)
def test_a_file_that_is_not_a_recording(outcome: Outcome, name: str) -> None:
    item = outcome.json[GIVEN.index(name)]
    assert list(item) == ["file", "error"]
    assert item["error"] and "\n" not in item["error"] and name not in item["error"]
    assert outcome.complaints.count(f"ainext: {name}: {item['error']}") == 1


@pytest.mark.parametrize("name", WHOLE)
def test_an_unusual_file(outcome: Outcome, name: str) -> None:
    item = outcome.json[GIVEN.index(name)]
    check(item)
    assert item["duration"] == pytest.approx(WHOLE[name], abs=0.05 if name == "film.mp4" else 0.001)
    warned = [line for line in outcome.complaints if line.startswith(f"ainext: warning: {name}")]
    assert len(warned) == (name == "8 kHz.wav")


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_in_half(outcome: Outcome, name: str) -> None:
    item = outcome.json[GIVEN.index(name)]
    check(item)
    assert 0.9 < item["duration"] < 3  # pages of Ogg hold a second
    (line,) = [line for line in outcome.complaints if name in line]
    assert line.startswith(f"ainext: warning: {name}: ends early: decoded ")


@pytest.mark.parametrize("format", ["table", "csv"])
def test_other_formats_hold_the_results(folder: Path, format: str) -> None:
    few = ["empty.wav", "[bold]loud.wav", "text.wav"]
    found = python("-m", "audioinceptionnext", "predict", *few, "-f", format, "-t", 0.01, folder=folder)
    assert found.code == 1 and len(found.complaints) == 2
    assert "[bold]loud.wav" in found.out and not any(name in found.out for name in ("empty", "text", "error"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_names_that_stdout_cannot_show(tmp_path: Path, encoding: str) -> None:
    names = [os.fsdecode(b"caf\xe9.wav"), "été.wav"]
    for name in names:
        write_wav(tmp_path / name, chirp(1, RATE), RATE)
    for format in ("json", "csv", "table"):
        call = ("-m", "audioinceptionnext", "predict", *names, "-f", format, "-t", 0.01)
        found = python(*call, folder=tmp_path, PYTHONIOENCODING=encoding)
        assert (found.code, found.err) == (0, "")
        assert "caf?.wav" in found.out and "été.wav" in found.out
        if format == "json":
            assert [item["file"] for item in found.json] == ["caf?.wav", "été.wav"]


# --- Long recordings ---

MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
json.dump({"code": done.returncode, "out": done.stdout, "err": done.stderr, "peak": peak}, sys.stdout)
"""


def hours(path: Path, seconds: int) -> tuple[list[dict[str, Any]], float]:
    """The result for a recording of this length, and the peak memory in MB. The file takes no space on the disk."""
    pytest.importorskip("resource", reason="Windows does not report a process's peak memory this way")
    path.write_bytes(wav_bytes(b"", bits=8, size=seconds * 24_000))
    os.truncate(path, path.stat().st_size + seconds * 24_000)
    # Through a small process of its own, since a child's peak begins at that of its parent.
    found = python("-c", MEASURE, "-m", "audioinceptionnext", "predict", "--json", path).json
    assert (found["code"], found["err"]) == (0, "")
    return json.loads(found["out"]), found["peak"] / 1e6


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    (brief,), short = hours(tmp_path / "brief.wav", 180)  # more than a block
    (longer,), long = hours(tmp_path / "longer.wav", 900)
    check(brief)
    check(longer)
    assert (brief["duration"], longer["duration"]) == (180, 900)
    assert long < short + 60


@pytest.mark.skipif(os.environ.get("AINEXT_SLOW") != "1", reason="takes minutes; AINEXT_SLOW=1 runs it")
def test_six_hours(tmp_path: Path) -> None:
    (night,), peak = hours(tmp_path / "night.wav", 6 * 3600)
    check(night)
    assert night["duration"] == 21_600
    assert peak < 800


# --- Wrong calls ---


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("wav") / "one.wav", chirp(1, RATE), RATE)


def test_wrong_options(wav: Path) -> None:
    assert "did you mean kitchen20?" in refused("predict", wav, "--model", "kitchen2O")
    assert MODEL in refused("predict", wav, "--model", "something else")
    assert "--nonsense" in refused("predict", wav, "--nonsense")
    assert "PATH" in refused("predict")
    assert "predict" in refused("perdict", wav)
    assert "xml" in refused("predict", wav, "--format", "xml")
    assert "--top-k" in refused("predict", wav, "--top-k", 0)
    for value in ("0", "-1", "1.5", "nan"):
        assert "--threshold" in refused("predict", wav, "--threshold", value)
    assert "--offset-threshold 0.7" in refused("predict", wav, "--offset-threshold", 0.7)
    assert "--merge-gap" in refused("predict", wav, "--merge-gap", -1)
    assert "--out" in refused("predict", wav, "--out", wav)
    assert "--out" in refused("predict", wav, "--out", wav / "below")


def test_wrong_models(wav: Path, tmp_path: Path) -> None:
    shipped = find_model(MODEL)
    content = shipped.read()
    files = {"text.onnx": b"hello", "empty.onnx": b"", "cut.onnx": content[: len(content) // 2], "named": b"hello"}
    for name, wrong in files.items():
        (tmp_path / name).write_bytes(wrong)
        assert name in refused("predict", wav, "--model", tmp_path / name)
    assert "gone.onnx" in refused("predict", wav, "--model", tmp_path / "gone.onnx")
    assert "ainext export" in refused("predict", wav, "--model", "weights.safetensors")
    # A model of ours that has lost a key, and one that ONNX Runtime runs but that is not ours.
    model = onnx.load_from_string(content)
    del model.metadata_props[next(i for i, entry in enumerate(model.metadata_props) if entry.key == "mode")]
    onnx.save(model, tmp_path / "lossy.onnx")
    assert "lossy.onnx" in refused("predict", wav, "--model", tmp_path / "lossy.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    assert "ainext export" in refused("predict", wav, "--model", tmp_path / "foreign.onnx")


def test_a_model_in_a_folder_of_the_user(wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = find_model(MODEL)
    shutil.copytree(shipped.folder, tmp_path / "mine")
    (tmp_path / "mine/model.json").write_text(json.dumps(shipped.description | {"name": "mine"}), encoding="utf-8")
    monkeypatch.setenv("AINEXT_MODELS", str(tmp_path))
    assert "mine" in [entry["name"] for entry in ainext("models", "--json").json]
    (by_name,) = ainext("predict", wav, "--json", "-m", "mine").json
    (by_file,) = ainext("predict", wav, "--json", "-m", tmp_path / "mine/model.onnx").json
    assert by_name["model"] == "mine" and by_name["clip"] == by_file["clip"]
    content = bytearray((tmp_path / "mine/model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "mine/model.onnx").write_bytes(content)
    line = refused("predict", wav, "-m", "mine")
    assert "model.onnx" in line and "damaged" in line
    (tmp_path / "mine/model.onnx").unlink()
    assert "model.onnx" in refused("predict", wav, "-m", "mine")
    (tmp_path / "mine/model.json").write_text("{")
    assert "model.json" in refused("models")


def test_a_traceback_only_with_debug(wav: Path) -> None:
    call = ("-m", "audioinceptionnext", "predict", wav, "--hop", "nan")
    plain, debug = python(*call), python(*call, "--debug")
    assert plain.code == 2 and "Traceback" not in plain.err and len(plain.complaints) == 1
    assert debug.code != 0 and "Traceback" in debug.err and "step_seconds is nan" in debug.err


# --- Wrong calls of the commands for training and export ---


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Kitchen20 of twenty short clips, one per class, in five folds."""
    root = tmp_path_factory.mktemp("Kitchen20")
    (root / "audio").mkdir()
    lines = ["filename,fold,target,category,source_id"]
    for number, label in enumerate(find_model(MODEL).description["labels"]):
        write_wav(root / "audio" / f"{number}.wav", sine(200 + 100 * number, 0.3, RATE), RATE)
        lines.append(f"{number}.wav,{number % 5 + 1},{number},{label},{number}")
    (root / "meta.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize("missing", [EXTRAS, "torch"])
def test_a_missing_extra_is_named(data: Path, tmp_path: Path, missing: str) -> None:
    calls: list[tuple[str, list[object]]] = [
        ("train", ["train", "--data", "kitchen20", "--root", data, "--out", tmp_path]),
        ("export", ["evaluate", "--data", "kitchen20", "--root", data, "-m", tmp_path / "m.safetensors"]),
        ("export", ["convert", tmp_path / "m.pyth", tmp_path / "m.safetensors"]),
        ("export", ["export", tmp_path / "m.safetensors", tmp_path / "m.onnx"]),
    ]
    # All in one process, since what the first imports, the others would import as well.
    code = WITHOUT.format(absent=missing) + "import json; from audioinceptionnext.cli import main\n"
    code += "for call in json.loads(sys.argv[1]):\n    try: main(call)\n    except SystemExit as e: print(e.code)\n"
    found = python("-c", code, json.dumps([[str(part) for part in call] for _, call in calls]))
    assert found.out.split() == ["2"] * len(calls)
    assert [re.findall(r"audioinceptionnext\[(\w+)\]", line) for line in found.complaints] == [[e] for e, _ in calls]


@pytest.mark.parametrize("command", ["evaluate", pytest.param("train", marks=pytest.mark.workshop)])
def test_a_data_set_that_does_not_exist(data: Path, tmp_path: Path, command: str) -> None:
    out = ("--out", tmp_path / "out") if command == "train" else ("--model", MODEL)
    assert "did you mean kitchen20?" in refused(command, "--data", "kitchen2", "--root", data, *out)
    assert "kitchen20" in refused(command, "--data", "nothing like it", "--root", data, *out)
    assert "--root" in refused(command, "--data", "kitchen20", *out)
    assert "--data" in refused(command, "--root", data, *out)
    assert "--root" in refused(command, "--data", "kitchen20", "--root", data / "gone", *out)
    assert "meta.csv" in refused(command, "--data", "kitchen20", "--root", tmp_path, *out)
    shutil.copy(data / "meta.csv", tmp_path)
    assert "20 of 20 clips are missing" in refused(command, "--data", "kitchen20", "--root", tmp_path, *out)
    assert not (tmp_path / "out").exists()


def test_evaluate(data: Path) -> None:
    call = ("evaluate", "--data", "kitchen20", "--root", data)
    assert "--model" in refused(*call)  # of all models, few fit a data set
    call = (*call, "--model", MODEL)
    for folds in ("9", "1-9", "0", "a", ""):
        assert f"--folds {folds}" in refused(*call, "--folds", folds)
    assert "did you mean kitchen20?" in refused(*call, "--model", "kitchen2O")
    assert "gone.onnx" in refused(*call, "--model", "gone.onnx")
    found = ainext(*call, "--folds", "2,5", "--json")
    assert found.code == 0
    (warning,) = found.complaints  # the shipped model was trained on the whole data set
    assert warning.startswith("ainext: warning: kitchen20 was trained on 8 of these 8 clips")
    assert (found.json["data"], found.json["model"], found.json["clips"]) == ("kitchen20", MODEL, 8)
    assert all(0 <= found.json[name] <= 100 for name in ("top1", "top5", "mca", "map"))
    assert 0 <= found.json["mauc"] <= 1
    assert set(found.json["per_class"]) <= set(find_model(MODEL).description["labels"])


@pytest.mark.workshop
def test_a_finished_run_is_not_started_over(data: Path, tmp_path: Path) -> None:
    (weights := tmp_path / "model.safetensors").write_bytes(b"weeks of work")
    call = ("train", "--data", "kitchen20", "--root", data, "--out", tmp_path)
    message = "holds a run that is not finished; resume or overwrite it, or give another folder"
    assert refused(*call).startswith(f"ainext: --out {tmp_path}: {message}")
    (figures := tmp_path / "figures.json").touch()
    message = "holds a finished run; give another folder, resume the run to export and score it again, or overwrite it"
    assert refused(*call).startswith(f"ainext: --out {tmp_path}: {message}")
    figures.unlink()
    assert [path.name for path in tmp_path.iterdir() if path != data] == [weights.name]
    assert weights.read_bytes() == b"weeks of work"
    weights.rename(tmp_path / "last.ckpt")
    message = "holds a run that is not finished; resume or overwrite it, or give another folder"
    assert refused(*call).startswith(f"ainext: --out {tmp_path}: {message}")
    # Nothing is removed for a call that is refused afterwards.
    assert "--train-folds 9" in refused(*call, "--overwrite", "--train-folds", "9")
    assert (tmp_path / "last.ckpt").read_bytes() == b"weeks of work"


@pytest.mark.workshop
def test_train_convert_export(data: Path, tmp_path: Path) -> None:
    call = ("train", "--data", "kitchen20", "--root", data, "--out", tmp_path / "run")
    assert "--train-folds 9" in refused(*call, "--train-folds", "9")
    assert "--epochs" in refused(*call, "--epochs", -1)
    assert "--threads" in refused(*call, "--threads", 0)
    assert "--set crops=a,b: " in refused(*call, "--set", "crops=a,b")
    assert "--set optimizer=adam: " in refused(*call, "--set=optimizer=adam")
    assert "--set epochs=-1: " in refused(*call, "--set", "epochs=-1")
    assert "did you mean modern?" in refused(*call, "--recipe", "moden")
    (tmp_path / "text").write_text("no weights")
    for command, suffix in (("convert", ".safetensors"), ("export", ".onnx")):
        target = tmp_path / f"new{suffix}"
        assert "gone" in refused(command, tmp_path / "gone", target)
        assert f"{tmp_path / 'text'}: " in refused(command, tmp_path / "text", target)
        assert suffix in refused(command, tmp_path / "text", tmp_path / "new.bin")
        assert "OUT" in refused(command, tmp_path / "text")
        assert not target.exists()
    assert "int7" in refused("export", tmp_path / "text", tmp_path / "new.onnx", "--precision", "int7")
