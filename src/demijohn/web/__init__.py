"""The web floor: the only Flask."""
