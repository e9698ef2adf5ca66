"""Leave any vendor: keep copies elsewhere, rehearse the loss, and come back measured."""

__version__ = "0.1.0"
