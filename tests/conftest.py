"""What all tests share: the things that not every machine has, models that are exported once, and the browser.

It imports no torch: recognition is tested in an environment without it (`make test-fast`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from tests.brokers import mosquitto
from tests.browser import SCENE, chromium, program

if TYPE_CHECKING:
    from audioinceptionnext.network.storage import StoredModel

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def installed(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


# What a test may need that not every machine has: how to see whether it is there, and why the test is skipped if not.
# `make test` sets up ray, openvino, node and, on Linux, chromium. A test says `pytest.mark.needs("ray")`.
OPTIONAL: dict[str, tuple[Callable[[], object], str]] = {
    "chromium": (chromium, "Chromium is not found: install it, or set CHROMIUM to its path"),
    "node": (
        lambda: program("node") and (ROOT / "web" / "node_modules" / "vite").is_dir(),
        "web/ is not set up: it takes Node 20.19 or newer, and `npm ci` there",
    ),
    "mosquitto": (mosquitto, "mosquitto is not found: install it, such as with `apt install mosquitto`"),
    "ray": (installed("ray"), "Ray is not installed (extra cluster)"),
    "openvino": (installed("openvino"), "OpenVINO is not installed (extra openvino)"),
    "psds": (installed("sed_scores_eval"), "sed_scores_eval is not installed (extra psds)"),
    "openssl": (lambda: shutil.which("openssl"), "openssl is not installed"),
    "nginx": (lambda: shutil.which("nginx") and shutil.which("openssl"), "nginx and openssl are not installed"),
    "reference": ((SHARED / "reference").is_dir, "no published outputs are at ../shared/reference"),
    "data": ((SHARED / "data").is_dir, "no data sets are at ../shared/data"),
    "teachers": ((SHARED / "teachers").is_dir, "no teachers are at ../shared/teachers"),
}
# What AINEXT_REQUIRE=ray,openvino names has to be there: its tests fail instead of being skipped.
REQUIRED = {name for name in os.environ.get("AINEXT_REQUIRE", "").split(",") if name}
TORCH = installed("torch")()

# These files are of the workshop. Without torch they are not collected, and every other file has to work. In the other
# files, tests of the workshop have the mark `workshop`, or use one of its fixtures.
WORKSHOP = (
    "augment", "background", "baselines", "benchmark", "cross_validation", "data", "data_check", "distillation",
    "embed", "end_to_end", "epic_sounds", "events", "explain", "export", "fine_timeline", "fine_tuning", "frame_wise",
    "frontend", "hub", "label_tracks", "live_events", "loading", "multi_label", "network", "order", "paper", "pcen",
    "published_training", "quantise", "recipes", "rendering", "rep", "report", "run_folder", "safe_pickle", "scenes",
    "several_processes", "soft_targets", "splits", "study", "tasks", "teacher", "teacher_tools", "thresholds",
    "timelines", "training", "training_parts", "trust",
)  # fmt: skip
# These come first, so that no process is left alone with one of their tests.
LONG = ("test_web.py", "test_study.py", "test_docs.py", "test_trust.py", "test_several_processes.py", "test_cluster.py")
WORKSHOP_FIXTURES = {"root", "model", "files"}
collect_ignore = [] if TORCH else [f"test_{name}.py" for name in WORKSHOP]


def pytest_configure() -> None:
    if unknown := REQUIRED - OPTIONAL.keys() - {"torch"}:
        raise pytest.UsageError(
            f"AINEXT_REQUIRE: {', '.join(sorted(unknown))}: choose from torch, {', '.join(OPTIONAL)}"
        )
    if "torch" in REQUIRED and not TORCH:
        raise pytest.UsageError("AINEXT_REQUIRE names torch, which is not installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)
    if TORCH:
        return
    workshop = [
        item
        for item in items
        if item.get_closest_marker("workshop") or WORKSHOP_FIXTURES & set(getattr(item, "fixturenames", ()))
    ]
    config.hook.pytest_deselected(items=workshop)
    items[:] = [item for item in items if item not in workshop]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            found, reason = OPTIONAL[name]
            if not found():
                (pytest.fail if name in REQUIRED else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    """Restore the number of torch's threads, which training sets."""
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    yield
    if torch:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A folder that is filled once for all of pytest's processes, by the one that comes first."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name: str, fill: Callable[[Path], object]) -> Path:
        folder, unfinished = base / name, base / f"{name}.unfinished"
        with FileLock(base / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return folder_of


@pytest.fixture(scope="session", autouse=True)
def remembered_exports(once: Callable[[str, Callable[[Path], object]], Path]) -> Iterator[None]:
    """Trace each structure of a network once, in started processes too. The files are the same (test_export.py)."""
    if "torch" not in sys.modules:
        yield
        return
    from tests import exports

    with pytest.MonkeyPatch.context() as patch:
        graphs = once("graphs", lambda _: None)
        patch.setattr("torch.onnx.export", exports.remembered(graphs))
        patch.setenv("AINEXT_GRAPHS", str(graphs))
        patch.setenv("PYTHONPATH", str(ROOT / "tests" / "started"), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Kitchen20 with two classes and two folds, whose sounds are easy to tell apart."""
    from tests.small_sounds import write_kitchen

    return write_kitchen(tmp_path_factory.mktemp("tiny kitchen") / "kitchen20")


@pytest.fixture(scope="session")
def model() -> StoredModel:
    from tests.networks import small_model

    return small_model()


@pytest.fixture(scope="session")
def files(once: Callable[[str, Callable[[Path], object]], Path]) -> dict[str, Path]:
    """The model as ONNX files: dense, windows, half (float16 weights) and log-mel (as the input)."""
    from tests.networks import export_forms

    return {path.stem: path for path in once("models", export_forms).glob("*.onnx")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with the rendered kitchen scene as its microphone."""
    from playwright.sync_api import sync_playwright

    from audioinceptionnext.audio import decode
    from tests.audio_files import write_wav

    scene = write_wav(tmp_path_factory.mktemp("microphone") / "scene.wav", decode.read(SCENE, 48_000), 48_000)
    arguments = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={scene}",
    ]
    with sync_playwright() as api:
        chrome = api.chromium.launch(executable_path=chromium(), args=arguments)
        yield chrome
        chrome.close()
