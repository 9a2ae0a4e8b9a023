"""Figures: functions from arrays and data frames to a Matplotlib figure."""
