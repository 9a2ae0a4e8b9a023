"""Figures: arrays and frames in, a Figure out."""
