"""What a host does for a session: start, watch, talk to and stop its claude."""
