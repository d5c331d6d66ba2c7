"""What the command line does where stdout or stderr is closed, full, or read by a program that has ended."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest

from audioinceptionnext.cli import main
from audioinceptionnext.inference.recogniser import Recogniser
from tests.audio_files import sine, write_wav
from tests.command import ALL, ainext

unix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of a Unix system")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
COMMANDS = "\x1b[2J\x1b[?25l\x1b[9A\x1b[H\x1bc"  # clear the screen, hide and move the cursor, reset
EVIL = "a\x1b[31m\x1b]0;title\x07\x9b2Jb\u202e"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for name in "abc":
        write_wav(folder / f"{name}.wav", sine(440, 1, 24_000), 24_000)
    return folder


def run(
    arguments: tuple[object, ...], stdout: io.TextIOBase, stderr: io.StringIO | None = None
) -> tuple[int | str | None, str]:
    err = stderr or io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code, err.getvalue()


def after_head(*arguments: object) -> tuple[int | str | None, str]:
    """The outcome where the program that reads stdout has ended already."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stdout:  # noqa: PTH123 - a number, no path
        return run(arguments, stdout)


@unix
@pytest.mark.parametrize(
    "arguments", [("models",), ("models", "--json"), ("recipes",), ("recipes", "--json"), ("--help",), ("--version",)]
)
def test_who_has_seen_enough_ends_a_command_quietly(arguments: tuple[str, ...]) -> None:
    assert after_head(*arguments) == (141, "")


@unix
@pytest.mark.parametrize("format", ["table", "json", "csv", "audacity", "srt", "raven"])
def test_no_recording_is_recognised_for_nobody(sounds: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    predict = Recogniser.predict
    monkeypatch.setattr(
        Recogniser, "predict", lambda self, path, **more: seen.append(path) or predict(self, path, **more)
    )
    low = (*ALL, "--workers", 1)  # Audacity's and SRT's files of no segment print nothing
    assert after_head("predict", sounds, "--format", format, *low) == (141, "")
    assert len(seen) == 1


@unix
def test_recordings_in_other_threads_end_too(sounds: Path) -> None:
    assert after_head("predict", sounds, "--format", "csv", "--workers", 3) == (141, "")


@full
@pytest.mark.parametrize("arguments", [("models",), ("recipes",), ("--help",), ("predict", "SOUNDS", "-f", "json")])
def test_a_full_disk_is_one_line(sounds: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stdout:
        code, err = run(tuple(sounds if one == "SOUNDS" else one for one in arguments), stdout)
    assert (code, err) == (2, "ainext: cannot write the results: no space left on device\n")


@full
def test_messages_that_cannot_be_printed_stop_nothing(sounds: Path) -> None:
    out = io.StringIO()
    stderr = Path("/dev/full").open("w")  # noqa: SIM115
    with redirect_stdout(out), redirect_stderr(stderr), pytest.raises(SystemExit) as left:
        main(["predict", str(sounds / "gone.wav"), str(sounds / "a.wav"), "-f", "csv"])
    with suppress(OSError):
        stderr.close()
    assert left.value.code == 1 and out.getvalue().startswith("file,start,end")


@unix
def test_closed_streams(sounds: Path, tmp_path: Path) -> None:
    """A file that is opened does not take the number of a closed stream, nor do messages go to stdout."""
    command = f"'{sys.executable}' -m audioinceptionnext"

    def shell(rest: str) -> tuple[int, str, str]:
        done = subprocess.run(["sh", "-c", f"{command} {rest}"], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    assert shell("models >&-") == (2, "", "ainext: cannot write the results: stdout is closed\n")
    assert shell("models none 2>&-") == (2, "", "")
    assert shell(f"predict '{sounds}/a.wav' -f csv --out '{tmp_path}' >&- <&-") == (0, "", "")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("file,start,end")


@unix
def test_names_cannot_command_a_terminal(tmp_path: Path) -> None:
    write_wav(tmp_path / f"{EVIL}.wav", sine(440, 1, 24_000), 24_000)
    (tmp_path / f"{EVIL}.mp3").write_text("no sound")
    found = ainext("predict", tmp_path, tmp_path / f"{EVIL}.flac")
    assert found.code == 1 and len(found.complaints) == 2
    assert not set("\x1b\x07\x9b\u202e") & set(found.out + found.err)
    assert "a?[31m?]0;title??2Jb?.wav" in found.out
    data = ainext("predict", tmp_path, "-f", "json")  # data keep the name, escaped
    assert data.json[1]["file"] == str(tmp_path / f"{EVIL}.wav") and "\x1b" not in data.out
    assert ainext("report", tmp_path, "--sound", "none", "--out", page := tmp_path / "r.html").code == 1
    assert not set("\x1b\x07\x9b\u202e") & set(page.read_text(encoding="utf-8"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_data_on_a_terminal_are_shown_without_commands(tmp_path: Path) -> None:
    write_wav(tmp_path / f"{EVIL}.wav", sine(440, 1, 24_000), 24_000)
    shown = Terminal()
    code, _ = run(("predict", tmp_path, "-f", "csv", *ALL), shown)
    assert code == 0 and "\x1b]" not in shown.getvalue() and "\x07" not in shown.getvalue()
    assert "a\x1b[31m?]0;title?" in shown.getvalue()  # a colour is left: those of tables look the same


@unix
@pytest.mark.parametrize("format", ["csv", "table"])
def test_a_bar_is_drawn_and_names_still_command_nothing(format: str, tmp_path: Path) -> None:
    """Rich moves the cursor for its bar, and prints data above it: a name may do neither."""
    write_wav(tmp_path / f"{COMMANDS}.wav", sine(440, 1, 16_000), 16_000)
    (tmp_path / f"{COMMANDS}.mp3").write_text("no sound")
    out, err = Terminal(), Terminal()
    code, _ = run(("predict", tmp_path, tmp_path / f"{COMMANDS}.flac", "-f", format), out, err)
    shown = out.getvalue() + err.getvalue().replace("\x1b[?25l", "", 1)  # the bar's own
    assert code == 1 and "\x1b[2K" in err.getvalue() and "?[2J?[?25l?[9A?[H?c.flac: no file matches" in shown
    for command in ("\x1b[2J", "\x1b[?25l", "\x1b[9A", "\x1b[H", "\x1bc"):
        assert command not in shown


@unix
@pytest.mark.parametrize("content", [b"\0\0\0\x18ftypM4A " + bytes(4000), bytes(range(256)) * 20, b""])
def test_what_a_pipe_cannot_give_is_said(content: bytes, tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe.m4a")

    def write() -> None:
        with suppress(OSError):  # the reader may leave before the end
            pipe.write_bytes(content)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    found = ainext("predict", pipe)
    writer.join(10)
    assert found.code == 1 and found.complaints[0].startswith(f"ainext: {pipe}: cannot be read from a pipe: ")
    assert "write it to a file first" in found.err and "complete copy" not in found.err
