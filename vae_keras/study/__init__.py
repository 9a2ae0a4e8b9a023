"""The study: declares, executes, records and compares many runs of the training notebooks."""
