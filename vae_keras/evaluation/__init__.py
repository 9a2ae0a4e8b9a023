"""Measures of trained models: likelihoods, image quality, latent codes and sample distances."""
