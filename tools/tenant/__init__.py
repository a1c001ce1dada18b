"""What tenants have, described once: listed, shown, written, applied and exported by those descriptions."""
