"""A small ASiT on the test part of Speech Commands V2, five folds of speakers.

What: the twelve classes of the V1 task (ten words, `_unknown_`, `_silence_`) on the
4,890 clips of the official *test* set alone, in five folds that share no speaker. Who
has that part and not the 85,000 clips to train with can measure a pretraining by it.
The folds are ours, and figures are not comparable with published ones.

Command: python -m recipes.speech_commands_v2.folds --data MANIFEST --out DIR

Results, cost and what was tried: README.md.
"""

from keras_asit.quickstart import job
from keras_asit.training import Protocol, SmallModel

COLUMN = "fold"
SEEDS = (0,)
POOLING = "grid"  # clips of one second: a word has a beginning
LAST_LAYERS = 1

# Views of one second, 24 tokens.
MODEL = SmallModel(crop_seconds=1.0, num_frames=96)

LEARNING_RATE = job.PRETRAINING_RATE
STEPS = 2000
STEPS_ALL = 2000
PRETRAINING = {
    **job.PRETRAINING,
    "filter_decibels": 6.0,
    # Another throat has other formants, and another tempo.
    "resize_time": (0.7, 1.3),
    "resize_frequency": (0.8, 1.25),
}
MODERN = Protocol(
    name="modern",
    epochs=20,
    batch_size=32,
    seconds=1.0,
    learning_rate=1e-3,
    warmup_epochs=2,
    weight_decay=0.05,
    drop_path=0.1,
    mixup=0.3,
    filter_decibels=6.0,
    resize_time=(0.7, 1.3),
    resize_frequency=(0.8, 1.25),
)
PROTOCOLS = {"modern": MODERN}
