"""Measures of trained models: likelihoods, pictures, codes and distances of samples."""
