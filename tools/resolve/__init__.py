"""Names of carriers' servers into addresses, beside the active syncer: workers never ask DNS."""
