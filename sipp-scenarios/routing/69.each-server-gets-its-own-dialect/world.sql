select world.chain('s69', '88869');
select world.carrier_of('s69-reseller', 's69-cheap', '127.1.69.1', 5080, '88869', '0.004 60/60');
select world.carrier_of('s69-reseller', 's69-dear', '127.1.69.2', 5080, '88869', '0.006 60/60');
select world.rewrite('s69-reseller', 's69-zeros', 'callee_out', '^', '00'), world.rewrite('s69-reseller', 's69-zeros', 'caller_out', '^', '00');
select world.peer_option('s69-cheap', 'rewrite_set', world.rewrite('s69-reseller', 's69-zeros', 'callee_out', '^9', '9')::text);
select world.rewrite('s69-reseller', 's69-plus', 'callee_out', '^', '+');
select world.carrier_option('s69-dear', 'rewrite_set', world.rewrite('s69-reseller', 's69-plus', 'caller_out', '^888691', '')::text);
