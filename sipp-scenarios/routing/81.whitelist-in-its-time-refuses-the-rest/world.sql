select world.chain('s81', '88881');
select world.carrier_of('s81-reseller', 's81-cheap', '127.1.81.1', 5080, '88881', '0.004 60/60');
select world.time_set('s81-reseller', 's81-always', open => '{01-01..12-31}');
select world.barring('s81-reseller', 's81-office-only', 'whitelist', array['^49'], 's81-always');
select world.bar('alice@s81.example', 's81-office-only', 'own');
