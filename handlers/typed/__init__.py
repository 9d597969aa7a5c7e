"""What a person types, by theme: signatures and help. What a command does is imported when it is typed."""
