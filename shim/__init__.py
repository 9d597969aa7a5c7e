"""The process beside each claude: it owns the pipes, keeps the journal and outlives workers."""
