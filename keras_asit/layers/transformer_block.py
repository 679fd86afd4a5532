"""A pre-norm transformer block, as in the standard vision transformer."""

import keras

from keras_asit.layers.attention import attention
from keras_asit.layers.dense import KERNEL_STD, by_rows, dense
from keras_asit.layers.drop_path import DropPath
from keras_asit.layers.gelu import dense_of_gelu
from keras_asit.layers.layer_norm import LayerNorm


@keras.saving.register_keras_serializable("keras_asit")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention with one matrix product for q, k and v.

    Args:
        num_heads: Number of heads H; divides the width D.
        kernel_std: Deviation of the initial kernels; None scales it to the width.

    Input shape:
        `(B, N, D)` tokens.

    Output shape:
        `(B, N, D)`.

    Raises:
        ValueError: If `num_heads` does not divide the width.

    Example:

    >>> out = SelfAttention(3)(keras.ops.zeros((2, 10, 192)))
    """

    def __init__(self, num_heads, kernel_std=KERNEL_STD, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.kernel_std = kernel_std

    def build(self, input_shape):
        self.hidden_dim = input_shape[-1]
        check_heads(self.hidden_dim, self.num_heads)
        self.qkv = dense(
            3 * self.hidden_dim, self.kernel_std, dtype=self.dtype_policy, name="qkv"
        )
        self.projection = dense(
            self.hidden_dim, self.kernel_std, dtype=self.dtype_policy, name="projection"
        )
        self.qkv.build(input_shape)
        self.projection.build(input_shape)

    def call(self, tokens):
        mixed = attention(by_rows(self.qkv, tokens), self.num_heads)
        return by_rows(self.projection, mixed)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_std": self.kernel_std,
        }


@keras.saving.register_keras_serializable("keras_asit")
class TransformerBlock(keras.layers.Layer):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Args:
        num_heads: Number of attention heads; divides the width D.
        mlp_dim: Hidden width of the MLP (4 D in the vision transformer).
        drop_path: Share of the samples whose residual branches are dropped in
            training.
        kernel_std: Deviation of the initial kernels; None scales it to the width.
        rematerialise: Whether training keeps nothing of the inside of the block for the
            backward pass, and computes it again there. Can be set later.

    Input shape:
        `(B, N, D)` tokens. `drop_path`, a scalar, stands in for the block's own.

    Output shape:
        `(B, N, D)`.

    Raises:
        ValueError: If `num_heads` does not divide the width, or `drop_path` is
            outside [0, 1).

    Example:

    >>> out = TransformerBlock(3, 768)(keras.ops.zeros((2, 297, 192)))

    Reference:
        Dosovitskiy et al., 2021; LayerNorm epsilon 1e-6 and exact GELU as there.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        drop_path=0.0,
        kernel_std=KERNEL_STD,
        rematerialise=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rematerialise = rematerialise
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.kernel_std = kernel_std
        policy = self.dtype_policy
        self.attention_norm = LayerNorm(dtype=policy, name="attention_norm")
        self.attention = SelfAttention(
            num_heads, kernel_std, dtype=policy, name="attention"
        )
        self.mlp_norm = LayerNorm(dtype=policy, name="mlp_norm")
        self.expand = dense(mlp_dim, kernel_std, dtype=policy, name="expand")
        self.branch_drop = DropPath(drop_path, dtype=policy, name="branch_drop")

    @property
    def drop_path(self):
        """Share of the samples whose branches are dropped; can be set."""
        return self.branch_drop.rate

    @drop_path.setter
    def drop_path(self, rate):
        self.branch_drop.rate = rate

    def build(self, input_shape):
        self.attention_norm.build(input_shape)
        self.attention.build(input_shape)
        self.mlp_norm.build(input_shape)
        self.expand.build(input_shape)
        self.contract = dense(
            input_shape[-1], self.kernel_std, dtype=self.dtype_policy, name="contract"
        )
        self.contract.build((*input_shape[:-1], self.mlp_dim))

    def call(self, tokens, training=False, drop_path=None):
        # Drawn here: what is computed again must not be drawn again.
        rate = self.drop_path if drop_path is None else drop_path
        factors = ()
        if training and (drop_path is not None or rate > 0):
            factors = tuple(self.branch_drop.draw(tokens, rate) for _ in range(2))
        again = training and self.rematerialise
        branches = keras.remat(self._branches) if again else self._branches
        return branches(tokens, *factors)

    def _branches(self, tokens, attention_factor=1.0, mlp_factor=1.0):
        branch = self.attention(self.attention_norm(tokens))
        tokens = tokens + branch * attention_factor
        hidden = by_rows(self.expand, self.mlp_norm(tokens))
        return tokens + dense_of_gelu(self.contract, hidden) * mlp_factor

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "drop_path": self.drop_path,
            "kernel_std": self.kernel_std,
            "rematerialise": self.rematerialise,
        }


def check_heads(hidden_dim, num_heads):
    """Raises ValueError unless `num_heads` divides `hidden_dim`."""
    if num_heads < 1 or hidden_dim % num_heads:
        fitting = [h for h in range(1, 17) if hidden_dim % h == 0]
        raise ValueError(
            f"The number of heads must divide the width; received "
            f"num_heads={num_heads} for hidden_dim={hidden_dim}. "
            f"Use one of {fitting}."
        )
