"""`tandem replay`: recent calls, decided again under another configuration."""
