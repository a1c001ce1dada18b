select world.chain('s70', '88870');
select world.carrier_of('s70-reseller', 's70-cheap', '127.1.70.1', 5080, '88870', '0.004 60/60');
select world.carrier_of('s70-reseller', 's70-mid', '127.1.70.2', 5080, '88870', '0.005 60/60');
select world.carrier_of('s70-reseller', 's70-dear', '127.1.70.3', 5080, '88870', '0.006 60/60');
select world.ported('888700', '888705');
select world.peer_option('s70-mid', 'ported', 'routing'), world.peer_option('s70-dear', 'ported', 'rn');
select world.carrier_option('s70-mid', 'rewrite_set', world.rewrite('s70-reseller', 's70-ported', 'callee_lnp', '^', 'D')::text);
