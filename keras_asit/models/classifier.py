"""A backbone with a linear head: the downstream task."""

from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_asit.audio import read
from keras_asit.layers.dense import dense

POOLINGS = ("cls", "mean", "cls+mean")


def pool(tokens, pooling):
    """One vector a clip from tokens `(B, 1 + P, D)`.

    Args:
        tokens: Class token first.
        pooling: `"cls"` for the class token, `"mean"` for the mean of the data
            tokens, `"cls+mean"` for both, one behind the other.
    """
    if pooling == "cls":
        return tokens[:, 0]
    mean = ops.mean(tokens[:, 1:], axis=1)
    return mean if pooling == "mean" else ops.concatenate([tokens[:, 0], mean], -1)


@keras.saving.register_keras_serializable("keras_asit")
class ASiTClassifier(keras.Model):
    """Classifies clips with a pretrained backbone (paper, Section 4.2).

    After pretraining the heads are dropped and the teacher's backbone is trained
    further with a linear layer on its pooled tokens.

    Args:
        backbone: An `ASiTBackbone`, trained in place.
        num_classes: Number of classes C.
        multi_label: Whether a clip can have several classes: sigmoid and binary
            cross-entropy rather than softmax and cross-entropy.
        pooling: `"cls"`, `"mean"` or `"cls+mean"`.
        class_names: Names of the classes, in the order of the targets.
        freeze_backbone: Whether only the linear layer is trained. Otherwise the
            backbone is made trainable, also when it was a pretrainer's teacher.

    Input shape:
        Features `(B, T, F)`, or waveforms `(B, S)` at `backbone.frontend`'s rate.

    Output shape:
        `(B, C)` logits.

    Raises:
        ValueError: If the pooling, the number of classes or the shape is wrong.

    Example:

    >>> classifier = ASiTClassifier(backbone, num_classes=10)
    >>> classifier.compile(optimizer=keras.optimizers.Adam(1e-4))
    >>> history = classifier.fit(features, targets, epochs=1, verbose=0)

    Reference:
        Gong et al., AST: Audio Spectrogram Transformer, 2021.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        multi_label=False,
        pooling="cls",
        class_names=None,
        freeze_backbone=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling is one of {list(POOLINGS)}; received {pooling!r}."
            )
        if num_classes < 1 or (class_names and len(class_names) != num_classes):
            raise ValueError(
                "num_classes is at least 1 and the number of class_names; received "
                f"num_classes={num_classes}, class_names={class_names!r}."
            )
        self.backbone = backbone
        self.freeze_backbone = freeze_backbone
        backbone.trainable = not freeze_backbone
        self.num_classes = num_classes
        self.multi_label = multi_label
        self.pooling = pooling
        self.class_names = [str(name) for name in class_names or range(num_classes)]
        self.head = dense(num_classes, dtype="float32", name="head")
        self.head.build((None, backbone.hidden_dim * (2 if "+" in pooling else 1)))
        self.built = True

    def call(self, inputs, training=False):
        features = self._features(inputs)
        tokens = self.backbone(features, training=training)
        return self.head(pool(tokens, self.pooling))

    def _features(self, inputs):
        backbone = self.backbone
        expected = (backbone.num_frames, backbone.num_mel_bins)
        rank = _known_rank(inputs)
        if rank == 2:
            return backbone.frontend(inputs)
        if rank == 3 and tuple(inputs.shape[1:]) == expected:
            return inputs
        raise ValueError(
            f"Expected features (B, {expected[0]}, {expected[1]}) or waveforms "
            f"(B, samples) at {backbone.frontend.sample_rate} Hz; received "
            f"{tuple(inputs.shape)}."
        )

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_classes)

    def compile(self, optimizer="adam", loss="auto", metrics="auto", **kwargs):
        """As `keras.Model.compile`, with the task's loss and metric by default."""
        if loss == "auto":
            loss = (
                keras.losses.BinaryCrossentropy(from_logits=True)
                if self.multi_label
                else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            )
        if metrics == "auto":
            metrics = ["binary_accuracy"] if self.multi_label else ["accuracy"]
            if self.multi_label:
                metrics = [keras.metrics.BinaryAccuracy(threshold=0.0)]
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model as it was when it was saved, optimizer included."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def probabilities(self, inputs, batch_size=32):
        """Class probabilities `(N, C)` of features or waveforms, as numpy."""
        starts = range(0, len(inputs), batch_size)
        batches = (inputs[start : start + batch_size] for start in starts)
        features = [ops.convert_to_numpy(self._features(batch)) for batch in batches]
        # Always features, so that one graph serves files and features.
        logits = self.predict(
            np.concatenate(features), batch_size=batch_size, verbose=0
        )
        activation = keras.activations.get("sigmoid" if self.multi_label else "softmax")
        return ops.convert_to_numpy(activation(ops.convert_to_tensor(logits)))

    def predict_file(self, path, top=5):
        """The likeliest classes of an audio file of any rate and length.

        A long file is cut into windows of the backbone's length that cover it;
        their probabilities are averaged. A short one is padded with zeros.

        Args:
            path: The file.
            top: How many classes to return.

        Returns:
            A list of `(class name, probability)`, the likeliest first.

        Raises:
            AudioError: If the file cannot be read.
        """
        frontend = self.backbone.frontend
        wave, _ = read(Path(path), sample_rate=frontend.sample_rate)
        windows = cover(wave, frontend.samples(self.backbone.num_frames))
        scores = self.probabilities(windows).mean(axis=0)
        best = np.argsort(-scores)[:top]
        return [(self.class_names[i], float(scores[i])) for i in best]

    def get_config(self):
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_classes": self.num_classes,
            "multi_label": self.multi_label,
            "pooling": self.pooling,
            "class_names": self.class_names,
            "freeze_backbone": self.freeze_backbone,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone})


def _known_rank(inputs):
    try:
        return len(inputs.shape)
    except ValueError:
        raise ValueError(
            "Expected features (B, T, F) or waveforms (B, samples), but not one "
            "after the other: TensorFlow has made a graph for one of them. Call "
            "compile() before you change from one to the other."
        ) from None


def cover(wave, samples):
    """Windows `(N, samples)` that together cover a waveform, evenly spaced.

    A waveform shorter than a window is padded with zeros at its end.
    """
    if len(wave) <= samples:
        return np.pad(wave, (0, samples - len(wave)))[None]
    number = -(-len(wave) // samples)
    starts = np.linspace(0, len(wave) - samples, number).astype(int)
    return np.stack([wave[start : start + samples] for start in starts])
