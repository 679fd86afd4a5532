"""Fine-tuning on Speech Commands V1, 12 classes: AST's protocol and a modern one.

What: ten words, `_unknown_` and `_silence_`. An ASiT backbone, pretrained or not, is
fine-tuned on the training part, the epoch is chosen on the validation part (`ast`) or
is the last one (`modern`), and accuracy is that of the separate official test set.
Seeds 0 to 2.

Paper: ASiT, Section 4.1 and Table I, where ViT-B pretrained on AudioSet-2M reaches
98.1 % (journal version: 98.2 %). AST has a recipe of V2 alone
(`egs/speechcommands/run_sc.sh`, section 7 of the specification); this is the same.

Command: python -m recipes.speech_commands_v1.train --data MANIFEST --out DIR
    --backbone PRESET

Results and cost: README.md.
"""

from recipes.speech_commands_v2.config import AST, MODERN

TASK = "Speech Commands V1, 12 classes, official test set"
NUM_CLASSES = 12
CLASSES = None  # in alphabetical order
SPLITS = {"train": ["train"], "valid": ["valid"], "test": ["test"]}
LABELS = ()
SEEDS = (0, 1, 2)
SCRATCH_RATE = 16000  # Hz, of the recordings; presets bring their own

# Those of V2, to the letter: constants, lengths and rates.
PROTOCOLS = {"ast": AST, "modern": MODERN}
