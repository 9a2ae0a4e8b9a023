import keras
import pytest

from vae_keras import build_networks
from vae_keras.bench import contestants
from vae_keras.runtime import tf

OPTIONS = {"image_shape": (8, 8, 3), "batch_size": 4, "num_images": 10, "gpu": False}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("VAE_KERAS_PRECISION", "float32")
    monkeypatch.delenv("VAE_KERAS_THREADS", raising=False)  # too late to set in this process


@pytest.mark.parametrize("kind", ["ours", "stock_keras"])
def test_keras_trains_on_every_batch(kind):
    contestant = contestants.KINDS[kind](OPTIONS)
    ends = []
    contestant["train"](lambda: ends.append(True))
    assert len(ends) == 3  # batches of 4, 4 and 2 images
    assert contestant["work"] == 6  # images after the end of the first batch
    assert contestant["precision"] == "float32"


def test_ours_reports_its_machine_and_its_operations():
    described = contestants.start({"kind": "ours", **OPTIONS})
    assert contestants.measure() > 0
    assert described["gpu"] is bool(tf.config.list_physical_devices("GPU"))
    assert described["device"] and described["threads"] >= 1
    networks = build_networks("residual", (8, 8, 3), contestants.LATENT_DIM)
    weights = sum(network.count_params() for network in networks)
    assert described["operations"] > 2 * weights  # each weight is in one product or more


def test_pytorch_trains_the_same_network():
    pytest.importorskip("torch")
    contestant = contestants.pytorch({"compiled": False, **OPTIONS})
    ends = []
    contestant["train"](lambda: ends.append(True))
    assert len(ends) == 3 and contestant["work"] == 6 and contestant["precision"] == "float32"
    networks = build_networks("residual", (8, 8, 3), contestants.LATENT_DIM)
    weights = sum(weight.numel() for weight in contestants.torch_vae((8, 8, 3)).parameters())
    assert weights == sum(network.count_params() for network in networks)


def test_the_loss_in_pytorch_is_that_of_ours(build_vae):
    torch = pytest.importorskip("torch")
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    theirs = contestants.torch_vae((8, 8, 1))
    for weight in theirs.parameters():  # makes the posterior equal to the prior, and logits 0
        torch.nn.init.zeros_(weight)
    ours = build_vae("residual", latent_dim=contestants.LATENT_DIM)
    for weight in ours.trainable_weights:
        weight.assign(keras.ops.zeros_like(weight))
    expected = ours.evaluate(images.permute(0, 2, 3, 1).numpy(), verbose=0, return_dict=True)
    assert theirs(images).mean().item() == pytest.approx(expected["loss"], rel=1e-5)


@pytest.mark.parametrize("kind", ["ours", "stock_keras", "pytorch"])
def test_a_contestant_learns_and_is_evaluated_on_validation_images(kind):
    if kind == "pytorch":
        pytest.importorskip("torch")
    options = {"kind": kind, "compiled": False, "gpu": False, "batch_size": 32, "seed": 1}
    curve = contestants.learn({**options, "dataset": "digits", "epochs": 3}, limit=60)
    seconds, elbos = zip(*curve, strict=True)
    assert len(curve) == 3 and 0 < seconds[0] < seconds[1] < seconds[2]
    assert -64 * 0.7 < elbos[0] < elbos[2] < -10  # logits of 0 cost 0.69 nats per pixel
    assert len(contestants.learn({**options, "dataset": "digits"}, limit=0)) == 1


def test_operations_of_each_kind_are_counted():
    kernel = tf.random.normal((3, 3, 2, 5))
    layer = keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same", use_bias=False)
    layer.build((4, 8, 8, 2))

    def count(function, *shapes):
        specs = [tf.TensorSpec(shape) for shape in shapes]
        graph = tf.function(function).get_concrete_function(*specs).graph
        return contestants.count_operations(graph)

    def convolve(images):
        return tf.nn.conv2d(images, kernel, 2, "SAME")

    def gradients(images):
        return tf.gradients(convolve(images), [images, kernel])

    assert count(lambda a, b: tf.matmul(a, b, transpose_a=True), (7, 4), (7, 6)) == 2 * 4 * 7 * 6
    forward = 2 * 4 * (4 * 4) * (3 * 3 * 2 * 5)
    assert count(convolve, (4, 8, 8, 2)) == forward
    # Each of the two gradients, of the image and of the kernel, costs as much.
    assert count(gradients, (4, 8, 8, 2)) == 3 * forward
    assert count(layer, (4, 8, 8, 2)) == 2 * 4 * (8 * 8) * (3 * 3 * 2 * 5)
