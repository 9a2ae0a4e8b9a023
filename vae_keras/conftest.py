"""Gives the tests two logical CPU devices, so that distribution is tested without a GPU, and the
same random numbers every time."""

from vae_keras.runtime import tf  # first, for it hides TensorFlow's notices

import keras
import pytest

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)
