select world.chain('s82', '88882');
select world.carrier_of('s82-reseller', 's82-cheap', '127.1.82.1', 5080, '88882', '0.004 60/60');
select world.account_option('s82-reseller', 'blocked_out', '88882[0-4]*,49900*');
