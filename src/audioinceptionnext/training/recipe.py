"""How a network is trained, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from audioinceptionnext.errors import AinextError

RANGES = {
    "epochs": (1, 100_000),
    "batch": (1, 65_536),
    "learning_rate": (0, 100),
    "weight_decay": (0, 100),
    "momentum": (0, 1),
    "warmup": (0, 0.99),
    "mixup": (0, 100),
    "label_smoothing": (0, 0.99),
    "gain_db": (0, 100),
    "equaliser_db": (0, 100),
    "dropout": (0, 0.99),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True)
class Recipe:
    """The defaults are what `kitchen20` was trained with.

    Attributes:
        variant: a name in `network.VARIANTS`.
        crops: seconds; each batch takes one of these lengths. Crops longer than a clip are heard with sliding pooling
            and the loss falls on the mean of the steps' probabilities: that is what makes a network fit for `dense`.
        learning_rate, weight_decay, momentum: momentum is SGD's; AdamW decays its weights decoupled.
        warmup: share of the steps in which the rate rises from 0; then a half cosine to 0.
        mixup: alpha of the Beta distribution; 0 is off.
        frequency_masks, time_masks: (how many, up to how many bands or frames).
        gain_db, equaliser_db: largest gain either way, over all and by frequency.
    """

    variant: str = "small"
    epochs: int = 50
    batch: int = 32
    crops: tuple[float, ...] = (2.08, 3.2, 4.8)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    momentum: float = 0.9
    warmup: float = 0.2
    mixup: float = 0.4
    label_smoothing: float = 0.1
    frequency_masks: tuple[int, int] = (2, 27)
    time_masks: tuple[int, int] = (2, 25)
    gain_db: float = 6.0
    equaliser_db: float = 6.0
    dropout: float = 0.5
    precision: Literal["bf16", "float32"] = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:  # false for NaN too
                raise AinextError(f"{name} is {getattr(self, name)}; it goes from {least:g} to {most:g}")
        if self.optimizer not in ("adamw", "sgd"):
            raise AinextError(f"optimizer {self.optimizer!r}; choose adamw or sgd")
        if self.precision not in ("bf16", "float32"):
            raise AinextError(f"precision {self.precision!r}; choose bf16 or float32")
        object.__setattr__(self, "crops", tuple(self.crops))  # a list, as JSON gives it
        if not self.crops or not all(0 < seconds <= 60 for seconds in self.crops):
            raise AinextError(f"crops are {self.crops}; give lengths in seconds, above 0 and up to 60")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
