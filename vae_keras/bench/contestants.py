"""The contestants of the bench: one network, trained in one way in each process.

A contestant is a function from options to a dict: `train`, a function that works for an epoch and
calls its argument after each batch; `work`, images or operations between the first of these calls
and the last; `validate`, a function that returns the ELBO of validation images; and what describes
the contestant. Modules are imported where they are used: a process loads TensorFlow or PyTorch,
never both.
"""

import itertools
import math
import resource
import sys
import time

import numpy as np

from vae_keras.data.load import load_images

LATENT_DIM = 32
MATRIX_SIZE = 2048
_contestant = {}  # of this process


def start(options):
    """Sets up the contestant of this process, and lets it work once, which compiles.

    Args:
        options: dict with `kind`, one of `KINDS`, and with the options of that function.

    Returns:
        Dict of what describes the contestant.
    """
    _contestant.update(KINDS[options["kind"]](options))
    _contestant["train"](lambda: None)
    return {name: value for name, value in _contestant.items() if not callable(value)}


def measure():
    """Trains for an epoch, and times it from the end of the first batch to the end of the last.

    What a call costs once is no part of a throughput: the first batch waits for the pipeline, and
    where Keras's `fit` is given an array it ends with a wait for the tuning thread of tf.data,
    which in TensorFlow 2.21 sleeps for as long again as it has run.

    Returns:
        Dict of `rate`, work per second, and `memory`, bytes, the peak.
    """
    ends = []
    _contestant["train"](lambda: ends.append(time.perf_counter()))
    unit = 1 if sys.platform == "darwin" else 1024  # of the peak of memory
    memory = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"rate": _contestant["work"] / (ends[-1] - ends[0]), "memory": memory}


def learn(options, limit):
    """Sets up a contestant and trains it: how good is the model after how long?

    Args:
        options: as of `start`, with `dataset`, the name of a data set, and `seed`. With `epochs`
            the training ends after so many.
        limit: seconds after which no epoch begins.

    Returns:
        List of pairs after each epoch: the seconds of training so far, which include compiling and
        leave out validation, and the ELBO of all validation images, nats per image.
    """
    contestant, curve, seconds = KINDS[options["kind"]](options), [], 0.0
    for epoch in itertools.count(1):
        ends, start = [], time.perf_counter()
        contestant["train"](lambda ends=ends: ends.append(time.perf_counter()))
        seconds += ends[-1] - start
        curve.append((seconds, float(contestant["validate"]())))
        if seconds >= limit or epoch == options.get("epochs"):
            return curve


def choose_images(options):
    """Returns uint8 images for training: of the `dataset` that is named, or else random ones."""
    if "dataset" in options:
        return load_images(options["dataset"], "train")[0]
    shape = options["num_images"], *options["image_shape"]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def fit_with_clock(fit, **arguments):
    """Returns `train` for a model's `fit` with these arguments."""
    from keras.callbacks import LambdaCallback

    def train(end):
        clock = LambdaCallback(on_train_batch_end=lambda batch, logs: end())
        fit(callbacks=[clock], verbose=0, **arguments)

    return train


def ours(options):
    """Trains as notebook 02 does, from the first step of its recipe."""
    from vae_keras import runtime

    machine = runtime.configure()
    from vae_keras import VAE, build_networks
    from vae_keras.data.batches import image_batches
    from vae_keras.recipe import build_optimizer

    seed, batch_size = options.get("seed", 0), options["batch_size"]
    runtime.keras.utils.set_random_seed(seed)
    images = choose_images(options)
    batches = image_batches(images, batch_size=batch_size, shuffle_seed=seed)
    vae = VAE(*build_networks("residual", images.shape[1:], LATENT_DIM))
    vae.adapt(images)
    num_steps = options.get("epochs", 10) * len(batches)
    vae.compile(optimizer=build_optimizer(4e-3, "linear", num_steps))
    batch = runtime.tf.TensorSpec((batch_size, *images.shape[1:]), "uint8")
    step = runtime.tf.function(vae.train_step).get_concrete_function(batch)
    return {
        **machine,
        "train": fit_with_clock(vae.fit, x=batches, shuffle=False),
        "validate": lambda: elbo(vae, options),
        "work": len(images) - batch_size,
        "operations": count_operations(step.graph) / batch_size,
        "gpu": bool(runtime.tf.config.list_physical_devices("GPU")),
    }


def elbo(vae, options):
    """Computes the ELBO of the data set's validation images, nats per image."""
    from vae_keras.data.batches import image_batches

    images, _ = load_images(options["dataset"], "validation")
    losses = vae.evaluate(image_batches(images, batch_size=256), verbose=0, return_dict=True)
    return -losses["reconstruction_loss"] - losses["kl_divergence"]


def count_operations(graph):
    """Counts the additions and multiplications in a graph's matrix products and convolutions.

    Args:
        graph: `tf.Graph` with known shapes. What works element by element is not counted.
    """
    # Where, among inputs and outputs, the smaller image and the kernel are.
    places = {"Conv2D": (2, 1), "Conv2DBackpropInput": (2, 1), "Conv2DBackpropFilter": (2, 3)}
    total = 0
    for operation in graph.get_operations():
        shapes = [tensor.shape for tensor in [*operation.inputs, *operation.outputs]]
        if operation.type == "MatMul":
            rows = shapes[0][1 if operation.get_attr("transpose_a") else 0]
            total += 2 * rows * shapes[1].num_elements()
        elif operation.type in places:
            image, kernel = (shapes[place] for place in places[operation.type])
            total += 2 * image[:3].num_elements() * kernel.num_elements()
    return total


