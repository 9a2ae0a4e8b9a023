"""What goes beyond the plain VAE: priors, posteriors, two levels and objectives to plug into it."""
