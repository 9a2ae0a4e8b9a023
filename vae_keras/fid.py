"""The Fréchet Inception Distance of a VAE's samples, where Inception's weights can be had.

`VAE_KERAS_FID` overrides when it is computed: `1` without a GPU, too, `0` never.
"""

import hashlib
import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vae_keras import sources
from vae_keras.data import quiet_download
from vae_keras.evaluation import decode
from vae_keras.features import frechet_distance

# Keras's own file, under the name it has in Keras's cache.
WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
WEIGHTS_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
NUM_FEATURES = 2048
NUM_IMAGES = 10_000
SIDE = 299  # pixels, of the images that the network takes
BATCH_SIZE = 50
PROBE_SECONDS = 5.0


def evaluate_fid(vae, test):
    """Computes the FID of samples of the prior against test images.

    The protocol is that of the VAE literature: 10,000 samples against the first 10,000 images of
    the test split. It is computed where there is a GPU, and on a CPU only if `VAE_KERAS_FID=1` asks
    for it: there InceptionV3 takes more than half an hour for the 20,000 images, on one core.
    Nothing is drawn from the model's own noise, so that no other measure changes.

    Args:
        vae: a `VAE`.
        test: pair `(images, labels)` of the test split, uint8 `(num_images, height, width,
            channels)` and integers `(num_images,)`; a conditional model is given these labels, in
            turn.

    Returns:
        Dict of `fid`, a float, and `num_fid_images` and `num_fid_samples`, the number of test
        images and of samples. Empty where it is not asked for; and after a line on the standard
        error where there are not more test images than features, 2,048, or no weights to be had.

    Reference:
        Heusel et al., 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", section 4 and appendix A1. The number of images and the test split as the
        reference: Dai & Wipf, 2019, "Diagnosing and Enhancing VAE Models".
    """
    images, labels = (array[:NUM_IMAGES] for array in test)
    if not _is_wanted():
        return {}
    if len(images) <= NUM_FEATURES:
        _say(f"it takes more than {NUM_FEATURES:,} test images, and there are {len(images):,}")
        return {}
    inception = load_inception()
    if inception is None:
        return {}
    codes = np.random.default_rng(0).standard_normal((NUM_IMAGES, vae.latent_dim), "float32")
    samples = decode(vae, codes, np.resize(labels, NUM_IMAGES))
    distance = fid(inception, samples, images)
    return {"fid": distance, "num_fid_images": len(images), "num_fid_samples": NUM_IMAGES}


def load_inception():
    """Loads Keras's InceptionV3 with its ImageNet weights, from Keras's cache or the network.

    These are not the weights of the network of 2015 that the original implementation of FID uses:
    values differ somewhat from those, and are to be compared with those of this extractor only.
    Jobs that run side by side download the weights once.

    Returns:
        `keras.Model` from images `(num_images, 299, 299, 3)` in [-1, 1] to the pooled features,
        `(num_images, 2048)`, all in float32. `None`, after a line on the standard error, where the
        weights cannot be had: within seconds if the host does not answer.
    """
    try:
        weights = _fetch_weights()
    except Exception as error:  # Keras raises bare ones
        _say(f"no weights of InceptionV3: {' '.join(str(error).split()) or type(error).__name__}")
        return None
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return keras.applications.InceptionV3(include_top=False, weights=weights, pooling="avg")
    finally:
        keras.config.set_dtype_policy(policy)


def fid(inception, images, other):
    """Computes the Fréchet distance of two sets of images between their Inception features.

    Images are rounded to 256 levels, grey ones repeated in three channels, enlarged to 299x299
    pixels (bilinear, without antialiasing) and scaled to [-1, 1].

    Args:
        inception: of `load_inception`.
        images: uint8, or floats in [0, 1], `(num_images, height, width, channels)`, one channel or
            three.
        other: the same, `(num_other_images, height, width, channels)`.

    Returns:
        The distance, a float, at least 0.

    Raises:
        ValueError: if a set has fewer images than features, see `features.frechet_distance`.
    """
    channels = images.shape[-1]

    @tf.function(input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8)])
    def extract(batch):
        batch = tf.repeat(batch, 3 // channels, axis=-1)
        batch = tf.image.resize(batch, (SIDE, SIDE), method="bilinear")
        return inception(batch / 127.5 - 1, training=False)

    features = []
    for part in (images, other):
        if part.dtype != np.uint8:
            part = np.round(255 * part).astype("uint8")
        batches = (part[start : start + BATCH_SIZE] for start in range(0, len(part), BATCH_SIZE))
        features.append(np.concatenate([extract(tf.constant(batch)) for batch in batches]))
    return frechet_distance(*features)


def _is_wanted():
    wish = os.environ.get("VAE_KERAS_FID", "")
    if wish not in ("", "0", "1"):  # no error, for the model is trained by now
        _say(f"VAE_KERAS_FID must be 0 or 1, or not set. Received: {wish!r}")
    return wish == "1" or wish == "" and bool(tf.config.list_physical_devices("GPU"))


def _fetch_weights():
    """Returns the path of the weights; one job downloads them, the others wait for it."""
    file = WEIGHTS_URL.rpartition("/")[2]
    root = Path(sources.keras_cache()).parent
    path = root / "models" / file
    if path.exists() and hashlib.md5(path.read_bytes()).hexdigest() == WEIGHTS_MD5:
        return str(path)
    unreachable = sources.unreachable_hosts([WEIGHTS_URL], PROBE_SECONDS)
    if unreachable:
        raise OSError(unreachable[0])
    import fcntl  # not on Windows, where the rest of the package can be imported

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{file}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with quiet_download():  # or finds what another job has downloaded by now
            return keras.utils.get_file(
                file, WEIGHTS_URL, cache_dir=root, cache_subdir="models", file_hash=WEIGHTS_MD5
            )


def _say(trouble):
    print(f"FID is not computed: {trouble}", file=sys.stderr, flush=True)
