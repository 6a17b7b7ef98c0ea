"""Composition: part swaps by the locally weighted mesh autoencoder, from its mesh hierarchy to its training."""
