"""The tests of web/, which Node runs: modules against Python, and the built page in Chromium against the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import chromium, program

WEB = Path(__file__).parents[1] / "web"
pytestmark = pytest.mark.needs("node")


def node(*arguments: object) -> None:
    environment = os.environ | {"AINEXT_PYTHON": sys.executable, "CHROMIUM": chromium() or ""}
    command = [str(program("node")), *map(str, arguments)]
    done = subprocess.run(command, cwd=WEB, env=environment, capture_output=True, encoding="utf-8", timeout=500)
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-2000:]}"


FILES = sorted(path.name for path in (WEB / "test").glob("*.test.js"))
EXPORTING = ("fine.test.js", "teach.test.js")  # they need what the extra export has


@pytest.mark.parametrize(
    "file", [pytest.param(file, marks=pytest.mark.workshop) if file in EXPORTING else file for file in FILES]
)
def test_a_module_does_what_its_python_does(file: str) -> None:
    node("--test", f"test/{file}")


@pytest.mark.needs("chromium")
def test_the_built_page_does_what_the_command_does() -> None:
    node("node_modules/vite/bin/vite.js", "build")
    node("test/browser.mjs")
