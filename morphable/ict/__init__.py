"""ICT-FaceKit: its files read, a part of the head cut out, scaled and painted."""
