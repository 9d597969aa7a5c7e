"""What turns one medium into calls on `Sessions`: here the command line."""
