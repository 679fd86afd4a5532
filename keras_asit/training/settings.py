"""What the weights of a run depend on: all options, defaults included."""

import inspect

# Options that the weights do not depend on, but for the seed, which results tell apart.
NO_SETTINGS = {"seed", "folder", "save_every", "callbacks"}


def settings_of(function, options):
    """The options of a run and the defaults of its function, for `settings.json`.

    A default that changes is another setting: results of before are not mixed with
    those of after.

    Args:
        function: As `training.pretrain`.
        options: Options that it is called with.

    Returns:
        A dict, without the seed, the callbacks and where checkpoints lie.
    """
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    settings = {**defaults, **options}
    return {name: settings[name] for name in settings if name not in NO_SETTINGS}
