"""The measures of a saved model, recomputed in NumPy from its file.

The reference deliberately uses neither Keras nor vae_keras: it reads the weights from `model.keras`
and reimplements the network, the likelihoods and the measures in float64. For values that need
draws of z, the reference makes its own, and the two agree within five standard errors.
"""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage, optimize, special, stats

from vae_keras.evaluation import evaluate

SHAPE = (12, 12, 1)
NUM_NLL_IMAGES, NLL_REPEATS, DRAWS = 40, 4, 4
CASES = {"bce": 0, "mse": 3, "sigma": 0, "logistic": 3}  # number of classes


@pytest.fixture(params=CASES)
def run(request, build_vae, tmp_path):
    """Returns the path of a saved model, its training and test images, and its metrics."""
    likelihood = request.param
    rng = np.random.default_rng(1)
    train, test = draw_images(400, rng), draw_images(300, rng)
    settings = dict(likelihood=likelihood, beta=0.02 if likelihood == "mse" else 1.0)
    vae = build_vae("mlp", SHAPE, 3, CASES[likelihood], **settings)
    vae.fit(*train, epochs=20, batch_size=50, verbose=0)
    vae.save(tmp_path / "model.keras")
    metrics = evaluate.evaluate(vae, test, train, NUM_NLL_IMAGES)
    return tmp_path / "model.keras", train, test, metrics


def draw_images(number, rng):
    """Draws blobs at random positions, with one size per class and black, white and grey pixels."""
    labels = rng.integers(0, 3, number)
    centres = rng.uniform(0.2, 0.8, (number, 2)) * SHAPE[:2]
    offsets = np.moveaxis(np.indices(SHAPE[:2]), 0, -1) - centres[:, None, None]
    blobs = 1.6 - np.linalg.norm(offsets, axis=-1) / (1.5 + labels)[:, None, None]
    noise = rng.normal(0, 0.03, (number, *SHAPE))
    return (255 * np.clip(blobs[..., None] + noise, 0, 1)).astype("uint8"), labels


def test_measures_are_those_of_the_reference(run):
    path, train, test, metrics = run
    expected = Reference(path).evaluate(train, test, metrics)
    assert set(metrics) == set(expected)
    apart = {
        name: (metrics[name], value, tolerance)
        for name, (value, tolerance) in expected.items()
        if not abs(metrics[name] - value) <= tolerance
    }
    assert apart == {}


