"""The folder of a run: the names of its files, and whether another run may be written there."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from audioinceptionnext.data import clip_list
from audioinceptionnext.errors import FileError, ParameterError, check_can_write, writing
from audioinceptionnext.evaluation.report_files import remove_report
from audioinceptionnext.rendering.scene_folder import remove_scenes

try:
    import fcntl
except ImportError:  # on Windows, where two runs in one folder are not told apart
    fcntl = None  # type: ignore[assignment]

LAST, BEST = "last.ckpt", "best.ckpt"
MODEL, RUN, RECIPE, CLIPS = "model.safetensors", "run.json", "recipe.yaml", clip_list.NAME
ONNX, FIGURES, REPORT = "model.onnx", "figures.json", "report"
LOG, TENSORBOARD, WANDB = "log", "tensorboard", "wandb"
OUTPUTS, DONE = "outputs.npz", "fold.json"  # of a fold
LESSONS, TABLE = "lessons", "label-precision.csv"  # of a student of teachers
SCENES = "held-out-scenes"
LOCK = "run.lock"


def is_run(out: Path) -> bool:
    """Whether a folder is that of a run: it holds the description of one, which comes before all other files."""
    try:
        return "recipe" in json.loads((out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def check_out(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Check that a run can be written to ``out``, without writing anything.

    A folder that holds the weights of a run is refused unless that run is to be resumed or overwritten. What a run left
    that stopped before its first checkpoint is not worth keeping. Files of a run's names that are no run's are.

    Raises:
        ParameterError: it holds a run, or a cross-validation, or a file that is not of a run, but has a name of one's;
            or the run is to be both resumed and overwritten.
        FileError: the folder cannot be written to.
    """
    _check_folder(out, resume, overwrite)
    if any(out.glob(f"fold-*/{DONE}")):
        raise ParameterError("out", out, "holds a cross-validation; give another folder")
    if not resume and not overwrite:
        if (out / MODEL).is_file() and ((out / ONNX).is_file() or (out / FIGURES).is_file()):
            reason = "holds a finished run; give another folder, resume the run to export and score it again, or"
            raise ParameterError("out", out, f"{reason} overwrite it")
        if any((out / name).is_file() for name in (MODEL, LAST, BEST)):
            reason = "holds a run that is not finished; resume or overwrite it, or give another folder"
            raise ParameterError("out", out, reason)
    own = (CLIPS,) if is_run(out) or (resume and (out / LAST).is_file()) else (CLIPS, RUN, RECIPE, ONNX, FIGURES, TABLE)
    for name in own:
        if (out / name).exists() and not (name == CLIPS and clip_list.is_clip_list(out / name)):
            reason = f"holds a file {name} that is not of a run; move or rename it, or give another folder"
            raise ParameterError("out", out, reason)
    check_can_write(out / RUN)


def check_folds(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Check that the folds of a cross-validation can be written to ``out``, without writing anything.

    Raises:
        ParameterError: it holds a single run, or the folds are to be both resumed and overwritten.
        FileError: the folder cannot be written to.
    """
    _check_folder(out, resume, overwrite)
    if is_run(out) or any((out / name).is_file() for name in (MODEL, LAST, BEST)):
        raise ParameterError("out", out, "holds a single run; give another folder for the cross-validation")
    check_can_write(out / FIGURES)


def _check_folder(out: Path, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise ParameterError("overwrite", None, "cannot be combined with resuming the run; give one of them")
    if out.exists() and not out.is_dir():
        raise FileError(out, "is a file; give a folder")


def check_apart(out: Path, inputs: Mapping[str, str | None]) -> None:
    """Check that what a run starts from is not in the folder that it overwrites, which removes an older run there.

    Args:
        out: the folder.
        inputs: files or folders by the name of their parameter, in each several with commas between them.

    Raises:
        ParameterError: one lies in the folder.
    """
    for name, value in inputs.items():
        for place in map(str.strip, (value or "").split(",")):
            there = "{" in place or Path(place).exists()  # a model's name is no file, and {fold} stands for a number
            if place and there and Path(place).resolve().is_relative_to(out.resolve()):
                reason = "lies in the folder that is to be overwritten; move it, or give another folder for the run"
                raise ParameterError(name, value, reason)


def remove_run(out: Path) -> None:
    """Remove the files of a run. Other files in its folder stay, and all of them where there is no run.

    Raises:
        FileError: one of them cannot be removed.
    """
    if not is_run(out):
        return
    versions = [path for name in (LOG, TENSORBOARD) for path in _versions(out / name)]
    lessons = (out / LESSONS).glob("[0-9a-f]" * 16)
    for folder in (*versions, *lessons, out / WANDB):
        with writing(folder):
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
    remove_report(out / REPORT)
    remove_scenes(out / SCENES)
    for name in (LAST, BEST, MODEL, RECIPE, CLIPS, ONNX, FIGURES, TABLE, OUTPUTS, DONE, RUN):
        with writing(out / name):
            (out / name).unlink(missing_ok=True)
    for name in (LOG, TENSORBOARD, LESSONS, SCENES):
        with contextlib.suppress(OSError):  # it is not there, or holds other files
            (out / name).rmdir()


def training_logs(out: Path) -> list[Path]:
    """The logs of a run, one for each time that it was started or resumed, in this order."""
    return [log for folder in _versions(out / LOG) if (log := folder / "metrics.csv").is_file()]


def _versions(folder: Path) -> list[Path]:
    """The folders of Lightning's loggers, one for each start, in this order."""
    numbered = {path: path.name.removeprefix("version_") for path in folder.glob("version_*")}
    return sorted((p for p, number in numbered.items() if number.isdecimal()), key=lambda path: int(numbered[path]))


@contextlib.contextmanager
def holding(out: Path) -> Iterator[None]:
    """Keep other processes from training into ``out`` while the block lasts. The folder is created if there is none.

    The system ends the lock with the process, however that ends. A lock file that is left behind keeps nobody out.

    Raises:
        ParameterError: another process holds it.
        FileError: the folder cannot be written to.
    """
    with writing(out / LOCK):
        out.mkdir(parents=True, exist_ok=True)
        file = (out / LOCK).open("ab")
    with file:
        try:
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process: workers do not inherit it
        except (BlockingIOError, PermissionError):
            reason = "another process is training into it; wait until it ends, or give another folder"
            raise ParameterError("out", out, reason) from None
        except OSError:  # a network's file system without locks
            pass
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (out / LOCK).unlink()
