"""``ainext`` as it is typed: what comes to stdout, what to stderr, which files appear, and the exit code.

Most calls are made in this process, a start of Python being half a second; what depends on a fresh one is not.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import DEFAULT_MODEL
from audioinceptionnext.results.console import TABLE_SEGMENTS
from tests.audio_files import chirp, encode, sine, write_wav
from tests.browser import SCENE
from tests.command import ALL, EXTRAS, MODEL, RUN, WITHOUT, ainext, check, plain, python, refused

RATE = 24_000
COMMANDS = (
    "predict", "batch", "listen", "models", "train", "evaluate", "cross-validate", "recipes", "convert", "export",
    "benchmark", "study", "explain", "report", "serve", "push",
)  # fmt: skip


def covered(item: dict[str, Any]) -> float:
    """Seconds that segments cover, those of two labels at once counted twice."""
    return sum(one["end"] - one["start"] for one in item["segments"])


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that help and tables break no line that is looked for."""
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: one.wav (5 s), two.wav (3 s), sub/one.flac (1 s), none of them alike, and notes.txt."""
    folder = tmp_path_factory.mktemp("sounds")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE)
    write_wav(folder / "one.wav", np.concatenate([sine(440, 2, RATE), np.zeros(RATE), noise]), RATE)
    write_wav(folder / "two.wav", np.concatenate([chirp(2, RATE), noise[:RATE]]), RATE)
    (folder / "sub").mkdir()
    encode(folder / "sub" / "one.flac", noise[:RATE], RATE)
    (folder / "notes.txt").write_text("a list")
    return folder


# --- The result, in every format ---


def test_json_is_the_interface(sounds: Path) -> None:
    files = [str(sounds / name) for name in ("two.wav", "one.wav", "sub/one.flac")]
    found = ainext("predict", *files, "--json", *ALL)
    assert found.code == 0 and not found.err
    assert [item["file"] for item in found.json] == files
    assert [item["duration"] for item in found.json] == [3, 5, 1]
    for item in found.json:
        check(item)
        assert covered(item) >= item["duration"] - 0.01
    assert found.json[0]["clip"] != found.json[1]["clip"]
    assert ainext("predict", *files, "--format", "json", *ALL) == found


def from_csv(text: str) -> list[tuple[float, float, str]]:
    return [(float(row["start"]), float(row["end"]), row["label"]) for row in csv.DictReader(io.StringIO(text))]


def from_audacity(text: str) -> list[tuple[float, float, str]]:
    rows = [line.split("\t") for line in text.splitlines()]
    return [(float(start), float(end), label) for start, end, label in rows]


def seconds(text: str) -> float:
    parts = [float(part) for part in text.replace(",", ".").split(":")]
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def from_srt(text: str) -> list[tuple[float, float, str]]:
    cues = [cue.splitlines() for cue in text.strip().split("\n\n")]
    assert [int(number) for number, _, _ in cues] == list(range(1, len(cues) + 1))
    times = [[seconds(time) for time in line.split(" --> ")] for _, line, _ in cues]
    return [(start, end, cue[2].rpartition(" ")[0]) for (start, end), cue in zip(times, cues, strict=True)]


def from_table(text: str) -> list[tuple[float, float, str]]:
    rows = re.findall(r"^ +(\d+:\d\d\.\d{3}) +(\d+:\d\d\.\d{3}) +(\S.*?) +\d+% *$", plain(text), re.MULTILINE)
    return [(seconds(start), seconds(end), label) for start, end, label in rows]


def from_json(text: str) -> list[tuple[float, float, str]]:
    return [(one["start"], one["end"], one["label"]) for one in json.loads(text)["segments"]]


READERS: dict[str, tuple[str, Callable[[str], list[tuple[float, float, str]]]]] = {
    "table": (".txt", from_table),
    "json": (".json", from_json),
    "csv": (".csv", from_csv),
    "audacity": (".txt", from_audacity),
    "srt": (".srt", from_srt),
}


@pytest.fixture(scope="session")
def segments(sounds: Path) -> list[tuple[float, float, str]]:
    """What the other formats must hold for one.wav, by its JSON."""
    (item,) = ainext("predict", sounds / "one.wav", "--json", *ALL).json
    return [(one["start"], one["end"], one["label"]) for one in item["segments"]]


@pytest.mark.parametrize("format", READERS)
def test_formats_hold_the_same(
    sounds: Path, segments: list[tuple[float, float, str]], tmp_path: Path, format: str
) -> None:
    suffix, reader = READERS[format]
    call = ("predict", sounds / "one.wav", "--format", format, *ALL)
    printed = ainext(*call)
    assert (printed.code, printed.err) == (0, "")
    written = ainext(*call, "--out", tmp_path / "new" / "folder")
    assert written == (0, "", "")
    (file,) = (tmp_path / "new" / "folder").iterdir()
    assert file.name == f"one{suffix}"
    texts = [file.read_text(encoding="utf-8")] + ([printed.out] if format != "json" else [])
    expected = segments[:TABLE_SEGMENTS] if format == "table" else segments
    for text in texts:
        rows = reader(text)
        assert [label for *_, label in rows] == [label for *_, label in expected]
        assert np.allclose([row[:2] for row in rows], [row[:2] for row in expected], rtol=0, atol=0.0011)


def test_several_recordings_on_stdout(sounds: Path) -> None:
    files = [str(sounds / "one.wav"), str(sounds / "two.wav")]
    rows = list(csv.DictReader(io.StringIO(ainext("predict", *files, "-f", "csv", *ALL).out)))
    assert list(dict.fromkeys(row["file"] for row in rows)) == files
    single = [ainext("predict", file, "-f", "srt", *ALL).out for file in files]
    assert ainext("predict", *files, "-f", "srt", *ALL).out == "\n".join(single)  # an empty line between
    table = ainext("predict", *files).out
    assert all(table.count(Path(file).name) == 1 for file in files)


def test_one_recording_is_singular(sounds: Path) -> None:
    found = ainext("predict", sounds / "one.wav", "--model", MODEL, "--verbose")
    assert found.code == 0 and found.err.endswith(", 1 recording at a time\n")


def test_out_keeps_recordings_of_one_name_apart(sounds: Path, tmp_path: Path) -> None:
    found = ainext("predict", sounds / "one.wav", sounds / "sub" / "one.flac", "--json", "--out", tmp_path, "--plot")
    assert found == (0, "", "")
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(tmp_path.glob("*.json"))]
    assert sorted(item["duration"] for item in documents) == [1, 5]
    pictures = list(tmp_path.glob("*.png"))
    assert len(pictures) == 2
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in pictures)


@pytest.mark.parametrize(
    ("name", "instead"), [("all.csv", "give --table "), ("ALL.JSON", "redirect what is printed: > ")]
)
def test_out_is_a_folder_and_no_file(sounds: Path, tmp_path: Path, name: str, instead: str) -> None:
    message = refused("predict", sounds / "one.wav", "--model", MODEL, "--out", tmp_path / name)
    assert message.startswith(f"ainext: --out {tmp_path / name}: takes a folder") and message.endswith(
        f"{instead}{tmp_path / name}"
    )
    assert not (tmp_path / name).exists()
    (tmp_path / name).mkdir()  # whoever has such a folder may use it
    assert ainext("predict", sounds / "one.wav", "-m", MODEL, "-o", tmp_path / name).code == 0


def test_plot_without_out_leaves_the_picture_here(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = ainext("predict", sounds / "two.wav", "--json", "--plot")
    assert found.code == 0 and not found.err
    check(found.json[0])
    assert [path.name for path in tmp_path.iterdir()] == ["two.png"]


def test_the_recording_itself_is_never_overwritten(tmp_path: Path) -> None:
    path = encode(tmp_path / "sound.json", sine(440, 1, RATE), RATE, "flac", "flac")
    before = path.read_bytes()
    assert ainext("predict", path, "--json", "--out", tmp_path).code == 0
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_each_result_is_there_before_the_next_file_is_begun(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    predict = Recogniser.predict

    def spy(self: Recogniser, *arguments: Any, **options: Any) -> Any:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        return predict(self, *arguments, **options)

    monkeypatch.setattr(Recogniser, "predict", spy)
    both = (sounds / "one.wav", sounds / "two.wav")
    assert ainext("predict", *both, "--workers", 1, "-f", "csv", "--out", tmp_path).code == 0
    assert seen == [[], ["one.csv"]]


def test_an_interrupted_list_is_whole(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = Recogniser.predict

    def interrupted(self: Recogniser, source: Path, *arguments: Any, **options: Any) -> Any:
        if source.name == "two.wav":
            raise KeyboardInterrupt
        return predict(self, source, *arguments, **options)

    monkeypatch.setattr(Recogniser, "predict", interrupted)
    found = ainext("predict", sounds / "one.wav", sounds / "two.wav", "--json")
    assert found.code == 130 and found.complaints == ["ainext: interrupted"]
    assert [Path(item["file"]).name for item in found.json] == ["one.wav"]


# --- The options that change the result ---


def test_top_k(sounds: Path) -> None:
    for asked, given in ((1, 1), (3, 3), (1000, 20)):
        (item,) = ainext("predict", sounds / "two.wav", "--model", MODEL, "--json", "--top-k", asked).json
        check(item, given)


def test_a_higher_threshold_never_adds(sounds: Path) -> None:
    found = [
        ainext("predict", sounds / "one.wav", "--json", "--threshold", threshold).json[0]
        for threshold in (0.03, 0.06, 0.1, 0.5, 1)
    ]
    times = [covered(item) for item in found]
    assert times == sorted(times, reverse=True) and times[0] > times[-1]
    assert len({json.dumps(item["clip"]) for item in found}) == 1


def test_thresholds_by_label(sounds: Path) -> None:
    call = ("predict", sounds / "one.wav", "--model", MODEL, "--json", "--threshold", 0.03)
    (item,) = ainext(*call).json
    label = item["segments"][0]["label"]
    without = [one for one in item["segments"] if one["label"] != label]
    assert without
    assert ainext(*call, "--threshold", f"{label}=1").json[0] == item | {"segments": without}
    for command in (("predict",), ("report", "--out", "r.html"), ("listen",)):
        assert refused(*command, sounds / "one.wav", "-m", MODEL, "-t", f"{label}x=0.9").endswith(
            f"did you mean {label}?"
        )
        assert refused(*command, sounds / "one.wav", "-t", "loud").startswith("ainext: -t loud: give a probability")


def test_hop(sounds: Path) -> None:
    call = ("predict", sounds / "one.wav", "--json", *ALL)
    assert ainext(*call, "--hop", 0.05) == ainext(*call)
    for hop in (0.1, 0.4):
        (item,) = ainext(*call, "--hop", hop).json
        check(item)
        assert covered(item) >= item["duration"] - 0.01
        inside = {one[end] for one in item["segments"] for end in ("start", "end")} - {0, item["duration"]}
        steps = [(moment - min(inside, default=0)) / hop for moment in inside]
        assert np.allclose(steps, np.round(steps), atol=0.01)
    for wrong in ("0.01", "nan", "0", "-1", "inf"):
        assert f"--hop {float(wrong)}" in refused(*call, "--hop", wrong)
    near = ainext(*call, "--hop", 0.72)  # not a multiple, and not rounded without a word
    assert near.json == ainext(*call, "--hop", 0.7).json
    (line,) = near.complaints
    assert "a step every 0.72 s is no multiple of the 0.05 s of kitchen20; there is one every 0.7 s" in line


def test_the_default_model_is_the_same_everywhere(sounds: Path) -> None:
    (item,) = ainext("predict", sounds / "one.wav", "--json").json
    assert item["model"] == load().name == DEFAULT_MODEL
    for command in ("predict", "batch", "listen", "report", "explain"):
        assert f"[default: {DEFAULT_MODEL}]" in plain(ainext(command, "--help").out), command


def test_commands_share_the_segment_options() -> None:
    names = ("--onset-threshold", "--threshold", "--offset-threshold", "--smoothing", "--min-duration", "--merge-gap")
    for command in ("predict", "batch", "listen", "report"):
        text = plain(ainext(command, "--help").out)
        assert all(name in text for name in (*names, "--hop")), command


def test_errors_name_the_option_that_was_typed(sounds: Path, tmp_path: Path) -> None:
    file = sounds / "one.wav"
    assert refused("predict", file, "--threshold", 2).startswith("ainext: --threshold 2.0: give a probability")
    assert refused("predict", file, "--onset-threshold=2").startswith("ainext: --onset-threshold 2.0: give a prob")
    assert refused("predict", file, "--offset-threshold", 0.9).startswith("ainext: --offset-threshold 0.9: give at")
    assert refused("report", file, "--out", tmp_path / "r.html", "--merge-gap", -1).startswith("ainext: --merge-gap -1")
    assert refused("listen", file, "--min-duration", "nan").startswith("ainext: --min-duration nan: give a number")
    assert (
        refused("listen", file, "--channels", 2)
        == "ainext: --channels: this is only for raw samples on stdin; give - as INPUT"
    )
    assert "Traceback" in ainext_with_traceback("predict", file, "--threshold", 2)


def ainext_with_traceback(*arguments: object) -> str:
    """What a new process prints on stderr with --debug."""
    return python("-m", "audioinceptionnext", *arguments, "--debug").err


def test_completion_is_on_and_lists_choices() -> None:
    complete = {"_AINEXT_COMPLETE": "complete_bash", "COMP_WORDS": "ainext predict a.wav --format ", "COMP_CWORD": "4"}
    found = python("-m", "audioinceptionnext", **complete)
    assert {"table", "json", "csv", "audacity", "srt", "elan", "raven"} <= set(found.out.split())


# --- The input: folders, patterns, and what cannot be read among them ---


def test_folders_and_patterns(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.wav").write_bytes(b"RIFF")
    (tmp_path / "empty").mkdir()
    given = [tmp_path / "gone.mp3", sounds / "**/*.flac", tmp_path, sounds, tmp_path / "empty", sounds / "*.xyz"]
    expected = [
        tmp_path / "gone.mp3",
        sounds / "sub/one.flac",  # by the pattern, and not once more by its folder
        tmp_path / "torn.wav",
        sounds / "one.wav",
        sounds / "two.wav",
        tmp_path / "empty",
        sounds / "*.xyz",
    ]
    found = ainext("predict", *given, "--json")
    assert found.code == 1
    assert [item["file"] for item in found.json] == [str(path) for path in expected]
    failed = [item for item in found.json if list(item) == ["file", "error"]]
    assert [Path(item["file"]).name for item in failed] == ["gone.mp3", "torn.wav", "empty", "*.xyz"]
    assert found.complaints == [f"ainext: {item['file']}: {item['error']}" for item in failed]
    for item in found.json:
        if item not in failed:
            check(item)
    other = ainext("predict", *given, "--format", "csv", "--out", tmp_path / "out")
    assert (other.code, other.out, other.err) == (1, "", found.err)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.csv", "one.wav.csv", "two.csv"]


def test_nothing_but_failures(tmp_path: Path) -> None:
    found = ainext("predict", tmp_path / "gone.wav", "--json")
    assert found.code == 1
    assert found.json == [{"file": str(tmp_path / "gone.wav"), "error": "no such file or folder"}]
    assert ainext("predict", tmp_path / "gone.wav").out == ""


# --- models, help, and what is imported ---


def test_a_report_is_an_html_page(tmp_path: Path) -> None:
    assert "a name that ends in .html" in refused("report", SCENE, "--out", tmp_path / "r.pdf")
    assert not list(tmp_path.glob("r.*"))


def test_a_report_warns_as_predict_does(tmp_path: Path) -> None:
    sound = chirp(3, RATE)
    write_wav(tmp_path / "wires.wav", np.stack([sound, -sound], axis=1), RATE)
    predicted = ainext("predict", tmp_path, "--model", MODEL)
    assert len(predicted.complaints) == 1
    found = ainext("report", tmp_path, "--model", MODEL, "--out", tmp_path / "r.html")
    assert (found.code, found.err.splitlines()[:-1]) == (0, predicted.complaints)
    warning = predicted.err.strip().rpartition("wires.wav: ")[2]
    assert f"Warning: {warning}." in (tmp_path / "r.html").read_text("utf-8")


def test_a_report_replaces_a_report_only(tmp_path: Path) -> None:
    (page := tmp_path / "my.html").write_text("<h1>My own</h1>")
    call = ("report", SCENE, "--model", MODEL, "--sound", "none", "--out", page)
    line = refused(*call)
    assert (
        line.startswith("ainext: --out: ") and "my.html is no page of ainext report" in line and "--overwrite" in line
    )
    assert page.read_text() == "<h1>My own</h1>"
    assert ainext(*call, "--overwrite").code == 0
    found = ainext(*call)  # its own
    assert found.code == 0 and "replaces an older page" in found.err
    page.write_text("")  # as `mktemp` leaves it
    assert ainext(*call).code == 0


def test_who_reads_the_output_may_stop() -> None:
    """As `head` does: what is left is not written, and no recording is blamed for it."""
    call = [
        sys.executable,
        "-m",
        "audioinceptionnext",
        "predict",
        *[str(SCENE)] * 2,
        "--model",
        MODEL,
        "--format",
        "csv",
    ]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert not process.stderr.read()


def test_a_report_about_nothing_is_not_written(tmp_path: Path) -> None:
    (page := tmp_path / "report.html").write_text("last week's")
    found = ainext("report", tmp_path, tmp_path / "gone.wav", "--model", MODEL, "--out", page)
    assert (found.code, found.out, page.read_text()) == (1, "", "last week's")
    predicted = ainext("predict", tmp_path, tmp_path / "gone.wav", "--model", MODEL)
    assert len(found.complaints) == 2 and (found.code, found.err) == (predicted.code, predicted.err)


def test_models() -> None:
    listed = ainext("models", "--json")
    assert listed.code == 0 and not listed.err
    entry = next(item for item in listed.json if item["name"] == MODEL)
    assert len(entry["labels"]) == 20 and entry["parameters"] > 0 and entry["gmac"] > 0
    assert entry["licence"] and entry["measured"]
    content = Path(entry["path"]).read_bytes()
    assert entry["bytes"] == len(content) and entry["sha256"] == hashlib.sha256(content).hexdigest()
    table = ainext("models")
    assert table.code == 0 and MODEL in table.out and "20" in table.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    found = ainext(command, "--help")
    assert (found.code, found.err) == (0, "")
    assert f"Example: ainext {command} " in plain(found.out)
    assert command in ainext("--help").out


def test_help_breaks_no_line_within_a_paragraph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "a segment about 1 s after that. --lookahead sets how late." in ainext("listen", "--help").out


def test_help_states_the_defaults() -> None:
    words = re.sub(r"[^\w.]+", " ", plain(ainext("predict", "--help").out))
    assert "default the model s or 0.5" in words and "the model s or 0.32" in words
    words = re.sub(r"[^\w.]+", " ", plain(ainext("train", "--help").out))
    assert "default 0.2" in words and "the recipe s" in words
    assert "linear timeline with data labels or scenes" in words and f"{DEFAULT_MODEL} random with network" in words


def test_no_arguments_show_help_and_version_is_printed() -> None:
    assert ainext() == ainext("--help")
    assert re.fullmatch(r"audioinceptionnext \S+\n", ainext("--version").out)


def test_short_forms_and_groups_without_a_command() -> None:
    for command in ((), ("predict",), ("data", "check"), ("epic-sounds", "score")):
        assert ainext(*command, "-h") == ainext(*command, "--help")
    assert ainext("-V") == ainext("--version")
    assert ainext("data").code == 2 and not ainext("data").err


@pytest.mark.parametrize(
    "command", [*((name,) for name in COMMANDS), ("data", "check"), ("epic-sounds", "submit"), ("history", "list")]
)
def test_help_of_80_columns_breaks_no_choice_and_gives_flags_no_value(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = plain(ainext(*command, "--help").out)
    assert not re.search(r"<\w+|\|\n", text)  # a type in angle brackets, or a choice at the end of a line
    assert "--help" in text


def test_wrong_values_are_answered_in_our_words(sounds: Path) -> None:
    for call, words in (
        (("predict", "a.wav", "--format", "xml"), "'xml' is not one of 'table', 'json', 'csv'"),
        (("predict", "a.wav", "--smoothing", "much"), "--smoothing"),
        (("predict", "a.wav", "--top-k", "0"), "--top-k"),
        (("serve", "--port", "99999"), "65535"),
    ):
        line = refused(*call)
        assert words in line and "Value error" not in line and "Input should" not in line


def test_a_model_is_described_with_its_labels() -> None:
    entry = next(item for item in ainext("models", "--json").json if item["name"] == MODEL)
    assert ainext("models", MODEL, "--json").json == entry
    found = ainext("models", MODEL)
    assert found.code == 0 and found.out.splitlines()[-20:] == entry["labels"] and entry["licence"] in found.out
    assert "ainext models NAME" in ainext("models").out
    assert f"did you mean {MODEL}?" in refused("models", "kitchn20")


def test_recipes_are_listed_without_what_training_needs() -> None:
    listed = python("-c", WITHOUT.format(absent=f"{EXTRAS} yaml scipy pandas") + RUN, "recipes", "--json")
    assert listed.code == 0 and {"modern", "finetune"} <= {one["name"] for one in listed.json}


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from audioinceptionnext.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    found = python("-c", code + "print(*sys.modules, file=sys.stderr)")
    assert found.code == 0 and "predict" in found.out
    assert not {"torch", "onnxruntime", "av", "matplotlib", "numpy"} & set(found.err.split())


def test_recognition_needs_no_extra(sounds: Path, tmp_path: Path) -> None:
    code = WITHOUT.format(absent=f"{EXTRAS} matplotlib") + "import audioinceptionnext; audioinceptionnext.load;" + RUN
    found = python("-c", code, "predict", sounds, "--json", "--out", tmp_path / "out")
    assert found == (0, "", "")
    assert len(list((tmp_path / "out").iterdir())) == 3
    found = python("-c", code, "predict", sounds, "--json", "--plot", "--out", tmp_path / "none")
    assert (found.code, found.out, len(found.complaints)) == (2, "", 1) and "audioinceptionnext[plot]" in found.err
    assert not (tmp_path / "none").exists()


def test_a_picture_needs_no_torch(sounds: Path, tmp_path: Path) -> None:
    code = WITHOUT.format(absent=EXTRAS) + RUN
    assert python("-c", code, "predict", sounds / "two.wav", "--json", "--plot", "--out", tmp_path)[::2] == (0, "")
    assert (tmp_path / "two.png").exists()
