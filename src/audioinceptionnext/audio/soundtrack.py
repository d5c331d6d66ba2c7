"""The sound track of a file: found, decoded in spite of damage, mixed down to mono and resampled."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from audioinceptionnext.audio.container import open_container
from audioinceptionnext.audio.headers import stated_duration, stated_seconds, was_cut
from audioinceptionnext.audio.joined import second_recording
from audioinceptionnext.audio.mixdown import Mixdown
from audioinceptionnext.audio.resample import Resampler, mono_blocks, silence
from audioinceptionnext.audio.time_stamps import BARE, GAP_S, STATED_S, UNSTATED_S, Clock, Start, start_of
from audioinceptionnext.audio.tracks import find_audible, keep_only
from audioinceptionnext.errors import MediaError, ParameterError, TrackError

# Formats whose seeks land where they claim to (the tests compare). The others are decoded from their beginning.
_SEEKABLE = ("wav", "w64", "flac", "mov", "matroska", "ogg")
_SEEK_FROM_S = 10.0  # below this, seeking saves less than it costs
_PREROLL_S = 1.0  # after this, decoders with memory have settled (Opus needs 80 ms, MP3 its bit reservoir)
MIN_RATE, MAX_RATE = 100, 1_536_000  # Hz; a damaged header must not decide how long the resampler's filter is
_LAST_PACKET = 4096  # samples: HE-AAC's 2048, and as many that only flush the decoder
_MOST_LOST_S = 10.0  # in one damaged packet; what is longer is no sound, such as a picture in the tags


class SoundTrack:
    """An open file, its sound track, and what was noticed while decoding it.

    Args:
        path: of the file.
        track: which of its sound tracks, from 1 on; unless given, the first that can be decoded and is not silent.
        on_packet: called after each packet. What it raises ends the decoding.

    Attributes:
        path: of the file.
        container, stream: PyAV's, of the file and its sound track.
        start: when the sound starts, by the header until a part of it is decoded.
        frames, damaged: how many frames were decoded, and how many packets could not be.
        seconds: decoded so far, gaps included.
        failed: whether reading broke off.
        mixdown: what mixes the channels.

    Raises:
        MediaError: the file cannot be opened, or has no sound that FFmpeg can decode.
        TrackError: the file has not so many tracks.
        ParameterError: ``track`` is no whole number, or less than 1.
    """

    def __init__(self, path: str | Path, track: int | None = None, on_packet: Callable[[], None] | None = None) -> None:
        if isinstance(track, bool) or not isinstance(track, int | np.integer | None):
            raise ParameterError("track", track, "give a whole number; tracks are counted from 1 on")
        if track is not None and track < 1:
            raise ParameterError("track", track, "tracks are counted from 1 on")
        self.path = path
        self._track, self._on_packet = track, on_packet
        self._notes: list[str] = []
        self._bytes = self._damaged_bytes = 0  # of packets that were decoded, and that could not be
        self._end = 0  # of the last packet, in bytes of the file
        self._lost = 0.0  # seconds that damaged packets took up and that their time stamps do not count
        self.frames = self.damaged = 0
        self.seconds = 0.0
        self.mixdown = Mixdown()
        self.failed = False
        self._seeked = False
        self._skip = 0  # samples to drop after a seek
        self._first_samples = 0  # of the first frame, from which the encoder's padding has been dropped
        self._open()

    def _open(self) -> None:
        self.container, self._source = open_container(self.path)
        try:
            tracks = self.container.streams.audio
            if self._track is None and len(tracks) > 1:
                self._track = self._choose(tracks)
            if not tracks:
                kind = "only a picture" if self.container.streams.video else "no sound track inside"
                raise MediaError(self.path, f"has no sound: {kind}; give a file with a sound track")
            number = self._track or 1
            if number > len(tracks):
                have = "one sound track" if len(tracks) == 1 else f"{len(tracks)} sound tracks"
                raise TrackError(self.path, number, f"the recording has {have}, and no track {number}; choose another")
            self.stream = tracks[number - 1]
            if self.stream.codec_context is None:
                which = "its sound" if len(tracks) == 1 else f"its sound track {number}"
                raise MediaError(self.path, f"{which} is in a codec that FFmpeg lacks; convert it to WAV")
            keep_only(self.container, [self.stream])
            self.start = start_of(self.container, self.stream)
            self._clock = Clock(self.stream)
            self._decoded: Iterator[av.AudioFrame] = self._decode()
        except BaseException:
            self._close_container()
            raise

    def _choose(self, tracks: tuple[Any, ...]) -> int:
        """The number of the track to take of several."""
        index = next((i for i, track in enumerate(tracks) if track.codec_context is not None), 0)
        why = " (from a pipe, silent ones are not passed over)"  # since nothing of it can be read twice
        if Path(self.path).is_file():
            index, reason = find_audible(self.path)
            why = f" ({'the one' if index == 1 else 'those'} before it: {reason})" if reason else ""
        self._notes.append(f"this is sound track {index + 1} of {len(tracks)}{why}")
        return index + 1

    def close(self) -> None:
        """Close the file."""
        self._decoded = iter(())  # breaks the circle between generator and object, so that both are freed at once
        self._close_container()

    def _close_container(self) -> None:
        self.container.close()
        if self._source is not None:
            self._source.close()

    def _begin(self) -> Start:
        """When the sound starts. The header need not say so: the first frame does."""
        if not self.frames and (frame := next(self._decoded, None)) is not None:
            self._decoded = itertools.chain([frame], self._decoded)
            self._first_samples = frame.samples
            if frame.pts is not None:
                self.start = start_of(self.container, self.stream, float(frame.pts * self.stream.time_base))
        return self.start

    def seek(self, start: float, sample_rate: int) -> float:
        """Seek to a place before ``start``, if it is worth it. Returns the time at which the waveform then begins.

        Both times are in seconds. ``sample_rate`` is that of the waveform.
        """
        lead, origin = self._begin()[:2]
        if start < _SEEK_FROM_S + lead or not self.container.format.name.startswith(_SEEKABLE):
            return 0.0
        with suppress(FFmpegError):
            self.container.seek(round((start - _PREROLL_S + origin) / self.stream.time_base), stream=self.stream)
            self._decoded = self._decode()
            for frame in self._decoded:
                time = None if frame.pts is None else float(frame.pts * self.stream.time_base) - origin
                if time is None or time > start:
                    break
                self._seeked, self._decoded = True, itertools.chain([frame], self._decoded)
                self.damaged = 0  # a packet may have failed only because those before the seek are missing
                # Begin where a sample at the new rate coincides with one at the old rate. Then the result is, sample
                # for sample, the same as when decoding from the start.
                rate = frame.sample_rate
                first = self._whole_frames(round((time - lead) * rate), frame)
                self._skip = -first % (rate // math.gcd(rate, sample_rate))
                if time + self._skip / rate > start:
                    self._skip = 0
                self.seconds = (first + self._skip) / rate
                return self.seconds + lead
        self.close()  # without time stamps, or past the end, decoding from the beginning is always right
        self._open()
        self.frames = self.damaged = self._bytes = self._damaged_bytes = 0
        self._lost = 0.0
        self.failed = False
        return 0.0

    def _whole_frames(self, first: int, frame: av.AudioFrame) -> int:
        """A frame's first sample by its time stamp; to the sample where it is in milliseconds and frames are equal."""
        tick = float(self.stream.time_base) * frame.sample_rate  # in samples
        before = max(0, round((first - self._first_samples) / max(1, frame.samples)))
        exact = self._first_samples + before * frame.samples
        return exact if tick > 2 and abs(exact - first) <= 1.5 * tick else first

    def _decode(self) -> Iterator[av.AudioFrame]:
        """Yield all frames from here on. Damaged packets are skipped and counted."""
        try:
            for packet in self.container.demux(self.stream):
                if self._on_packet is not None:
                    self._on_packet()
                try:
                    frames = packet.decode()
                except EOFError:
                    continue
                except FFmpegError:
                    self.damaged += 1
                    self._damaged_bytes += packet.size
                    self._count_lost(packet)
                    continue
                self.frames += len(frames)
                self._bytes += packet.size
                self._end = max(self._end, (packet.pos or 0) + packet.size)
                yield from frames
        except (EOFError, IndexError):  # PyAV's, where another stream has come up on the way
            return
        except FFmpegError:
            self.failed = True

    def _count_lost(self, packet: av.Packet) -> None:
        """Estimate from its size how long a damaged packet lasted. FFmpeg counts it, or many that it holds, as one."""
        if not self.container.format.name.startswith(BARE) or not self.frames or not packet.duration:
            return
        more = packet.size * self.frames / self._bytes - 1
        seconds = more * float(packet.duration * self.stream.time_base)
        if more >= 1 and seconds <= _MOST_LOST_S:
            self._lost += seconds

    def _seconds_left_out(self) -> float:
        """The length of damaged sound that FFmpeg passed over without a packet, as it does in ADTS."""
        if self.container.format.name != "aac" or not self.damaged or self._seeked or not Path(self.path).is_file():
            return 0.0
        seconds = (Path(self.path).stat().st_size / (self._bytes + self._damaged_bytes) - 1) * self.seconds
        return seconds if seconds <= _MOST_LOST_S else 0.0

    def _frames_and_gaps(self) -> Iterator[av.AudioFrame | float]:
        """Yield the frames, and the length in seconds of each gap between two of them.

        Damaged pages of Ogg and clusters of Matroska vanish without an error, and cameras and screen recorders pause.
        Gaps beyond the file's length are ignored.
        """
        stated = stated_duration(self.container, self.stream)
        end = stated + self.start.origin + self.start.lead if stated else math.inf
        self._clock = Clock(self.stream, end=end, left=STATED_S if stated else UNSTATED_S)
        damaged = self.damaged
        for frame in self._decoded:
            if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
                reason = f"claims a sample rate of {frame.sample_rate} Hz: its header is damaged; get a complete copy"
                raise MediaError(self.path, reason)
            if gap := self._clock.gap_before(frame, self.damaged != damaged, self._lost):
                yield gap
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
        stated = stated_seconds(Path(self.path), self.container, self.stream, self.start.late)
        excess = 0
        if stated is not None and self.container.format.name.startswith("mov"):
            excess = round((self.seconds - stated) * rate)
        yield (block[:-excess] if 0 < excess <= _LAST_PACKET else block), rate

    def waveform(self, sample_rate: int) -> Iterator[np.ndarray]:
        """Yield consecutive blocks of about a second, (n,) mono float32 each, at ``sample_rate``.

        Raises:
            MediaError: the sound cannot be decoded or resampled.
        """
        if not self._seeked and (start := self._begin()) and self.frames:
            yield from silence(start.lead, sample_rate)
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
        stated = stated_seconds(Path(self.path), self.container, self.stream, self.start.late)
        # Headers round, and encoders count their padding, so a tenth of a second is no loss.
        if stated is not None and self.seconds < stated - 0.1 - stated / 1000:
            found = f"{self.seconds:.1f} s of {stated:.1f} s"
            whole = not (self.failed or was_cut(Path(self.path), self.container))
            # AVI counts chunks; writers leave them empty where there is no sound, and FFmpeg does not count those.
            lost = "what is missing may lie before the rest, so that times may be early"
            avi = whole and self.container.format.name == "avi"
            parts.append(f"has only {found}: {lost}" if avi else f"ends early: decoded {found}")
        elif self.failed or was_cut(Path(self.path), self.container):
            parts.append(f"ends early: decoded {self.seconds:.1f} s, the rest cannot be read")
        if self.damaged and (self.damaged > 1 or not parts):  # a cut leaves one packet in two
            parts.append(f"skipped {self.damaged} damaged packet{'s' if self.damaged > 1 else ''}")
        if self._lost >= GAP_S:
            parts.append(f"about {self._lost:.1f} s of it were replaced by silence")
        elif (early := self._seconds_left_out()) >= GAP_S:
            parts.append(f"about {early:.1f} s were left out there, so that later times are early")
        if self._clock.missing:
            parts.append(f"{self._clock.missing:.1f} s are missing and were replaced by silence")
        if (ignored := self._clock.ignored()) is not None:
            parts.append(ignored)
        if (second := second_recording(Path(self.path), self.container.format.name, self._end)) is not None:
            parts.append(f"another recording follows in the file and was left out: divide the file at byte {second}")
        if self._source is not None and (note := self._source.note(self.seconds)):
            parts.append(note)
        if (mixed := self.mixdown.warning()) is not None:
            parts.append(mixed)
        notes = [*self._notes, self.start.note] if self.start.note else self._notes
        return "; ".join(parts + notes) or None
