"""What may be behind a face."""
