"""What goes beyond the plain VAE: priors, posteriors, two levels and objectives to plug into it."""

from vae_keras.beyond import ladder, objectives, posteriors, priors

__all__ = ["ladder", "objectives", "posteriors", "priors"]
