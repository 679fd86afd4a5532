"""Audio files decoded inside a TensorFlow graph, once their headers pass the checks.

The decoders of tensorflow-io believe what a header says: some damaged files end the
process, with others they never end. They get only what was looked at here before. wav,
where they write beyond their memory, is decoded without them.

Each format is a function of a file's bytes, a string tensor. It returns
`(samples, rate, is_sound)`: float32 `[S, channels]`, int64, bool.
"""

import functools

from keras_asit.audio.files import MAX_CHANNELS, RATES
from keras_asit.audio.tf_bytes import (
    bits_of,
    bytes_at,
    count_bytes,
    goes_on_as,
    integers,
    is_one_of,
    number_at,
    unless_it_fails,
)

MAX_SAMPLES = 1 << 28  # of all channels: 1 GiB as float32
STREAM_BYTES = 0x7FFFF000  # recorders to a pipe write this size, or a larger one
WAV_ENCODINGS = [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)]  # (tag, bits)
WAV_MOST_CHUNKS = 64
EXTENSIBLE = 0xFFFE  # the tag stands in a longer identifier, which ends so:
IDENTIFIER = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
FLAC_BITS = (8, 16, 24)
FLAC_FIRST_BLOCK = (b"\0\0\0\x22", b"\x80\0\0\x22")
FLAC_BLOCK_BYTES = [0] * 6 + [1, 2] + [0] * 8  # of a frame's header, by four bits of it
FLAC_RATE_BYTES = [0] * 12 + [1, 2, 2, 0]
FLAC_HEADER_BYTES = 16  # at most
# A FLAC frame whose number, 2**36 - 1, is never the next. Where a file ends before all
# its samples are there, tensorflow-io asks libFLAC for more for ever; such a frame ends
# that with an error. There are more of them than a damaged frame can swallow.
LAST_FRAMES = b"\xff\xf9\x10\x02\xfe\xbf\xbf\xbf\xbf\xbf\xbf\xd6\0\0T\xd6" * (1 << 14)
CRC8 = [  # of each byte, by x^8 + x^2 + x + 1
    functools.reduce(lambda c, _: c << 1 ^ c // 128 * 0x107, range(8), byte)
    for byte in range(256)
]
OGG_HEADER_BYTES = 18  # to the stream's number
MP3_RATES = [(11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000)]
MP3_RATES += [(44100, 48000, 32000)]  # by version and two bits, the fourth is forbidden
MP3_DELAY = 529  # samples, of any decoder
MP3_TAGS = (b"TAG", b"APE", b"LYR")  # what may follow the frames


def decode_file(path):
    """The samples of a file, of the format that its first bytes are of."""
    import tensorflow as tf

    data = unless_it_fails(tf.io.read_file, path, "")
    first = tf.strings.substr(data, 0, 4)
    formats = {b"RIFF": wav, b"fLaC": flac, b"OggS": vorbis}
    cases = [(first == name, lambda f=f: f(data)) for name, f in formats.items()]
    return tf.case(cases, default=lambda: mp3(data))


def wav(data):
    """wav of 8, 16, 24 or 32 bits, or of floats of 32 or 64."""
    import tensorflow as tf

    form, begin, size = _find_wav_chunks(data)
    tag, channels, frame, bits = (
        number_at(data, form + at, 2) for at in (0, 2, 12, 14)
    )
    rate, end = number_at(data, form + 4, 4), number_at(data, 4, 4) + 8
    is_extensible = tag == EXTENSIBLE
    valid_bits = tf.where(is_extensible, number_at(data, form + 18, 2), bits)
    identifier = bytes_at(data, form + 26, len(IDENTIFIER))
    tag = number_at(data, tf.where(is_extensible, form + 24, form), 2)
    encoding = [(tag == t) & (bits == b) for t, b in WAV_ENCODINGS]
    there = count_bytes(data) - begin
    size = tf.where(size < STREAM_BYTES, size, there)
    frames = size // tf.maximum(frame, 1)
    is_sound = (
        (bytes_at(data, 8, 4) == b"WAVE")
        & (form > 0)
        & (begin > 0)
        & tf.reduce_any(encoding)
        & (~is_extensible | (identifier == IDENTIFIER))
        & (valid_bits == bits)
        & (8 * frame == channels * bits)
        & (size <= there)
        & (count_bytes(data) <= end + 1)  # libsndfile minds what follows
        & _is_possible(rate, channels, frames)
    )

    def decode():
        pcm = tf.strings.substr(data, begin, frames * frame)
        branches = [lambda e=e: _pcm(pcm, *e) for e in WAV_ENCODINGS]
        samples = tf.switch_case(tf.argmax(encoding, output_type=tf.int32), branches)
        return tf.reshape(samples, [-1, channels])

    return tf.cond(is_sound, decode, _nothing), rate, is_sound


def _find_wav_chunks(data):
    """Where what `fmt ` and `data` hold begins, or 0, and the size of the latter."""
    import tensorflow as tf

    def go_on(at, form, begin, size):
        return (begin == 0) & (at + 8 <= count_bytes(data))

    def next_chunk(at, form, begin, size):
        name, chunk = bytes_at(data, at, 4), number_at(data, at + 4, 4)
        form = tf.where(name == b"fmt ", at + 8, form)
        is_data = name == b"data"
        begin, size = tf.where(is_data, at + 8, begin), tf.where(is_data, chunk, size)
        return at + 8 + chunk + chunk % 2, form, begin, size

    first = tuple(tf.constant(value, tf.int64) for value in (12, 0, 0, 0))
    _, *found = tf.while_loop(
        go_on, next_chunk, first, maximum_iterations=WAV_MOST_CHUNKS
    )
    return found


def _pcm(pcm, tag, bits):
    """The samples of wav bytes, in [-1, 1] unless they are floats."""
    import tensorflow as tf

    if tag == 3:
        return tf.cast(tf.io.decode_raw(pcm, f"float{bits}"), "float32")
    if bits == 8:
        return (tf.cast(tf.io.decode_raw(pcm, "uint8"), "float32") - 128.0) / 128.0
    if bits == 24:  # the upper three bytes of an int32
        digits = tf.reshape(tf.io.decode_raw(pcm, "uint8"), [-1, 3])
        whole = tf.bitcast(tf.pad(digits, [[0, 0], [1, 0]]), "int32")
        return tf.cast(whole, "float32") / 2.0**31
    return tf.cast(tf.io.decode_raw(pcm, f"int{bits}"), "float32") / 2.0 ** (bits - 1)


def flac(data):
    """FLAC of 8, 16 or 24 bits that says its length."""
    import tensorflow as tf

    smallest, largest = (number_at(data, at, 2, big_endian=True) for at in (8, 10))
    packed = number_at(data, 18, 8, big_endian=True)
    rate, channels = bits_of(packed, 44, 20), bits_of(packed, 41, 3) + 1
    bits, samples = bits_of(packed, 36, 5) + 1, bits_of(packed, 0, 36)
    is_sound = (
        is_one_of(bytes_at(data, 4, 4), FLAC_FIRST_BLOCK)
        & is_one_of(bits, FLAC_BITS)
        & (smallest == largest)
        & (smallest > 0)
        & _is_possible(rate, channels, samples)
    )
    framed = tf.strings.join([data, LAST_FRAMES])
    decoded = tf.cond(is_sound, lambda: _decode_flac(framed, bits), _nothing)
    silent = _count_silent_blocks(decoded, tf.maximum(smallest, 1))
    zeros = channels * (8 + bits) // 8
    is_sound &= tf.cond(
        silent == 0, lambda: True, lambda: silent <= _count_silent_frames(framed, zeros)
    )
    return decoded, rate, is_sound


def _decode_flac(data, bits):
    import tensorflow as tf
    import tensorflow_io as tfio

    def as_float(dtype, zero, scale):
        decode = functools.partial(tfio.audio.decode_flac, dtype=dtype)
        whole = unless_it_fails(decode, data, tf.zeros([0, 1], dtype))
        return (tf.cast(whole, tf.float32) - zero) / scale

    kinds = [(tf.uint8, 128.0, 2.0**7), (tf.int16, 0.0, 2.0**15)]
    kinds += [(tf.int32, 0.0, 2.0**31)]  # 24 bits, in the upper bytes
    which = tf.argmax([bits == known for known in FLAC_BITS], output_type=tf.int32)
    return tf.switch_case(which, [lambda kind=kind: as_float(*kind) for kind in kinds])


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
    frames = tf.where(goes_on_as(content, (0xFF, 0xF8)))
    headers = tf.gather(content, frames + tf.range(FLAC_HEADER_BYTES, dtype=tf.int64))
    third, number = headers[:, 2], headers[:, 4]
    # The number is as long as UTF-8; an odd block size or rate takes more bytes.
    size = 6 + sum(tf.cast(number >= n, tf.int64) for n in (0xC0, 0xE0, 0xF0, 0xF8))
    size += tf.gather(tf.constant(FLAC_BLOCK_BYTES, tf.int64), third // 16)
    size += tf.gather(tf.constant(FLAC_RATE_BYTES, tf.int64), third % 16)
    checksum = tf.zeros_like(size)
    for at in range(FLAC_HEADER_BYTES):
        following = tf.bitwise.bitwise_xor(checksum, headers[:, at])
        following = tf.gather(tf.constant(CRC8, tf.int64), following)
        checksum = tf.where(at < size, following, checksum)
    body = tf.gather(content, frames + size[:, None] + tf.range(zeros))
    return tf.math.count_nonzero((checksum == 0) & tf.reduce_all(body == 0, axis=1))


def vorbis(data):
    """Ogg of one stream, which is Vorbis and is there to its last page."""
    import tensorflow as tf
    import tensorflow_io as tfio

    content = tf.io.decode_raw(
        tf.strings.join([data, bytes(OGG_HEADER_BYTES)]), "uint8"
    )
    pages = tf.where(goes_on_as(content, b"OggS"))
    headers = tf.gather(content, pages + tf.range(OGG_HEADER_BYTES, dtype=tf.int64))
    headers = tf.cast(headers, tf.int64)
    flags, streams = headers[:, 5], integers(headers[:, 14:18])
    ends = integers(headers[:, 6:14])  # in samples, or -1
    channels, rate = number_at(data, 39, 1), number_at(data, 40, 4)
    is_sound = (
        (bytes_at(data, 26, 1) == b"\x01")
        & (bytes_at(data, 28, 7) == b"\x01vorbis")
        & tf.reduce_all(streams == streams[0])
        & (tf.reduce_sum(bits_of(flags, 1, 1)) == 1)  # begins the stream
        & (bits_of(flags[-1], 2, 1) == 1)  # ends it
        & tf.reduce_all((ends >= -1) & (ends <= ends[-1]))
        & _is_possible(rate, channels, ends[-1])
    )

    def decode():
        return unless_it_fails(tfio.audio.decode_vorbis, data, tf.zeros([0, 1]))

    return tf.cond(is_sound, decode, _nothing), rate, is_sound


def mp3(data):
    """MPEG layer III whose first frame says its length and its encoder's delay."""
    import tensorflow as tf
    import tensorflow_io as tfio

    big = functools.partial(number_at, data, big_endian=True)
    size = big(6, 4)  # of a tag before the frames: seven bits a byte
    size = sum(bits_of(size, 8 * i, 7) * 2 ** (7 * i) for i in range(4))
    begin = tf.where(bytes_at(data, 0, 3) == b"ID3", size + 10, 0)
    header = big(begin, 4)
    version, hertz = bits_of(header, 19, 2), bits_of(header, 10, 2)
    rate = tf.gather_nd(
        tf.constant(MP3_RATES, tf.int64), [version, tf.minimum(hertz, 2)]
    )
    is_mpeg1, is_mono = version == 3, bits_of(header, 6, 2) == 3
    side = tf.where(is_mpeg1, tf.where(is_mono, 17, 32), tf.where(is_mono, 9, 17))
    rest_of_side = tf.io.decode_raw(bytes_at(data, begin + 6, 30), "uint8")[: side - 2]
    xing = begin + 4 + tf.cast(side, tf.int64)
    end = begin + big(xing + 12, 4)
    delay = big(xing + 141, 3)  # the encoder's, and its padding
    padding = tf.maximum(bits_of(delay, 0, 12) - MP3_DELAY, 0)
    length = big(xing + 8, 4) * tf.where(is_mpeg1, tf.constant(1152, tf.int64), 576)
    length -= bits_of(delay, 12, 12) + MP3_DELAY + padding
    is_sound = (
        (bits_of(header, 21, 11) == 0x7FF)
        & (bits_of(header, 16, 3) == 3)  # layer III, without a checksum
        & (hertz < 3)
        & tf.reduce_all(rest_of_side == 0)  # else the frame is of sound
        & is_one_of(bytes_at(data, xing, 4), (b"Xing", b"Info"))
        & (big(xing + 4, 4) == 15)  # all four fields are there
        & is_one_of(bytes_at(data, xing + 120, 3), (b"LAM", b"Lav"))
        & ((end == count_bytes(data)) | is_one_of(bytes_at(data, end, 3), MP3_TAGS))
        & _is_possible(rate, 2, length)
    )

    def decode():
        return unless_it_fails(tfio.audio.decode_mp3, data, tf.zeros([0, 1]))

    decoded = tf.cond(is_sound, decode, _nothing)
    is_sound &= tf.shape(decoded, tf.int64)[0] == length  # else frames were passed over
    return decoded, rate, is_sound


def _nothing():
    import tensorflow as tf

    return tf.zeros([0, 1])


def _is_possible(rate, channels, samples):
    return (
        (rate >= RATES[0])
        & (rate <= RATES[1])
        & (channels >= 1)
        & (channels <= MAX_CHANNELS)
        & (samples >= 1)
        & (samples * channels <= MAX_SAMPLES)
    )
