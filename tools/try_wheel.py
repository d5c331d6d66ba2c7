"""Install a wheel as a user would, in an environment of its own, and recognise the examples with it.

    python tools/try_wheel.py dist/audioinceptionnext-0.1.0-py3-none-any.whl     # or the sdist, or . for this folder

Exits with 1 if torch was installed too, or if a sound is missed: by the default model one of those in
examples/everyday-scene.csv, by kitchen20 one of examples/kitchen-scene.csv.
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
        for scene, options in (("everyday-scene", ()), ("kitchen-scene", ("--model", "kitchen20"))):
            printed = run(folder, ainext, "predict", EXAMPLES / f"{scene}.flac", "--format", "csv", *options)
            found = [row["label"] for row in csv.DictReader(printed.splitlines())]
            with (EXAMPLES / f"{scene}.csv").open(encoding="utf-8") as file:
                truth = [row["label"] for row in csv.DictReader(file)]
            if not set(truth) <= set(found):
                raise SystemExit(f"recognised {found}, but {scene} holds {truth}")
            print(f"{scene}: {', '.join(found)}")
    print(f"{Path(sys.argv[1]).resolve().name}: {len(installed.splitlines())} packages")


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
