"""Fixed networks that provide the features of a perceptual loss."""

from vae_keras.data.download import fetch_weights
from vae_keras.evaluation.judge import load_classifier
from vae_keras.runtime import dtype_policy, keras

# Keras's own weights file.
VGG_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
VGG_MD5 = "6d6bbae143d832006294945121d1f1fc"
VGG_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3")


def load_features(dataset, image_shape):
    """Loads the network that computes the feature maps of a data set's perceptual loss.

    It is the data set's own judge up to its first residual block. Sample distances use the last
    block of the same judge, so they are not independent of this loss. Data sets without a judge use
    VGG16 with ImageNet weights, which are downloaded into Keras's cache.

    Args:
        dataset: name of the data set.
        image_shape: `(height, width, channels)`.

    Returns:
        `keras.Model` from images in [0, 1] to a list of two or three feature maps, float32.

    Raises:
        OSError: if a file cannot be downloaded.
        ValueError: if its checksum is wrong.
    """
    judge = load_classifier(dataset)
    if judge is None:
        return build_vgg(image_shape, fetch_weights(VGG_URL, VGG_MD5))
    images = keras.Input(image_shape)
    grey_levels = keras.layers.Rescaling(255.0, dtype="float32", name="grey_levels")(images)
    copy = keras.models.clone_model(judge, input_tensors=grey_levels)  # takes floats
    copy.set_weights(judge.get_weights())
    maps = [
        next(layer.output for layer in copy.layers if isinstance(layer, kind))
        for kind in (keras.layers.ReLU, keras.layers.Add)
    ]
    return keras.Model(images, maps)


def build_vgg(image_shape, weights):
    """Builds the first three blocks of VGG16 for images of any size and one or three channels.

    Args:
        image_shape: `(height, width, channels)`.
        weights: as for `keras.applications.VGG16`.

    Returns:
        `keras.Model` from images in [0, 1] to a list of three feature maps, float32.

    Reference:
        Simonyan & Zisserman, 2015, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition".
    """
    images = keras.Input(image_shape)
    with dtype_policy("float32"):
        colours = keras.ops.repeat(255.0 * images, 3 // image_shape[-1], axis=-1)
        pixels = keras.applications.vgg16.preprocess_input(colours)
        vgg = keras.applications.VGG16(
            include_top=False, weights=weights, input_shape=(None, None, 3)
        )
        maps = keras.Model(vgg.input, [vgg.get_layer(name).output for name in VGG_LAYERS])
        return keras.Model(images, maps(pixels))
