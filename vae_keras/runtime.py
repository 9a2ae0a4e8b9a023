"""The machine and how to use it: devices, threads, precision.

Import this module before TensorFlow: it hides TensorFlow's start-up notices.

`VAE_KERAS_PRECISION` and `VAE_KERAS_THREADS` override the defaults of `configure`.
"""

import contextlib
import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import vae_keras


@contextlib.contextmanager
def _hidden_notices():
    """Captures standard error, including native code's, and prints it only after an exception.

    TensorFlow prints start-up notices before it reads its log level: no setting hides them.
    """
    with tempfile.TemporaryFile() as notices:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except BaseException:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


with _hidden_notices():
    import keras
    import tensorflow as tf
    from keras import layers, ops  # noqa: F401, the model imports them from here, too

    tf.config.list_physical_devices()  # looks for the GPU drivers

PRECISIONS = ("float32", "mixed_bfloat16")
BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}
BFLOAT16_COMPUTE_CAPABILITY = (8, 0)
_bias_add = tf.nn.bias_add


def configure(precision=None):
    """Sets precision, threads and GPU memory for this process; call it before any tensor is made.

    Unless there is exactly one GPU, it also replaces `tf.nn.bias_add`, see `add_bias`.

    Args:
        precision: "float32" or "mixed_bfloat16"; by default `$VAE_KERAS_PRECISION`, otherwise
            `native_precision()`.

    Returns:
        `describe()`.

    Raises:
        ValueError: if the precision is unknown, or `$VAE_KERAS_THREADS` is not a positive integer.
    """
    precision = precision or os.environ.get("VAE_KERAS_PRECISION") or native_precision()
    if precision not in PRECISIONS:
        raise ValueError(
            f"unknown precision {precision!r}. Valid values of `precision` and of "
            f"VAE_KERAS_PRECISION: {', '.join(PRECISIONS)}"
        )
    threads = os.environ.get("VAE_KERAS_THREADS")
    if threads:
        if not threads.isdigit() or int(threads) < 1:
            raise ValueError(
                f"VAE_KERAS_THREADS must be a whole number, at least 1. Received: {threads!r}"
            )
        tf.config.threading.set_intra_op_parallelism_threads(int(threads))
        tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    # Keras's layers call it. On a single GPU, XLA has an accurate gradient of its own.
    tf.nn.bias_add = _bias_add if len(gpus) == 1 else add_bias
    # Products of 10 bits, a GPU's default for float32, are too coarse for densities.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    keras.config.set_dtype_policy(precision)
    if os.environ.get("TF_CONFIG"):
        strategy()
    return describe()


def add_bias(value, bias, data_format=None, name=None):
    """Does what `tf.nn.bias_add` does, with an accurate gradient in bfloat16.

    On a CPU, TensorFlow's own gradient sums in bfloat16, where 256 + 1 is 256: over a batch of
    feature maps, the gradient of a bias is far too small. So do parts of its gradient on GPUs.
    """
    if value.dtype != tf.bfloat16:
        return _bias_add(value, bias, data_format, name)

    @tf.custom_gradient
    def add(value, bias):
        def gradient(upstream):
            channels = 1 if str(data_format).startswith("NC") else upstream.shape.rank - 1
            axes = [axis for axis in range(upstream.shape.rank) if axis != channels]
            return upstream, tf.reduce_sum(upstream, axis=axes)

        return _bias_add(value, bias, data_format, name), gradient

    return add(value, tf.convert_to_tensor(bias, value.dtype))  # Keras passes variables, too


@contextlib.contextmanager
def dtype_policy(name):
    """Sets Keras's global dtype policy, such as "float32", inside a `with` block."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def native_precision():
    """Returns "mixed_bfloat16" where the hardware multiplies bfloat16 natively, else "float32".

    All GPUs must have compute capability 8.0 or above. Without a GPU, the CPU must have AMX or
    AVX512-BF16.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        capabilities = [gpu.get("compute_capability", (0, 0)) for gpu in details]
        native = min(capabilities) >= BFLOAT16_COMPUTE_CAPABILITY
    else:
        native = bool(BFLOAT16_FLAGS & set(_cpu_info().get("flags", "").split()))
    return "mixed_bfloat16" if native else "float32"


@functools.cache
def strategy():
    """Returns the `tf.distribute.Strategy` to build the model under.

    It mirrors the model over several GPUs, or over the hosts in `TF_CONFIG`. The strategy for hosts
    must exist before any tensor: `configure` creates it. The batch size is the total over devices.
    """
    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def describe():
    """Returns a run's record of its machine: device, threads, precision and versions.

    With NVIDIA GPUs it also has `gpu`, their names, memory and driver; or `unused_gpu`, the reason
    why TensorFlow does not use them.
    """
    return {
        "device": _device_name(),
        **_describe_gpus(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count(),
        "precision": keras.config.dtype_policy().name,
        "vae_keras_version": vae_keras.__version__,
        "tensorflow_version": tf.__version__,
        "keras_version": keras.__version__,
        "python_version": platform.python_version(),
    }


def peak_memory():
    """Returns the peak main memory of this process in GB; 0 where the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def _device_name():
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return name if len(gpus) == 1 else f"{len(gpus)} x {name}"
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


def _describe_gpus():
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    if not shutil.which(query[0]):
        return {}
    listing = subprocess.run(query, capture_output=True, text=True)
    listed = "; ".join(listing.stdout.splitlines())
    if tf.config.list_physical_devices("GPU"):
        return {"gpu": listed}
    if listing.returncode:
        reason = f"nvidia-smi says: {' '.join((listing.stdout + listing.stderr).split())}"
    elif os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        reason = "CUDA_VISIBLE_DEVICES hides it"
    elif not tf.test.is_built_with_cuda():
        reason = "this TensorFlow is built without CUDA"
    else:
        reason = "its driver or a CUDA library does not fit: `pip install tensorflow[and-cuda]`; "
        reason += "TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's notices"
    return {"unused_gpu": f"{listed}: {reason}" if listed else reason}


def _cpu_info():
    """Returns the first processor's entries of Linux's /proc/cpuinfo; empty on other systems."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    entries = (line.partition(":") for line in path.read_text().split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in entries}
