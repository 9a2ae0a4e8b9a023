import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import vae_keras
from vae_keras import runtime
from vae_keras.runtime import tf


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("VAE_KERAS_PRECISION", raising=False)
    monkeypatch.delenv("VAE_KERAS_THREADS", raising=False)
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def pretend_gpus(monkeypatch, *capabilities):
    """Makes TensorFlow report GPUs of the given compute capabilities."""
    gpus = [
        tf.config.PhysicalDevice(f"/physical_device:GPU:{number}", "GPU")
        for number in range(len(capabilities))
    ]
    details = {
        gpu: {"compute_capability": capability, "device_name": "Test GPU"}
        for gpu, capability in zip(gpus, capabilities, strict=True)
    }
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)


@pytest.mark.parametrize(
    "flags, precision",
    [
        ("fpu sse amx_bf16 amx_tile", "mixed_bfloat16"),
        ("fpu avx512f avx512_bf16", "mixed_bfloat16"),
        ("fpu avx512f avx512_vnni", "float32"),
    ],
)
def test_cpus_with_bfloat16_units_use_them(flags, precision, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(runtime, "_cpu_info", lambda: {"flags": flags})
    assert runtime.native_precision() == precision


@pytest.mark.parametrize(
    "capabilities, precision",
    [
        ([(8, 0)], "mixed_bfloat16"),
        ([(9, 0), (8, 6)], "mixed_bfloat16"),
        ([(7, 5)], "float32"),
        ([(9, 0), (7, 0)], "float32"),
    ],
)
def test_gpus_decide_whatever_the_cpu_can(capabilities, precision, monkeypatch):
    pretend_gpus(monkeypatch, *capabilities)
    monkeypatch.setattr(runtime, "_cpu_info", lambda: {"flags": "amx_bf16"})
    assert runtime.native_precision() == precision


def test_machines_without_cpuinfo_use_float32(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(runtime, "_cpu_info", dict)
    assert runtime.native_precision() == "float32"
    assert runtime.describe()["device"]


def test_gpus_are_named_and_grow_their_memory(monkeypatch):
    pretend_gpus(monkeypatch, (8, 0), (8, 0))
    grown = []
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, grow: grown.append((gpu, grow))
    )
    assert runtime.configure()["device"] == "2 x Test GPU"
    assert [grow for _, grow in grown] == [True, True]
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_precision_is_set_recorded_and_can_be_overridden(monkeypatch):
    monkeypatch.setenv("VAE_KERAS_PRECISION", "mixed_bfloat16")
    assert runtime.configure()["precision"] == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert runtime.configure(precision="float32")["precision"] == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_versions_are_recorded():
    description = runtime.describe()
    assert description["tensorflow_version"] == tf.__version__
    assert description["vae_keras_version"] == vae_keras.__version__
    assert all(isinstance(value, str | int) for value in description.values())


def test_threads_reach_tensorflow():
    code = (
        "from vae_keras import runtime; print(runtime.configure()['threads'],"
        "runtime.tf.config.threading.get_intra_op_parallelism_threads())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"VAE_KERAS_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["1", "1"]


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_bad_threads(threads, monkeypatch):
    monkeypatch.setenv("VAE_KERAS_THREADS", threads)
    with pytest.raises(ValueError, match="VAE_KERAS_THREADS must be a whole number, at least 1"):
        runtime.configure()


def test_bad_precision():
    with pytest.raises(ValueError, match="unknown precision 'float8'.*float32, mixed_bfloat16"):
        runtime.configure(precision="float8")


def test_strategy_mirrors_over_several_gpus_only(monkeypatch):
    monkeypatch.setattr(runtime, "strategy", runtime.strategy.__wrapped__)
    assert runtime.strategy() is tf.distribute.get_strategy()
    cpus = tf.config.list_logical_devices("CPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: cpus)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    assert runtime.strategy() == "mirrored"


TRAIN = """
import json
from vae_keras import runtime
runtime.configure("float32")
import keras
import numpy as np
from vae_keras.data.batches import image_batches
from vae_keras.networks import build_networks
from vae_keras.vae import VAE
keras.utils.set_random_seed(0)
images = np.random.default_rng(0).integers(0, 256, (35, 8, 8, 1), dtype="uint8")
with runtime.strategy().scope():
    vae = VAE(*build_networks("mlp", images.shape[1:], 2), likelihood="sigma")
    vae.compile(optimizer=keras.optimizers.SGD(1e-3))
vae.sampler.call = lambda posterior: posterior[0]  # draws differ between replicas
batches = image_batches(images, batch_size=20, shuffle_seed=1)
history = vae.fit(batches, validation_data=batches, epochs=2, shuffle=False, verbose=0).history
weights = [float(np.abs(weight.numpy()).sum()) for weight in vae.weights]
print(json.dumps([*sum([history[name] for name in sorted(history)], []), *weights]))
"""


@pytest.mark.slow
def test_two_hosts_train_as_one_does():
    hosts = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            hosts.append(f"127.0.0.1:{free.getsockname()[1]}")
    processes = []
    for number in (None, 0, 1):
        environment = dict(os.environ)
        if number is not None:
            task = {"type": "worker", "index": number}
            config = {"cluster": {"worker": hosts}, "task": task}
            environment["TF_CONFIG"] = json.dumps(config)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", TRAIN], env=environment, stdout=subprocess.PIPE, text=True
            )
        )
    alone, *both = (
        json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in processes
    )
    for results in both:
        np.testing.assert_allclose(results, alone, rtol=1e-4)


def test_gpus_are_reported_with_memory_and_driver_or_why_they_are_not_used(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Test GPU, 40960 MiB, 535.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pretend_gpus(monkeypatch, (8, 0))
    assert runtime.describe()["gpu"] == "Test GPU, 40960 MiB, 535.1"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    reported = runtime.describe()
    assert reported["unused_gpu"].startswith("Test GPU, 40960 MiB, 535.1: CUDA_VISIBLE_DEVICES hid")
    assert "gpu" not in reported
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: False)
    assert "is built without CUDA" in runtime.describe()["unused_gpu"]
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    assert "a CUDA library does not fit" in runtime.describe()["unused_gpu"]
    tool.write_text("#!/bin/sh\necho 'Driver/library version mismatch' >&2; exit 18\n")
    assert "Driver/library version mismatch" in runtime.describe()["unused_gpu"]


def test_notices_are_shown_after_an_error(capfd):
    with pytest.raises(RuntimeError), runtime._hidden_notices():
        runtime.os.write(2, b"the driver says why")
        raise RuntimeError
    assert "the driver says why" in capfd.readouterr().err
    with runtime._hidden_notices():
        runtime.os.write(2, b"a notice")
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_peak_memory_matches_the_system():
    status = Path("/proc/self/status").read_text()
    kilobytes = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))
    assert runtime.peak_memory() == pytest.approx(1024 * kilobytes / 1e9, rel=0.01)


