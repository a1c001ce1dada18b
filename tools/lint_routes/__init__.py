"""`tandem lint-routes`: what is wrong with prices and routes before a call finds out."""
