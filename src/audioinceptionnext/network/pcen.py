"""Per-channel energy normalisation (PCEN), an alternative to the log-mel that relates each band to its recent level.

Wang et al., "Trainable Frontend for Robust and Far-Field Keyword Spotting" (2017); Lostanlen et al., "Per-Channel
Energy Normalization: Why and How" (2019). With E the mel magnitudes of a band over time and M their running mean:

    P = (E / (eps + M) ** alpha + delta) ** r - delta ** r,     M[t] = (1 - b) M[t - 1] + b E[t]

A steady sound, such as a fan or a room, comes out nearly the same however loud it is, and onsets stand out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Wang's values, which are also those of `librosa.pcen`. Their b of 0.025 at a hop of 10 ms is a time constant of 0.4 s.
# As librosa advises, `SCALE` turns magnitudes of samples in -1…1 into those of 32-bit samples. Since alpha is nearly 1,
# that changes little: without it, steady sound would weigh 1.5 times less beside `DELTA`.
TIME_CONSTANT = 0.4  # seconds, of M
ALPHA = 0.98  # how much of a steady level is removed; 1 is all of it
DELTA = 2.0  # r is 1/2, a square root
EPS = 1e-6
SCALE = 2.0**31

# Frames per block of the running mean. Measured for PCEN as a whole at 416 x 128 / 3072 x 64 (ONNX Runtime 1.32, one
# core with AVX-512, 2026-11-23): 32 frames 0.23 / 1.0 ms, 64 frames 0.26 / 1.1 ms, 128 frames 0.32 / 1.2 ms, half of it
# for the logarithm, powers and root. A convolution with the exponential cut after 9 time constants takes 6.8 / 23 ms,
# and recursive doubling 0.5 / 2.7 ms. The memory for the matrix between blocks grows with the square of their number,
# to 14,400 numbers for 38 s at a hop of 5 ms.
BLOCK = 64


class PCEN(nn.Module):
    """Log-mel ``(batch, 1, frames, bands)`` to PCEN of the same shape, as `librosa.pcen` gives it with M[-1] = E[0].

    E is the exponential of the log-mel, which is the front end's mel magnitude plus its floor of 1e-6. That floor is a
    hundred times below the rounding of 16 bits, and is not subtracted. Otherwise digital silence would consist of
    float32 rounding, which division by its own mean makes as loud as any sound. With the floor, it is a faint steady
    sound.

    Since M includes the current frame, E / M is at most 1 / b, which is about the time constant in frames. This bounds
    the level of onsets.

    The module has no weights and no buffers. It always computes in float32 or wider.

    Args:
        time_constant: in frames: ``TIME_CONSTANT`` divided by the hop.
    """

    def __init__(self, time_constant: float) -> None:
        super().__init__()
        squared = time_constant**2
        # The formula of librosa; nearly 1 / time_constant.
        self.b = (math.sqrt(1 + 4 * squared) - 1) / (2 * squared)

    def forward(self, log_mel: Tensor) -> Tensor:
        with torch.autocast(log_mel.device.type, enabled=False):
            x = log_mel.to(torch.promote_types(log_mel.dtype, torch.float32))
            mean = self.running_mean(x.exp())
            # As powers of e, which runtimes compute far faster than other powers.
            gained = torch.exp(x - ALPHA * torch.log(mean + EPS / SCALE) + (1 - ALPHA) * math.log(SCALE))
            return (torch.sqrt(gained + DELTA) - math.sqrt(DELTA)).to(log_mel.dtype)

    def running_mean(self, energy: Tensor) -> Tensor:
        """M for a non-negative E, both (batch, 1, frames, bands).

        M is the product of E with a triangular matrix of powers of 1 - b. This is how it is computed within each block
        and, from the values at the blocks' ends, between blocks. Nothing is truncated or subtracted, so that M is exact
        up to a few roundings, even long after a loud sound.
        """
        frames, blocks = energy.shape[2], (energy.shape[2] + BLOCK - 1) // BLOCK
        # With M[-1] = E[0], the first M is E[0].
        parts = torch.cat([energy[:, :, :1], self.b * energy[:, :, 1:]], dim=2)
        parts = nn.functional.pad(parts, (0, 0, 0, BLOCK))[:, :, : blocks * BLOCK].unflatten(2, (blocks, BLOCK))
        within = self._powers(BLOCK, 1, energy) @ parts  # (batch, 1, blocks, BLOCK, bands)
        ends = self._powers(blocks, BLOCK, energy) @ within[:, :, :, -1]  # M at each block's end
        previous = nn.functional.pad(ends, (0, 0, 1, 0))[:, :, :blocks].unsqueeze(3)
        since = torch.arange(1, BLOCK + 1, device=energy.device, dtype=energy.dtype)[:, None]
        mean = within + torch.exp(since * math.log(1 - self.b)) * previous
        return mean.flatten(2, 3)[:, :, :frames]

    def _powers(self, size: int, frames: int, like: Tensor) -> Tensor:
        """(size, size): (1 - b) to the power of ``frames`` times i - j, and 0 above the diagonal.

        Computed here and not stored in a buffer, which files of lower precision would round.
        """
        step = torch.arange(size, device=like.device, dtype=like.dtype)
        since = (step[:, None] - step).clamp(min=0)
        return torch.exp(since * (frames * math.log(1 - self.b))).tril()
