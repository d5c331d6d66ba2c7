"""The folder of a run: the names of its files, and whether another run may be written there."""

from __future__ import annotations

import shutil
from pathlib import Path

from audioinceptionnext.data import clip_list
from audioinceptionnext.errors import ParameterError, check_can_write, writing

LAST, BEST = "last.ckpt", "best.ckpt"
MODEL, RUN, RECIPE, CLIPS = "model.safetensors", "run.json", "recipe.yaml", clip_list.NAME
ONNX, FIGURES, REPORT = "model.onnx", "figures.json", "report"
LOG, TENSORBOARD = "log", "tensorboard"
OUTPUTS, DONE = "outputs.npz", "fold.json"  # of a fold
ALL = (LAST, BEST, MODEL, RUN, RECIPE, CLIPS, ONNX, FIGURES, REPORT, LOG, TENSORBOARD, OUTPUTS, DONE)


def check_out(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Check that a run can be written to ``out``, without writing anything.

    A folder that holds the weights of a run is refused unless that run is to be resumed or overwritten. What a run left
    that stopped before its first checkpoint is not worth keeping.

    Raises:
        ParameterError: it holds a run; or the run is to be both resumed and overwritten.
        FileError: the folder cannot be written to.
    """
    if resume and overwrite:
        raise ParameterError("overwrite", None, "cannot be combined with resuming the run; give one of them")
    if not resume and not overwrite:
        if (out / MODEL).is_file():
            raise ParameterError("out", out, "holds a finished run; give another folder, or overwrite the run")
        if (out / LAST).is_file() or (out / BEST).is_file():
            reason = "holds a run that is not finished; resume or overwrite it, or give another folder"
            raise ParameterError("out", out, reason)
    check_can_write(out / RUN)


def remove_run(out: Path) -> None:
    """Remove the files of a run. Other files in its folder stay.

    Raises:
        FileError: one of them cannot be removed.
    """
    for path in (out / name for name in ALL):
        with writing(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def training_logs(out: Path) -> list[Path]:
    """The logs of a run, one for each time that it was started or resumed, in this order."""
    return sorted(out.glob(f"{LOG}/version_*/metrics.csv"), key=lambda path: int(path.parent.name.partition("_")[2]))
