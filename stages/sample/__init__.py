"""Sample: coefficients, pose, camera and light from the laws of the configuration."""
