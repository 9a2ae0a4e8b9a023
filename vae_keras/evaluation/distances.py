"""Fréchet distances between sets of images, in features of a judge or of Inception (FID)."""

import os
import sys

import numpy as np

from vae_keras.data.download import fetch_weights
from vae_keras.evaluation.batched import decode, over_batches
from vae_keras.evaluation.codes import draw_codes
from vae_keras.runtime import dtype_policy, keras, tf

BATCH_SIZE = 250
# Keras's own weights file.
INCEPTION_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
INCEPTION_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
INCEPTION_SIDE = 299  # pixels
NUM_INCEPTION_FEATURES = 2048
INCEPTION_BATCH_SIZE = 50
NUM_FID_IMAGES = 10_000


def frechet_distance(features, other):
    """Computes the Fréchet distance between Gaussians fitted to two sets of features.

    Args:
        features: `(num_images, num_features)`.
        other: `(num_other_images, num_features)`.

    Returns:
        The squared distance, a float, at least 0.

    Raises:
        ValueError: if a set does not have more images than features, so its covariance is
            singular.

    Reference:
        Dowson & Landau, 1982, "The Fréchet Distance between Multivariate Normal Distributions".
    """
    means, roots, variances = [], [], 0.0
    for name, values in (("features", features), ("other", other)):
        if len(values) <= values.shape[1]:
            raise ValueError(
                f"`{name}` must hold more images than features, {values.shape[1]}. "
                f"Received: {len(values)}. Pass more images."
            )
        values = np.asarray(values, "float64")
        eigenvalues, eigenvectors = np.linalg.eigh(np.cov(values, rowvar=False))
        means.append(values.mean(axis=0))
        roots.append(eigenvectors * np.sqrt(np.maximum(eigenvalues, 0)))
        variances += eigenvalues.sum()
    # For covariances A A' and B B', the eigenvalues of the product are the squared singular values
    # of A' B, so the trace of its square root is the sum of these singular values.
    root_trace = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    distance = np.square(means[0] - means[1]).sum() + variances - 2 * root_trace
    return float(max(distance, 0.0))


def can_judge(judge, images):
    """Returns whether there is a judge, and more images than it has features.

    Args:
        judge: model from `judge.load_judge`, or None.
        images: `(num_images, height, width, channels)`.
    """
    return judge is not None and len(images) > judge.output_shape[-1]


def extract(judge, images):
    """Computes a judge's features of images.

    Args:
        judge: `keras.Model` from uint8 images to features, see `judge.load_judge`.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`.

    Returns:
        `(num_images, num_features)`, float32.
    """
    return judge.predict(_as_uint8(images), batch_size=BATCH_SIZE, verbose=0)


def evaluate_fid(vae, test, source=None):
    """Computes the FID of samples against test images.

    The protocol is that of the VAE literature: 10,000 samples against the first 10,000 test images.
    InceptionV3 takes more than half an hour on one core, so FID is computed only on a GPU
    or with `VAE_KERAS_FID=1` in the environment; `VAE_KERAS_FID=0` turns it off. The weights are
    those of Keras, not of the original FID: compare values only with others of this function.

    Args:
        vae: a `VAE`.
        test: pair `(images, labels)` of the test split, uint8 `(num_images, height, width,
            channels)` and integers `(num_images,)` or None. A conditional model draws its samples
            for these labels, repeated as needed.
        source: where to draw codes from instead of the prior, such as a `fitted.SecondStage`.

    Returns:
        Dict of `fid`, `num_fid_images` and `num_fid_samples`. Empty if FID is off, or if the
        weights are not available or the test images too few, which prints a line to stderr.

    Reference:
        Heusel et al., 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", section 4. For the protocol: Dai & Wipf, 2019, "Diagnosing and Enhancing VAE
        Models".
    """
    wanted = os.environ.get("VAE_KERAS_FID") or str(len(tf.config.list_physical_devices("GPU")))
    if wanted == "0":
        return {}
    images, labels = (None if array is None else array[:NUM_FID_IMAGES] for array in test)
    try:
        if len(images) <= NUM_INCEPTION_FEATURES:
            raise ValueError(
                f"it needs more than {NUM_INCEPTION_FEATURES:,} test images. "
                f"Received: {len(images)}"
            )
        inception = load_inception()
    except (OSError, ValueError) as error:
        print(f"FID is not computed: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return {}
    codes = draw_codes(source or vae.prior, NUM_FID_IMAGES)
    given = np.resize(labels, NUM_FID_IMAGES) if vae.num_classes else None
    samples = decode(vae, codes, given)
    distance = frechet_distance(*(_inception_features(inception, x) for x in (samples, images)))
    return {"fid": distance, "num_fid_images": len(images), "num_fid_samples": NUM_FID_IMAGES}


def load_inception():
    """Loads Keras's InceptionV3 with ImageNet weights, from Keras's cache or the network.

    Returns:
        `keras.Model` from images `(batch_size, 299, 299, 3)` in [-1, 1] to the pooled features,
        `(batch_size, 2048)`, in float32.

    Raises:
        OSError: if the weights are not available.
    """
    weights = fetch_weights(INCEPTION_URL, INCEPTION_MD5)
    with dtype_policy("float32"):
        return keras.applications.InceptionV3(include_top=False, weights=weights, pooling="avg")


def _inception_features(inception, images):
    """Repeats a grey channel three times and enlarges images bilinearly, without antialiasing."""

    def features(batch):
        batch = tf.repeat(batch, 3 // images.shape[-1], axis=-1)
        batch = tf.image.resize(batch, (INCEPTION_SIDE, INCEPTION_SIDE), method="bilinear")
        return inception(batch / 127.5 - 1, training=False)

    return over_batches(features, _as_uint8(images), batch_size=INCEPTION_BATCH_SIZE)


def _as_uint8(images):
    if images.dtype == np.uint8:
        return images
    return np.rint(255 * images).astype("uint8")
