"""A training that is interrupted, to be resumed. Needs torch."""

from __future__ import annotations

from typing import Any

import pytest

from audioinceptionnext.errors import AinextError
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.run_record import Run


def interrupt_in_the_third_epoch(run: Run, hardware: Hardware, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the first step of the third epoch, where someone presses Ctrl-C."""
    step = SoundClassifier.training_step

    def until_the_third_epoch(self: SoundClassifier, *arguments: Any) -> Any:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SoundClassifier, "training_step", until_the_third_epoch)
        with pytest.raises(AinextError, match=r"^interrupted; resume the run"):
            train(run, hardware=hardware)
