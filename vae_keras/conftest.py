"""Gives the tests two logical CPU devices, so that distribution is tested without a GPU."""

from vae_keras.runtime import tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
