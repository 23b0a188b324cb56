"""When somebody speaks: 20 ms chunks in, openings out, and how long it has been silent since.

    webrtcvad     ....######....            costs little, takes noise for voice
    Onset             ^                     duck, by webrtcvad alone
    Silero        ....~~~~######~~~~        runs while webrtcvad says voice, and while open (not in pauses)
    Opened                 ^  at ^(dated back), pre-roll in front of it
    energy        .....########.....        inside what Silero calls speech: the first and the last
    silence_ms                 0123..       voiced sample, to a few ms

webrtcvad's own tail never counts: while the gate is open it is not even asked. The gate opens by
itself and is closed by its owner, because when an utterance is over is for the floor to say.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import chain

import numpy as np
import webrtcvad

from pipeline.audio import CHUNK_MS, MIC_CHUNK, MIC_RATE, AudioChunk
from pipeline.lane import FRAME, KEPT_MS, QUIETEST, Lane, Window, frame_powers
from pipeline.settings import GateSettings
from pipeline.silero import WINDOW, SileroStream

ONSET_CHUNKS = 2  # in a row by webrtcvad: one alone is often a click
ONSET_PATIENCE_MS = 300  # an onset that Silero has not confirmed by then is withdrawn
STAGGER = (128, 256, 384)  # samples by which the other lanes' windows are later
WARM_UP_CHUNKS = 16  # 320 ms up to the first voice, so that the recurrent network has heard the room
CALLED_CHUNKS = 45  # 900 ms, so that a lane called into music does not take it for the beginning of a word
POSSIBLE = 0.2  # for the first lane, in its recent windows; in loud noise 99 of 100 are below it
SURE_WINDOWS = 3  # of the lanes' recent ones: one alone takes the beginning of a chord for a vowel
ROOM_MS = 100  # of sound that it takes to judge the room by
REACH_BACK_MS = 300  # how far before Silero's first window energy may date an opening back,
REACH_GAP_MS = 40  # over quieter gaps of at most this
BRIDGE_MS = 100  # a stop's closure inside a word is voice for voiced_ms
AGAIN_MS = 100  # without energy, after which the other lanes rest in a pause,
DOZE_MS = 300  # and all
TAIL_MS = 100  # after Silero's last window, in which a last consonant still counts,
TAIL_GAP_MS = 80  # after no more than this: the closure of a last t or p
ABOVE_NOISE_DB = 5.0  # over the room, and
BELOW_PEAK_DB = 30.0  # not further below this utterance's loudest: that is a voiced frame
NEAR_PEAK_DB = 12.0  # but however loud the room, this near the loudest is voice
PEAK_FALLS_DB = 0.1  # per 32 ms of speech: one shout does not make all that follows silent
NOISE_FLOOR_DB = -70.0  # below it, everything is silence
SILENT = [10 * math.log10(QUIETEST)] * (MIC_CHUNK // FRAME), 10 * math.log10(QUIETEST)  # of digital silence


@dataclass(frozen=True, slots=True)
class Onset:
    """webrtcvad alone takes this for voice. Good for ducking, for nothing else.

    There is one until webrtcvad has been silent again: in steady noise speech opens without another."""

    at: int  # samples since the call began


@dataclass(frozen=True, slots=True)
class OnsetGone:
    """It was none: Silero did not confirm it in time, or it ended."""

    at: int


@dataclass(frozen=True, slots=True)
class Opened:
    """Somebody speaks."""

    at: int  # the first voiced sample, dated back
    start: int  # of `preroll`, up to preroll_ms before `at`
    preroll: np.ndarray  # int16, shape (n,): all sound from `start` to the end of the chunk just pushed


GateEvent = Onset | OnsetGone | Opened


class Gate:
    """One call's. `push` takes 0.005 ms in digital silence, 0.02 in a room, 0.15 in speech and in loud noise.

    Args:
        settings: thresholds, see config.toml.
        silero: this call's stream of the shared model.
    """

    def __init__(self, settings: GateSettings, silero: SileroStream) -> None:
        self.settings = settings
        self._lanes = [Lane(silero, 0)] + [Lane(silero.sibling(), offset) for offset in STAGGER]
        self._lane = self._lanes[0]  # the one that listens while open
        self._vad = webrtcvad.Vad(settings.aggressiveness)
        self._kept: deque[AudioChunk] = deque(maxlen=(settings.preroll_ms + KEPT_MS) // CHUNK_MS)
        self._kept_levels: deque[list[float]] = deque(maxlen=self._kept.maxlen)
        self._flags: deque[bool] = deque(maxlen=settings.window_ms // CHUNK_MS)  # webrtcvad's
        self._now = 0
        self._level_db = 10 * math.log10(QUIETEST)
        self._noise_db = -60.0
        self._is_open = False
        self._forget()

    def _forget(self) -> None:
        self._flags.clear()
        self._awake = False  # Silero listens on all lanes,
        self._resting = False  # or on the first alone
        self._loud_at = self._now  # samples; the last energy in a pause, while open
        self._dozing = False  # no lane listens: a pause, while open
        self._onset: int | None = None  # announced, neither confirmed nor withdrawn
        self._announced = False
        self._peak_db = NOISE_FLOOR_DB
        self._speech_until = 0  # samples; the end of the last window that Silero called speech, while open
        self._voiced = 0
        self._last_voiced = self._voice_until = self._now

    # ------------------------------------------------------------------ what the owner asks

    @property
    def is_open(self) -> bool:
        return self._is_open

    @property
    def onset(self) -> bool:
        """webrtcvad takes what it hears for voice, and Silero has not said no yet."""
        return self._onset is not None

    @property
    def voiced_ms(self) -> int:
        """Confirmed voice since the opening, its first sample included; pauses count, if short."""
        return 1000 * self._voiced // MIC_RATE

    @property
    def silence_ms(self) -> int:
        """Since the last voiced sample; while closed, that of the last utterance."""
        return 1000 * (self._now - self._voice_until) // MIC_RATE

    @property
    def level_db(self) -> float:
        """RMS of the last chunk in dBFS, without a constant offset."""
        return self._level_db

    @property
    def silero_windows(self) -> int:
        """How many windows Silero has judged: what this gate costs."""
        return sum(lane.silero.windows_run for lane in self._lanes)

    def close(self) -> None:
        """The utterance is over; look for the next. Sound up to its last voice is in no later pre-roll."""
        if not self._is_open:
            return
        last = self._voice_until
        self._is_open = False
        while self._kept and self._kept[0].at + MIC_CHUNK <= last:
            self._kept.popleft()
            self._kept_levels.popleft()
        for lane in self._lanes:
            lane.rest()
        self._forget()
        self._last_voiced = self._voice_until = last

    def forget(self) -> None:
        """What it has heard lately was our own echo: closed, and nothing of it is in a later pre-roll."""
        self._is_open = False
        self._kept.clear()
        self._kept_levels.clear()
        for lane in self._lanes:
            lane.rest()
        self._forget()

    # ------------------------------------------------------------------ sound

    def push(self, chunk: AudioChunk) -> list[GateEvent]:
        """Exactly 20 ms at 16 kHz. Raises ValueError otherwise."""
        if chunk.rate != MIC_RATE or chunk.samples.shape != (MIC_CHUNK,):
            raise ValueError(f"the gate takes {MIC_CHUNK} samples at {MIC_RATE} Hz")
        if self._now == 0:
            self._last_voiced = self._voice_until = chunk.at
        levels, self._level_db = SILENT
        if np.count_nonzero(chunk.samples):
            power = frame_powers(chunk.samples)
            levels = [10 * math.log10(each) for each in power]
            self._level_db = 10 * math.log10(sum(power) / len(power))
        self._now = chunk.at + MIC_CHUNK
        self._kept.append(chunk)
        self._kept_levels.append(levels)
        self._follow_noise(sorted(levels)[len(levels) // 2])
        events: list[GateEvent] = []
        if self._is_open:
            if not self._dozing:
                for window in self._lane.push(chunk.samples, levels):
                    self._count(window)
            self._look_again(chunk, levels)
        else:
            events = self._look(chunk, levels)
        self._voice_until = self._last_voice()
        return events

    def _follow_noise(self, level_db: float) -> None:
        """Down at once, up slowly, and slower yet while somebody may be speaking."""
        rise = 0.02 if self._awake else 0.1  # dB per chunk: 1 and 5 dB/s
        step = 0.3 * (level_db - self._noise_db)
        self._noise_db = max(NOISE_FLOOR_DB, self._noise_db + min(step, rise))

    def _look(self, chunk: AudioChunk, levels: list[float]) -> list[GateEvent]:
        # webrtcvad takes the first quarter of a second of a call's silence for voice, if it is asked.
        audible = self._level_db > NOISE_FLOOR_DB
        self._flags.append(audible and self._vad.is_speech(chunk.samples.tobytes(), MIC_RATE))
        if not any(self._flags):
            return self._rest()
        self._listen(chunk, levels)
        events: list[GateEvent] = []
        if not self._announced and list(self._flags)[-ONSET_CHUNKS:] == [True] * ONSET_CHUNKS:
            self._onset = self._now - ONSET_CHUNKS * MIC_CHUNK
            self._announced = True
            events.append(Onset(self._onset))
        if sum(self._flags) * CHUNK_MS >= self.settings.voiced_ms and self._confirmed():
            return [*events, self._open(max(self._lanes, key=lambda lane: max(lane.recent(), default=0.0)))]
        if self._onset is not None and self._now - self._onset > ONSET_PATIENCE_MS * MIC_RATE // 1000:
            self._onset = None
            events.append(OnsetGone(self._now))
        return events

    def _listen(self, chunk: AudioChunk, levels: list[float]) -> None:
        """All lanes, until an onset has come to nothing: in lasting noise the first one calls the others."""
        first, *others = self._lanes
        if not self._awake:
            self._wake(self._lanes)
            return
        first.push(chunk.samples, levels)
        unlikely = self._announced and self._onset is None and max(first.recent(), default=0.0) < POSSIBLE
        if unlikely:
            for lane in others:
                lane.rest()
        elif self._resting:
            self._wake(others, CALLED_CHUNKS)
        else:
            for lane in others:
                lane.push(chunk.samples, levels)
        self._resting = unlikely

    def _confirmed(self) -> bool:
        sure = [speech for lane in self._lanes for speech in lane.recent() if speech >= self.settings.confirm]
        return len(sure) >= SURE_WINDOWS

    def _rest(self) -> list[GateEvent]:
        """webrtcvad hears nothing any more: Silero rests, and costs nothing."""
        if not self._awake:
            return []
        announced, last = self._onset, self._last_voiced
        for lane in self._lanes:
            lane.rest()
        self._forget()
        self._last_voiced = last
        return [] if announced is None else [OnsetGone(self._now)]

    def _wake(self, lanes: list[Lane], count: int = WARM_UP_CHUNKS) -> None:
        """Silero hears what went before, too: a recurrent network needs the room to judge by."""
        self._awake = True
        chunks = list(self._kept)[-count:]
        samples = np.concatenate([chunk.samples for chunk in chunks])
        levels = list(chain.from_iterable(list(self._kept_levels)[-count:]))
        for lane in lanes:
            lane.wake(chunks[0].at, samples, levels)

    def _look_again(self, chunk: AudioChunk, levels: list[float]) -> None:
        """In a long pause without energy no lane listens; as soon as there is some all do, to notice the
        next word in time."""
        loud = max(levels) >= self._threshold_db()
        if loud:
            self._loud_at = self._now
        pausing = self._speech_until < self._lane.judged_until
        if not pausing and not self._awake:
            return
        others = [lane for lane in self._lanes if lane is not self._lane]
        if not pausing:
            self._awake = False
        elif (quiet := self._now - self._loud_at) > AGAIN_MS * MIC_RATE // 1000:
            self._awake, self._dozing = False, quiet > DOZE_MS * MIC_RATE // 1000
        elif self._awake:
            for lane in others:
                lane.push(chunk.samples, levels)
        elif loud:
            self._wake(self._lanes if self._dozing else others)
            self._dozing = False
        for lane in self._lanes if self._awake else ():
            if lane.windows and lane.windows[-1].speech >= self.settings.confirm:
                self._lane = lane
                self._awake = False
                for window in self._speech_so_far(lane):
                    self._count(window)
                break

    # ------------------------------------------------------------------ dating

    def _open(self, lane: Lane) -> Opened:
        self._lane = lane
        speech = self._speech_so_far(lane)
        self._peak_db = max(max(window.levels) for window in speech)
        self._hear_room(speech[0].start)
        at = self._first_voiced(speech[0].start)
        self._is_open = True
        self._onset = None
        self._awake = False
        self._last_voiced = at
        for window in lane.windows:
            if window.start + WINDOW > at:
                self._count(window, believed=window.start < speech[0].start)
        start = max(self._kept[0].at, at - self.settings.preroll_ms * MIC_RATE // 1000)
        sound = np.concatenate([chunk.samples for chunk in self._kept])
        return Opened(at, start, sound[start - self._kept[0].at :])

    def _speech_so_far(self, lane: Lane) -> list[Window]:
        """The unbroken run of windows that are speech, up to the last one that confirmed."""
        windows = list(lane.windows)
        while windows[-1].speech < self.settings.confirm:
            windows.pop()
        first = len(windows) - 1
        while first and windows[first - 1].speech >= self.settings.keep:
            first -= 1
        return windows[first:]

    def _hear_room(self, speech_start: int) -> None:
        """The room just before the word, where the slow follower has not come up to it yet."""
        frames = (speech_start - self._kept[0].at) // FRAME - REACH_BACK_MS * MIC_RATE // 1000 // FRAME
        before = np.concatenate(list(self._kept_levels))[: max(0, frames)]
        if len(before) * FRAME >= ROOM_MS * MIC_RATE // 1000:
            self._noise_db = max(self._noise_db, float(np.percentile(before, 30)))

    def _first_voiced(self, speech_start: int) -> int:
        """Back from Silero's first window as long as there is energy: Silero is late on a soft consonant."""
        levels = np.concatenate(list(self._kept_levels))
        origin = self._kept[0].at
        first = max(0, speech_start - REACH_BACK_MS * MIC_RATE // 1000 - origin) // FRAME
        loud = levels >= self._threshold_db()
        start = max(0, speech_start - origin) // FRAME
        frame = start + int(np.argmax(loud[start:]))
        reach = REACH_GAP_MS * MIC_RATE // 1000 // FRAME + 1
        while (before := np.flatnonzero(loud[max(first, frame - reach) : frame])).size:
            frame = max(first, frame - reach) + int(before[0])
        return origin + frame * FRAME

    def _count(self, window: Window, believed: bool = False) -> None:
        """Finds the voice in a window that Silero has judged, the gate being open.

        `believed`: it lies between the dated first sample and Silero's first window. A soft last
        consonant counts beyond Silero's last window, too, as long as it hangs together with the word."""
        within_gap = TAIL_GAP_MS * MIC_RATE // 1000
        if believed or window.speech >= self.settings.keep:
            self._speech_until = window.start + WINDOW
            self._peak_db = max(self._peak_db - PEAK_FALLS_DB, *window.levels)
            within_gap = WINDOW * KEPT_MS  # any
        elif window.start >= self._speech_until + TAIL_MS * MIC_RATE // 1000:
            return
        threshold_db = self._threshold_db()
        for number, level in enumerate(window.levels, 1):
            end = window.start + number * FRAME
            gap = end - self._last_voiced
            if level < threshold_db or gap <= 0 or gap > FRAME + within_gap:
                continue
            self._voiced += gap if gap <= FRAME + BRIDGE_MS * MIC_RATE // 1000 else FRAME
            self._last_voiced = end

    def _last_voice(self) -> int:
        """Counting the newest frames, too new for Silero, as voice as long as it heard speech before them."""
        if not self._is_open or self._speech_until < self._lane.judged_until:
            return self._last_voiced
        threshold_db = self._threshold_db()
        for number in range(len(self._lane.pending), 0, -1):
            if self._lane.pending[number - 1] >= threshold_db:
                return max(self._last_voiced, self._lane.judged_until + number * FRAME)
        return self._last_voiced

    def _threshold_db(self) -> float:
        audible = min(self._noise_db + ABOVE_NOISE_DB, self._peak_db - NEAR_PEAK_DB)
        return max(audible, self._peak_db - BELOW_PEAK_DB)
