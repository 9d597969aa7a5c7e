"""What each thing that people write does."""
