"""`tandem settle`: what the calls did to money, from Redis into Postgres, exactly once."""
