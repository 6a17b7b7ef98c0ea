"""What is measured of autoencoders that swap parts, and the figures of their paper."""
