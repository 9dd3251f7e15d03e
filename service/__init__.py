"""The HTTP service: searches over the collections of one data folder."""
