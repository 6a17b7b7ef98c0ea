"""What a face model is, the readers of the files people have, and recorded parameters."""
