"""Takes what we play out of what we hear: a laptop without echo cancellation does not interrupt itself.

    played  ──▶ the last second ──┐
                                  ├─ match: is there an echo, and how late?    (until found, and now and then)
    heard   ──▶ the last second ──┘
            ──▶ EchoFilter ──▶ rest ──▶ bands: more than the echo leaves behind? ──▶ cleaned
                  room            clipping, drift, long tails       only a voice gets through

Both sides are counted in samples, so that packets may be late as they like. Nothing is done, and sound is
handed on as it is, while nothing was played lately, while the microphone hears nothing, and in a headset.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from pipeline.audio import MIC_CHUNK, MIC_RATE, VOICE_RATE
from pipeline.echo_delay import CERTAIN, LONGEST, Match, match
from pipeline.echo_filter import SIZE, EchoFilter
from pipeline.echo_track import Downsampler, Track

LINGERS = MIC_RATE  # samples # after the last sound that was played: the longest delay and a room's tail
QUIET = 10 ** (-66 / 20)  # RMS; below it nobody hears anything, the gate neither
LOUD = 1_000  # peak, of 32,768, of what is played that should have been heard, if it comes back at all
NEAR = MIC_RATE * 800 // 1000  # samples of microphone that a match looks at, at most
MATCH_EVERY = 2  # chunks, while it is urgent
CONFIRM_EVERY = 10  # chunks, just after
RECHECK_EVERY = 25  # chunks, while it is not
FIRST_LOOK = 6  # chunks heard: enough for a first match
DECIDED = 9  # chunks heard without anything like a match: then it was somebody's voice
TOLD_APART = 40  # chunks played loudly, and no echo heard: then there is none
HINT = 1.0  # a match's evidence that may be chance, but is worth another look
PROOF = 12.0  # summed over looks that agree: it is our own voice
SURE_ECHO = 4.0  # in a longer stretch: it still is
OVERDRIVEN = (0.2, 0.05)  # of the loudest: where a loudspeaker that is driven too hard may clip
CLIPS = 8.0  # a match's evidence when the same is done to what was played: then it does
AGREE = MIC_RATE * 2 // 1000  # samples: the same delay
LEAD = MIC_RATE * 10 // 1000  # samples that the filter looks ahead of the delay found
MOVED = MIC_RATE * 8 // 1000  # samples earlier than expected: the echo leaves the filter's span
REACH = MIC_RATE * 60 // 1000  # samples later: likewise
PRACTICE = 40  # chunks already heard that a new filter learns from
EARLIER = 0.2  # of the sound under test, at least, must have been played before it, to judge by that:
UNHEARD = 0.05  # less than so much of what the echo would have been came back, so it is none

BANDS_HZ = (100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700,
            4400, 5300, 6400, 7900)  # fmt: skip  # Bark
EDGES = np.array([hz * SIZE // MIC_RATE for hz in BANDS_HZ])
WIDTHS = np.diff(EDGES).astype(np.float32)
VOICE_BANDS = slice(1, 17)  # 200 to 4,400 Hz: where a voice shows
WINDOW = np.hanning(SIZE).astype(np.float32)
TAIL = 0.5  # of the power that was played, per chunk: a room's echo of 3 dB in 20 ms
LEAK_RISES_DB = 1.5  # per chunk of echo: what is left of the echo, relative to what was played
LEAK_FALLS_DB = 0.15
LEAK_RISES_SPOKEN_DB = 0.1  # and while it is taken for a voice
MARGIN = 2.0  # times the power that the echo hardly ever exceeds: a voice
NEW_DB = 8.0  # more is expected of an echo that has just been found,
AGES_DB = 0.1  # and so much less with each chunk of it
CREDIT_DB = 15.0  # of the filter's work is believed
ROOM_RISES = 1.01  # per chunk: the room's own noise, 2 dB/s
SPOKEN = 0.25  # of a voice's bands, on average, that the echo does not explain
SURE = 0.4  # of them: enough to duck for
NOISE_RISES = 1.005  # per chunk: 2 dB/s
ABOVE_NOISE = 2.0  # times the noise's RMS: something is heard
PAUSE_CHUNKS = 10  # without anything that end a burst
URGENT = 40  # chunks of a burst in which an echo is looked for often
UNCONFIRMED = 8  # matches in a row without a peak: the echo is gone
PENDING = 75  # pieces of 20 ms that wait for a microphone that hears something
PLAYED = NEAR + LONGEST + MIC_RATE  # samples of what was played that are kept
FILTER_DELAY = 40  # samples, 2.5 ms: half the length of the filter that takes the bands down
BINS = np.arange(SIZE // 2 + 1)
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2
LATE = np.exp(-2j * np.pi * BINS * FILTER_DELAY / SIZE).astype(np.complex64)
RAMP = (np.arange(MIC_CHUNK, dtype=np.float32) + 1) / MIC_CHUNK


def _clipped(samples: np.ndarray, limit: float) -> np.ndarray:
    return samples if limit == math.inf else samples.clip(-limit, limit)


def band_power(samples: np.ndarray) -> np.ndarray:
    """float32 (SIZE,); the mean power in each band."""
    spectrum = np.fft.rfft(samples * WINDOW)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.add.reduceat(power, EDGES)[:-1] / WIDTHS


def _energy(samples: np.ndarray) -> float:
    return float(samples @ samples)


class EchoGuard:
    """One call's."""

    def __init__(self) -> None:
        self._filter: EchoFilter | None = None  # there is an echo, and this has learned it
        self.just_found = False  # with the last chunk: what was handed on before it held echo
        self._apart = False  # what is played does not come back
        self._asked = 0  # samples at VOICE_RATE handed out, silence included
        self._taken = 0  # of those, how many are in `_played`
        self._pending: deque[tuple[int, np.ndarray]] = deque(maxlen=PENDING)
        self._downsampler = Downsampler()
        self._played = Track(PLAYED)
        self._heard = Track(NEAR + MIC_RATE)
        self._now = 0  # samples heard
        self._sounds_until = 0  # samples heard: what was played may come back until then
        self._awake = False
        self._loud_unheard = 0  # chunks played loudly since the microphone heard anything
        self._noise = QUIET
        self._active = 0  # chunks of the burst that the microphone hears
        self._pause = 0  # chunks since its last
        self._limit = math.inf  # at which the loudspeaker clips what was played, full scale being 1
        self._tried = 0  # of OVERDRIVEN
        self._shift = 0  # heard sample t is played sample t + shift, come back
        self._checks = 0
        self._candidate: Match | None = None
        self._evidence = 0.0  # of the candidate
        self._moved: int | None = None
        self._unconfirmed = 0
        self._confirmed = False  # once more, by sound that came after it was found
        self._new = 0.0
        self._leak_db = self._most_db = np.zeros(len(WIDTHS), np.float32)
        self._tail = np.zeros(len(WIDTHS), np.float32)
        self._smooth = self._room = np.zeros(len(WIDTHS), np.float32)
        self._far_peak = np.zeros(len(WIDTHS), np.float32)
        self._forget()

    def _forget(self) -> None:
        self._last_far = np.zeros(MIC_CHUNK, np.float32)
        self._last_rest = np.zeros(MIC_CHUNK, np.float32)
        self._gains = np.ones(SIZE // 2 + 1, np.float32)
        self._voice = 0.0

    @property
    def found(self) -> bool:
        """The microphone hears what is played."""
        return self._filter is not None

    @property
    def doubtful(self) -> bool:
        """It hears something, and whether that is what is played will be known shortly."""
        if not self._awake or self.found or self._apart or not self._active:
            return False
        return self._active < DECIDED or self._candidate is not None

    @property
    def hears_voice(self) -> bool:
        """More than the echo explains; always, where there is none."""
        return not self.found or self._voice >= SURE

    # ----------------------------------------------------------------- sound

    def played(self, samples: np.ndarray | None, count: int) -> None:
        """What was just handed out: int16 (count,) at 24 kHz, None being silence."""
        at, self._asked = self._asked, self._asked + count
        if samples is None:
            return
        self._pending.append((at, samples))
        self._sounds_until = self._now + LINGERS
        if int(samples[::7].max()) > LOUD:
            self._loud_unheard += 1
            if self._loud_unheard >= TOLD_APART:
                self._apart, self._filter = True, None

    def clean(self, samples: np.ndarray) -> np.ndarray:
        """20 ms of microphone, int16 (320,), without the echo in it."""
        at, self._now = self._now, self._now + MIC_CHUNK
        self.just_found = False
        if at >= self._sounds_until:
            self._awake = False
            return samples
        near = samples.astype(np.float32) / 32768
        level = math.sqrt(float(near @ near) / MIC_CHUNK)
        if not self._awake:
            self._wake(level)
        self._heard.skip(at)
        self._heard.push(near)
        self._follow(level)
        if self._filter is None:
            if self._active:
                self._search()
            return samples
        self._bring_up()
        if self._active >= URGENT // 2:
            self._recheck()
        if self._filter is None:
            return samples
        cleaned = self._take_away(at, near)
        return np.clip(np.rint(cleaned * 32768), -32768, 32767).astype(np.int16)

    def _wake(self, level: float) -> None:
        self._awake = True
        self._active = self._pause = 0
        self._candidate = None
        self._noise = level
        self._tail[:] = 0
        self._forget()
        if self._filter is not None:
            self._filter.rest()

    def _follow(self, level: float) -> None:
        """Whether the microphone hears anything beside its own noise."""
        self._noise = max(QUIET, min(self._noise * NOISE_RISES, level))
        if level >= ABOVE_NOISE * self._noise:
            self._active += 1 + self._pause
            self._pause = 0
            self._loud_unheard = 0
        elif self._active:
            self._pause += 1
            if self._pause > PAUSE_CHUNKS:
                self._active = self._pause = 0
                self._candidate = None

    def _bring_up(self) -> None:
        """Takes in what was played since, at the microphone's rate."""
        for at, samples in self._pending:
            if at - self._taken >= 3:
                self._taken = at - at % 3
                self._downsampler.rest()
                self._played.skip(self._taken * MIC_RATE // VOICE_RATE)
            whole = len(samples) - len(samples) % 3
            self._played.push(self._downsampler.push(samples[:whole].astype(np.float32) / 32768))
            self._taken += whole
        self._pending.clear()
        self._played.skip(self._asked * MIC_RATE // VOICE_RATE)
        self._taken = max(self._taken, self._asked - self._asked % 3)

    # ----------------------------------------------------------------- search

    def _search(self) -> None:
        urgent = self._active <= URGENT
        self._checks += 1
        if self._active < FIRST_LOOK or self._checks % (MATCH_EVERY if urgent else RECHECK_EVERY // 2):
            return
        self._bring_up()
        found, before = self._match(), self._candidate
        if found is None or found.evidence < HINT:
            self._candidate, self._evidence = None, 0.0
        else:
            agrees = before is not None and abs(before.delay - found.delay) <= AGREE
            self._evidence = found.evidence + (self._evidence if agrees else 0.0)
            self._candidate = found
            if agrees and self._evidence >= PROOF:
                if self._was_silent_before(found):
                    self._candidate, self._apart = None, True
                else:
                    self._begin(found)
        if self._filter is None and self._active >= URGENT:
            self._apart = self._candidate is None

    def _match(self) -> Match | None:
        """Finds out on the way whether the loudspeaker clips: what it plays is then another sound."""
        length = min(NEAR, (self._active + self._pause + 2) * MIC_CHUNK)
        near = self._heard.piece(self._heard.end - length, self._heard.end)
        far = self._played.piece(self._played.end - length - LONGEST, self._played.end)
        if not far.any():
            return None
        found = match(near, _clipped(far, self._limit))
        if found.strength >= CERTAIN:
            return found
        limit = math.inf
        if self._limit == math.inf:  # one of them at a time: each costs as much as the match itself
            self._tried = (self._tried + 1) % len(OVERDRIVEN)
            limit = OVERDRIVEN[self._tried] * float(np.abs(far).max())
        other = match(near, _clipped(far, limit))
        if other.evidence <= max(found.evidence, 0.0 if limit == math.inf else CLIPS):
            return found
        self._limit = limit
        return other

    def _was_silent_before(self, found: Match) -> bool:
        """Whether the microphone did not hear, just before this burst, what it would then have had to.

        Two voices may look alike for a while, the more so if they are one: a person in a headset who talks
        over a reply is known by the silence before."""
        end = self._heard.end
        begin, earliest = end - (self._active + self._pause + 1) * MIC_CHUNK, end - NEAR - MIC_RATE
        shift = self._played.end - end - found.delay
        if begin <= earliest:
            return False
        before, during = (
            (
                _energy(self._heard.piece(since, until)),
                _energy(self._played.piece(since + shift, until + shift)),
            )
            for since, until in ((earliest, begin), (begin, end))
        )
        told = before[1] >= EARLIER * during[1]
        return told and before[0] * during[1] < UNHEARD * during[0] * before[1]

    def _begin(self, found: Match) -> None:
        """There is an echo: learn it from what is there already."""
        self._shift = self._played.end - self._heard.end - found.delay + min(LEAD, found.delay)
        start = self._heard.end - PRACTICE * MIC_CHUNK
        near = self._heard.piece(start, self._heard.end)
        far = self._loudspeaker(start, self._heard.end)
        coupling = float(near @ near) / max(float(far @ far), 1e-9)
        self._filter = EchoFilter(min(coupling, 4.0))
        self._most_db = self._coupling_db(near, far)
        self._leak_db = self._most_db.copy()
        self._far_peak[:] = 0
        self._tail[:] = 0
        self._smooth = self._room = np.full(len(WIDTHS), 1e9, np.float32)
        self._new = NEW_DB
        self._forget()
        self.just_found = True
        self._moved, self._candidate = None, None
        self._unconfirmed, self._confirmed = 0, False
        for at in range(start, self._heard.end - MIC_CHUNK, MIC_CHUNK):
            self._take_away(at, self._heard.piece(at, at + MIC_CHUNK))

    @staticmethod
    def _coupling_db(near: np.ndarray, far: np.ndarray) -> np.ndarray:
        """What comes back at most of what is played, band by band, while the filter knows nothing."""
        tail = np.zeros(len(WIDTHS), np.float32)
        ratios, loudness = [], []
        for at in range(0, len(near) - MIC_CHUNK, MIC_CHUNK):
            played = band_power(far[at : at + SIZE])
            tail = np.maximum(played, TAIL * tail)
            ratios.append(10 * np.log10((band_power(near[at : at + SIZE]) + 1e-9) / (tail + 1e-9)))
            loudness.append(played)
        loud = np.array(loudness)
        telling = loud > 0.03 * loud.max(axis=0)
        return np.nanquantile(np.where(telling, np.array(ratios), np.nan), 0.8, axis=0).astype(np.float32)

    def _recheck(self) -> None:
        """Delays change: clocks drift, packets are lost, a headset is plugged in."""
        self._checks += 1
        if self._checks % (RECHECK_EVERY if self._confirmed else CONFIRM_EVERY):
            return
        found = self._match()
        if found is None:
            return
        if found.evidence < SURE_ECHO:
            self._unconfirmed += 1
            if self._unconfirmed >= (UNCONFIRMED if self._confirmed else 1):
                self._filter = None
            return
        self._unconfirmed, self._confirmed = 0, True
        shift = self._played.end - self._heard.end - found.delay + min(LEAD, found.delay)
        if -REACH < shift - self._shift < MOVED:  # the filter holds it
            self._moved = None
        elif self._moved is not None and abs(shift - self._moved) < MOVED:
            self._begin(found)
        else:
            self._moved = shift

    # ------------------------------------------------------------------ clean

    def _loudspeaker(self, start: int, end: int) -> np.ndarray:
        """What it made of what was played, when that is heard from `start` to `end`."""
        return _clipped(self._played.piece(start + self._shift, end + self._shift), self._limit)

    def _take_away(self, at: int, near: np.ndarray) -> np.ndarray:
        assert self._filter is not None
        far = self._loudspeaker(at, at + MIC_CHUNK)
        rest = near - self._filter.push(near, far)
        whole = np.concatenate([self._last_rest, rest])
        power = band_power(whole) + 1e-9
        played = band_power(np.concatenate([self._last_far, far]))
        self._last_far, self._last_rest = far.copy(), rest
        self._tail = np.maximum(played, TAIL * self._tail)
        self._far_peak = np.maximum(played, 0.995 * self._far_peak)
        left_db = self._leak_db + 10 * np.log10(self._tail + 1e-12)
        self._smooth = 0.7 * self._smooth + 0.3 * power  # type: ignore[assignment]
        self._room = np.minimum(self._room * ROOM_RISES, self._smooth)
        over_db = 10 * np.log10(power) - left_db
        expected = MARGIN * (10 ** ((left_db + self._new) / 10) + 2 * self._room)
        gains = np.clip(1 - expected / power, 0, 1)
        self._voice = 0.5 * self._voice + 0.5 * float(gains[VOICE_BANDS].mean())
        spoken = self._voice > SPOKEN
        self._learn(played, over_db, spoken)
        gains = gains * min(1.0, max(0.0, 2 * self._voice / SPOKEN - 1))
        return self._shaped(whole, gains)

    def _learn(self, played: np.ndarray, over_db: np.ndarray, spoken: bool) -> None:
        """What is left of the echo, band by band: about its median while nobody speaks."""
        telling = played > 0.01 * self._far_peak
        rises = LEAK_RISES_SPOKEN_DB if spoken and not self._new else LEAK_RISES_DB
        self._new = max(0.0, self._new - AGES_DB * float(telling[VOICE_BANDS].mean()))
        self._leak_db += telling * np.where(over_db > 0, rises, -LEAK_FALLS_DB).astype(np.float32)
        self._leak_db = np.maximum(self._leak_db, self._most_db - CREDIT_DB)

    def _shaped(self, whole: np.ndarray, gains: np.ndarray) -> np.ndarray:
        if not gains.any() and not self._gains.any():  # nobody speaks over the echo, mostly
            return np.zeros(MIC_CHUNK, np.float32)
        before, self._gains = self._gains, np.interp(BINS, CENTRES, gains).astype(np.float32)
        spectrum = np.fft.rfft(whole) * LATE
        old = np.fft.irfft(spectrum * before)[MIC_CHUNK:]
        new = np.fft.irfft(spectrum * self._gains)[MIC_CHUNK:]
        return old + RAMP * (new - old)
