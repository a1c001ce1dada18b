"""The private stack: Postgres, Redis, sync, settle and Kamailio below one directory, under one supervisor."""
