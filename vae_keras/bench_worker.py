"""One contestant of `bench`, in a process of its own: it measures once for every line it is sent."""

import json
import resource
import sys
import time
from functools import partial

import numpy as np

LATENT_DIM = 32
LEARNING_RATE = 1e-3
MATRIX_SIZE = 2048


def main():
    """Sets up the contestant that the command line names, and serves measurements.

    The argument is JSON: `kind`, one of `KINDS`; `image_shape`, `batch_size` and `num_images` of
    those that train. Once it has trained for the first time, which compiles, a line of JSON comes
    out that describes the contestant. After each line on the standard input another one does:
    `seconds`, `work` (images, or operations of a matrix product) and `memory` (bytes, the peak).
    """
    options = json.loads(sys.argv[1])
    measure, description = KINDS[options["kind"]](options)
    measure()
    print(json.dumps(description), flush=True)
    unit = 1 if sys.platform == "darwin" else 1024  # of the peak of memory
    for _ in sys.stdin:
        work, seconds = measure()
        peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "work": work, "memory": peak}), flush=True)


def random_images(options):
    shape = options["num_images"], *options["image_shape"]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def timed(work_through):
    """Makes a measurement of a function that returns its work: one that returns seconds as well."""

    def measure(*arguments, **options):
        start = time.perf_counter()
        work = work_through(*arguments, **options)
        return work, time.perf_counter() - start

    return measure


def timed_fit(fit, num_images, batch_size):
    """Makes a measurement of `fit`, from the end of its first batch to the end of its last one.

    What a call costs once is no part of a throughput: the first batch waits for the pipeline, and
    where `fit` is given an array it ends with a wait for the autotuning thread of tf.data, which
    in TensorFlow 2.21 sleeps for as long again as it has run: up to a minute.

    Args:
        fit: function that takes `callbacks` and trains for one epoch.
        num_images: images in the epoch.
        batch_size: images in a batch; the last one may have fewer.
    """
    import keras

    def measure():
        ends = []
        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
        )
        fit(callbacks=[clock])
        return num_images - batch_size, ends[-1] - ends[0]

    return measure


def ours(options):
    """Trains as notebook 02 does."""
    from vae_keras import runtime

    machine = runtime.configure()
    import keras

    from vae_keras.data import image_batches
    from vae_keras.vae import VAE

    images = random_images(options)
    vae = VAE(tuple(options["image_shape"]), LATENT_DIM)
    vae.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE))
    batches = image_batches(images, batch_size=options["batch_size"], shuffle_seed=0)

    fit = partial(vae.fit, batches, shuffle=False, verbose=0)
    measure = timed_fit(fit, len(images), options["batch_size"])
    batch = runtime.tf.TensorSpec((options["batch_size"], *images.shape[1:]), "uint8")
    step = runtime.tf.function(vae.train_step).get_concrete_function(batch)
    return measure, machine | {"operations": count_operations(step.graph) / batch.shape[0]}


def count_operations(graph):
    """Counts the additions and multiplications of a graph's matrix products and convolutions.

    Args:
        graph: `tf.Graph` in which the shapes are known.

    Returns:
        Their number; what works element by element is not counted.
    """
    total = 0
    for operation in graph.get_operations():
        shapes = [tensor.shape for tensor in [*operation.inputs, *operation.outputs]]
        if operation.type == "MatMul":
            rows = shapes[0][1 if operation.get_attr("transpose_a") else 0]
            total += 2 * rows * shapes[1].num_elements()
        elif operation.type == "Conv2D":  # image, kernel; output
            total += 2 * shapes[2][:3].num_elements() * shapes[1].num_elements()
        elif operation.type == "Conv2DBackpropInput":  # sizes, kernel, gradient; output
            total += 2 * shapes[2][:3].num_elements() * shapes[1].num_elements()
        elif operation.type == "Conv2DBackpropFilter":  # image, sizes, gradient; kernel
            total += 2 * shapes[2][:3].num_elements() * shapes[3].num_elements()
    return total


def stock_keras(options):
    """The same network as Keras's own example trains one: `fit` on a float32 array, no settings."""
    from vae_keras.runtime import tf  # starts TensorFlow quietly; sets nothing

    import keras
    from keras import ops

    from vae_keras.networks import build_decoder, build_encoder

    class StockVAE(keras.Model):
        def __init__(self, encoder, decoder):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder
            self.seed_generator = keras.random.SeedGenerator(0)
            self.loss_tracker = keras.metrics.Mean(name="loss")

        @property
        def metrics(self):
            return [self.loss_tracker]

        def train_step(self, data):
            with tf.GradientTape() as tape:
                z_mean, z_log_var = self.encoder(data)
                noise = keras.random.normal(ops.shape(z_mean), seed=self.seed_generator)
                logits = self.decoder(z_mean + ops.exp(0.5 * z_log_var) * noise)
                losses = keras.losses.binary_crossentropy(data, logits, from_logits=True)
                # The loss is a mean over channels.
                reconstruction = ops.mean(ops.sum(losses, axis=(1, 2))) * data.shape[-1]
                kl = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
                loss = reconstruction + ops.mean(ops.sum(kl, axis=1))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights))
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

    shape = tuple(options["image_shape"])
    images = random_images(options).astype("float32") / 255
    networks = (build("residual", shape, LATENT_DIM) for build in (build_encoder, build_decoder))
    vae = StockVAE(*networks)
    vae.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE))
    batch_size = options["batch_size"]
    fit = partial(vae.fit, images, batch_size=batch_size, verbose=0)
    return timed_fit(fit, len(images), batch_size), {"precision": "float32"}


def pipeline(options):
    """The input pipeline alone: a pass over its batches, without a model."""
    from vae_keras import runtime

    runtime.configure()
    from vae_keras.data import image_batches

    images = random_images(options)
    batches = image_batches(images, batch_size=options["batch_size"], shuffle_seed=0)

    return timed(lambda: sum(len(batch) for batch in batches)), {"precision": "uint8"}


def matrix_product(options):
    """The machine's own rate: square matrices, large enough to fill it, small enough for caches."""
    from vae_keras import runtime

    tf = runtime.tf
    matrix = tf.cast(tf.random.normal((MATRIX_SIZE, MATRIX_SIZE)), options["precision"])
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))

    def multiply_often(repetitions=8):
        for _ in range(repetitions):
            product = multiply()
        product[0, 0].numpy()  # waits for a GPU
        return repetitions * 2 * MATRIX_SIZE**3

    return timed(multiply_often), {"precision": options["precision"]}


def torch(options):
    """The same network in PyTorch; see `bench_torch`, which needs `requirements-bench.txt`."""
    from vae_keras import bench_torch

    batch_size, compiled = options["batch_size"], options["compiled"]
    train = bench_torch.training(
        random_images(options), LATENT_DIM, LEARNING_RATE, batch_size, compiled
    )
    return timed(train), {"precision": "bfloat16" if compiled else "float32"}


KINDS = {
    "ours": ours,
    "stock_keras": stock_keras,
    "torch": torch,
    "pipeline": pipeline,
    "matrix_product": matrix_product,
}

if __name__ == "__main__":
    main()
