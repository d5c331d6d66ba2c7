"""The commands of the documentation work: the README and the guides are run as they stand, all others are parsed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer

from audioinceptionnext.audio import decode
from audioinceptionnext.cli.app import app
from audioinceptionnext.data.writing import write_wav
from tests.audio_files import encode

ROOT = Path(__file__).parents[1]
SCENE = ROOT / "examples" / "kitchen-scene.flac"
GUIDES = [
    *("docs/index.md", "docs/alerts.md", "docs/recognise.md", "docs/serve.md"),
    *(
        pytest.param(name, marks=pytest.mark.workshop)
        for name in ("README.md", "docs/share.md", "docs/extend.md", "docs/teach.md")
    ),
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "src").rglob("CARD.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
# These are tried by hand, in a fresh environment.
NOT_HERE = ("pip install",)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the guides name."""
    folder = tmp_path_factory.mktemp("guide")
    sound = decode.read(SCENE, 24_000)
    encode(folder / "dinner.mp4", sound[: 24_000 * 6], 24_000)
    write_wav(folder / "kitchen.wav", sound[: 24_000 * 4], 24_000)
    write_wav(folder / "recording.wav", sound[: 24_000 * 4], 24_000)
    for place, name in enumerate(("recordings/a.wav", "recordings/b.wav", "recordings/deeper/c.wav")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_wav(folder / name, sound[24_000 * 6 * place :][: 24_000 * 4], 24_000)
    rng = np.random.default_rng(0)
    for number in range(12):
        for label, slow in (("doorbell", False), ("kettle", True)):
            (folder / "my_sounds" / label).mkdir(parents=True, exist_ok=True)
            tone = np.sin(2 * np.pi * (2000 - 40 * number) * np.arange(24_000) / 24_000)
            noise = np.convolve(rng.standard_normal(24_000), np.ones(9) / 9, "same")
            write_wav(folder / "my_sounds" / label / f"{number}.wav", 0.3 * (noise if slow else tone), 24_000)
    (folder / "doors").mkdir()
    for name in ("front_1_1", "front_2_1", "back_1_1", "back_3_1"):
        write_wav(folder / "doors" / f"{name}.wav", 0.1 * rng.standard_normal(24_000), 24_000)
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_works_as_it_stands(guide: str, kitchen: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    text = (ROOT / guide).read_text(encoding="utf-8").replace(":8000", f":{port}")
    if "ainext train" in text:  # a guide before this one may have trained a model in the same folder
        shutil.rmtree(kitchen / "runs" / "mine", ignore_errors=True)
    serving: list[subprocess.Popen[bytes]] = []
    before = f"{quick(kitchen)}{os.pathsep}{Path(sys.executable).parent}"
    environment = os.environ | {"PATH": f"{before}{os.pathsep}{os.environ['PATH']}"}
    try:
        for language, code in BLOCK.findall(text):
            if language == "sh":
                lines = [line.partition("  #")[0].rstrip() for line in code.splitlines()]
                lines = [line for line in lines if not line.startswith(NOT_HERE)]
                if "ainext serve" in lines:
                    lines.remove("ainext serve")
                    serving.append(served(port, kitchen, environment))
                run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], kitchen, environment, code)
            elif language == "python":
                run([sys.executable, "-c", code], kitchen, environment, code)
    finally:
        for process in serving:
            process.terminate()
            process.wait(30)


def test_the_readme_shows_what_the_commands_print(kitchen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ``$ ainext …`` of the README's console block, with the output below it."""
    monkeypatch.chdir(kitchen)
    (block,) = [code for language, code in BLOCK.findall((ROOT / "README.md").read_text()) if language == "console"]
    sessions = [session.strip().splitlines() for session in re.split(r"^\$ ", block, flags=re.M) if session.strip()]
    assert len(sessions) == 1  # so that one that vanishes is noticed
    for command, *shown in sessions:
        environment = os.environ | {"PATH": f"{quick(kitchen)}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, check=True)
        printed = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
        assert [line for line in printed if line] == [line for line in shown if line], command


def quick(folder: Path) -> Path:
    """A folder with an ``ainext`` that trains a small network for one epoch, on one fold of many.

    It listens to a file where there should be a microphone, and is otherwise the real one.
    """
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    (place / "ainext").write_text(
        "#!/bin/bash\n"
        'case "$1" in train|cross-validate)\n'
        '  set -- $(echo "$@" | sed "s/--from [a-z0-9]*//")\n'
        '  set -- "$@" --epochs 1 --threads 1 --network tiny --set "network_settings={depths: [1, 1, 1, 1]}";;\n'
        "esac\n"
        'case "$1" in cross-validate) set -- "$@" --folds 1;; esac\n'
        'case "$*" in listen) set -- listen dinner.mp4;; esac\n'
        f'exec {sys.executable} -m audioinceptionnext "$@"\n'
    )
    (place / "ainext").chmod(0o755)
    return place


def run(command: list[str], folder: Path, environment: dict[str, str], code: str) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{code}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert '"error"' not in done.stdout and "about:blank" not in done.stdout, f"{code}\n{done.stdout}"


def served(port: int, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["ainext", "serve", "--port", str(port)], cwd=folder, env=environment)
    for _ in range(600):
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not start")


def commands() -> Iterator[tuple[str, str]]:
    """Every ``ainext …`` of every page: (page, the line)."""
    for page in PAGES:
        for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language in ("sh", "console", "bash"):
                for line in code.replace("\\\n", " ").splitlines():
                    found = re.search(r"(?:^|\s|\|\s*)(ainext .*)", line.partition("  #")[0])
                    if found and "…" not in found[1]:
                        yield str(page.relative_to(ROOT)), found[1].strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_is_understood(page: str, line: str) -> None:
    """Commands and options exist, and have values of the right kind; nothing is run."""
    words = shlex.split(re.split(r"\s[|>&]", line)[0], comments=True)[1:]
    command, context = typer.main.get_command(app), None
    while hasattr(command, "resolve_command"):
        context = command.context_class(command, parent=context)
        _, command, words = command.resolve_command(context, words)
    command.parse_args(command.context_class(command, parent=context), words)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.stem)
def test_a_script_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"\b(?:benchmarks|examples|tools)/\w+\.\w+", page.read_text(encoding="utf-8"))
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_no_page_has_a_placeholder() -> None:
    """A word in capitals that stands for a figure or a table that is still to be measured."""
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES}
    found = {str(page.relative_to(ROOT)): re.findall(r"\b[A-Z]+(?:TIME|TABLE)\b", text) for page, text in pages.items()}
    assert not {page: words for page, words in found.items() if words}


@pytest.mark.parametrize("folder", ["benchmarks", "tools"])
def test_every_script_is_described(folder: str) -> None:
    described = set(re.findall(r"`(\w+\.py)", (ROOT / folder / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / folder).glob("*.py")} == described


@pytest.mark.workshop
def test_the_site_can_be_built(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "reference" / "index.html").read_text(encoding="utf-8")
    assert "Recogniser" in page and "write_report" in page
