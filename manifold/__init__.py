"""The manifold of possible faces in coefficient space: clean coefficients, denoisers, their training and weights."""
