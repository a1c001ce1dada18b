select world.chain('s61', '88861');
select world.subscriber_option('alice@s61.example', 'clir', 'true');
select world.carrier_of('s61-reseller', 's61-cheap', '127.1.61.1', 5080, '88861', '0.004 60/60');
