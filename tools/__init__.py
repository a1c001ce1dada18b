"""What runs outside Kamailio: the `tandem` command and its parts."""
