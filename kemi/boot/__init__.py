"""Where Kamailio enters: the frozen entry script, and the object that it calls."""
