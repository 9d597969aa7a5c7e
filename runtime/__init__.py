"""What a process of ours needs around it: settings, logs, the connection to Temporal, an embedded server."""
