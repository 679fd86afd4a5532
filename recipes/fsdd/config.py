"""A small ASiT on the Free Spoken Digit Dataset, one speaker held out after the other.

What: six people say ten digits, fifty times each. A small backbone is pretrained
without labels on the clips of five of them, or on these and other sets, and fine-tuned
on the digits; so is the same backbone from random weights. The sixth speaker, whom
neither has heard, is scored. A run chooses nothing on that speaker's clips. (The data
set's own split shares its speakers, and is not used.)

Paper: ASiT, Section 4.2 (pretraining with the profile `paper`). The paper has no such
task; the nearest, Speech Commands, is another size and other data.

Command: python -m recipes.fsdd.train --data MANIFEST --out DIR

Results, cost and what was tried: README.md.
"""

from keras_asit.quickstart import job
from keras_asit.training import Protocol, SmallModel

COLUMN = "speaker"
SEEDS = (0,)
POOLING = "grid"  # words begin together
LAST_LAYERS = 1

# Clips of 0.14 to 2.3 s, on average 0.44 s, at 8 kHz: views of 0.65 s, 16 tokens.
MODEL = SmallModel(sample_rate=8000, crop_seconds=0.655, num_frames=64)

LEARNING_RATE = job.PRETRAINING_RATE
STEPS = 1500
STEPS_ALL = 3000
PRETRAINING = {
    **job.PRETRAINING,
    "filter_decibels": 6.0,
    # Another throat has other formants, and another tempo.
    "resize_time": (0.7, 1.3),
    "resize_frequency": (0.8, 1.25),
}
MODERN = Protocol(
    name="modern",
    epochs=60,
    batch_size=32,
    seconds=0.655,
    learning_rate=1e-3,
    warmup_epochs=5,
    weight_decay=0.05,
    drop_path=0.1,
    mixup=0.3,
    filter_decibels=6.0,
    resize_time=(0.7, 1.3),
    resize_frequency=(0.8, 1.25),
)
PROTOCOLS = {"modern": MODERN}
