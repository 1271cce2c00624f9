"""The job: where the rooms meet. `run.py` tells it from top to bottom."""
