"""The story that `make demo` tells, and the scripted Messages API it stands on."""
