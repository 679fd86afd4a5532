"""Fine-tuning on AudioSet-20K, 527 classes: AST's protocol and a modern one.

What: an ASiT backbone, pretrained or not, is fine-tuned on the balanced part, and the
macro mean average precision over the 527 classes is that of the evaluation part. No
epoch is chosen: AST's weights are averaged over the epochs 6 to 25, the modern ones
are the last. AST's figure used its enhanced label set: every result here says which.

Paper: ASiT, Section 4.1 and Table I, where ViT-B pretrained on AudioSet-2M reaches mAP
35.2 (journal version: 38.6). AST's protocol is that of its public recipe
`egs/audioset/run.sh` (section 7 of the specification).

Command: python -m recipes.audioset_20k.train --data MANIFEST --out DIR
    --backbone PRESET

Results and cost: README.md.
"""

from keras_asit.data.prepare import AUDIOSET_CLASSES
from keras_asit.training import Protocol

TASK = "AudioSet-20K, official evaluation split"
NUM_CLASSES = 527
CLASSES = AUDIOSET_CLASSES
SPLITS = {"train": ["balanced"], "test": ["eval"]}
LABELS = ("original", "enhanced")
SEEDS = (0,)
SCRATCH_RATE = 32000  # Hz, the paper's; presets bring their own

AST = Protocol(
    name="ast",
    epochs=25,
    batch_size=12,
    seconds=10.0,
    num_frames=1024,  # 998 of ten seconds, then zeros
    # AST's constants, of 16 kHz, which the backbone's default are too (paper, at
    # 32 kHz). mean=None, std=None keep what a backbone came with.
    mean=-4.2677393,
    std=4.5689974,
    learning_rate=5e-5,
    schedule="step",
    decay_factor=0.5,
    decay_after=10,
    decay_every=5,
    warmup_steps=1000,
    betas=(0.95, 0.999),
    weight_decay=0.0,
    l2=5e-7,
    clip_norm=None,
    mixup=0.5,
    frequency_mask=48,
    time_mask=192,
    mask_fill="zero_before_normalisation",
    loss="binary_cross_entropy",
    metric="mean_average_precision",
    average_epochs=(6, 25),
)

MODERN = Protocol(
    name="modern",
    # Of AudioMAE's code (main_finetune_as.py, ft_as.sh): 60 epochs, 1e-3 times
    # batch / 256, a warm-up of 4 epochs and a cosine, weight decay 5e-4, layer-wise
    # decay 0.75 (BEiT, MAE), stochastic depth 0.1, mixup 0.5, a roll of the clip, the
    # mean of the tokens. Not its masking of patches, which drops tokens. Binary
    # cross-entropy without smoothing, which is for one class a clip.
    epochs=60,
    batch_size=32,
    seconds=10.0,
    num_frames=1024,
    learning_rate=1.25e-4,
    warmup_epochs=4,
    weight_decay=5e-4,
    layer_decay=0.75,
    drop_path=0.1,
    mixup=0.5,
    shift_probability=0.5,
    pooling="mean",
    # As AST, but that what is masked becomes the mean.
    frequency_mask=48,
    time_mask=192,
    loss="binary_cross_entropy",
    metric="mean_average_precision",
)

PROTOCOLS = {"ast": AST, "modern": MODERN}
