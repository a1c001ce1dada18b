select world.chain('s80', '88880');
select world.carrier_of('s80-reseller', 's80-cheap', '127.1.80.1', 5080, '88880', '0.004 60/60');
select world.time_set('s80-reseller', 's80-never', shut => '{01-01..12-31}');
select world.barring('s80-reseller', 's80-office-only', 'whitelist', array['^49'], 's80-never');
select world.bar('alice@s80.example', 's80-office-only');
