"""TensorBoard's own reader of event files."""


def read_events(folder):
    """All scalars and pictures in the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"scalars": 0, "images": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()
