"""Audio files decoded inside a TensorFlow graph, once their headers pass the checks.

The decoders of tensorflow-io believe what a header says: with some damaged files they
end the process, with others they never end. They get only what was looked at here
before. wav, of which they write beyond their memory, is decoded without them.

Each format is a function of a file's bytes, a string tensor. It returns
`(samples, rate, is_sound)`: float32 `[S, channels]`, int64, bool.
"""

import functools

from keras_asit.audio.files import MAX_CHANNELS, RATES

MAX_SAMPLES = 1 << 28  # of all channels: 1 GiB as float32
STREAM_BYTES = 0x7FFFF000  # recorders to a pipe write this size, or a larger one
WAV_ENCODINGS = [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)]  # (tag, bits)
WAV_MOST_CHUNKS = 64
EXTENSIBLE = 0xFFFE  # the tag stands in a longer identifier, which ends so:
IDENTIFIER = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
FLAC_BITS = (8, 16, 24)
FLAC_BLOCK_BYTES = [0] * 6 + [1, 2] + [0] * 8  # of a frame's header, by four bits of it
FLAC_RATE_BYTES = [0] * 12 + [1, 2, 2, 0]
# A FLAC frame whose number, 2**36 - 1, is never the next. Where a file ends before all
# its samples are there, tensorflow-io asks libFLAC for more for ever; such a frame ends
# that with an error. There are more of them than a damaged frame can swallow.
LAST_FRAMES = b"\xff\xf9\x10\x02\xfe\xbf\xbf\xbf\xbf\xbf\xbf\xd6\0\0T\xd6" * (1 << 14)
CRC8 = [functools.reduce(lambda c, _: c << 1 ^ c // 128 * 0x107, range(8), c) for c in range(256)]
MP3_RATES = [(11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000)]
MP3_RATES += [(44100, 48000, 32000)]  # by version and two bits, the fourth is forbidden
MP3_TAGS = (b"TAG", b"APE", b"LYR")  # what may follow the frames
DECODER_DELAY = 529


def decode_file(path):
    """The samples of a file, of the format that its first bytes are of."""
    import tensorflow as tf

    data = _unless_it_fails(tf.io.read_file, path, "")
    first = tf.strings.substr(data, 0, 4)
    formats = {b"RIFF": wav, b"fLaC": flac, b"OggS": vorbis}
    cases = [(first == name, lambda f=f: f(data)) for name, f in formats.items()]
    return tf.case(cases, default=lambda: mp3(data))


def wav(data):
    """wav of 8, 16, 24 or 32 bits, or of floats of 32 or 64."""
    import tensorflow as tf

    form, begin, size = _find_wav_chunks(data)
    tag, channels, rate = (
        _number(data, form + at, count) for at, count in ((0, 2), (2, 2), (4, 4))
    )
    frame, bits = _number(data, form + 12, 2), _number(data, form + 14, 2)
    is_extensible = tag == EXTENSIBLE
    tag = _number(data, tf.where(is_extensible, form + 24, form), 2)
    valid_bits = _number(data, form + 18, 2)
    identifier = _text(data, tf.where(is_extensible, form + 26, 0), 14)
    encoding = [(tag == t) & (bits == b) for t, b in WAV_ENCODINGS]
    there = _size(data) - begin
    end = _number(data, 4, 4) + 8
    size = tf.where(size < STREAM_BYTES, size, there)
    frames = size // tf.maximum(frame, 1)
    is_sound = (
        (_text(data, 8, 4) == b"WAVE")
        & (form > 0)
        & (begin > 0)
        & tf.reduce_any(encoding)
        & (~is_extensible | ((identifier == IDENTIFIER) & (valid_bits == bits)))
        & (8 * frame == channels * bits)
        & (size <= there)
        & ((_size(data) <= end + 1))  # libsndfile minds what follows
        & _is_possible(rate, channels, frames)
    )

    def decode():
        pcm = tf.strings.substr(data, begin, frames * frame)
        branches = [lambda e=e: _pcm(pcm, *e) for e in WAV_ENCODINGS]
        samples = tf.switch_case(tf.argmax(encoding, output_type=tf.int32), branches)
        return tf.reshape(samples, [-1, channels])

    return _if_sound(is_sound, decode), rate, is_sound


def _find_wav_chunks(data):
    """Where what `fmt ` and `data` hold begins, or 0, and the size of the latter."""
    import tensorflow as tf

    def go_on(at, form, begin, size):
        return (begin == 0) & (at + 8 <= _size(data))

    def next_chunk(at, form, begin, size):
        name = _text(data, at, 4)
        chunk = _number(data, at + 4, 4)
        form = tf.where(name == b"fmt ", at + 8, form)
        is_data = name == b"data"
        begin, size = tf.where(is_data, at + 8, begin), tf.where(is_data, chunk, size)
        return at + 8 + chunk + chunk % 2, form, begin, size

    first = [tf.constant(value, tf.int64) for value in (12, 0, 0, 0)]
    return tf.while_loop(
        go_on, next_chunk, first, maximum_iterations=WAV_MOST_CHUNKS
    )[1:]


def _pcm(pcm, tag, bits):
    """The samples of wav bytes, in [-1, 1] unless they are floats."""
    import tensorflow as tf

    if tag == 3:
        return tf.cast(tf.io.decode_raw(pcm, f"float{bits}"), "float32")
    if bits == 8:
        return (tf.cast(tf.io.decode_raw(pcm, "uint8"), "float32") - 128.0) / 128.0
    if bits == 24:  # the upper three bytes of an int32
        digits = tf.reshape(tf.io.decode_raw(pcm, "uint8"), [-1, 3])
        integers = tf.bitcast(tf.pad(digits, [[0, 0], [1, 0]]), "int32")
        return tf.cast(integers, "float32") / 2.0**31
    integers = tf.io.decode_raw(pcm, f"int{bits}")
    return tf.cast(integers, "float32") / 2.0 ** (bits - 1)


def flac(data):
    """FLAC of 8, 16 or 24 bits that says its length."""
    import tensorflow as tf
    import tensorflow_io as tfio

    smallest, largest = _number(data, 8, -2), _number(data, 10, -2)
    packed = _number(data, 18, -8)  # 20, 3, 5 and 36 bits
    rate, samples = _bits(packed, 44, 20), _bits(packed, 0, 36)
    channels, bits = _bits(packed, 41, 3) + 1, _bits(packed, 36, 5) + 1
    depth = [bits == known for known in FLAC_BITS]
    is_sound = (
        (_text(data, 4, 4) == b"\0\0\0\x22")
        & tf.reduce_any(depth)
        & (smallest == largest)
        & (smallest > 0)
        & _is_possible(rate, channels, samples)
    )
    framed = tf.strings.join([data, LAST_FRAMES])

    def as_float(dtype, zero, scale):
        op = functools.partial(tfio.audio.decode_flac, dtype=dtype)
        nothing = tf.zeros([0, 1], dtype)
        return (tf.cast(_unless_it_fails(op, framed, nothing), "float32") - zero) / scale

    def decode():
        depths = [(tf.uint8, 128.0, 2.0**7), (tf.int16, 0.0, 2.0**15)]
        depths += [(tf.int32, 0.0, 2.0**31)]
        branches = [lambda d=d: as_float(*d) for d in depths]
        return tf.switch_case(tf.argmax(depth, output_type=tf.int32), branches)

    decoded = _if_sound(is_sound, decode)
    muted = _count_silent_blocks(decoded, tf.maximum(smallest, 1))
    zeros = channels * (8 + bits) // 8
    is_sound &= tf.cond(
        muted == 0, lambda: True, lambda: muted <= _count_silent_frames(framed, zeros)
    )
    return decoded, rate, is_sound


def _count_silent_blocks(samples, block):
    """How many blocks of a FLAC are zero. Those of a damaged frame are, unannounced."""
    import tensorflow as tf

    peaks = tf.reduce_max(tf.abs(samples), axis=1)
    rest = -tf.size(peaks, out_type=tf.int64) % block
    blocks = tf.reshape(tf.pad(peaks, [[0, rest]]), [-1, block])
    return tf.math.count_nonzero(tf.reduce_max(blocks, axis=1) == 0.0)


def _count_silent_frames(data, zeros):
    """How many FLAC frames say that they are silent: so many zeros after the header."""
    import tensorflow as tf

    content = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int64)
    frames = tf.where(_find(content, (0xFF, 0xF8)))
    headers = tf.gather(content, frames + tf.range(16, dtype=tf.int64))
    third, number = headers[:, 2], headers[:, 4]
    # The number is as long as UTF-8; an odd block size or rate takes more bytes.
    size = 6 + sum(tf.cast(number >= n, tf.int64) for n in (0xC0, 0xE0, 0xF0, 0xF8))
    size += tf.gather(tf.constant(FLAC_BLOCK_BYTES, tf.int64), third // 16)
    size += tf.gather(tf.constant(FLAC_RATE_BYTES, tf.int64), third % 16)
    checksum = tf.zeros_like(size)
    for at in range(16):
        following = tf.bitwise.bitwise_xor(checksum, headers[:, at])
        following = tf.gather(tf.constant(CRC8, tf.int64), following)
        checksum = tf.where(at < size, following, checksum)
    body = tf.gather(content, frames + size[:, None] + tf.range(zeros))
    return tf.math.count_nonzero((checksum == 0) & tf.reduce_all(body == 0, axis=1))


def vorbis(data):
    """Ogg of one stream, which is Vorbis and is there to its last page."""
    import tensorflow as tf
    import tensorflow_io as tfio

    content = tf.io.decode_raw(tf.strings.join([data, bytes(18)]), tf.uint8)
    pages = tf.where(_find(content, b"OggS"))
    header = tf.cast(tf.gather(content, pages + tf.range(5, 18, dtype=tf.int64)), tf.int64)
    flags, stream = header[:, 0], header[:, 9:]
    ends = _joined(header[:, 1:9])  # in samples
    channels, rate = _number(data, 39, 1), _number(data, 40, 4)
    is_sound = (
        (_text(data, 26, 1) == b"\x01")
        & (_text(data, 28, 7) == b"\x01vorbis")
        & tf.reduce_all(stream == stream[0])
        & (tf.math.count_nonzero(_bits(flags, 1, 1)) == 1)  # begins the stream
        & (_bits(flags[-1], 2, 1) == 1)  # ends it
        & tf.reduce_all((ends >= -1) & (ends <= ends[-1]))
        & _is_possible(rate, channels, ends[-1])
    )
    nothing = tf.zeros([0, 1])
    op = tfio.audio.decode_vorbis
    decoded = _if_sound(is_sound, lambda: _unless_it_fails(op, data, nothing))
    return decoded, rate, is_sound


def mp3(data):
    """MPEG layer III whose first frame says its length and its encoder's delay."""
    import tensorflow as tf
    import tensorflow_io as tfio

    size = _number(data, 6, -4)  # of a tag before the frames: seven bits a byte
    size = sum(_bits(size, 8 * i, 7) * 2 ** (7 * i) for i in range(4))
    begin = tf.where(_text(data, 0, 3) == b"ID3", size + 10, 0)
    header = _number(data, begin, -4)
    version, hertz = _bits(header, 19, 2), _bits(header, 10, 2)
    rates = tf.constant(MP3_RATES, tf.int64)
    rate = tf.gather_nd(rates, [version, tf.minimum(hertz, 2)])
    is_mpeg1, is_mono = version == 3, _bits(header, 6, 2) == 3
    side = tf.where(is_mpeg1, tf.where(is_mono, 17, 32), tf.where(is_mono, 9, 17))
    side = tf.cast(side, tf.int64)
    xing = begin + 4 + side
    frames, stored = _number(data, xing + 8, -4), _number(data, xing + 12, -4)
    end = begin + stored
    delay = _number(data, xing + 141, -3)  # twice 12 bits
    ends = _bits(delay, 12, 12) + DECODER_DELAY, _bits(delay, 0, 12) - DECODER_DELAY
    length = frames * tf.where(is_mpeg1, tf.constant(1152, tf.int64), 576)
    length -= ends[0] + tf.maximum(ends[1], 0)
    silence = tf.io.decode_raw(_text(data, begin + 6, 30), tf.uint8)[: side - 2]
    is_sound = (
        (_bits(header, 21, 11) == 0x7FF)
        & (_bits(header, 16, 3) == 3)  # layer III, without a checksum
        & (hertz < 3)
        & tf.reduce_all(silence == 0)
        & _is_one_of(_text(data, xing, 4), (b"Xing", b"Info"))
        & (_number(data, xing + 4, -4) == 15)  # all four fields are there
        & _is_one_of(_text(data, xing + 120, 3), (b"LAM", b"Lav"))
        & ((end == _size(data)) | _is_one_of(_text(data, end, 3), MP3_TAGS))
        & _is_possible(rate, 2, length)
    )
    nothing = tf.zeros([0, 1])
    op = tfio.audio.decode_mp3
    decoded = _if_sound(is_sound, lambda: _unless_it_fails(op, data, nothing))
    is_sound &= tf.shape(decoded, tf.int64)[0] == length  # else frames were passed over
    return decoded, rate, is_sound


def _number(data, at, size):
    """The integer of so many bytes; of a negative size, the first byte is the highest."""
    import tensorflow as tf

    digits = tf.io.decode_raw(_text(data, at, abs(size)), tf.uint8)
    digits = tf.cast(digits if size > 0 else digits[::-1], tf.int64)
    return _joined(tf.ensure_shape(digits, [abs(size)]))


def _text(data, at, size):
    """So many bytes from `at` on; zeros after the end."""
    import tensorflow as tf

    text = tf.strings.substr(data, tf.minimum(tf.cast(at, tf.int64), _size(data)), size)
    return tf.strings.substr(tf.strings.join([text, bytes(size)]), 0, size)


def _joined(digits):
    """The integers of `[..., bytes]`, the lowest first."""
    import tensorflow as tf

    shifts = 8 * tf.range(digits.shape[-1], dtype=tf.int64)
    return tf.reduce_sum(tf.bitwise.left_shift(digits, shifts), axis=-1)


def _bits(number, at, count):
    """So many bits of an integer, from bit `at` up, as an integer."""
    import tensorflow as tf

    shifted = tf.bitwise.right_shift(number, tf.constant(at, tf.int64))
    return tf.bitwise.bitwise_and(shifted, (1 << count) - 1)


def _size(data):
    import tensorflow as tf

    return tf.cast(tf.strings.length(data), tf.int64)


def _find(content, wanted):
    """Where bytes `[N]` go on as the wanted ones: bool `[N]`."""
    import tensorflow as tf

    found = [tf.roll(content, -at, 0) == byte for at, byte in enumerate(wanted)]
    return tf.reduce_all(found, axis=0)


def _is_one_of(text, texts):
    import tensorflow as tf

    return tf.reduce_any([text == known for known in texts])


def _is_possible(rate, channels, samples):
    return (
        (rate >= RATES[0])
        & (rate <= RATES[1])
        & (channels >= 1)
        & (channels <= MAX_CHANNELS)
        & (samples >= 1)
        & (samples * channels <= MAX_SAMPLES)
    )


def _if_sound(is_sound, decode):
    import tensorflow as tf

    return tf.cond(is_sound, decode, lambda: tf.zeros([0, 1]))


def _unless_it_fails(operation, data, otherwise):
    """What the operation makes of the data: a graph's `try` and `except`.

    A dataset can pass over its errors. The less is in it the better: for every
    element it is built anew.
    """
    import tensorflow as tf

    made = tf.data.Dataset.from_tensors(data).map(operation)
    made = made.ignore_errors(log_warning=False)
    made = made.concatenate(tf.data.Dataset.from_tensors(otherwise)).take(1)
    options = tf.data.Options()  # optimising takes longer than decoding
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return made.with_options(options).get_single_element()
