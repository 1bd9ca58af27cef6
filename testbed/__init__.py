"""A plant, an internet and a technician in network namespaces."""
