"""The parts of the networks: corruption, embedding, encoder block and heads."""

from keras_asit.layers.drop_path import DropPath
from keras_asit.layers.gmml_corruption import GMMLCorruption
from keras_asit.layers.patch_embedding import PatchEmbedding, patchify, unpatchify
from keras_asit.layers.projection_head import BottleneckMLP, ProjectionHead
from keras_asit.layers.random_filter import RandomFilter
from keras_asit.layers.random_resized_crop import RandomResizedCrop
from keras_asit.layers.reconstruction_head import ReconstructionHead
from keras_asit.layers.transformer_block import SelfAttention, TransformerBlock

__all__ = [
    "BottleneckMLP",
    "DropPath",
    "GMMLCorruption",
    "PatchEmbedding",
    "ProjectionHead",
    "RandomFilter",
    "RandomResizedCrop",
    "ReconstructionHead",
    "SelfAttention",
    "TransformerBlock",
    "patchify",
    "unpatchify",
]
