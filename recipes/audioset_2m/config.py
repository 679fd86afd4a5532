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
from recipes.audioset_20k import config as audioset_20k

TASK = "AudioSet-2M, official evaluation split"
NUM_CLASSES = 527
CLASSES = AUDIOSET_CLASSES
SPLITS = {"train": ["balanced", "unbalanced"], "test": ["eval"]}
LABELS = ("original", "enhanced")
SEEDS = (0,)
SCRATCH_RATE = 32000  # Hz, the paper's; presets bring their own

# AST's recipe of the balanced part, but for its length, its rate, and classes that are
# drawn alike.
AST = audioset_20k.AST.replace(
    epochs=5,
    learning_rate=1e-5,
    decay_after=2,
    decay_every=1,
    balanced=True,
    average_epochs=(1, 5),
)

# Of AudioMAE's code (submit_ft_mask_bal.sh), as that of the balanced part: a batch of
# 256, 1e-3, classes drawn alike. Its 100 epochs of 200,000 clips are 10 passes, the
# warm-up of 10 is one.
MODERN = audioset_20k.MODERN.replace(
    epochs=10,
    batch_size=256,
    learning_rate=1e-3,
    warmup_epochs=1,
    balanced=True,
)

PROTOCOLS = {"ast": AST, "modern": MODERN}
