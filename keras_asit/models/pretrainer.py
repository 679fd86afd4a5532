"""ASiT's pretraining: student, EMA teacher and the three losses."""

import inspect

import keras
import numpy as np
from keras import ops

from keras_asit import replicas, schedules
from keras_asit.callbacks.arrangement import arranged
from keras_asit.callbacks.doctor import Doctor
from keras_asit.models import (
    device_batches,
    heads,
    normalisation,
    objective,
    profiles,
    resuming,
    teacher,
    training_step,
    vitals,
)
from keras_asit.models.data_wait import DataWait
from keras_asit.models.on_devices import OnDevices
from keras_asit.models.views import check_views, merge_views
from keras_asit.optimizers import ScheduledAdamW, clipping

PARTS = ("reconstruction", "local", "global")


class FiniteMean(keras.metrics.Mean):
    """A mean that is NaN, not 0, where no step counted."""

    def result(self):
        return ops.where(self.count > 0, super().result(), np.nan)


@keras.saving.register_keras_serializable("keras_asit")
class ASiTPretrainer(OnDevices, keras.Model):
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
            Its stochastic depth becomes that of the option `drop_path`. One that
            was a teacher, or frozen by a classifier, becomes trainable.
        profile: `"paper"` (the text) or `"reference"` (the authors' code).
        corruption_layer: A layer clean -> (corrupted, mask) instead of the
            `GMMLCorruption` that the options describe.
        seed: Integer seed of the corruption, or None for a random one. Weights and
            stochastic depth follow `keras.utils.set_random_seed`.
        dtype: Dtype policy of the heads; by default the backbone's. The losses
            are float32.
        **options: Options that differ from the profile, by the names in
            `keras_asit.models.profiles.PRETRAINER`: weights of the losses, heads,
            filter, corruption, student's temperature, centring, frozen output layers,
            stochastic depth (rows 1 to 5, 7 to 10, 12, 18, 19 and 22 of the
            specification's table). The other rows are arguments elsewhere: `num_heads`
            (6) of the backbone, the teacher's temperatures and momenta (13) of
            `EMATeacher`, `epochs` (14) of `fit`, rates, weight decay and clipping (15
            to 17) of `keras_asit.optimizers.pretraining_optimizer`, and
            `shift_probability` (20) and `batch_size` (23) of `pretraining_dataset`.

    Input shape:
        `(B, V, T, F)` clean views, normalised, or `(B, V, S)` waveforms at the
        frontend's rate; V = 2 in the paper.

    Output shape:
        A dictionary of the losses that are on, scalars.

    Raises:
        ValueError: If the profile, an option or the shape of the views is wrong,
            or no loss is on.

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
        name=None,
        dtype=None,
        **options,
    ):
        # No autocast: waveforms and clean views stay float32 to the layers that
        # take them.
        dtype = dtype or backbone.dtype_policy
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.profile = profile
        self.given_options = dict(options)
        self.options = profiles.resolve(profile, options)
        self.seed = seed
        self.gradient_accumulation_steps = 1
        self.data_wait = None
        self.student = backbone
        backbone.drop_path = self.options["drop_path"]
        self.random_filter = heads.random_filter(self.options, backbone.frontend, seed)
        self.random_resized_crop = heads.random_resized_crop(self.options, seed)
        self._corruption_given = corruption_layer is not None
        self.corruption = corruption_layer or heads.corruption(
            self.options, backbone.frontend, seed
        )
        self._add_student_heads()
        self._add_teacher()
        self._add_state()
        self.trackers = {part: FiniteMean(name=f"{part}_loss") for part in self.parts}
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
        self._choose_what_is_trained()
        self.reset_teacher()

    @property
    def _pairs(self):
        """Every weight of the teacher with the student's.

        Not an attribute: Keras would track the list and save each weight twice.
        """
        return teacher.weight_pairs(
            (self.teacher, *self.teacher_heads.values()),
            (self.student, *self.student_heads.values()),
        )

    def _add_state(self):
        self.centers = {
            part: self.add_weight(
                name=f"{part}_center",
                shape=(self.options[f"{part}_dim"],),
                initializer="zeros",
                **teacher.STATE,
            )
            for part in self.student_heads
        }
        teacher.add_schedule(self)
        self.vital_names = vitals.names(self.student_heads)
        for name in ("skipped_steps", "skipped_in_a_row"):
            zero = self.add_weight(
                name=name, shape=(), initializer="zeros", **teacher.STATE
            )
            setattr(self, name, zero)
        self.vitals = self.add_weight(
            name="vitals",
            shape=(len(self.vital_names),),
            initializer="zeros",
            **teacher.STATE,
        )

    def _choose_what_is_trained(self):
        """The student, not the teacher, also after either served a classifier."""
        if not self.student.trainable:
            self.student.trainable = True
        for part in (self.teacher, *self.teacher_heads.values()):
            part.trainable = False

    def reset_teacher(self):
        """Copies the student into the teacher, as at the start of training."""
        teacher.copy(self._pairs)

    # The forward pass and the losses.

    def features(self, views):
        """Clean views `(B, V, T, F)`, float32, from features or waveforms."""
        check_views(views, self.student, "global" in self.parts)
        if len(views.shape) == 4:
            return ops.cast(views, "float32")
        _, num_views, samples = ops.shape(views)
        fbank = self.student.frontend(ops.reshape(views, (-1, samples)))
        sides = (self.student.num_frames, self.student.num_mel_bins)
        return ops.reshape(fbank, (-1, num_views, *sides))

    def corrupt(self, clean):
        """Corrupted views and the mask of the changed pixels."""
        if self.options["corruption"]:
            return self.corruption(clean)
        return clean, ops.ones_like(clean)

    def call(self, views, training=False):
        batch = objective.prepare(self, views, training)
        totals = objective.totals(self, batch)
        parts, statistics = objective.forward(self, batch, totals, training)
        if training:
            objective.move_centers(self, replicas.sum_over_replicas(statistics))
        return parts

    def reconstruct(self, views):
        """Clean, corrupted and reconstructed views and the mask, as numpy arrays.

        Args:
            views: As for `fit`.

        Returns:
            A dictionary of `(B, V, T, F)` arrays: `clean`, `corrupted`, `mask`,
            `reconstruction`.

        Raises:
            ValueError: If the reconstruction loss is off.
        """
        if "reconstruction" not in self.parts:
            raise ValueError(
                "reconstruct needs the reconstruction head, which "
                f"reconstruction_weight={self.options['reconstruction_weight']!r} "
                "leaves out. Pretrain with a weight above 0."
            )
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
        return {
            name: ops.convert_to_numpy(ops.cast(x, "float32"))
            for name, x in arrays.items()
        }

    # Training: one definition for all backends, see `training_step`.

    def train_step(self, *args):
        return training_step.train_step(self, *args)

    def make_train_function(self, force=False):
        is_new = force or self.train_function is None
        super().make_train_function(force)
        # PyTorch's function gets batches, and TensorFlow fetches several in its graph.
        is_one = self.steps_per_execution == 1
        counts = {"jax": True, "tensorflow": is_one}.get(keras.backend.backend(), False)
        if is_new:
            self.data_wait = DataWait() if counts else None
        if is_new and counts:
            self.train_function = self.data_wait.measured(self.train_function)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        total = sum(self.options[f"{part}_weight"] * y_pred[part] for part in y_pred)
        return total / replicas.count()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.track(y_pred, ops.shape(x)[0])

    def track(self, parts, clips, counts=True):
        """Adds the losses of a batch to the means of the epoch; returns those.

        Args:
            parts: Dict of losses.
            clips: Clips of the batch.
            counts: Whether the batch counts: not where a loss is not finite.
        """
        clips = ops.where(counts, ops.cast(clips, "float32"), 0.0)
        for part, value in parts.items():
            value = ops.where(counts, value, 0.0)
            self.trackers[part].update_state(value, sample_weight=clips)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """What `fit` logs: what is optimised, and what it is the weighted sum of."""
        means = {part: self.trackers[part].result() for part in self.parts}
        total = sum(self.options[f"{part}_weight"] * means[part] for part in means)
        losses = {f"{part}_loss": means[part] for part in means}
        return replicas.as_logs({"loss": total, **losses})

    def finish_step(self, parts, statistics, clips, gradient_norm, finite):
        """What follows the optimiser: centres, teacher, counters and vital signs.

        Args:
            parts: Losses of the batch.
            statistics: Of `forward`, of this replica's part of the batch.
            clips: Clips in this part.
            gradient_norm: Norm of the gradient of the global batch.
            finite: Whether the step counts; else only the skipped steps are counted.
        """
        clips = ops.cast(clips, "float32")
        statistics, clips = replicas.sum_over_replicas((statistics, clips))
        signs = vitals.of_step(parts, statistics, self.centers)
        signs |= {"clips": clips, "gradient_norm": gradient_norm}
        objective.move_centers(self, statistics, finite)
        signs["teacher_distance"] = self.update_teacher(finite)
        signs = ops.stack([signs[name] for name in self.vital_names])
        self.vitals.assign(ops.where(finite, signs, ops.convert_to_tensor(self.vitals)))
        skipped = 1.0 - ops.cast(finite, "float32")
        self.skipped_steps.assign(self.skipped_steps + skipped)
        self.skipped_in_a_row.assign((self.skipped_in_a_row + 1.0) * skipped)

    def update_teacher(self, moves=True):
        """The teacher's part of a step: every parameter follows the student's.

        Args:
            moves: Whether it does, and the step counts.

        Returns:
            How far the student is from the teacher, `|theta_s - theta_t| / |theta_t|`.
        """
        step = self.steps_done - self.momentum_from_step
        momentum = schedules.cosine(
            step, self.momentum_start, self.momentum_end, self.momentum_steps
        )
        moves = ops.cast(moves, "float32")
        distance = teacher.follow(self._pairs, 1.0 - moves * (1.0 - momentum))
        self.steps_done.assign(self.steps_done + moves)
        return distance

    def compile(
        self,
        optimizer="auto",
        jit_compile="auto",
        gradient_accumulation_steps=1,
        **kwargs,
    ):
        """As `keras.Model.compile`; the losses are part of the model.

        Args:
            optimizer: By default `ScheduledAdamW` with the profile's clipping; for
                the paper's schedules see `keras_asit.optimizers.pretraining_optimizer`.
            jit_compile: By default as Keras decides: XLA on JAX, and on TensorFlow
                where there is an accelerator and no `tf.distribute` strategy.
            gradient_accumulation_steps: Parts that each batch is cut into, so that only
                one of them is in memory. The step is that of the whole batch: masks,
                donors, losses, centres, clipping and schedules do not change.
            **kwargs: As for `keras.Model.compile`.

        Raises:
            ValueError: For an optimiser that accumulates by itself: its teacher would
                move where the student does not.
        """
        if optimizer == "auto":
            row = profiles.TRAINING[self.profile]
            optimizer = ScheduledAdamW(**clipping(row["clip"], row["clip_norm"]))
        training_step.check_accumulation(gradient_accumulation_steps, optimizer)
        self.gradient_accumulation_steps = gradient_accumulation_steps
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def get_compile_config(self):
        config = super().get_compile_config()
        if config is not None:
            steps = self.gradient_accumulation_steps
            config["gradient_accumulation_steps"] = steps
        return config

    def compile_from_config(self, config):
        """Compiles a loaded model as it was when it was saved, optimizer included."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, resume=None, **kwargs):
        """As `keras.Model.fit`, with an `EMATeacher` and a `Doctor` as callbacks.

        Warns where the first batch is far from the frontend's mean and deviation.

        Args:
            x: Views.
            resume: Folder of a `callbacks.Checkpoint`, to go on from its newest one. It
                may not exist yet: the same command begins a run and goes on with it.
            *args: As of `keras.Model.fit`, as all others. Of `callbacks` those that
                add to the logs come before all others; `verbose` is 0 for silence, 1
                for a `callbacks.ProgressBar`, 2 for a line an epoch, by default a bar
                on a screen and lines in a file.

        Raises:
            ValueError: For batches that the number of devices does not divide.
        """
        given = inspect.signature(super().fit).bind(x, *args, **kwargs).arguments
        del given["x"]
        callbacks = arranged(given.pop("callbacks", None), given.get("verbose", "auto"))
        x, given = device_batches.checked_fit(self, x, (), given)
        normalisation.warn_if_far(x, self.student)
        self._choose_what_is_trained()
        for callback in callbacks:
            if isinstance(callback, Doctor):
                callback.dataset = x
        with resuming.resumed(self, resume, x, callbacks, given):
            return super().fit(x, callbacks=callbacks, **given)

    def get_config(self):
        layer = None
        if self._corruption_given:
            layer = keras.saving.serialize_keras_object(self.corruption)
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "backbone": keras.saving.serialize_keras_object(self.student),
            "profile": self.profile,
            "corruption_layer": layer,
            "seed": self.seed,
            **self.given_options,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("backbone", "corruption_layer", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)
