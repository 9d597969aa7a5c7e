"""Sessions from a phone: what turns Signal messages into calls on `Sessions`, and what they say into messages."""
