"""Compares the speed with stock Keras and PyTorch: `python -m vae_keras.bench`."""
