"""The thin edges: each module here talks to exactly one outside thing."""
