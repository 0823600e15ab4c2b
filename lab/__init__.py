"""lab: ten papers as Lightning modules, one CLI to train, evaluate and compare them."""

__version__ = "0.1.0"
