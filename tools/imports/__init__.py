"""`tandem import`: price lists, routes and numbers as carriers send them, taken in whole or not at all."""
