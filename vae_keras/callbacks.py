"""Training callbacks: a schedule for the KL weight, and a stop at NaN."""

import math

from vae_keras.runtime import keras


class KLSchedule(keras.callbacks.Callback):
    """Sets `vae.kl_weight` between 0 and `vae.beta` before every training step.

    The weight rises linearly over `warmup_epochs` and then stays at beta; each cycle starts again
    from 0. Time is the optimizer's count of training steps: validation does not advance it, and a
    loaded model continues where it stopped. The history gets the weight after each epoch,
    `kl_weight`.

    Args:
        epochs: total number of training epochs, divided evenly among the cycles.
        warmup_epochs: length of each rise in epochs, at least 0; 0 keeps the weight constant.
        kl_cycles: number of cycles, at least 1.

    Raises:
        ValueError: if an argument is out of range, or a rise is longer than its cycle; from `fit`,
            if the number of steps is unknown.

    References:
        Bowman et al., 2016, "Generating Sentences from a Continuous Space", section 3.1 (warm-up);
        Fu et al., 2019, "Cyclical Annealing Schedule", section 3.2 (cycles).
    """

    def __init__(self, epochs, warmup_epochs=0, kl_cycles=1):
        super().__init__()
        if kl_cycles < 1 or warmup_epochs < 0 or warmup_epochs * kl_cycles > epochs:
            raise ValueError(
                "`warmup_epochs` must be at least 0, `kl_cycles` at least 1, and their product at "
                f"most `epochs`. Received: warmup_epochs={warmup_epochs}, kl_cycles={kl_cycles}, "
                f"epochs={epochs}"
            )
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.kl_cycles = kl_cycles

    def on_train_batch_begin(self, batch, logs=None):
        if not self.warmup_epochs:
            return
        if not self.params["steps"]:
            raise ValueError("`KLSchedule` needs a known number of steps: pass `steps_per_epoch`.")
        epoch = int(self.model.optimizer.iterations.numpy()) / self.params["steps"]
        self.model.kl_weight.assign(self.model.beta * self.fraction(epoch))

    def fraction(self, epoch):
        """Returns the fraction of beta, from 0 to 1, at `epoch`, a whole or fractional number."""
        if not self.warmup_epochs:
            return 1.0
        length = self.epochs / self.kl_cycles
        cycle = min(epoch // length, self.kl_cycles - 1)
        return min(1.0, (epoch - cycle * length) / self.warmup_epochs)

    def on_epoch_end(self, epoch, logs=None):
        logs["kl_weight"] = float(self.model.kl_weight.numpy())


class StopAtNaN(keras.callbacks.Callback):
    """Stops training with an error as soon as the epoch's mean loss is not finite.

    Raises:
        FloatingPointError: after the step in which the loss became NaN or infinite.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} in step {batch + 1} of epoch {self.epoch + 1}. Try a "
                f"lower `learning_rate`; or do the images of a pipeline leave the range [0, 1]?"
            )
