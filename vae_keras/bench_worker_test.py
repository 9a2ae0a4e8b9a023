import keras
import pytest

from vae_keras import bench_worker
from vae_keras.runtime import tf

OPTIONS = {"image_shape": (8, 8, 3), "batch_size": 4, "num_images": 10}


@pytest.fixture(autouse=True)
def policy(monkeypatch):
    monkeypatch.setenv("VAE_KERAS_PRECISION", "float32")
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def test_the_pipeline_passes_over_all_images():
    measure, description = bench_worker.pipeline(OPTIONS)
    images, seconds = measure()
    assert images == 10 and seconds > 0 and description["precision"] == "uint8"


@pytest.mark.parametrize("kind", ["ours", "stock_keras"])
def test_training_is_timed_between_the_ends_of_batches(kind, monkeypatch):
    measure, description = bench_worker.KINDS[kind](OPTIONS)
    seconds = iter([3.0, 4.0, 6.0])  # at the end of each of the three batches
    monkeypatch.setattr(bench_worker.time, "perf_counter", lambda: next(seconds))
    assert measure() == (6, 3.0) and description["precision"] == "float32"


def test_the_matrix_product_counts_its_operations(monkeypatch):
    monkeypatch.setattr(bench_worker, "MATRIX_SIZE", 16)
    measure, _ = bench_worker.matrix_product({"precision": "bfloat16"})
    assert measure(repetitions=3)[0] == 3 * 2 * 16**3


def test_operations_of_each_kind_are_counted():
    kernel = tf.random.normal((3, 3, 2, 5))
    layer = keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same", use_bias=False)
    layer.build((4, 8, 8, 2))

    def count(function, *shapes):
        specs = [tf.TensorSpec(shape) for shape in shapes]
        graph = tf.function(function).get_concrete_function(*specs).graph
        return bench_worker.count_operations(graph)

    assert count(lambda a, b: tf.matmul(a, b, transpose_a=True), (7, 4), (7, 6)) == 2 * 4 * 7 * 6
    convolve = lambda images: tf.nn.conv2d(images, kernel, 2, "SAME")  # noqa: E731
    forward = 2 * 4 * (4 * 4) * (3 * 3 * 2 * 5)
    assert count(convolve, (4, 8, 8, 2)) == forward
    # The gradients with respect to the image and to the kernel cost as much each.
    gradients = lambda images: tf.gradients(convolve(images), [images, kernel])  # noqa: E731
    assert count(gradients, (4, 8, 8, 2)) == 3 * forward
    assert count(layer, (4, 8, 8, 2)) == 2 * 4 * (8 * 8) * (3 * 3 * 2 * 5)
