"""Install a wheel as a user would, in an environment of its own, and recognise the example with it.

    python tools/try_wheel.py dist/audioinceptionnext-0.1.0-py3-none-any.whl     # or the sdist, or . for this folder

Exits with 1 if torch was installed too, if the default model fails, or if kitchen20's labels are not those of
examples/kitchen-scene.csv.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("give one wheel, one sdist or the folder of the project")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder, "Scripts" if os.name == "nt" else "bin")
        python = shutil.which("python", path=programs)
        run(folder, python, "-m", "pip", "install", "--quiet", Path(sys.argv[1]).resolve())
        installed = run(folder, python, "-m", "pip", "list", "--format", "freeze")
        if any(line.startswith("torch==") for line in installed.splitlines()):
            raise SystemExit("recognition must not need torch, but it was installed")
        ainext = shutil.which("ainext", path=programs)
        run(folder, ainext, "predict", EXAMPLES / "kitchen-scene.flac")
        call = ("predict", EXAMPLES / "kitchen-scene.flac", "--model", "kitchen20", "--format", "csv")
        printed = run(folder, ainext, *call)
    found = [row["label"] for row in csv.DictReader(printed.splitlines())]
    with (EXAMPLES / "kitchen-scene.csv").open(encoding="utf-8") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    if found != truth:
        raise SystemExit(f"recognised {found}, but the example holds {truth}")
    print(f"{Path(sys.argv[1]).resolve().name}: {len(installed.splitlines())} packages, and {', '.join(found)}")


def run(folder: str, *command: object) -> str:
    """What a command prints, run where this checkout cannot be imported. Its complaints are shown."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONIOENCODING"] = "utf-8"
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
