"""The command `kinfold`: a file a verb."""
