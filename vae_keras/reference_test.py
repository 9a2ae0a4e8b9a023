"""An evaluation of saved models written a second time, in NumPy: it must give `metrics.json`.

It is independent of the first on purpose: what stands below the test uses neither Keras nor
TensorFlow nor vae_keras. It takes the weights out of the archive `model.keras`, and the networks,
the likelihoods and the measures are written out again, in float64. Where a value needs draws of z,
the reference makes its own, and both must agree within five standard errors; all other values
must agree to four digits, and counts exactly.
"""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage, optimize, special, stats

from vae_keras import evaluation, runs
from vae_keras.parameters_test import VALID
from vae_keras.runtime import tf
from vae_keras.vae import VAE

NUM_TRAIN, NUM_TEST, NUM_GAP, NUM_CODES = 400, 300, 200, 350  # images
NLL_IMAGES, NLL_SAMPLES, NLL_REPEATS = 40, 10, 5
DRAWS = 3  # of z for each image, by the reference
TRAINING = dict(epochs=10, batch_size=50)
CASES = {  # the last number narrows the posteriors, so that five standard errors are little
    "bce": ("residual", (8, 8, 1), 0, dict(latent_dim=4, beta=1.0), 0.0),
    "mse": ("plain", (12, 8, 3), 3, dict(latent_dim=2, beta=0.02), 0.0),
    "sigma": ("mlp", (12, 12, 1), 0, dict(latent_dim=3, beta=1.0), 4.0),
    "logistic": ("plain", (8, 8, 3), 0, dict(latent_dim=2, beta=1.0), 4.0),
}


