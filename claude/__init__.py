"""One claude process as a value: how to start it, what it says, what to say to it."""
