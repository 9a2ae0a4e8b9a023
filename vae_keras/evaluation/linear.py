"""The linear twin of a VAE: probabilistic PCA of the same latent size, in closed form."""

import numpy as np
from sklearn.decomposition import PCA

from vae_keras.evaluation.codes import probe_accuracy
from vae_keras.evaluation.distances import can_judge, extract, frechet_distance
from vae_keras.evaluation.evaluate import (
    NUM_NLL_IMAGES,
    NUM_SAMPLES,
    NUM_TRAIN_IMAGES,
    random_images,
)
from vae_keras.evaluation.images import image_quality

NO_VARIANCE = 1e-6  # of pixels in [0, 1]: less than rounding to grey levels adds


class ProbabilisticPCA:
    """A VAE with linear networks and a shared learned variance, at its global optimum.

    Pixels are `x = mean + W z + noise`, with standard normal `z` and noise of the same variance in
    all pixels and channels. So `nll` is comparable with that of the likelihood "sigma".

    Args:
        images: training images, uint8, `(num_images, height, width, channels)`.
        latent_dim: number of latent dimensions, small enough to leave variance for the noise.

    Attributes:
        pca: the fitted `sklearn.decomposition.PCA`.

    Raises:
        ValueError: if it is larger.

    Reference:
        Tipping & Bishop, 1999, "Probabilistic Principal Component Analysis", section 3.
    """

    def __init__(self, images, latent_dim):
        self.pca = PCA(latent_dim, svd_solver="covariance_eigh").fit(_pixels(images))
        if self.pca.noise_variance_ < NO_VARIANCE:
            raise ValueError(
                f"`latent_dim` leaves no variance for the noise with images of the shape "
                f"{images.shape}. Received: {latent_dim}"
            )
        self.image_shape = images.shape[1:]
        # Lengths of the columns of W; the components are their directions.
        self._scales = np.sqrt(self.pca.explained_variance_ - self.pca.noise_variance_)

    def encode(self, images):
        """Returns the posterior means of images, `(num_images, latent_dim)`."""
        return self.pca.transform(_pixels(images)) * self._scales / self.pca.explained_variance_

    def decode(self, z):
        """Maps codes to images, without noise and clipped to [0, 1].

        Args:
            z: codes, `(num_codes, latent_dim)`.

        Returns:
            float32, `(num_codes, height, width, channels)`: the mean of the pixels given the code,
            as returned by a VAE's decoder.
        """
        pixels = self.pca.inverse_transform((z * self._scales).astype("float32"))
        return np.clip(pixels, 0, 1, out=pixels).reshape(-1, *self.image_shape)

    def sample(self, num_images):
        """Decodes draws from the prior, without noise; the same in every call.

        Args:
            num_images: number of images.

        Returns:
            `(num_images, height, width, channels)`.
        """
        codes = np.random.default_rng(0).standard_normal((num_images, len(self._scales)))
        return self.decode(codes)

    def nll(self, images):
        """Computes the exact negative log-likelihood of images.

        Args:
            images: uint8, `(num_images, height, width, channels)`.

        Returns:
            Nats/image, mean over images, for the density of pixels in [0, 1].
        """
        return -float(self.pca.score(_pixels(images)))


def linear_measures(train, validation, test, latent_dim, judge):
    """Measures probabilistic PCA as `evaluate` and `evaluate_samples` measure a VAE.

    Args:
        train: the pair `(images, labels)` of the training images, uint8
            `(num_images, height, width, channels)` and integers `(num_images,)` or None. The model
            is fitted to all of them.
        validation: the same for the validation split, the reference for the distances.
        test: the same for the test split.
        latent_dim: number of latent dimensions.
        judge: model from `judge.load_judge`; None skips the distances.

    Returns:
        Dict of `linear_nll` (exact, nats/image, on the first 1,000 test images, as a VAE's `nll`),
        `linear_mse`, `linear_psnr`, `linear_ssim` (of
        reconstructions from the posterior mean), `linear_probe_accuracy` (with labels),
        `linear_fd_samples` and `linear_fd_reconstructions` (with a judge). Empty if the images are
        too few or too small for this latent size.
    """
    try:
        model = ProbabilisticPCA(train[0], latent_dim)
    except ValueError:
        return {}
    codes = model.encode(test[0])
    quality = image_quality(test[0], model.decode(codes))
    measures = {"linear_nll": model.nll(test[0][:NUM_NLL_IMAGES])}
    measures |= {f"linear_{name}": value for name, value in quality.items()}
    images, labels = random_images(train, NUM_TRAIN_IMAGES)
    if labels is not None and len(np.unique(labels)) > 1:
        seen = model.encode(images), labels
        measures["linear_probe_accuracy"] = probe_accuracy(seen, (codes, test[1]))
    if can_judge(judge, validation[0]):
        reference = extract(judge, validation[0])
        for name, images in (
            ("samples", model.sample(NUM_SAMPLES)),
            ("reconstructions", model.decode(model.encode(validation[0]))),
        ):
            measures[f"linear_fd_{name}"] = frechet_distance(extract(judge, images), reference)
    return measures


def _pixels(images):
    pixels = images.reshape(len(images), -1).astype("float32")
    pixels /= 255
    return pixels
