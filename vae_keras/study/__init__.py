"""The study: many runs of one notebook, declared, executed, recorded and compared."""
