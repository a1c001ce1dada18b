"""What runs inside the SIP workers of one Kamailio node."""
