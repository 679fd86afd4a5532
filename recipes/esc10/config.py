"""A small ASiT on ESC-10, five folds: what is pretrained, and how it is fine-tuned.

What: each of the five folds is held out once. A small backbone is pretrained without
labels on the other four, or on these and other sets, and fine-tuned; so is the same
backbone from random weights. A run chooses nothing on the held-out fold; README.md says
what the settings were found by.

Paper: ASiT, Section 4.2 (pretraining with the profile `paper`) and Section 4.1 (5-fold
cross-validation, there on ESC-50). The paper pretrains ViT-B on AudioSet-2M; this is
neither that size nor that data, and its figures are not comparable with Table I.

Command: python -m recipes.esc10.train --data MANIFEST --out DIR

Results, cost and what was tried: README.md.
"""

from keras_asit.quickstart import job
from keras_asit.training import Protocol, SmallModel

COLUMN = "fold"
SEEDS = (0,)
POOLING = "statistics"  # as the floor's, of tokens in the place of mel bands
LAST_LAYERS = 4

# Views of 1.9 s and 64 mel bins, 24 tokens; fine-tuned on 4.8 s, 60 tokens.
MODEL = SmallModel(crop_seconds=1.94, num_frames=96)

LEARNING_RATE = job.PRETRAINING_RATE
STEPS = 2000
STEPS_ALL = 3000
PRETRAINING = {
    **job.PRETRAINING,
    # Few clips, of many microphones: without filters the teacher tells recordings
    # apart rather than sounds (docs/learning.md).
    "filter_decibels": 12.0,
    "resize_time": (0.6, 1.2),
    "resize_frequency": (0.7, 1.3),
}

# 320 clips: what is not varied is learned by heart.
MODERN = Protocol(
    name="modern",
    epochs=80,
    batch_size=32,
    seconds=4.8,
    num_frames=240,
    learning_rate=1e-3,
    warmup_epochs=8,
    weight_decay=0.05,
    drop_path=0.1,
    mixup=0.5,
    shift_probability=0.5,
    filter_decibels=6.0,
    resize_time=(0.8, 1.2),
    resize_frequency=(0.8, 1.2),
)
# AST's recipe of ESC-50 (specification, Section 7), on this backbone's frames of 20 ms.
AST = Protocol(
    name="ast",
    epochs=25,
    batch_size=48,
    seconds=4.8,
    num_frames=240,
    learning_rate=1e-4,
    schedule="step",
    decay_factor=0.85,
    decay_after=5,
    decay_every=1,
    betas=(0.95, 0.999),
    weight_decay=0.0,
    l2=5e-7,
    clip_norm=None,
    frequency_mask=12,
    time_mask=48,
    mask_fill="zero_before_normalisation",
    noise=0.1,
    roll_frames=10,
)
PROTOCOLS = {"modern": MODERN, "ast": AST}
