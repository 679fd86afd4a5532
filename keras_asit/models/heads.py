"""From a profile's options to the layers of a pretrainer."""

from keras_asit.layers.gmml_corruption import GMMLCorruption
from keras_asit.layers.projection_head import BottleneckMLP, ProjectionHead
from keras_asit.layers.random_filter import RandomFilter
from keras_asit.layers.random_resized_crop import RandomResizedCrop
from keras_asit.layers.reconstruction_head import ReconstructionHead


def corruption(options, frontend, seed):
    """The `GMMLCorruption` that the options describe.

    Args:
        options: As `profiles.resolve` gives them.
        frontend: The backbone's `LogMelFilterbank`; `noise="frontend"` takes the
            noise's mean and deviation from it, as the authors' code does.
        seed: Integer seed, or None.
    """
    of_data = options["noise"] == "frontend" and frontend.std
    return GMMLCorruption(
        ratio=options["corruption_ratio"],
        alien_ratio=options["alien_ratio"],
        alien_probability=options["alien_probability"],
        max_block=options["max_block"],
        align=options["align"],
        fill=options["corruption_fill"],
        alien_donor=options["alien_donor"],
        noise_mean=frontend.mean if of_data else 0.0,
        noise_std=frontend.std if of_data else 1.0,
        seed=seed,
        dtype="float32",  # under a global policy too
        name="corruption",
    )


def random_filter(options, frontend, seed):
    """The `RandomFilter` of clean views, with draws that are not the corruption's.

    Args:
        options: As `profiles.resolve` gives them.
        frontend: The backbone's `LogMelFilterbank`, whose normalisation scales gains.
        seed: Integer seed of the corruption, or None.
    """
    return RandomFilter(
        options["filter_decibels"],
        std=frontend.std,
        seed=None if seed is None else (seed + 1) % 2**32,
        dtype="float32",
        name="random_filter",
    )


def random_resized_crop(options, seed):
    """The `RandomResizedCrop` of clean views, with draws of its own.

    Args:
        options: As `profiles.resolve` gives them.
        seed: Integer seed of the corruption, or None.
    """
    return RandomResizedCrop(
        options["resize_time"],
        options["resize_frequency"],
        seed=None if seed is None else (seed + 2) % 2**32,
        dtype="float32",
        name="random_resized_crop",
    )


def reconstruction(options, backbone, dtype):
    """The built `ReconstructionHead` for a backbone."""
    head = ReconstructionHead(
        backbone.grid,
        backbone.patch_size,
        options["reconstruction_hidden_dims"],
        options["reconstruction_bottleneck_dim"],
        options["reconstruction_gelu_bottleneck"],
        kernel_std=backbone.kernel_std,
        dtype=dtype,
        name="reconstruction_head",
    )
    head.build((None, backbone.grid[0] * backbone.grid[1], backbone.hidden_dim))
    return head


def projections(options, backbone, dtype, owner):
    """Built heads of the pseudo-label losses that are on, by name.

    Args:
        options: As `profiles.resolve` gives them.
        backbone: The backbone whose tokens they take.
        dtype: Dtype policy.
        owner: "student" or "teacher", for the names of the layers.
    """

    def mlp(name):
        return BottleneckMLP(
            options["projection_hidden_dims"],
            options["projection_bottleneck_dim"],
            kernel_std=backbone.kernel_std,
            dtype=dtype,
            name=f"{owner}_{name}_mlp",
        )

    shared = mlp("shared") if options["shared_projection"] else None
    heads = {}
    for part in ("local", "global"):
        if options[f"{part}_weight"]:
            heads[part] = ProjectionHead(
                options[f"{part}_dim"],
                mlp=shared or mlp(part),
                kernel_std=backbone.kernel_std,
                dtype=dtype,
                name=f"{owner}_{part}_head",
            )
            heads[part].build((None, backbone.hidden_dim))
    return heads
