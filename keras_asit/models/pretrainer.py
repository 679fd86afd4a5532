"""ASiT's pretraining: student, EMA teacher and the three losses."""

import contextlib

import keras
from keras import ops

from keras_asit import losses, replicas, schedules
from keras_asit.callbacks.ema_teacher import EMATeacher
from keras_asit.layers.gmml_corruption import GMMLCorruption
from keras_asit.layers.patch_embedding import patchify
from keras_asit.models import heads, profiles
from keras_asit.models.views import check_views, crossed_views, merge_views
from keras_asit.optimizers import ScheduledAdamW

PARTS = ("reconstruction", "local", "global")


@keras.saving.register_keras_serializable("keras_asit")
class ASiTPretrainer(keras.Model):
    """Trains a backbone without labels (paper, Section 3.3 and Figure 1).

    A student sees corrupted views and reconstructs the clean ones; it also
    matches what a teacher, the moving average of its own weights, says of the
    clean views: token by token of the same view (local) and clip by clip across
    views (global). `teacher` is the backbone to use downstream.

    `fit` logs `loss`, the weighted sum of `reconstruction_loss`, `local_loss` and
    `global_loss`. It adds a default `EMATeacher` where none is among the
    callbacks.

    Args:
        backbone: An `ASiTBackbone`; it becomes `student` and is trained in place.
            Its stochastic depth becomes that of the option `drop_path`.
        profile: `"paper"` (the text) or `"reference"` (the authors' code).
        corruption_layer: A layer clean -> (corrupted, mask) instead of the
            `GMMLCorruption` that the options describe.
        seed: Integer seed of the corruption, or None for a random one. Weights and
            stochastic depth follow `keras.utils.set_random_seed`.
        **options: Options that differ from the profile, by the names in
            `keras_asit.models.profiles.PRETRAINER`: weights of the losses, heads,
            corruption, temperatures.

    Input shape:
        `(B, V, T, F)` clean views, normalised, or `(B, V, S)` waveforms at the
        frontend's rate; V = 2 in the paper.

    Output shape:
        A dictionary of the losses that are on, scalars.

    Raises:
        ValueError: If the profile, an option or the shape of the views is wrong.

    Example:

    >>> backbone = ASiTBackbone((96, 64), hidden_dim=64, num_layers=2,
    ...                         num_heads=2, mlp_dim=128)
    >>> pretrainer = ASiTPretrainer(backbone, local_dim=64, global_dim=64)
    >>> pretrainer.compile(optimizer=ScheduledAdamW(1e-3))
    >>> views = np.random.normal(size=(8, 2, 96, 64)).astype("float32")
    >>> history = pretrainer.fit(views, batch_size=4, epochs=1, verbose=0)

    Reference:
        The authors' PyTorch code; `profile="reference"` follows it.
    """

    def __init__(
        self,
        backbone,
        profile="paper",
        corruption_layer=None,
        seed=None,
        **options,
    ):
        model_arguments = {k: options.pop(k) for k in ("name", "dtype") if k in options}
        super().__init__(**model_arguments)
        self.profile = profile
        self.given_options = dict(options)
        self.options = profiles.resolve(profile, options)
        self.seed = seed
        self.student = backbone
        backbone.drop_path = self.options["drop_path"]
        self.corruption = corruption_layer or heads.corruption(
            self.options, backbone.frontend, seed
        )
        self._add_student_heads()
        self._add_teacher()
        self._add_state()
        self.trackers = {
            part: keras.metrics.Mean(name=f"{part}_loss") for part in self.parts
        }
        self.built = True

    # What the student and the teacher consist of.

    @property
    def parts(self):
        """Names of the losses that are on."""
        return [part for part in PARTS if self.options[f"{part}_weight"]]

    def _add_student_heads(self):
        if self.options["reconstruction_weight"]:
            self.reconstruction_head = heads.reconstruction(
                self.options, self.student, self.dtype_policy
            )
        self.student_heads = self._projection_heads("student")

    def _projection_heads(self, owner):
        return heads.projections(self.options, self.student, self.dtype_policy, owner)

    def _add_teacher(self):
        config = {**self.student.get_config(), "name": "teacher", "drop_path": 0.0}
        self.teacher = type(self.student).from_config(config)
        self.teacher_heads = self._projection_heads("teacher")
        self._freeze_teacher()
        self.reset_teacher()

    @property
    def _pairs(self):
        """Every weight of the teacher with the student's; a shared MLP's once.

        Not an attribute: Keras would track the list and save each weight twice.
        """
        pairs = {}
        for teacher, student in (
            (self.teacher, self.student),
            *(
                (self.teacher_heads[part], head)
                for part, head in self.student_heads.items()
            ),
        ):
            for theirs, ours in zip(teacher.weights, student.weights, strict=True):
                pairs[id(theirs)] = (theirs, ours)
        return list(pairs.values())

    def _add_state(self):
        state = {"trainable": False, "dtype": "float32", "autocast": False}
        self.centers = {
            part: self.add_weight(
                name=f"{part}_center",
                shape=(self.options[f"{part}_dim"],),
                initializer="zeros",
                aggregation="only_first_replica",
                **state,
            )
            for part in self.student_heads
        }
        # The schedule's numbers are weights too: EMATeacher sets them without
        # a new trace of the compiled step, and a checkpoint holds them.
        for name, value in {
            "steps_done": 0.0,
            "momentum_start": 0.996,
            "momentum_end": 0.996,
            "momentum_from_step": 0.0,
            "momentum_steps": 1.0,
            "teacher_temperature": 0.04,
        }.items():
            weight = self.add_weight(
                name=name,
                shape=(),
                initializer=keras.initializers.Constant(value),
                aggregation="only_first_replica",
                **state,
            )
            setattr(self, name, weight)

    def _freeze_teacher(self):
        """No gradient reaches the teacher, also after it served a classifier."""
        for part in (self.teacher, *self.teacher_heads.values()):
            part.trainable = False

    def reset_teacher(self):
        """Copies the student into the teacher, as at the start of training."""
        for teacher, student in self._pairs:
            teacher.assign(ops.copy(student))

    # The forward pass and the losses.

    def features(self, views):
        """Clean views `(B, V, T, F)` from features or waveforms `(B, V, S)`."""
        check_views(views, self.student, "global" in self.parts)
        if len(views.shape) == 4:
            return views
        batch_of_waves = ops.reshape(views, (-1, views.shape[-1]))
        fbank = self.student.frontend(batch_of_waves)
        return ops.reshape(fbank, (-1, views.shape[1], *fbank.shape[1:]))

    def corrupt(self, clean):
        """Corrupted views and the mask of the changed pixels."""
        if self.options["corruption"]:
            return self.corruption(clean)
        return clean, ops.ones_like(clean)

    def call(self, views, training=False):
        clean = self.features(views)
        corrupted, mask = self.corrupt(clean)
        num_views = clean.shape[1]
        clean, corrupted, mask = (merge_views(x) for x in (clean, corrupted, mask))
        seen = self.student(corrupted, training=training)
        parts = {}
        if "reconstruction" in self.parts:
            reconstruction = self.reconstruction_head(seen[:, 1:])
            parts["reconstruction"] = losses.reconstruction_loss(
                clean, reconstruction, mask
            )
        if self.student_heads:
            target = ops.stop_gradient(self.teacher(clean, training=False))
        if "local" in self.parts:
            weights = self._local_weights(mask)
            entropy = self._pseudo_label_loss(
                "local", target[:, 1:], seen[:, 1:], training
            )
            parts["local"] = losses.weighted_mean(entropy, weights)
        if "global" in self.parts:
            entropy = self._pseudo_label_loss(
                "global", target[:, 0], seen[:, 0], training, num_views=num_views
            )
            parts["global"] = losses.weighted_mean(entropy, ops.ones_like(entropy))
        return parts

    def _local_weights(self, mask):
        """1 for the tokens that the local loss is taken over, `(B V, P)`."""
        share = ops.mean(
            ops.cast(patchify(mask, self.student.patch_size), "float32"), axis=-1
        )
        if self.options["local_loss_on"] == "all":
            return ops.ones_like(share)
        return ops.cast(share > self.options["changed_threshold"], "float32")

    def _pseudo_label_loss(self, part, target, seen, training, num_views=None):
        """Cross-entropies of one head; updates its centre after using it."""
        center = self.centers[part]
        thaw = ops.cast(
            self.steps_done >= self.options["freeze_output_steps"], "float32"
        )
        student_logits = self.student_heads[part](seen, thaw=thaw)
        teacher_logits = ops.stop_gradient(self.teacher_heads[part](target))
        compared = (teacher_logits, student_logits)
        if num_views:
            compared = crossed_views(*compared, num_views)
        entropy = losses.centred_cross_entropy(
            *compared,
            ops.convert_to_tensor(center),
            teacher_temperature=ops.convert_to_tensor(self.teacher_temperature),
            student_temperature=self.options["student_temperature"],
        )
        if training:
            momentum = self.options["center_momentum"]
            center.assign(
                losses.updated_center(
                    ops.convert_to_tensor(center), teacher_logits, momentum
                )
            )
        return entropy

    def reconstruct(self, views):
        """Clean, corrupted and reconstructed views and the mask, as numpy arrays.

        Args:
            views: As for `fit`.

        Returns:
            A dictionary of `(B, V, T, F)` arrays: `clean`, `corrupted`, `mask`,
            `reconstruction`.
        """
        clean = self.features(ops.convert_to_tensor(views))
        corrupted, mask = self.corrupt(clean)
        tokens = self.student(merge_views(corrupted), training=False)
        merged = self.reconstruction_head(tokens[:, 1:])
        arrays = {
            "clean": clean,
            "corrupted": corrupted,
            "mask": mask,
            "reconstruction": ops.reshape(merged, ops.shape(clean)),
        }
        return {name: ops.convert_to_numpy(x) for name, x in arrays.items()}

    # Training: one definition for all backends, the teacher inside the step.

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        total = sum(self.options[f"{part}_weight"] * y_pred[part] for part in y_pred)
        return total / replicas.count()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for part, value in y_pred.items():
            self.trackers[part].update_state(value, sample_weight=ops.shape(x)[0])
        return self.get_metrics_result()

    def train_step(self, *args):
        if keras.backend.backend() == "jax":
            return self._stateless_train_step(*args)
        logs = super().train_step(*args)
        with _after(logs):
            self.update_teacher()
        return logs

    def _stateless_train_step(self, state, data):
        logs, state = super().train_step(state, data)
        trainable, non_trainable, optimizer, metrics = state
        mapping = [
            *zip(self.trainable_variables, trainable, strict=True),
            *zip(self.non_trainable_variables, non_trainable, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self.update_teacher()
        non_trainable = [
            scope.get_current_value(v) for v in self.non_trainable_variables
        ]
        return logs, (trainable, non_trainable, optimizer, metrics)

    def update_teacher(self):
        """`theta_t <- m theta_t + (1 - m) theta_s`, every parameter, one step."""
        step = self.steps_done - self.momentum_from_step
        momentum = schedules.cosine(
            step, self.momentum_start, self.momentum_end, self.momentum_steps
        )
        for teacher, student in self._pairs:
            share = ops.cast(1.0 - momentum, teacher.dtype)
            teacher.assign(teacher + share * (student - teacher))
        self.steps_done.assign(self.steps_done + 1.0)

    def compile(self, optimizer="auto", jit_compile="auto", **kwargs):
        """As `keras.Model.compile`; the losses are part of the model.

        Args:
            optimizer: By default `ScheduledAdamW()`; for the paper's schedules
                see `keras_asit.optimizers.pretraining_optimizer`.
            jit_compile: By default True but under several `tf.distribute`
                replicas, where XLA cannot compile the collectives.
            **kwargs: As for `keras.Model.compile`.
        """
        if optimizer == "auto":
            optimizer = ScheduledAdamW()
        if jit_compile == "auto" and replicas.count() > 1:
            jit_compile = False
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model as it was when it was saved, optimizer included."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, *args, callbacks=None, **kwargs):
        """As `keras.Model.fit`, with an `EMATeacher` among the callbacks."""
        self._freeze_teacher()
        callbacks = list(callbacks or [])
        if not any(isinstance(callback, EMATeacher) for callback in callbacks):
            callbacks.append(EMATeacher())
        return super().fit(*args, callbacks=callbacks, **kwargs)

    def get_config(self):
        layer = None
        if not isinstance(self.corruption, GMMLCorruption):
            layer = keras.saving.serialize_keras_object(self.corruption)
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.student),
            "profile": self.profile,
            "corruption_layer": layer,
            "seed": self.seed,
            **self.given_options,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("backbone", "corruption_layer"):
            if isinstance(config[key], dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)


def _after(logs):
    """A scope whose operations run after those that make the logs.

    The step counter does not depend on the batch: in a graph of TensorFlow it
    would count the step that finds the data exhausted.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies(keras.tree.flatten(logs))
