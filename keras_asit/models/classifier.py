"""A backbone with a linear head: the downstream task."""

from numbers import Integral
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_asit import replicas
from keras_asit.audio import read
from keras_asit.layers.dense import dense
from keras_asit.layers.pooling import POOLINGS, pool, pooled_width
from keras_asit.losses import (
    ClassCrossentropy,
    class_accuracy,
    multi_label_accuracy,
)
from keras_asit.models import device_batches, resuming
from keras_asit.models.normalisation import warn_if_far
from keras_asit.models.on_devices import OnDevices
from keras_asit.models.shapes import checked_shape


@keras.saving.register_keras_serializable("keras_asit")
class ASiTClassifier(OnDevices, keras.Model):
    """Classifies clips with a pretrained backbone (paper, Section 4.2).

    After pretraining the heads are dropped and the teacher's backbone is trained
    further with a linear layer on its pooled tokens.

    Args:
        backbone: An `ASiTBackbone`, trained in place.
        num_classes: Number of classes C.
        multi_label: Whether a clip can have several classes: sigmoid and binary
            cross-entropy rather than softmax and cross-entropy.
        pooling: `"cls"`, `"mean"`, `"cls+mean"`, `"bands"`, `"statistics"` or `"grid"`;
            the last three keep bands of frequency apart (`layers.pooling.pool`).
        class_names: Names of the classes, in the order of the targets.
        freeze_backbone: Whether only the linear layer is trained. Otherwise the
            backbone is made trainable, also when it was a pretrainer's teacher.
        augmentation: Layers, or one, that features `(B, T, F)` go through in training,
            `RandomResizedCrop` for example; they run with the model, on the
            accelerator.
        dtype: Dtype policy; by default the backbone's. The linear layer and the
            loss are float32.

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
        augmentation=(),
        dtype=None,
        **kwargs,
    ):
        # No autocast: waveforms stay float32 to the filterbank.
        dtype = dtype or backbone.dtype_policy
        super().__init__(dtype=dtype, autocast=False, **kwargs)
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling is one of {list(POOLINGS)}; received {pooling!r}."
            )
        names = range(num_classes) if class_names is None else class_names
        if num_classes < 1 or len(names) != num_classes:
            raise ValueError(
                "num_classes is at least 1 and the number of class_names; received "
                f"num_classes={num_classes}, class_names={class_names!r}. Give a name "
                "for every class, or no class_names."
            )
        self.backbone = backbone
        self.freeze_backbone = freeze_backbone
        layers = () if augmentation is None else keras.tree.flatten(augmentation)
        self.augmentation = list(layers)
        backbone.trainable = not freeze_backbone
        self.num_classes = num_classes
        self.multi_label = multi_label
        self.pooling = pooling
        self.class_names = [str(name) for name in names]
        self.head = dense(num_classes, dtype="float32", name="head")
        width = pooled_width(pooling, backbone.hidden_dim, backbone.grid)
        self.head.build((None, width))
        self.built = True

    def call(self, inputs, training=False):
        features = self._features(inputs)
        for layer in self.augmentation if training else ():
            features = layer(features, training=True)
        learns = training and not self.freeze_backbone  # else nothing is dropped
        tokens = self.backbone(features, training=learns)
        return self.head(pool(tokens, self.pooling, self.backbone.grid))

    def _features(self, inputs):
        backbone = self.backbone
        if len(checked_shape(inputs, backbone, waveforms=True)) == 3:
            return inputs
        sides = (backbone.num_frames, backbone.num_mel_bins)
        return ops.reshape(backbone.frontend(inputs), (-1, *sides))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_classes)

    def compile(self, optimizer="adam", loss="auto", metrics="auto", **kwargs):
        """As `keras.Model.compile`, with the task's loss and metric by default.

        The default metric is weighted: clips that only fill up the last batch of a
        `labelled_dataset` have weight 0.
        """
        if loss == "auto":
            loss = (
                keras.losses.BinaryCrossentropy(from_logits=True)
                if self.multi_label
                else ClassCrossentropy()
            )
        if metrics == "auto":
            metrics = None
            accuracy = keras.metrics.MeanMetricWrapper(
                multi_label_accuracy if self.multi_label else class_accuracy,
                name="binary_accuracy" if self.multi_label else "accuracy",
            )
            kwargs.setdefault("weighted_metrics", [accuracy])
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def fit(self, x=None, *args, callbacks=None, resume=None, **kwargs):
        """As `keras.Model.fit`.

        Warns where the first batch is far from the frontend's mean and deviation.

        Args:
            resume: As of `ASiTPretrainer.fit`.

        Raises:
            ValueError: For batches that the number of devices does not divide.
        """
        x, kwargs = device_batches.checked_fit(self, x, args, kwargs)
        warn_if_far(x, self.backbone)
        callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)
        with resuming.resumed(self, resume, x, callbacks, kwargs):
            return super().fit(x, *args, callbacks=callbacks, **kwargs)

    def get_metrics_result(self):
        return replicas.as_logs(super().get_metrics_result())

    def compile_from_config(self, config):
        """Compiles a loaded model as it was when it was saved, optimizer included."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def probabilities(self, inputs, batch_size=32):
        """Class probabilities `(N, C)` of features or waveforms, as numpy.

        Features and waveforms may come in turn, whatever `fit` and `predict` saw:
        the backbone, which sees features alone, predicts.

        Args:
            inputs: `(N, T, F)` or `(N, S)`.
            batch_size: Inputs per forward pass. The last batch is padded to the
                size of the others, and a single one to a power of two, so that few
                sizes are compiled.

        Raises:
            ValueError: If the shape or the batch size is wrong.
        """
        _check_number("batch_size", batch_size)
        inputs = np.asarray(inputs)
        number = checked_shape(inputs, self.backbone, waveforms=True)[0]
        size = min(batch_size, 1 << max(number - 1, 0).bit_length())
        starts = range(0, max(number, 1), size)  # no input at all: one empty batch
        batches = [inputs[start : start + size] for start in starts]
        return np.concatenate([self._batch_probabilities(x, size) for x in batches])

    def _batch_probabilities(self, inputs, size):
        missing = [(0, size - len(inputs))] + [(0, 0)] * (inputs.ndim - 1)
        features = ops.convert_to_numpy(self._features(np.pad(inputs, missing)))
        tokens = ops.convert_to_tensor(self.backbone.predict_on_batch(features))
        activation = keras.activations.get("sigmoid" if self.multi_label else "softmax")
        scores = activation(self.head(pool(tokens, self.pooling, self.backbone.grid)))
        return ops.convert_to_numpy(scores)[: len(inputs)]

    def predict_file(self, path, top=5):
        """The likeliest classes of an audio file of any rate and length.

        A long file is cut into windows of the backbone's length that cover it;
        their probabilities are averaged. A short one is padded with zeros.

        Args:
            path: The file.
            top: How many classes to return, 1 or more; all where there are fewer.

        Returns:
            A list of `(class name, probability)`, the likeliest first.

        Raises:
            AudioError: If the file cannot be read.
            ValueError: If `top` is no whole number of 1 or more.
        """
        _check_number("top", top)
        frontend = self.backbone.frontend
        wave, _ = read(Path(path), sample_rate=frontend.sample_rate)
        windows = cover(wave, frontend.samples(self.backbone.num_frames))
        scores = self.probabilities(windows).mean(axis=0)
        best = np.argsort(-scores)[:top]
        return [(self.class_names[i], float(scores[i])) for i in best]

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        inputs="features",
        **kwargs,
    ):
        """As `keras.Model.export`, with a signature by default.

        Args:
            filepath: Where to.
            format: As for `keras.Model.export`.
            verbose: As for `keras.Model.export`.
            input_signature: Shape and dtype of the inputs; by default a batch of
                any size of what `inputs` says.
            inputs: `"features"` `(B, T, F)`, or `"waveforms"` `(B, S)` of the
                backbone's length: the filterbank is then exported too.
            **kwargs: As for `keras.Model.export`.

        Raises:
            ValueError: If `inputs` is another.
        """
        backbone = self.backbone
        shapes = {
            "features": (backbone.num_frames, backbone.num_mel_bins),
            "waveforms": (backbone.frontend.samples(backbone.num_frames),),
        }
        if inputs not in shapes:
            raise ValueError(
                f"inputs is one of {list(shapes)}; received {inputs!r}. For other "
                "shapes give an input_signature."
            )
        if input_signature is None:
            shape = (None, *shapes[inputs])
            input_signature = [keras.InputSpec(shape=shape, dtype="float32")]
        return super().export(
            filepath,
            format=format,
            verbose=verbose,
            input_signature=input_signature,
            **kwargs,
        )

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_classes": self.num_classes,
            "multi_label": self.multi_label,
            "pooling": self.pooling,
            "class_names": self.class_names,
            "freeze_backbone": self.freeze_backbone,
            "augmentation": [
                keras.saving.serialize_keras_object(layer)
                for layer in self.augmentation
            ],
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("backbone", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        config["augmentation"] = [
            keras.saving.deserialize_keras_object(layer, custom_objects=custom_objects)
            if isinstance(layer, dict)
            else layer
            for layer in config.get("augmentation", ())
        ]
        return cls(**config)


def _check_number(name, value):
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is a whole number of 1 or more; received {value!r}.")


def cover(wave, samples):
    """Windows `(N, samples)` that together cover a waveform, evenly spaced.

    A waveform shorter than a window is padded with zeros at its end.
    """
    if len(wave) <= samples:
        return np.pad(wave, (0, samples - len(wave)))[None]
    number = -(-len(wave) // samples)
    starts = np.linspace(0, len(wave) - samples, number).astype(int)
    return np.stack([wave[start : start + samples] for start in starts])
