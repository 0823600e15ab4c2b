"""Plankton without labels: hand-crafted descriptors or compressed deep features, and clusters of them."""
