"""Waveforms from one sample rate to another, whole or in part."""

import math

# The filter of soxr_hq reaches fewer samples of the lower rate to either side: 96
# leave a difference of 7e-7 to the whole, 64 one of 3e-4.
FILTER_REACH = 128


def resample(waveform, rate, sample_rate):
    """A waveform `[S]` of rate `rate` at `sample_rate`, both in Hz."""
    import librosa  # takes seconds to import, and most data needs no resampling

    resampled = librosa.resample(
        waveform, orig_sr=rate, target_sr=sample_rate, res_type="soxr_hq"
    )
    return resampled[: resampled_length(len(waveform), rate, sample_rate)]


def resampled_length(samples, rate, sample_rate):
    """How many samples `resample` makes of `samples`."""
    up, down = _ratio(rate, sample_rate)
    return -(-samples * up // down)


def span_to_resample(first, count, rate, sample_rate):
    """What to decode for a part that shall equal the same part of the whole.

    A sample k of the source lies on a sample of the target where k is a multiple
    of the ratio's denominator: the span begins at such a one, and reaches to both
    sides of the part as far as the filter does.

    Args:
        first: First sample of the part, at `sample_rate`.
        count: Samples of the part, at `sample_rate`; None to the end.
        rate: Rate of the source in Hz.
        sample_rate: Rate of the target in Hz.

    Returns:
        `(source_first, source_count, skip)`: the samples to decode (the count is
        None to the end), and how many to drop from the front once resampled.
    """
    if rate == sample_rate:
        return first, count, 0
    up, down = _ratio(rate, sample_rate)
    reach = math.ceil(FILTER_REACH * max(1, sample_rate / rate))  # at sample_rate
    steps = max(0, first - reach) // up
    source_first, skip = steps * down, first - steps * up
    if count is None:
        return source_first, None, skip
    source_stop = -(-(first + count + reach) * down // up)
    return source_first, source_stop - source_first, skip


def _ratio(rate, sample_rate):
    """Samples of the target and of the source in the shortest stretch of both."""
    rate, sample_rate = int(rate), int(sample_rate)
    common = math.gcd(rate, sample_rate)
    return sample_rate // common, rate // common