class Reference:
    """The model stored in `model.keras`, and its measures."""

    def __init__(self, path):
        with zipfile.ZipFile(path) as archive:
            self.likelihood = json.loads(archive.read("config.json"))["config"]["likelihood"]
            with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                self.encoder, self.decoder = read(file["encoder"]), read(file["decoder"])
                self.scale = np.exp(float(file["vars/0"][()]))  # used if it is learned

    def encode(self, images, labels):
        hidden = self.with_labels((images / 255).reshape(len(images), -1), labels)
        hidden = dense(hidden, self.encoder["dense"])
        return [dense(np.maximum(hidden, 0), self.encoder[name]) for name in ("dense_1", "dense_2")]

    def logits(self, z, labels):
        hidden = dense(self.with_labels(z, labels), self.decoder["dense"])
        return dense(np.maximum(hidden, 0), self.decoder["dense_1"]).reshape(-1, *SHAPE)

    def with_labels(self, values, labels):
        return np.hstack([values, np.eye(3)[labels]]) if CASES[self.likelihood] else values

    def losses(self, pixels, logits):
        """Returns reconstruction losses of pixels in [0, 1], `(num_images,)`."""
        location = special.expit(logits)
        if self.likelihood == "bce":
            losses = -pixels * special.log_expit(logits) - (1 - pixels) * special.log_expit(-logits)
        elif self.likelihood == "mse":
            losses = (pixels - location) ** 2 / 2
        elif self.likelihood == "sigma":
            losses = -stats.norm.logpdf(pixels, location, self.scale)
        else:  # on the side with the small distribution function, to avoid cancellation
            side = np.where(pixels > location, -1, 1)
            ends = np.where(pixels == 0, -np.inf, pixels - 0.5 / 255)
            ends = ends, np.where(pixels == 1, np.inf, pixels + 0.5 / 255)
            below, above = (special.expit(side * (end - location) / self.scale) for end in ends)
            losses = -np.log(abs(above - below))
        return losses.sum(axis=(1, 2, 3))

    def draw(self, images, labels, targets, number):
        """Returns losses of targets, and log p(z) - log q(z given x), `(number, num_images)`."""
        mean, log_var = self.encode(images, labels)
        z = np.random.default_rng(2).normal(mean, np.exp(log_var / 2), (number, *mean.shape))
        ratios = stats.norm.logpdf(z) - stats.norm.logpdf(z, mean, np.exp(log_var / 2))
        losses = [self.losses(targets, self.logits(codes, labels)) for codes in z]
        return np.stack(losses), ratios.sum(axis=-1)

    def evaluate(self, train, test, metrics):
        """Returns pairs of value and tolerance; sums and differences reuse draws of `metrics`."""
        (images, labels), number = test, metrics["num_test_images"]
        mean, log_var = self.encode(images, labels)
        pixels, decoded = images / 255, special.expit(self.logits(mean, labels))
        errors = ((pixels - decoded) ** 2).mean(axis=(1, 2, 3))
        spectrum = (mean**2 + np.exp(log_var) - log_var - 1).mean(axis=0) / 2
        train_mean, train_log_var = self.encode(*train)
        train_kl = (train_mean**2 + np.exp(train_log_var) - train_log_var - 1).sum(axis=1) / 2
        weights = [*self.encoder.values(), *self.decoder.values()]
        num_scales = self.likelihood in ("sigma", "logistic")
        values = {
            "kl_divergence": spectrum.sum(),
            "elbo": -metrics["reconstruction_loss"] - spectrum.sum(),
            "mse": errors.mean(),
            "psnr": (10 * np.log10(1 / errors)).mean(),
            "ssim": ssim(pixels, decoded),
            "explained_variance": 1 - errors.mean() / ((pixels - pixels.mean(axis=0)) ** 2).mean(),
            "sharpness": laplacian_variance(decoded) / laplacian_variance(pixels),
            "active_units": (mean.var(axis=0) > 0.01).sum(),
            "used_units": (spectrum > 0.5).sum(),
            "participation_ratio": spectrum.sum() ** 2 / (spectrum**2).sum(),
            "num_parameters": sum(a.size for layer in weights for a in layer) + num_scales,
            "num_test_images": 300,
        }
        if self.likelihood == "bce":
            values["excess"] = metrics["reconstruction_loss"] - entropy(images)
            train_excess = -metrics["train_elbo"] - train_kl.mean() - entropy(train[0])
            values["train_excess"] = train_excess
        if self.likelihood == "logistic":
            for name, nats in (("", metrics["nll"]), ("elbo_", -metrics["elbo"])):
                values[f"{name}bits_per_dim"] = nats / np.prod(SHAPE) / np.log(2)
        bound = "binary_nll" if self.likelihood == "bce" else "nll"
        values[f"num_{bound}_images"] = NUM_NLL_IMAGES
        values[f"num_{bound}_samples"] = 500 if self.likelihood == "bce" else 200
        expected = {  # counts are integers
            name: (value, 1e-4 * abs(value) if isinstance(value, float) else 0)
            for name, value in values.items()
        }
        losses, _ = self.draw(*test, pixels, DRAWS)
        expected["reconstruction_loss"] = with_noise(losses)
        losses, _ = self.draw(*train, train[0] / 255, DRAWS)
        loss, noise = with_noise(losses)
        expected["train_elbo"] = -loss - train_kl.mean(), noise
        accuracy = probe_accuracy(train_mean, train[1], mean, labels)
        expected["probe_accuracy"] = accuracy, 2.5 / number  # two may lie on the boundary
        expected[bound] = self.bound(images[:NUM_NLL_IMAGES], labels[:NUM_NLL_IMAGES], values)
        return expected

    def bound(self, images, labels, values):
        targets, samples = images / 255, values.get("num_nll_samples", 500)
        if self.likelihood == "bce":
            targets = np.random.default_rng(0).random(images.shape, "float32") < targets
            targets = targets.astype("float64")
        losses, ratios = self.draw(images, labels, targets, NLL_REPEATS * samples)
        log_weights = (ratios - losses).reshape(NLL_REPEATS, samples, -1)
        return with_noise(np.log(samples) - special.logsumexp(log_weights, axis=1))


def read(network):
    """Reads kernels and biases by layer name."""
    return {
        name: [layer["vars"][key].astype("float64")[()] for key in ("0", "1")]
        for name, layer in network["layers"].items()
        if len(layer["vars"])
    }


def with_noise(values):
    """Returns the mean of `(draws, num_images)`, and five standard errors of one draw around it."""
    draws, number = values.shape
    variance = values.var(axis=0, ddof=1).mean() / number
    return values.mean(), 5 * np.sqrt(variance * (1 + 1 / draws))


def dense(values, weights):
    return values @ weights[0] + weights[1]


def entropy(images):
    pixels = images / 255
    return (special.entr(pixels) + special.entr(1 - pixels)).sum(axis=(1, 2, 3)).mean()


def ssim(images, others, size=11):
    """Computes the SSIM of Wang et al., 2004, with a Gaussian window of 11 pixels."""
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * 1.5**2))
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
    """Fits multinomial logistic regression to standardised codes, with an L2 penalty of 1/2."""
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
