"""Sources of light: environment maps, skies and rooms, as spherical harmonics and a few lights that cast shadows."""
