"""Where the views of a clip begin: circular shift and random crops.

The same lines draw in numpy, for clips from files, and in a TensorFlow graph, for
clips from shards.
"""

from keras_asit.data import draws


def first_samples(key, length, samples, views, shift_probability):
    """Numbers of the samples that the views of a clip begin with, `[views]`.

    The clip is rotated by a random number of samples, with a probability, and
    cropped at random once a view (Section III of the paper; rotation is option 20
    of the two profiles, from the reference). A crop of a rotated clip is a part of
    the clip that may go on from its end to its beginning, so nothing is rotated in
    memory, and only what is needed is decoded.

    Args:
        key: What `draws.key` returned.
        length: Samples of the clip.
        samples: Samples of a view.
        views: Number of views.
        shift_probability: Probability of a rotation.
    """
    drawn = draws.uniforms(key, "shift", 2)
    shift = draws.below(drawn[0], length) * draws.happens(drawn[1], shift_probability)
    starts = draws.below(draws.uniforms(key, "crop", views), length - samples + 1)
    return (starts - shift) % length
