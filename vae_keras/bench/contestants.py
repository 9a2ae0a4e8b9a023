"""The contestants of the benchmark: each trains the same network in its own way and process.

A contestant is a function that maps options to a dict: `train`, a function that trains for an epoch
and calls its argument after each batch; `work`, the number of images or operations between the
first and the last of these calls; `validate`, a function that returns the ELBO of validation
images; and facts about the contestant. Imports are local, because a process loads TensorFlow or
PyTorch, never both.
"""

import itertools
import math
import time

import numpy as np

from vae_keras.data.load import load_images

LATENT_DIM = 32
MATRIX_SIZE = 2048
_contestant = {}  # of this process


def start(options):
    """Sets up this process's contestant and trains it for an epoch, which compiles it.

    Args:
        options: dict with `kind`, one of `KINDS`, and the options of that function.

    Returns:
        Dict of facts about the contestant.
    """
    _contestant.update(KINDS[options["kind"]](options))
    _contestant["train"](lambda: None)
    return {name: value for name, value in _contestant.items() if not callable(value)}


def measure():
    """Trains for an epoch and times it from the end of the first batch to the end of the last.

    This leaves out the fixed costs of a call. The first batch waits for the pipeline, and Keras's
    `fit` on an array ends with a wait for the tuning thread of tf.data, which in TensorFlow 2.21
    sleeps for as long as it has run.

    Returns:
        Work per second: images, or operations of `matrix_product`.
    """
    ends = []
    _contestant["train"](lambda: ends.append(time.perf_counter()))
    return _contestant["work"] / (ends[-1] - ends[0])


def learn(options, limit):
    """Sets up a contestant, trains it, and measures its ELBO over time.

    Args:
        options: as for `start`, with `dataset`, the name of a data set, and `seed`; optionally
            `epochs`, the largest number of epochs.
        limit: seconds after which no epoch begins.

    Returns:
        List of pairs, one after each epoch: the seconds of training so far, with compiling and
        without validation, and the ELBO of all validation images, nats per image.
    """
    contestant, curve, seconds = KINDS[options["kind"]](options), [], 0.0
    for epoch in itertools.count(1):
        ends, begin = [], time.perf_counter()
        contestant["train"](lambda ends=ends: ends.append(time.perf_counter()))
        seconds += ends[-1] - begin
        curve.append((seconds, float(contestant["validate"]())))
        if seconds >= limit or epoch == options.get("epochs"):
            return curve


def choose_images(options):
    """Returns uint8 training images: of `dataset` if it is among the options, otherwise random."""
    if "dataset" in options:
        return load_images(options["dataset"], "train")[0]
    shape = options["num_images"], *options["image_shape"]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def fit_with_clock(fit, **arguments):
    """Returns `train` of a contestant, from a model's `fit` and its arguments."""
    from keras.callbacks import LambdaCallback

    def train(end):
        clock = LambdaCallback(on_train_batch_end=lambda batch, logs: end())
        fit(callbacks=[clock], verbose=0, **arguments)

    return train


def ours(options):
    """Trains as notebook 02 does, with its recipe from the first step."""
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
    vae.compile(optimizer=build_optimizer(options.get("epochs", 10) * len(batches)))
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
    from vae_keras.evaluation.likelihood import elbo_terms

    return elbo_terms(vae, load_images(options["dataset"], "validation")[0])["elbo"]


def count_operations(graph):
    """Counts the additions and multiplications in a graph's matrix products and convolutions.

    Args:
        graph: `tf.Graph` with known shapes. Elementwise operations are not counted.
    """
    # Positions of the smaller image and of the kernel among the inputs and outputs.
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
    from vae_keras.runtime import keras, tf  # only hides notices: nothing is configured

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
                losses *= images.shape[-1]  # Keras's loss is the mean over channels
                kl = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
                loss = ops.mean(ops.sum(losses, axis=(1, 2)) + ops.sum(kl, axis=1))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
            return {"loss": loss}

    keras.utils.set_random_seed(options.get("seed", 0))
    images, batch_size = choose_images(options).astype("float32") / 255, options["batch_size"]
    networks = build_networks("residual", images.shape[1:], LATENT_DIM)
    vae, evaluated = StockVAE(*networks), VAE(*networks)  # they share their weights
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    return {
        "train": fit_with_clock(vae.fit, x=images, batch_size=batch_size),
        "validate": lambda: elbo(evaluated, options),
        "work": len(images) - batch_size,
        "precision": "float32",
    }


def pytorch(options):
    """Trains with Adam in PyTorch, on a GPU if `gpu`; `compiled` in bfloat16, otherwise eagerly."""
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
    """Builds the network `residual` in PyTorch, with the same weights.

    Returns:
        `torch.nn.Module` that maps images in [0, 1], `(batch_size, channels, height, width)`, to
        their negative ELBO, nats per image, `(batch_size,)`.
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
    """Multiplies square matrices, which gives the machine's own rate in operations per second."""
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
