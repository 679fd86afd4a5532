"""Fine-tuning on all of AudioSet, 527 classes: AST's protocol and a modern one.

What: an ASiT backbone, pretrained or not, is fine-tuned on the balanced and the
unbalanced part, whose classes are drawn alike, and the macro mean average precision
over the 527 classes is that of the evaluation part. No epoch is chosen: AST's weights
are averaged over the epochs 1 to 5, the modern ones are the last.

Paper: the journal version of ASiT, where ViT-B pretrained on AudioSet-2M reaches mAP
48.0. AST's protocol is that of its public recipe `egs/audioset/run.sh` (section 7 of
the specification).

Command: python -m recipes.audioset_2m.train --data MANIFEST --out DIR
    --backbone PRESET

Results and cost: README.md.
"""

from keras_asit.data.prepare import AUDIOSET_CLASSES
from keras_asit.training import Protocol

TASK = "AudioSet-2M, official evaluation split"
NUM_CLASSES = 527
CLASSES = AUDIOSET_CLASSES
SPLITS = {"train": ["balanced", "unbalanced"], "test": ["eval"]}
LABELS = ("original", "enhanced")
SEEDS = (0,)
SCRATCH_RATE = 32000  # Hz, the paper's; presets bring their own

AST = Protocol(
    name="ast",
    epochs=5,
    batch_size=12,
    seconds=10.0,
    num_frames=1024,  # 998 of ten seconds, then zeros
    # AST's constants, of 16 kHz, which the backbone's default are too (paper, at
    # 32 kHz). mean=None, std=None keep what a backbone came with.
    mean=-4.2677393,
    std=4.5689974,
    learning_rate=1e-5,
    schedule="step",
    decay_factor=0.5,
    decay_after=2,
    decay_every=1,
    warmup_steps=1000,
    betas=(0.95, 0.999),
    weight_decay=0.0,
    l2=5e-7,
    clip_norm=None,
    mixup=0.5,
    frequency_mask=48,
    time_mask=192,
    mask_fill="zero_before_normalisation",
    balanced=True,
    loss="binary_cross_entropy",
    metric="mean_average_precision",
    average_epochs=(1, 5),
)

MODERN = Protocol(
    name="modern",
    # Of AudioMAE's code (main_finetune_as.py, submit_ft_mask_bal.sh): a batch of 256,
    # 1e-3, a cosine, weight decay 5e-4, layer-wise decay 0.75 (BEiT, MAE), stochastic
    # depth 0.1, mixup 0.5, a roll of the clip, classes drawn alike, the mean of the
    # tokens. Its 100 epochs of 200,000 clips are 10 passes, the warm-up of 10 is one.
    # Not its masking of patches, which drops tokens.
    epochs=10,
    batch_size=256,
    seconds=10.0,
    num_frames=1024,
    learning_rate=1e-3,
    warmup_epochs=1,
    weight_decay=5e-4,
    layer_decay=0.75,
    drop_path=0.1,
    mixup=0.5,
    shift_probability=0.5,
    balanced=True,
    pooling="mean",
    # As AST, but that what is masked becomes the mean.
    frequency_mask=48,
    time_mask=192,
    loss="binary_cross_entropy",
    metric="mean_average_precision",
)

PROTOCOLS = {"ast": AST, "modern": MODERN}
