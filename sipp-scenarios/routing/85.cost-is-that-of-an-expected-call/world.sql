select world.chain('s85', '88885');
select world.carrier_of('s85-reseller', 's85-cheap', '127.1.85.1', 5080, '88885', '0.004 60/60');
select world.carrier_of('s85-reseller', 's85-fee', '127.1.85.2', 5080, '88885', '0.001 60/60 +0.02');
select world.destination('88885', 240);
