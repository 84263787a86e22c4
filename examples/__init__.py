"""Synthetic slices that may be redistributed, and the scripts that make them."""
