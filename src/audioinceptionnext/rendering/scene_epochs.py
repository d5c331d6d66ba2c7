"""Scenes as items for torch: every epoch has new ones.

They are the scenes of one seed: epoch e has those from e * size to (e + 1) * size - 1. So an item depends on the
composer and on its draw alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.data import Dataset

from audioinceptionnext.data import UNLABELLED, Clip
from audioinceptionnext.data.sampling import Draw
from audioinceptionnext.data.waveforms import Failure, Item
from audioinceptionnext.errors import MediaError
from audioinceptionnext.rendering.scenes import Composer


class SceneEpochs(Dataset[Item | Failure]):
    """The scenes of an epoch, by `Draw` or by index (as in epoch 0). Each item has its own segments.

    Args:
        composer: of the scenes.
        size: number of scenes in an epoch.
        fixed: whether all epochs have the scenes of the first one.
    """

    def __init__(self, composer: Composer, size: int, *, fixed: bool = False) -> None:
        self.composer, self.size, self.fixed = composer, size, fixed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, draw: Draw | int) -> Item | Failure:
        draw = draw if isinstance(draw, Draw) else Draw(0, draw)
        try:
            scene = self.composer((0 if self.fixed else draw.epoch) * self.size + draw.index)
        except MediaError as error:
            return Failure(draw.index, error)
        waveform = torch.from_numpy(scene.waveform)
        return Item(waveform, UNLABELLED, draw.index, len(waveform), segments=scene.segments)

    def clips(self) -> list[Clip]:
        """A name for each scene, for messages."""
        return [Clip(Path(f"scene {number}"), UNLABELLED) for number in range(self.size)]
