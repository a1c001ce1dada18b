select world.chain('s67', '88867');
select world.subscriber_option('alice@s67.example', 'allowed_clis', '49301234*');
select world.carrier_of('s67-reseller', 's67-cheap', '127.1.67.1', 5080, '88867', '0.004 60/60');
