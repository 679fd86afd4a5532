"""The paper's pretraining: ASiT on AudioSet without labels.

What: two random crops of 6 s of each clip, at 32 kHz, corrupted by GMML; a student is
trained to reconstruct what was changed and to agree with its EMA teacher on local and
global pseudo-classes. The teacher's backbone is saved as a preset.

Paper: ASiT, Section 3 and Section 4.2 (profile `paper`, 40 epochs), or the authors'
code (profile `reference`, 100 epochs); sections 1 to 5 of the specification, rows 13
to 23. The paper pretrains ViT-S and ViT-B on AudioSet-2M, on several GPUs of unstated
number with 64 clips each.

Command: python -m recipes.audioset_pretrain.train --data MANIFEST --out DIR
    --size base

Cost: printed after the first steps, from their own duration (README.md).
"""

SIZES = ("tiny", "small", "base")
SIZE = "base"
# Values of the manifest's column `split` that are trained on, those that there are:
# `balanced` alone is AudioSet-20K, with `unbalanced` AudioSet-2M. Never `eval`.
SPLITS = ("balanced", "unbalanced", "train")
CROP_SECONDS = 6.0
SHIFT_PROBABILITY = 0.5  # row 20
EPOCHS = {"paper": 40, "reference": 100}  # row 14
BATCH_PER_DEVICE = {"paper": 64, "reference": 32}  # row 23
CHECKPOINT_STEPS = 1000

# Rows 15 to 17 are those of `optimizers.pretraining_optimizer(profile=...)`; momentum
# 0.996 to 1 and temperature 0.04 to 0.07 over 30 epochs (row 13) of `EMATeacher`; all
# others of `ASiTPretrainer(profile=...)`.
