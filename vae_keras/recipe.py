"""The training recipe: Adam and its learning rate schedule."""

from vae_keras.runtime import keras, ops

WARMUP = 0.1  # share of the steps in which "linear" raises the learning rate


@keras.saving.register_keras_serializable(package="vae_keras")
class LinearSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the learning rate linearly to its peak over the first tenth, then lowers it to 0.

    Args:
        peak: highest learning rate, above 0.
        num_steps: number of training steps, at least 2: the rate is 0 in the last and afterwards.

    Raises:
        ValueError: if there are fewer than two steps.

    Reference:
        Goyal et al., 2017, "Accurate, Large Minibatch SGD", section 2.2, for the linear rise.
    """

    def __init__(self, peak, num_steps):
        if num_steps < 2:
            raise ValueError(
                "`num_steps` must be at least 2: train for more epochs or with smaller batches. "
                f"Received: {num_steps}"
            )
        self.peak = peak
        self.num_steps = num_steps

    def __call__(self, step):
        share = (ops.cast(step, "float32") + 1) / self.num_steps
        factor = ops.minimum(share / WARMUP, (1 - share) / (1 - WARMUP))
        return self.peak * ops.maximum(factor, 0.0)

    def get_config(self):
        return {"peak": self.peak, "num_steps": self.num_steps}


def build_optimizer(num_steps, learning_rate=4e-3, learning_rate_schedule="linear"):
    """Builds the optimizer of all study runs; the defaults are for batches of 64 images.

    Args:
        num_steps: number of training steps; at least 2 if the schedule is linear.
        learning_rate: peak of the schedule, above 0.
        learning_rate_schedule: `"linear"`, see `LinearSchedule`, or `"constant"`.

    Returns:
        `keras.optimizers.Adam`.

    Raises:
        ValueError: if the schedule is unknown, or there are too few steps for it.
    """
    if learning_rate_schedule == "linear":
        learning_rate = LinearSchedule(learning_rate, num_steps)
    elif learning_rate_schedule != "constant":
        raise ValueError(
            '`learning_rate_schedule` must be "linear" or "constant". '
            f"Received: {learning_rate_schedule!r}"
        )
    return keras.optimizers.Adam(learning_rate)
