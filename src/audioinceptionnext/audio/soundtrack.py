"""The sound track of a file: found, decoded in spite of damage, mixed down to mono and resampled."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.error import FFmpegError

from audioinceptionnext.audio.headers import stated_seconds, was_cut
from audioinceptionnext.audio.mixdown import Mixdown
from audioinceptionnext.audio.resample import Resampler, mono_blocks, silence
from audioinceptionnext.errors import MediaError

# FFmpeg's log must not reach the user's terminal, and a log callback in Python could deadlock with FFmpeg's threads.
av.logging.set_level(None)

# The formats that FFmpeg may take a file for. Left out are those that would "recognise" a text file (subtitles, tty),
# those without a header, which decode anything (g722, raw PCM), still images, and playlists, which open other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,iff,ircam,loas,matroska,mlp,mov,mp3,mpc,"
    "mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,qoa,rm,shn,sox,swf,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
# Formats whose seeks land where they claim to (the tests compare). The others are decoded from their beginning.
_SEEKABLE = ("wav", "w64", "flac", "mov", "matroska", "ogg")
_SEEK_FROM_S = 10.0  # below this, seeking saves less than it costs
_PREROLL_S = 1.0  # after this, decoders with memory have settled (Opus needs 80 ms, MP3 its bit reservoir)
MIN_RATE, MAX_RATE = 100, 1_536_000  # Hz; a damaged header must not decide how long the resampler's filter is
GAP_S = 0.1  # smaller gaps are ignored, since time stamps are rounded and clocks drift
DAMAGED_GAP_S = 0.005  # the same after a damaged packet, which certainly leaves a gap
_LAST_PACKET = 4096  # samples: HE-AAC's 2048, and as many that only flush the decoder
_UNSTATED_S = 3600.0  # how much silence time stamps may add in all in a file that does not state its length
_LATE_S = 0.02  # a sound track that starts later than this after the picture gets silence in front
DISCARD_ALL = 48  # AVDISCARD_ALL
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not a video with a clock of its own


def open_container(path: str | Path) -> Any:
    """Open a file with FFmpeg and return PyAV's InputContainer.

    Raises:
        MediaError: the file cannot be opened.
    """
    try:
        if Path(path).is_dir():
            raise MediaError(path, "is a folder, not a file; give a recording inside it")
        if Path(path).is_file():  # from a pipe, nothing can be read twice
            with Path(path).open("rb") as file:
                head = file.read(12)
            if not head:
                raise MediaError(path, "is empty (0 bytes); copy or record it again")
        else:
            head = b""
            Path(path).stat()
    except FileNotFoundError:
        raise MediaError(path, "no such file; check the name") from None
    except PermissionError:
        raise MediaError(path, "no permission to read it; change its permissions") from None
    except (OSError, ValueError) as error:
        raise MediaError(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    try:
        return av.open(
            f"file:{os.fspath(path)}",  # without the prefix, "concat:x" or "a:b" would name a protocol
            options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
            metadata_errors="replace",  # tags in Latin-1 are no reason to fail
        )
    except (FFmpegError, OSError, ValueError, RuntimeError):
        if head[4:8] == b"ftyp":
            reason = "its index is missing or damaged, as in a recording or copy that was cut off; get a complete copy"
        else:
            reason = (
                "not an audio or video file that FFmpeg can read, or damaged at its start; try to play or convert it"
            )
        raise MediaError(path, reason) from None


def _is_cover(video: Any) -> bool:
    return bool(int(getattr(video, "disposition", 0)) & _ATTACHED_PICTURE)


class SoundTrack:
    """An open file, its sound track, and what was noticed while decoding it.

    Attributes:
        path: of the file.
        container, stream: PyAV's, of the file and its sound track.
        lead: seconds of silence before the sound.
        origin: the time stamp of sample 0, in seconds.
        frames, damaged: how many frames were decoded, and how many packets could not be.
        seconds: decoded so far, gaps included.
        missing: seconds of gaps that no damaged packet explains.
        failed: whether reading broke off.
        mixdown: what mixes the channels.

    Raises:
        MediaError: the file cannot be opened, or has no sound that FFmpeg can decode.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.frames = self.damaged = 0
        self.seconds = self.missing = 0.0
        self.mixdown = Mixdown()
        self.failed = False
        self._seeked = False
        self._skip = 0  # samples to drop after a seek
        self._open()

    def _open(self) -> None:
        self.container = open_container(self.path)
        try:
            streams = self.container.streams
            if not streams.audio:
                kind = "only a picture" if streams.video else "no sound track inside"
                raise MediaError(self.path, f"has no sound: {kind}; give a file with a sound track")
            self.stream = streams.best("audio") or streams.audio[0]
            if self.stream.codec_context is None:
                raise MediaError(self.path, "its sound is in a codec that FFmpeg lacks; convert it to WAV")
            for stream in streams:
                if stream is not self.stream:
                    with suppress(AttributeError):  # PyAV below 14 reads pictures and drops them, which is only slower
                        stream.discard = DISCARD_ALL
            self.lead, self.origin = self._start_times()
            self._decoded: Iterator[av.AudioFrame] = self._decode()
        except BaseException:
            self.container.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._decoded = iter(())  # breaks the circle between generator and object, so that both are freed at once
        self.container.close()

    def _start_times(self) -> tuple[float, float]:
        """The attributes ``lead`` and ``origin``.

        In a player, time 0 of a video is its first picture, so a sound track that starts later keeps its delay.
        Without a picture, time 0 is the first sample, whatever its time stamp.
        """
        starts = float((self.stream.start_time or 0) * self.stream.time_base)
        pictures = [video for video in self.container.streams.video if not _is_cover(video)]
        if not pictures or self.container.start_time is None:
            return 0.0, starts
        lead = starts - self.container.start_time / av.time_base
        # Browsers' recordings and pipes state no length.
        length = self.container.duration / av.time_base if self.container.duration else _UNSTATED_S
        if not _LATE_S <= lead <= length:
            return 0.0, starts
        return lead, starts - lead

    def seek(self, start: float, sample_rate: int) -> float:
        """Seek to a place before ``start``, if it is worth it. Returns the time at which the waveform then begins.

        Both times are in seconds. ``sample_rate`` is that of the waveform.
        """
        if start < _SEEK_FROM_S + self.lead or not self.container.format.name.startswith(_SEEKABLE):
            return 0.0
        with suppress(FFmpegError):
            self.container.seek(round((start - _PREROLL_S + self.origin) / self.stream.time_base), stream=self.stream)
            for frame in self._decoded:
                time = None if frame.pts is None else float(frame.pts * self.stream.time_base) - self.origin
                if time is None or time > start:
                    break
                self._seeked, self._decoded = True, itertools.chain([frame], self._decoded)
                self.damaged = 0  # a packet may have failed only because those before the seek are missing
                # Begin where a sample at the new rate coincides with one at the old rate. Then the result is, sample
                # for sample, the same as when decoding from the start.
                rate = frame.sample_rate
                first = round((time - self.lead) * rate)
                self._skip = -first % (rate // math.gcd(rate, sample_rate))
                if time + self._skip / rate > start:
                    self._skip = 0
                self.seconds = (first + self._skip) / rate
                return self.seconds + self.lead
        self.close()  # without time stamps, or past the end, decoding from the beginning is always right
        self._open()
        self.frames = self.damaged = 0
        self.failed = False
        return 0.0

    def _decode(self) -> Iterator[av.AudioFrame]:
        """Yield all frames from here on. Damaged packets are skipped and counted."""
        try:
            for packet in self.container.demux(self.stream):
                try:
                    frames = packet.decode()
                except EOFError:
                    continue
                except FFmpegError:
                    self.damaged += 1
                    continue
                self.frames += len(frames)
                yield from frames
        except EOFError:
            return
        except FFmpegError:
            self.failed = True

    def _frames_and_gaps(self) -> Iterator[av.AudioFrame | float]:
        """Yield the frames, and the length in seconds of each gap between two of them.

        Damaged pages of Ogg and clusters of Matroska vanish without an error, and cameras and screen recorders pause.
        By the time stamps, what follows a gap stays at its time. Gaps beyond the file's length are ignored. Where it is
        not stated, one damaged time stamp must not make hours of silence.
        """
        stated = self.container.duration
        end = stated / av.time_base + self.origin + self.lead if stated else math.inf
        left = math.inf if stated else _UNSTATED_S  # seconds that gaps may still take
        tick = float(self.stream.time_base)
        clock: float | None = None  # where the next frame should begin
        damaged = self.damaged
        for frame in self._decoded:
            if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
                reason = f"claims a sample rate of {frame.sample_rate} Hz: its header is damaged; get a complete copy"
                raise MediaError(self.path, reason)
            if frame.pts is not None:
                time = frame.pts * tick
                gap = 0.0 if clock is None else time - clock
                if gap > (GAP_S if self.damaged == damaged else DAMAGED_GAP_S) and time < end and gap <= left:
                    left -= gap
                    if self.damaged == damaged:
                        self.missing += gap
                    yield gap
                    clock = time
                clock = time if clock is None else clock
            if clock is not None:
                clock += frame.samples / frame.sample_rate
            damaged = self.damaged
            yield frame

    def _blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (n,) mono float32 with its rate, and count the seconds.

        AAC comes in packets of 1024 samples or more, and the last one is padded. Only the header says where to stop,
        so the last packet of an MP4 is cut to the stated length; the header is not trusted beyond that packet.
        """
        last: tuple[np.ndarray, int] | None = None
        for block, rate in mono_blocks(self._frames_and_gaps(), self.mixdown):
            if self._skip:
                block, self._skip = block[self._skip :], max(0, self._skip - len(block))
            if last is not None:
                yield last
            last = block, rate
            self.seconds += len(block) / rate
        if last is None:
            return
        block, rate = last
        stated = stated_seconds(Path(self.path), self.container, self.stream)
        excess = 0
        if stated is not None and self.container.format.name.startswith("mov"):
            excess = round((self.seconds - stated) * rate)
        yield (block[:-excess] if 0 < excess <= _LAST_PACKET else block), rate

    def waveform(self, sample_rate: int) -> Iterator[np.ndarray]:
        """Yield consecutive blocks of about a second, (n,) mono float32 each, at ``sample_rate``.

        Raises:
            MediaError: the sound cannot be decoded or resampled.
        """
        if not self._seeked:
            yield from silence(self.lead, sample_rate)
        resampler: Resampler | None = None
        try:
            for block, rate in self._blocks():
                if resampler is None or resampler.sample_rate != rate:  # a stream may change its rate half-way
                    if resampler is not None:
                        yield resampler.finish()
                    resampler = Resampler(rate, sample_rate)
                yield resampler.push(block)
            if resampler is not None:
                yield resampler.finish()
        except FFmpegError as error:
            reason = f"its sound cannot be resampled ({error.strerror}); convert it to WAV"
            raise MediaError(self.path, reason) from None

    def check_plausible(self) -> None:
        """Check that the file is a recording, by how much of it could be decoded.

        Any noise contains a few bytes that look like an MP3 or AAC header, and now and then they even decode.

        Raises:
            MediaError: nothing was decoded, or fewer frames than there are damaged packets.
        """
        if not self.frames:
            raise MediaError(self.path, "no sound could be decoded: it is empty or damaged; get a complete copy")
        if self.damaged > self.frames:
            share = f"{self.damaged} of {self.damaged + self.frames} packets cannot be decoded"
            raise MediaError(self.path, f"not a recording, or damaged beyond use: {share}; get a complete copy")

    def warning(self) -> str | None:
        """One line that says what was lost, without the file's name; None if nothing was.

        To be called when the waveform has been read to its end.
        """
        parts = []
        stated = stated_seconds(Path(self.path), self.container, self.stream)
        # Headers round, and encoders count their padding, so a tenth of a second is no loss.
        if stated is not None and self.seconds < stated - 0.1 - stated / 1000:
            parts.append(f"ends early: decoded {self.seconds:.1f} s of {stated:.1f} s")
        elif self.failed or was_cut(Path(self.path), self.container):
            parts.append(f"ends early: decoded {self.seconds:.1f} s, the rest cannot be read")
        if self.damaged and (self.damaged > 1 or not parts):  # a cut leaves one packet in two
            parts.append(f"skipped {self.damaged} damaged packet{'s' if self.damaged > 1 else ''}")
        if self.missing:
            parts.append(f"{self.missing:.1f} s are missing and were replaced by silence")
        if (mixed := self.mixdown.warning()) is not None:
            parts.append(mixed)
        return "; ".join(parts) or None
