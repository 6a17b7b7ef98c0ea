"""Relief of the default face: wrinkles drawn from anatomical lines, and the grain of the skin."""
