"""`make prove-money`: the money on real parts while they are killed, against a log that no victim can touch."""
