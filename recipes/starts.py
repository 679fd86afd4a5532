"""Where a backbone comes from, before it is fine-tuned: pretrainings that are kept."""

import functools
import shutil

import numpy as np

from keras_asit import presets, training
from keras_asit.models.backbone_of import backbone_of
from recipes.apart import check_apart

SAVE_EVERY = 500  # steps of pretraining; what a run that is killed loses
SIZES = ("patch_size", "hidden_dim", "num_layers", "num_heads", "mlp_dim")


class Starts:
    """The backbones to start from, for one group held out and one seed.

    Args:
        study: A `cross_validation.Study`.
        train: `Manifest` of the training clips.
        test: `Manifest` of the clips that are held out.
        seed: Fixes weights, crops and corruption.
        kept: The `stages.Stages`.
        name: Folder of the group and seed in it.
        others: Manifests of other sets.
        preset: Handle of a backbone, or None.
        unlabelled: `Manifest` to pretrain on in the place of the training clips.
    """

    def __init__(
        self, study, train, test, seed, kept, name, others=(), preset=None,
        unlabelled=None,
    ):  # fmt: skip
        self.study, self.train, self.test, self.seed = study, train, test, seed
        self.kept, self.name = kept, name
        self.others, self.preset, self.unlabelled = others, preset, unlabelled

    @functools.cached_property
    def frontend(self):
        """The filterbank, normalised on the training clips."""
        model = self.study.model
        constants = training.normalisation(self.train, model.frontend(), seed=self.seed)
        return model.frontend(*constants)

    def backbone(self, start):
        """The backbone of a start; its pretraining is a stage of its own."""
        if start == "scratch":
            return self._new(self.frontend)
        if start == "preset":
            return backbone_of(presets.load(self.preset, load_weights=True))
        folder = self.kept.out / self.name / f"{start}_backbone"
        stage = functools.partial(self._pretrain, start, folder)
        self.kept.done(f"{self.name}/{start}_pretraining", stage)
        return presets.load(folder, load_weights=True)

    def _new(self, frontend):
        with training.seeded(self.seed):
            backbone = random_backbone(self.study, frontend)
        if self.study.vision is None:
            return backbone
        found = from_images(self.study.vision, backbone)
        if sizes_of(backbone) != sizes_of(found):
            raise ValueError(
                "Expected a vision transformer of the network's size, "
                f"{sizes_of(backbone)}; received {sizes_of(found)}. Rows of one table "
                "have one size."
            )
        return found

    def _pretrain(self, start, folder):
        clips = self.train
        if self.unlabelled is not None:
            check_apart(self.test, self.unlabelled, "the clips to pretrain on")
            clips = self.unlabelled
        clips.check_links()  # checkpoints know a run by bare paths
        if start == "all":
            backbone = self._renormalised(self._of_other_sets())
        else:
            backbone = self._new(self.frontend)
        history = self._run(backbone, clips.paths, self.study.steps, self.name, folder)
        return {"clips": len(clips), "steps": self.study.steps, "history": history}

    def _renormalised(self, backbone):
        """With the constants of the training clips, as all other starts have."""
        return training.adapted(
            backbone,
            training.Protocol(
                seconds=self.study.model.crop_seconds,
                mean=self.frontend.mean,
                std=self.frontend.std,
            ),
        )

    def _of_other_sets(self):
        """The backbone pretrained on the other sets, once for all groups of a seed."""
        name = f"others/seed-{self.seed}"
        folder = self.kept.out / name / "backbone"

        def run():
            for manifest in self.others:
                manifest.check_links()
            paths = np.concatenate([manifest.paths for manifest in self.others])
            backbone = self._new(self._frontend_of_others())
            steps = self.study.steps_all
            history = self._run(backbone, paths, steps, name, folder)
            return {"clips": len(paths), "steps": steps, "history": history}

        self.kept.done(f"{name}/pretraining", run)
        return presets.load(folder, load_weights=True)

    def _frontend_of_others(self):
        """A filterbank normalised on clips of the other sets, which count alike."""
        model = self.study.model
        pairs = [
            training.normalisation(manifest, model.frontend(), seed=self.seed)
            for manifest in self.others
        ]
        means, deviations = map(np.array, zip(*pairs, strict=True))
        mean = means.mean()
        return model.frontend(
            float(mean), float(np.sqrt(np.mean(deviations**2 + (means - mean) ** 2)))
        )

    def _run(self, backbone, paths, steps, label, folder):
        """Pretrains, saves the teacher's backbone, and returns the losses."""
        study = self.study
        interrupted = folder.with_name(f"{folder.name}_checkpoints")
        pretrainer, history = training.pretrain(
            backbone,
            paths,
            crop_seconds=study.model.crop_seconds,
            budget=training.Budget(
                study.learning_rate, steps=steps, label=f"{label} pretraining"
            ),
            seed=self.seed,
            folder=interrupted,
            save_every=SAVE_EVERY,
            **study.pretraining,
        )
        trained_on = f"{len(paths)} clips without labels, {label}"
        presets.save(pretrainer, folder, trained_on=trained_on)
        shutil.rmtree(interrupted)
        return numbers(history)


def sizes_of(backbone):
    """What the weights' shapes depend on, but for the input: `{size: number}`."""
    return {size: getattr(backbone, size) for size in SIZES}


def random_backbone(study, frontend):
    """A new backbone of the study's model, and of its sizes where it has some."""
    backbone = study.model.backbone(frontend)
    if study.sizes is None:
        return backbone
    config = {**backbone.get_config(), **study.sizes, "frontend": frontend}
    return type(backbone).from_config(config)


def from_images(vision, backbone):
    """A vision transformer that takes what a backbone takes."""
    return presets.from_vision_transformer(
        vision,
        input_shape=(backbone.num_frames, backbone.num_mel_bins),
        frontend=backbone.frontend,
    )


def numbers(history):
    """A history for JSON."""
    return {name: [round(float(v), 5) for v in row] for name, row in history.items()}
