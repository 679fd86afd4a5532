"""The backbone within a model."""

from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.classifier import ASiTClassifier
from keras_asit.models.pretrainer import ASiTPretrainer
from keras_asit.models.superb import SuperbClassifier


def backbone_of(model):
    """The backbone that a model embeds with.

    Args:
        model: An `ASiTBackbone`, an `ASiTClassifier`, a `SuperbClassifier` or an
            `ASiTPretrainer`.

    Returns:
        An `ASiTBackbone`: the model itself, that of the classifier, or the teacher.

    Raises:
        ValueError: If the model is another.
    """
    if isinstance(model, ASiTBackbone):
        return model
    if isinstance(model, SuperbClassifier):
        return model.backbone.backbone  # within the features that it reads
    if isinstance(model, ASiTClassifier):
        return model.backbone
    if isinstance(model, ASiTPretrainer):
        return model.teacher
    raise ValueError(
        "model is an ASiTBackbone, ASiTClassifier or ASiTPretrainer; received "
        f"{type(model).__name__}. keras_asit.presets.load loads one."
    )
