"""The front end: waveform to log-mel spectrogram. Training, export and explanations all use this one definition."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.errors import ParameterError

N_FFT = 2048  # samples; as published, longer than the window, so that the spectrum is interpolated between its bins
BANDS = 128
LOG_OFFSET = 1e-6
MEAN_S = 0.2  # half the length over which `without_dc` averages, and the distance at which a sample no longer counts
# A log-mel that stays below this is digital silence: the smallest click of a 16-bit recording reaches -7.2. A network
# would confidently give it some label, and that nothing is there is certain without the network.
SILENCE = -9.0


def hz_to_mel(hz: float | Tensor) -> Tensor:
    """Hertz to mel by the HTK formula, ``2595 log10(1 + f / 700)``."""
    return 2595.0 * torch.log10(1.0 + torch.as_tensor(hz, dtype=torch.float64) / 700.0)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Mel to hertz, the inverse of `hz_to_mel`."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def _exact(value: float) -> Tensor:
    """A number for a float64 formula. The ONNX exporter would round Python's own numbers to float32."""
    return torch.tensor(value, dtype=torch.float64)


def mel_filters(sample_rate: int, n_fft: int = N_FFT, bands: int = BANDS) -> Tensor:
    """Triangular filters of height 1, evenly spaced on the HTK mel scale from 0 Hz to half the sample rate.

    Returns:
        (n_fft // 2 + 1, bands) float64; equal to ``librosa.filters.mel(htk=True, norm=None).T``.
    """
    highest = 2595.0 * math.log10(1.0 + sample_rate / 2 / 700.0)  # mel
    edges = mel_to_hz(torch.arange(bands + 2, dtype=torch.float64) * _exact(highest / (bands + 1)))
    bins = (torch.arange(n_fft // 2 + 1, dtype=torch.float64) * _exact(sample_rate / n_fft))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0.0)


def loud_steps(log_mel: np.ndarray, starts: np.ndarray, clip_frames: int) -> np.ndarray:
    """Which windows are not digital silence, as an exported file decides it.

    Args:
        log_mel: (frames, bands).
        starts: (steps,), the first frame of each window.
        clip_frames: of a window.

    Returns:
        (steps,) bool.
    """
    before = np.concatenate([[0], np.cumsum(log_mel.max(axis=1) > SILENCE)])  # loud frames before each frame
    start, end = (np.minimum(place, len(log_mel)) for place in (starts, starts + clip_frames))
    loud: np.ndarray = before[end] > before[start]
    return loud


def without_dc(waveform: Tensor, hop: int, sample_rate: int) -> Tensor:
    """Subtract the running mean of each waveform, ``(batch, samples)``. Digital silence stays digital silence.

    Cheap sound cards add a constant to every sample (a DC offset). The window of a log-mel spreads it over the lowest
    bands, where 2 % of full scale hides faint sounds. The mean is weighted by a triangle that reaches `MEAN_S` to both
    sides and ignores digital silence, which has no offset. It is computed for hops and interpolated between them, so
    it costs little. It acts as a high-pass filter without phase: 2 Hz lose 7 dB, 4 Hz half a dB, and 20 Hz nothing.

    Args:
        waveform: samples.
        hop: samples over which a mean is taken before it is smoothed.
        sample_rate: in Hz.
    """
    samples = waveform.shape[-1]
    hops = nn.functional.pad(waveform, (0, hop)).narrow(-1, 0, (samples // hop + 1) * hop).unflatten(1, (-1, hop))
    counts = (hops != 0).to(waveform.dtype).sum(2)  # (batch, hops)
    width = 2 * max(1, round(MEAN_S * sample_rate / hop / 2)) + 1  # hops of each of the two boxes that make a triangle
    smooth = torch.stack([hops.sum(2), counts], dim=1)
    for _ in range(2):
        smooth = nn.functional.avg_pool1d(smooth, width, stride=1, padding=width // 2)
    mean = smooth[:, 0] / smooth[:, 1].clamp(min=1e-9)
    ends = torch.cat([mean[:, :1], mean, mean[:, -1:]], dim=1)
    ends = (ends[:, 1:] + ends[:, :-1]) / 2  # at the ends of hops
    ramp = (torch.arange(hop, dtype=waveform.dtype, device=waveform.device) + 0.5) / hop
    offset = ends[:, :-1, None] + (ends[:, 1:] - ends[:, :-1])[..., None] * ramp
    return (hops - offset * (counts > 0)[..., None]).flatten(1).narrow(1, 0, samples)


class LogMel(nn.Module):
    """Waveform ``(batch, samples)`` to log-mel ``(batch, 1, frames, bands)``, ``frames = 1 + samples // hop``.

    It is the natural logarithm of (mel + 1e-6), where mel sums the magnitudes of a centred, zero-padded STFT (periodic
    Hann window), as ``librosa.stft`` followed by ``librosa.filters.mel(htk=True, norm=None)`` gives it.

    A magnitude does not depend on where the phase is measured from. If that is the window's centre, the real part of
    the spectrum depends only on the even half of a frame and the imaginary part only on the odd half. That makes two
    small matrix products, which are exact, and made of operations that every runtime has. The window (10 or 20 ms) as
    published is far shorter than ``n_fft``, so that they are less work than a 2048-point FFT.

    The spectrum is computed in float64. In float32 the rounding of loud low frequencies covers faint high ones, and
    real clips differed from librosa by up to 0.006. The tables are stored as pairs of float32 (value and remainder), so
    that devices without float64 (Apple's) can use the values alone.

    Args:
        sample_rate: in Hz.
        window_ms: in milliseconds; 10 at 24 kHz and 20 at 16 kHz as published.
        hop_ms: in milliseconds; half the window as published.
        bands: number of mel bands; 128 as published.
        remove_dc: whether the running mean of the waveform is subtracted first, see `without_dc`. Published networks do
            not, and their log-mel stays exactly theirs.
        n_fft: samples of the Fourier transform, to which the window is padded with zeros; 2048 as published. With
            fewer, the bins are further apart, and as many bands need less work.

    Attributes:
        window, hop: in samples.
        exact: False computes in float32, which takes a third of the time. For training, whose augmentation changes the
            log-mel far more.
        stored: False computes the tables in each forward pass, so that an exported graph holds their formulas (a few
            kilobytes) and not their values (megabytes). A runtime that folds constants computes them once, on loading.

    Raises:
        ParameterError: the window is longer than ``n_fft``, or the window, the hop or the number of bands is too small.

    >>> LogMel()(torch.zeros(1, 49_919)).shape
    torch.Size([1, 1, 416, 128])
    """

    cosines: Tensor
    sines: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int = 24_000,
        window_ms: float = 10,
        hop_ms: float = 5,
        bands: int = BANDS,
        remove_dc: bool = False,
        n_fft: int = N_FFT,
    ) -> None:
        super().__init__()
        self.sample_rate, self.window_ms, self.hop_ms, self.bands = sample_rate, window_ms, hop_ms, bands
        self.remove_dc, self.n_fft = remove_dc, n_fft
        self.exact = self.stored = True
        self.window = round(sample_rate * window_ms / 1000)  # samples
        self.hop = round(sample_rate * hop_ms / 1000)  # samples
        if not 2 <= self.window <= n_fft or self.hop < 1:
            reason = f"this window and a hop of {hop_ms} ms do not fit at {sample_rate} Hz and an n_fft of {n_fft}"
            raise ParameterError("window_ms", window_ms, reason)
        if not 1 <= bands <= n_fft // 2:
            raise ParameterError("bands", bands, f"give 1 to {n_fft // 2}")
        *waves, filters = self.tables()
        self.register_buffer("filters", filters.float(), persistent=False)  # (bins, bands)
        for name, exact in zip(("cosines", "sines"), waves, strict=True):
            pair = torch.stack([exact.float(), (exact - exact.float()).float()])  # (2, half, bins)
            self.register_buffer(name, pair, persistent=False)

    def tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines and sines times the window (window // 2, bins), and the mel filters (bins, bands), in float64."""
        # Sample 0 of a periodic Hann window is 0 and the rest is symmetric: sample n pairs with window - n.
        n = torch.arange(1, self.window // 2 + 1)
        weight = torch.sin(n.double() * _exact(math.pi / self.window)).square()
        weight = weight * torch.where(2 * n == self.window, 0.5, 1.0)  # the middle sample pairs with itself
        bins = torch.arange(self.n_fft // 2 + 1)
        # Whole turns are subtracted as integers. Sines only, since ONNX Runtime 1.19 has no cosine of float64.
        angle = ((2 * n - self.window)[:, None] * bins % (2 * self.n_fft)).double() * _exact(math.pi / self.n_fft)
        cosines, sines = torch.sin(angle + _exact(math.pi / 2)), torch.sin(angle)
        filters = mel_filters(self.sample_rate, self.n_fft, self.bands)
        return weight[:, None] * cosines, weight[:, None] * sines, filters

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform with this number of samples."""
        return 1 + samples // self.hop

    def forward(self, waveform: Tensor) -> Tensor:
        if self.remove_dc:
            waveform = without_dc(waveform, self.hop, self.sample_rate)
        hop, window, half = self.hop, self.window, self.window // 2
        count = self.frames(waveform.shape[-1])
        # Frame t covers the samples from t * hop - window / 2 on, as with librosa's centred padding.
        left = self.n_fft // 2 - (self.n_fft - window) // 2
        chunks = -(-window // hop)
        padded = nn.functional.pad(waveform, (left, chunks * hop))
        # A window fits into a few whole hops side by side, so frames are slices of a reshaped waveform, not a gather.
        hops = padded[:, : (count + chunks - 1) * hop].unflatten(1, (-1, hop))  # (batch, count + chunks - 1, hop)
        framed = torch.cat([hops[:, i : i + count] for i in range(chunks)], dim=2)
        wide = torch.float64 if self.exact and waveform.device.type != "mps" else torch.float32
        rise, fall = framed[..., 1 : half + 1].to(wide), framed[..., window - half : window].flip(-1).to(wide)
        if self.stored:
            cosines, sines, filters = self.cosines.to(wide).sum(0), self.sines.to(wide).sum(0), self.filters
        else:
            cosines, sines, filters = (table.to(wide) for table in self.tables())
        real = (rise + fall) @ cosines  # (batch, count, bins)
        imaginary = (rise - fall) @ sines
        magnitude = torch.sqrt(real * real + imaginary * imaginary).to(waveform.dtype)
        return torch.log(magnitude @ filters.to(waveform.dtype) + LOG_OFFSET).unsqueeze(1)
