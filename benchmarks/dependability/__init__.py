"""What the service promises when things go wrong, tried on real processes."""
