"""What ``ainext listen`` stores: rows in a history, and kept clips."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from audioinceptionnext.errors import ParameterError

if TYPE_CHECKING:
    from audioinceptionnext.history.recorder import Recorder


class ClipForm(StrEnum):
    flac = "flac"
    opus = "opus"


@dataclass(frozen=True)
class Storage:
    """Where segments and their sound are stored.

    Attributes:
        history: the database; None for none.
        keep: the folder of kept clips; None for none.
        form, margin, max_mb, max_days: of the clips, as for `Recorder` and `ClipFolder`; None for what is usual.
    """

    history: Path | None = None
    keep: Path | None = None
    form: ClipForm | None = None
    margin: float | None = None
    max_mb: float | None = None
    max_days: float | None = None

    def check(self) -> None:
        """Refuse options about clips that are not kept. Raises `ParameterError`."""
        for name in ("form", "margin", "max_mb", "max_days"):
            if getattr(self, name) is not None and self.keep is None:
                raise ParameterError(name, None, "this is only for --keep")

    def open(
        self, open_files: ExitStack, model: str, rate: int, lag: float, note: Callable[[str], None]
    ) -> Recorder | None:
        """What stores segments; None if nothing is to be stored.

        Args:
            open_files: closes the history at the end.
            model, rate, lag, note: as for `Recorder`.

        Raises:
            FileError, ParameterError: as `History`, `ClipFolder` and `Recorder` do.
        """
        from audioinceptionnext.history.clips import ClipFolder
        from audioinceptionnext.history.database import History
        from audioinceptionnext.history.recorder import MARGIN_S, Recorder

        if self.history is None and self.keep is None:
            return None
        history = None if self.history is None else open_files.enter_context(History(self.history))
        clips = None if self.keep is None else ClipFolder(self.keep, history, self.max_mb, self.max_days)
        return Recorder(
            model,
            rate,
            history,
            clips,
            lag=lag,
            margin=MARGIN_S if self.margin is None else self.margin,
            form="opus" if self.form == ClipForm.opus else "flac",
            note=note,
        )
