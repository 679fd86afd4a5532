"""SUPERB's protocol: a frozen backbone, a sum of its layers, two linear layers."""

import keras
from keras import ops

from keras_asit.layers.dense import dense
from keras_asit.models.classifier import ASiTClassifier
from keras_asit.models.hidden_states import hidden_states

PROJECTION_DIM = 256


@keras.saving.register_keras_serializable("keras_asit")
class SuperbFeatures(keras.Model):
    """A frozen backbone's hidden states, summed with learned weights and projected.

    It takes the place of a backbone in `SuperbClassifier`: the same inputs, tokens of
    another width. Whatever `trainable` is set to, the backbone in it stays as it is,
    and runs without stochastic depth.

    Args:
        backbone: An `ASiTBackbone`. Its weights are made untrainable.
        projection_dim: Width of the projected tokens.
        dtype: Dtype policy; by default the backbone's. Sum and projection are float32.

    Input shape:
        Features `(B, T, F)`.

    Output shape:
        `(B, 1 + P, projection_dim)`: class token, then the patches, time-major.

    Example:

    >>> tokens = SuperbFeatures(backbone, projection_dim=8)(features)
    >>> tuple(tokens.shape)
    (4, 5, 8)

    Reference:
        The `Featurizer` of https://github.com/s3prl/s3prl with `normalize=False`.
    """

    def __init__(
        self, backbone, projection_dim=PROJECTION_DIM, dtype=None, trainable=True, **kw
    ):
        super().__init__(dtype=dtype or backbone.dtype_policy, autocast=False, **kw)
        backbone.trainable = False
        self.backbone = backbone
        self.hidden_dim = projection_dim
        self.num_frames = backbone.num_frames
        self.num_mel_bins = backbone.num_mel_bins
        self.grid = backbone.grid
        self.patch_size = backbone.patch_size
        self.frontend = backbone.frontend
        self.layer_weights = self.add_weight(
            shape=(backbone.num_layers + 1,),
            initializer="zeros",
            dtype="float32",
            autocast=False,
            name="layer_weights",
        )
        self.projector = dense(projection_dim, dtype="float32", name="projector")
        self.projector.build((None, None, backbone.hidden_dim))
        self.trainable = trainable  # only now does it reach the layers
        self.built = True

    @property
    def trainable(self):
        """Whether layer weights and projector are trained. The backbone never is."""
        return keras.Model.trainable.fget(self)

    @trainable.setter
    def trainable(self, value):
        keras.Model.trainable.fset(self, value)
        self.backbone.trainable = False

    @property
    def layer_shares(self):
        """Share `(num_layers + 1,)` of each hidden state in the sum, as numpy."""
        return ops.convert_to_numpy(ops.softmax(self.layer_weights))

    def call(self, features, training=False):
        states = hidden_states(self.backbone, features, training=False)
        shares = ops.unstack(ops.softmax(self.layer_weights))
        tokens = sum(
            share * ops.cast(state, "float32")
            for share, state in zip(shares, states, strict=True)
        )
        return self.projector(tokens)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1 + self.grid[0] * self.grid[1], self.hidden_dim)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "projection_dim": self.hidden_dim,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("backbone", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)


@keras.saving.register_keras_serializable("keras_asit")
class SuperbClassifier(ASiTClassifier):
    """Classifies clips by a frozen backbone's hidden states, as SUPERB does speakers.

    A weighted sum of the hidden states (the patch embedding's output and every
    block's, without the final norm), a linear layer, the mean over the patches, a
    linear layer. No activation is between them. What is trained: the layers' weights,
    whose softmax starts as the plain mean, and the two linear layers.

    As in s3prl's featurizer and its head of speaker identification (`voxceleb1`): all
    of that, `normalize=False` (states are summed as they are, so that those of a larger
    scale count for more), the projector before the mean, cross-entropy.

    Other than there: (1) s3prl's features are a sequence in time, these are time x
    frequency: the mean is over all patches, which for linear layers is the mean over
    frequency, then time; SSAST's upstream in s3prl joins the patches of a time step to
    one vector, and has no state of the embedding. (2) The class token is left out.
    (3) Inputs have one length: a shorter clip's zeros are in the mean, where s3prl
    leaves padding out; a longer clip's probabilities are averaged over windows. (4)
    Initial kernels are those of `ASiTClassifier`.

    Args:
        backbone: An `ASiTBackbone`, which is frozen; or the `SuperbFeatures` of one.
        num_classes: Number of classes C.
        class_names: Names of the classes, in the order of the targets.
        projection_dim: Width of the first linear layer.
        augmentation: As of `ASiTClassifier`.
        dtype: Dtype policy; by default the backbone's. The sum and the linear layers
            are float32.

    Attributes:
        backbone: The `SuperbFeatures`. `backbone.backbone` is the frozen one.

    Input shape:
        Features `(B, T, F)`, or waveforms `(B, S)` at `backbone.frontend`'s rate.

    Output shape:
        `(B, C)` logits.

    Raises:
        ValueError: If the number of classes or the shape is wrong.

    Example:

    >>> classifier = SuperbClassifier(backbone, num_classes=10, projection_dim=8)
    >>> classifier.compile(optimizer=keras.optimizers.Adam(1e-4))
    >>> history = classifier.fit(features, targets, epochs=1, verbose=0)
    >>> float(classifier.layer_shares.sum())
    1.0

    Reference:
        Yang et al., SUPERB: Speech processing Universal PERformance Benchmark, 2021;
        https://github.com/s3prl/s3prl: `upstream/interfaces.py`,
        `downstream/voxceleb1/expert.py`.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        class_names=None,
        projection_dim=PROJECTION_DIM,
        augmentation=(),
        dtype=None,
        **kwargs,
    ):
        if not isinstance(backbone, SuperbFeatures):
            backbone = SuperbFeatures(backbone, projection_dim, name="features")
        super().__init__(
            backbone,
            num_classes,
            pooling="mean",
            class_names=class_names,
            augmentation=augmentation,
            dtype=dtype,
            **kwargs,
        )

    @property
    def layer_weights(self):
        """The weights `(num_layers + 1,)` whose softmax are `layer_shares`."""
        return self.backbone.layer_weights

    @property
    def layer_shares(self):
        """Share `(num_layers + 1,)` of each hidden state in the sum, as numpy."""
        return self.backbone.layer_shares

    def get_config(self):
        config = super().get_config()
        fixed = ("multi_label", "pooling", "freeze_backbone")
        return {name: value for name, value in config.items() if name not in fixed}
