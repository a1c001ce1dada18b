"""`tandem load` and `tandem soak`: many SIPp calls, matched one by one with what the router wrote down of them."""