@pytest.mark.parametrize("data_format", ["NHWC", "NCHW"])
def test_the_gradient_of_a_bias_is_accurate_in_bfloat16(monkeypatch, data_format):
    monkeypatch.setattr(tf.nn, "bias_add", runtime.add_bias)
    axes = (64, 28, 28, 2) if data_format == "NHWC" else (64, 2, 28, 28)
    value, bias = tf.ones(axes, tf.bfloat16), tf.zeros(2, tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch([value, bias])
        loss = tf.reduce_sum(tf.cast(tf.nn.bias_add(value, bias, data_format), "float32"))
    gradients = tape.gradient(loss, [value, bias])
    np.testing.assert_array_equal(gradients[0], tf.ones(axes))
    # 64 images of 28 x 28 pixels, one each; TensorFlow's own gradient is 256.
    np.testing.assert_array_equal(tf.cast(gradients[1], "float32"), [64 * 28 * 28] * 2)


def test_layers_use_that_gradient_after_configure():
    code = """
from vae_keras import runtime
runtime.configure("mixed_bfloat16")
tf, keras = runtime.tf, runtime.keras
for layer in (keras.layers.Conv2D(3, 1), keras.layers.Dense(3)):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(tf.ones((64, 28, 28, 1))), "float32"))
    print(tape.gradient(loss, layer.bias.value).numpy().tolist())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines() == [str([64.0 * 28 * 28] * 3)] * 2, result.stderr
