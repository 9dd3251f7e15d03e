"""Pictures: bytes that nobody trusts in, upright RGB out. Needs the extra `images`."""
