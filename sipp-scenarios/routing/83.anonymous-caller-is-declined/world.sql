select world.chain('s83', '88883');
select world.carrier_of('s83-reseller', 's83-peer', '127.1.83.1', 5080, '88883', '0.004 60/60');
select world.did('888830000001', 'alice@s83.example');
select world.subscriber_option('alice@s83.example', 'blocked_in', 'anonymous');
