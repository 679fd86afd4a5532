"""A small ASiT on ESC-10, pretrained on the training folds alone, five folds.

What: the question of `asit quickstart`, asked properly. For each fold and seed a
small backbone is pretrained on the other four folds without labels; the teacher's
backbone and the same backbone from random weights are then fine-tuned with few labels
under one budget, and scored on the fold that neither has seen. The last epoch counts:
nothing is chosen on the held-out fold.

Paper: ASiT, Section 4.2 (pretraining with the profile `paper`) and Section 4.1 (5-fold
cross-validation, there on ESC-50). The paper pretrains ViT-B on AudioSet-2M; this is
neither that size nor that data, and its figures are not comparable with Table I.

How long: `PRETRAINING_MINUTES` for each of the 5 folds x 3 seeds, and the fine-tunings.

Command: python -m recipes.esc10.train --data MANIFEST --out DIR

Model, heads and learning rates are those of the quickstart, by reference, so that what
is found for one holds for the other; the files of each fold and seed record the values.
"""

from keras_asit.quickstart.clips import model_for
from keras_asit.quickstart.job import PRETRAINING, PRETRAINING_RATE, Settings
from keras_asit.training import SmallModel

FOLDS = ("1", "2", "3", "4", "5")
SEEDS = (0, 1, 2)
LABELS_PER_CLASS = 10  # 0 for all

MODEL_FOR = model_for  # from the training clips to a `SmallModel`
PRETRAINING_MINUTES = 20.0
PEAK_LEARNING_RATE = PRETRAINING_RATE
# Of `keras_asit.training.pretrain`. Few clips, of many microphones: without filters the
# teacher tells recordings apart rather than sounds (docs/learning.md).
PRETRAINING_OPTIONS = {**PRETRAINING, "filter_decibels": 24.0}
FINE_TUNING = {
    "steps": Settings.fine_tuning_steps
}  # of `keras_asit.training.FineTuning`

# --tiny: everything for a moment, to see that it runs. Its accuracy means nothing.
TINY_MODEL = SmallModel(
    sample_rate=8000,
    crop_seconds=0.5,
    num_frames=32,
    num_mel_bins=32,
    hidden_dim=32,
    num_layers=1,
    num_heads=2,
)
TINY_PRETRAINING = {
    "batch_size": 8,
    "local_dim": 16,
    "global_dim": 16,
    "projection_hidden_dims": (16,),
    "projection_bottleneck_dim": 8,
    "reconstruction_hidden_dims": (16,),
    "reconstruction_bottleneck_dim": 8,
}
TINY_STEPS = 2
TINY_FINE_TUNING = {"steps": 2, "batch_size": 8}
