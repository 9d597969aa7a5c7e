"""What must be true of a machine so that sessions live well on it: looked at, explained, never changed."""
