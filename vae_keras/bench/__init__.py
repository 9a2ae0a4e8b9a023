"""Speed beside stock Keras and PyTorch: `python -m vae_keras.bench`."""
