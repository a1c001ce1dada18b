select world.chain('s68', '88868');
select world.subscriber_option('alice@s68.example', 'allowed_clis', '49301234*');
select world.carrier_of('s68-reseller', 's68-cheap', '127.1.68.1', 5080, '88868', '0.004 60/60');
select world.peer_option('s68-cheap', 'identity_shown', 'own');
