"""Effects of a camera, drawn per face and kept as labels."""
