select world.chain('s96', '88896');
select world.carrier_of('s96-reseller', 's96-cheap', '127.1.96.1', 5080, '88896', '0.004 60/60');
select world.inbound('s96-cheap', 'from', 'domain', '^carrier\.example', null, null);
select world.carrier_of('s96-reseller', 's96-dear', '127.1.96.2', 5080, '88896', '0.006 60/60');
select world.carrier_option('s96-cheap', 'may_return', 'true');
