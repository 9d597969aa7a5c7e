"""The session as a Temporal workflow, what crosses its edge, and the API that handlers use."""
