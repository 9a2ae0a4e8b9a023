"""Extensions of the plain VAE: priors, posteriors, objectives, and a second level of codes."""

from vae_keras.beyond import ladder, objectives, posteriors, priors

__all__ = ["ladder", "objectives", "posteriors", "priors"]
