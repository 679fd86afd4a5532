"""Many devices on JAX: how a backbone is split, and which clips a process feeds.

`keras.distribution` does the work. Here is what it must be told of this library.
"""

import keras

# Of every transformer block: the axis of each weight that is split. A device gets
# whole columns of what widens the tokens, and the rows of what narrows them again.
_SPLIT = {
    "attention/qkv/kernel": (None, True),
    "attention/qkv/bias": (True,),
    "attention/projection/kernel": (True, None),
    "expand/kernel": (None, True),
    "expand/bias": (True,),
    "contract/kernel": (True, None),
}


def layout_map(device_mesh, axis="model"):
    """Which weights of a backbone `keras.distribution.ModelParallel` splits, and how.

    In every transformer block the columns of queries, keys and values and of the first
    layer of the MLP, and the rows of the two projections back to the tokens, are
    divided among the devices along one axis of the mesh: nearly all of a backbone's
    weights. The same holds for the teacher's blocks and for the optimiser's moments.
    All other weights, heads included, are whole on every device.

    Add entries of your own to split more.

    Args:
        device_mesh: A `keras.distribution.DeviceMesh`, its first axis for the batch.
        axis: Name of the axis of the mesh that weights are split along. Its size must
            divide `hidden_dim` and `mlp_dim` of the backbone.

    Returns:
        A `keras.distribution.LayoutMap`.

    Raises:
        ValueError: If the mesh has no such axis.

    Example:

    >>> devices = keras.distribution.list_devices()
    >>> mesh = keras.distribution.DeviceMesh(
    ...     (len(devices), 1), ("batch", "model"), devices)
    >>> layout = keras_asit.distribution.layout_map(mesh)
    >>> layout["block_0/expand/kernel"].axes
    (None, 'model')

    Reference:
        Shoeybi et al., Megatron-LM, 2019, Section 3.
    """
    if axis not in device_mesh.axis_names:
        raise ValueError(
            f"Expected an axis of the mesh, one of {list(device_mesh.axis_names)}. "
            f"Received: axis={axis!r}. Name it: DeviceMesh(shape, ('batch', {axis!r}))"
        )
    layout = keras.distribution.LayoutMap(device_mesh)
    for weight, split in _SPLIT.items():
        axes = tuple(axis if is_split else None for is_split in split)
        layout[rf"(.*/)?block_\d+/{weight}"] = axes
    return layout


def batch_parts():
    """In how many parts `keras.distribution` divides a batch; 1 without one."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[list(mesh.axis_names).index(distribution.batch_dim_name)]


def share_of_process():
    """Which part of every batch this process feeds to its devices.

    Returns:
        Number of the part, and how many there are: 0 and 1 where one process feeds
        all. Processes that hold the parts of one model feed the same clips.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 0, 1
    shares = min(distribution.num_processes, batch_parts())
    return distribution.data_shard_id if shares > 1 else 0, shares
