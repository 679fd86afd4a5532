"""Who speaks: VoxCeleb1's 1,251 speakers, by two protocols that are not comparable.

What: `superb_frozen` trains SUPERB's head on a frozen backbone: the weighted sum of its
hidden states, a linear layer of 256, the mean over the patches, a linear layer of 1,251
(`keras_asit.models.superb`). `full` trains all of the backbone. Both choose the epoch
on the validation part of the official split; accuracy is that of the test part.

Paper: ASiT, Table I, 63.1 %. Section 4.2 speaks of "finetuning" and of "the SUPERB
evaluation framework", which freezes: which of the two it is, is not said (README.md).

Command: python -m recipes.voxceleb_sid.train --data MANIFEST --out DIR
    --backbone PRESET --protocol superb_frozen

Results and cost: README.md.
"""

from keras_asit.training import Protocol

TASK = "VoxCeleb1 speaker identification, official split"
NUM_CLASSES = 1251
CLASSES = None  # in alphabetical order: id10001 and on
SPLITS = {"train": ["train"], "valid": ["valid"], "test": ["test"]}
LABELS = ()
SEEDS = (0, 1, 2)
SCRATCH_RATE = 16000  # Hz, of the recordings; presets bring their own

# SUPERB's task SID, s3prl's downstream/voxceleb1/config.yaml: Adam, 1e-4 throughout,
# gradients of norm 1, batches of 32 (4 x 8), 200,000 steps, best on dev. Other than
# there: whole epochs, and dev after each (there every 4,000 steps), and crops of 6 s
# (there 8 s): the length of the pretraining, as the positions of a frozen backbone
# cannot adapt to another.
SUPERB_FROZEN = Protocol(
    name="superb_frozen",
    epochs=46,  # of 4,323 steps: 198,858
    batch_size=32,
    seconds=6.0,
    num_frames=592,
    learning_rate=1e-4,
    schedule="step",
    decay_factor=1.0,  # constant
    weight_decay=0.0,
    clip_norm=1.0,
    freeze_backbone=True,
    pooling="mean",
    selection="validation",
)

# Ours: SUPERB freezes the backbone, and AST has no recipe of VoxCeleb. The choices of
# recipes/speech_commands_v2's `modern`, without mixup: a clip has one speaker.
FULL = Protocol(
    name="full",
    epochs=20,
    batch_size=32,
    seconds=6.0,
    num_frames=592,
    learning_rate=1.25e-4,  # 1e-3 for a batch of 256
    warmup_epochs=2,
    weight_decay=5e-4,
    layer_decay=0.75,
    drop_path=0.1,
    pooling="mean",
    label_smoothing=0.1,
    frequency_mask=48,
    time_mask=192,
    selection="validation",
)

PROTOCOLS = {"superb_frozen": SUPERB_FROZEN, "full": FULL}
