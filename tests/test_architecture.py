"""The shape of the package: where files lie, who imports whom, and which words stand where."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
import typer

from audioinceptionnext.cli.app import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "audioinceptionnext"
SOURCES = sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".js", ".html", ".j2", ".yaml"))
WEB = sorted(path for folder in ("src", "test", "scripts") for path in (ROOT / "web" / folder).glob("*.*js"))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports, those inside functions and those for type checkers included."""
    return grimp.build_graph("audioinceptionnext", cache_dir=None)


def test_nothing_else_lies_at_the_top() -> None:
    names = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert names == {"__init__.py", "__main__.py", "errors.py", "py.typed"}


def test_no_files_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    top = "audioinceptionnext"  # it imports each name when it is first used; nothing below it imports it but the cli
    imports = {name: graph.find_modules_directly_imported_by(name) - {top} for name in graph.modules - {top}}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' <- '.join(error.args[1])}")


def test_only_the_command_line_imports_the_top_package(graph: grimp.ImportGraph) -> None:
    importers = graph.find_modules_that_directly_import("audioinceptionnext")
    assert all(name.startswith("audioinceptionnext.cli") for name in importers)


def test_the_import_contracts_hold() -> None:
    """The contracts of `pyproject.toml`: imports go down the rooms, and recognition never imports the workshop."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


def test_templates_refer_to_the_subpackages_below_them() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    places = {name.strip(): place for place, names in enumerate(layers) for name in names.split("|")}
    used = {
        (path.parent.name, subpackage)
        for path in PACKAGE.rglob("*.j2")
        for subpackage in re.findall(r'"(\w+)/[\w.]+\.\w+"', path.read_text(encoding="utf-8"))
    }
    assert ("studies", "evaluation") in used
    assert not [(user, name) for user, name in used if name != "page" and places[user] > places[name]]


def test_files_do_one_thing() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {str(path): lines for path, lines in lengths.items() if lines > 350}


def options() -> set[str]:
    """Every option of every command."""
    found: set[str] = set()
    commands = [typer.main.get_command(app)]
    while commands:
        command = commands.pop()
        found |= {name for one in command.params for name in one.opts if name.startswith("--")}
        commands += getattr(command, "commands", {}).values()
    return found


def test_only_the_command_line_knows_options() -> None:
    """An error carries a parameter's name; cli/ makes an option of it, the server a query name."""
    assert len(options()) > 50
    named = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(options())))})(?![\w-])")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        if "cli" not in path.relative_to(PACKAGE).parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if named.search(line)
    ]
    assert not found, "\n".join(found)


def test_one_vocabulary() -> None:
    """The glossary has a word for each meaning that "hear" had: decode, predict, recognise, augment, result."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*SOURCES, *WEB]
        if path != PACKAGE / "cli" / "listen.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"\b(hear|hears|heard|hearing)\b", line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


def test_test_modules_import_only_helpers() -> None:
    """What two test modules use is in a helper module or a fixture."""
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted((ROOT / "tests").glob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.match(r"\s*(from|import) tests\.(test_|conftest)", line)
    ]
    assert not found, "\n".join(found)
