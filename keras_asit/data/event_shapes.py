"""Twelve event shapes and the ingredients they are made of.

A shape is a function of (rng, time, rate): a numpy Generator, the time [N] in seconds
from the start of the event, and the sample rate. It returns the event, float64 [N], on
any scale. The ranges of pitch, rhythm and timbre overlap between shapes, so that what
tells them apart is the picture their energy draws over time and frequency.
"""

import numpy as np


def tone(rng, time, rate):
    """A single steady partial."""
    return _voice(rng, _steady(rng, time), rate, partials=1) * _swell(rng, time)


def harmonic_stack(rng, time, rate):
    """A steady pitch with many harmonics."""
    pitch = np.full_like(time, _log_uniform(rng, 150, 400))
    return _voice(rng, pitch, rate, rng.integers(5, 12)) * _swell(rng, time)


def chirp_up(rng, time, rate):
    """A pitch that rises by one to three octaves."""
    return _voice(rng, _sweep(rng, time), rate) * _swell(rng, time)


def chirp_down(rng, time, rate):
    """A pitch that falls by one to three octaves."""
    return _voice(rng, _sweep(rng, time)[::-1], rate) * _swell(rng, time)


def click_train(rng, time, rate):
    """Short resonant clicks at a steady rhythm."""
    since_click = np.mod(time, time[-1] / rng.uniform(4, 16))
    decay = np.exp(-since_click / _log_uniform(rng, 0.001, 0.008))
    pitch = _log_uniform(rng, 300, min(5000, 0.4 * rate))
    return decay * np.sin(2 * np.pi * pitch * since_click)


def noise_burst(rng, time, rate):
    """Noise that sets in at once and dies away."""
    decay = time[-1] * rng.uniform(0.05, 0.3)
    return coloured_noise(rng, time.size, rate) * np.exp(-time / decay)


def amplitude_modulation(rng, time, rate):
    """A steady sound, a voice or a band of noise, whose loudness swings."""
    swing = np.sin(2 * np.pi * (rng.uniform(3, 16) * time / time[-1] + rng.random()))
    gain = (1 + rng.uniform(0.9, 1) * swing) * _swell(rng, time)
    if rng.random() < 0.25:
        return _band_of_noise(rng, time.size, rate) * gain
    return _voice(rng, _steady(rng, time), rate) * gain


def frequency_modulation(rng, time, rate):
    """A pitch that swings around its centre (vibrato)."""
    phase = rng.uniform(3, 12) * time / time[-1] + rng.random()
    octaves = rng.uniform(0.15, 0.5) * np.sin(2 * np.pi * phase)
    return _voice(rng, _steady(rng, time) * 2**octaves, rate) * _swell(rng, time)


def harmonic_glide(rng, time, rate):
    """A stack of harmonics whose pitch makes one arch, upward or downward."""
    arch = np.sin(np.pi * (time / time[-1]) ** rng.uniform(0.6, 1.6))
    octaves = rng.choice([-1, 1]) * rng.uniform(0.5, 1.3) * (arch - 0.5)
    pitch = _log_uniform(rng, 200, 500) * 2**octaves
    return _voice(rng, pitch, rate, rng.integers(4, 10)) * _swell(rng, time)


def band_noise(rng, time, rate):
    """A steady band of noise, one half to two octaves wide."""
    return _band_of_noise(rng, time.size, rate) * _swell(rng, time)


def bell(rng, time, rate):
    """Inharmonic partials that set in together; the higher, the sooner they fade."""
    count = rng.integers(4, 9)
    ratios = np.cumsum(np.r_[1, rng.uniform(0.25, 1.1, count - 1)])
    pitches = _log_uniform(rng, 200, 600) * ratios
    pitches = pitches[pitches < 0.45 * rate, None]
    decay = time[-1] * rng.uniform(0.15, 0.5) * (pitches[0] / pitches) ** 0.5
    phase = rng.random(pitches.shape)
    partials = np.exp(-time / decay) * np.sin(2 * np.pi * (pitches * time + phase))
    return rng.uniform(0.3, 1, pitches.size) @ partials


def beeps(rng, time, rate):
    """Separate beeps at a steady rhythm that take turns between two pitches."""
    beat = rng.integers(4, 13) * time / time[-1]
    other = 2 ** (rng.choice([-1, 1]) * rng.uniform(0.25, 1))
    pitch = _steady(rng, time) * np.where(beat.astype(int) % 2, other, 1.0)
    gate = np.clip((rng.uniform(0.35, 0.75) - beat % 1) * 20, 0, 1)
    return _voice(rng, pitch, rate) * gate * np.clip(beat % 1 * 20, 0, 1)


SHAPES = {
    shape.__name__: shape
    for shape in (
        tone,
        harmonic_stack,
        chirp_up,
        chirp_down,
        click_train,
        noise_burst,
        amplitude_modulation,
        frequency_modulation,
        harmonic_glide,
        band_noise,
        bell,
        beeps,
    )
}


def _voice(rng, pitch, rate, partials=None):
    """Sings a pitch, Hz [N], with harmonics of a random timbre (1 to 4 of them)."""
    partials = rng.integers(1, 5) if partials is None else partials
    turn = np.exp(2j * np.pi * np.cumsum(pitch) / rate)
    partial, wave = np.ones_like(turn), np.zeros_like(pitch)
    for k in range(1, partials + 1):
        partial *= turn
        gain = rng.uniform(0.4, 1) * k ** -rng.uniform(0.3, 1.2)
        wave += gain * partial.imag * (k * pitch < 0.45 * rate)
    return wave


def _steady(rng, time):
    return np.full_like(time, _log_uniform(rng, 400, 1600))


def _sweep(rng, time):
    """A rising pitch, Hz [N], straight or bent, centred like a steady one."""
    octaves = (time / time[-1]) ** _log_uniform(rng, 0.6, 1.7) - 0.5
    return _log_uniform(rng, 500, 1600) * 2 ** (rng.uniform(1, 3) * octaves)


def _swell(rng, time):
    """A gain that rises and falls within 1 to 25 % of the event, each at random."""
    position = time / time[-1]
    attack, release = rng.uniform(0.01, 0.25, 2)
    return np.minimum(1, np.minimum(position / attack, (1 - position) / release))


def coloured_noise(rng, samples, rate):
    """White to brown noise of mean power 1, through a random slow filter."""
    spectrum, octaves = _white_spectrum(rng, samples, rate)
    ripple = np.sin(octaves * rng.uniform(0.4, 1.5) + rng.uniform(0, 2 * np.pi))
    colour = rng.choice([0, -3, -6]) * octaves + rng.uniform(0, 5) * ripple
    wave = np.fft.irfft(spectrum * decibels(colour), samples)
    return wave / np.sqrt(np.mean(wave**2))


def _band_of_noise(rng, samples, rate):
    spectrum, octaves = _white_spectrum(rng, samples, rate)
    centre = np.log2(_log_uniform(rng, 500, 2500) / 50)
    distance = (octaves - centre) / rng.uniform(0.25, 1)
    return np.fft.irfft(spectrum * np.exp(-(distance**4)), samples)


def _white_spectrum(rng, samples, rate):
    """A random spectrum with the place of each bin, in octaves above 50 Hz."""
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    parts = rng.standard_normal((2, frequencies.size), dtype="float32")
    return parts[0] + 1j * parts[1], np.log2(np.maximum(frequencies, 50) / 50)


def _log_uniform(rng, low, high):
    return np.exp(rng.uniform(np.log(low), np.log(high)))


def decibels(gain):
    """The factor on the amplitude for a gain in decibels."""
    return 10 ** (gain / 20)
