"""A package of its own: a library of the benchmark brings another of this name."""
