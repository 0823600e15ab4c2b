"""Microscopy: textured sprites with known factors, and drawn plankton, drawn cells."""
