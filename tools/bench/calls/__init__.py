"""The same authenticated call through four routers: what each costs, how fast it is, how many it can take."""
