"""The heads of local and global pseudo-label learning."""

import keras
from keras import ops

from keras_asit.layers.dense import KERNEL_STD, by_rows, dense, kernel_initializer
from keras_asit.layers.gelu import dense_of_gelu, gelu


@keras.saving.register_keras_serializable("keras_asit")
class BottleneckMLP(keras.layers.Layer):
    """Hidden layers with exact GELU, then a narrow linear layer.

    The common part of ASiT's three heads (paper, Sections 3.1 and 3.2).

    Args:
        hidden_dims: Widths of the hidden layers.
        bottleneck_dim: Width of the last layer.
        gelu_bottleneck: Whether a GELU follows the last layer too.
        kernel_std: Deviation of the initial kernels; None scales it to the width.

    Input shape:
        `(..., D)`.

    Output shape:
        `(..., bottleneck_dim)`.

    Example:

    >>> out = BottleneckMLP((2048, 2048), 256)(keras.ops.zeros((2, 296, 192)))
    """

    def __init__(
        self,
        hidden_dims=(2048, 2048),
        bottleneck_dim=256,
        gelu_bottleneck=False,
        kernel_std=KERNEL_STD,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_dims = tuple(hidden_dims)
        self.bottleneck_dim = bottleneck_dim
        self.gelu_bottleneck = gelu_bottleneck
        self.kernel_std = kernel_std
        self.stack = [
            dense(units, kernel_std, dtype=self.dtype_policy, name=f"dense_{i}")
            for i, units in enumerate((*self.hidden_dims, bottleneck_dim))
        ]

    def build(self, input_shape):
        for layer in self.stack:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, x):
        x = by_rows(self.stack[0], x)
        for layer in self.stack[1:]:
            x = dense_of_gelu(layer, x)
        return gelu(x) if self.gelu_bottleneck else x

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.bottleneck_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dims": self.hidden_dims,
            "bottleneck_dim": self.bottleneck_dim,
            "gelu_bottleneck": self.gelu_bottleneck,
            "kernel_std": self.kernel_std,
        }


@keras.saving.register_keras_serializable("keras_asit")
class ProjectionHead(keras.layers.Layer):
    """MLP, L2 normalisation and a weight-normalised dense layer.

    Gives the class logits of a token for pseudo-label learning (paper, Section
    3.2; DINO's head). The gain of the weight normalisation is fixed at 1: a
    logit is the cosine between the bottleneck and a prototype.

    Args:
        output_dim: Number K of prototypes: 1024 local, 8192 global.
        hidden_dims: Widths of the MLP's hidden layers.
        bottleneck_dim: Width of the MLP's last layer.
        mlp: A `BottleneckMLP` to share with another head instead of an own one.
        kernel_std: Deviation of the initial kernels; None scales it to the width.

    Input shape:
        `(..., D)` tokens. `thaw`, a scalar, is the share of the gradient that
        the prototypes get: 0 freezes them.

    Output shape:
        `(..., K)` logits in [-1, 1].

    Example:

    >>> head = ProjectionHead(1024)
    >>> tuple(head(keras.ops.ones((2, 296, 192))).shape)
    (2, 296, 1024)

    Reference:
        The authors' code shares one MLP between the local and the global head.
    """

    def __init__(
        self,
        output_dim,
        hidden_dims=(2048, 2048),
        bottleneck_dim=256,
        mlp=None,
        kernel_std=KERNEL_STD,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.output_dim = output_dim
        self.kernel_std = kernel_std
        self.mlp = mlp or BottleneckMLP(
            hidden_dims,
            bottleneck_dim,
            kernel_std=kernel_std,
            dtype=self.dtype_policy,
            name="mlp",
        )

    def build(self, input_shape):
        if not self.mlp.built:
            self.mlp.build(input_shape)
        self.prototypes = self.add_weight(
            name="prototypes",
            shape=(self.mlp.bottleneck_dim, self.output_dim),
            initializer=kernel_initializer(self.kernel_std),
        )

    def call(self, tokens, thaw=None):
        bottleneck = _unit_length(self.mlp(tokens), axis=-1)
        prototypes = _unit_length(self.prototypes, axis=0)
        if thaw is not None:
            thaw = ops.cast(thaw, prototypes.dtype)
            frozen = ops.stop_gradient(prototypes)
            prototypes = thaw * prototypes + (1 - thaw) * frozen
        return ops.matmul(bottleneck, ops.cast(prototypes, bottleneck.dtype))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "output_dim": self.output_dim,
            "kernel_std": self.kernel_std,
            "mlp": keras.saving.serialize_keras_object(self.mlp),
        }

    @classmethod
    def from_config(cls, config):
        mlp = keras.saving.deserialize_keras_object(config["mlp"])
        return cls(**{**config, "mlp": mlp})


def _unit_length(x, axis):
    """`x / |x|`, 0 with a finite gradient where `x` is 0 (not so `ops.normalize`).

    In float32: squares leave the range of float16.
    """
    wide = ops.cast(x, "float32")
    square = ops.sum(ops.square(wide), axis=axis, keepdims=True)
    return ops.cast(wide * ops.rsqrt(square + 1e-12), x.dtype)
