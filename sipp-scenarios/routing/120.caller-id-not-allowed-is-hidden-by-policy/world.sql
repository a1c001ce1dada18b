select world.chain('s120', '88920');
select world.subscriber_option('alice@s120.example', 'cli_policy', 'anonymise');
select world.carrier_of('s120-reseller', 's120-cheap', '127.1.120.1', 5080, '88920', '0.004 60/60');
