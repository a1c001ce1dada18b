"""`tandem explain`: why a call goes, or went, the way it does, and what of that each account may know."""
