"""Signals that can be told apart in every 20 ms, and what of them is in a recording."""

import array
import operator
import random
import wave

RATE = 8000
FRAME = RATE // 50


def write_voice(path, seconds, seed):
    """A signal like speech in spectrum and rhythm, different everywhere and for every seed."""
    chance = random.Random(seed)
    samples, low, band = array.array("h"), 0.0, 0.0
    for n in range(seconds * RATE):
        if n % (RATE // 5) == 0:  # A syllable: its loudness rises and falls within 200 ms.
            loudness = chance.uniform(4000, 9000)
        at = n % (RATE // 5) / (RATE // 5)
        low += 0.35 * (3 * (chance.random() - 0.5) - low)
        band += 0.05 * (low - band)
        envelope = loudness * (0.3 + 0.7 * 4 * at * (1 - at))
        samples.append(max(-32000, min(32000, int((low - band) * envelope))))
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(samples.tobytes())


def read(path):
    """Samples of a WAV file whose header may not be complete yet."""
    body = path.read_bytes()[44:]
    return array.array("h", body[: len(body) // 2 * 2])


def correlation(a, b):
    """Normalised correlation of two stretches of samples, 0 if one is silent."""
    power = sum(map(operator.mul, a, a)) * sum(map(operator.mul, b, b))
    return sum(map(operator.mul, a, b)) / power**0.5 if power else 0.0


class Heard:
    """How much of `sent` is in `recorded`.

    `correlation` is that of everything recorded with what was sent in its place; `frames` counts
    recorded frames of 20 ms that are one of the signal, `missing` those between the first and the
    last of them that are not in the recording, `first` is where in the signal it begins. At most
    `gap` frames may be missing in one place; the recording begins within `search` samples of the
    signal.
    """

    TEMPLATE = 2 * FRAME

    def __init__(self, sent, recorded, gap=10, search=RATE):
        self.correlation = self.frames = self.missing = self.first = 0
        self.total = len(recorded) // FRAME
        start = self._start(recorded)
        template = recorded[start:start + self.TEMPLATE]
        lags = range(min(search, len(sent) - self.TEMPLATE))
        if len(template) < self.TEMPLATE:
            return
        products = [sum(map(operator.mul, template, sent[lag:lag + self.TEMPLATE])) for lag in lags]
        best = sorted(lags, key=products.__getitem__)[-20:]
        at = max(best, key=lambda lag: correlation(template, sent[lag:lag + self.TEMPLATE]))
        self.first = at // FRAME
        heard, original = array.array("h"), array.array("h")
        for begin in range(start, len(recorded) - FRAME, FRAME):
            frame = recorded[begin:begin + FRAME]
            found = next((skip for skip in range(gap + 1)
                          if correlation(frame, sent[at + skip * FRAME:][:FRAME]) > 0.9), None)
            heard += frame
            original += sent[at + (found or 0) * FRAME:][:FRAME]
            if found is not None:
                self.frames += 1
                self.missing += found
                at += (found + 1) * FRAME
        self.correlation = correlation(heard[:len(original)], original)

    @staticmethod
    def _start(recorded):
        """The first frame that is not silent."""
        return next((begin for begin in range(0, len(recorded) - FRAME, FRAME)
                     if max(recorded[begin:begin + FRAME]) > 500), len(recorded))

    def __str__(self):
        return (f"correlation {self.correlation:.4f}, {self.frames} of {self.total} frames, "
                f"{self.missing} missing, from frame {self.first}")