def stock_keras(options):
    """Trains as Keras's VAE example does: Adam, float32, `fit` on a float32 array."""
    from vae_keras import VAE, build_networks
    from vae_keras.runtime import keras, tf  # started quietly; nothing is set

    ops = keras.ops

    class StockVAE(keras.Model):
        def __init__(self, encoder, decoder):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder
            self.seed_generator = keras.random.SeedGenerator()

        def train_step(self, images):
            with tf.GradientTape() as tape:
                z_mean, z_log_var = self.encoder(images)
                noise = keras.random.normal(ops.shape(z_mean), seed=self.seed_generator)
                logits = self.decoder(z_mean + ops.exp(0.5 * z_log_var) * noise)
                losses = keras.losses.binary_crossentropy(images, logits, from_logits=True)
                losses *= images.shape[-1]  # Keras's loss is a mean over channels
                kl = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
                loss = ops.mean(ops.sum(losses, axis=(1, 2)) + ops.sum(kl, axis=1))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
            return {"loss": loss}

    keras.utils.set_random_seed(options.get("seed", 0))
    images, batch_size = choose_images(options).astype("float32") / 255, options["batch_size"]
    networks = build_networks("residual", images.shape[1:], LATENT_DIM)
    vae, judged = StockVAE(*networks), VAE(*networks)
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    judged.compile()
    return {
        "train": fit_with_clock(vae.fit, x=images, batch_size=batch_size),
        "validate": lambda: elbo(judged, options),
        "work": len(images) - batch_size,
        "precision": "float32",
    }


def pytorch(options):
    """Trains with Adam in PyTorch, on the `gpu` or not, `compiled` in bfloat16 or else eagerly."""
    import torch

    compiled, batch_size = options["compiled"], options["batch_size"]
    device = "cuda" if options["gpu"] else "cpu"
    torch.manual_seed(options.get("seed", 0))

    def load(images):
        return torch.tensor(images).to(device).permute(0, 3, 1, 2)

    def to_floats(batch):
        return (batch.float() / 255).contiguous(memory_format=torch.channels_last)

    images = choose_images(options)
    pixels = load(images)
    vae = torch_vae(images.shape[1:]).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
    forward = torch.compile(vae) if compiled else vae

    def train(end):
        for chosen in torch.randperm(len(pixels), device=device).split(batch_size):
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=compiled):
                loss = forward(to_floats(pixels[chosen])).mean()
            loss.backward()
            optimizer.step()
            if device == "cuda":
                torch.cuda.synchronize()
            end()

    def validate():
        held_out = load(load_images(options["dataset"], "validation")[0])
        with torch.no_grad():
            losses = [vae(to_floats(batch)) for batch in held_out.split(256)]
        return -torch.cat(losses).mean().item()

    precision = "bfloat16" if compiled else "float32"
    work = len(pixels) - batch_size
    return {"train": train, "validate": validate, "work": work, "precision": precision}


def torch_vae(image_shape):
    """Builds the network `residual` in PyTorch, weight for weight.

    Returns:
        `torch.nn.Module` from images in [0, 1], `(batch_size, channels, height, width)`, to minus
        their ELBO, nats per image, `(batch_size,)`.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    height, width, channels = image_shape
    small = 128, height // 4, width // 4

    def convolve(inputs, outputs, stride=1):
        return nn.Conv2d(inputs, outputs, 3, stride, padding=1)

    def enlarge(inputs, outputs):
        return nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1)

    class Residual(nn.Sequential):
        def forward(self, x):
            return functional.relu(x + super().forward(x))

    def residual(filters):
        return Residual(convolve(filters, filters), nn.ReLU(), convolve(filters, filters))

    class TorchVAE(nn.Module):
        def __init__(self):
            super().__init__()
            maps = convolve(channels, 32, 2), convolve(32, 64, 2), convolve(64, 128)
            layers = [layer for convolution in maps for layer in (convolution, nn.ReLU())]
            dense = nn.Flatten(), nn.Linear(math.prod(small), 256), nn.ReLU()
            self.encoder = nn.Sequential(*layers, *dense, nn.Linear(256, 2 * LATENT_DIM))
            dense = nn.Linear(LATENT_DIM, math.prod(small)), nn.ReLU(), nn.Unflatten(1, small)
            larger = enlarge(128, 32), nn.ReLU(), residual(32)
            largest = enlarge(32, 16), nn.ReLU(), residual(16)
            self.decoder = nn.Sequential(*dense, *larger, *largest, convolve(16, channels))

        def forward(self, images):
            z_mean, z_log_var = self.encoder(images).float().chunk(2, dim=1)
            logits = self.decoder(z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean))
            losses = functional.binary_cross_entropy_with_logits(
                logits.float(), images, reduction="none"
            )
            kl = -0.5 * (1 + z_log_var - z_mean**2 - z_log_var.exp())
            return losses.sum(dim=(1, 2, 3)) + kl.sum(dim=1)

    return TorchVAE()


def matrix_product(options):
    """Multiplies square matrices: the machine's own rate, in operations per second."""
    from vae_keras.runtime import tf

    matrix = tf.cast(tf.random.normal((MATRIX_SIZE, MATRIX_SIZE)), options["precision"])
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))

    def train(end):
        end()
        for _ in range(8):
            product = multiply()
        product[0, 0].numpy()  # waits for a GPU
        end()

    return {"train": train, "work": 8 * 2 * MATRIX_SIZE**3, "precision": options["precision"]}


KINDS = {
    "ours": ours,
    "stock_keras": stock_keras,
    "pytorch": pytorch,
    "matrix_product": matrix_product,
}
