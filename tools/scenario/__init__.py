"""Real SIPp calls through a running stack, and what must be true afterwards."""
