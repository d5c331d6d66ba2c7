"""Per-channel energy normalisation, an input in place of the log-mel: each band by how loud it has just been.

Wang et al., "Trainable Frontend for Robust and Far-Field Keyword Spotting" (2017); Lostanlen et al., "Per-Channel
Energy Normalization: Why and How" (2019). With E the mel magnitudes of a band over time and M their running mean:

    P = (E / (eps + M) ** alpha + delta) ** r - delta ** r,     M[t] = (1 - b) M[t - 1] + b E[t]

What is steady, such as a fan or a room, comes out nearly the same however loud it is, and what begins stands out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Wang's values, which are `librosa.pcen`'s: their b of 0.025 at a hop of 10 ms is a time constant of 0.4 s. As librosa
# advises, `SCALE` takes magnitudes of samples in -1…1 to those of 32-bit samples. Since alpha is nearly 1 that changes
# little: without it, what is steady would weigh 1.5 times less beside `DELTA`.
TIME_CONSTANT = 0.4  # seconds, of M
ALPHA = 0.98  # how much of a steady level is taken away; 1 is all
DELTA = 2.0  # r is 1/2, a square root
EPS = 1e-6
SCALE = 2.0**31

# Frames that the running mean takes at once. ONNX Runtime 1.32, one core with AVX-512, 2026-11-23, PCEN as a whole at
# 416 x 128 / 3072 x 64: 32 frames 0.23 / 1.0 ms, 64 frames 0.26 / 1.1 ms, 128 frames 0.32 / 1.2 ms, half of it for the
# logarithm, powers and root. A convolution with the exponential cut after 9 time constants takes 6.8 / 23 ms, and
# recursive doubling 0.5 / 2.7 ms. Between blocks memory grows with the square of their number: 14,400 for 38 s at 5 ms.
BLOCK = 64


class PCEN(nn.Module):
    """Log-mel ``(batch, 1, frames, bands)`` to its PCEN, of the same shape; `librosa.pcen` with M[-1] = E[0].

    E is the exponential of the log-mel, which is the front end's mel magnitude and its floor of 1e-6. That floor lies a
    hundred times below the rounding of 16 bits, and stays in: taken off again, digital silence would leave the rounding
    of float32, which a division by its own mean makes as loud as anything. So silence is a faint steady sound.

    Since M hears the frame itself, E / M is at most 1 / b, about the time constant in frames: no onset is louder.

    There is nothing to learn and nothing to store. Always computed in float32 or wider.

    Args:
        time_constant: frames; ``TIME_CONSTANT`` over the hop.
    """

    def __init__(self, time_constant: float) -> None:
        super().__init__()
        squared = time_constant**2
        # b as librosa has it, nearly 1 / time_constant.
        self.share = (math.sqrt(1 + 4 * squared) - 1) / (2 * squared)

    def forward(self, log_mel: Tensor) -> Tensor:
        with torch.autocast(log_mel.device.type, enabled=False):
            x = log_mel.to(torch.promote_types(log_mel.dtype, torch.float32))
            mean = self.running_mean(x.exp())
            # As powers of e, which runtimes compute far sooner than any others.
            gained = torch.exp(x - ALPHA * torch.log(mean + EPS / SCALE) + (1 - ALPHA) * math.log(SCALE))
            return (torch.sqrt(gained + DELTA) - math.sqrt(DELTA)).to(log_mel.dtype)

    def running_mean(self, energy: Tensor) -> Tensor:
        """M of E (batch, 1, frames, bands), not negative.

        M is a product of E with a triangular matrix of powers of 1 - b. Within blocks it is computed so; then what each
        block leaves to the next ones, again so. Nothing is cut off and nothing subtracted, so that M is exact to a few
        roundings also long after something loud.
        """
        frames, blocks = energy.shape[2], (energy.shape[2] + BLOCK - 1) // BLOCK
        # With M[-1] = E[0], the first M is E[0].
        parts = torch.cat([energy[:, :, :1], self.share * energy[:, :, 1:]], dim=2)
        parts = nn.functional.pad(parts, (0, 0, 0, BLOCK))[:, :, : blocks * BLOCK].unflatten(2, (blocks, BLOCK))
        within = self._powers(BLOCK, 1, energy) @ parts  # (batch, 1, blocks, BLOCK, bands)
        ends = self._powers(blocks, BLOCK, energy) @ within[:, :, :, -1]  # M at each block's end
        before = nn.functional.pad(ends, (0, 0, 1, 0))[:, :, :blocks].unsqueeze(3)
        since = torch.arange(1, BLOCK + 1, device=energy.device, dtype=energy.dtype)[:, None]
        mean = within + torch.exp(since * math.log(1 - self.share)) * before
        return mean.flatten(2, 3)[:, :, :frames]

    def _powers(self, size: int, frames: int, like: Tensor) -> Tensor:
        """(size, size): what a step of so many frames leaves after i - j of them, 0 above the diagonal.

        A formula and no buffer, so that files of less precision do not round it.
        """
        step = torch.arange(size, device=like.device, dtype=like.dtype)
        since = (step[:, None] - step).clamp(min=0)
        return torch.exp(since * (frames * math.log(1 - self.share))).tril()