@pytest.fixture(scope="module", params=CASES)
def run(request, tmp_path_factory):
    """A run's folder, left as notebook 02 leaves it, its test images and its training images."""
    likelihood = request.param
    architecture, shape, num_classes, settings, shift = CASES[likelihood]
    tf.config.experimental.enable_tensor_float_32_execution(False)  # three digits, on GPUs
    rng = np.random.default_rng(1)
    train, test = (draw_images(shape, number, rng) for number in (NUM_TRAIN, NUM_TEST))
    keras.utils.set_random_seed(1)
    settings = dict(architecture=architecture, likelihood=likelihood, **settings)
    vae = VAE(shape, num_classes=num_classes, **settings)
    vae.compile(optimizer=keras.optimizers.Adam(2e-3))
    vae.fit(*train, **TRAINING, verbose=0)
    vae.encoder.get_layer("z_log_var").bias.assign_sub([shift] * vae.latent_dim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_KERAS_MODELS", str(tmp_path_factory.mktemp("models")))
        patch.setattr(evaluation, "NUM_TRAIN_IMAGES", NUM_GAP)
        patch.setattr(evaluation, "NUM_CODES", NUM_CODES)
        patch.setattr(evaluation, "NUM_NLL_IMAGES", NLL_IMAGES)
        patch.setattr(evaluation, "NUM_NLL_SAMPLES", NLL_SAMPLES)
        folder = runs.start_run(**{**VALID, **TRAINING, **settings})
        vae.save(folder / "model.keras")
        runs.finish_run(folder, evaluation.evaluate(vae, test, train))
    return folder, test, train


def draw_images(shape, number, rng):
    """Blobs in three sizes, the classes, at random places: black and white pixels and grey ones."""
    labels = rng.integers(0, 3, number)
    centres = rng.uniform(0.2, 0.8, (number, 2)) * shape[:2]
    offsets = np.moveaxis(np.indices(shape[:2]), 0, -1) - centres[:, None, None]
    blobs = 1.6 - np.linalg.norm(offsets, axis=-1) / (1.5 + labels)[:, None, None]
    colours = rng.uniform(0.5, 1.0, (number, 1, 1, shape[2]))
    noise = rng.normal(0, 0.03, (number, *shape))
    return (255 * np.clip(blobs[..., None] * colours + noise, 0, 1)).astype("uint8"), labels


def test_metrics_are_those_of_the_reference(run):
    folder, test, train = run
    metrics = json.loads((folder / "metrics.json").read_text())
    expected = Reference(folder / "model.keras").evaluate(test, train, metrics)
    assert set(metrics) == set(expected)
    apart = {
        name: (metrics[name], value, tolerance)
        for name, (value, tolerance) in expected.items()
        if not abs(metrics[name] - value) <= tolerance
    }
    assert apart == {}


class Reference:
    """A model as `model.keras` holds it, and its measures."""

    def __init__(self, path):
        with zipfile.ZipFile(path) as archive:
            self.config = json.loads(archive.read("config.json"))["config"]
            with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                self.encoder, self.decoder = (read(file[part]) for part in ("encoder", "decoder"))
                self.scale = np.exp(float(file["vars/0"][()]))  # where one is learned
        self.architecture, self.likelihood = self.config["architecture"], self.config["likelihood"]

    def encode(self, images, labels):
        hidden, weights = images / 255, self.encoder
        if self.architecture != "mlp":
            for layer, stride in (("conv2d", 2), ("conv2d_1", 2), ("conv2d_2", 1)):
                hidden = relu(convolve(hidden, *weights[layer], stride))
        hidden = self.with_labels(hidden.reshape(len(hidden), -1), labels)
        hidden = relu(dense(hidden, *weights["dense"]))
        return dense(hidden, *weights["dense_1"]), dense(hidden, *weights["dense_2"])

    def decode(self, z, labels):
        """Logits of images."""
        height, width, channels = self.config["image_shape"]
        weights = self.decoder
        hidden = relu(dense(self.with_labels(z, labels), *weights["dense"]))
        if self.architecture == "mlp":
            return dense(hidden, *weights["dense_1"]).reshape(-1, height, width, channels)
        hidden = hidden.reshape(-1, height // 4, width // 4, 128)
        for number in ("", "_1"):
            hidden = relu(convolve_transposed(hidden, *weights[f"conv2d_transpose{number}"]))
            if self.architecture == "residual":
                block = f"residual_block{number}"
                inner = relu(convolve(hidden, *weights[f"{block}/conv_1"]))
                hidden = relu(hidden + convolve(inner, *weights[f"{block}/conv_2"]))
        return convolve(hidden, *weights["conv2d"])

    def with_labels(self, hidden, labels):
        if not self.config["num_classes"]:
            return hidden
        return np.hstack([hidden, np.eye(self.config["num_classes"])[labels]])

    def losses(self, images, logits):
        """Reconstruction losses, `(num_images,)`."""
        pixels, location = images / 255, special.expit(logits)
        if self.likelihood == "bce":
            losses = -pixels * special.log_expit(logits) - (1 - pixels) * special.log_expit(-logits)
        elif self.likelihood == "mse":
            losses = (pixels - location) ** 2 / 2
        elif self.likelihood == "sigma":
            losses = -stats.norm.logpdf(pixels, location, self.scale)
        else:  # on the side where the distribution function is small, without cancellation
            side = np.where(pixels > location, -1, 1)
            ends = [np.where(images == 0, -np.inf, (images - 0.5) / 255)]
            ends.append(np.where(images == 255, np.inf, (images + 0.5) / 255))
            below, above = (special.expit(side * (end - location) / self.scale) for end in ends)
            losses = -np.log(abs(above - below))
        return losses.sum(axis=(1, 2, 3))

    def draw_losses(self, images, labels, rng, number=DRAWS):
        """Codes drawn from the posteriors, and their losses, `(number, num_images)`."""
        mean, log_var = self.encode(images, labels)
        z = rng.normal(mean, np.exp(log_var / 2), (number, *mean.shape))
        return z, np.stack([self.losses(images, self.decode(codes, labels)) for codes in z])

    def evaluate(self, test, train, metrics):
        """Pairs of a value and its tolerance. Sums and differences take their draws from `metrics`."""
        (images, labels), rng = test, np.random.default_rng(2)
        mean, log_var = self.encode(images, labels)
        pixels, decoded = images / 255, special.expit(self.decode(mean, labels))
        errors = ((pixels - decoded) ** 2).mean(axis=(1, 2, 3))
        rate = kl_divergence(mean, log_var).mean()
        gap, seen = ([array[:number] for array in train] for number in (NUM_GAP, NUM_CODES))
        gap_loss, gap_noise = with_noise(self.draw_losses(*gap, rng)[1])
        accuracy = probe_accuracy(self.encode(*seen)[0], seen[1], mean, labels)
        weights = [*self.encoder.values(), *self.decoder.values()]
        values = {
            "kl_divergence": rate,
            "elbo": -metrics["reconstruction_loss"] - rate,
            "mse": errors.mean(),
            "psnr": (10 * np.log10(1 / errors)).mean(),
            "ssim": ssim(pixels, decoded),
            "explained_variance": 1 - errors.mean() / ((pixels - pixels.mean(axis=0)) ** 2).mean(),
            "sharpness": laplacian_variance(decoded) / laplacian_variance(pixels),
            "active_units": (mean.var(axis=0) > 0.01).sum(),
            "num_parameters": sum(array.size for layer in weights for array in layer),
            "num_test_images": NUM_TEST,
        }
        if self.likelihood == "bce":
            floor = (special.entr(pixels) + special.entr(1 - pixels)).sum(axis=(1, 2, 3)).mean()
            values["excess"] = metrics["reconstruction_loss"] - floor
        else:
            values |= {"num_nll_images": NLL_IMAGES, "num_nll_samples": NLL_SAMPLES}
        if self.likelihood in ("sigma", "logistic"):
            values["num_parameters"] += 1  # the scale
        if self.likelihood == "logistic":
            values["bits_per_dim"] = -metrics["elbo"] / images[0].size / np.log(2)
        expected = {  # counts are integers
            name: (value, 1e-4 * abs(value) if isinstance(value, float) else 0)
            for name, value in values.items()
        }
        expected["reconstruction_loss"] = with_noise(self.draw_losses(images, labels, rng)[1])
        expected["train_elbo"] = -gap_loss - kl_divergence(*self.encode(*gap)).mean(), gap_noise
        expected["probe_accuracy"] = accuracy, 2.5 / NUM_TEST  # two may lie on the boundary
        if self.likelihood != "bce":
            expected["nll"] = self.nll(images[:NLL_IMAGES], labels[:NLL_IMAGES], rng)
        return expected

    def nll(self, images, labels, rng):
        mean, log_var = self.encode(images, labels)
        z, losses = self.draw_losses(images, labels, rng, NLL_REPEATS * NLL_SAMPLES)
        log_ratio = stats.norm.logpdf(z) - stats.norm.logpdf(z, mean, np.exp(log_var / 2))
        log_weights = (log_ratio.sum(axis=-1) - losses).reshape(NLL_REPEATS, NLL_SAMPLES, -1)
        return with_noise(np.log(NLL_SAMPLES) - special.logsumexp(log_weights, axis=1))


def read(network):
    """Kernels and biases under the names of their layers."""
    layers = {}

    def visit(name, item):
        if name.endswith("/vars") and len(item):
            name = name.removeprefix("layers/").removesuffix("/vars")
            layers[name] = [item[key].astype("float64")[()] for key in ("0", "1")]

    network.visititems(visit)
    return layers


def with_noise(values):
    """Mean of `(draws, num_images)`, and five standard errors of its distance to a single draw."""
    draws, number = values.shape
    variance = values.var(axis=0, ddof=1).mean() / number
    return values.mean(), 5 * np.sqrt(variance * (1 + 1 / draws))


def kl_divergence(mean, log_var):
    return (mean**2 + np.exp(log_var) - log_var - 1).sum(axis=-1) / 2


def relu(values):
    return np.maximum(values, 0)


def dense(values, kernel, bias):
    return values @ kernel + bias


def convolve(images, kernel, bias, stride=1):
    """The convolution with the padding "same": an odd pixel is added below and on the right."""
    padding = []
    for size, length in zip(images.shape[1:3], kernel.shape[:2]):
        total = max((-(-size // stride) - 1) * stride + length - size, 0)
        padding.append((total // 2, total - total // 2))
    images = np.pad(images, ((0, 0), *padding, (0, 0)))
    windows = sliding_window_view(images, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwcij,ijcd->nhwd", windows, kernel, optimize=True) + bias


def convolve_transposed(images, kernel, bias):
    """The gradient of a convolution of stride 2: each pixel adds its kernel to the output."""
    number, height, width, _ = images.shape
    output = np.zeros((number, 2 * height + 1, 2 * width + 1, kernel.shape[2]))
    for row, column in np.ndindex(kernel.shape[:2]):
        part = images @ kernel[row, column].T
        output[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += part
    return output[:, :-1, :-1] + bias


def ssim(images, others):
    """Wang et al., 2004, with a Gaussian window of 11 pixels or the largest odd one that fits."""
    reach = min(5, (min(images.shape[1:3]) - 1) // 2)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    x, y = (sliding_window_view(part, window.shape, axis=(1, 2)) for part in (images, others))
    mean_x, mean_y, xx, yy, xy = ((v * window).sum((-2, -1)) for v in (x, y, x * x, y * y, x * y))
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    contrast = 2 * (xy - mean_x * mean_y) + 0.03**2
    contrast = contrast / (xx - mean_x**2 + yy - mean_y**2 + 0.03**2)
    return (luminance * contrast).mean()


def laplacian_variance(images):
    stencil = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, :, :, None]
    return ndimage.convolve(images, stencil)[:, 1:-1, 1:-1].var(axis=(1, 2)).mean()


def probe_accuracy(codes, labels, test_codes, test_labels):
    """Multinomial logistic regression of standardised codes, half their squared weights added."""
    centre, spread = codes.mean(axis=0), codes.std(axis=0)
    inputs, tests = ((part - centre) / spread for part in (codes, test_codes))

    def logits(theta, inputs):
        theta = theta.reshape(inputs.shape[1] + 1, 3)
        return inputs @ theta[:-1] + theta[-1]

    def loss(theta):
        log_probabilities = special.log_softmax(logits(theta, inputs), axis=1)
        penalty = (theta[:-3] ** 2).sum() / 2
        return penalty - log_probabilities[np.arange(len(labels)), labels].sum()

    theta = optimize.minimize(loss, np.zeros(3 * codes.shape[1] + 3)).x
    return (logits(theta, tests).argmax(axis=1) == test_labels).mean()
